"""Bags and labels to figures: the same on every run, and known where they can be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import TYPES, header, image, message, write_bag
from plan import frames, keypoints, somebody, write_plan
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from synthetic import SECOND, stamps

from act_ros.actions.classifier import ActOptions
from act_ros.core.resources import find_resource
from act_ros.evaluation.compare import compare
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import Settings
from act_ros.recordings.bags import Bag

DETERMINISTIC = ('results.jsonl', 'summary.json', 'report.html', 'trace.json')


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


def test_every_figure_is_what_the_results_say(tmp_path: Path, run: Any) -> None:
    """Worked out anew from ``results.jsonl``, of a person who is away and another unknown one."""
    from sklearn.metrics import accuracy_score, f1_score

    bag = write_bag(tmp_path / 'two', [
        keypoints(s, *([] if 6 < t < 7 or 9 < t < 11 else [somebody(t)]),
                  *([somebody(t + 2, 'p2', 500)] if t > 3 else []))
        for s in stamps(20, 12) for t in [(s - SECOND) / SECOND]])
    summary = run(bag, '0,4,standing,p1\n4,8,walk,p1\n8,12,wave,p1\n5,9,juggle,p2\n')
    names = summary['model']['labels']
    begins = {'standing': 0, 'walk': 4, 'wave': 8, 'juggle': 5}
    pairs, sure, seconds, changes = [], [], 0.0, 0
    answers: dict[str, tuple[float, str]] = {}
    delays: dict[str, float] = {}
    for record in frames(tmp_path / 'out'):
        for action in record['actions']:
            answer = {'RECOGNIZED': action['label'], 'UNKNOWN': 'unknown'}.get(
                action['status'], 'none')
            time, before = answers.get(action['person_id'], (-9.0, 'none'))
            if 'none' not in (answer, before) and record['time'] - time <= 1:
                seconds += record['time'] - time
                changes += answer != before
            answers[action['person_id']] = record['time'], answer
            if action['truth']:
                truth = action['truth'] if action['truth'] in names else 'unknown'
                pairs.append((truth, answer))
                if answer == truth:
                    delays.setdefault(
                        action['truth'], record['time'] - begins[action['truth']])
                if action['probabilities'] and truth in names:
                    best = int(np.argmax(action['probabilities']))
                    sure.append((action['probabilities'][best], names[best] == truth))
        pairs += [(missed['truth'], 'none') for missed in record.get('missed', ())]
    truth, answer = zip(*pairs, strict=True)
    given = [pair for pair in pairs if pair[1] != 'none']
    named = sorted({*truth, *answer} - {'none'})
    close = pytest.approx
    assert summary['samples'] == len(pairs) and len(pairs) > len(given) > 100
    assert summary['accuracy'] == close(accuracy_score(truth, answer), abs=1e-6)
    assert summary['balanced_accuracy'] == close(np.mean([
        pairs.count((name, name)) / truth.count(name) for name in {*truth}]), abs=1e-6)
    assert summary['accuracy_where_answered'] == close(
        sum(x == y for x, y in given) / len(given), abs=1e-6)
    assert summary['macro_f1'] == close(f1_score(
        truth, answer, labels=named, average='macro', zero_division=0), abs=1e-6)
    for name in named:
        both, told = sum(x == y == name for x, y in pairs), sum(y == name for _, y in pairs)
        assert summary['classes'][name]['precision'] == close(both / max(told, 1), abs=1e-6)
        assert summary['classes'][name]['recall'] == close(both / truth.count(name), abs=1e-6)
    assert summary['segments']['found'] == len(delays) / 4 and len(delays) >= 3
    assert summary['segments']['seconds_to_first_right_answer'] == {
        'median': close(np.median([*delays.values()]), abs=1e-6),
        'mean': close(np.mean([*delays.values()]), abs=1e-6),
        'longest': close(max(delays.values()), abs=1e-6)}
    assert changes > 2
    assert summary['label_changes_per_minute'] == close(60 * changes / seconds, rel=1e-4)
    confidence, right = np.array(sure).T
    bins = np.minimum(confidence * 15, 14).astype(int)
    gaps = [abs((confidence - right)[bins == i].sum()) for i in range(15)]
    assert summary['calibration']['ece'] == close(sum(gaps) / len(sure), abs=5e-4)
    assert [b['samples'] if b else 0 for b in summary['calibration']['bins']] == [
        (bins == i).sum() for i in range(15)]


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
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'There are no labels' in page and 'Truth above' not in page


PLACE = {'place': 'MEASURED', 'position': [0.5, -0.25, 2.0], 'bearing': 0.245,
         'distance': 2.0766, 'distance_error': 0.02}


def types_before_places() -> Any:
    """Return the types of a recording made before actions told where people are."""
    store, types = get_typestore(Stores.ROS2_JAZZY), {}
    for name in ('BoundingBox', 'Action', 'ActionArray', 'ActionLabels'):
        text = find_resource(f'msg/{name}.msg').read_text().split('\nuint8 place ')[0]
        types.update(get_types_from_msg(text, f'act_ros/msg/{name}'))
    store.register(types)
    return store


def recorded_actions(
    folder: Path, path: Path, with_labels: bool = True, types: Any = TYPES,
    frames_of_tiny: int = 999,
) -> Path:
    """
    Write the actions of ``results.jsonl`` as a robot would have recorded them, at a place.

    After ``frames_of_tiny`` another model answers.
    """
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
            attention=np.zeros(0, np.float32), **{
                **PLACE, 'place': 3, 'position': message(
                    'geometry_msgs/msg/Point', x=0.5, y=-0.25, z=2.0)})
            for a in record['actions']]
        stamp = round(record['stamp'] * SECOND)
        messages.append(('/actions', round((record['time'] + 1.04) * SECOND), message(
            'act_ros/msg/ActionArray', header=header(stamp), actions=actions,
            model='tiny' if len(messages) - with_labels < frames_of_tiny else 'other')))
    return write_bag(path, messages, types=types)


@pytest.mark.parametrize('with_labels, types', [
    (True, TYPES), (False, TYPES), (True, types_before_places())],
    ids=['whole', 'without labels', 'before places'])
def test_recorded_actions_are_scored_as_their_keypoints_were(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path, with_labels: bool, types: Any,
) -> None:
    first = run(plan_bag, labels)
    bag = recorded_actions(tmp_path / 'out', tmp_path / 'actions', with_labels, types)
    second = run(bag, labels)
    places = [{key: a.get(key) for key in PLACE} for record in frames(tmp_path / 'out')
              for a in record['actions']]
    assert places == [PLACE if types is TYPES else dict.fromkeys(PLACE)] * 241
    compare(tmp_path / 'out', tmp_path / 'out', tmp_path / 'compared')
    compared = json.loads((tmp_path / 'compared' / 'comparison.json').read_text())
    assert sum(compared['agreement'].values()) == 241
    assert second['bag']['kind'] == 'actions' and second['settings'] is None
    assert second['model'] == {'name': 'tiny', 'labels': ['standing', 'walk', 'wave']}
    for key in ('accuracy', 'balanced_accuracy', 'macro_f1', 'confusion', 'segments'):
        assert second[key] == first[key], key
    assert second['calibration']['ece'] == pytest.approx(first['calibration']['ece'], abs=1e-3)


def test_labels_that_were_neither_recorded_nor_answered_are_those_of_the_bundle(
    tmp_path: Path, run: Any, plan_bag: Path,
) -> None:
    """Else the right answer to them would be unknown, and two such bags of different models."""
    run(plan_bag)
    results = tmp_path / 'out' / 'results.jsonl'
    results.write_text(''.join(results.read_text().splitlines(keepends=True)[:160]))
    bag = recorded_actions(tmp_path / 'out', tmp_path / 'actions', with_labels=False)
    summary = run(bag, '0,7,wave,p1\n')
    assert summary['model'] == {'name': 'tiny', 'labels': ['standing', 'walk', 'wave']}
    assert summary['classes']['wave']['samples'] > 100 and not summary['warnings']
    for bundle, why in ('act_mu', 'act_mu is another model'), ('tyni', "no model 'tyni' in the"):
        summary = run(bag, '0,7,wave,p1\n', settings=Settings(act=ActOptions(bundle=bundle)))
        assert summary['model']['labels'] == ['standing', 'walk', '#2']
        told = summary['warnings'][0]
        assert "1 of 3 labels of the model 'tiny' were neither" in told
        assert f'name its bundle with --bundle ({why}' in told


@pytest.mark.parametrize(('member', 'sick', 'said'), [
    ('"probabilities": [', '"probabilities": [NaN, ', 'probabilities outside of [0, 1]'),
    ('"confidence": ', '"confidence": NaN, "was": ', 'a confidence, a duration or a box'),
    ('"duration": ', '"duration": NaN, "was": ', 'a confidence, a duration or a box'),
    ('"box": [', '"box": [-Infinity, 0, 0, 9], "was": [', 'a confidence, a duration or a box')])
def test_recorded_numbers_that_are_none_end_what_can_be_read(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path, member: str, sick: str, said: str,
) -> None:
    run(plan_bag, labels)
    lines = (tmp_path / 'out' / 'results.jsonl').read_text().splitlines()
    lines[200] = lines[200].replace(member, sick)
    (tmp_path / 'out' / 'results.jsonl').write_text('\n'.join(lines))
    summary = run(recorded_actions(tmp_path / 'out', tmp_path / 'actions'), labels)
    assert summary['frames'] == 200
    assert any(f"'p1' has {said}" in w for w in summary['warnings'])


def test_recorded_answers_of_another_model_are_not_scored_by_the_labels_of_the_first(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path,
) -> None:
    run(plan_bag, labels)
    summary = run(recorded_actions(
        tmp_path / 'out', tmp_path / 'actions', frames_of_tiny=150), labels)
    assert summary['frames'] == 150 and summary['model']['name'] == 'tiny'
    warning, missed = summary['warnings']
    assert "from 7.500 s on model 'other' answers, no longer 'tiny'" in warning
    assert missed.startswith('there is no frame within ')  # of those of the time after it


def test_recorded_probabilities_may_be_one_as_rounding_has_it(
    tmp_path: Path, run: Any, plan_bag: Path, labels: Path,
) -> None:
    """As they were recorded of labels that are alike, which are added."""
    run(plan_bag, labels)
    results = tmp_path / 'out' / 'results.jsonl'
    results.write_text(re.sub(
        r'"probabilities": \[[^]]+\]', '"probabilities": [1.0000001, 0.0, 0.0]',
        results.read_text()))
    summary = run(recorded_actions(tmp_path / 'out', tmp_path / 'actions'), labels)
    assert summary['frames'] == 241 and not summary['warnings']


def test_images_are_looked_at_and_shown(tmp_path: Path) -> None:
    """The real pose network and the real model on some frames of the demo clip."""
    from rosbags.rosbag2 import StoragePlugin

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


def test_the_bag_is_left_as_it_was(run: Any, plan_bag: Path) -> None:
    with Bag(plan_bag) as bag:
        before = bag.checksums()
    assert run(plan_bag)['bag']['sha256'] == before
