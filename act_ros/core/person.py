"""One person in one image: what a pose estimator finds and a tracker names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEEN_SCORE = 0.2
"""Score from which on a keypoint counts as seen, unless somebody sets another limit."""
OUT_OF_SIGHT = 0.6
"""Seconds for which somebody who is not seen is still there, unless somebody sets another limit."""
# Coordinates beyond any image are as good as NaN.
_MAX_PIXEL = 1e6


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


def repaired(keypoints: np.ndarray, min_score: float = SEEN_SCORE) -> tuple[np.ndarray, np.ndarray]:
    """
    Return poses whose joints are all numbers, and how many joints of each pose are seen.

    A joint that is no number, or lies far beyond any image, is not seen: it is put amid the others
    of its pose. What is learned from and what is answered goes through here.

    :param keypoints: (N, K, 3) x, y, score.
    :param min_score: score from which on a joint counts as seen.
    :returns: keypoints (N, K, 3) and numbers (N,). A pose of which nothing is seen is of no use,
        and may still hold what is no number.
    """
    seen = keypoints[..., 2] >= min_score
    values = keypoints.ravel()
    with np.errstate(over='ignore'):
        is_sane = values.dot(values) < _MAX_PIXEL ** 2  # the quickest look; False for NaN
    if not is_sane:
        sane = (np.abs(keypoints) < _MAX_PIXEL).all(axis=-1)
        seen &= sane
        keypoints = keypoints.copy()
        for pose, is_right in zip(keypoints, sane, strict=True):
            if is_right.any():
                pose[~is_right] = (*pose[is_right, :2].mean(axis=0), 0.0)
    return keypoints, seen.sum(axis=-1)
