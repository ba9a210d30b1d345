#!/bin/bash
# Run a command with ROS, act_ros and the environment of its Python set up.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /opt/venv/bin/activate
source /opt/act_ros/setup.bash
exec "$@"
