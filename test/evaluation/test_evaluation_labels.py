"""Whose label is whose, and what of a labels file cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import write_bag
from plan import frames, keypoints, somebody
from synthetic import SECOND, stamps

from act_ros.actions.recognizer import WindowOptions
from act_ros.core.person import Person
from act_ros.evaluation.__main__ import main
from act_ros.evaluation.scores import Scores
from act_ros.evaluation.settings import Settings


def test_a_labelled_person_nobody_sees_is_wrong_not_left_out(
    tmp_path: Path, run: Any,
) -> None:
    bag = write_bag(tmp_path / 'gone', [
        keypoints(s, *([somebody(1.0)] if s < 3 * SECOND else [])) for s in stamps(20, 6)])
    summary = run(bag, '0,6.1,standing,p1\n')
    assert summary['samples'] == 121
    assert summary['confusion']['classes'][-1] == 'none'
    assert summary['confusion']['counts'][0][-1] >= 121 - 51  # seen for 2 s, lost 0.6 s later
    assert frames(tmp_path / 'out')[-1]['missed'] == [{'person': 'p1', 'truth': 'standing'}]
    assert summary['accuracy_where_answered'] > 0.8 > 0.4 > summary['accuracy']


def test_a_label_without_a_person_is_about_everybody(tmp_path: Path, run: Any) -> None:
    bag = write_bag(tmp_path / 'two', [
        keypoints(s, somebody(1.0, 'p1', 150), somebody(1.0, 'p2', 450)) for s in stamps(20, 3)])
    summary = run(bag, '0,1.5,standing,\n1.5,3.1,walk,\n')
    assert summary['samples'] == 2 * 61 and summary['id_switches'] is None
    assert summary['classes']['walk']['recall'] == 0.0


def test_somebody_under_a_new_id_is_followed_and_counted(tmp_path: Path, run: Any) -> None:
    bag = write_bag(tmp_path / 'switch', [
        keypoints(s, somebody(1.0, 'p1' if s < 4 * SECOND else 'p9', 320),
                  somebody(5.0, 'p2', 80)) for s in stamps(20, 6)])
    summary = run(bag, '0,6.1,standing,p1\n0,6.1,walk,p2\n')
    assert summary['id_switches'] == 1
    records = frames(tmp_path / 'out')
    assert {a['person_id']: a['truth'] for a in records[90]['actions']} == {
        'p1': None, 'p2': 'walk', 'p9': 'standing'}


@pytest.mark.parametrize('max_gap', [0.2, 1.5])
def test_a_new_id_is_followed_however_long_the_old_one_stands(
    tmp_path: Path, run: Any, settings: Settings, max_gap: float,
) -> None:
    bag = write_bag(tmp_path / 'switch', [
        keypoints(s, somebody(1.0, 'p1' if s < 3 * SECOND else 'p9')) for s in stamps(20, 6)])
    options = replace(settings, window=WindowOptions(max_gap=max_gap))
    assert run(bag, '0,6.1,standing,p1\n', settings=options)['id_switches'] == 1


@pytest.mark.parametrize(('away', 'switches'), [(2.5, 1), (3.0, 0)])
def test_a_new_id_is_somebody_else_where_nobody_stood_for_long(
    tmp_path: Path, run: Any, away: float, switches: int,
) -> None:
    """Who is not seen is in sight for max_gap; two seconds after that they are gone."""
    bag = write_bag(tmp_path / 'away', [
        keypoints(s, *([] if 0 <= s - 3 * SECOND < away * SECOND else [
            somebody(1.0, 'p1' if s < 3 * SECOND else 'p9')])) for s in stamps(20, 8)])
    assert run(bag, '0,8.1,standing,p1\n')['id_switches'] == switches
    truth = frames(tmp_path / 'out')[-1]['actions'][0]['truth']
    assert truth == ('standing' if switches else None)


@pytest.mark.parametrize(('max_gap', 'runs'), [(0.3, 2), (1.5, 1)])
def test_the_timeline_breaks_where_somebody_is_out_of_sight(
    tmp_path: Path, run: Any, settings: Settings, max_gap: float, runs: int,
) -> None:
    """By the window's own limit; here nothing is recorded for 0.8 s."""
    bag = write_bag(tmp_path / 'pause', [
        keypoints(s, somebody(1.0)) for s in stamps(20, 6)
        if not 0 < s - 4 * SECOND < 0.8 * SECOND])
    options = replace(settings, window=WindowOptions(max_gap=max_gap))
    run(bag, '0,6.1,standing,p1\n', settings=options)
    (person,) = json.loads((tmp_path / 'out' / 'trace.json').read_text())['people']
    assert len(person['truth']) == runs


@pytest.mark.parametrize('later', ['', '0.2'])
def test_people_who_swap_ids_are_told_apart_by_where_they_stand(
    tmp_path: Path, run: Any, later: str,
) -> None:
    def scene(second: float) -> list[Person]:
        ids = ('p1', 'p2') if second < 3 else ('p2', 'p1')
        both = [somebody(1.0, ids[0], 100), somebody(5.0, ids[1], 500)]
        return both[1:] if later and 3 <= second < 3.2 else both

    bag = write_bag(tmp_path / 'swap', [
        keypoints(s, *scene((s - SECOND) / SECOND)) for s in stamps(20, 6)])
    summary = run(bag, '0,6.1,standing,p1\n0,6.1,walk,p2\n')
    assert summary['id_switches'] == 2
    assert [{a['person_id']: a['truth'] for a in frames(tmp_path / 'out')[i]['actions']}
            for i in (50, 110)] == [{'p1': 'standing', 'p2': 'walk'},
                                    {'p2': 'standing', 'p1': 'walk'}]


def test_an_actor_who_is_labelled_under_another_id_has_switched(
    tmp_path: Path, run: Any,
) -> None:
    """Nobody moves, so the labels alone tell that the ids changed hands."""
    bag = write_bag(tmp_path / 'still', [
        keypoints(s, somebody(1.0, 'p1', 100), somebody(1.0, 'p2', 500)) for s in stamps(20, 6)])
    labels = tmp_path / 'actors.csv'
    labels.write_text('start,end,label,person,actor\n'
                      '0,2,standing,p1,anna\n0,4,walk,p2,ben\n'
                      '2,4,standing,p1,anna\n4,6.1,walk,p1,ben\n4.5,6.1,standing,p2,anna\n')
    assert run(bag, labels)['id_switches'] == 2
    labels.write_text('start,end,label,person\n0,3,standing,p1\n3,6.1,standing,p2\n')
    assert run(bag, labels)['id_switches'] == 0  # somebody else, for all that is known


def test_an_actor_followed_under_a_new_id_is_counted_once(tmp_path: Path, run: Any) -> None:
    bag = write_bag(tmp_path / 'switch', [
        keypoints(s, somebody(1.0, 'p1' if s < 4 * SECOND else 'p9')) for s in stamps(20, 6)])
    labels = tmp_path / 'actors.csv'
    labels.write_text('start,end,label,person,actor\n0,4,standing,p1,anna\n4,6.1,walk,p9,anna\n')
    assert run(bag, labels)['id_switches'] == 1
    action = frames(tmp_path / 'out')[75]['actions'][-1]
    assert action == action | {'person_id': 'p9', 'truth': 'standing'}


def test_an_actor_may_be_called_as_the_id_of_somebody_else(tmp_path: Path, run: Any) -> None:
    bag = write_bag(tmp_path / 'still', [
        keypoints(s, somebody(1.0, 'p1', 100), somebody(1.0, 'p2', 500)) for s in stamps(20, 6)])
    labels = tmp_path / 'actors.csv'
    labels.write_text('start,end,label,person,actor\n0,6.1,standing,p1,p2\n2,6.1,walk,p2,\n')
    assert run(bag, labels)['id_switches'] == 0
    truths = [{a['person_id']: a['truth'] for a in frame['actions']}
              for frame in frames(tmp_path / 'out')]
    assert truths[-1] == {'p1': 'standing', 'p2': 'walk'}


def test_somebody_labelled_under_an_id_later_is_nobody_followed(
    tmp_path: Path, run: Any,
) -> None:
    bag = write_bag(tmp_path / 'next', [
        keypoints(s, somebody(1.0, 'p1' if s < 3 * SECOND else 'p9')) for s in stamps(20, 6)])
    summary = run(bag, '0,4,standing,p1\n4,6.1,walk,p9\n')
    assert summary['id_switches'] == 0


def test_a_label_the_model_lacks_must_be_answered_with_unknown(
    tmp_path: Path, run: Any, plan_bag: Path,
) -> None:
    summary = run(plan_bag, '0,4,standing,p1\n5,8,juggle,p1\n')
    assert any('no label juggle' in w and 'standing, walk, wave' in w for w in summary['warnings'])
    assert summary['classes']['unknown']['recall'] < 0.5
    assert 'no label juggle' in (tmp_path / 'out' / 'report.html').read_text()


def test_a_model_whose_label_means_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a label 'none', which here means no answer"):
        Scores(['walk', 'none'])


def test_labels_beyond_the_bag_are_left_out_and_told(run: Any, plan_bag: Path) -> None:
    summary = run(plan_bag, '0,4,standing,p1\n4,100,walk,p1\n200,300,wave,p1\n')
    assert [w for w in summary['warnings'] if 'line 3' in w and 'partly' in w]
    assert [w for w in summary['warnings'] if 'line 4' in w and 'outside' in w]
    assert summary['segments']['count'] == 2


def test_labels_may_be_iso_times(run: Any, plan_bag: Path) -> None:
    summary = run(plan_bag, '1970-01-01T00:00:01.040Z,1970-01-01T00:00:05.040+00:00,standing,p1\n')
    assert summary['samples'] == 80


@pytest.mark.parametrize(('rows', 'said'), [
    ('0,4,standing,p1\n3,5,walk,p1\n', 'lines 2 and 3 label the same person'),
    ('0,4,standing,p1\n3,5,walk,\n', 'lines 2 and 3 label the same person'),
    ('4,1,walk,p1\n', 'line 2: end must be after start'),
    ('soon,1,walk,p1\n', "line 2: 'soon' is neither"),
    ('0,1,,p1\n', 'line 2: the label is empty'),
    ('', 'labels nothing'),
    ('900,901,walk,p1\n', 'labels nothing in this bag'),
])
def test_labels_that_cannot_be_used_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, plan_bag: Path, tiny_bundle: Path,
    rows: str, said: str,
) -> None:
    path = tmp_path / 'labels.csv'
    path.write_text('start,end,label,person\n' + rows)
    with pytest.raises(SystemExit) as stop:
        main([str(plan_bag), '--labels', str(path), '--bundle', str(tiny_bundle),
              '--output', str(tmp_path / 'out')])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_labelled_people_who_never_came_are_named(run: Any, plan_bag: Path) -> None:
    summary = run(plan_bag, '0,4,standing,anna\n')
    assert any('never seen: anna; seen: p1 (241 frames)' in w for w in summary['warnings'])
    assert summary['accuracy'] == 0.0


def test_a_label_during_which_there_was_no_frame_counts_as_not_found(
    run: Any, tmp_path: Path,
) -> None:
    bag = write_bag(tmp_path / 'pause', [
        keypoints(s, somebody(1.0)) for s in stamps(20, 6) if not 4 < s / SECOND < 5])
    summary = run(bag, '0,3,standing,p1\n3.2,3.8,standing,p1\n')
    assert summary['segments']['count'] == 2 and summary['segments']['found'] == 0.5
    assert summary['segments']['recall'] == summary['segments']['recall_by_label']['standing'] == .5
    run(bag, '3.2,3.8,standing,p1\n')
    assert 'no labels that hold in any frame:' in (tmp_path / 'out' / 'report.html').read_text()
