"""The decision: smooth, slow to change its mind, and the same at any frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND

from act_ros.actions.bundle import Bundle
from act_ros.actions.classifier import (
    NOT_ALLOWED,
    NOT_SURE,
    TOO_LITTLE_SEEN,
    ActionFilter,
    DecisionOptions,
)
from act_ros.core.action import Status

FRAME = SECOND // 30
FRAMES = 30


def make(threshold: float = 0.6, allowed: Sequence[bool] = (True,) * 3, **options: Any,
         ) -> ActionFilter:
    """Return a filter, by default without smoothing."""
    return ActionFilter(
        DecisionOptions(**{'smoothing': 0.0, **options}), model(threshold), np.array(allowed))


def model(threshold: float, short: float = 0.0) -> Bundle:
    """Return a model with a threshold, by default the same for all windows."""
    return Bundle('model', ('a', 'b', 'c'), 'mpose13_coco', FRAMES, 8, 15.0, 1.0, threshold,
                  short_threshold=short)


def play(decision: ActionFilter, *frames: Sequence[float]) -> list[int]:
    """Feed probabilities at 30 fps and return the label after each frame."""
    labels = []
    for i, frame in enumerate(frames):
        decision.decide(i * FRAME, np.array(frame, np.float32), FRAMES)
        labels.append(decision.label_id)
        assert decision.status is (Status.UNKNOWN if labels[-1] < 0 else Status.RECOGNIZED)
    return labels


def test_it_starts_with_nothing() -> None:
    decision = make()
    assert (decision.status, decision.label_id, decision.confidence) == (Status.BUFFERING, -1, 0.0)
    assert decision.probabilities is None


def test_below_the_threshold_is_unknown() -> None:
    assert play(make(0.6), (0.59, 0.41, 0)) == [-1]
    assert play(make(0.6), (0.61, 0.39, 0)) == [0]
    assert play(make(0.0), (0.34, 0.33, 0.33)) == [0]


@pytest.mark.parametrize(('asked', 'short', 'frames', 'threshold'), [
    (0.0, 0.8, 8, 0.8), (0.0, 0.8, 19, 0.6), (0.0, 0.8, FRAMES, 0.4),
    (0.0, 0.0, 8, 0.4), (0.5, 0.8, 8, 0.5), (0.5, 0.8, FRAMES, 0.5)])
def test_a_window_that_is_not_full_needs_what_lies_between_unless_it_is_asked_for(
        asked: float, short: float, frames: int, threshold: float) -> None:
    """The shortest window of the model has 8 frames."""
    for probability, label in ((threshold - 0.01, -1), (threshold + 0.01, 0)):
        decision = ActionFilter(
            DecisionOptions(threshold=asked), model(0.4, short), np.ones(3, bool))
        rest = (1 - probability) / 2
        decision.decide(0, np.array((probability, rest, rest)), frames)
        assert decision.label_id == label


def test_a_held_label_survives_a_dip_but_not_a_fall() -> None:
    decision = make(0.6, hysteresis=0.1)
    assert play(decision, (0.7, 0.2, 0.1), (0.51, 0.4, 0.09), (0.49, 0.4, 0.11), (0.55, 0.4, 0.05),
                (0.6, 0.3, 0.1)) == [0, 0, -1, -1, 0]


def test_a_held_label_is_given_up_below_half_of_the_threshold_whatever_the_hysteresis() -> None:
    decision = make(0.4, hysteresis=0.5)
    assert play(decision, (0.5, 0.3, 0.2), (0.21, 0.39, 0.4), (0.19, 0.39, 0.39)) == [0, 0, -1]


def test_another_label_must_be_clear_and_lead() -> None:
    decision = make(0.4, hysteresis=0.2)
    assert play(decision, (0.5, 0.4, 0.1), (0.41, 0.59, 0.0), (0.39, 0.61, 0.0)) == [0, 0, 1]
    assert play(make(0.5, hysteresis=0.2), (0.55, 0.45, 0), (0.31, 0.49, 0.2)) == [0, 0]


@given(first=st.floats(0.5, 0.65), smoothing=st.sampled_from([0.0, 0.3]))
def test_alternating_probabilities_do_not_flicker(first: float, smoothing: float) -> None:
    decision = make(0.4, hysteresis=0.35, smoothing=smoothing)
    labels = play(decision, *[(first, 1 - first, 0), (1 - first, first, 0)] * 30)
    assert labels == [labels[0]] * 60


def test_noise_around_the_threshold_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    confidence = 0.6 + rng.uniform(-0.08, 0.08, 300)
    labels = play(make(0.6, hysteresis=0.1), *[(c, 1 - c, 0) for c in confidence])
    assert np.count_nonzero(np.diff(labels)) <= 1
    bare = play(make(0.6, hysteresis=0.0), *[(c, 1 - c, 0) for c in confidence])
    assert np.count_nonzero(np.diff(bare)) > 20


def test_an_unknown_has_its_cause() -> None:
    decision = make(0.6, (True, False, True))
    causes = []
    for probabilities, lack in (
            ((0.9, 0.1, 0), ''), ((0.1, 0.9, 0), ''), ((0.4, 0.3, 0.3), ''),
            ((0.9, 0.1, 0), TOO_LITTLE_SEEN)):
        decision.reset(0)
        decision.decide(FRAME, np.array(probabilities, np.float32), FRAMES, lack)
        causes.append(decision.cause)
        assert decision.label_id == (-1 if decision.cause else 0)
    assert causes == ['', NOT_ALLOWED, NOT_SURE, TOO_LITTLE_SEEN]
    decision.reset(0)
    assert decision.cause == ''


def test_only_allowed_labels_are_answered() -> None:
    decision = make(0.3, allowed=(False, True, True))
    assert play(decision, (0.9, 0.06, 0.04), (0.6, 0.4, 0.0)) == [-1, 1]
    assert decision.confidence == pytest.approx(0.4)
    decision.reset(0)
    play(decision, (0.9, 0.06, 0.04))
    assert decision.confidence == pytest.approx(0.06)


@given(cuts=st.lists(st.floats(0.01, 0.99), max_size=40, unique=True),
       smoothing=st.floats(0.05, 2.0), target=st.floats(0, 1), start=st.floats(0, 1))
def test_smoothing_does_not_depend_on_the_frame_rate(
    cuts: list[float], smoothing: float, target: float, start: float,
) -> None:
    decision = make(smoothing=smoothing)
    decision.decide(SECOND, np.array((start, 1 - start, 0.0)), FRAMES)
    for moment in (*sorted(cuts), 1.0):
        decision.decide(
            SECOND + round(moment * SECOND), np.array((target, 1 - target, 0.0)), FRAMES)
    assert decision.probabilities is not None
    expected = target + (start - target) * np.exp(-1.0 / smoothing)
    np.testing.assert_allclose(decision.probabilities, (expected, 1 - expected, 0), atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), smoothing=st.sampled_from([0.0, 0.3, 10.0]))
def test_smoothed_probabilities_stay_probabilities(seed: int, smoothing: float) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.dirichlet((0.3, 0.3, 0.3), 50).astype(np.float32)
    decision = make(smoothing=smoothing)
    for i, frame in enumerate(frames):
        before = decision.probabilities
        kept = None if before is None else before.copy()
        decision.decide(i * FRAME, frame, FRAMES)
        if before is not None:  # it may be part of an answer already given
            np.testing.assert_array_equal(before, kept)
        assert decision.probabilities is not None
        assert decision.probabilities.dtype == np.float32
        assert decision.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
        assert frames.min() - 1e-6 <= decision.probabilities.min()
        assert decision.confidence <= frames.max() + 1e-6


def test_smoothing_delays_and_zero_does_not() -> None:
    frames = [(0.9, 0.1, 0)] * 10 + [(0.1, 0.9, 0)] * 30
    assert play(make(smoothing=0.0), *frames)[10] == 1
    slow = play(make(smoothing=0.3), *frames)
    assert slow[10] == 0
    assert slow[-1] == 1


def test_since_is_when_the_label_was_first_held() -> None:
    decision = make(0.6)
    play(decision, (0.9, 0.1, 0), (0.8, 0.2, 0), (0.95, 0.05, 0))
    assert decision.since == 0
    decision.decide(3 * FRAME, np.array((0.1, 0.9, 0)), FRAMES)
    decision.decide(4 * FRAME, np.array((0.1, 0.9, 0)), FRAMES)
    assert decision.since == 3 * FRAME
    decision.decide(5 * FRAME, np.array((0.3, 0.4, 0.3)), FRAMES)
    assert (decision.status, decision.since) == (Status.UNKNOWN, 5 * FRAME)
    decision.reset(6 * FRAME)
    assert (decision.status, decision.label_id, decision.since) == (
        Status.BUFFERING, -1, 6 * FRAME)
    assert decision.probabilities is None


def test_the_input_is_not_changed() -> None:
    probabilities = np.array((0.9, 0.1, 0.0))
    decision = make(smoothing=0.3)
    decision.decide(0, probabilities, FRAMES)
    decision.decide(FRAME, np.array((0.0, 0.0, 1.0)), FRAMES)
    np.testing.assert_array_equal(probabilities, (0.9, 0.1, 0.0))
