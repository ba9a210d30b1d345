"""The classifier on a real TFLite network: batches, lengths, layouts, calibration, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import LABELS, bundle_of, motion_weights, pose, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import ActClassifier, ActOptions
from act_ros.actions.features import MOTION, MPOSE, SEEN, extract_features
from act_ros.core.skeletons import get_layout


def clip(motion: str, frames: int = 30, x: float = 320.0) -> np.ndarray:
    """Return (T, 17, 3): ``motion`` at 30 fps."""
    return np.stack([pose(t / 30, motion, x=x) for t in range(frames)])


def test_what_the_bundle_says_is_there_to_read(classifier: ActClassifier) -> None:
    assert (classifier.labels, classifier.frame_rate, classifier.num_frames) == (LABELS, 30.0, 30)


def test_motions_are_told_apart(classifier: ActClassifier) -> None:
    probabilities = classifier.classify(np.stack([clip(label) for label in LABELS]), 'coco17')
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities.argmax(axis=1), [0, 1, 2])
    assert (probabilities.max(axis=1) > 0.8).all()


@settings(max_examples=30)
@given(count=st.integers(1, 50), frames=st.integers(10, 30), seed=st.integers(0, 2**32 - 1))
def test_a_batch_equals_one_by_one(
    classifier: ActClassifier, count: int, frames: int, seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 300, (count, frames, 17, 3)).astype(np.float32)
    together = classifier.classify(keypoints, 'coco17')
    assert together.shape == (count, 3)
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-6)
    assert (together >= 0).all()
    alone = np.concatenate([classifier.classify(window[None], 'coco17') for window in keypoints])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_array_equal(together, classifier.classify(keypoints, 'coco17'))


@pytest.mark.parametrize(('min_score', 'score'), [(0.1, 1.0), (0.3, 0.0)])
def test_a_network_that_knows_what_is_seen_is_told_by_the_score_asked_for(
    tmp_path: Path, min_score: float, score: float,
) -> None:
    """Legs that score 0.2 are seen as much as sure ones, or as little as none."""
    classifier = ActClassifier(save_bundle(tmp_path, bundle_of(normalisation=SEEN), tiny_model()))
    keypoints, as_good = clip('walk')[None], clip('walk')[None]
    keypoints[..., 13:, 2], as_good[..., 13:, 2] = 0.2, score
    told, expected = (
        classifier.predict(poses, 'coco17', min_score) for poses in (keypoints, as_good))
    np.testing.assert_array_equal(told.seen, expected.seen)
    np.testing.assert_array_equal(told.probabilities, expected.probabilities)


@pytest.mark.parametrize('normalisation', (MPOSE, MOTION, SEEN))
def test_probabilities_are_the_softmax_of_the_network(
    tmp_path: Path, normalisation: str,
) -> None:
    """A network is fed with the features that its bundle names."""
    classifier = ActClassifier(
        save_bundle(tmp_path, bundle_of(normalisation=normalisation), tiny_model()))
    keypoints = np.stack([clip('walk'), clip('standing')])
    mean = np.abs(extract_features(keypoints, 'coco17', None, normalisation)).mean(axis=1)
    logits = mean @ motion_weights().T + (3.0, 0.0, 0.0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.classify(keypoints, 'coco17'), expected, atol=1e-5)


@pytest.mark.parametrize('temperature', [0.05, 0.5, 2.0, 50.0])
def test_temperature_calibrates(tmp_path: Path, temperature: float) -> None:
    path = save_bundle(tmp_path, bundle_of(temperature=temperature), tiny_model())
    sharp = ActClassifier(path)
    plain = ActClassifier(save_bundle(tmp_path / 'plain', bundle_of(), tiny_model()))
    keypoints = np.stack([clip(label) for label in LABELS])
    expected = plain.classify(keypoints, 'coco17').astype(np.float64) ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharp.classify(keypoints, 'coco17'), expected, atol=1e-5)


def test_huge_logits_do_not_overflow(tmp_path: Path) -> None:
    model = tiny_model(1e6 * motion_weights())
    classifier = ActClassifier(save_bundle(tmp_path, bundle_of(temperature=0.01), model))
    np.testing.assert_array_equal(classifier.classify(clip('walk')[None], 'coco17'), [[0, 1, 0]])


@pytest.mark.parametrize('layout', ['mpose13_openpose', 'mpose13_coco', 'coco17'])
def test_the_same_person_in_another_layout(tmp_path: Path, layout: str) -> None:
    path = save_bundle(tmp_path, bundle_of(layout=layout), tiny_model(motion_weights(layout)))
    probabilities = ActClassifier(path).classify(
        np.stack([clip(label) for label in LABELS]), 'coco17')
    np.testing.assert_array_equal(probabilities.argmax(axis=1), [0, 1, 2])


def test_body25_keypoints_are_read_by_joint_name(classifier: ActClassifier) -> None:
    coco = get_layout('coco17')
    body = np.zeros((1, 30, 25, 3), np.float32)
    for i, joint in enumerate(get_layout('body25').joints):
        if joint in coco.joints:
            body[0, :, i] = clip('wave')[:, coco.joints.index(joint)]
        elif joint in ('neck', 'mid_hip'):
            part = {'neck': 'shoulder', 'mid_hip': 'hip'}[joint]
            pair = [coco.joints.index(f'{side}_{part}') for side in 'lr']
            body[0, :, i] = clip('wave')[:, pair].mean(axis=1)
    np.testing.assert_allclose(
        classifier.classify(body, 'body25'), classifier.classify(clip('wave')[None], 'coco17'),
        atol=1e-5)


def test_attention_where_the_bundle_has_it(
    attention_bundle: Path, classifier: ActClassifier,
) -> None:
    keypoints = np.stack([clip('walk', 20), clip('wave', 20)])
    probabilities, attention, _ = ActClassifier(attention_bundle).predict(keypoints, 'coco17')
    assert attention is not None
    assert attention.shape == (2, 20)
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(probabilities, classifier.classify(keypoints, 'coco17'), atol=1e-6)
    assert classifier.predict(keypoints, 'coco17').attention is None


def test_a_result_is_not_overwritten_by_the_next(attention_bundle: Path) -> None:
    classifier = ActClassifier(attention_bundle)
    first = classifier.predict(clip('walk')[None], 'coco17')
    assert first.attention is not None
    kept = [first.probabilities.copy(), first.attention.copy()]
    classifier.predict(clip('wave')[None], 'coco17')
    np.testing.assert_array_equal(first.probabilities, kept[0])
    np.testing.assert_array_equal(first.attention, kept[1])


@pytest.mark.parametrize('frames', [10, 30])
def test_nobody_at_all(
    classifier: ActClassifier, attention_bundle: Path, frames: int,
) -> None:
    assert classifier.classify(np.zeros((0, frames, 17, 3)), 'coco17').shape == (0, 3)
    with_attention = ActClassifier(attention_bundle).predict(
        np.zeros((0, frames, 17, 3)), 'coco17')
    assert with_attention.attention is not None
    assert with_attention.attention.shape == (0, frames)


@pytest.mark.parametrize(('shape', 'layout', 'problem'), [
    ((30, 17, 3), 'coco17', r'must be \(N, T, K, 3\)'),
    ((1, 9, 17, 3), 'coco17', "9 frames, model 'tiny' takes 10 to 30"),
    ((1, 31, 17, 3), 'coco17', '31 frames'),
    ((0, 0, 17, 3), 'coco17', '0 frames'),
    ((1, 30, 16, 3), 'coco17', 'has 17 joints, keypoints have 16'),
    ((0, 30, 16, 3), 'coco17', 'has 17 joints, keypoints have 16'),
    ((1, 30, 17, 4), 'coco17', 'must be'),
    ((1, 30, 17, 3), 'kinect', 'unknown keypoint layout'),
    ((0, 30, 17, 3), 'kinect', 'unknown keypoint layout'),
])
def test_bad_shapes_and_layouts(
    classifier: ActClassifier, shape: tuple[int, ...], layout: str, problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem):
        classifier.classify(np.ones(shape, np.float32), layout)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_nothing_but_numbers(classifier: ActClassifier, value: float) -> None:
    keypoints = clip('walk')[None]
    keypoints[0, 3, 4, 0] = value
    with pytest.raises(ValueError, match='NaN or infinite'):
        classifier.classify(keypoints, 'coco17')
    assert classifier.classify(clip('walk')[None], 'coco17').argmax() == 1


def test_bad_thread_count(tiny_bundle: Path) -> None:
    with pytest.raises(ValueError, match='num_threads must be at least 1'):
        ActClassifier(tiny_bundle, num_threads=0)


def test_trusted_labels_of_a_model_that_trusts_none_are_not_all_of_them() -> None:
    """Somebody who asked for few answers must not get every one."""
    some = bundle_of(trusted_labels=(LABELS[0],))
    assert ActOptions(labels=('trusted',)).allowed(some) == (LABELS[0],)
    assert ActOptions(labels=('', LABELS[1])).allowed(some) == (LABELS[1],)
    assert ActOptions().allowed(some) == ()
    with pytest.raises(ValueError, match='trusts none of its labels'):
        ActOptions(labels=('trusted',)).allowed(bundle_of(trusted_labels=()))
