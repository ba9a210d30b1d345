"""What somebody wears: colours of the torso, enough to tell two people who meet apart."""

from __future__ import annotations

import cv2
import numpy as np

from act_ros.core.person import Person
from act_ros.core.skeletons import TORSO

_SEEN = 0.3
# Points across and down the torso, clear of its edges.
_ACROSS, _DOWN = np.meshgrid(np.linspace(0.15, 0.85, 12), np.linspace(0.05, 0.85, 16))
# Bins of lightness and of both colour axes of CIELAB; colours of clothes lie in its middle.
_BINS = (8, 16, 16)
_RANGE = 140.0


def look(image_bgr: np.ndarray, person: Person) -> np.ndarray | None:
    """
    Return the colours of the torso as square roots of shares, or None where it is not seen.

    :param image_bgr: uint8 (H, W, 3).
    :returns: (40,); the dot product of two is their Hellinger likeness times three.
    """
    corners = person.keypoints[list(TORSO)]
    if corners[:, 2].min() < _SEEN:
        return None
    top = corners[0, :2] + _ACROSS[..., None] * (corners[1, :2] - corners[0, :2])
    bottom = corners[2, :2] + _ACROSS[..., None] * (corners[3, :2] - corners[2, :2])
    points = np.rint(top + _DOWN[..., None] * (bottom - top)).astype(int).reshape(-1, 2)
    height, width = image_bgr.shape[:2]
    inside = ((points >= 0) & (points < (width, height))).all(axis=1)
    if inside.mean() < 0.5:
        return None
    colours = image_bgr[points[inside, 1], points[inside, 0]]
    lab = cv2.cvtColor(colours[None], cv2.COLOR_BGR2LAB)[0].astype(np.float32)
    shares = [_shares(lab[:, 0] / 255, _BINS[0])]
    for axis in (1, 2):
        shares.append(_shares(np.clip((lab[:, axis] - 128) / _RANGE + 0.5, 0, 1), _BINS[axis]))
    return np.sqrt(np.concatenate(shares))


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Return how alike two looks at clothes (40,) are, in [0, 1] (Hellinger)."""
    return float(a @ b) / 3


def _shares(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the shares (bins,) of values in [0, 1], each spread over its two nearest bins."""
    place = values * (bins - 1)
    low = np.minimum(place.astype(int), bins - 2)
    part = place - low
    return (np.bincount(low, 1 - part, bins) + np.bincount(low + 1, part, bins)) / len(values)
