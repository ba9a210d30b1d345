"""What the report's timelines show of a bag."""

from __future__ import annotations

import numpy as np
import pytest

from act_ros.core.action import Action, Status
from act_ros.evaluation.trace import Trace
from act_ros.recordings.labels import Label

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
NAMES = ('walk', 'wave')


def answer(person: str, status: Status, *probabilities: float) -> Action:
    """Return an action."""
    label = NAMES[int(np.argmax(probabilities))] if status is Status.RECOGNIZED else ''
    return Action(person, status, label, 0, 0.9, np.array(probabilities), 1.0, 0, 0, 30,
                  np.zeros(4), np.zeros(0))


def test_runs_of_answers_and_of_truth_end_with_their_last_frame() -> None:
    trace = Trace(NAMES, START, duration=10.0, frame=0.1, max_gap=0.6)
    truth = Label(1, START, START + 10 * SECOND, 'wave', 'anna', '')
    for i in range(100):
        status = Status.BUFFERING if i < 20 else Status.RECOGNIZED
        seen = not 50 <= i < 60 and i not in (70, 71)  # a second is a gap, 0.3 s are none
        answers = [answer('p1', status, 0.1, 0.9)] if seen else []
        trace.add(START + i * SECOND // 10, answers, [(truth, answers[0] if seen else None)])
    first, other = trace.to_dict()['people']
    assert trace.to_dict()['left_out'] == 0
    assert (first['id'], other['id']) == ('p1', 'anna'), 'who is not found is called as labelled'
    assert first['answers'] == [[0, 2, 'BUFFERING'], [2, 5, 'wave'], [6, 10, 'wave']]
    assert first['truth'] == [[0, 5, 'wave'], [6, 10, 'wave']]
    assert other['truth'] == [[5, 6, 'wave'], [7, 7.2, 'wave']] and not other['answers']


def test_a_run_ends_where_the_next_one_begins() -> None:
    trace = Trace(NAMES, START, duration=1.0, frame=0.1, max_gap=0.6)
    for time, likely in ((0.0, (0.9, 0.1)), (0.05, (0.1, 0.9))):
        trace.add(START + round(time * SECOND), [answer('p1', Status.RECOGNIZED, *likely)], [])
    (person,) = trace.to_dict()['people']
    assert person['answers'] == [[0, 0.05, 'walk'], [0.05, 0.15, 'wave']]


@pytest.mark.parametrize(('duration', 'width'), [(10.0, 0.04), (150.0, 0.1)])
def test_probabilities_are_means_of_a_column_the_likeliest_class_first(
    duration: float, width: float,
) -> None:
    trace = Trace(NAMES, START, duration, frame=0.01, max_gap=0.6)
    for time, status, likely in (
            (0.0, Status.RECOGNIZED, (0.1, 0.9)), (0.6, Status.RECOGNIZED, (0.3, 0.7)),
            (1.6, Status.UNKNOWN, (0.4, 0.6)), (2.5, Status.LOST, (1.0, 0.0)),
            (3.5, Status.BUFFERING, ())):
        trace.add(START + round(time * width * SECOND), [answer('p1', status, *likely)]
                  if likely else [], [])
    found = trace.to_dict()
    assert found['column'] == width
    (person,) = found['people']
    assert person['columns'] == [0, 1]
    assert person['bands'] == [{'label': 'wave', 'values': [0.8, 0.6]},
                               {'label': 'walk', 'values': [0.2, 0.4]}]


def test_people_seen_longest_are_shown_and_others_counted() -> None:
    trace = Trace(NAMES, START, duration=10.0, frame=0.1, max_gap=0.6)
    for i in range(3):
        people = [f'p{n}' for n in range(42) if n not in (5, 7) or not i]
        trace.add(START + i * SECOND // 10,
                  [answer(name, Status.RECOGNIZED, 0.15, 0.85) for name in people], [])
    found = trace.to_dict()
    assert found['left_out'] == 2
    assert [person['id'] for person in found['people']] == [
        f'p{n}' for n in range(42) if n not in (5, 7)]
    assert [band['label'] for band in found['people'][0]['bands']] == ['wave'], 'none is unlikely'
