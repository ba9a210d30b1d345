"""Bags that are damaged, cut off or not what they should be: evaluated as far as possible."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import image, keypoint_array, message, write_bag
from plan import TOPIC, frames, somebody, write_plan
from synthetic import stamps

from act_ros.evaluation.__main__ import main
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings


def test_a_bag_is_evaluated_as_far_as_it_can_be_read(
    tmp_path: Path, run: Any, labels: Path,
) -> None:
    bag = write_plan(tmp_path / 'plan')
    with sqlite3.connect(bag / 'plan.db3') as database:
        database.execute('DELETE FROM messages WHERE id > 160')
    database.close()
    summary = run(bag, labels)
    (warning,) = [w for w in summary['warnings'] if 'What could be read was evaluated' in w]
    assert '160 frames' in warning and summary['frames'] == 160
    assert len(frames(tmp_path / 'out')) == 160
    assert 'What could be read' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize('number', [1, 161])
def test_a_message_that_cannot_be_decoded_costs_itself_alone(
    tmp_path: Path, run: Any, labels: Path, number: int,
) -> None:
    bag = write_plan(tmp_path / 'plan')
    count = run(bag, labels)['frames']
    with sqlite3.connect(bag / 'plan.db3') as database:
        database.execute(f"UPDATE messages SET data = X'00' WHERE id = {number}")
    database.close()
    summary = run(bag, labels)
    (warning,) = summary['warnings']
    assert summary['frames'] == count - 1
    assert warning.startswith('1 messages could not be decoded and are left out; the first: /')


def test_labels_without_a_frame_are_told(tmp_path: Path, run: Any, labels: Path) -> None:
    """The recorder's clock was not set yet when the first message came: all others are later."""
    bag = write_plan(tmp_path / 'plan')
    with sqlite3.connect(bag / 'plan.db3') as database:
        database.execute('UPDATE messages SET timestamp = timestamp + 1000000000000 WHERE id > 1')
    database.close()
    (bag / 'metadata.yaml').unlink()
    summary = run(bag, '1,2,walk,\n0,0.5,walk,\n2,3,wave1,\n')
    (warning,) = [x for x in summary['warnings'] if 'no frame' in x]
    assert warning == 'there is no frame within 2 of 3 labels; the first is in line 2'


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


def test_a_network_of_ones_own_that_answers_nonsense(tmp_path: Path, tiny_bundle: Path) -> None:
    """Told and counted, and the other images are answered."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from onnx_files import moody

    params = tmp_path / 'act.yaml'
    params.write_text(f'pose_node: {{ros__parameters: {{model: {moody(tmp_path / "net.onnx")}}}}}')
    values = {10: 0, 11: 255, 12: 255}  # black, white; else grey
    bag = write_bag(tmp_path / 'bag', [
        ('/image', stamp, image(stamp, np.full((64, 64, 3), values.get(i, 127), np.uint8)))
        for i, stamp in enumerate(stamps(10, 2))])
    summary = evaluate(Job(bag, tmp_path / 'out', settings=read_settings(
        params, str(tiny_bundle)))).summary
    assert summary['dropped'] == {'no numbers in an answer of the pose network': 2,
                                  'unusable answer of the pose network': 1}
    assert any('net.onnx answers [(1, 0, 5)' in warning for warning in summary['warnings'])
    assert summary['frames'] == 20 and summary['people'] == 1
