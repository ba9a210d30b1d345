"""Another model or other options, while people are watched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from film import assert_same, film, play, someone
from synthetic import bundle_of, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import ActClassifier, DecisionOptions
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.action import Status
from act_ros.core.person import Person


def test_options_change_while_people_are_watched(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t)], seconds=4.0)
    recognizer = ActionRecognizer(classifier)
    before = play(recognizer, frames[:60])[-1][0]
    recognizer.reconfigure(classifier, None, DecisionOptions(threshold=1.0, hysteresis=0.0))
    [strict] = play(recognizer, frames[60:61])[0]
    assert (before.status, strict.status) == (Status.RECOGNIZED, Status.UNKNOWN)
    assert strict.frames == 30
    recognizer.reconfigure(classifier)
    [again] = play(recognizer, frames[61:62])[0]
    assert (again.status, again.label) == (Status.RECOGNIZED, 'walk')
    recognizer.reconfigure(classifier, WindowOptions(max_gap=0.1))
    assert [recognizer.update(*frame, 'coco17') for frame in frames[70:72]] == [None, None]
    [after] = play(recognizer, frames[72:73])[0]
    assert after.status is Status.BUFFERING, 'the pause was longer than the gap that is allowed'


def test_the_same_model_again_changes_nothing(
    classifier: ActClassifier, tiny_bundle: Path,
) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2')])
    recognizer = ActionRecognizer(classifier)
    answers = play(recognizer, frames[:40])
    recognizer.reconfigure(ActClassifier(tiny_bundle))
    answers += play(recognizer, frames[40:])
    for answer, expected in zip(answers, play(ActionRecognizer(classifier), frames), strict=True):
        assert_same(answer, expected)


@pytest.mark.parametrize(('rate', 'num_frames', 'frames'), [
    (30.0, 20, 20), (15.0, 30, 16), (60.0, 30, 30), (5.0, 30, 30)])
def test_a_model_of_another_window_gets_the_poses_at_hand(
    classifier: ActClassifier, tmp_path: Path, rate: float, num_frames: int, frames: int,
) -> None:
    """The old window's second; for the slowest too little: the last answer and window stand."""
    path = save_bundle(
        tmp_path, bundle_of(frame_rate=rate, num_frames=num_frames), tiny_model())
    recognizer, walk = ActionRecognizer(classifier), film(lambda t: [someone(t)], seconds=3.0)
    play(recognizer, walk[:60])
    recognizer.reconfigure(ActClassifier(path))
    [action] = play(recognizer, walk[60:61])[0]
    assert (action.status, action.frames) == (Status.RECOGNIZED, frames)
    [action] = play(recognizer, walk[61:])[-1]
    assert (action.status, action.label) == (Status.RECOGNIZED, 'walk')
    assert action.window_end > walk[61][0]


def test_a_model_of_other_labels_decides_anew_from_the_same_poses(
    classifier: ActClassifier, tmp_path: Path,
) -> None:
    path = save_bundle(tmp_path, bundle_of(labels=('rest', 'go', 'hail')), tiny_model())
    recognizer, frames = ActionRecognizer(classifier), film(lambda t: [someone(t)], seconds=5.0)
    [before] = play(recognizer, frames[:60])[-1]
    recognizer.reconfigure(ActClassifier(path))
    [after] = play(recognizer, frames[60:61])[0]
    assert (before.label, after.label, after.person_id) == ('walk', 'go', 'p1')
    assert after.duration == 0 and before.duration > 0.5
    recognizer.reconfigure(classifier)
    [lost] = play(recognizer, [(stamp, []) for stamp, _ in frames[61:101]])[-1]
    assert (lost.status, lost.label) == (Status.LOST, ''), 'what the other model said is void'


def test_a_model_without_attention_tells_none(
    classifier: ActClassifier, attention_bundle: Path,
) -> None:
    recognizer, frames = ActionRecognizer(ActClassifier(attention_bundle)), film(
        lambda t: [someone(t)])
    [before] = play(recognizer, frames[:50])[-1]
    recognizer.reconfigure(classifier)
    [after] = play(recognizer, frames[50:])[-1]
    assert (len(before.attention), len(after.attention)) == (30, 0)
    assert before.label == after.label == 'walk'


def test_other_labels_are_allowed_for_those_already_watched(classifier: ActClassifier) -> None:
    recognizer, frames = ActionRecognizer(classifier), film(lambda t: [someone(t)], seconds=4.0)
    told = [play(recognizer, frames[:40])[-1][0].label]
    for begin, labels in ((40, ['wave', 'standing']), (60, ['walk']), (80, [])):
        recognizer.reconfigure(classifier, labels=labels)
        told.append(play(recognizer, frames[begin:begin + 20])[-1][0].label)
    assert told == ['walk', '', 'walk', 'walk']


def test_answers_that_are_no_numbers_are_passed_over(
    classifier: ActClassifier, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last answer stands, and those of a sound model come as if nothing had been."""
    sick, frames = ActClassifier(tiny_bundle), film(lambda t: [someone(t)])
    predict = sick.predict
    monkeypatch.setattr(sick, 'predict', lambda *poses: predict(*poses)._replace(
        probabilities=np.full((1, 3), np.nan, np.float32)))
    recognizer = ActionRecognizer(classifier, WindowOptions(max_rate=0.0))
    play(recognizer, frames[:30])
    recognizer.reconfigure(sick, WindowOptions(max_rate=0.0))
    assert {action.label for [action] in play(recognizer, frames[30:40])} == {'walk'}
    assert recognizer.drops == {'answer of the model that is no number': 10}
    recognizer.reconfigure(classifier, WindowOptions(max_rate=0.0))
    [action] = play(recognizer, frames[40:])[-1]
    assert action.label == 'walk' and np.isfinite(action.probabilities).all()


def test_a_model_that_does_not_fit_is_refused_and_changes_nothing(
    classifier: ActClassifier, tmp_path: Path,
) -> None:
    other = ActClassifier(save_bundle(
        tmp_path, bundle_of(labels=('standing', 'go', 'wave')), tiny_model()))
    blind = ActClassifier(save_bundle(
        tmp_path / 'blind', bundle_of(layout='coco17'), tiny_model(np.zeros((3, 68), np.float32))))
    frames = film(lambda t: [reduced(someone(t))])
    recognizer = ActionRecognizer(classifier, labels=['walk'])
    answers = play(recognizer, frames[:40], 'mpose13_coco')
    with pytest.raises(ValueError, match='labels: walk not among the labels of model'):
        recognizer.reconfigure(other, labels=['walk'])
    with pytest.raises(ValueError, match='joint'):
        recognizer.reconfigure(blind, labels=['walk'])
    answers += play(recognizer, frames[40:], 'mpose13_coco')
    expected = play(ActionRecognizer(classifier, labels=['walk']), frames, 'mpose13_coco')
    for answer, wanted in zip(answers, expected, strict=True):
        assert_same(answer, wanted)


def reduced(person: Person) -> Person:
    """Return a person in the layout mpose13_coco, whose head is one joint: here the right ear."""
    return dataclasses.replace(person, keypoints=person.keypoints[4:])
