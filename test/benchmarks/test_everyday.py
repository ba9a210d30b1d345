"""The measure of daily life: who is matched to whom, and what counts as what."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from act_ros.core.action import Action, Status
from benchmarks import everyday

NOTHING = np.zeros(0, np.float32)


def action(
    label: str, left: float, status: Status = Status.RECOGNIZED, confidence: float = 0.8,
    duration: float = 1.0,
) -> Action:
    """Return an answer about somebody whose box begins at ``left``."""
    box = np.array([left, 0, left + 100, 200], np.float32)
    return Action('p1', status, label, 0, confidence, NOTHING, duration, 0, 0, 30, box, NOTHING)


def judged(left: float | None, *accepted: str) -> dict:
    """Return a person of the truth."""
    return {'box': None if left is None else [left, 0, left + 100, 200], 'accepted': accepted}


def judge(actions: list[Action], *persons: dict) -> dict[str, int]:
    """Return the counts of one moment that are not zero."""
    count = everyday.judge([(0.0, actions)], [{'t': 0.1, 'persons': persons}])
    return {name: value for name, value in count.items() if value}


@pytest.mark.parametrize(('answer', 'accepted', 'expected'), [
    (action('walk', 0), ('walk', 'jog'), 'right'),
    (action('walk', 0, confidence=0.6), ('unknown',), 'wrong'),
    (action('sitting', 0), ('unknown',), 'right'),
    (action('sitting', 0, confidence=0.6), ('sit-down',), 'wrong'),
    (action('', 0, Status.UNKNOWN), ('unknown', 'walk'), 'rightly unknown'),
    (action('', 0, Status.UNKNOWN), ('walk',), 'unknown though known'),
    (action('', 0, Status.BUFFERING), ('walk',), 'buffering'),
    (action('walk', 80), ('walk',), 'not found'),
    (action('walk', 0, Status.LOST), ('walk',), 'not found'),
])
def test_what_becomes_of_a_moment(answer: Action, accepted: tuple[str, ...], expected: str) -> None:
    count = judge([answer], judged(0, *accepted))
    assert {name for name in count if name in everyday.SHARES} <= {
        expected, 'recognized where nobody was judged'}
    assert count[expected] == 1 and count['moments'] == 1


def test_sureness_and_the_tree_are_counted() -> None:
    count = judge([action('wave1', 0)], judged(0, 'walk'))
    assert count['wrong, surer than .7'] == count['tree acts'] == 1
    assert 'tree acts rightly' not in count
    assert count['answered wave1'] == 1 and count.get('rightly wave1', 0) == 0
    assert judge([action('wave1', 0)], judged(0, 'wave1'))['tree acts rightly'] == 1
    assert 'tree acts' not in judge([action('wave1', 0, duration=0.1)], judged(0, 'wave1'))
    for accepted, rightly in ((('unknown',), 1), (('unknown', 'standing'), 0)):
        sits = judge([action('sitting', 0, duration=1.0)], judged(0, *accepted))
        assert (sits['tree acts'], sits.get('tree acts rightly', 0)) == (1, rightly)


def test_people_are_matched_by_place_and_the_rest_to_those_without() -> None:
    count = judge(
        [action('walk', 300), action('kick', 0), action('box', 900), action('jump', 600)],
        judged(0, 'kick'), judged(310, 'walk'), judged(None, 'box'))
    assert count['right'] == 3
    assert count['recognized where nobody was judged'] == 1
    assert judge([], judged(0, 'kick'), judged(None, 'box')) == {
        'moments': 2, 'with a place': 1, 'not found': 2, 'with a place, not found': 1}


def test_answers_a_minute_count_all_of_short_clips() -> None:
    """Ten clips of 1.9 s, in each of which an action begins."""
    recognizer = Mock(update=lambda *_: [action('walk', 0)])
    count = sum((everyday._measure([(0.0, []), (1.9, [])], recognizer, []) for _ in range(10)),
                Counter())
    assert everyday.row('all', count).endswith('| 32 | - |')


def test_who_was_found_is_kept_and_the_table_is_printed(
    tmp_path: Path, waving_clip: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """In the demo's clip, as a new user would measure it, twice: the second time nobody looks."""
    clips = tmp_path / 'clips'
    clips.mkdir()
    (clips / 'demo.mp4').symlink_to(waving_clip)
    (tmp_path / 'truth.json').write_text(json.dumps({'demo': [
        {'t': 1.5, 'persons': [judged(None, 'wave2')]}]}))
    arguments = [str(clips), str(tmp_path / 'truth.json'), '--persons', str(tmp_path / 'kept')]
    everyday.main(arguments)
    first = capsys.readouterr().out
    assert 'answers that were right: ' in first
    kept = tmp_path / 'kept' / 'balanced-as-is' / 'demo.npz'
    before = kept.stat().st_mtime_ns
    everyday.main(arguments)
    assert capsys.readouterr().out == first
    assert kept.stat().st_mtime_ns == before
    assert '| all | 1 |' in first
    everyday.main([*arguments, '--ways', *everyday.WAYS])  # boxes are told in the clip as it is
    assert f'| all | {len(everyday.WAYS)} |' in capsys.readouterr().out
    boxes = []
    for way in everyday.WAYS:
        file = np.load(tmp_path / 'kept' / f'balanced-{way}' / 'demo.npz')
        boxes.append(np.median(file['boxes'][file['ids'] == 'p1'], axis=0))
    assert boxes == [pytest.approx(boxes[0], abs=10)] * len(everyday.WAYS)
    everyday.main([*arguments, '--pose-model', 'fast'])  # who finds others is no witness
    assert (tmp_path / 'kept' / 'fast-as-is' / 'demo.npz').is_file()


@pytest.mark.parametrize(('truth', 'said'), [
    ('{"nothing": []}', 'no clip in {clips}: nothing'), ('{}', '{truth} names none'),
    ('walk', '{truth} is no JSON')])
def test_truth_of_no_clip_is_one_line_and_no_table_of_zeros(
    tmp_path: Path, truth: str, said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    clips, path = tmp_path / 'clips', tmp_path / 'truth.json'
    clips.mkdir()
    path.write_text(truth)
    with pytest.raises(SystemExit):
        everyday.main([str(clips), str(path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert said.format(clips=clips, truth=path) in line


def test_a_group_of_a_clip_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in (('a.mp4', ''), ('truth', '{"a": []}'), ('groups', '{"all": ["a", "b"]}')):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(everyday, 'found_before', lambda *_: [])
    monkeypatch.setattr(everyday, '_measure', lambda *_: Counter())
    everyday.main([str(tmp_path), str(tmp_path / 'truth'), '--groups', str(tmp_path / 'groups')])
    assert f'no clip in {tmp_path}: b' in capsys.readouterr().err
