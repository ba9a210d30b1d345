"""The sequences of a training run, dealt into folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.config import TrainConfig
from training.datasets.skeletons import UNKNOWN, Sequences, assign_folds, load_sequences


def load_data(config: TrainConfig, folder: Path) -> tuple[Sequences, np.ndarray]:
    """Read the files of a configuration: the sequences used, and the fold (N,) of each."""
    sequences = load_sequences([folder / file for file in config.files], len(config.labels),
                               config.labels)
    ignored = (sequences.label == UNKNOWN) & np.isin(
        sequences.source_label, config.ignored_actions)
    sequences = sequences.select(~ignored)
    return sequences, assign_folds(sequences, config.folds, config.seed)
