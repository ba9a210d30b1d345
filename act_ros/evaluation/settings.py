"""What is evaluated: the nodes' own options, from a ROS parameter file and the command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from act_ros.actions.classifier import ActOptions, DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.adapters import PoseInputOptions
from act_ros.core.options import Options, nearest, slips
from act_ros.core.places import PlaceOptions
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.core.text import PrintableError, printable
from act_ros.persons.models import PoseOptions
from act_ros.persons.tracker import TrackerOptions

T = TypeVar('T', bound=Options)

NODES = ('pose_node', 'act_node')
"""Those whose parameters are read."""

# The types that YAML may give for each type of an option.
_KINDS: dict[type, tuple[type, ...]] = {
    bool: (bool,), int: (int,), float: (int, float), str: (int, str), tuple: (list,)}
# Bytes; more than any parameter file has.
_LARGEST = 1 << 20


class _Loader(yaml.SafeLoader):
    """Takes for floats what ROS does: PyYAML wants a point and a sign for 3e-1."""


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$'),
    list('-+.0123456789'))


class SettingsError(PrintableError):
    """A parameter file that cannot be used; the message says where and why."""


def _options(kind: type[T], node: str, prefix: str = '') -> T:
    """Declare options of a node: its parameters whose names begin with ``prefix``."""
    return field(default_factory=kind, metadata={'node': node, 'prefix': prefix})


@dataclass(frozen=True)
class Settings:
    """
    Options of the pose and the action side, as `pose_node` and `act_node` take them.

    ``image_mount`` and ``image_stamps`` are the former's, ``pose_mount`` and ``pose_stamps`` the
    latter's. ``warnings`` tells what of a parameter file did not count.
    """

    pose: PoseOptions = _options(PoseOptions, 'pose_node')
    tracker: TrackerOptions = _options(TrackerOptions, 'pose_node', 'tracker.')
    image_mount: MountOptions = _options(MountOptions, 'pose_node')
    pose_mount: MountOptions = _options(MountOptions, 'act_node')
    image_stamps: StampOptions = _options(StampOptions, 'pose_node')
    pose_stamps: StampOptions = _options(StampOptions, 'act_node')
    poses: PoseInputOptions = _options(PoseInputOptions, 'act_node')
    act: ActOptions = _options(ActOptions, 'act_node')
    window: WindowOptions = _options(WindowOptions, 'act_node', 'window.')
    decision: DecisionOptions = _options(DecisionOptions, 'act_node', 'decision.')
    place: PlaceOptions = _options(PlaceOptions, 'act_node', 'place.')
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def stamps_of(self, kind: str) -> str:
        """Return where the stamps of ``images`` or ``keypoints`` come from."""
        return (self.image_stamps if kind == 'images' else self.pose_stamps).stamps

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = dataclasses.asdict(self)
        del values['warnings']
        return values


def read_settings(path: Path | None = None, bundle: str | None = None) -> Settings:
    """
    Return the settings of a ROS parameter file; without one, the defaults.

    The sections of `pose_node` and `act_node` count, under any namespace or wildcard. Parameters
    the evaluation has no use for (``use_sim_time``, ``transport``) are passed over; names that look
    like slips are told.

    :param bundle: wins over the file.
    :raises SettingsError: no such file, or a value that the node would refuse.
    """
    values: dict[str, Any] = {}
    sections = _read(path) if path else {}
    warnings = [*_sections_of_none(path, sections)] if path else []
    for node in NODES:
        where = f'{path}: {node}'
        given = _parameters_of(node, sections, where, warnings)
        if bundle and node == 'act_node':
            given['bundle'] = bundle
        known: list[str] = []
        for item in dataclasses.fields(Settings):
            if item.metadata.get('node') == node:
                kind, prefix = cast(type[Options], item.default_factory), item.metadata['prefix']
                values[item.name] = _make(kind, prefix, given, where)
                known += (f'{prefix}{option.name}' for option in dataclasses.fields(kind))
        warnings += (f'{where} has {slip}' for slip in slips(given, known))
    return Settings(**values, warnings=tuple(printable(text, 1000) for text in warnings))


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f'cannot read the parameters {path}: it is no file')
        if path.stat().st_size > _LARGEST:
            raise SettingsError(f'cannot read the parameters {path}: it has more than {_LARGEST} '
                                'bytes')
        text = path.read_text(encoding='utf-8')
        for token in yaml.scan(text, _Loader):
            if isinstance(token, yaml.AliasToken):  # a few can stand for gigabytes
                raise yaml.YAMLError(f'line {token.start_mark.line + 1} has an alias (*), which '
                                     'ROS does not take')
        sections = yaml.load(text, _Loader)  # noqa: S506 - it is a SafeLoader
    except RecursionError:
        raise SettingsError(f'cannot read the parameters {path}: too many levels') from None
    except SettingsError:
        raise
    # PyYAML lets through what a date, a number or a tag without its text raises.
    except (OSError, ValueError, LookupError, ArithmeticError, AttributeError,
            yaml.YAMLError) as error:
        raise SettingsError(f'cannot read the parameters {path}: {error}') from error
    if not isinstance(sections, dict) or not all(
            isinstance(section, dict) for section in sections.values()):
        raise SettingsError(f'{path} is no ROS parameter file: it must map node names to '
                            f'ros__parameters, as config/act.yaml does')
    return sections


def _sections_of_none(path: Path, sections: dict[str, Any]) -> Iterator[str]:
    """Yield what to say of sections that no node reads, but that look as if one should."""
    meant = {section: nearest(_name_of(section), NODES) for section in sections
             if not any(_is_of(node, section) for node in NODES)}
    for section, node in meant.items():
        if node:
            yield (f'{path}: the section {section} is of no node that is evaluated and does not '
                   f'count; did you mean {node}?')
    if len(meant) == len(sections) and not any(meant.values()):
        yield f'{path}: nothing of it counts, for want of a section {" or ".join(NODES)}'


def _name_of(section: str) -> str:
    """Return the node's name, or the wildcard for it, without the namespace."""
    return str(section).rsplit('/', 1)[-1]


def _is_of(node: str, section: str) -> bool:
    return fnmatchcase(node, _name_of(section))


def _parameters_of(
    node: str, sections: dict[str, Any], where: str, warnings: list[str],
) -> dict[str, Any]:
    """Return a node's parameters by full name; of several sections the later one wins."""
    found: dict[str, Any] = {}
    for name, section in sections.items():
        if not _is_of(node, name):
            continue
        if section and 'ros__parameters' not in section:
            warnings.append(f'{where}: nothing of it counts, for want of the level ros__parameters')
        parameters = section.get('ros__parameters') or {}
        if not isinstance(parameters, dict):
            raise SettingsError(f'{where}: ros__parameters must map names to values, not be '
                                f'{parameters!r}')
        found |= flat(parameters)
    return found


def flat(values: Mapping[Any, Any], prefix: str = '') -> dict[str, Any]:
    """Return the values of nested mappings by full name, such as ``window.max_gap``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f'{prefix}{key}.')
        else:
            found[f'{prefix}{key}'] = value
    return found


def _make(kind: type[T], prefix: str, given: dict[str, Any], where: str) -> T:
    """Return the options of a kind from what is given, after a check of the types."""
    fields = {item.name: item for item in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = key[len(prefix):]
        if not key.startswith(prefix) or name not in fields:
            continue
        default: Any = fields[name].default
        if type(value) not in _KINDS[type(default)]:
            raise SettingsError(f'{where}: {key} must be {type(default).__name__}, not {value!r}')
        if isinstance(value, list) and not all(isinstance(part, str) for part in value):
            raise SettingsError(f'{where}: {key} must be a list of strings, not {value!r}')
        try:
            values[name] = type(default)(value)
        except (OverflowError, ValueError):  # an integer that no float or text can hold
            raise SettingsError(f'{where}: {key} is too large') from None
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingsError(f'{where}: parameter {prefix}{error}') from error
