"""The strip below a picture: whose colours are where, and what is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from act_ros.core.action import Action, Status
from act_ros.core.stamps import NANOSECONDS
from act_ros.pictures.captions import label_colour
from act_ros.pictures.drawing import bgr
from act_ros.pictures.history import History

NOTHING = np.zeros(0, np.float32)
WIDTH, SECONDS = 640, 10.0


def doing(person: str, label: str, status: Status = Status.RECOGNIZED) -> Action:
    return Action(person, status, label, 0, 0.9, NOTHING, 1.0, 0, 0, 30, np.zeros(4), NOTHING)


def play(history: History, begin: float, end: float, *actions: Action) -> None:
    for i in range(round(begin * 10), round(end * 10)):
        history.add(i * NANOSECONDS // 10, actions, SECONDS)


def share(strip: np.ndarray, label: str, columns: slice = slice(None)) -> float:
    """Return which part of the strip has a label's colour."""
    return float((strip[:, columns] == bgr(label_colour(label))).all(axis=-1).mean())


def test_a_label_is_where_it_was() -> None:
    history = History()
    play(history, 0, 5, doing('p1', 'walk'))
    play(history, 5, 10, doing('p1', 'box'))
    strip = history.strip(WIDTH, SECONDS)
    early, late = slice(0, WIDTH // 2 - 8), slice(WIDTH // 2 + 8, WIDTH)
    assert share(strip, 'walk', early) > 0.08 and share(strip, 'walk', late) == 0
    assert share(strip, 'box', late) > 0.1 and share(strip, 'box', early) == 0
    play(history, 10, 21, doing('p1', 'box'))
    assert share(history.strip(WIDTH, SECONDS), 'walk') == 0, 'what is older is forgotten'


def test_who_was_away_leaves_a_gap_and_the_size_stays() -> None:
    history = History()
    empty = history.strip(WIDTH, SECONDS)
    play(history, 0, 2, doing('p1', 'walk'))
    play(history, 2, 10)
    strip = history.strip(WIDTH, SECONDS)
    assert share(strip, 'walk', slice(0, 100)) > 0.05
    assert share(strip, 'walk', slice(200, WIDTH)) == 0
    play(history, 10, 11, *(doing(f'p{i}', 'jog') for i in range(50)))
    assert history.strip(WIDTH, SECONDS).shape == strip.shape == empty.shape
    history.add(0, [doing('p2', 'kick')], SECONDS)  # a bag that is played again
    assert share(history.strip(WIDTH, SECONDS), 'jog') == 0


def test_who_is_lost_is_said_to_be() -> None:
    """At the right, where now is, stands no longer what they did."""
    strips = []
    for label in 'walk', 'kick':
        history = History()
        play(history, 0, 2, doing('p1', label))
        play(history, 2, 8, doing('p1', label, Status.LOST))
        play(history, 8, 10)  # forgotten
        strips.append(history.strip(WIDTH, SECONDS)[:, WIDTH // 2:])
    np.testing.assert_array_equal(strips[0], strips[1])


def test_captions_are_read_on_their_own_colour_and_off_it() -> None:
    """Of who is gone the ground is dark, whatever the colour of what was done; or half of it is."""
    history = History()
    play(history, 0, 2, doing('p1', 'walk'))
    play(history, 2, 9.5)
    play(history, 9.5, 10, doing('p2', 'walk'))
    strip = history.strip(WIDTH, SECONDS)
    row = len(strip) // 6
    gone, new = strip[:row, -60:], strip[row:2 * row]
    assert gone.min(axis=-1).max() > 200, 'white on the ground'
    assert new[:, -120:-40].min(axis=-1).max() > 200, 'white beside the bar'
    assert new[:, -25:].max(axis=-1).min() < 50, 'black on it'
    assert (gone >= bgr('#1e1e1e')).all(), 'edges of letters lie between ink and ground'
    assert (new[3:-3, -25:] <= bgr(label_colour('walk'))).all()


def test_who_is_out_of_sight_no_longer_than_a_window_bears_leaves_no_gap() -> None:
    history = History()
    play(history, 0, 2.1, doing('p1', 'walk'))
    play(history, 2.1, 2.6)
    play(history, 2.6, 10, doing('p1', 'walk'))
    part = history.strip(WIDTH, SECONDS)[2:6, WIDTH // 10:WIDTH // 2]
    assert (part == bgr(label_colour('walk'))).all()


def test_a_long_history_is_drawn_as_fast_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time of a frame, however many frames it is of."""
    history, drawn = History(), list[object]()
    play(history, 0, SECONDS, *(doing(f'p{i}', 'walk') for i in range(5)))
    monkeypatch.setattr(cv2, 'rectangle', lambda *arguments: drawn.append(arguments))
    history.strip(WIDTH, SECONDS)
    assert len(drawn) == 2 * 5  # its colour, and that of its letters, for each


def test_ids_that_change_do_not_pile_up() -> None:
    """Of a source without tracking; who stays in sight keeps the past."""
    history = History()
    for i in range(1000):
        history.add(i * NANOSECONDS // 200, [doing(f'q{i}', 'jog'), doing('p', 'walk')], SECONDS)
    assert len(history._rows) == 100
    assert share(history.strip(WIDTH, SECONDS), 'walk') > 0.05


def test_what_is_wrong_is_written_until_it_is_well_or_nobody_says_so() -> None:
    history = History()
    sound = history.strip(WIDTH, SECONDS)
    message = 'nothing for 5 s\x1b[2J' + 10_000 * 'x'
    history.note('act_node: input', message)
    assert (history.strip(WIDTH, SECONDS) != sound).any()
    assert history.strip(3, SECONDS).shape[1] == 3
    history.note('act_node: input', '')
    np.testing.assert_array_equal(history.strip(WIDTH, SECONDS), sound)
    history.note('act_node: input', message)
    play(history, 0, 6)
    np.testing.assert_array_equal(history.strip(WIDTH, SECONDS), sound)
    for number in range(1000):
        history.note(f'motor {number}', message)
    assert (history.strip(WIDTH, SECONDS) != sound).any()
