"""ROS parameters from option classes: names, defaults, ranges and descriptions in one place."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from act_ros.options import Options

T = TypeVar('T', bound=Options)


def declare(node: Node, options: type[T], prefix: str = '') -> T:
    """
    Declare a read-only parameter for every option and return the values the user gave.

    :param prefix: put before each name, as in ``tracker.max_age``.
    :raises rclpy.exceptions.InvalidParameterValueException: a value of the wrong type or range.
    :raises ValueError: a value the option class refuses; names the parameter.
    """
    values: dict[str, Any] = {}
    for item in dataclasses.fields(options):
        name = f'{prefix}.{item.name}' if prefix else item.name
        default: Any = list(item.default) if isinstance(item.default, tuple) else item.default
        value = node.declare_parameter(name, default, descriptor(item)).value
        values[item.name] = tuple(value) if isinstance(item.default, tuple) else value
    try:
        return options(**values)
    except ValueError as error:
        raise ValueError(f'parameter {prefix + "." if prefix else ""}{error}') from error


def descriptor(item: dataclasses.Field[Any]) -> ParameterDescriptor:
    """Return the descriptor of one option."""
    meta = item.metadata
    low, high, choices = meta['low'], meta['high'], meta['choices']
    result = ParameterDescriptor(name=item.name, description=meta['doc'], read_only=True)
    if choices:
        result.additional_constraints = 'one of: ' + ', '.join(choices)
    elif isinstance(item.default, bool) or low is None or high is None:
        pass
    elif isinstance(item.default, int):
        result.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    else:
        result.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))]
    return result
