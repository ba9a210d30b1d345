"""Windows as training draws them: cut, lost, seen by a camera and by a detector, as they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_postures import bodies, figure, windows

from training import augmentation
from training.augmentation import Augmentation, WindowSampler, at_least, gather_frames, look, render
from training.config import TrainConfig
from training.datasets.skeletons import JOINTS, Sequences
from training.errors import ErrorBank
from training.views import VIEWS

COUNT = 400


def clips(*lengths: int, fps: float = 30.0) -> Sequences:
    """Return 3D sequences of somebody whose head's x is the number of the frame."""
    joints = np.concatenate([
        np.repeat(np.append(figure(), np.ones((13, 1)), axis=1)[None], n, axis=0) for n in lengths])
    joints[:, 0, 0] = np.concatenate([np.arange(n) for n in lengths])
    count = len(lengths)
    names = np.array([str(i) for i in range(count)])
    return Sequences(
        joints.astype(np.float32), np.cumsum([0, *lengths]), np.zeros(count, int),
        np.full(count, fps), np.zeros(count, bool), np.full(count, 'x'), np.full(count, 'walk'),
        names, names, np.full(count, ''), np.zeros(count, bool))


def seen(**options: Any) -> np.ndarray:
    """Return how a standing person (N, 30, 13, 3) is seen by the source's own camera."""
    return render(np.random.default_rng(0), windows(COUNT), bodies(COUNT), np.zeros(COUNT, bool),
                  replace(VIEWS['own'], **options))


def cut(sequences: Sequences, monkeypatch: pytest.MonkeyPatch, **options: Any) -> np.ndarray:
    """Return drawn windows (N, 30, 13, 4) at 15 frames a second, before a camera sees them."""
    drawn: list[np.ndarray] = []

    def keep(rng: np.random.Generator, windows: np.ndarray, *_: Any) -> np.ndarray:
        drawn.append(windows.copy())
        return windows[..., [0, 1, 3]]

    monkeypatch.setattr(augmentation, 'render', keep)
    settings = Augmentation(**{'lost_frames': 0.0, 'lost_joints': 0.0, **options})
    config = TrainConfig(name='x', files=('a.npz',), num_frames=30, frame_rate=15.0,
                         pose_smoothing=0.0, augmentation=settings)
    WindowSampler(sequences, config).draw(np.random.default_rng(0), COUNT)
    return drawn[0]


def test_windows_of_a_long_clip_lie_in_it_and_are_played_faster_or_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = cut(clips(200), monkeypatch, playback=1.25)[..., 0, 0]
    steps = np.diff(frame, axis=1)
    assert (steps >= -0.5).all(), 'never backwards'
    pace = np.median(steps, axis=1) / 2  # 30 frames a second shown at 15
    assert 0.75 < pace.min() < 0.87 and 1.15 < pace.max() < 1.33
    held = (steps < 1e-3).sum(axis=1)
    assert held.max() <= 6 and 0 < (held > 1).mean() < 0.2, 'a fifth of a window is outside at most'
    assert frame[:, 0].min() < 5 and frame[:, -1].max() > 194, 'all of the clip is shown'


def test_a_clip_shorter_than_a_window_is_in_it_and_half_of_them_end_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes before is the first pose, and after it the last."""
    frame = cut(clips(15), monkeypatch, playback=1.0, outside=0.0)[..., 0, 0]
    ends = (np.diff(frame[:, -3:], axis=1) > 1e-3).any(axis=1)
    assert 0.4 < ends.mean() < 0.6
    np.testing.assert_allclose(frame[:, 0], 0.0, atol=1e-3)
    assert (frame[:, -1] > 13).all()


@given(data=st.data())
def test_the_frames_of_a_time_are_those_and_one_on_either_side(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    sequences, fps = clips(*lengths, fps=10.0), 10.0
    index = np.arange(len(lengths))
    begin = np.array([data.draw(st.floats(-1, 2)) for _ in lengths])
    end = begin + np.array([data.draw(st.floats(0, 2)) for _ in lengths])
    frames, offsets = gather_frames(sequences, index, begin, end)
    assert offsets[0] == 0 and offsets[-1] == len(frames)
    for i, length in enumerate(lengths):
        mine = frames[offsets[i]:offsets[i + 1]] - sequences.offsets[i]
        assert len(mine) and (np.diff(mine) == 1).all()
        assert 0 <= mine[0] <= mine[-1] < length
        time = np.arange(length) / fps
        between = np.flatnonzero((time >= begin[i]) & (time <= end[i]))
        if len(between):
            wanted = np.arange(max(between[0] - 1, 0), min(between[-1] + 2, length))
            assert set(wanted) <= set(mine) and len(mine) <= len(wanted) + 2


@pytest.mark.parametrize('what', ['nothing', 'lost_frames', 'lost_joints', 'slow_cameras'])
def test_what_a_detector_does_not_see(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, single frames, some joints for a while, or all but the frames of a slow camera."""
    lost: list[np.ndarray] = []
    original = augmentation.resample

    def keep(stamps: np.ndarray, joints: np.ndarray, offsets: np.ndarray, *rest: Any) -> Any:
        lost.extend(part[..., 3] == 0 for part in np.split(joints, offsets[1:-1]))
        return original(stamps, joints, offsets, *rest)

    monkeypatch.setattr(augmentation, 'resample', keep)
    cut(clips(200), monkeypatch, playback=1.0, outside=0.0, **(
        {} if what == 'nothing' else {what: 1.0}))
    shares = np.array([part.mean() for part in lost])
    whole = all((part == part[:, :1]).all() for part in lost)
    assert len(lost) == COUNT
    if what == 'nothing':
        assert not shares.any()
    elif what == 'lost_frames':
        assert whole and shares.mean() == pytest.approx(0.35, abs=0.05) and shares.max() < 0.85
    elif what == 'slow_cameras':
        assert whole and not any(part[0].any() for part in lost)
        rates = 30 * (1 - shares)
        assert 4.5 < rates.min() < 6.5 and 13.5 < rates.max() < 16.5
        assert rates.mean() == pytest.approx(10, abs=1)
    else:
        joints = np.array([part.any(axis=0).sum() for part in lost])
        assert joints[joints > 0].mean() == pytest.approx(0.15 * 13, abs=0.5)
        for part in lost:
            for joint in part[:, part.any(axis=0)].T:  # once, and all of them together
                assert (np.diff(joint.astype(int)) == 1).sum() <= 1 and not whole
                assert (joint == part.any(axis=1)).all()
        assert 0.05 < np.mean([part.any(axis=1).mean() for part in lost]) < 0.6


@given(share=st.floats(0.05, 0.95), chosen=st.lists(st.booleans(), min_size=6, max_size=6))
def test_at_least_a_share_is_of_the_chosen(share: float, chosen: list[bool]) -> None:
    weights, mask = np.arange(1.0, 7.0) / 21, np.array(chosen)
    after = at_least(weights, mask, share)
    assert after.sum() == pytest.approx(1.0)
    have = weights[mask].sum()
    assert after[mask].sum() == pytest.approx(max(share, have) if have else 0.0)
    for part in (mask, ~mask):  # who is drawn more often than whom stays
        np.testing.assert_allclose(after[part] * weights[part].sum(),
                                   weights[part] * after[part].sum())


def test_bodies_get_the_proportions_of_pictures_or_keep_their_own() -> None:
    def proportions(**options: Any) -> np.ndarray:
        """Return head, shoulders' width and thigh in torso lengths (3, N)."""
        place = dict(zip(
            JOINTS, seen(head_forward=0.0, **options)[:, 0, :, :2].swapaxes(0, 1), strict=True))
        neck, hips, knees = ((place[f'l_{part}'] + place[f'r_{part}']) / 2
                             for part in ('shoulder', 'hip', 'knee'))
        torso = hips[:, 1] - neck[:, 1]
        return np.stack((neck[:, 1] - place['head'][:, 1], place['l_shoulder'][:, 0]
                         - place['r_shoulder'][:, 0], knees[:, 1] - hips[:, 1])) / torso

    own = np.array((0.15, 0.4, 0.45)) / 0.45
    np.testing.assert_allclose(proportions(raw_body=1.0).mean(axis=1), own, rtol=0.03)
    made = proportions(shoulder_width=(0.8, 0.8))
    np.testing.assert_allclose(made.mean(axis=1), (0.42, 0.8 * 0.4 / 0.5, 1 / 1.25), rtol=0.03)
    thigh = proportions(raw_body=0.5)[2]
    assert 0.4 < (thigh > 0.9).mean() < 0.6


def test_cameras_stand_all_around_or_near_the_source_s_own() -> None:
    left, right = JOINTS.index('l_shoulder'), JOINTS.index('r_shoulder')

    def from_behind(**options: Any) -> float:
        found = seen(**options)[:, 0, :, 0]
        return float((found[:, left] < found[:, right]).mean())

    assert from_behind(yaw=15.0) == 0.0
    assert from_behind(any_yaw=1.0) == pytest.approx(0.5, abs=0.08)
    assert from_behind(any_yaw=0.5) == pytest.approx(0.25, abs=0.08)


def test_confused_legs_are_the_other_s_for_a_while_and_only_they() -> None:
    plain, swapped = seen(), seen(leg_swaps=1.0)
    legs = [i for i, name in enumerate(JOINTS) if name[2:] in ('hip', 'knee', 'ankle')]
    others = [i for i in range(13) if i not in legs]
    np.testing.assert_allclose(swapped[:, :, others], plain[:, :, others], atol=0.5)
    is_other = swapped[:, :, legs[0], 0] < swapped[:, :, legs[1], 0]
    for pair in zip(legs[::2], legs[1::2], strict=True):
        expected = np.where(is_other[..., None], plain[:, :, pair[1]], plain[:, :, pair[0]])
        np.testing.assert_allclose(swapped[:, :, pair[0]], expected, atol=0.5)
    begins = (np.diff(is_other.astype(int), axis=1) == 1).sum(axis=1)
    assert begins.max() == 1 and 0.7 < is_other.any(axis=1).mean() <= 1.0
    assert 0.08 < is_other.mean() < 0.3


def test_a_camera_sees_as_a_pinhole_does_from_where_it_was_turned_to() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.3, (20, 3, 13, 3)).astype(np.float32)
    yaw, pitch = rng.uniform(-3, 3, 20), rng.uniform(-1, 1, 20)
    position, focal = rng.normal(0, 0.3, (20, 3)) + (0, 0, 5), rng.uniform(200, 900, 20)
    found = look(points, yaw, pitch, position, focal)
    hips = [JOINTS.index(name) for name in ('l_hip', 'r_hip')]
    for i in range(20):
        (c, s), (d, e) = ((np.cos(a[i]), np.sin(a[i])) for a in (yaw, pitch))
        turn = np.array([(1, 0, 0), (0, d, -e), (0, e, d)]) @ np.array(
            [(c, 0, s), (0, 1, 0), (-s, 0, c)])
        at = (points[i] - points[i][:, hips].mean(axis=(0, 1))) @ turn.T + position[i]
        np.testing.assert_allclose(found[i], at[..., :2] / at[..., 2:] * focal[i], rtol=1e-3,
                                   atol=0.05)


def test_a_flipped_picture_shows_the_other_side_and_a_rolled_one_the_same_shape() -> None:
    plain, flipped, rolled = seen(), seen(flip=1.0), seen(roll=20.0)
    mirror = [JOINTS.index({'l': 'r', 'r': 'l'}[name[0]] + name[1:]) if name[1] == '_' else i
              for i, name in enumerate(JOINTS)]
    np.testing.assert_allclose(flipped[..., 0], -plain[:, :, mirror, 0], atol=0.5)
    np.testing.assert_allclose(flipped[..., 1], plain[:, :, mirror, 1], atol=0.5)

    def distances(keypoints: np.ndarray) -> np.ndarray:
        return np.linalg.norm(keypoints[:, :, :, None, :2] - keypoints[:, :, None, :, :2], axis=-1)

    np.testing.assert_allclose(distances(rolled), distances(plain), atol=0.5)
    spine = rolled[:, 0, 0, :2] - rolled[:, 0, 7:9, :2].mean(axis=1)
    angles = np.rad2deg(np.arctan2(spine[:, 0], -spine[:, 1]))
    assert angles.std() == pytest.approx(20, abs=3) and abs(angles.mean()) < 4


def test_flat_people_become_as_large_as_in_pictures_whatever_their_unit() -> None:
    flat = np.ones(COUNT, bool)
    small, large = (
        render(np.random.default_rng(0), windows(COUNT) * np.array((unit, unit, unit, 1)),
               bodies(COUNT), flat, VIEWS['own']) for unit in (0.01, 100.0))
    np.testing.assert_allclose(small, large, atol=0.5)
    size = np.sqrt(small[:, 0, :, :2].var(axis=1).sum(axis=-1))
    assert 55 < size.min() < 75 and 280 < size.max() < 305


def test_a_pose_network_s_errors_take_the_place_of_jitter_and_are_not_put_on_its_own() -> None:
    offsets = np.zeros((20, 13, 2), np.float32)
    offsets[:, 11] = 1.0
    bank = ErrorBank(np.array([0, 20]), offsets, np.full((20, 13), 0.9, np.float32),
                     np.array([30.0]))
    detected = np.arange(COUNT) < COUNT // 2
    options = replace(VIEWS['own'], errors=1.0, noise=(0.05, 0.05))
    arguments = windows(COUNT), bodies(COUNT), np.zeros(COUNT, bool)
    clean = seen()
    plain, own, both = (
        render(np.random.default_rng(0), *arguments, replace(options, errors=share), is_detected,
               errors)
        for share, is_detected, errors in (
            (0.0, None, None), (0.0, detected, None), (1.0, detected, bank)))
    jitter = [float((found - clean)[rows, :, :11, :2].std()) for found, rows in (
        (plain, detected), (own, detected), (own, ~detected), (both, detected), (both, ~detected))]
    np.testing.assert_allclose(np.array(jitter[1:]) / jitter[0], (0.25, 1, 0.25, 0.25), rtol=0.15)
    off = np.abs((both - clean)[:, :, 11, 0].mean(axis=1))
    assert off[detected].max() < 10 < off[~detected].min()
    assert (both[detected][..., 2] == 1).all() and (both[~detected][..., 2] < 1).all()
