"""
From a camera, or a video in its place, to actions.

    ros2 launch act_ros act.launch.py image_topic:=/camera/image_raw
    ros2 launch act_ros act.launch.py video:=clip.mp4 composition:=single_process

An argument that is given wins over the parameter file; one that is empty leaves it alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from act_ros.core.options import nearest
from act_ros.core.text import printable
from act_ros.ros.fastdds import image_transport_variables
from act_ros.ros.plan import Start, plan
from act_ros.ros.signals import CANNOT_START, leave_to_loop, tied_to_us

ARGUMENTS = [
    DeclareLaunchArgument(
        'image_topic', default_value='image',
        description='Images to look at; with transport compressed, <image_topic>/compressed.'),
    DeclareLaunchArgument(
        'transport', default_value='', choices=['', 'raw', 'compressed'],
        description='Whether images are raw or compressed.'),
    DeclareLaunchArgument(
        'reliability', default_value='', choices=['', 'best_available', 'best_effort', 'reliable'],
        description='Of the subscription to images; best_available is what the camera is.'),
    DeclareLaunchArgument(
        'rotation', default_value='',
        description='Degrees clockwise (0, 90, 180, 270) by which images have to be turned for '
        'people to stand upright; of several cameras one for each, with commas between.'),
    DeclareLaunchArgument(
        'depth_topic', default_value='',
        description='Depth images registered to the images, to measure where people are; with '
        'several cameras, {camera} stands for the name.'),
    DeclareLaunchArgument(
        'keypoints_topic', default_value='',
        description='Keypoints to take in place of images: act_node alone.'),
    DeclareLaunchArgument(
        'bundle', default_value='',
        description='Action model: a name in the models folder, or a path.'),
    DeclareLaunchArgument(
        'pose_model', default_value='',
        description='How people are found: a mode (fast, balanced, far), or a pose network: a '
        'name in the models folder, or a path.'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([FindPackageShare('act_ros'), 'config', 'act.yaml']),
        description='Parameters of all nodes.'),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of the nodes and their topics.'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='', choices=['', 'true', 'false'],
        description='Whether to take the time from /clock.'),
    DeclareLaunchArgument(
        'video', default_value='',
        description='A video file, an address such as rtsp://camera/stream, a device number or '
        '/dev/videoN to play onto image_topic; all ends when it ends. Empty: the images come from '
        'elsewhere.'),
    DeclareLaunchArgument(
        'loop', default_value='', choices=['', 'true', 'false'],
        description='Whether to begin the video again when it ends.'),
    DeclareLaunchArgument(
        'composition', default_value='two_nodes', choices=['two_nodes', 'single_process'],
        description='pose_node and act_node, or pipeline_node: both in one process, and a video '
        'without images over DDS.'),
    DeclareLaunchArgument(
        'cameras', default_value='',
        description='Names of cameras, with commas between, that share the networks of a single '
        "process; image_topic then holds {camera} in the place of each one's name."),
    DeclareLaunchArgument(
        'autostart', default_value='', choices=['', 'true', 'false'],
        description='Whether the nodes configure and activate themselves, or wait for `ros2 '
        'lifecycle set` or a lifecycle manager.'),
    DeclareLaunchArgument(
        'markers', default_value='false', choices=['true', 'false'],
        description='Whether to start markers_node, for RViz and Foxglove.'),
    DeclareLaunchArgument(
        'annotator', default_value='false', choices=['true', 'false'],
        description='Whether to start annotator_node, which draws people and actions into images '
        'as pose_node does, but elsewhere: on the machine of whoever looks.'),
    DeclareLaunchArgument(
        'respawn', default_value='false', choices=['true', 'false'],
        description='Whether a node that fails is started again, after two seconds. Otherwise, and '
        'where it cannot start, all end with it, and the launch fails.'),
    DeclareLaunchArgument(
        'log_level', default_value='info', choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Least severity that is logged.'),
    DeclareLaunchArgument(
        'layout', default_value='', choices=['', 'two_nodes', 'single_process'],
        description='Deprecated: the former name of composition.'),
]
RESPAWN_DELAY = 2.0  # seconds


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes that they ask for."""
    return LaunchDescription([
        *ARGUMENTS,
        OpaqueFunction(function=lambda context: leave_to_loop(context.asyncio_loop.is_running)),
        OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes, once the values of the arguments are known."""
    value = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    # Of launch itself, such as `gdb -ex run --args`.
    value['launch-prefix'] = context.launch_configurations.get('launch-prefix', '')
    for name in {word.partition(':=')[0] for word in context.argv} - value.keys():
        if near := nearest(name, value):  # launch itself passes over what nobody declared
            get_logger('act.launch').warning(
                f'act.launch.py has no argument {printable(name)}; did you mean {near}?')
    if not Path(value['params_file']).is_file():
        raise FileNotFoundError(f'params_file: {value["params_file"]} does not exist')
    if value['layout']:
        get_logger('act.launch').warning(
            f'the argument layout is now called composition: composition:={value["layout"]}')
        value['composition'] = value['layout']
    return [_node(start, value) for start in plan(value)]


def _node(start: Start, value: dict[str, str]) -> Node:
    """Return a node with the parameter file and, over it, its own parameters."""
    def ended(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
        is_over = not is_respawned or event.returncode == CANNOT_START
        if event.returncode and is_over and not context.is_shutdown:
            raise RuntimeError(f'{start.name} has failed, for the reason above')
        return [Shutdown(reason=f'{start.name} has come to its end')] if start.ends_all else []

    # Declared a string, for YAML would read the camera '0' as a number.
    given = {key: ParameterValue(item, value_type=str) if isinstance(item, str) else item
             for key, item in start.parameters.items()}
    # `ros2 launch` leaves its nodes behind where it gets SIGTERM, or is killed.
    prefix = None if value['launch-prefix'] else ' '.join(tied_to_us())
    is_respawned = value['respawn'] == 'true' and not start.ends_all
    # A node-named section of a file wins over an unnamed one, whichever comes last. launch_ros
    # names the section of `given` only for a node with a namespace, be it the empty one.
    return Node(
        package='act_ros', executable=start.name, name=start.name, namespace=start.namespace,
        exec_name=start.name,  # what its lines in the log begin with, whatever the prefix
        parameters=[value['params_file'], given], remappings=start.remappings,
        ros_arguments=['--log-level', value['log_level']], output='screen', emulate_tty=True,
        additional_env=image_transport_variables(os.environ), respawn=is_respawned,
        respawn_delay=RESPAWN_DELAY, on_exit=ended, prefix=prefix)
