"""
The nodes for a bag that is played beside them, in the bag's own time.

    ros2 launch act_ros replay.launch.py keypoints_topic:=/pose_node/keypoints
    ros2 bag play recording --clock --topics /pose_node/keypoints

Takes the arguments of act.launch.py. Pausing, looping, seeking and other rates need no restart.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

# As a plain path, so that `ros2 launch --show-args` can look into it.
ACT_LAUNCH = str(Path(__file__).with_name('act.launch.py'))


def generate_launch_description() -> LaunchDescription:
    """Return act.launch.py with the time of /clock."""
    return LaunchDescription([IncludeLaunchDescription(
        PythonLaunchDescriptionSource(ACT_LAUNCH),
        launch_arguments=[('use_sim_time', 'true')])])
