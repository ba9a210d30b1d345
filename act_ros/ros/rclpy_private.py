"""
What act_ros needs and rclpy does not offer: all that touches its private names.

Another version of rclpy may break what is here, and nothing else.
"""

from __future__ import annotations

from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time_source import TimeSource

from act_ros.core.text import printable
from act_ros.ros.health import THROTTLE

RCLError = rclpy_implementation.RCLError
"""What rclpy raises while it is shut down, without room for a log, or at a bad parameter file."""
UnknownROSArgsError = rclpy_implementation.UnknownROSArgsError
"""What it raises at something behind ``--ros-args`` that ROS does not know."""


def given_parameters(node: Node) -> dict[str, Any]:
    """
    Return what was given at the start, by name: also what is declared nowhere, such as slips.

    An empty list, which rclpy keeps as a parameter that is not set, is returned as one.
    """
    return {name: [] if parameter.type_ == Parameter.Type.NOT_SET else parameter.value
            for name, parameter in node._parameter_overrides.items()}


def state_of(node: LifecycleNode) -> str:
    """Return the name of the state; rclpy tells it only to those who call a service."""
    return str(node._state_machine.current_state[1])


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Refuse a transition that the state does not have, at which rclpy would end the process."""
    service = node._service_change_state
    change_state = service.callback

    def change_if_possible(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:
            node.get_logger().warning(f'no such transition now: {printable(error)}')
            response.success = False
            return response

    service.callback = change_if_possible


def ignore_impossible_clocks() -> None:
    """Pass over a /clock before 1970, at which rclpy would end the process."""
    set_clock = TimeSource.clock_callback

    def set_clock_if_possible(self: TimeSource, msg: Any) -> None:
        if msg.clock.sec >= 0:  # whatever nanoseconds may add to it
            set_clock(self, msg)
        else:
            get_logger('act_ros').warning(
                '/clock is before 1970: ignored', throttle_duration_sec=THROTTLE)

    TimeSource.clock_callback = set_clock_if_possible  # type: ignore[method-assign]
