"""What is evaluated: the nodes' own options, from a ROS parameter file and the command line."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import yaml

from act_ros.actions.classifier import ActOptions
from act_ros.actions.decision import DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.options import Options
from act_ros.persons.models import PoseOptions
from act_ros.persons.tracker import TrackerOptions

T = TypeVar('T', bound=Options)
_KINDS: dict[type, tuple[type, ...]] = {
    bool: (bool,), int: (int,), float: (int, float), str: (str,), tuple: (list,)}


class SettingsError(ValueError):
    """A parameter file that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Settings:
    """Options of the pose and the action side, as `pose_node` and `act_node` take them."""

    pose: PoseOptions = field(default_factory=PoseOptions)
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    act: ActOptions = field(default_factory=ActOptions)
    window: WindowOptions = field(default_factory=WindowOptions)
    decision: DecisionOptions = field(default_factory=DecisionOptions)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


_SECTIONS: dict[str, dict[str, tuple[str, type[Options]]]] = {
    'pose_node': {'pose': ('', PoseOptions), 'tracker': ('tracker', TrackerOptions)},
    'act_node': {'act': ('', ActOptions), 'window': ('window', WindowOptions),
                 'decision': ('decision', DecisionOptions)},
}


def read_settings(path: Path | None = None, bundle: str | None = None) -> Settings:
    """
    Return the settings of a ROS parameter file; without one, the defaults.

    The sections of `pose_node` and `act_node` count, under any namespace or wildcard. Parameters
    the evaluation has no use for (``use_sim_time``, ``transport``) are passed over.

    :param bundle: wins over the file.
    :raises SettingsError: no such file, or a value that the node would refuse.
    """
    values: dict[str, Any] = {}
    sections = _read(path) if path else {}
    for node, parts in _SECTIONS.items():
        given = _parameters_of(node, sections)
        if bundle and node == 'act_node':
            given['bundle'] = bundle
        for name, (prefix, kind) in parts.items():
            values[name] = _make(kind, prefix, given, f'{path}: {node}')
    return Settings(**values)


def _read(path: Path) -> dict[str, Any]:
    try:
        sections = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f'cannot read the parameters {path}: {error}') from error
    if not isinstance(sections, dict) or not all(
            isinstance(section, dict) for section in sections.values()):
        raise SettingsError(f'{path} is no ROS parameter file: it must map node names to '
                            f'ros__parameters, as config/act.yaml does')
    return sections


def _parameters_of(node: str, sections: dict[str, Any]) -> dict[str, Any]:
    """Return a node's parameters by full name; of several sections the later one wins."""
    found: dict[str, Any] = {}

    def flatten(prefix: str, values: Any) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                flatten(f'{prefix}{key}.', value)
            else:
                found[f'{prefix}{key}'] = value

    for pattern, section in sections.items():
        if fnmatchcase(node, str(pattern).rsplit('/', 1)[-1]):
            flatten('', section.get('ros__parameters') or {})
    return found


def _make(kind: type[T], prefix: str, given: dict[str, Any], where: str) -> T:
    """Return the options of a kind from what is given, after a check of the types."""
    start = f'{prefix}.' if prefix else ''
    fields = {item.name: item for item in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = key[len(start):]
        if not key.startswith(start) or '.' in name:
            continue
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            if near and prefix:  # without a prefix it may be anything that a node declares
                raise SettingsError(f'{where} has no parameter {key}; did you mean '
                                    f'{start}{near[0]}?')
            continue
        default: Any = fields[name].default
        if not isinstance(value, _KINDS[type(default)]) or isinstance(
                value, bool) != isinstance(default, bool):
            raise SettingsError(f'{where}: {key} must be {type(default).__name__}, not {value!r}')
        values[name] = type(default)(value)
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingsError(f'{where}: parameter {start}{error}') from error
