"""The settings of a training run, read from a YAML file and checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from act_ros.actions.features import MPOSE, NORMALISATIONS
from training.augmentation import Augmentation
from training.datasets.labels import MPOSE_LABELS

T = TypeVar('T')

@dataclass(frozen=True)
class TrainConfig:
    """
    A training run. The defaults follow Table II of the paper where it has them.

    ``files`` are names in the data folder. The people are dealt into ``folds``; the run trains one
    model for each entry of ``members``, which never sees the people of the fold it names. Members
    that hold back the same fold differ by their seed and are measured together.
    """

    name: str
    files: tuple[str, ...]
    labels: tuple[str, ...] = MPOSE_LABELS
    model: str = 'act_mu'
    num_frames: int = 30
    min_frames: int = 15
    frame_rate: float = 15.0
    normalisation: str = MPOSE
    """What the features are: one of `act_ros.actions.features.NORMALISATIONS`."""
    seed: int = 0
    folds: int = 4
    members: tuple[int, ...] = (0, 1, 2, 3)
    final: bool = False
    """Train one more, of everybody: the one that ships, which nobody is left to measure on."""
    taught: float = 0.0
    """How much the final one learns from the members' answers rather than from the labels (Hinton
    et al., "Distilling the knowledge in a neural network", arXiv 1503.02531). Then each fold gets
    one more network, made in the same way: taught by those that hold back the same fold."""
    epochs: int = 120
    windows_per_epoch: int = 6144
    batch_size: int = 512
    dropout: float | None = None
    weight_decay: float = 1e-4
    sharpness: float = 0.0
    """Sharpness-aware minimisation: how far off the weights the gradient is taken; 0 = not."""
    label_smoothing: float = 0.1
    schedule: str = 'transformer'
    """Learning rate: 'transformer' as in the paper, or 'cosine' from ``peak_rate`` to 0."""
    peak_rate: float = 2e-3
    warmup: float = 0.4
    drop_at: float = 0.8
    final_rate: float = 1e-4
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
    validate_every: int = 10
    keep: str = 'last'
    """Which weights to ship: 'last', or 'best' on the validation people."""
    start_from: str = ''
    """Fine-tune: folder of a run, or a ``.weights.h5`` file with its bundle beside it."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def held_back_folds(self) -> tuple[int, ...]:
        """The fold that each network never sees, in the order they are trained; -1: none."""
        pupils = tuple(sorted(set(self.members))) if self.taught else ()
        return (*self.members, *pupils, *[-1] * self.final)

    def teachers(self, number: int) -> list[int]:
        """Return the members that teach the ``number``-th network; none teaches a member."""
        if not self.taught or number < len(self.members):
            return []
        fold = self.held_back_folds[number]
        return [i for i, other in enumerate(self.members) if fold in (other, -1)]

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: the labels, and the background where it is learned."""
        return len(self.labels) + self.background

    def __post_init__(self) -> None:
        problems = [text for ok, text in (
            (bool(self.files), 'files must name at least one sequence file'),
            (self.keep in ('last', 'best'), "keep must be 'last' or 'best'"),
            (self.schedule in ('transformer', 'cosine'),
             "schedule must be 'transformer' or 'cosine'"),
            (self.normalisation in NORMALISATIONS,
             f'normalisation must be one of {", ".join(NORMALISATIONS)}'),
            (set(self.relabelled.values()) <= set(self.labels), 'relabelled must give labels'),
            (self.folds >= 2, 'folds must be at least 2'),
            (all(0 <= m < self.folds for m in self.members) and self.members,
             'members must be folds, from 0 to folds - 1'),
            (self.epochs >= 1 and self.windows_per_epoch >= self.batch_size >= 1,
             'an epoch must have at least one batch'),
            (self.keep == 'last' or not self.final, 'final needs keep: last'),
            (0 <= self.taught <= 1, 'taught must lie in [0, 1]'),
            (self.final or not self.taught, 'taught needs final: it is the one that is taught'),
            (0 <= self.unknown_share < 1, 'unknown_share must lie in [0, 1)'),
            (self.sharpness >= 0, 'sharpness must be at least 0'),
            (2 <= self.min_frames <= self.num_frames,
             '2 <= min_frames <= num_frames must hold'),
        ) if not ok]
        if problems:
            raise ValueError('; '.join(problems))


def load_config(path: str | Path) -> TrainConfig:
    """Read a configuration; an unknown key or a bad value is a ValueError naming the file."""
    return read_yaml(path, parse_config)


def parse_config(values: dict[str, Any]) -> TrainConfig:
    """Make a configuration of plain values, as YAML and JSON have them."""
    values = dict(values)
    values['augmentation'] = make(Augmentation, values.pop('augmentation', {}) or {})
    return make(TrainConfig, values)


def read_run(folder: Path) -> TrainConfig:
    """Read the configuration of a training run from its folder; ValueError where it is none."""
    try:
        return parse_config(json.loads((folder / 'config.json').read_text(encoding='utf-8')))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f'{folder} is not the folder of a training run ({error})') from error


def read_yaml(path: str | Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """Return what ``parse`` makes of a YAML mapping; all trouble is a ValueError with the path."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'cannot read the configuration {path}: {error}') from error
    if not isinstance(values, dict):
        raise ValueError(f'{path} must be a YAML mapping')
    try:
        return parse(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error


def make(kind: Callable[..., T], values: dict[str, Any]) -> T:
    """Return a dataclass of plain values; ValueError for a setting that it does not have."""
    refuse_unknown(values, {f.name for f in dataclasses.fields(cast(Any, kind))})
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def refuse_unknown(values: dict[str, Any], known: set[str]) -> None:
    """Raise ValueError for a setting that is not ``known``."""
    if extra := sorted(set(map(str, values)) - known):
        raise ValueError(f'unknown settings {", ".join(extra)}; known: {", ".join(sorted(known))}')
