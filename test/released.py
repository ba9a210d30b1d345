"""A tiny MPOSE2021: arrays and lists of exactly the released format, people that really differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from act_ros.core.skeletons import get_layout
from training.datasets.labels import MPOSE_LABELS
from training.paper.mpose import LAYOUTS

ACTORS = {'train': ('kth_person01', 'ixmas_alba1', 'isld_zaid'),
          'test': ('kth_person02', 'ixmas_alba2')}


def poses(rng: np.random.Generator, labels: np.ndarray, layout: str) -> np.ndarray:
    """Return (n, 30, K, 3): each class lifts and swings other joints; some are not detected."""
    joints = get_layout(layout).joints
    figure = np.random.default_rng(7).uniform(-60, 60, (len(joints), 2))
    for side, x in (('l_', 30), ('r_', -30)):
        figure[joints.index(f'{side}shoulder')] = x, 0
        figure[joints.index(f'{side}hip')] = x, 80
    if 'neck' in joints:
        figure[joints.index('neck')], figure[joints.index('mid_hip')] = (0, 0), (0, 80)
    habits = np.random.default_rng(8).normal(0, 15, (len(MPOSE_LABELS), len(joints), 2))
    moving = ['shoulder' not in j and 'hip' not in j and j != 'neck' for j in joints]
    habits *= np.array(moving)[:, None]
    swing = 1 + 0.5 * np.sin(np.arange(30) / 3)
    out = np.empty((len(labels), 30, len(joints), 3))
    out[..., :2] = (figure + habits[labels][:, None] * swing[:, None, None]
                    + rng.normal(0, 2, (len(labels), 30, len(joints), 2)) + 200)
    out[..., 2] = rng.uniform(0.3, 1, out.shape[:-1])
    out[:, :3, joints.index('l_ear')] = 0
    return out


def write_split(
    folder: Path, extractor: str = 'openpose', split: int = 1, train: int = 10, test: int = 3,
) -> Path:
    """Write ``<extractor>/<split>/`` below ``folder`` with so many samples a class; return it."""
    rng = np.random.default_rng(split)
    place = folder / extractor / str(split)
    place.mkdir(parents=True)
    lines = []
    for side, count in (('test', test), ('train', train)):
        labels = rng.permutation(np.repeat(np.arange(len(MPOSE_LABELS)), count))
        np.save(place / f'X_{side}.npy', poses(rng, labels, LAYOUTS[extractor]))
        np.save(place / f'y_{side}.npy', labels)
        lines += [f'{ACTORS[side][i % len(ACTORS[side])]}_{MPOSE_LABELS[label]}_{i}-0-29\t{side}\n'
                  for i, label in enumerate(labels)]
    (place / f'{split}.txt').write_text(''.join(lines))
    return place
