"""Start and stop a node like a good citizen of a robot."""

from __future__ import annotations

import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def run(make_node: Callable[[], Node]) -> None:
    """
    Make a node and spin it until it is told to stop.

    Exits with 0 on SIGINT and SIGTERM, and with 1 and one clear line where the node cannot start
    (a bad parameter, model or video).
    """
    rclpy.init()
    try:
        node = make_node()
        try:
            rclpy.spin(node)
        finally:
            node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ValueError, OSError, ParameterException, RuntimeError) as error:
        rclpy.logging.get_logger('act_ros').fatal(str(error))
        sys.exit(1)
    finally:
        rclpy.try_shutdown()
