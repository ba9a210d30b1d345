"""`ActionRecognizer`: a level for every frame, the same at any rate, and deaf to nonsense."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic import LABELS, SECOND, bundle_of, person, pose, stamps, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import ActClassifier, Prediction
from act_ros.actions.decision import DecisionOptions
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.action import Action, Status
from act_ros.core.person import Person
from act_ros.pictures.timeline import frame_line

Scene = Callable[[float], list[Person]]
Frame = tuple[int, list[Person]]


def someone(time: float, motion: str = 'walk', id: str = 'p1', x: float = 320.0) -> Person:
    """Return one person at a time in seconds."""
    return person(pose(time, motion, x=x), id)


def film(
    scene: Scene, rate: float = 30.0, seconds: float = 2.0, jitter: float = 0.0,
) -> list[Frame]:
    """Return stamped frames of a scene."""
    return [(stamp, scene(stamp / SECOND)) for stamp in stamps(rate, seconds, jitter)]


def play(
    recognizer: ActionRecognizer, frames: Sequence[Frame], layout: str = 'coco17',
) -> list[list[Action]]:
    """Return the answer to each frame; there must be one."""
    answers = []
    for stamp, persons in frames:
        answer = recognizer.update(stamp, persons, layout)
        assert answer is not None
        answers.append(answer)
    return answers


def assert_same(actual: Sequence[Action], expected: Sequence[Action]) -> None:
    """Check that actions are equal but for rounding in batches of another size."""
    assert [a.person_id for a in actual] == [e.person_id for e in expected]
    for a, e in zip(actual, expected, strict=True):
        for item in dataclasses.fields(Action):
            mine, wanted = getattr(a, item.name), getattr(e, item.name)
            if isinstance(wanted, (float, np.ndarray)):
                np.testing.assert_allclose(mine, wanted, atol=1e-5)
            else:
                assert mine == wanted, item.name


@pytest.fixture
def recognizer(classifier: ActClassifier) -> ActionRecognizer:
    """Return a recognizer that classifies in every frame."""
    return ActionRecognizer(classifier, WindowOptions(max_rate=0.0))


def test_from_first_sight_to_forgotten(recognizer: ActionRecognizer) -> None:
    frames = film(lambda t: [someone(t)] if t <= 2.99 else [], seconds=5.0)
    answers = play(recognizer, frames)
    last_seen = max(stamp for stamp, persons in frames if persons)
    for i, ((stamp, _), answer) in enumerate(zip(frames, answers, strict=True)):
        if stamp - last_seen > 2 * SECOND:
            assert answer == []
            continue
        [action] = answer
        if stamp - last_seen > SECOND // 2:
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
    assert all(np.isfinite(a.box).all() for a in answers[-1])


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


def test_nobody_is_an_answer_too(recognizer: ActionRecognizer) -> None:
    assert play(recognizer, film(lambda t: [])) == [[]] * 61


@pytest.mark.parametrize('back', [0, 1, SECOND // 30, SECOND // 2])
def test_late_and_repeated_frames_are_dropped(classifier: ActClassifier, back: int) -> None:
    recognizer, undisturbed = ActionRecognizer(classifier), ActionRecognizer(classifier)
    for stamp, people in film(lambda t: [someone(t)]):
        answer = recognizer.update(stamp, people, 'coco17')
        expected = undisturbed.update(stamp, people, 'coco17')
        assert answer is not None and expected is not None
        assert_same(answer, expected)
        stranger = [someone(0.0, 'wave'), someone(0.0, id='p2')]
        assert recognizer.update(stamp - back, stranger, 'coco17') is None
    assert recognizer.drops == {'late or repeated stamp': 61}


def test_a_jump_back_begins_anew(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2')])
    recognizer = ActionRecognizer(classifier)
    first = play(recognizer, frames)
    for answer, expected in zip(play(recognizer, frames), first, strict=True):
        assert_same(answer, expected)
    assert recognizer.drops == {'everything before a jump back in time': 1}


@pytest.mark.parametrize(('gap', 'status'), [(0.4, Status.RECOGNIZED), (0.7, Status.BUFFERING)])
def test_a_long_gap_starts_a_new_window(
    recognizer: ActionRecognizer, gap: float, status: Status,
) -> None:
    play(recognizer, film(lambda t: [someone(t)]))
    [action] = play(recognizer, [(3 * SECOND + round(gap * SECOND), [someone(3 + gap)])])[0]
    assert action.status is status
    assert (action.frames == 1) == (status is Status.BUFFERING)


def test_an_unknown_layout_is_refused_and_harms_nothing(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t)])
    recognizer = ActionRecognizer(classifier)
    answers = play(recognizer, frames[:40])
    with pytest.raises(ValueError, match="unknown keypoint layout 'kinect'"):
        recognizer.update(frames[40][0], frames[40][1], 'kinect')
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
    play(recognizer, film(lambda t: [someone(t)]))
    reduced = [person(np.ones((13, 3), np.float32) * 50, 'p1')]
    [action] = play(recognizer, [(4 * SECOND, reduced)], 'mpose13_coco')[0]
    assert (action.status, action.frames) == (Status.BUFFERING, 1)
    play(recognizer, film(lambda t: [someone(t)]))


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
    with pytest.raises(ValueError, match="labels fly, swim are not among.*'tiny': standing, walk"):
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

    def noted(keypoints: np.ndarray, layout: str) -> Prediction:
        stamps_of_invokes.append(now)
        return predict(keypoints, layout)

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
    [after] = play(recognizer, frames[70:71])[0]
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
    recognizer, frames = ActionRecognizer(classifier), film(
        lambda t: [someone(t)] if t < 3.5 else [], seconds=5.0)
    [before] = play(recognizer, frames[:60])[-1]
    recognizer.reconfigure(ActClassifier(path))
    [after] = play(recognizer, frames[60:61])[0]
    assert (before.label, after.label, after.person_id) == ('walk', 'go', 'p1')
    assert after.duration == 0 and before.duration > 0.5
    recognizer.reconfigure(classifier)
    [lost] = play(recognizer, frames[100:101])[0]
    assert (lost.status, lost.label) == (Status.LOST, ''), 'what the other model said is void'


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
    with pytest.raises(ValueError, match='labels walk are not among those of model'):
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
