"""Live human action recognition for ROS 2: a ROS-free core, and thin nodes around it."""

# A source checkout and the built messages (act_ros.msg) are then seen as one package.
__path__ = __import__('pkgutil').extend_path(__path__, __name__)
