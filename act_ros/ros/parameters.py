"""ROS parameters from option classes: names, defaults, ranges and descriptions in one place."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from act_ros.core.options import Options, nearest, slips
from act_ros.core.text import printable
from act_ros.ros.rclpy_private import given_parameters

T = TypeVar('T', bound=Options)
Groups = Sequence[tuple[str, type[Options]]]
"""The parameters of a node: option classes, each with what is put before its names."""
Values = dict[type[Options], Any]
"""Of each option class an instance: the values of a node's parameters."""


def names_of(groups: Groups) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yield every parameter: its full name, such as ``tracker.max_age``, and its option."""
    for prefix, kind in groups:
        for item in dataclasses.fields(kind):
            yield (f'{prefix}.{item.name}' if prefix else item.name), item


class Parameters:
    """
    The parameters of a node; ``parameters(TrackerOptions)`` are the present ones of a class.

    A set of changes is taken as a whole or, with the reason, refused as a whole. Fixed parameters
    are read-only; those of a managed node only while ``is_locked``. An integer is taken for a float
    or a text, and an empty list for the default of a list. A name given at the start that looks
    like a misspelt parameter is warned of.

    :param changed: called after every change.
    :param check: raises ValueError where the values of a set of changes, by their classes, do not
        suit what the node works with; they are refused then.
    :raises rclpy.exceptions.InvalidParameterValueException: a value of the wrong type or range.
    :raises ValueError: a value the option class refuses; names the parameter.
    """

    def __init__(
        self, node: Node, groups: Groups, changed: Callable[[], None] = lambda: None, *,
        check: Callable[[Values], None] = lambda _: None, is_managed: bool = False,
    ) -> None:
        self.is_locked = False
        self._node, self._groups, self._changed, self._check = node, groups, changed, check
        self._fixed = {name: bool(item.metadata['fixed']) for name, item in names_of(groups)}
        self._defaults = {name: list(item.default) if isinstance(item.default, tuple)
                          else item.default for name, item in names_of(groups)}
        given = given_parameters(node)
        for name, item in names_of(groups):
            default = self._defaults[name]
            coerced = self._coerced(name, given.get(name, default))
            is_other = coerced is not given.get(name)
            node.declare_parameter(
                name, coerced if is_other else default, descriptor(item, is_managed),
                ignore_override=is_other)
        for slip in slips(given, self._fixed):
            node.get_logger().warning(f'there is {printable(slip)}')
        self._options = self._made({})
        node.add_pre_set_parameters_callback(self._coerce)
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._take)

    def __call__(self, kind: type[T]) -> T:
        """Return the values of an option class."""
        options: T = self._options[kind]
        return options

    def set_fixed(self, name: str, value: Any) -> None:
        """Set a fixed parameter to what is in use now."""
        self.is_locked = False
        try:
            self._node.set_parameters([Parameter(name, value=value)])
        finally:
            self.is_locked = True

    def _made(self, changes: dict[str, Any]) -> Values:
        """Return all options with some values changed."""
        made: Values = {}
        for prefix, kind in self._groups:
            values: dict[str, Any] = {}
            for name, item in names_of([(prefix, kind)]):
                value = changes.get(name, self._node.get_parameter(name).value)
                values[item.name] = tuple(value) if isinstance(item.default, tuple) else value
            try:
                made[kind] = kind(**values)
            except ValueError as error:
                raise ValueError(f'parameter {prefix + "." if prefix else ""}{error}') from error
        return made

    def _coerce(self, parameters: list[Parameter]) -> list[Parameter]:
        """
        Return the parameters with values of their declared types.

        :raises ParameterNotDeclaredException: there is no such parameter; rclpy's own would not
            tell which (Jazzy).
        """
        for name in (given.name for given in parameters):
            if not self._node.has_parameter(name):
                near = nearest(name, self._fixed)
                raise ParameterNotDeclaredException(
                    printable(name) + (f'; did you mean {near}?' if near else ''))
        return [given if (coerced := self._coerced(given.name, given.value)) is given.value
                else Parameter(given.name, value=coerced) for given in parameters]

    def _coerced(self, name: str, value: Any) -> Any:
        """Return the value itself, or the one of the parameter's type that it is taken for."""
        default = self._defaults.get(name)
        if type(value) is int and isinstance(default, float | str):
            return type(default)(value)
        if isinstance(default, list) and isinstance(value, list | array) and not value:
            return default  # whose type ROS cannot tell from an empty list
        return value

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in parameters}
        try:
            for name in changes:
                if self.is_locked and self._fixed.get(name):
                    raise ValueError(f'parameter {name} can be changed only while the node is '
                                     'unconfigured: deactivate it and clean it up first')
            self._check(self._made(changes))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Parameter]) -> None:
        if any(parameter.name in self._fixed for parameter in parameters):
            self._options = self._made({})
            self._changed()


def descriptor(item: dataclasses.Field[Any], is_managed: bool = False) -> ParameterDescriptor:
    """Return the descriptor of one option, perhaps of a managed node's."""
    meta = item.metadata
    low, high, choices = meta['low'], meta['high'], meta['choices']
    result = ParameterDescriptor(
        name=item.name, description=meta['doc'], read_only=meta['fixed'] and not is_managed)
    constraints = ['one of: ' + ', '.join(map(str, choices))] if choices else []
    if meta['least'] is not None:
        constraints.append(f'0, or at least {meta["least"]:g}')
    if meta['fixed'] and is_managed:
        constraints.append('to be changed only while the node is unconfigured')
    result.additional_constraints = '; '.join(constraints)
    if choices or isinstance(item.default, bool) or low is None or high is None:
        return result
    if isinstance(item.default, int):
        result.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    else:
        result.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))]
    return result
