"""
How a pose network errs: its answers beside the joints that a person marked.

Errors of a real network are no independent noise: they stay for a while, joints err together, and
the score knows something of it. So whole stretches of them are kept and put on other people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from act_ros.actions.features import resample
from training.checkpoint import UNREADABLE


class ErrorBank:
    """
    Stretches of a pose network's errors.

    :param offsets: (n + 1,) stretch i is ``errors[offsets[i]:offsets[i + 1]]``.
    :param errors: (frames, 13, 2) of torso lengths: the network's answer less the mark.
    :param scores: (frames, 13) the network's scores.
    :param fps: (n,) frames a second.
    """

    def __init__(
        self, offsets: np.ndarray, errors: np.ndarray, scores: np.ndarray, fps: np.ndarray,
    ) -> None:
        self.offsets, self.errors, self.scores, self.fps = offsets, errors, scores, fps

    @classmethod
    def load(cls, path: Path) -> ErrorBank:
        """Read a bank as `training.videos` writes it; ValueError where it is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(file['offsets'], file['errors'], file['scores'], file['fps'])
        except (KeyError, *UNREADABLE) as error:
            raise ValueError(f'{path} is no bank of errors ({error})') from error

    def smoothed(self, pose_smoothing: float) -> ErrorBank:
        """Return the errors of poses smoothed in time, as `resample` smooths them."""
        both = np.concatenate((self.errors, self.scores[..., None]), axis=-1).astype(np.float32)
        for a, b, fps in zip(self.offsets, self.offsets[1:], self.fps, strict=False):
            times = np.arange(b - a) / fps
            both[a:b] = resample(times, both[a:b], np.array([0, b - a]), times[None], -np.inf,
                                 pose_smoothing)[0]
        return ErrorBank(self.offsets, both[..., :2], both[..., 2], self.fps)

    def add(
        self, rng: np.random.Generator, keypoints: np.ndarray, chosen: np.ndarray,
        size: np.ndarray, rate: float,
    ) -> None:
        """
        Put errors and scores on some of the windows (N, T, 13, 3), in place.

        :param chosen: (N,) bool.
        :param size: (N, 1, 1, 1) pixels of a torso length.
        :param rate: frames a second of the windows.
        """
        index = np.flatnonzero(chosen)
        if not len(index):
            return
        stretch = rng.integers(len(self.fps), size=len(index))
        length = np.diff(self.offsets)[stretch]
        # To and fro: most stretches are shorter than a window.
        at = (rng.random((len(index), 1)) * length[:, None]
              + np.arange(keypoints.shape[1]) * (self.fps[stretch] / rate)[:, None])
        last = np.maximum(length - 1, 1)[:, None]
        at = np.abs((at + last) % (2 * last) - last)
        frames = self.offsets[stretch][:, None] + np.minimum(np.rint(at).astype(np.int64),
                                                             (length - 1)[:, None])
        strength = rng.uniform(0.3, 1.0, (len(index), 1, 1, 1)).astype(np.float32)
        seen = keypoints[index]
        seen[..., :2] += self.errors[frames] * (strength * size[index])
        seen[..., 2] = np.minimum(self.scores[frames], np.where(seen[..., 2] > 0, 1.0, 0.0))
        keypoints[index] = seen
