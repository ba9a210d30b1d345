"""Start, spin and stop a node: exit status and signals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from act_ros.core.memory import keep_memory
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.ros.managed import USER_ERRORS, ManagedNode
from act_ros.ros.rclpy_private import RCLError, UnknownROSArgsError, ignore_impossible_clocks
from act_ros.ros.signals import CANNOT_START, is_told, on_signal, watch

_ARGUMENTS = """
There are no arguments but those of ROS, behind --ros-args:

  -p NAME:=VALUE       a parameter (doc/parameters.md)
  --params-file FILE   parameters from a file, such as a copy of config/act.yaml
  -r FROM:=TO          another name for a topic, a service, or the node (__node:=NAME)
"""


def run(make_node: Callable[[], Node], about: str | None) -> None:
    """
    Make a node, bring it up and spin it until it is told to stop.

    Arguments that are not of ROS are refused; with ``--help`` it tells ``about`` itself, and ends.

    Exits with 0 on SIGINT, SIGTERM and SIGHUP, and with one clear line where the node cannot start
    (a bad parameter, model or video; `CANNOT_START`) or ends with an error later (1).
    """
    status = CANNOT_START
    keep_memory()
    executor = join()
    ignore_impossible_clocks()
    try:
        _check_arguments(about)
        node = make_node()
        try:
            if isinstance(node, ManagedNode) and not node.bring_up() and rclpy.ok():
                sys.exit(status)  # the node has said why
            status = 1
            rclpy.spin(node, executor)
        finally:
            if not rclpy.ok():  # ended by a video, perhaps while the node still comes up
                status = 1
            node.destroy_node()
    except ExternalShutdownException:
        pass
    except Exception as error:
        if is_told() or isinstance(error, RCLError) and not rclpy.ok():
            return  # told to stop in the middle of something, which then could not publish
        if not isinstance(error, USER_ERRORS):
            raise
        get_logger('act_ros').fatal(printable(error, 2 * ERROR_LENGTH))
        sys.exit(status)
    finally:
        rclpy.try_shutdown()


def _check_arguments(about: str | None) -> None:
    """Refuse arguments that are not of ROS, which has looked at its own by now."""
    parser = argparse.ArgumentParser(
        prog=Path(sys.argv[0]).stem, usage='%(prog)s [-h] [--ros-args ...]', description=about,
        epilog=_ARGUMENTS, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(remove_ros_args()[1:])


def join() -> Executor:
    """
    Join ROS, and leave it at a signal; return what spins a node.

    Where the disk has no room for a log, the console is enough.
    """
    watch()
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except UnknownROSArgsError as error:
        get_logger('act_ros').fatal(f'ROS knows no such arguments: {printable(error)}')
        sys.exit(CANNOT_START)
    except RCLError as error:
        rclpy.try_shutdown()
        try:  # does not open the log's file again
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        except RCLError as fatal:  # such as a parameter file that is none
            get_logger('act_ros').fatal(printable(fatal, 2 * ERROR_LENGTH))
            sys.exit(CANNOT_START)
        get_logger('act_ros').error(f'logging to the console alone: {printable(error)}')
    # Before a signal may leave ROS: an executor that is made after that leaves a traceback.
    executor = SingleThreadedExecutor()
    on_signal(rclpy.get_default_context().try_shutdown)
    return executor
