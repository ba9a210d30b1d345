"""Normalisation: equal to the mpose package, invariant to place and size, strict on input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import pose

from act_ros.actions.features import (
    CHANNELS,
    MOTION,
    NORMALISATIONS,
    SEEN,
    extract_features,
    mirror,
    num_features,
    repaired,
    seen_features,
    seen_joints,
)
from act_ros.core.skeletons import LAYOUTS, get_layout

EXTRACTORS = [('openpose', 'body25'), ('posenet', 'coco17'), ('movenet', 'coco17')]


def random_poses(layout: str, shape: tuple[int, ...] = (4, 30), seed: int = 0) -> np.ndarray:
    """
    Return (*shape, K, 3) float64 poses all over a small image.

    In a large one mpose itself is off by more than 1e-6: it divides by the joint count plus 1e-9.
    """
    rng = np.random.default_rng(seed)
    joints = len(get_layout(layout).joints)
    return rng.uniform((0.0, 0.0, 0.1), (480.0, 360.0, 1.0), (*shape, joints, 3))


def by_mpose(
    extractor: str, keypoints: np.ndarray, velocities_first: bool = False, scores: bool = False,
) -> np.ndarray:
    """Return what the mpose package itself makes of (N, 30, K, 3) poses."""
    mpose: Any = pytest.importorskip('mpose')
    dataset = mpose.MPOSE.__new__(mpose.MPOSE)  # its constructor downloads the data set
    dataset.pose_extractor, dataset.split, dataset.config_file = extractor, '1', None
    dataset.verbose = False
    dataset.get_config()
    dataset.set_data_config()
    nobody = np.zeros(len(keypoints))
    dataset.load_data(data=(keypoints.copy(), nobody, keypoints.copy(), nobody))
    dataset.reduce_keypoints()
    if scores:
        dataset.scale_and_center()
        dataset.flatten_features()
        return dataset.X_train
    if velocities_first:  # it computes them again after scaling
        dataset.add_velocities()
        dataset.scale_and_center()
    else:
        dataset.scale_and_center()
        dataset.add_velocities()
    dataset.remove_confidence()
    dataset.flatten_features()
    np.testing.assert_array_equal(dataset.X_train, dataset.X_test)
    return dataset.X_train


@pytest.mark.parametrize('velocities_first', [False, True])
@pytest.mark.parametrize(('extractor', 'layout'), EXTRACTORS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2, 1.0]),
       size=st.sampled_from([1.0, 1e-3]))
def test_equals_the_mpose_package(
    extractor: str, layout: str, velocities_first: bool, seed: int, missing: float, size: float,
) -> None:
    keypoints = random_poses(layout, (1, 30), seed) * (size, size, 1.0)  # also below one pixel
    undetected = np.random.default_rng(seed).random(keypoints.shape[:-1]) < missing
    keypoints[undetected] = 0.0
    features = extract_features(keypoints, layout)
    assert features.dtype == np.float64
    np.testing.assert_allclose(
        features, by_mpose(extractor, keypoints, velocities_first), rtol=0, atol=1e-6)


@pytest.mark.parametrize('normalisation', NORMALISATIONS)
@given(shift=st.tuples(*[st.floats(-5000, 5000)] * 2), zoom=st.floats(0.2, 20))
def test_neither_place_nor_size_matters(
    normalisation: str, shift: tuple[float, float], zoom: float,
) -> None:
    clip = np.stack([pose(t / 30) for t in range(30)]).astype(np.float64)
    moved = clip.copy()
    moved[..., :2] = clip[..., :2] * zoom + shift
    np.testing.assert_allclose(
        extract_features(moved, 'coco17', normalisation=normalisation),
        extract_features(clip, 'coco17', normalisation=normalisation), atol=1e-6)


@pytest.mark.parametrize('normalisation', NORMALISATIONS)
@pytest.mark.parametrize('layout', ['coco17', 'mpose13_openpose', 'mpose13_coco'])
def test_a_mirrored_person_has_mirrored_features(layout: str, normalisation: str) -> None:
    keypoints = random_poses(layout)
    flipped = keypoints[..., get_layout(layout).mirror, :] * (-1.0, 1.0, 1.0)
    index, sign = mirror('mpose13_coco' if layout == 'coco17' else layout,
                         3 if normalisation == 'score-v1' else CHANNELS)
    np.testing.assert_allclose(
        extract_features(flipped, layout, normalisation=normalisation),
        extract_features(keypoints, layout, normalisation=normalisation)[..., index] * sign,
        atol=1e-9)


def test_velocities_are_differences_and_the_first_is_the_pose() -> None:
    features = extract_features(random_poses('coco17'), 'coco17').reshape(4, 30, 13, 4)
    np.testing.assert_array_equal(features[:, 0, :, 2:], features[:, 0, :, :2])
    np.testing.assert_allclose(np.cumsum(features[..., 2:], axis=1), features[..., :2], atol=1e-9)


@given(step=st.tuples(*[st.floats(-50, 50)] * 2))
def test_the_way_of_the_whole_body_is_in_the_velocities(step: tuple[float, float]) -> None:
    """A person who is carried on moves by that many torso lengths in six frames more."""
    still = np.stack([pose(t / 30) for t in range(30)]).astype(np.float64)
    still[..., :2] += 9000  # a face at 0 would count as not detected
    carried = still.copy()
    carried[..., :2] += np.arange(30)[:, None, None] * step
    before, after = (
        extract_features(x, 'coco17', normalisation=MOTION).reshape(30, 13, 4)
        for x in (still, carried))
    shoulders, hips = (still[:, [a, a + 1], :2].mean(axis=1) for a in (5, 11))
    torso = np.linalg.norm(shoulders - hips, axis=-1)[:, None, None]
    np.testing.assert_allclose((after - before)[..., :2], 0, atol=1e-9)
    np.testing.assert_allclose((after - before)[0], 0, atol=1e-9)
    np.testing.assert_allclose(
        (after - before)[1:, :, 2:], np.broadcast_to(6 * np.array(step) / torso[1:], (29, 13, 2)),
        atol=1e-9)
    np.testing.assert_array_equal(  # all else is the paper's
        after[..., :2], extract_features(carried, 'coco17').reshape(30, 13, 4)[..., :2])


def walker(seconds: float = 1.0, rate: float = 30.0) -> np.ndarray:
    """Return a walk (T, 17, 3), all of it seen."""
    return np.stack([pose(t / rate) for t in range(round(seconds * rate))]).astype(np.float64)


def of_seen(keypoints: np.ndarray, steady_size: bool = False) -> np.ndarray:
    features = extract_features(
        keypoints, 'coco17', normalisation=SEEN, steady_size=steady_size)
    return features.reshape(*features.shape[:-1], 13, 4)


LEGS = [i for i, joint in enumerate(get_layout('coco17').joints) if i >= 13]


@given(guess=st.floats(-1e4, 1e4), seed=st.integers(0, 2**32 - 1))
def test_where_a_joint_is_guessed_does_not_matter(guess: float, seed: int) -> None:
    """What is not seen is not there, wherever the pose network thinks it is."""
    clip = walker()
    clip[:, LEGS, 2] = 0.1
    other = clip.copy()
    other[:, LEGS, :2] = guess + np.random.default_rng(seed).normal(0, 100, (30, 4, 2))
    np.testing.assert_array_equal(of_seen(other), of_seen(clip))
    assert (of_seen(clip)[:, 9:] == 0).all() and (
        of_seen(clip)[:, 1:9] != 0).any(axis=(0, 2)).all()
    assert seen_joints(clip, 'coco17').tolist() == [True] * 9 + [False] * 4


LIMBS = [('l_shoulder', 'r_shoulder'), ('l_hip', 'r_hip'), *(
    (f'{side}_{a}' if a != 'head' else a, f'{side}_{b}') for side in 'lr' for a, b in (
        ('head', 'shoulder'), ('shoulder', 'elbow'), ('elbow', 'wrist'), ('shoulder', 'hip'),
        ('hip', 'knee'), ('knee', 'ankle')))]


@pytest.mark.parametrize('steady_size', [False, True])
@pytest.mark.parametrize('frames', [1, 2, 6, 7])
def test_features_of_what_is_seen_written_out_one_by_one(frames: int, steady_size: bool) -> None:
    """
    Any of the trunk may be unseen: the size is the rest's, the origin neck or hips.

    It is steady but for what is done with the trunk alone, or with the limbs alone.
    """
    rng, joints = np.random.default_rng(frames), get_layout('mpose13_coco').joints
    poses = random_poses('mpose13_coco', (60, frames), frames)
    poses[..., 2] = rng.choice((0.1, 0.9), (60, 1, len(joints)))
    features, seen = seen_features(poses, 'mpose13_coco', steady_size=steady_size)
    np.testing.assert_array_equal(seen, poses[:, 0, :, 2] > 0.5)
    grew, third = 0, max(frames // 3, 1)
    by_joint = features.reshape(60, frames, -1, CHANNELS).swapaxes(1, 2)
    for window, is_seen, rows in zip(poses, seen, by_joint, strict=True):
        has = dict(zip(joints, is_seen, strict=True))
        at = dict(zip(joints, window[..., :2].swapaxes(0, 1), strict=True))  # (T, 2)
        middles = []
        for part in ('shoulder', 'hip'):
            pair = [name for name in (f'l_{part}', f'r_{part}') if has[name]]
            middles.append(np.mean([at[name] for name in pair], axis=0) if pair else None)
        neck, hips = middles
        lengths = [np.zeros(frames)]
        if neck is not None and hips is not None:
            lengths.append(np.linalg.norm(neck - hips, axis=-1))
        if has['l_shoulder'] and has['r_shoulder']:
            lengths.append(1.4 * np.linalg.norm(at['l_shoulder'] - at['r_shoulder'], axis=-1))
        if neck is not None and has['head']:
            lengths.append(2.4 * np.linalg.norm(at['head'] - neck, axis=-1))
        trunk = np.max(lengths, axis=0)
        size = max(np.median(trunk), 1.0)
        origin = next((x for x in middles if x is not None), (at['l_hip'] + at['r_hip']) / 2)
        limbs = [np.linalg.norm(at[a] - at[b], axis=-1) for a, b in LIMBS if has[a] and has[b]]
        if steady_size and limbs and frames > 1:
            growth = [np.log(max(x[-third:].mean(), 1) / max(x[:third].mean(), 1))
                      for x in (trunk, *limbs)]
            agreed = sorted((0.0, growth[0], np.median(growth[1:])))[1] / (frames - third)
            agreed *= abs(agreed) >= 0.005
            grew += agreed != 0
            for frame in range(frames):
                grown = np.exp(agreed * (frame - (frames - 1) / 2))
                for name in joints:
                    at[name][frame] = origin[frame] + (at[name][frame] - origin[frame]) / grown
        for name, row in zip(joints, rows, strict=True):
            wanted = np.zeros((frames, CHANNELS))
            wanted[:, :2] = at[name] - origin
            wanted[1:, 2:] = 6 * (at[name][1:] - at[name][:-1])
            np.testing.assert_allclose(row, wanted * has[name] / size, atol=1e-9)
    assert grew > 10 or frames == 1 or not steady_size


def test_the_size_is_about_the_same_without_hips() -> None:
    """Half a person at a table is no giant: the shoulders and the head tell the size, too."""
    clip = walker()
    whole = of_seen(clip)
    clip[:, 11:, 2] = 0.0
    half = of_seen(clip)
    ratio = np.linalg.norm(half[:, 3:7, :2], axis=-1) / np.linalg.norm(whole[:, 3:7, :2], axis=-1)
    assert 0.6 < ratio.min() <= ratio.max() < 1.7


def test_who_comes_nearer_grows() -> None:
    clip = walker()
    clip[..., :2] *= np.linspace(1, 1.5, 30)[:, None, None]
    torso = np.linalg.norm(of_seen(clip)[:, [7, 8], :2].mean(axis=1), axis=-1)
    assert torso[-1] == pytest.approx(1.5 * torso[0], rel=1e-6)


@given(rate=st.floats(0.0051, 0.02), way=st.sampled_from((1, -1)), seed=st.integers(0, 2**32 - 1))
def test_with_a_steady_size_nobody_comes_nearer(rate: float, way: int, seed: int) -> None:
    """
    A camera that drives to somebody only moves them in the picture, legs in it or not.

    What is less than half a percent a frame is as well the shaking of a pose network.
    """
    rng = np.random.default_rng(seed)
    still = np.broadcast_to(pose(0.0) + rng.normal(0, 5, (17, 3)), (30, 17, 3)).copy()
    still[..., 2] = rng.choice((0.1, 0.9), 17, p=(0.3, 0.7))
    still[..., [0, 5, 6], 2] = 0.9
    neck = still[:, 5:7, :2].mean(axis=1, keepdims=True)
    grown = still.copy()
    by_frame = way * (np.arange(30) - 14.5)[:, None, None]
    grown[..., :2] = neck + (still[..., :2] - neck) * np.exp(rate * by_frame)
    np.testing.assert_allclose(
        of_seen(grown, steady_size=True), of_seen(still), rtol=1e-3, atol=1e-9)
    grown[..., :2] = neck + (still[..., :2] - neck) * np.exp(0.0049 * by_frame)
    np.testing.assert_allclose(of_seen(grown, steady_size=True), of_seen(grown), atol=1e-9)


@pytest.mark.parametrize('changed', [
    range(11), range(7, 11), range(11, 17), (6, 8, 10, 12, 14, 16)])
@pytest.mark.parametrize('way', [(0.0, 60.0), (40.0, 0.0), (-60.0, -30.0)])
def test_who_bends_reaches_out_or_turns_does_not_grow(
    changed: Sequence[int], way: tuple[float, float],
) -> None:
    """What changes in some limbs, or in the trunk alone, is what people do."""
    clip = np.broadcast_to(pose(0.0), (30, 17, 3)).astype(np.float64)
    clip[:, list(changed), :2] += np.linspace(0, 1, 30)[:, None, None] * way
    np.testing.assert_allclose(of_seen(clip, steady_size=True), of_seen(clip), atol=1e-9)


def test_only_what_knows_the_size_can_steady_it() -> None:
    with pytest.raises(ValueError, match='steady_size needs the normalisation seen-v1, not motion'):
        extract_features(walker(), 'coco17', normalisation=MOTION, steady_size=True)


def test_without_scores_all_is_seen() -> None:
    clip = walker()
    np.testing.assert_array_equal(of_seen(clip[..., :2]), of_seen(clip))


def test_a_face_in_profile_is_where_its_seen_parts_are() -> None:
    clip = walker()
    clip[:, [2, 4], 2] = 0.05  # the far eye and ear are guesses
    moved = clip.copy()
    moved[:, [2, 4], :2] += 500
    np.testing.assert_allclose(of_seen(moved), of_seen(clip), atol=1e-3)
    assert seen_joints(clip, 'coco17').all(), 'the head is seen where part of it is'


def test_another_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown normalisation 'mpose'; known: mpose-v1, motion"):
        extract_features(random_poses('coco17'), 'coco17', normalisation='mpose')


def test_layouts_are_converted_by_joint_name() -> None:
    keypoints = random_poses('mpose13_openpose')
    features = extract_features(keypoints, 'mpose13_openpose', 'mpose13_coco')
    own = extract_features(keypoints, 'mpose13_openpose').reshape(4, 30, 13, 4)
    order = [{'l_ankle': 'l_foot', 'r_ankle': 'r_foot'}.get(joint, joint)
             for joint in get_layout('mpose13_coco').joints]
    columns = [get_layout('mpose13_openpose').joints.index(joint) for joint in order]
    np.testing.assert_allclose(features.reshape(4, 30, 13, 4), own[:, :, columns], atol=1e-12)


@pytest.mark.parametrize(('extractor', 'layout'), EXTRACTORS)
def test_scores_take_the_place_of_velocities(extractor: str, layout: str) -> None:
    """As in the authors' later weights: 39 features."""
    keypoints = random_poses(layout)
    features = extract_features(keypoints, layout, normalisation='score-v1')
    assert features.shape[-1] == 39 == num_features('mpose13_coco', 'score-v1')
    np.testing.assert_allclose(features, by_mpose(extractor, keypoints, scores=True), atol=1e-6)
    unscored = extract_features(keypoints[..., :2], layout, normalisation='score-v1')
    np.testing.assert_allclose(unscored[..., 2::3], 1)


def test_the_paper_s_feature_counts() -> None:
    assert num_features('mpose13_coco') == num_features('mpose13_openpose') == 52
    assert num_features('coco17') == 68
    assert extract_features(random_poses('coco17'), 'coco17', 'coco17').shape == (4, 30, 68)


@given(axes=st.lists(st.integers(0, 3), max_size=2), frames=st.integers(1, 40),
       channels=st.sampled_from([2, 3]))
def test_any_leading_axes_and_no_score_needed(
    axes: list[int], frames: int, channels: int,
) -> None:
    keypoints = random_poses('coco17', (*axes, frames)).astype(np.float32)[..., :channels]
    before = keypoints.copy()
    features = extract_features(keypoints, 'coco17')
    assert features.shape == (*axes, frames, 52)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(keypoints, before)
    for index in np.ndindex(*axes):
        np.testing.assert_array_equal(features[index], extract_features(keypoints[index], 'coco17'))


@pytest.mark.parametrize('normalisation', NORMALISATIONS)
@pytest.mark.parametrize('kind', [np.uint16, np.int32, np.int64, np.float16, np.float32])
def test_numbers_of_any_kind_are_taken(normalisation: str, kind: type[np.generic]) -> None:
    keypoints = random_poses('coco17')
    keypoints[..., 2] = 1.0
    keypoints = keypoints.astype(kind)
    features = extract_features(keypoints, 'coco17', normalisation=normalisation)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, extract_features(
        keypoints.astype(np.float32), 'coco17', normalisation=normalisation))
    assert seen_joints(keypoints, 'coco17').all()


@pytest.mark.parametrize('normalisation', NORMALISATIONS)
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float, normalisation: str) -> None:
    keypoints = random_poses('coco17')
    keypoints[2, 7, 3, 1] = value
    with pytest.raises(ValueError, match='NaN or infinite'):
        extract_features(keypoints, 'coco17', normalisation=normalisation)


@pytest.mark.parametrize(('shape', 'layout', 'problem'), [
    ((30, 16, 3), 'coco17', 'has 17 joints, keypoints have 16'),
    ((30, 17, 3), 'body25', 'has 25 joints, keypoints have 17'),
    ((30, 17, 4), 'coco17', 'must be'),
    ((17, 3), 'coco17', 'must be'),
    ((0,), 'coco17', 'must be'),
    ((2, 0, 17, 3), 'coco17', 'no frame'),
    ((30, 17, 3), 'coco19', 'unknown keypoint layout'),
])
def test_wrong_shapes_and_layouts_are_named(
    shape: tuple[int, ...], layout: str, problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem):
        extract_features(np.ones(shape), layout)


def test_features_that_a_layout_cannot_give_are_refused() -> None:
    with pytest.raises(ValueError, match="no joint 'nose'"):
        extract_features(random_poses('mpose13_coco'), 'mpose13_coco', 'coco17')


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_person_all_in_one_point_stays_finite(layout: str) -> None:
    assert np.isfinite(extract_features(np.zeros((30, len(get_layout(layout).joints), 2)),
                                        layout)).all()


@pytest.mark.parametrize('value', [np.nan, np.inf, -1e9])
@pytest.mark.parametrize('column', range(3))
def test_a_joint_of_which_one_value_is_none_is_not_seen(value: float, column: int) -> None:
    poses = random_poses('coco17', (2,)).astype(np.float32)
    poses[..., 2] = 0.9
    poses[1, 4, column] = value
    before = poses.copy()
    whole, seen = repaired(poses)
    np.testing.assert_array_equal(poses, before)  # the caller's stay as they are
    assert seen.tolist() == [17, 16]
    others = np.delete(poses[1], 4, axis=0)
    np.testing.assert_array_equal(np.delete(whole[1], 4, axis=0), others)
    np.testing.assert_allclose(whole[1, 4], (*others[:, :2].mean(axis=0), 0.0), rtol=1e-5)
    np.testing.assert_array_equal(whole[0], poses[0])
