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

from act_ros.core.stamps import NANOSECONDS

# Frames closer together than this share of the model's period add nothing and are merged, which
# bounds the buffer whatever the input rate.
_MERGE = 0.25
# Seconds for which a joint's place is known from when it was seen: further off it is not seen.
_BRIDGE = 0.3


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
    def keypoints(self) -> np.ndarray:
        """Keypoints (M, K, 3): x px, y px, score."""
        return self._keypoints[self._begin:self._end]

    @property
    def newest(self) -> int:
        """Stamp of the last pose, nanoseconds; 0 where there is none."""
        return int(self._stamps[self._end - 1]) if self._end > self._begin else 0

    @property
    def span(self) -> int:
        """Nanoseconds from the first to the last pose, at most a window."""
        if self._end == self._begin:
            return 0
        return min(self.newest - int(self._stamps[self._begin]), self._duration)

    def clear(self) -> None:
        """Forget everything."""
        self._begin = self._end = 0

    def append(self, stamp: int, keypoints: np.ndarray) -> bool:
        """
        Add a pose (K, 3) seen at ``stamp``; tell whether it continues the window.

        Returns False where the pose starts a new window: the first one, one after a gap, or one
        that lies before the last (a bag that loops, a simulation reset).
        """
        continues = self._end > self._begin and 0 < stamp - self.newest <= self._max_gap
        if not continues:
            self.clear()
        elif self._end - self._begin > 1 and stamp - self._stamps[self._end - 2] < self._spacing:
            self._end -= 1
        if self._end == 2 * self._capacity:
            self._move_to_front()
        self._stamps[self._end] = stamp
        self._keypoints[self._end] = keypoints
        self._end += 1
        # Keep one pose at or before the window's start to interpolate from.
        while self._begin + 1 < self._end and (
                self._stamps[self._begin + 1] <= stamp - self._duration):
            self._begin += 1
        return continues

    def refilled(self, num_frames: int, frame_rate: float, max_gap: float) -> PoseWindow:
        """Return a window of another length, rate or gap with the poses of this one."""
        window = PoseWindow(num_frames, frame_rate, self._keypoints.shape[1], max_gap)
        for stamp, keypoints in zip(self.stamps.tolist(), self.keypoints, strict=True):
            window.append(stamp, keypoints)
        return window

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
    lengths = [len(window) for window in windows]
    offsets = np.array([0, *accumulate(lengths)])
    stamps = np.concatenate([window.stamps for window in windows])
    # Relative to each window's end: nanoseconds since the epoch are too many for a float.
    times = (stamps - stamps[offsets[1:] - 1].repeat(lengths)) / NANOSECONDS
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
    never seen in its sequence keeps the detector's own guess. Where no frame in which it was seen
    is within 0.3 s, its score is 0: there it was not seen.

    :param times: (S,) seconds, ascending within each sequence.
    :param keypoints: (S, K, C) of N sequences, one after another; the last channel is the score.
    :param offsets: (N + 1,) sequence i is ``keypoints[offsets[i]:offsets[i + 1]]``, never empty.
    :param queries: (N, T) seconds, or (1, T) for the same times in every sequence.
    :returns: (N, T, K, C) float32, finite where the input is.
    """
    keypoints = _bridge_unseen(times, keypoints, offsets, min_score)
    begin, last = offsets[:-1, None], offsets[1:, None] - 1
    queries = np.minimum(np.maximum(queries, times[begin]), times[last])  # (N, T)
    frame = _last_at_or_before(times, offsets, queries)
    following = np.minimum(frame + 1, last)

    start_time = times.take(frame)
    # Where a pose is held, start and end are the same and any weight will do.
    span = np.maximum(times.take(following) - start_time, 1e-9)
    weight = ((queries - start_time) / span).astype(np.float32)[..., None]
    poses = keypoints.reshape(len(keypoints), -1)
    start, result = poses.take(frame, axis=0), poses.take(following, axis=0)
    result -= start
    result *= weight
    result += start
    return result.reshape(*frame.shape, *keypoints.shape[1:])


def _bridge_unseen(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, min_score: float,
) -> np.ndarray:
    """Return the keypoints (S, K, C) with joints that were not seen interpolated in time."""
    samples, joints, channels = keypoints.shape
    # All (joint, frame) pairs in one row, joint by joint: of the places that were seen the first
    # ``count`` lie before a place, so the nearest on either side are next to each other.
    seen = (keypoints[..., -1].T >= min_score).ravel()
    missing = (~seen).nonzero()[0]
    if len(missing) == 0:
        return keypoints
    known = np.concatenate(([-1], seen.nonzero()[0], [seen.size]))
    count = seen.cumsum().take(missing)
    before, after = known.take(count), known[1:].take(count)
    joint, frame = np.divmod(missing, samples)
    sequence = offsets.searchsorted(frame, side='right')
    start_of_row = missing - frame
    has_before = before >= start_of_row + offsets.take(sequence - 1)
    has_after = after < start_of_row + offsets.take(sequence)
    before = np.where(has_before, before, np.where(has_after, after, missing)) - start_of_row
    after = np.where(has_after, after - start_of_row, before)

    start_time, time = times.take(before), times.take(frame)
    distance = np.minimum(np.abs(time - start_time), np.abs(times.take(after) - time))
    is_near = (distance <= _BRIDGE) & (has_before | has_after)
    span = np.maximum(times.take(after) - start_time, 1e-9)
    weight = ((time - start_time) / span).astype(np.float32)[:, None]
    by_place = keypoints.reshape(-1, channels)
    start = by_place.take(before * joints + joint, axis=0)
    bridged = by_place.take(after * joints + joint, axis=0)
    bridged -= start
    bridged *= weight
    bridged += start
    bridged[:, -1] *= is_near
    keypoints = keypoints.copy()
    keypoints.reshape(-1, channels)[frame * joints + joint] = bridged
    return keypoints


def _last_at_or_before(
    times: np.ndarray, offsets: np.ndarray, queries: np.ndarray,
) -> np.ndarray:
    """Return the index (N, T) of each sequence's last time that is no later than the query."""
    if len(offsets) == 2:
        return times.searchsorted(queries, side='right') - 1
    # One search over all sequences: lay them end to end on a single ascending time axis.
    first = times[offsets[:-1]]
    shift = np.zeros(len(first))
    np.cumsum((times[offsets[1:] - 1] - first + 1.0)[:-1], out=shift[1:])
    shift -= first
    axis = times + shift.repeat(np.diff(offsets))
    return axis.searchsorted(queries + shift[:, None], side='right') - 1
