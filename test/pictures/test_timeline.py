"""The picture of who did what when, and the table of who does what now."""

from __future__ import annotations

import io
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import cv2
import numpy as np
import pytest

from act_ros.core.action import Action, Status
from act_ros.core.place import Place, PlaceKind
from act_ros.pictures.captions import label_colour
from act_ros.pictures.terminal import Screen, table
from act_ros.pictures.timeline import Timeline

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def answer(person: str = 'p1', label: str = 'walk', status: Status = Status.RECOGNIZED) -> Action:
    """Return an action."""
    return Action(person, status, label, 0, 0.9, np.zeros(0), 1.0, 0, 0, 30, np.zeros(4),
                  np.zeros(0))


def picture(
    path: Path, seconds: float, actions: Callable[[float], Sequence[Action]], title: str = 'clip',
) -> np.ndarray:
    """Return the timeline (H, W, 3) BGR of so many seconds, drawn without a warning."""
    timeline = Timeline()
    for i in range(round(seconds * 10)):
        timeline.add(START + i * SECOND // 10, actions(i / 10))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        # An old one does not know which names a new pyparsing prefers.
        warnings.filterwarnings('ignore', category=DeprecationWarning, module='matplotlib')
        timeline.plot(path / 'timeline.png', title)
    image = cv2.imread(str(path / 'timeline.png'))
    assert image is not None
    return image


def where(image: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns that have a colour, in the rows of the people."""
    red, green, blue = bytes.fromhex(colour[1:])
    rows, columns = np.nonzero((image[:axis(image)[0]] == (blue, green, red)).all(axis=-1))
    return rows, columns


def axis(image: np.ndarray) -> tuple[int, int, int]:
    """Return the row of the time axis, and the columns where it begins and ends."""
    row = int(np.argmax((image < 80).all(axis=-1).sum(axis=1)))
    dark = np.flatnonzero((image[row] < 80).all(axis=-1))
    return row, int(dark[0]), int(dark[-1])


def test_time_begins_with_the_first_frame_though_nobody_is_there(tmp_path: Path) -> None:
    image = picture(tmp_path, 10, lambda t: [answer()] if 4 <= t < 8 else [])
    _, begin, end = axis(image)
    _, columns = where(image, label_colour('walk'))
    share = (np.array([columns.min(), columns.max()]) - begin) / (end - begin)
    np.testing.assert_allclose(share, (0.4, 0.8), atol=0.02)


def test_somebody_out_of_sight_no_longer_than_a_window_bears_has_no_gap(tmp_path: Path) -> None:
    image = picture(tmp_path, 10, lambda t: [answer()] if not 4 < t < 4.55 else [])
    _, begin, end = axis(image)
    _, columns = where(image, label_colour('walk'))
    assert set(range(begin + (end - begin) // 3, begin + (end - begin) // 2)) <= set(columns)


def test_a_slow_camera_has_no_gaps_between_frames(tmp_path: Path) -> None:
    image = picture(tmp_path, 4, lambda t: [answer(label='walk' if t < 2 else 'kick')])
    _, walked = where(image, label_colour('walk'))
    _, kicked = where(image, label_colour('kick'))
    assert kicked.min() - walked.max() < 5


def test_memory_does_not_grow_with_the_frames() -> None:
    """A camera may run for days; 30 frames a second of three people were 34 MB an hour."""
    timeline, actions = Timeline(), [answer('p1'), answer('p2', 'run'), answer('p3', 'wave1')]

    def run(begin: int) -> int:
        for i in range(begin, begin + 3000):
            timeline.add(START + i * SECOND // 30, actions)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = run(0)
        assert run(3000) - before < 50_000
    finally:
        tracemalloc.stop()


def test_somebody_who_was_away_has_a_gap(tmp_path: Path) -> None:
    image = picture(tmp_path, 10, lambda t: [answer()] if not 4 <= t < 6 else [])
    _, begin, end = axis(image)
    rows, columns = where(image, label_colour('walk'))
    middle = begin + (end - begin) // 2
    assert columns.min() < middle < columns.max() and middle not in columns


def test_a_label_has_the_same_colour_in_every_clip(tmp_path: Path) -> None:
    for others in ([], ['bend', 'box', 'kick']):
        image = picture(tmp_path, 5, lambda t, others=others: [  # type: ignore[misc]
            answer(), *(answer(f'p{i}', label) for i, label in enumerate(others, 2))])
        for label in ('walk', *others):
            assert len(where(image, label_colour(label))[0]) > 1000


def test_labels_are_written_where_there_is_room(tmp_path: Path) -> None:
    """Not over each other: ten changes a second leave none."""
    image = picture(tmp_path, 5, lambda t: [
        answer(label='box' if round(t * 10) % 2 else 'standing')])
    for label in ('box', 'standing'):
        rows, columns = where(image, label_colour(label))
        for column in np.unique(columns)[3:-3]:
            assert len(set(rows[columns == column])) in (0, int(rows.max() - rows.min() + 1))
    slow = picture(tmp_path, 5, lambda t: [answer(label='box' if t < 2.5 else 'standing')])
    rows, columns = where(slow, label_colour('standing'))
    filled = len(rows) / ((rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1))
    assert 0.7 < filled < 0.998, 'there is room for the label here'


def test_who_is_unsure_is_grey_in_a_row_of_their_own_and_the_colours_are_explained(
    tmp_path: Path,
) -> None:
    image = picture(tmp_path, 10, lambda t: [
        answer('p1'), answer('p2', '', Status.BUFFERING if t < 5 else Status.UNKNOWN)])
    row, begin, end = axis(image)
    walk, buffering, unknown = label_colour('walk'), '#e8e8e8', '#bdbdbd'
    rows, _ = where(image, walk)
    for colour, share in ((buffering, (0, 0.5)), (unknown, (0.5, 1))):
        grey, columns = where(image, colour)
        wide = np.flatnonzero(np.bincount(columns) > 20)  # not the edge of a letter
        np.testing.assert_allclose(
            (wide[[0, -1]] - begin) / (end - begin), share, atol=0.02)
        assert np.median(grey) > rows.max(), 'who came first is at the top'
    for colour in (walk, buffering, unknown):
        blue_green_red = bytes.fromhex(colour[1:])[::-1]
        assert (image[row:] == tuple(blue_green_red)).all(axis=-1).sum() > 50, 'below'


def test_the_confidence_that_is_written_is_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from matplotlib.axes import Axes

    written, write = [], Axes.text

    def text(axes: Axes, x: float, y: float, s: str, **more: Any) -> Any:
        written.append(s)
        return write(axes, x, y, s, **more)

    monkeypatch.setattr(Axes, 'text', text)
    picture(tmp_path, 2, lambda t: [replace(answer(), confidence=0.6 if t < 1 else 0.8)])
    assert written == ['walk\n70%']


def test_nobody_at_all_is_said(tmp_path: Path) -> None:
    image = picture(tmp_path, 5, lambda t: [])
    row, begin, end = axis(image)
    inside = image[row // 3:row - 5, begin:end]
    assert (inside < 100).any(), 'it is written in the middle'
    picture(tmp_path, 0.1, lambda t: [])


@pytest.mark.parametrize('name', [
    '走る', '$x_{1$', '_', '😀', 'é', '\x1b[2J\n', 'x' * 500, '\ud800'])
def test_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    assert picture(tmp_path, 2, lambda t: [answer(name, name)], name).size


def test_many_people(tmp_path: Path) -> None:
    image = picture(tmp_path, 0.5, lambda t: [answer(f'p{i}', f'label {i}') for i in range(200)])
    assert image.shape[0] < 15_000


def columns_of(line: str) -> int:
    """Return how many columns of a terminal a line takes."""
    return sum(2 if east_asian_width(sign) in 'WF' else 1 for sign in line)


@pytest.mark.parametrize('width', [8, 20, 40, 79, 200])
@pytest.mark.parametrize('height', [2, 5, 24])
def test_a_table_fits_the_terminal(width: int, height: int) -> None:
    names = ['p1', 'p' * 100, '太郎' * 20, '\x1b[2J\n', '']
    text = table([answer(name, label) for name in names for label in names], width, height)
    lines = text.splitlines()
    assert len(lines) == min(26, height)
    assert all(columns_of(line) <= width and line.isprintable() for line in lines)
    if height < 26 and width >= 11:
        assert lines[-1] == f'and {26 - height + 1} more'


def test_a_table_says_where_people_are() -> None:
    """Only where something is known, and only where there is room."""
    nearby, beside = answer('p2'), answer('p3')
    nearby.place = Place(PlaceKind.ESTIMATED, (0.0, 0.0, 2.9), 0.0, 2.9, 0.3)
    beside.place = Place(PlaceKind.BEARING, bearing=-0.4)
    lines = table([answer(), nearby, beside]).splitlines()
    assert [line[55:].strip() for line in lines] == ['where', '-', '~2.9 m 0° ahead', '23° left']
    assert 'where' not in table([nearby], 60) and 'where' not in table([answer()])


def test_a_table_never_shows_a_part_as_the_whole() -> None:
    """Ids of ROS4HRI differ in their last letters; numbers keep their unit."""
    people = [answer(f'body_abcd{letter}', 'a-label-of-somebody-else-s-own') for letter in 'ef']
    people[0].duration = 12345.6
    for width in 80, 200:
        _, first, second = table(people, width).splitlines()
        assert 'body_abcde' in first and 'body_abcdf' in second and first.endswith(' 12345.6 s')
    _, first, _ = table(people, 34).splitlines()
    assert first == 'body_ab… a-label-of-s… RECOGNIZED'


def test_a_narrow_table_says_who_is_lost() -> None:
    assert 'LOST' in table([answer(status=Status.LOST)], 40)


class Terminal(io.StringIO):
    """A file that says it is one."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return True


def test_a_screen_shows_in_place_and_a_log_one_after_another() -> None:
    """Nothing is written twice; what is said above stays."""
    terminal, log = Terminal(), io.StringIO()
    for screen in Screen(terminal), Screen(log):
        screen.show('a\nb')
        screen.show('a\nb')
        screen.show('c')
        screen.say('hello')
        screen.show('c')
    assert log.getvalue() == 'a\nb\nc\nhello\nc\n'
    assert terminal.getvalue() == (
        '\x1b[Ja\nb\n\x1b[2A\x1b[Jc\n\x1b[1A\x1b[Jhello\n\x1b[Jc\n')


def test_a_table_says_who_does_what() -> None:
    assert table([answer(), answer('p2', '', Status.UNKNOWN)]).splitlines() == [
        'person   action        status      confidence      held',
        'p1       walk          RECOGNIZED         90%     1.0 s',
        'p2       -             UNKNOWN            90%     1.0 s']
    assert table([]).splitlines() == [table([answer()]).splitlines()[0]]
