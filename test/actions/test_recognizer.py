"""`ActionRecognizer`: a level for every frame, and the same at any rate."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from film import assert_same, film, play, someone
from synthetic import LABELS, SECOND, bundle_of, person, stamps, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import ActClassifier, DecisionOptions, Prediction
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.action import Action, Status
from act_ros.core.person import Person
from act_ros.core.rotation import turn_person
from act_ros.pictures.timeline import frame_line


def test_from_first_sight_to_forgotten(recognizer: ActionRecognizer) -> None:
    frames = film(lambda t: [someone(t)] if t <= 2.99 else [], seconds=5.0)
    answers = play(recognizer, frames)
    last_seen = max(stamp for stamp, persons in frames if persons)
    for i, ((stamp, _), answer) in enumerate(zip(frames, answers, strict=True)):
        if stamp - last_seen > 2 * SECOND:
            assert answer == []
            continue
        [action] = answer
        if stamp - last_seen > WindowOptions().max_gap * SECOND:
            assert action.status is Status.LOST
            assert action.duration == pytest.approx((stamp - last_seen) / SECOND)
        elif i < 9:
            assert action.status is Status.BUFFERING
            assert (action.label, action.label_id, action.confidence) == ('', -1, 0.0)
            assert action.probabilities.shape == (0,)
            assert action.frames == i + 1
        elif i >= 29:
            assert (action.status, action.label, action.label_id) == (Status.RECOGNIZED, 'walk', 1)
            assert action.confidence == action.probabilities[1] > 0.6
            assert action.frames == 30
            assert action.window_end == min(stamp, last_seen)
            assert action.window_end - action.window_start == round(29 / 30 * SECOND)
        assert action.person_id == 'p1'
    assert answers[-1] == []
    durations = [a[0].duration for a in answers[40:60]]
    np.testing.assert_allclose(np.diff(durations), 1 / 30, atol=1e-6)


def test_one_image_missed_at_three_and_a_half_a_second_is_no_gap(
    recognizer: ActionRecognizer,
) -> None:
    frames = film(lambda t: [someone(t)], rate=3.5, seconds=6.0)
    frames = [(stamp, [] if i % 4 == 3 else persons)
              for i, (stamp, persons) in enumerate(frames)]
    for action, in play(recognizer, frames)[8:]:
        assert action.status not in (Status.BUFFERING, Status.LOST) and action.frames == 30


@pytest.mark.parametrize('rate', [5.0, 12.0, 30.0, 60.0, 200.0])
@pytest.mark.parametrize('jitter', [0.0, 0.4])
def test_the_same_motion_has_the_same_answer_at_any_rate(
    recognizer: ActionRecognizer, rate: float, jitter: float,
) -> None:
    def scene(time: float) -> list[Person]:
        return [someone(time, label, label, 300.0 * i) for i, label in enumerate(LABELS)]

    for answer, stamp in zip(play(recognizer, film(scene, rate, 3.0, jitter)),
                             stamps(rate, 3.0, jitter), strict=True):
        if stamp > 2.5 * SECOND:
            assert [a.label for a in answer] == list(LABELS)
            assert all(a.confidence > 0.75 for a in answer)
    assert not recognizer.drops


def test_the_first_answer_comes_as_early_at_any_rate(classifier: ActClassifier) -> None:
    for rate in (10.0, 30.0, 60.0, 120.0):
        frames = film(lambda t: [someone(t)], rate, 1.0)
        answers = play(ActionRecognizer(classifier), frames)
        first = next(stamp for (stamp, _), [a] in zip(frames, answers, strict=True)
                     if a.status is not Status.BUFFERING)
        assert 8 / 30 <= (first - frames[0][0]) / SECOND <= 9 / 30 + 1 / rate


def test_fifty_people(recognizer: ActionRecognizer) -> None:
    def scene(time: float) -> list[Person]:
        crowd = [someone(time, LABELS[i % 3], f'p{i}', 100.0 * i) for i in range(50)]
        return crowd[::-1] if round(time * 30) % 2 else crowd

    answer = play(recognizer, film(scene))[-1]
    assert [a.person_id for a in answer] == [f'p{i}' for i in range(50)]
    assert [a.label for a in answer] == [LABELS[i % 3] for i in range(50)]
    assert not recognizer.drops


def test_more_people_than_allowed_the_surest_stay(classifier: ActClassifier) -> None:
    recognizer = ActionRecognizer(classifier, WindowOptions(max_persons=2))
    people = [dataclasses.replace(someone(0.0, id=f'p{i}'), score=score)
              for i, score in enumerate((0.5, 0.9, 0.7, np.nan))]
    answer = recognizer.update(SECOND, people, 'coco17')
    assert answer is not None
    assert [a.person_id for a in answer] == ['p1', 'p2']
    assert recognizer.drops == {'too many persons': 2}
    answer = recognizer.update(2 * SECOND, people[:3], 'coco17')  # one too many
    assert answer is not None
    assert [a.person_id for a in answer] == ['p1', 'p2']
    assert recognizer.drops == {'too many persons': 3}


def test_nobody_is_an_answer_too(recognizer: ActionRecognizer) -> None:
    assert play(recognizer, film(lambda t: [])) == [[]] * 61


def test_an_unknown_layout_is_refused_and_harms_nothing(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t)])
    recognizer = ActionRecognizer(classifier)
    answers = play(recognizer, frames[:40])
    for layout, victim in (('kinect', recognizer), ('', ActionRecognizer(classifier))):
        with pytest.raises(ValueError, match=f"unknown keypoint layout '{layout}'"):
            victim.update(frames[40][0], frames[40][1], layout)
    answers += play(recognizer, frames[40:])
    for answer, expected in zip(answers, play(ActionRecognizer(classifier), frames), strict=True):
        assert_same(answer, expected)


def test_a_layout_the_model_cannot_read_is_refused_at_once(tmp_path: Path) -> None:
    model = tiny_model(np.zeros((3, 68), np.float32))
    classifier = ActClassifier(save_bundle(tmp_path, bundle_of(layout='coco17'), model))
    recognizer = ActionRecognizer(classifier)
    with pytest.raises(ValueError, match="'mpose13_coco' has no joint 'nose'"):
        recognizer.update(SECOND, [], 'mpose13_coco')
    play(recognizer, film(lambda t: [someone(t)]))


def test_another_layout_begins_anew(recognizer: ActionRecognizer) -> None:
    walk = film(lambda t: [someone(t)])
    play(recognizer, walk)
    reduced = [person(np.ones((13, 3), np.float32) * 50, 'p1')]
    [action] = play(recognizer, [(3 * SECOND + SECOND // 10, reduced)], 'mpose13_coco')[0]
    assert (action.status, action.frames) == (Status.BUFFERING, 1)
    play(recognizer, [(stamp + 2 * SECOND + SECOND // 5, people) for stamp, people in walk])


def test_windows_begin_anew_in_images_of_another_size(recognizer: ActionRecognizer) -> None:
    """An id of another package goes on there; poses of two scales look like a leap."""
    cause = 'everything before another image size'
    for i, (stamp, people) in enumerate(film(lambda t: [someone(t)], seconds=2.0)):
        size = (640, 480) if i % 2 else (0, 0)  # one that is not known says nothing
        [action] = recognizer.update(stamp, people, 'coco17', size=size) or []
    assert action.status is Status.RECOGNIZED and not recognizer.drops[cause]
    [action] = recognizer.update(
        stamp + SECOND // 30, [someone(2.0)], 'coco17', size=(1280, 960)) or []
    assert (action.status, action.frames) == (Status.BUFFERING, 1)
    assert recognizer.drops[cause] == 1


def test_the_same_input_gives_the_same_output(attention_bundle: Path) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2')], jitter=0.3)
    runs = [[frame_line(0, answer) for answer in
             play(ActionRecognizer(ActClassifier(attention_bundle)), frames)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_answers_once_given_do_not_change(attention_bundle: Path) -> None:
    recognizer = ActionRecognizer(ActClassifier(attention_bundle))
    answers, copies = [], []
    for frame in film(lambda t: [someone(t, 'walk' if t < 2 else 'wave')], seconds=3.0):
        [action] = play(recognizer, [frame])[0]
        answers.append(action)
        copies.append([getattr(action, f.name) for f in dataclasses.fields(Action)])
        copies[-1] = [x.copy() if isinstance(x, np.ndarray) else x for x in copies[-1]]
    for action, copy in zip(answers, copies, strict=True):
        for item, value in zip(dataclasses.fields(Action), copy, strict=True):
            np.testing.assert_array_equal(getattr(action, item.name), value)
    assert {a.label for a in answers} == {'', 'walk', 'wave'}


def test_attention_is_handed_on(attention_bundle: Path) -> None:
    recognizer = ActionRecognizer(ActClassifier(attention_bundle), WindowOptions(max_rate=0.0))
    answers = play(recognizer, film(lambda t: [someone(t)]))
    assert [len(a.attention) for [a] in answers[:9]] == [0] * 9
    assert [len(a.attention) for [a] in answers[9:]] == [min(n, 30) for n in range(10, 62)]
    assert answers[-1][0].attention.sum() == pytest.approx(1.0, abs=1e-5)


def test_every_state_is_a_line_of_json(recognizer: ActionRecognizer) -> None:
    answers = play(recognizer, film(
        lambda t: [someone(t, id='"é"'), someone(t, 'wave')] if t < 2.5 else [], seconds=3.0))
    seen = set()
    for answer in answers:
        truths = [f'{{"n": {i}}}' for i in range(len(answer))]
        line = frame_line(1_500_000_000, answer, truths, ', "time": 2')
        assert json.loads(line) == {'stamp': 1.5, 'time': 2, 'actions': [{
            'person_id': a.person_id, 'label': a.label, 'label_id': a.label_id,
            'confidence': round(a.confidence, 4), 'status': a.status.name,
            'duration': round(a.duration, 3), 'window_start': a.window_start / SECOND,
            'window_end': a.window_end / SECOND, 'frames': a.frames,
            'box': [round(x, 1) for x in a.box.tolist()],
            'probabilities': np.round(a.probabilities.astype(float), 4).tolist(),
            'truth': {'n': i}} for i, a in enumerate(answer)]}
        assert line.endswith('}\n') and line.count('\n') == 1
        seen |= {action.status.name for action in answer}
    assert json.loads(frame_line(SECOND, [])) == {'stamp': 1.0, 'actions': []}
    assert seen == {'BUFFERING', 'RECOGNIZED', 'LOST'}


def test_only_labels_asked_for_are_answered(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2')])
    answer = play(ActionRecognizer(classifier, labels=['wave', 'standing']), frames)[-1]
    assert [(a.status, a.label) for a in answer] == [
        (Status.UNKNOWN, ''), (Status.RECOGNIZED, 'wave')]
    with pytest.raises(ValueError, match="labels: fly, swim not among.*'tiny': standing, walk"):
        ActionRecognizer(classifier, labels=['swim', 'walk', 'fly'])


def test_the_threshold_is_the_bundle_s_unless_set(tmp_path: Path) -> None:
    strict = save_bundle(tmp_path, bundle_of(unknown_threshold=0.9999), tiny_model())
    frames = film(lambda t: [someone(t)])
    for options, status in ((DecisionOptions(), Status.UNKNOWN),
                            (DecisionOptions(threshold=0.5), Status.RECOGNIZED)):
        [action] = play(ActionRecognizer(ActClassifier(strict), decision=options), frames)[-1]
        assert action.status is status
        assert action.confidence == action.probabilities.max()


def test_who_forgets_quickly(classifier: ActClassifier) -> None:
    recognizer = ActionRecognizer(classifier, WindowOptions(forget_after=0.0, max_gap=0.2))
    play(recognizer, film(lambda t: [someone(t)]))
    assert len(play(recognizer, [(3 * SECOND + SECOND // 5, [])])[0]) == 1
    assert play(recognizer, [(3 * SECOND + SECOND // 5 + 1, [])]) == [[]]


@pytest.mark.parametrize('rotation', [90, 180, 270])
def test_a_camera_on_its_side_is_answered_in_its_own_pixels(
    classifier: ActClassifier, rotation: int,
) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2', 600.0)])
    turned = [(stamp, [turn_person(p, -rotation % 360, 640, 480) for p in people])
              for stamp, people in frames]
    upright = play(ActionRecognizer(classifier), frames)[-1]
    answer = play(ActionRecognizer(classifier, rotation=rotation), turned)[-1]
    assert [a.label for a in answer] == [a.label for a in upright] == ['walk', 'wave']
    for action, seen in zip(answer, turned[-1][1], strict=True):
        np.testing.assert_allclose(action.box, seen.box, atol=1e-3)


def test_reset(recognizer: ActionRecognizer) -> None:
    frames = film(lambda t: [someone(t)])
    play(recognizer, frames[:50])
    recognizer.reset()
    assert [a.status for a in play(recognizer, frames[50:])[0]] == [Status.BUFFERING]


def test_ids_that_never_come_again_do_not_pile_up(classifier: ActClassifier) -> None:
    recognizer = ActionRecognizer(classifier, WindowOptions(max_persons=5, forget_after=60.0))
    for i in range(100):
        answer = recognizer.update(
            SECOND + i * SECOND // 30, [someone(0.0, id='p0'), someone(0.0, id=f'x{i}')], 'coco17')
    assert answer is not None
    names = [a.person_id for a in answer]
    assert len(names) == 10 and names[0] == 'p0' and names[-1] == 'x99'


@pytest.mark.parametrize(('max_rate', 'camera', 'expected'), [
    (0.0, 120.0, 120.0), (10.0, 30.0, 10.0), (10.0, 25.0, 10.0), (10.0, 12.0, 10.0),
    (30.0, 30.0, 30.0), (1000.0, 60.0, 60.0)])
@pytest.mark.parametrize('jitter', [0.0, 0.2])
def test_classifies_no_more_often_than_asked(
    classifier: ActClassifier, monkeypatch: pytest.MonkeyPatch, max_rate: float, camera: float,
    expected: float, jitter: float,
) -> None:
    """In the frames between, the last answer stands, and the level is told all the same."""
    stamps_of_invokes: list[int] = []
    recognizer = ActionRecognizer(classifier, WindowOptions(max_rate=max_rate))
    predict, now = classifier.predict, 0

    def noted(keypoints: np.ndarray, layout: str, min_score: float) -> Prediction:
        stamps_of_invokes.append(now)
        return predict(keypoints, layout, min_score)

    monkeypatch.setattr(classifier, 'predict', noted)
    before: Action | None = None
    for now, persons in film(lambda t: [someone(t)], camera, 6.0, jitter):
        answer = recognizer.update(now, persons, 'coco17')
        assert answer is not None and answer[0].person_id == 'p1'
        if now in stamps_of_invokes:
            assert answer[0].window_end == now
        elif before and before.status is not Status.BUFFERING:
            assert answer[0].window_end == before.window_end < now
            assert answer[0].label == before.label
            assert answer[0].probabilities is before.probabilities
        before = answer[0]
    first, second = stamps_of_invokes[:2]
    assert second - first > 0.6 * SECOND / expected, 'the first windows came too close together'
    rate = (len(stamps_of_invokes) - 1) / (stamps_of_invokes[-1] - stamps_of_invokes[0]) * SECOND
    assert rate == pytest.approx(expected, rel=0.08)
