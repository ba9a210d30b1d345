"""Bodies of which a picture shows but a part."""

from __future__ import annotations

import numpy as np

from training.datasets.skeletons import JOINTS, joints_of

_FEET, _LOWER_LEGS, _LEGS = (
    joints_of('ankle'), joints_of('knee', 'ankle'), joints_of('hip', 'knee', 'ankle'))
_ARMS = [joints_of('elbow', 'wrist')[side::2] for side in (0, 1)]
_LEFT = [_LOWER_LEGS[::2], _ARMS[0]]


def hide(rng: np.random.Generator, keypoints: np.ndarray, share: float) -> None:
    """
    Hide part of the body in a share of the windows (N, T, 13, 3): set scores to 0, in place.

    The picture ends above the feet, the knees, the hips or the chest, or at a side, or begins below
    the head (the edge stands still in the picture, or moves in or out); furniture hides a band or
    the legs; an arm or both are behind the body, the left shin or arm behind the rest. Most of it
    lasts the whole window, some of it a part. In a fifth of those windows nothing is hidden, such
    as where an edge misses the body.
    """
    count, frames = keypoints.shape[:2]
    chosen = np.flatnonzero(rng.random(count) < share)
    if not len(chosen):
        return
    part = keypoints[chosen]
    number = len(chosen)
    low, high = part[..., :2].min(axis=(1, 2)), part[..., :2].max(axis=(1, 2))  # (n, 2)
    kind = rng.choice(7, number, p=(0.43, 0.11, 0.08, 0.13, 0.11, 0.08, 0.06))
    each = (number, 1, 1)
    moving = np.where(rng.random(each) < 0.3, rng.normal(0, 0.5, each), 0.0)
    time = np.linspace(-0.5, 0.5, frames)[None, :, None]
    extent = np.maximum(high - low, 1e-3)

    def line(axis: int, shares: np.ndarray) -> np.ndarray:
        """Return an edge (n, T, 1) across the body, at some share of its extent."""
        return (low[:, axis, None, None]
                + extent[:, axis, None, None] * (shares.reshape(each) + moving * time))

    x, y = part[..., 0], part[..., 1]
    hidden = np.zeros(part.shape[:3], bool)
    lower = line(1, rng.uniform(0.22, 0.97, number))
    hidden |= (kind == 0)[:, None, None] & (y > lower)
    hidden |= (kind == 6)[:, None, None] & (y < line(1, rng.uniform(0.05, 0.6, number)))
    side = line(0, rng.uniform(0.25, 0.9, number))
    mirrored = rng.random(each) < 0.5
    hidden |= (kind == 1)[:, None, None] & ((x > side) ^ mirrored)
    band = line(1, rng.uniform(0.1, 0.7, number))
    hidden |= (kind == 2)[:, None, None] & (y > band) & (
        y < band + extent[:, 1, None, None] * rng.uniform(0.15, 0.5, each))
    for k, groups in ((3, _ARMS), (4, [_LOWER_LEGS, _FEET, _LEGS]), (5, _LEFT)):
        for i, joints in enumerate(groups):
            mine = (kind == k) & ((rng.random(number) < 0.6) if k == 3
                                  else rng.integers(len(groups), size=number) == i)
            is_in = np.isin(np.arange(len(JOINTS)), joints)
            hidden[np.ix_(mine, np.ones(frames, bool), is_in)] = True
    begin = np.where(rng.random(each) < 0.75, -1.0, rng.uniform(0, 0.8, each))
    end = np.where(rng.random(each) < 0.8, 2.0, begin + rng.uniform(0.2, 0.8, each))
    place = time + 0.5
    hidden &= (place >= begin) & (place <= end)
    scores = part[..., 2]
    scores[hidden] = 0.0
    keypoints[chosen, ..., 2] = scores
