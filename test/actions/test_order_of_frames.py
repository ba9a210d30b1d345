"""Whose stamps are to be believed, frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from film import assert_same, film, play, someone
from synthetic import SECOND

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.action import Status
from act_ros.core.stamps import Order

HOUR = 3600 * SECOND


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


def test_a_jump_back_loses_two_frames_and_begins_anew(classifier: ActClassifier) -> None:
    frames = film(lambda t: [someone(t), someone(t, 'wave', 'p2')])
    recognizer = ActionRecognizer(classifier)
    play(recognizer, frames)
    assert [recognizer.update(*frame, 'coco17') for frame in frames[:2]] == [None, None]
    for answer, expected in zip(play(recognizer, frames[2:]),
                                play(ActionRecognizer(classifier), frames[2:]), strict=True):
        assert_same(answer, expected)
    assert recognizer.drops == {Order.OUTLIER.value: 2, Order.JUMP.value: 1}


@pytest.mark.parametrize(('gap', 'lost', 'status'), [
    (0.4, 0, Status.RECOGNIZED), (0.7, 2, Status.BUFFERING), (5.0, 2, Status.BUFFERING)])
def test_a_long_gap_starts_a_new_window(
    recognizer: ActionRecognizer, gap: float, lost: int, status: Status,
) -> None:
    """Who walks on is known again within a window, at the price of two frames."""
    play(recognizer, film(lambda t: [someone(t)]))
    frames = [(stamp + round((2 + gap) * SECOND), people)
              for stamp, people in film(lambda t: [someone(t)])]
    assert [recognizer.update(*frame, 'coco17') for frame in frames[:lost]] == [None] * lost
    answers = play(recognizer, frames[lost:])
    assert answers[0][0].status is status
    assert (answers[0][0].frames == 1) == (status is Status.BUFFERING)
    assert {a.label for [a] in answers[10:]} == {'walk'}
    assert recognizer.drops.total() == lost


BAD: dict[str, Callable[[int], int]] = {
    'hour on': lambda stamp: stamp + HOUR, 'hour back': lambda stamp: stamp - HOUR,
    '5 s on': lambda stamp: stamp + 5 * SECOND, '5 s back': lambda stamp: stamp - 5 * SECOND,
    '0.7 s on': lambda stamp: stamp + 7 * SECOND // 10, 'zero': lambda stamp: 0,
    'before 1970': lambda stamp: -1, 'anything': lambda stamp: 2**62 + 977 * stamp % 2**40}


@pytest.mark.parametrize('is_bad', [
    lambda i: i == 40, lambda i: i % 10 == 5, lambda i: i > 5 and i % 2],
    ids=['once', 'one in ten', 'every second'])
@pytest.mark.parametrize('kind', BAD)
def test_stamps_out_of_line_cost_their_frames_alone(
    classifier: ActClassifier, is_bad: Callable[[int], bool], kind: str,
) -> None:
    """As if those frames were missing."""
    recognizer, undisturbed = ActionRecognizer(classifier), ActionRecognizer(classifier)
    lost = 0
    for i, (stamp, people) in enumerate(film(lambda t: [someone(t)])):
        stamp += 9 * HOUR
        if is_bad(i):
            assert recognizer.update(BAD[kind](stamp), people, 'coco17') is None
            lost += 1
            continue
        answer, expected = (r.update(stamp, people, 'coco17') for r in (recognizer, undisturbed))
        assert answer is not None and expected is not None
        assert_same(answer, expected)
    assert answer is not None and answer[0].label == 'walk'
    assert recognizer.drops.total() == lost > 0


@pytest.mark.parametrize('is_bad', [
    lambda i: i == 0, lambda i: i == 1, lambda i: i % 2], ids=['first', 'second', 'odd'])
@pytest.mark.parametrize('kind', [kind for kind in BAD if kind != 'anything'])
def test_stamps_out_of_line_from_the_start_cost_hardly_more(
    recognizer: ActionRecognizer, is_bad: Callable[[int], bool], kind: str,
) -> None:
    """Of the first two stamps nobody can tell which is wrong."""
    for i, (stamp, people) in enumerate(film(lambda t: [someone(t)])):
        stamp += 9 * HOUR
        answer = recognizer.update(BAD[kind](stamp) if is_bad(i) else stamp, people, 'coco17')
        assert i < 3 or is_bad(i) or answer is not None
    answer = recognizer.update(stamp + SECOND // 30, people, 'coco17')
    assert answer is not None and answer[0].label == 'walk'


@pytest.mark.parametrize('offset', [0.7, 5.0, -0.7, -5.0, 3600.0])
@pytest.mark.parametrize('every', [1, 2, 3])
def test_of_two_sources_the_first_is_followed_and_both_are_named(
    classifier: ActClassifier, offset: float, every: int,
) -> None:
    """The other one is, as soon as three of its frames come in a row."""
    recognizer, alone = ActionRecognizer(classifier), ActionRecognizer(classifier)
    intruders = 0
    for i, (stamp, people) in enumerate(film(lambda t: [someone(t)])):
        stamp, other = stamp + HOUR, stamp + HOUR + round(offset * SECOND) + 7_000_000
        answer, expected = (r.update(stamp, people, 'coco17') for r in (recognizer, alone))
        assert answer is not None and expected is not None
        assert_same(answer, expected)
        if i >= 5 and i % every == 0:
            intruders += 1
            assert recognizer.update(other, [someone(0.0, 'wave')], 'coco17') is None
    assert recognizer.drops == {Order.OUTLIER.value: 1, Order.INTERLEAVED.value: intruders - 1}
    answers = [recognizer.update(other + i * SECOND // 30, [], 'coco17') for i in range(1, 6)]
    assert [answer is None for answer in answers] == [True, False, False, False, False]


def test_stamps_that_are_0_every_second_time_are_passed_over(recognizer: ActionRecognizer) -> None:
    for i, (stamp, people) in enumerate(film(lambda t: [someone(t)])):
        answer = recognizer.update(stamp + HOUR if i % 2 else 0, people, 'coco17')
        assert i < 5 or (answer is None) != bool(i % 2)
        if i > 50 and answer:
            assert answer[0].label == 'walk'
    assert set(recognizer.drops) == {Order.UNSTAMPED.value}


def test_a_camera_without_stamps_is_named(recognizer: ActionRecognizer) -> None:
    answers = [recognizer.update(0, people, 'coco17') for _, people in film(lambda t: [])]
    assert answers == [[]] + [None] * 60
    assert recognizer.drops == {Order.UNSTAMPED.value: 60}


@pytest.mark.parametrize('seconds', [0.6, 1.0, 10.0])
def test_a_slow_stream_loses_nothing(recognizer: ActionRecognizer, seconds: float) -> None:
    play(recognizer, [(round(i * seconds * SECOND), [someone(0.0)]) for i in range(1, 20)])
    assert not recognizer.drops
