"""What is no person is counted, and changes nobody's answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from film import assert_same, film, play, someone
from synthetic import SECOND, person, pose, stamps

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.person import Person


def broken(person: Person, **changes: object) -> Person:
    """Return the person as somebody else, with changes."""
    return dataclasses.replace(person, **{'id': 'bad', **changes})  # type: ignore[arg-type]


def filled(value: float, joints: int = 17) -> np.ndarray:
    """Return keypoints that all have one value."""
    return np.full((joints, 3), value, np.float32)


BAD: dict[str, tuple[Callable[[Person], list[Person]], str]] = {
    'NaN': (lambda p: [broken(p, keypoints=filled(np.nan))], 'no keypoint seen'),
    'infinite': (lambda p: [broken(p, keypoints=filled(np.inf))], 'no keypoint seen'),
    'huge': (lambda p: [broken(p, keypoints=filled(1e30))], 'no keypoint seen'),
    'NaN scores': (lambda p: [broken(p, keypoints=p.keypoints * (1, 1, np.nan))],
                   'no keypoint seen'),
    'zeros': (lambda p: [broken(p, keypoints=filled(0.0))], 'no keypoint seen'),
    'too few joints': (lambda p: [broken(p, keypoints=p.keypoints[:16])],
                       'wrong number of keypoints'),
    'too many joints': (lambda p: [broken(p, keypoints=filled(1.0, 25))],
                        'wrong number of keypoints'),
    'no joints': (lambda p: [broken(p, keypoints=np.zeros((0, 3), np.float32))],
                  'wrong number of keypoints'),
    'no scores': (lambda p: [broken(p, keypoints=p.keypoints[:, :2])],
                  'wrong number of keypoints'),
    'no id': (lambda p: [broken(p, id='')], 'person without an id'),
    'id given twice': (lambda p: [broken(p, id='p1', score=0.1)], 'id given twice in a frame'),
}


@pytest.mark.parametrize('bad_at', [range(0, 61), range(25, 26), range(40, 45)],
                         ids=['always', 'once', 'a while'])
@pytest.mark.parametrize('kind', BAD)
def test_a_bad_person_is_counted_and_changes_nobody_s_answer(
    classifier: ActClassifier, kind: str, bad_at: range,
) -> None:
    make, cause = BAD[kind]
    good = film(lambda t: [someone(t), someone(t, 'wave', 'p2', 700.0)])
    for first in (True, False):
        spoilt = [
            (stamp, [*make(people[0]), *people] if first else [*people, *make(people[0])])
            if i in bad_at else (stamp, people) for i, (stamp, people) in enumerate(good)]
        recognizer = ActionRecognizer(classifier)
        answers = play(recognizer, spoilt)
        assert recognizer.drops == {cause: len(bad_at)}
        for answer, expected in zip(
                answers, play(ActionRecognizer(classifier), good), strict=True):
            assert_same(answer, expected)


def test_a_person_who_is_bad_for_a_moment_is_bridged(recognizer: ActionRecognizer) -> None:
    def scene(time: float) -> list[Person]:
        who = someone(time)
        return [broken(who, id='p1', keypoints=filled(np.nan))] if 2.4 < time < 2.6 else [who]

    answers = play(recognizer, film(scene, seconds=3.0))
    assert {a.label for [a] in answers[30:]} == {'walk'}
    assert recognizer.drops['no keypoint seen'] == 5


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30])
def test_some_bad_joints_are_taken_as_unseen(classifier: ActClassifier, value: float) -> None:
    rng = np.random.default_rng(0)
    hidden = rng.random((61, 17)) < 0.3
    spoilt, unseen = [], []
    for i, stamp in enumerate(stamps(30, 2.0)):
        keypoints = pose(stamp / SECOND)
        bad, low = keypoints.copy(), keypoints.copy()
        bad[hidden[i]] = value
        low[hidden[i], 2] = 0.0
        spoilt.append((stamp, [dataclasses.replace(person(keypoints, 'p1'), keypoints=bad)]))
        unseen.append((stamp, [dataclasses.replace(person(keypoints, 'p1'), keypoints=low)]))
    for answer, expected in zip(play(ActionRecognizer(classifier), spoilt),
                                play(ActionRecognizer(classifier), unseen), strict=True):
        if expected[0].frames == 30:  # before, a joint may never have been seen
            np.testing.assert_allclose(
                answer[0].probabilities, expected[0].probabilities, atol=0.02)
    assert answer[0].label == 'walk'


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_box_or_score_that_is_no_number_spoils_nothing(
    recognizer: ActionRecognizer, value: float,
) -> None:
    box = np.array((0, 0, value, 10), np.float32)
    answers = play(recognizer, film(
        lambda t: [dataclasses.replace(someone(t), box=box, score=value), someone(t, id='p2')]))
    assert [a.label for a in answers[-1]] == ['walk', 'walk']
    spoilt, whole = answers[-1]
    np.testing.assert_array_equal(spoilt.box, whole.box)  # that of the joints
