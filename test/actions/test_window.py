"""Windows in time: resampled by stamp whatever the stream's rate, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND, pose, stamps

from act_ros.actions.features import resample
from act_ros.actions.recognizer import PoseWindow, sample_windows

T, RATE, JOINTS = 30, 30.0, 17


def window_of(times: list[int], poses: np.ndarray, max_gap: float = 0.5) -> PoseWindow:
    """Return a window that has seen these poses."""
    window = PoseWindow(T, RATE, poses.shape[1], max_gap)
    for time, keypoints in zip(times, poses, strict=True):
        window.append(time, keypoints)
    return window


def by_interp(window: PoseWindow, min_score: float) -> np.ndarray:
    """Return (T, K, 3) by numpy's own interpolation, joint by joint over the frames it was seen."""
    seconds = (window.stamps - window.stamps[-1]) / SECOND
    queries = np.arange(1 - T, 1) / RATE
    result = np.empty((T, *window.keypoints.shape[1:]))
    for joint in range(result.shape[1]):
        seen = window.keypoints[:, joint, 2] >= min_score
        seen |= not seen.any()  # never seen: the detector's own guess
        for channel in range(3):
            result[:, joint, channel] = np.interp(
                queries, seconds[seen], window.keypoints[seen, joint, channel])
    return result


@given(rate=st.one_of(st.floats(5, 60), st.sampled_from([30.0, 120.0, 200.0, 240.0])),
       jitter=st.floats(0, 0.45), missing=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
       seed=st.integers(0, 2**32 - 1))
def test_resamples_as_numpy_would(rate: float, jitter: float, missing: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = stamps(rate, 2.0, jitter, seed)
    poses = rng.uniform(0, 1000, (len(times), JOINTS, 3)).astype(np.float32)
    poses[..., 2] = np.where(rng.random(poses.shape[:2]) < missing, 0.05, 0.9)
    window = window_of(times, poses)
    sampled = sample_windows([window], T, RATE, 0.2)
    assert sampled.shape == (1, T, JOINTS, 3)
    np.testing.assert_allclose(sampled[0, ..., :2], by_interp(window, 0.2)[..., :2], atol=2e-3)
    np.testing.assert_array_equal(sampled[0, -1][poses[-1, :, 2] > 0.5],
                                  poses[-1][poses[-1, :, 2] > 0.5])


@given(rate=st.floats(12, 60), jitter=st.floats(0, 0.45), seed=st.integers(0, 2**32 - 1))
def test_the_same_motion_gives_the_same_window_at_any_rate(
    rate: float, jitter: float, seed: int,
) -> None:
    times = stamps(rate, 2.0, jitter, seed)
    window = window_of(times, np.stack([pose(t / SECOND) for t in times]))
    sampled = sample_windows([window], T, RATE, 0.2)[0]
    truth = np.stack([pose(times[-1] / SECOND + i / RATE) for i in range(1 - T, 1)])
    # Between frames h apart a straight line is off by at most h^2 / 8 of the acceleration, and
    # the feet swing by half a torso of 100 px once a second.
    period = (1 + 2 * jitter) / rate
    assert np.abs(sampled - truth).max() <= 50 * (2 * np.pi) ** 2 * period**2 / 8 + 1e-3


def test_a_joint_is_seen_only_near_where_it_was_seen() -> None:
    times = stamps(30, 1.0)[:30]
    poses = np.full((30, 2, 3), 0.9, np.float32)
    poses[4:24, 1, 2] = 0.1  # unseen for 0.67 s: its place is known at both ends alone
    sampled = sample_windows([window_of(times, poses)], T, RATE, 0.2)[0]
    assert (sampled[:, 0, 2] == np.float32(0.9)).all()
    seen = sampled[:, 1, 2] > 0
    assert seen[:12].all() and not seen[13:15].any() and seen[16:].all()
    poses[:, 1, 2] = 0.1  # never: the guess stays, and is marked
    assert (sample_windows([window_of(times, poses)], T, RATE, 0.2)[0, :, 1, 2] == 0).all()


def test_a_missing_joint_is_interpolated_and_held_at_the_ends() -> None:
    times = stamps(30, 1.0)[:30]
    poses = np.zeros((30, 2, 3), np.float32)
    poses[:, :, 2] = 1.0
    poses[:, 1, 0] = np.arange(30)
    for frames in (slice(0, 5), slice(10, 20), slice(25, 30)):
        poses[frames, 1] = (9999.0, 9999.0, 0.1)
    sampled = sample_windows([window_of(times, poses)], T, RATE, 0.2)[0]
    np.testing.assert_allclose(sampled[:, 1, 0], np.clip(np.arange(30), 5, 24), atol=1e-3)
    np.testing.assert_allclose(sampled[:, 1, 2], 1.0)


def test_a_joint_never_seen_keeps_the_detector_s_guess() -> None:
    times = stamps(30, 1.0)[:30]
    poses = np.stack([pose(t / SECOND) for t in times])
    poses[:, 15, 2] = 0.01
    sampled = sample_windows([window_of(times, poses)], T, RATE, 0.2)[0]
    np.testing.assert_allclose(sampled[:, 15], poses[:, 15], atol=1e-2)


@given(counts=st.lists(st.integers(1, 90), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_many_windows_at_once_equal_one_by_one(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = []
    for count in counts:
        poses = rng.uniform(0, 1000, (count, JOINTS, 3)).astype(np.float32)
        poses[..., 2] = rng.random(poses.shape[:2])
        start = int(rng.integers(0, 2**61))
        windows.append(window_of([start + t for t in stamps(60, 2.0, 0.4)[:count]], poses))
    together = sample_windows(windows, T, RATE, 0.5)
    for i, window in enumerate(windows):
        np.testing.assert_allclose(
            together[i], sample_windows([window], T, RATE, 0.5)[0], rtol=1e-6, atol=1e-4)


def test_a_window_shorter_than_asked_holds_its_first_pose() -> None:
    window = window_of([7, 7 + SECOND // 10], np.stack([pose(0.0), pose(0.1)]))
    sampled = sample_windows([window], T, RATE, 0.2)[0]
    np.testing.assert_allclose(sampled[:-3], np.broadcast_to(pose(0.0), (T - 3, 17, 3)), atol=1e-4)
    assert window.span == SECOND // 10


@pytest.mark.parametrize('rate', [10, 30, 60])
def test_smoothing_averages_the_shaking_out_and_leaves_the_motion(rate: int) -> None:
    times = stamps(rate, 3.0)[:2 * rate + 1]
    still = np.stack([pose(0.0)] * len(times))
    walking = still + np.array((50.0, 0.0, 0.0)) * (np.array(times)[:, None, None] / SECOND)
    shaking = still + np.random.default_rng(0).normal(0, 5, still.shape) * (1, 1, 0)
    smooth = [sample_windows([window_of(times, poses)], T, RATE, 0.2, 0.06)[0]
              for poses in (still, walking, shaking)]
    plain = [sample_windows([window_of(times, poses)], T, RATE, 0.2)[0]
             for poses in (still, walking, shaking)]
    np.testing.assert_allclose(smooth[0], plain[0], atol=1e-3)
    np.testing.assert_allclose(smooth[1][4:-4], plain[1][4:-4], atol=1e-2)
    # The ends stand still for want of what comes: 0.4 of 0.06 s of the way.
    assert np.abs(smooth[1] - plain[1]).max() == pytest.approx(50 * 0.06 * 0.35, rel=0.2)
    off = [float((poses - plain[0])[4:-4, :, :2].std()) for poses in (smooth[2], plain[2])]
    assert off[0] < (0.9 if rate == 10 else 0.6) * off[1]


def test_continuity() -> None:
    window, gap = PoseWindow(T, RATE, JOINTS, 0.5), SECOND // 2
    assert len(window) == window.span == 0
    for step, continues in (
        (0, False), (gap, True), (gap + 1, False), (SECOND // 30, True), (-SECOND // 60, False),
        (SECOND // 30, True), (0, False), (SECOND // 30, True), (-(10**15), False),
        (10**15, False),
    ):
        stamp = (int(window.stamps[-1]) if len(window) else 10**17) + step
        assert window.append(stamp, pose(0.0)) is continues
        assert window.stamps[-1] == stamp
        assert len(window) > 1 if continues else len(window) == 1


@pytest.mark.parametrize('stamp', [1, SECOND // 10, 10**18])
def test_the_first_pose_continues_nothing_however_young_the_clock_is(stamp: int) -> None:
    window = PoseWindow(T, RATE, JOINTS, 0.5)
    assert window.append(stamp, pose(0.0)) is False and window.newest == stamp


@pytest.mark.parametrize('frames', [2, 30, 90])
@pytest.mark.parametrize('rate', [5.0, 60.0, 119.0, 239.9, 240.0, 241.0, 1000.0])
@pytest.mark.parametrize('jitter', [0.0, 0.4])
def test_long_runs_stay_bounded_and_right(frames: int, rate: float, jitter: float) -> None:
    window = PoseWindow(frames, RATE, 1, 0.5)
    duration = round((frames - 1) / RATE * SECOND)
    times = stamps(rate, 3 * (frames + 1) / RATE + 200 / rate, jitter)
    for i, stamp in enumerate(times):
        assert window.append(stamp, np.full((1, 3), i, np.float32)) is (i > 0)
        assert window.stamps[-1] == stamp
        assert len(window) <= 8 * frames + 16
    assert window.span == duration
    # It reaches back just far enough to interpolate; stamps and poses have moved together.
    assert window.stamps[0] <= window.stamps[-1] - duration < window.stamps[1]
    assert (np.diff(window.stamps) > 0).all()
    np.testing.assert_array_equal(
        window.keypoints[:, 0, 0], np.searchsorted(times, window.stamps))


@given(st.data())
def test_any_order_of_stamps_leaves_an_ascending_window(data: st.DataObject) -> None:
    window = PoseWindow(5, 10.0, 1, 0.5)
    steps = data.draw(st.lists(st.integers(-SECOND, SECOND), max_size=200))
    stamp = 10**12
    for step in steps:
        stamp += step
        window.append(stamp, np.full((1, 3), 0.5, np.float32))
        assert window.stamps[-1] == stamp
        gaps = np.diff(window.stamps)
        assert ((gaps > 0) & (gaps <= SECOND // 2)).all()
        assert np.isfinite(sample_windows([window], 5, 10.0, 0.2)).all()


def test_resample_keeps_more_channels_and_uneven_queries() -> None:
    times = np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    keypoints = np.zeros((5, 1, 4), np.float32)
    keypoints[:, 0, 0] = (0, 10, 20, 50, 60)
    keypoints[:, 0, 3] = 1.0
    sampled = resample(times, keypoints, np.array([0, 3, 5]),
                       np.array([[-1.0, 0.25, 9.0], [5.0, 5.5, 6.0]]), 0.5)
    np.testing.assert_allclose(sampled[..., 0, 0], [[0.0, 2.5, 20.0], [50.0, 55.0, 60.0]])


def test_what_comes_after_a_window_changes_nothing_in_it() -> None:
    """A clip of training goes on, which no robot has seen yet; and the clip stays as it was."""
    times, queries = np.arange(90) / 30, np.arange(30)[None] / 30
    clip = np.stack([pose(t) for t in times])
    clip[10:14, 9, 2] = 0.05
    other = clip.copy()
    other[30:, :, :2] += 500
    before, whole = other.copy(), np.array([0, 90])
    np.testing.assert_array_equal(resample(times, other, whole, queries, 0.2, 0.06),
                                  resample(times, clip, whole, queries, 0.2, 0.06))
    np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize('first', [0, 1, 2**62])
def test_stamps_keep_their_nanoseconds(first: int) -> None:
    window = window_of([first, first + 100_000_001], np.stack([pose(0.0), pose(1.0)]))
    assert window.span == 100_000_001
