"""The settings of a training, read from a YAML file and checked."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import yaml

from act_ros.actions.bundle import Bundle
from act_ros.actions.features import MPOSE, SEEN
from act_ros.core.resources import file_checksum
from act_ros.recordings.labels import NONE, UNKNOWN_LABEL
from training.augmentation import LAYOUT, Augmentation
from training.checkpoint import write_whole
from training.datasets.labels import MPOSE_LABELS

_SETTINGS = 'config.json'
_DATA = 'data.json'  # the checksums of what a run learned from

T = TypeVar('T')
R = TypeVar('R', bound='Recipe')

SCHEDULES = ('transformer', 'cosine', 'steps', 'constant')
OPTIMIZERS = ('adam', 'sgd')
PRECISIONS = ('float32', 'bfloat16')


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, whatever it is trained on. The defaults are the paper's."""

    RENAMED: ClassVar[dict[str, str]] = {}
    """Settings by their former names, which are understood with a warning."""

    name: str
    seed: int = 0
    folds: int = 10
    epochs: int = 350
    batch_size: int = 512
    optimizer: str = 'adam'
    """'adam', or 'sgd': Nesterov's momentum of 0.9, and a weight decay that is part of the
    gradient."""
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    dropout: float | None = None
    """By default the network's own."""
    schedule: str = 'transformer'
    """Learning rate: 'transformer' as in the paper, 'cosine' from ``peak_rate`` to 0, 'steps' (a
    tenth of ``peak_rate`` from the first of ``drops`` on, and so on), or 'constant'."""
    peak_rate: float = 2e-3
    drops: tuple[float, ...] = (0.6, 0.8)
    """Parts of the training."""
    constant_rate: float = 3e-4
    schedule_width: int = 64
    """d_model in the paper's schedule, for networks that have none."""
    warmup: float = 0.4
    drop_at: float = 0.8
    final_rate: float = 1e-4
    validate_every: int = 1
    checkpoint_every: int = 10
    keep: str = 'best'
    """Which weights are kept: 'best' by validation accuracy, or 'last'."""
    xla: bool = True
    """Compile the training step with XLA: some seconds at first, then about twice as fast."""
    precision: str = 'float32'
    """'bfloat16' computes in half the bits where GPUs are made for it; weights keep theirs."""

    def rules(self) -> Iterator[tuple[object, str]]:
        """Yield whether each rule is met, and what it says."""
        yield (self.name not in ('', '..') and Path(self.name).name == self.name,
               'name must be that of a folder, without slashes')
        yield self.epochs >= 1 and self.batch_size >= 1, 'epochs and batch_size must be positive'
        yield self.keep in ('best', 'last'), "keep must be 'best' or 'last'"
        yield self.schedule in SCHEDULES, f'schedule must be one of {", ".join(SCHEDULES)}'
        yield self.optimizer in OPTIMIZERS, f'optimizer must be one of {", ".join(OPTIMIZERS)}'
        yield (all(0 < drop < 1 for drop in self.drops) and sorted(self.drops) == [*self.drops],
               'drops must rise, and lie in (0, 1)')
        yield self.precision in PRECISIONS, f'precision must be one of {", ".join(PRECISIONS)}'
        yield (min(self.validate_every, self.checkpoint_every) >= 1,
               'validate_every and checkpoint_every must be positive')
        yield self.seed >= 0, 'seed must not be negative'
        yield from self.shares('label_smoothing', 'warmup', 'drop_at')
        for name in ('peak_rate', 'constant_rate', 'final_rate'):
            yield 0 <= getattr(self, name) < np.inf, f'{name} must be finite, and not negative'
        yield 0 <= self.weight_decay < 1, 'weight_decay must lie in [0, 1)'
        yield self.schedule_width >= 1, 'schedule_width must be positive'
        yield self.dropout is None or 0 <= self.dropout < 1, 'dropout must lie in [0, 1)'

    def shares(self, *names: str) -> Iterator[tuple[object, str]]:
        """Yield the rule that settings lie between none and all."""
        for name in names:
            yield 0 <= getattr(self, name) <= 1, f'{name} must lie in [0, 1]'

    def __post_init__(self) -> None:
        if problems := [text for met, text in self.rules() if not met]:
            raise ValueError('; '.join(problems))

    @classmethod
    def parse(cls: type[R], values: dict[str, Any]) -> R:
        """Make a configuration of plain values, as YAML and JSON have them."""
        values = dict(_mapping(values))
        for old in set(values) & set(cls.RENAMED):
            warnings.warn(f'the setting {old!r} is called {cls.RENAMED[old]!r} now', FutureWarning,
                          stacklevel=2)
            values[cls.RENAMED[old]] = values.pop(old)
        return make(cls, values)


@dataclass(frozen=True)
class TrainConfig(Recipe):
    """
    A training on sequence files.

    ``files`` are names in the data folder. The people are dealt into ``folds``, and ``strangers``
    are further ones; the run trains a network for each entry of ``members``, which never sees the
    people of the fold it names. Members that hold back the same fold differ by their seed and are
    measured together.
    """

    RENAMED: ClassVar[dict[str, str]] = {'smoothing': 'pose_smoothing'}

    files: tuple[str, ...] = ()
    labels: tuple[str, ...] = MPOSE_LABELS
    mpose_order: bool = False
    """Files that do not name their classes have those of MPOSE2021, in its order."""
    model: str = 'act_mu'
    num_frames: int = 30
    min_frames: int = 15
    frame_rate: float = 15.0
    normalisation: str = MPOSE
    """What the features are: one of `act_ros.actions.features.NORMALISATIONS`."""
    pose_smoothing: float = 0.0
    """Standard deviation in seconds of a Gaussian that poses are smoothed by in time."""
    mirrored: bool = False
    """Answer with the mean of what the network says of a window and of its mirror image."""
    by_legs: tuple[str, ...] = ()
    """Labels that legs alone tell, whatever the arms do: see `training.networks.Serving`."""
    needs_legs: tuple[str, ...] = ()
    """Labels that nobody can tell who sees neither knees nor feet."""
    steady_view: tuple[str, ...] = ()
    """Labels that are not told while hips or knees come into view or leave it."""
    steady_size: bool = False
    """Ask the network about people as though they neither came nearer nor went away."""
    upright: bool = False
    """None of the labels is done lying: of whoever lies or falls none is told."""
    folds: int = 4
    members: tuple[int, ...] = ()
    """The fold that each network holds back; by default every fold has one."""
    strangers: tuple[tuple[str, ...], ...] = ()
    """Whole sources that are held back together, as folds after the ``folds`` of people: what a
    network knows of them is what it will know of people whom a robot meets."""
    training_only: tuple[str, ...] = ()
    """Sources whose people cannot be told apart: learned from by all, never measured on."""
    people: float = 1.0
    """Part of each source's people that is learned from: for learning curves."""
    final: bool = False
    """Train one more, of everybody: the one that ships, which nobody is left to measure on."""
    epochs: int = 120
    windows_per_epoch: int = 6144
    short_windows: float = 0.25
    """Share of batches whose windows have fewer than ``num_frames``, as when a person appears."""
    unknown_share: float = 0.2
    """Share of windows of other actions, of which every class shall be equally likely."""
    background: bool = True
    """Learn other actions as one more class, whose probability is shared out in the export."""
    ignored_actions: tuple[str, ...] = ()
    """Other actions too near to a class to learn or measure rejection from."""
    relabelled: dict[str, str] = field(default_factory=dict)
    """Other labels than the sources give: pattern of ``source/take`` or ``source/its own label``
    (``*`` and ``?``), and the right label."""
    balance: float = 0.5
    emphasis: dict[str, float] = field(default_factory=dict)
    """How many times more often a class is drawn than ``balance`` would: what people do all day."""
    prior: dict[str, float] = field(default_factory=dict)
    """How many times more often than in training a label is met: the exported network's answers."""
    validate_every: int = 10
    keep: str = 'last'
    start_from: str = ''
    """Fine-tune: folder of a run, of which the final network counts or else the first, or a
    ``.weights.h5`` file with its bundle beside it."""
    remember: float = 0.7
    """Fine-tuning: how much the old network's answers count beside the labels, but for labels that
    it does not know."""
    old_layers: float = 0.3
    """Fine-tuning: learning rate of all layers but the last, as a part of that of the last."""
    errors: str = ''
    """File of a pose network's errors in the data folder, as `training.videos` writes it."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def held_back_folds(self) -> tuple[int, ...]:
        """The fold that each network never sees, in the order they are trained; -1: none."""
        every = range(self.folds + len(self.strangers))
        return (*(self.members or every), *[-1] * self.final)

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: the labels, and the background where it is learned."""
        return len(self.labels) + self.background

    def bundle(self, **others: Any) -> Bundle:
        """
        Return what a bundle says of this run's networks.

        :param others: further fields of `Bundle`, or others than a run gives it.
        :raises ValueError: no bundle is like this.
        """
        return Bundle(**{
            'name': self.name, 'labels': self.labels, 'layout': LAYOUT,
            'num_frames': self.num_frames, 'min_frames': self.min_frames,
            'frame_rate': self.frame_rate, 'normalisation': self.normalisation,
            'pose_smoothing': self.pose_smoothing, 'steady_view': self.steady_view,
            'steady_size': self.steady_size, 'upright': self.upright,
            'temperature': 1.0, 'unknown_threshold': 0.0, **others})

    def rules(self) -> Iterator[tuple[object, str]]:
        """Yield whether each rule is met, and what it says."""
        yield from super().rules()
        yield self.files, 'files must name at least one sequence file'
        try:
            self.bundle()
        except ValueError as error:  # now, not after days of training
            yield False, str(error)
        yield (UNKNOWN_LABEL not in self.labels,
               f'labels: {UNKNOWN_LABEL} is what recordings call anything that is none of them')
        yield NONE not in self.labels, f'labels: {NONE} means no answer to evaluate_bag'
        yield len({*self.files}) == len(self.files), 'files must not name anything twice'
        yield set(self.relabelled.values()) <= set(self.labels), 'relabelled must give labels'
        for name in ('emphasis', 'prior', 'by_legs', 'needs_legs'):
            yield set(getattr(self, name)) <= set(self.labels), f'{name} must give labels'
        for name in ('by_legs', 'needs_legs'):
            yield (not getattr(self, name) or self.normalisation == SEEN,
                   f'{name} needs features as {SEEN}')
        yield self.background or not self.needs_legs, 'needs_legs needs a background'
        for name in ('emphasis', 'prior'):
            yield (all(0 < x < np.inf for x in getattr(self, name).values()),
                   f'{name} must be positive')
        yield self.folds >= 2, 'folds must be at least 2'
        yield 0 < self.people <= 1, 'people must lie in (0, 1]'
        yield (set(self.members) <= set(range(self.folds + len(self.strangers))),
               'members must be folds, from 0 on: of the people, then of the strangers')
        yield self.windows_per_epoch >= self.batch_size, 'an epoch must have at least one batch'
        yield self.keep == 'last' or not self.final, 'final needs keep: last'
        yield from self.shares('remember', 'short_windows', 'balance')
        yield 0 < self.old_layers <= 1, 'old_layers must lie in (0, 1]'
        yield 0 <= self.unknown_share < 1, 'unknown_share must lie in [0, 1)'

    @classmethod
    def parse(cls, values: dict[str, Any]) -> TrainConfig:
        """Make a configuration of plain values, as YAML and JSON have them."""
        _mapping(values)
        try:
            augmentation = make(Augmentation, values.get('augmentation') or {})
        except ValueError as error:
            raise ValueError(f'augmentation: {error}') from error
        return super().parse({**values, 'augmentation': augmentation})


def load_config(path: str | Path) -> TrainConfig:
    """Read a configuration; an unknown key or a bad value is a ValueError naming the file."""
    return read_yaml(path, TrainConfig.parse)


def read_run(folder: Path) -> TrainConfig:
    """Read the configuration of a training run from its folder; ValueError where it is none."""
    try:
        return TrainConfig.parse(json.loads((folder / _SETTINGS).read_text(encoding='utf-8')))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f'{folder} is not the folder of a training run ({error})') from error


def check_settings(folder: Path, config: Recipe, extent: Sequence[str] = ()) -> None:
    """
    Refuse a folder with results of other settings.

    :param extent: settings that say how much is trained, not how: they may differ.
    :raises ValueError: the folder holds results of other settings; the message names them.
    """
    path = folder / _SETTINGS
    if not path.is_file():
        return
    try:
        stored = type(config).parse(json.loads(path.read_text(encoding='utf-8')))
        stored = replace(stored, **{name: getattr(config, name) for name in extent})
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not of a run like this one ({error})') from error
    others = [name for name in asdict(config) if getattr(stored, name) != getattr(config, name)]
    if others:
        raise ValueError(f'{folder} holds results of other settings ({", ".join(others)}): '
                         f'choose another --output, or remove it')


def keep_settings(folder: Path, config: Recipe, extent: Sequence[str] = ()) -> None:
    """Write the settings, but for their extent, beside the results of a folder."""
    check_settings(folder, config, extent)
    path = folder / _SETTINGS
    if not path.is_file():
        values = {name: value for name, value in asdict(config).items() if name not in extent}
        text = json.dumps(values, indent=1, sort_keys=True) + '\n'
        write_whole(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))


def checksums(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of files, by name."""
    return {name: file_checksum(file) for name, file in files.items()}


def check_data(folder: Path, files: Mapping[str, Path]) -> None:
    """
    Refuse other files than those that the results of a folder were learned from.

    Results that do not say which are taken to be of these files.

    :raises ValueError: the folder holds results of other data; the message names the files.
    """
    path = folder / _DATA
    if not path.is_file():
        return
    try:
        stored = dict(json.loads(path.read_text(encoding='utf-8')))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged ({error}): remove it') from error
    if others := [name for name, sum_ in checksums(files).items() if stored.get(name) != sum_]:
        raise ValueError(f'{folder} holds results of other data ({", ".join(others)} changed '
                         f'since): take the former files, or train anew in another folder')


def keep_data(folder: Path, files: Mapping[str, Path]) -> None:
    """Write the checksums of the files that are learned from, where `check_data` found none."""
    path = folder / _DATA
    if not path.is_file():
        text = json.dumps(checksums(files), indent=1, sort_keys=True) + '\n'
        write_whole(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))


def read_yaml(path: str | Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """Return what ``parse`` makes of a YAML mapping; all trouble is a ValueError with the path."""
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding='utf-8'))
        node = loader.get_single_node()
        _refuse_repeated(node)
        values = node and loader.construct_document(node)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f'cannot read the configuration {path}: {error}') from error
    if not isinstance(values, dict):
        raise ValueError(f'{path} must be a YAML mapping')
    try:
        return parse(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error


def _refuse_repeated(node: yaml.Node | None) -> None:
    """Raise YAMLError for a setting given twice, of which YAML takes the last one silently."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise yaml.YAMLError(f'{", ".join(repeated)} is given more than once')
        for _, value in node.value:
            _refuse_repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated(value)


def make(kind: type[T], values: dict[str, Any]) -> T:
    """Return a dataclass of plain values; ValueError for one of a wrong name or type."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    refuse_unknown(_mapping(values), {f.name for f in fields})
    needed = {f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING}
    if missing := sorted(needed - set(values)):
        raise ValueError(f'lacks {", ".join(missing)}')
    return kind(**checked(kind, values))


def _mapping(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f'must be {_SAID[dict]}, not {values!r}')
    return values


def checked(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """
    Return values of a dataclass's fields, with tuples for lists.

    :raises ValueError: one has not the type of its field; the message names it.
    """
    types, values = get_type_hints(kind), {k: _as_tuple(v) for k, v in values.items()}
    for name, value in values.items():
        if not _fits(value, types[name]):
            # A number in quotes, or as 1e-4, which YAML takes for text, should be seen to be one.
            shown = f'the text {value!r}' if isinstance(value, str) else repr(value)
            raise ValueError(f'{name} must be {_said(types[name])}, not {shown}')
    return values


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        parts = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(parts) and all(map(_fits, value, parts))
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, parts[0]) and _fits(part, parts[1]) for key, part in value.items())
    if kind in (int, float) and isinstance(value, bool):
        return False
    return kind is Any or isinstance(value, (int, float) if kind is float else kind)


_SAID = {int: 'a whole number', float: 'a number', str: 'text', bool: 'true or false',
         dict: 'a mapping', type(None): 'null'}


def _said(kind: Any) -> str:
    """Return what a type is called in a configuration, such as ``a list: each a number``."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return ' or '.join(map(_said, parts))
    if origin is tuple and parts[-1] is Ellipsis:
        return f'a list: each {_said(parts[0])}'
    if origin is tuple:
        return f'a list: {", ".join(map(_said, parts))}'
    if origin is dict and parts[1] is not Any:
        return f'a mapping: each {_said(parts[1])}'
    return _SAID.get(origin or kind, str(kind))


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def refuse_unknown(values: dict[str, Any], known: set[str]) -> None:
    """Raise ValueError for a setting that is not ``known``."""
    if extra := sorted(set(map(str, values)) - known):
        raise ValueError(f'unknown settings {", ".join(extra)}; known: {", ".join(sorted(known))}')
