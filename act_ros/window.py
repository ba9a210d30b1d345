"""
A person's poses in time: ring buffer, gap policy, resampling to the model's rate.

A model sees T frames at the bundle's rate; a robot's pose stream is 5 to 60 fps with jitter.
Windows are therefore cut by stamp, never by frame count. Stamps are integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np

NANOSECONDS = 1_000_000_000

# Frames closer together than this share of the model's period add nothing and are merged, which
# bounds the buffer whatever the input rate.
_MERGE = 0.25


class PoseWindow:
    """
    The recent poses of one person: long enough for one window, contiguous in time.

    ``append`` starts afresh after a gap longer than ``max_gap`` seconds. Keypoints stay in source
    pixels and in the source layout; not one allocation per frame.
    """

    def __init__(
        self, num_frames: int, frame_rate: float, num_joints: int, max_gap: float,
    ) -> None:
        self._duration = round((num_frames - 1) / frame_rate * NANOSECONDS)
        self._max_gap = round(max_gap * NANOSECONDS)
        self._spacing = round(_MERGE / frame_rate * NANOSECONDS)
        # A window at the merge rate, one frame before it, and the gap that may precede it.
        self._capacity = int(num_frames / _MERGE) + 8
        # Twice the capacity: frames are appended, and moved to the front once the end is reached,
        # so that the window is always one contiguous view.
        self._stamps = np.zeros(2 * self._capacity, np.int64)
        self._keypoints = np.zeros((2 * self._capacity, num_joints, 3), np.float32)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def stamps(self) -> np.ndarray:
        """Stamps (M,) int64, nanoseconds, ascending."""
        return self._stamps[self._begin:self._end]

    @property
    def ages(self) -> np.ndarray:
        """Seconds (M,) from the newest pose to each: zero or less."""
        return (self.stamps - self._stamps[self._end - 1]) / NANOSECONDS

    @property
    def keypoints(self) -> np.ndarray:
        """Keypoints (M, K, 3): x px, y px, score."""
        return self._keypoints[self._begin:self._end]

    @property
    def span(self) -> int:
        """Nanoseconds from the first to the last pose, at most a window."""
        if len(self) == 0:
            return 0
        return min(int(self._stamps[self._end - 1] - self._stamps[self._begin]), self._duration)

    def clear(self) -> None:
        """Forget everything."""
        self._begin = self._end = 0

    def append(self, stamp: int, keypoints: np.ndarray) -> bool:
        """
        Add a pose (K, 3) seen at ``stamp``; tell whether it continues the window.

        Returns False where the pose starts a new window: the first one, one after a gap, or one
        that lies before the last (a bag that loops, a simulation reset).
        """
        continues = len(self) > 0 and bool(
            0 < stamp - self._stamps[self._end - 1] <= self._max_gap)
        if not continues:
            self.clear()
        if len(self) > 1 and stamp - self._stamps[self._end - 2] < self._spacing:
            self._end -= 1
        if self._end == 2 * self._capacity:
            self._move_to_front()
        self._stamps[self._end] = stamp
        self._keypoints[self._end] = keypoints
        self._end += 1
        # Keep one pose at or before the window's start to interpolate from.
        stale = np.searchsorted(self.stamps, stamp - self._duration, side='right') - 1
        self._begin += max(int(stale), 0)
        return continues

    def _move_to_front(self) -> None:
        count = len(self)
        for buffer in (self._stamps, self._keypoints):
            buffer[:count] = buffer[self._begin:self._end]
        self._begin, self._end = 0, count


def sample_windows(
    windows: Sequence[PoseWindow], num_frames: int, frame_rate: float, min_score: float,
) -> np.ndarray:
    """
    Return the last ``num_frames`` poses of each window at ``frame_rate``: (N, T, K, 3) float32.

    Each window ends at its own newest stamp. Where a window is a little shorter than asked, its
    first pose is held.
    """
    offsets = np.array([0, *accumulate(map(len, windows))])
    # Relative to each window's end: nanoseconds since the epoch are too many for a float.
    times = np.concatenate([window.ages for window in windows])
    keypoints = np.concatenate([window.keypoints for window in windows])
    return resample(times, keypoints, offsets, _ages(num_frames, frame_rate), min_score)


@cache
def _ages(num_frames: int, frame_rate: float) -> np.ndarray:
    """Return the times (1, T) of a window's frames before its end, in seconds."""
    return np.arange(1 - num_frames, 1)[None] / frame_rate


def resample(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, queries: np.ndarray,
    min_score: float,
) -> np.ndarray:
    """
    Interpolate pose sequences at given times, each joint over the frames where it was seen.

    Live windows and training clips go through here. A joint below ``min_score`` in a frame is
    interpolated between the nearest frames in which it was seen, and held at the ends; a joint
    never seen in its sequence keeps the detector's own guess.

    :param times: (S,) seconds, ascending within each sequence.
    :param keypoints: (S, K, C) of N sequences, one after another; the last channel is the score.
    :param offsets: (N + 1,) sequence i is ``keypoints[offsets[i]:offsets[i + 1]]``, never empty.
    :param queries: (N, T) seconds, or (1, T) for the same times in every sequence.
    :returns: (N, T, K, C) float32, finite where the input is.
    """
    begin, end = offsets[:-1], offsets[1:]
    keypoints = _fill_unseen(times, keypoints, offsets, min_score)

    # One search over all sequences: lay them end to end on a single ascending time axis.
    first, last = times[begin], times[end - 1]
    shift = np.zeros(len(begin))
    np.cumsum((last - first + 1.0)[:-1], out=shift[1:])
    shift -= first
    queries = np.minimum(np.maximum(queries, first[:, None]), last[:, None])
    axis = times + np.repeat(shift, end - begin)
    frame = axis.searchsorted(queries + shift[:, None], side='right') - 1
    following = np.minimum(frame + 1, end[:, None] - 1)

    start_time = times[frame]
    span = times[following] - start_time
    span[span == 0] = 1.0
    weight = ((queries - start_time) / span).astype(np.float32)[..., None, None]
    start, result = keypoints[frame], keypoints[following]
    result -= start
    result *= weight
    result += start
    return result


def _fill_unseen(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, min_score: float,
) -> np.ndarray:
    """Return the keypoints (S, K, C) with joints that were not seen interpolated in time."""
    seen = keypoints[..., -1] >= min_score
    row, joint = np.nonzero(~seen)
    if len(row) == 0:
        return keypoints
    # The nearest frames before and after, within the sequence, in which the joint was seen.
    index = np.arange(len(times))[:, None]
    lo = np.maximum.accumulate(np.where(seen, index, -1), axis=0)[row, joint]
    hi = np.minimum.accumulate(
        np.where(seen, index, len(times))[::-1], axis=0)[::-1][row, joint]
    sequence = np.searchsorted(offsets, row, side='right')
    has_lo, has_hi = lo >= offsets[sequence - 1], hi < offsets[sequence]
    lo = np.where(has_lo, lo, np.where(has_hi, hi, row))
    hi = np.where(has_hi, hi, lo)

    span = times[hi] - times[lo]
    span[span == 0] = 1.0
    weight = ((times[row] - times[lo]) / span).astype(np.float32)[:, None]
    start = keypoints[lo, joint]
    filled = keypoints.copy()
    filled[row, joint] = start + weight * (keypoints[hi, joint] - start)
    return filled
