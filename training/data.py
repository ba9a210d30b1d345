"""The sequences of a training run, dealt into folds."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

import numpy as np

from training.config import TrainConfig
from training.datasets.skeletons import (
    UNKNOWN,
    DataError,
    Sequences,
    assign_folds,
    load_sequences,
)
from training.errors import ErrorBank
from training.postures import add_postures

NEVER_HELD_BACK = -2
"""Fold of those whom every network learns from."""


def load_data(config: TrainConfig, folder: Path) -> tuple[Sequences, np.ndarray]:
    """Read the files of a configuration: the sequences used, and each one's fold of people (N,)."""
    sequences = load_sequences([folder / file for file in config.files], config.labels,
                               config.mpose_order)
    _relabel(sequences, config)
    ignored = (sequences.label == UNKNOWN) & np.isin(
        sequences.source_label, config.ignored_actions)
    sequences = add_postures(sequences.select(~ignored), config.labels, config.seed)
    folds = assign_folds(sequences, config.folds, config.seed)
    if missing := set(chain(*config.strangers)) - set(sequences.source):
        raise DataError(f'strangers: no source is called {", ".join(sorted(missing))}')
    folds[np.isin(sequences.source, config.training_only)] = NEVER_HELD_BACK
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
