"""The sequences of a training run, dealt into folds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

import numpy as np

from act_ros.core.options import nearest
from act_ros.core.text import printable
from training.config import TrainConfig, check_data
from training.datasets.skeletons import (
    UNKNOWN,
    DataError,
    Sequences,
    assign_folds,
    classes_in,
    load_sequences,
)
from training.errors import ErrorBank
from training.postures import add_postures

NEVER_HELD_BACK = -2
"""Fold of those whom every network learns from."""


def load_data(
    config: TrainConfig, folder: Path, run: Path | None = None,
) -> tuple[Sequences, np.ndarray]:
    """
    Read the files of a configuration: the sequences used, and each one's fold of people (N,).

    :param run: a run that learned from them: of other files it knows other people.
    :raises ValueError: they cannot be used, or have changed since that run.
    """
    files = [folder / file for file in config.files]
    sequences = load_sequences(files, config.labels, config.mpose_order)
    if run:
        check_data(run, dict(zip(config.files, files, strict=True)))
    _relabel(sequences, config)
    others = sequences.label == UNKNOWN
    if missing := {*config.ignored_actions} - {*sequences.source_label[others]}:
        raise DataError(f'ignored_actions: no clip of another action is called '
                        f'{", ".join(sorted(missing))}')
    ignored = others & np.isin(sequences.source_label, config.ignored_actions)
    sequences = add_postures(sequences.select(~ignored), config.labels, config.seed)
    _check_labels(sequences, config.labels, classes_in(files))
    for setting, named in (('strangers', chain(*config.strangers)),
                           ('training_only', config.training_only)):
        if missing := set(named) - set(sequences.source):
            raise DataError(f'{setting}: no source is called {", ".join(sorted(missing))}')
    is_dealt = ~np.isin(sequences.source, config.training_only)
    folds = np.full(len(sequences), NEVER_HELD_BACK)
    folds[is_dealt] = assign_folds(sequences.select(is_dealt), config.folds, config.seed)
    return sequences, folds


def is_held_back(
    config: TrainConfig, sequences: Sequences, folds: np.ndarray, fold: int,
) -> np.ndarray:
    """Tell which sequences (N,) the network of a fold, of people or of strangers, never sees."""
    if fold < config.folds:
        return folds == fold
    return np.isin(sequences.source, config.strangers[fold - config.folds])


def part_of_people(sequences: Sequences, part: float, seed: int) -> Sequences:
    """Return the sequences of a part of each source's people (or films), of one at least."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(sequences.label), bool)
    for source in np.unique(sequences.source):
        theirs = sequences.source == source
        people = rng.permutation(np.unique(sequences.group[theirs]))
        count = max(round(part * len(people)), 1)
        chosen |= theirs & np.isin(sequences.group, people[:count])
    return sequences.select(chosen)


def load_errors(config: TrainConfig, folder: Path) -> ErrorBank | None:
    """Read the errors of a pose network that a configuration names, if it names any."""
    return (ErrorBank.load(folder / config.errors).smoothed(config.pose_smoothing)
            if config.errors else None)


def _check_labels(sequences: Sequences, labels: Sequence[str], classes: set[str]) -> None:
    """
    Warn of labels without a clip, and of classes of the files that look like a label but are none.

    A label may be without, on purpose. Where both come together it is a slip, and a DataError: what
    was recorded for the label would be learned as another action.
    """
    absent = [label for i, label in enumerate(labels) if i not in sequences.label]
    for name in sorted(classes - {*labels}):
        near = nearest(name, labels)
        if near in absent:
            raise DataError(f'labels: the files have no clip of {near}, but of {name}; did you '
                            f'mean {name}?')
        if near:
            _warn(f'the class {name} of the files is none of the labels and learned as another '
                  f'action; did you mean {near}?')
    if len(absent) == len(labels):
        raise DataError(f'labels: the files have no clip of any of {", ".join(labels)}')
    if absent:
        _warn(f'the files have no clip of {", ".join(absent)}')


def _warn(text: str) -> None:
    print(f'warning: {printable(text, 1000)}', file=sys.stderr)


def _relabel(sequences: Sequences, config: TrainConfig) -> None:
    """Give sequences the labels that ``config.relabelled`` has for them, in place."""
    for pattern, label in config.relabelled.items():
        chosen = [i for i, (source, *names) in enumerate(zip(
            sequences.source, sequences.take, sequences.source_label, strict=True))
            if any(fnmatchcase(f'{source}/{name}', pattern) for name in names)]
        if not chosen:
            raise DataError(f'relabelled: no clip is called {pattern!r}; a pattern is the name of '
                            f"a file without .npz, a slash, and a take or the source's own label")
        sequences.label[chosen] = config.labels.index(label)
