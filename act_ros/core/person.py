"""One person in one image: what a pose estimator finds and a tracker names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEEN_SCORE = 0.2
"""Score from which on a keypoint counts as seen, unless somebody sets another limit."""
OUT_OF_SIGHT = 0.6
"""Seconds for which somebody who is not seen is still there, unless somebody sets another limit."""


@dataclass(frozen=True, eq=False)
class Person:
    """
    A person's pose in pixels of the source image.

    ``keypoints`` (K, 3) float32: x, y, score in [0, 1]. ``box`` (4,) float32: x_min, y_min,
    x_max, y_max. ``score`` in [0, 1]. ``id`` is empty until a tracker gives one.
    """

    keypoints: np.ndarray
    score: float
    box: np.ndarray
    id: str = ''
