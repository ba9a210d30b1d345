"""Bags and labels to figures: the same on every run, known where they can be, loud in trouble."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic import SECOND, person, pose, stamps

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import header, image, keypoint_array, message, write_bag

from act_ros.core.person import Person
from act_ros.evaluation.__main__ import main
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import Settings, read_settings
from act_ros.recordings.bags import Bag

TOPIC = '/pose_node/keypoints'
PLAN = (('standing', 4.0), ('walk', 8.0), ('wave', 12.0))
LABELS = 'start,end,label,person\n0,4,standing,p1\n4,8,walk,p1\n8,12.1,wave,p1\n'
DETERMINISTIC = ('results.jsonl', 'summary.json', 'report.html', 'trace.json')


def motion_at(second: float) -> str:
    return next((motion for motion, end in PLAN if second < end), 'wave')


def somebody(second: float, id: str = 'p1', x: float = 320.0) -> Person:
    """Return a person who follows the plan."""
    return person(pose(second, motion_at(second), x=x), id)


def keypoints(stamp: int, *people: Person, header_stamp: int | None = None) -> tuple[str, int, Any]:
    """Return a message for a bag, recorded a little after its stamp."""
    array = keypoint_array(stamp if header_stamp is None else header_stamp, people)
    return TOPIC, stamp + 40_000_000, array


def write_plan(path: Path, storage: str = 'sqlite3', seconds: float = 12.0, **more: Any) -> Path:
    """Write a bag of one person who follows the plan."""
    return write_bag(path, [keypoints(s, somebody((s - SECOND) / SECOND), **more)
                            for s in stamps(20, seconds)], storage)


@pytest.fixture(scope='module')
def plan_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp('bags') / 'plan')


@pytest.fixture(scope='module')
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('labels') / 'plan.csv'
    path.write_text(LABELS)
    return path


@pytest.fixture(scope='module')
def settings(tiny_bundle: Path) -> Settings:
    return read_settings(bundle=str(tiny_bundle))


@pytest.fixture
def run(tmp_path: Path, settings: Settings) -> Any:
    """Return a function that evaluates a bag and returns its summary."""
    def run(bag: Path, labels: Path | str | None = None, **more: Any) -> dict[str, Any]:
        if isinstance(labels, str):
            path = tmp_path / 'labels.csv'
            path.write_text('start,end,label,person\n' + labels)
            labels = path
        evaluate(Job(bag, tmp_path / 'out', labels, settings=settings, **more))
        summary: dict[str, Any] = json.loads((tmp_path / 'out' / 'summary.json').read_text())
        return summary

    return run


def frames(folder: Path) -> list[dict[str, Any]]:
    """Return what ``results.jsonl`` holds."""
    return [json.loads(line) for line in (folder / 'results.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_a_plan_that_is_followed_is_recognized(
    tmp_path: Path, run: Any, labels: Path, storage: str,
) -> None:
    summary = run(write_plan(tmp_path / 'plan', storage), labels)
    assert summary['segments']['count'] == 3 and summary['segments']['recall'] == 1.0
    assert 0.6 < summary['balanced_accuracy'] < 0.99  # every window lags behind the plan
    assert summary['confusion']['classes'] == ['standing', 'walk', 'wave', 'unknown', 'none']
    assert summary['warnings'] == [] and summary['id_switches'] == 0 and summary['people'] == 1
    assert summary['age_seconds']['median'] == pytest.approx(0.04)
    assert sum(summary['share_of_status'].values()) == pytest.approx(1.0)
    records = frames(tmp_path / 'out')
    assert len(records) == 241 and records[0]['time'] == 0.0
    assert [r['actions'][0]['truth'] for r in records[79:81]] == ['standing', 'walk']
    right = sum(r['actions'][0]['status'] == 'RECOGNIZED'
                and r['actions'][0]['label'] == r['actions'][0]['truth'] for r in records)
    assert summary['accuracy'] == pytest.approx(right / len(records), abs=1e-6)


def test_every_run_gives_the_same_bytes(
    tmp_path: Path, plan_bag: Path, labels: Path, settings: Settings,
) -> None:
    for name in 'ab':
        evaluate(Job(plan_bag, tmp_path / name, labels, settings=settings))
    for name in DETERMINISTIC:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    timing = json.loads((tmp_path / 'a' / 'timing.json').read_text())
    assert set(timing) == {'read', 'recognize', 'score and write'}


def test_without_labels_the_report_describes(tmp_path: Path, run: Any, plan_bag: Path) -> None:
    summary = run(plan_bag)
    assert 'accuracy' not in summary and summary['share_of_status']['RECOGNIZED'] > 0.8
    answers = [(a['status'], a['label']) for r in frames(tmp_path / 'out') for a in r['actions']
               if a['status'] != 'BUFFERING']
    changes = sum(a != b for a, b in zip(answers, answers[1:], strict=False))
    assert 2 <= changes <= 6
    assert summary['label_changes_per_minute'] == pytest.approx(
        changes / ((len(answers) - 1) / 20 / 60), rel=1e-6)
    assert 'There are no labels' in (tmp_path / 'out' / 'report.html').read_text()


def recorded_actions(folder: Path, path: Path, with_labels: bool = True) -> Path:
    """Write the actions of ``results.jsonl`` as a robot would have recorded them."""
    time = message('builtin_interfaces/msg/Time', sec=0, nanosec=0)
    names = ['standing', 'walk', 'wave']
    messages = [('/act_node/labels', SECOND + 40_000_000, message(
        'act_ros/msg/ActionLabels', model='tiny', labels=names))] if with_labels else []
    status = {'BUFFERING': 0, 'RECOGNIZED': 1, 'UNKNOWN': 2, 'LOST': 3}
    for record in frames(folder):
        actions = [message(
            'act_ros/msg/Action', person_id=a['person_id'], status=status[a['status']],
            label=a['label'], label_id=a['label_id'], confidence=a['confidence'],
            duration=a['duration'], window_start=time, window_end=time, frames=a['frames'],
            box=message('act_ros/msg/BoundingBox', **dict(zip(
                ('x_min', 'y_min', 'x_max', 'y_max'), a['box'], strict=True))),
            probabilities=np.array(a['probabilities'], np.float32),
            attention=np.zeros(0, np.float32)) for a in record['actions']]
        stamp = round(record['stamp'] * SECOND)
        messages.append(('/actions', round((record['time'] + 1.04) * SECOND), message(
            'act_ros/msg/ActionArray', header=header(stamp), model='tiny', actions=actions)))
    return write_bag(path, messages)


@pytest.mark.parametrize('with_labels', [True, False])
def test_recorded_actions_are_scored_as_their_keypoints_were(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path, with_labels: bool,
) -> None:
    first = run(plan_bag, labels)
    second = run(recorded_actions(tmp_path / 'out', tmp_path / 'actions', with_labels), labels)
    assert second['bag']['kind'] == 'actions' and second['settings'] is None
    assert second['model'] == {'name': 'tiny', 'labels': ['standing', 'walk', 'wave']}
    for key in ('accuracy', 'balanced_accuracy', 'macro_f1', 'confusion', 'segments'):
        assert second[key] == first[key], key
    assert second['calibration']['ece'] == pytest.approx(first['calibration']['ece'], abs=1e-3)


def test_recorded_probabilities_that_are_none_end_what_can_be_read(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path,
) -> None:
    run(plan_bag, labels)
    lines = (tmp_path / 'out' / 'results.jsonl').read_text().splitlines()
    lines[200] = lines[200].replace('"probabilities": [', '"probabilities": [NaN, ')
    (tmp_path / 'out' / 'results.jsonl').write_text('\n'.join(lines))
    summary = run(recorded_actions(tmp_path / 'out', tmp_path / 'actions'), labels)
    assert summary['frames'] == 200
    assert any("'p1' has probabilities outside of [0, 1]" in w for w in summary['warnings'])


def test_images_are_looked_at_and_shown(tmp_path: Path) -> None:
    """The real pose network and the real model on some frames of the demo clip."""
    from rosbags.rosbag2 import StoragePlugin

    from act_ros.core.resources import find_resource
    from act_ros.evaluation.example import write_bag as write_example
    from act_ros.persons.video import VideoSource
    from act_ros.pictures.video import AnnotatedVideo

    with AnnotatedVideo(tmp_path / 'short.mp4', 15) as video:
        for i, (_, picture) in enumerate(
                VideoSource(str(find_resource('media/demo.mp4'))).play(realtime=False)):
            if 60 <= i < 130 and i % 2 == 0:
                video.add(i * SECOND // 30, picture)
    assert write_example(tmp_path / 'clip', tmp_path / 'short.mp4', StoragePlugin.MCAP) == 35
    (tmp_path / 'clip.csv').write_text('start,end,label,person\n0.5,2.3,walk,p2\n')
    summary = evaluate(Job(tmp_path / 'clip', tmp_path / 'out', tmp_path / 'clip.csv',
                           annotated=tmp_path / 'out.mp4')).summary
    assert summary['bag']['kind'] == 'images' and summary['people'] == 2
    assert summary['model']['pose_model'] == 'balanced'
    assert (tmp_path / 'out' / 'report.html').read_text().count('data:image/jpeg;base64,') >= 2
    capture = cv2.VideoCapture(str(tmp_path / 'out.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 35
    _, drawn = capture.read()
    assert drawn.shape == (480, 640, 3)


def test_keypoints_are_drawn_into_the_images_of_their_stamps(
    tmp_path: Path, run: Any,
) -> None:
    green = np.full((480, 640, 3), (0, 200, 0), np.uint8)
    messages = [item for s in stamps(10, 2) for item in (
        ('/image', s + 1000, image(s, green)), keypoints(s, somebody((s - SECOND) / SECOND)))]
    run(write_bag(tmp_path / 'both', messages), '0,2,standing,p1\n', annotated=tmp_path / 'a.mp4')
    _, drawn = cv2.VideoCapture(str(tmp_path / 'a.mp4')).read()
    assert abs(drawn[470, 5].astype(int) - (0, 200, 0)).max() < 12  # the image
    assert abs(drawn[120:350, 250:390].astype(int) - (0, 200, 0)).max() > 100  # somebody in it
    assert (tmp_path / 'out' / 'report.html').read_text().count('data:image/jpeg') == 4


def test_a_labelled_person_nobody_sees_is_wrong_not_left_out(
    tmp_path: Path, run: Any,
) -> None:
    bag = write_bag(tmp_path / 'gone', [
        keypoints(s, *([somebody(1.0)] if s < 3 * SECOND else [])) for s in stamps(20, 6)])
    summary = run(bag, '0,6.1,standing,p1\n')
    assert summary['samples'] == 121
    assert summary['confusion']['classes'][-1] == 'none'
    assert summary['confusion']['counts'][0][-1] >= 121 - 51  # seen for 2 s, lost 0.5 s later
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
    assert frames(tmp_path / 'out')[70]['actions'][-1] | {'person_id': 'p9', 'truth': 'standing'} \
        == frames(tmp_path / 'out')[70]['actions'][-1]


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


def test_labels_beyond_the_bag_are_left_out_and_told(run: Any, plan_bag: Path) -> None:
    summary = run(plan_bag, '0,4,standing,p1\n4,100,walk,p1\n200,300,wave,p1\n')
    assert [w for w in summary['warnings'] if 'line 3' in w and 'partly' in w]
    assert [w for w in summary['warnings'] if 'line 4' in w and 'outside' in w]
    assert summary['segments']['count'] == 2


def test_labels_may_be_iso_times(run: Any, plan_bag: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize('change', [
    'DELETE FROM messages WHERE id > 160', "UPDATE messages SET data = X'00' WHERE id = 161"])
def test_a_bag_is_evaluated_as_far_as_it_can_be_read(
    tmp_path: Path, run: Any, labels: Path, change: str,
) -> None:
    bag = write_plan(tmp_path / 'plan')
    with sqlite3.connect(bag / 'plan.db3') as database:
        database.execute(change)
    database.close()
    summary = run(bag, labels)
    (warning,) = [w for w in summary['warnings'] if 'What could be read was evaluated' in w]
    assert '160 frames' in warning and summary['frames'] == 160
    assert len(frames(tmp_path / 'out')) == 160
    assert 'What could be read' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
@pytest.mark.parametrize('has_metadata', [True, False])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, run: Any, labels: Path, has_metadata: bool, storage: str,
) -> None:
    bag = write_plan(tmp_path / 'plan', storage, seconds=120)
    (file,) = bag.glob('plan.*')
    file.write_bytes(file.read_bytes()[:file.stat().st_size * 6 // 10])
    if not has_metadata:
        (bag / 'metadata.yaml').unlink()
    summary = run(bag, labels)
    assert 241 < summary['frames'] < 2401 and summary['segments']['recall'] == 1.0
    (warning,) = summary['warnings']
    assert 'cut off after' in warning and f'evaluated: {summary["frames"]} frames' in warning


@pytest.mark.parametrize(('storage', 'size'), [('sqlite3', 40), ('sqlite3', 4200), ('mcap', 40)])
def test_a_bag_that_cannot_be_opened_says_so(
    tmp_path: Path, storage: str, size: int, capsys: pytest.CaptureFixture[str],
) -> None:
    bag = write_plan(tmp_path / 'plan', storage)
    (file,) = bag.glob('plan.*')
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(SystemExit) as stop:
        main([str(bag), '--output', str(tmp_path / 'out')])
    assert stop.value.code == 2 and 'damaged or cut off' in capsys.readouterr().err


def test_a_bag_without_metadata_is_evaluated(tmp_path: Path, run: Any, labels: Path) -> None:
    bag = write_plan(tmp_path / 'plan', 'mcap')
    (bag / 'metadata.yaml').unlink()
    assert run(bag, labels)['frames'] == 241


def test_a_layout_nobody_knows_is_an_error_with_its_name(run: Any, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'odd', [
        (TOPIC, s, keypoint_array(s, [somebody(1.0)], 'hands21')) for s in stamps(10, 1)])
    with pytest.raises(ValueError, match="none of 11 messages could be used.*'hands21'"):
        run(bag)


def test_what_the_bag_holds_is_listed_where_the_topic_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan_bag: Path,
) -> None:
    stray = write_bag(tmp_path / 'stray', [('/labels', 1, message(
        'act_ros/msg/ActionLabels', model='m', labels=['a']))])
    for arguments, said in (
        ([str(stray)], '/labels (act_ros/msg/ActionLabels, 1 messages)'),
        ([str(plan_bag), '--topic', '/nothing'], f'{TOPIC} (act_ros/msg/KeypointArray, 241'),
        ([str(tmp_path / 'none')], 'does not exist'),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, '--output', str(tmp_path / 'out')])
        assert stop.value.code == 2 and said in capsys.readouterr().err


def test_the_exit_status_tells_whether_the_model_is_good_enough(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(plan_bag), '--labels', str(labels), '--bundle', str(tiny_bundle),
                 '--output', str(tmp_path / 'out'), '--min-balanced-accuracy']
    assert main([*arguments, '0.5']) == 0
    assert 'report.html' in capsys.readouterr().out
    assert main([*arguments, '0.999']) == 1
    assert 'is below 0.999' in capsys.readouterr().err
    for wrong in ('80', 'nan'):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, wrong])
        assert stop.value.code == 2


def test_several_bags_at_a_time(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    other = write_plan(tmp_path / 'other', 'mcap')
    assert main([str(plan_bag), str(other), '--labels', str(labels), str(labels), '--jobs', '2',
                 '--bundle', str(tiny_bundle), '--output', str(tmp_path / 'out')]) == 0
    one, two, both = (json.loads((tmp_path / 'out' / name / 'summary.json').read_text())
                      for name in ('plan', 'other', '.'))
    assert both['bags'] == ['plan', 'other'] and both['samples'] == 2 * one['samples']
    assert both['balanced_accuracy'] == pytest.approx(one['balanced_accuracy'])
    assert one['confusion'] == two['confusion'] and both['segments']['count'] == 6


@pytest.mark.parametrize('arguments', [
    [], ['a', 'b', '--labels', 'c.csv'], ['a', '--jobs', '0'],
    ['a', '--min-balanced-accuracy', '1'],
    ['x/a', 'y/a'], ['a', 'b', '--export-annotated', 'x.mp4'], ['a', '--compare', 'b', 'c'],
    ['a', '--bundle', 'no_such_model'], ['a', '--params', 'nothing.yaml'],
])
def test_wrong_use_is_told_apart(arguments: list[str], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_the_parameter_file_of_the_nodes_serves(tmp_path: Path, tiny_bundle: Path) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(f"""
/**/pose_node:
  ros__parameters: {{transport: compressed, tracker: {{max_age: 2}}}}
/robot/act_node:
  ros__parameters:
    bundle: {tiny_bundle}
    use_sim_time: true
    labels: [walk, wave]
    decision.smoothing: 0.1
""")
    settings = read_settings(path)
    assert settings.tracker.max_age == 2.0 and isinstance(settings.tracker.max_age, float)
    assert settings.decision.smoothing == 0.1 and settings.act.labels == ('walk', 'wave')
    assert settings.act.bundle == str(tiny_bundle)
    assert read_settings(path, 'other').act.bundle == 'other'
    default = Path(__file__).parents[2] / 'config' / 'act.yaml'
    assert read_settings(default) == read_settings()


@pytest.mark.parametrize(('text', 'said'), [
    ('act_node: {ros__parameters: {decision: {smoothing: slow}}}', 'decision.smoothing must be fl'),
    ('act_node: {ros__parameters: {decision: {smoothing: -1}}}', 'parameter decision.smoothing'),
    ('act_node: {ros__parameters: {act_threads: true}}', 'act_threads must be int'),
    ('- a', 'is no ROS parameter file'), ('a: [', 'cannot read'),
    ('act_node: {ros__parameters: [1, 2]}', r'must map names to values, not be \[1, 2\]'),
    ('act_node: {ros__parameters: {labels: [1]}}', r'labels must be a list of strings, not \[1\]'),
    ('act_node: {ros__parameters: {window: {max_rate: 1.0e-308}}}', 'parameter window.max_rate'),
    ('act_node:\n  a: &a {x: 1}\n  b: {y: *a, z: *a}', r'line 3 has an alias \(\*\)'),
    ('a: &a [*a]', 'has an alias'), ('[' * 5000, 'too many levels'), ('#' * 2_000_000, 'more than'),
    ('a: \x1b[2J', r'cannot read .*#x001b'),
])
def test_parameters_a_node_would_refuse_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_settings(path)


def test_a_parameter_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', Path('/dev/zero'), tmp_path):
        with pytest.raises(ValueError, match='it is no file'):
            read_settings(path)


@pytest.mark.parametrize(('text', 'said'), [
    ('act_node: {ros__parameters: {decison: {smoothing: 0.9}}}',
     'no parameter decison.smoothing, which does not count; did you mean decision.smoothing?'),
    ('act_node: {ros__parameters: {window.max_gapp: 0.1}}', 'did you mean window.max_gap?'),
    ('act_node: {ros__parameters: {window.colour: 0.1}}', 'no parameter window.colour'),
    ('act_node: {window.max_gap: 0.1}', 'for want of the level ros__parameters'),
])
def test_parameters_that_do_not_count_are_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(text)
    settings = read_settings(path)
    warning, = settings.warnings
    assert said in warning and str(path) in warning
    assert settings == read_settings() and 'warnings' not in settings.to_dict()


def test_an_integer_may_stand_for_a_float(tmp_path: Path) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text('act_node: {ros__parameters: {window.max_gap: 1}}')
    settings = read_settings(path)
    assert settings.window.max_gap == 1.0 and not settings.warnings


def test_parameters_change_the_answers(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text('act_node: {ros__parameters: {labels: [standing, walk]}}')
    settings = read_settings(path, str(tiny_bundle))
    summary = evaluate(Job(plan_bag, tmp_path / 'out', labels, settings=settings)).summary
    assert summary['classes']['wave']['recall'] == 0.0
    assert summary['settings']['act']['labels'] == ['standing', 'walk']


def test_two_runs_side_by_side(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    path = tmp_path / 'slow.yaml'
    path.write_text('act_node: {ros__parameters: {decision: {smoothing: 1.5}}}')
    for name, params in (('quick', None), ('slow', path)):
        settings = read_settings(params, str(tiny_bundle))
        evaluate(Job(plan_bag, tmp_path / name, labels, settings=settings))
    assert main(['--compare', str(tmp_path / 'quick'), str(tmp_path / 'slow'),
                 '--output', str(tmp_path / 'both')]) == 0
    told = json.loads((tmp_path / 'both' / 'comparison.json').read_text())
    figure = told['figures']['balanced_accuracy']
    quick, slow = (json.loads((tmp_path / name / 'summary.json').read_text())
                   for name in ('quick', 'slow'))
    assert (figure['a'], figure['b']) == (quick['balanced_accuracy'], slow['balanced_accuracy'])
    assert figure['difference'] < 0 and told['warnings'] == []
    assert sum(told['agreement'].values()) == 241
    assert told['agreement']['only A right'] > told['agreement'].get('only B right', 0)
    assert told['only_one_right'][0]['right'] == 'A'
    page = (tmp_path / 'both' / 'comparison.html').read_text()
    assert 'settings.decision.smoothing' in page and 'settings.window' not in page
    (tmp_path / 'slow' / 'trace.json').unlink()
    with pytest.raises(SystemExit):
        main(['--compare', str(tmp_path / 'quick'), str(tmp_path / 'slow')])


def test_the_bag_is_left_as_it_was(run: Any, plan_bag: Path) -> None:
    with Bag(plan_bag) as bag:
        before = bag.checksums()
    assert run(plan_bag)['bag']['sha256'] == before
