"""What is seen decides what is told: people in turn, half bodies, short windows, like labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from synthetic import LABELS, SECOND, bundle_of, person, pose, tiny_model
from test_recognizer import film, play, someone

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import (
    LIES,
    MIN_SCORE,
    NOT_SURE,
    POSE_NOT_SURE,
    TOO_LITTLE_SEEN,
    ActClassifier,
    DecisionOptions,
)
from act_ros.actions.features import is_view_steady, lies
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.action import Status
from act_ros.core.person import Person


def test_people_who_are_seen_in_turn_are_all_answered(classifier: ActClassifier) -> None:
    """The limit of the rate is each person's own: seen in every second frame, nobody starves."""
    recognizer = ActionRecognizer(classifier, WindowOptions(max_rate=10.0))
    for i in range(60):
        who = ('p1', 'p2')[i % 2]
        actions = recognizer.update(SECOND + i * SECOND // 20, [someone(i / 20, id=who)], 'coco17')
    assert actions is not None
    assert {a.person_id: a.status for a in actions} == {
        'p1': Status.RECOGNIZED, 'p2': Status.RECOGNIZED}


def test_of_whom_too_little_is_seen_nothing_is_told(classifier: ActClassifier) -> None:
    """A face and shoulders say nothing, however sure the network is; then more is seen."""
    recognizer = ActionRecognizer(classifier)
    told, causes = [], set()
    for stamp, persons in film(lambda t: [someone(t)], 30.0, 4.0):
        if stamp < 3 * SECOND:
            persons = [dataclasses.replace(p, keypoints=np.where(
                np.arange(17)[:, None] > 6, p.keypoints * (1, 1, 0.1), p.keypoints))
                for p in persons]
        actions = recognizer.update(stamp, persons, 'coco17')
        assert actions is not None
        told.append((stamp, actions[0].status))
        causes |= set(recognizer.unknown)
    early = {status for stamp, status in told if stamp < 3 * SECOND}
    assert early == {Status.BUFFERING, Status.UNKNOWN}
    assert TOO_LITTLE_SEEN in causes <= {TOO_LITTLE_SEEN, NOT_SURE}
    assert told[-1][1] is Status.RECOGNIZED and not recognizer.unknown


@pytest.mark.parametrize(('first_unseen', 'is_enough'), [(11, True), (10, False)])
def test_half_of_the_body_is_enough(
    classifier: ActClassifier, first_unseen: int, is_enough: bool,
) -> None:
    """Somebody at a table, without hips and legs, has 7 of the model's 13 joints."""
    recognizer = ActionRecognizer(classifier)
    scores = np.where(np.arange(17) < first_unseen, 0.9, 0.0)[:, None] ** np.array((0, 0, 1))
    play(recognizer, film(lambda t: [dataclasses.replace(
        p, keypoints=p.keypoints * scores) for p in [someone(t)]], 30.0, 2.0))
    assert (TOO_LITTLE_SEEN not in recognizer.unknown) is is_enough


@pytest.mark.parametrize(('score', 'options', 'is_told'), [
    (0.39, WindowOptions(), False), (0.41, WindowOptions(), True),
    (0.39, WindowOptions(min_pose_score=0.0), True),
    (0.6, WindowOptions(min_pose_score=0.7), False)])
def test_of_a_pose_that_is_not_sure_nothing_is_told(
    classifier: ActClassifier, score: float, options: WindowOptions, is_told: bool,
) -> None:
    """A dog, a post or a shelf has joints, too, and a network sees them sitting."""
    recognizer = ActionRecognizer(classifier, options)
    ones = np.append(np.ones(2, np.float32), np.float32(score))
    frames = film(lambda t: [
        dataclasses.replace(p, keypoints=p.keypoints * ones) for p in [someone(t)]], 30.0, 2.0)
    action = play(recognizer, frames)[-1][0]
    assert (action.status is Status.RECOGNIZED) is is_told
    assert recognizer.unknown == ({} if is_told else {POSE_NOT_SURE: 1})


@pytest.mark.parametrize(('min_score', 'is_told'), [(0.05, True), (0.2, False)])
def test_what_counts_as_seen_is_the_pose_networks_own(
    classifier: ActClassifier, min_score: float, is_told: bool,
) -> None:
    """A network whose scores are low is told so; every joint of it counts then."""
    recognizer = ActionRecognizer(
        classifier, WindowOptions(min_score=min_score, min_pose_score=0.0))
    low = np.array((1, 1, 0.15), np.float32)
    frames = film(lambda t: [
        dataclasses.replace(p, keypoints=p.keypoints * low) for p in [someone(t)]], 30.0, 2.0)
    answers = play(recognizer, frames)[-1]
    assert [a.status is Status.RECOGNIZED for a in answers] == [True] * is_told


def test_joints_that_are_not_seen_do_not_make_a_pose_less_sure(classifier: ActClassifier) -> None:
    """Whose legs are out of the picture is no ghost."""
    recognizer = ActionRecognizer(classifier)
    legs = np.where(np.arange(17) > 12, 0.1, 0.45)[:, None] ** np.array((0, 0, 1))
    frames = film(lambda t: [
        dataclasses.replace(p, keypoints=p.keypoints * legs) for p in [someone(t)]], 30.0, 2.0)
    play(recognizer, frames)
    assert POSE_NOT_SURE not in recognizer.unknown


def test_a_short_window_needs_to_be_surer(tmp_path: Path) -> None:
    bundle = bundle_of(unknown_threshold=0.1, short_threshold=0.99)
    classifier = ActClassifier(save_bundle(tmp_path, bundle, tiny_model()))
    recognizer = ActionRecognizer(classifier, WindowOptions(max_rate=0.0))
    statuses = []
    for stamp, persons in film(lambda t: [someone(t, 'standing')], 30.0, 2.0):
        actions = recognizer.update(stamp, persons, 'coco17')
        assert actions is not None
        statuses.append((actions[0].frames, actions[0].status, actions[0].confidence))
    first = next(s for s in statuses if s[1] is not Status.BUFFERING)
    assert first[0] == bundle.min_frames and first[1] is Status.UNKNOWN
    assert statuses[-1][1] is Status.RECOGNIZED


def test_labels_that_are_alike_are_answered_as_one(classifier: ActClassifier) -> None:
    """Whoever cannot tell jog from run may at least know that somebody does one of them."""
    frames = film(lambda t: [someone(t, 'wave')], 30.0, 2.0)
    apart = play(ActionRecognizer(classifier), frames)[-1][0]
    both = ActionRecognizer(classifier, decision=DecisionOptions(alike=('walk', 'wave')))
    together = play(both, frames)[-1][0]
    assert apart.label == 'wave' and together.label == 'walk'
    walk, wave = LABELS.index('walk'), LABELS.index('wave')
    np.testing.assert_allclose(
        together.probabilities[walk], apart.probabilities[[walk, wave]].sum(), atol=1e-5)
    assert together.probabilities[wave] == 0
    twice = ActionRecognizer(classifier, decision=DecisionOptions(alike=('walk', 'wave', 'walk')))
    np.testing.assert_array_equal(
        play(twice, frames)[-1][0].probabilities, together.probabilities)
    crowd = film(lambda t: [someone(t * (1 + i / 90), 'walk', f'p{i}') for i in range(60)])
    sure = play(ActionRecognizer(classifier, decision=DecisionOptions(
        alike=LABELS, smoothing=0.0)), crowd)
    assert max(a.confidence for actions in sure for a in actions) == 1, 'and never more'
    with pytest.raises(ValueError, match='alike: wave would be answered as walk, which is not'):
        ActionRecognizer(classifier, decision=DecisionOptions(alike=('walk', 'wave')),
                         labels=['wave'])
    with pytest.raises(ValueError, match='alike: hop not among the labels of model'):
        ActionRecognizer(classifier, decision=DecisionOptions(alike=('hop', 'wave')))


@pytest.mark.parametrize(('unseen', 'is_steady'), [
    ({}, True), ({11: -1}, True), ({11: -1, 12: -1}, False), ({13: 0, 14: 0}, False),
    ({11: 0, 12: -1}, True), ({15: -1, 16: -1, 5: 0, 6: 0}, True)])
def test_a_view_is_steady_while_hips_and_knees_stay_in_it(
    unseen: dict[int, int], is_steady: bool,
) -> None:
    """One of a pair is enough; feet may come and go, and so may anything in between."""
    keypoints = np.full((2, 9, 17, 3), MIN_SCORE, np.float32)
    keypoints[1, 4] = 0.0
    for joint, frame in unseen.items():
        keypoints[0, frame, joint, 2] = MIN_SCORE - 0.01
    assert is_view_steady(keypoints, 'coco17', MIN_SCORE).tolist() == [is_steady, True]
    keypoints[0, :, 11:15, 2] = 0.0  # at a table all along
    assert is_view_steady(keypoints, 'coco17', MIN_SCORE).all()


def test_what_needs_a_steady_view_is_not_told_of_others(
    classifier: ActClassifier, tmp_path: Path,
) -> None:
    """Its probability falls on all alike, for nothing is known of it; the neighbour's stays."""
    careful = ActClassifier(save_bundle(
        tmp_path, bundle_of(steady_view=('walk',)), tiny_model()))
    window = np.stack([someone(i / 30).keypoints for i in range(30)])
    windows = np.stack((window, window))
    windows[0, -1, 11:15, 2] = 0.1
    free, told = (c.classify(windows, 'coco17') for c in (classifier, careful))
    walk = LABELS.index('walk')
    assert free[:, walk].min() > 0.5
    share = free[0, walk] / len(LABELS)
    assert told[0] == pytest.approx(np.where(np.arange(len(LABELS)) == walk, 0, free[0]) + share)
    assert np.array_equal(told[1], free[1])


@pytest.mark.parametrize('rate', [0.3, -0.2])
@pytest.mark.parametrize('motion', ['standing', 'walk'])
def test_a_camera_that_drives_to_somebody_changes_nothing(motion: str, rate: float) -> None:
    """A third larger each second, or a fifth smaller, through the model that ships."""
    recognizer = ActionRecognizer(ActClassifier('act_mu'))
    rng = np.random.default_rng(0)
    centre = np.array([320, 240])

    def seen(seconds: float) -> list[Person]:
        keypoints = pose(seconds, motion)
        keypoints[:, :2] = centre + (keypoints[:, :2] - centre) * np.exp(rate * (seconds - 3))
        keypoints[:, :2] += rng.normal(0, 1, (17, 2))
        return [person(keypoints, 'p1')]

    told = [a[0].label for a in play(recognizer, film(seen, 30.0, 4.0)) if a]
    assert set(told[20:]) == {motion}


@pytest.mark.parametrize('motion', ['standing', 'walk'])
@pytest.mark.parametrize('way', [1, -1])
def test_who_leaves_or_enters_at_the_lower_edge_neither_sits_down_nor_gets_up(
    motion: str, way: int,
) -> None:
    """Joints below the edge are seen at the edge, and hardly; so do pose networks."""
    recognizer = ActionRecognizer(ActClassifier('act_mu'))
    rng = np.random.default_rng(0)

    def sinking(seconds: float) -> list[Person]:
        below = max(0.0, (seconds if way > 0 else 4 - seconds) - 1.5) * 120
        keypoints = pose(seconds, motion, y=120 + below)
        keypoints[:, :2] += rng.normal(0, 2, (17, 2))
        is_out = keypoints[:, 1] > 479
        keypoints[is_out, 1] = 479
        keypoints[:, 2] = np.where(is_out, 0.1, 0.7)
        return [person(keypoints, 'p1')]

    labels = {action.label for actions in play(recognizer, film(sinking, 30.0, 4.0))
              for action in actions}
    assert motion in labels and not labels & {'sit-down', 'get-up'}


def posed(lean: float, drop: float) -> np.ndarray:
    """Return poses (8, 17, 3): the trunk leans by degrees, the feet are ``drop`` trunks below."""
    angle = np.radians(lean)
    keypoints = np.full((8, 17, 3), MIN_SCORE, np.float32)
    keypoints[:, 11:13, :2] = 300.0
    keypoints[:, 5:7, :2] = 300 + 100 * np.sin(angle), 300 - 100 * np.cos(angle)
    keypoints[:, 15:17, :2] = 360.0, 300 + 100 * drop
    return keypoints


@pytest.mark.parametrize(('lean', 'drop', 'is_lying'), [
    (0, 1.5, False), (30, 0.0, False), (-30, 0.0, False),  # stands, sits
    (90, 1.4, False), (-80, 0.6, False), (40, 0.6, False),  # bends down, crouches
    (90, 0.1, True), (-90, -0.2, True), (45, 0.4, True), (100, 0.3, True), (180, -1.4, True)])
def test_who_lies_leans_and_has_no_feet_below(lean: float, drop: float, is_lying: bool) -> None:
    """To whichever side; also who is upside down."""
    assert lies(posed(lean, drop), 'coco17', MIN_SCORE) == is_lying


@pytest.mark.parametrize('unseen', [[5, 6], [11, 12], [15, 16]])
def test_of_whom_too_little_is_seen_nobody_knows_that_they_lie(unseen: list[int]) -> None:
    windows = np.stack((posed(90, 0.0), posed(90, 0.0)))
    windows[0, :, unseen, 2] -= 0.01
    windows[1, :, unseen[0], :2] = 0.0  # one of each pair is enough, and this one does not count
    windows[1, :, unseen[0], 2] -= 0.01
    windows[1, :6, :, 2] = 0.0  # nor does what was before the end, or a frame without hips
    windows[1, 7, 11:13] = 0.0
    assert lies(windows, 'coco17', MIN_SCORE).tolist() == [False, True]


def test_somebody_falls_and_gets_up_again(classifier: ActClassifier, tmp_path: Path) -> None:
    """Where none of the labels is done lying nothing is told meanwhile, and the cause is."""
    upright = ActClassifier(save_bundle(tmp_path, bundle_of(upright=True), tiny_model()))

    def falls(seconds: float) -> list[Person]:
        keypoints = pose(seconds)
        if 3 <= seconds < 5:  # from frame 60 to 120 a quarter turn about the hips
            away = keypoints[:, :2] - (320, 220)
            keypoints[:, :2] = away[:, ::-1] * (1, -1) + (320, 220)
        return [person(keypoints, 'p1')]

    told: dict[ActClassifier, list[Status]] = {classifier: [], upright: []}
    for each, statuses in told.items():
        recognizer, causes = ActionRecognizer(each), set[str]()
        for stamp, persons in film(falls, 30.0, 6.0):
            actions = recognizer.update(stamp, persons, 'coco17')
            assert actions
            statuses.append(actions[0].status)
            causes |= set(recognizer.unknown)
        assert (LIES in causes) is (each is upright)
    assert set(told[classifier][30:]) == {Status.RECOGNIZED}
    assert set(told[upright][30:60]) == set(told[upright][135:]) == {Status.RECOGNIZED}
    assert set(told[upright][70:120]) == {Status.UNKNOWN}
