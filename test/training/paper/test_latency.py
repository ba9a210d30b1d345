"""Every network can be exported and timed; tables and plot hold what was measured."""

from __future__ import annotations

import csv
import os
import signal
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from synthetic import tiny_model

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
import cv2
from matplotlib.figure import Figure

from act_ros.tflite.runtime import load_interpreter
from training import figures
from training.paper import latency
from training.paper.benchmark_report import as_csv


def test_one_command_measures_and_writes_csv_table_and_plot(tmp_path: Path) -> None:
    latency.main(['--models', 'mlp', 'act_mu', '--threads', '1', '2', '--runs', '5', '--warm-ups',
                  '1', '--output', str(tmp_path)])
    with open(tmp_path / 'latency.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(r['model'], r['threads']) for r in rows] == [
        ('mlp', '1'), ('mlp', '2'), ('act_mu', '1'), ('act_mu', '2')]
    assert [int(r['parameters']) for r in rows[1:3]] == [1_334_804, 227_156]
    for row in rows:
        # Four bytes each; of AcT's four layers the export joins kernels, two of four in each.
        joined = 4 * 2 * 64 ** 2 if row['model'] == 'act_mu' else 0
        assert 3.9 < int(row['size_bytes']) / (int(row['parameters']) - joined) < 5
        assert 0 < int(row['memory_bytes']) < 500e6
        assert 0 < float(row['median_ms']) <= float(row['p95_ms'])
    assert rows[2]['accuracy'] == '90.86' and rows[2]['accuracy_from'] == 'paper'
    table = (tmp_path / 'latency.md').read_text()
    assert '5 runs after 1 warm-ups' in table
    assert '| act_mu | 227,156 | 0.79 |' in table and '| 90.86 / 86.86 | paper |' in table
    image = cv2.imread(str(tmp_path / 'latency.png'))
    assert image is not None and image.std() > 5


@pytest.mark.parametrize('name', ['act_mu', 'conv1d', 'mlstm_fcn', 'actionxpose'])
def test_exported_networks_run_on_single_windows(name: str) -> None:
    content, parameters, width = latency.export_random(name, num_frames=8)
    assert parameters > 1e5 and width == 52
    interpreter = load_interpreter(content)
    number = interpreter.get_input_details()[0]['index']
    interpreter.resize_tensor_input(number, (1, 8, 52))
    interpreter.allocate_tensors()
    interpreter.set_tensor(number, np.ones((1, 8, 52), np.float32))
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]['index'])
    assert output.shape == (1, 20)
    assert np.isfinite(output).all()


def test_networks_read_the_features_of_the_extractor_whose_accuracies_they_get(
    tmp_path: Path,
) -> None:
    latency.main(['--models', 'act_mu', '--threads', '1', '--runs', '2', '--warm-ups', '0',
                  '--extractor', 'posenet', '--split', '2', '--output', str(tmp_path)])
    with open(tmp_path / 'latency.csv', newline='') as file:
        (row,) = csv.DictReader(file)
    assert row['parameters'] == '228180' and row['accuracy'] == '87.21'  # 68 features a frame
    assert (tmp_path / 'latency.md').read_text().startswith('posenet, split 2.')


def test_only_the_runs_after_the_warm_ups_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that makes warm-ups take a second and run i take i milliseconds."""
    spent = iter([1.0, 1.0, 0.001, 0.002, 0.003] * 2)
    now = [0.0, False]

    def clock() -> float:
        now[1] = not now[1]
        if not now[1]:  # every second reading ends an invoke
            now[0] += next(spent)
        return now[0]

    monkeypatch.setattr(latency.time, 'perf_counter', clock)
    rows = latency.measure(tiny_model(), (1, 12, 52), (1, 2), warm_ups=2, runs=3)
    for row, threads in zip(rows, (1, 2), strict=True):
        assert row['threads'] == threads
        assert row['mean_ms'] == pytest.approx(2) and row['median_ms'] == pytest.approx(2)
        assert row['std_ms'] == pytest.approx(np.std([1, 2, 3]))


def test_a_network_without_a_known_accuracy_stays_in_the_tables(tmp_path: Path) -> None:
    measured = {'parameters': 1000, 'size_bytes': 4000, 'memory_bytes': 10 ** 6, 'threads': 1,
                'mean_ms': 2.0, 'std_ms': 0.1, 'median_ms': 1.9, 'p95_ms': 2.2}
    rows = [{'model': 's_tr', **measured, **latency.NOT_MEASURED},
            {'model': 'act_s', **measured, 'accuracy': 91.0, 'balanced': 87.0,
             'accuracy_from': 'ours.csv'}]
    assert '| s_tr | 1,000 | 0.00 | 1.0 | 1.90 / 2.20 | - | - |' in latency.as_markdown(rows, 1, 1)
    assert as_csv(rows).splitlines()[1].endswith(',1.9,2.2,,,')
    latency.plot(tmp_path / 'plot.png', rows)
    image = cv2.imread(str(tmp_path / 'plot.png'))
    assert image is not None and image.std() > 1


def test_no_name_in_the_figure_lies_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some networks are nearly as fast and as right as others."""
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, '_save', lambda figure, _: drawn.append(figure))
    places = {'act_mu': (0.23, 90.86, 227_156), 'act_s': (1.37, 91.21, 1_040_404),
              'act_m': (1.53, 91.38, 2_740_052), 'act_l': (4.09, 91.11, 4_902_164),
              'remnet': (1.34, 89.18, 4_211_476), 'conv1d': (1.91, 88.18, 4_037_652),
              'actionxpose': (1.1, 88.62, 516_116), 't_tr': (8.5, 82.0, 1_713_712),
              'ms_g3d_jb': (42.89, 91.13, 5_767_320)}
    latency.plot(tmp_path / 'plot.png', [
        {'model': model, 'threads': 2, 'median_ms': milliseconds, 'accuracy': accuracy,
         'parameters': parameters}
        for model, (milliseconds, accuracy, parameters) in places.items()])
    (axis,) = drawn[0].axes
    boxes = {text.get_text(): text.get_window_extent() for text in axis.texts}
    centres = axis.transData.transform([place[:2] for place in places.values()])
    assert list(boxes) == list(places)
    for one, other in combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one, other)
    for name, box in boxes.items():
        assert box.count_contains(centres) == 0, name
        assert axis.bbox.count_contains(box.corners()) == 4, name


def test_accuracies_of_a_benchmark_take_the_place_of_the_papers(tmp_path: Path) -> None:
    path = tmp_path / 'results.csv'
    path.write_text('extractor,split,model,members,accuracy,balanced\n'
                    'openpose,1,act_mu,1,89.5,85.5\nopenpose,1,act_mu,10,92,89\n'
                    'openpose,2,act_mu,1,80,80\n')
    assert latency.read_accuracies(path, 'openpose', 1) == {
        'act_mu': {'accuracy': 89.5, 'balanced': 85.5, 'accuracy_from': 'results.csv'}}
    with pytest.raises(ValueError, match='no result of extractor openpose, split 3'):
        latency.read_accuracies(path, 'openpose', 3)
    path.write_text('a,b\n1,2\n')
    with pytest.raises(ValueError, match='not a results file'):
        latency.read_accuracies(path, 'openpose', 1)
    with pytest.raises(ValueError, match='not a results file'):
        latency.read_accuracies(tmp_path / 'nothing.csv', 'openpose', 1)


def test_a_process_that_dies_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(latency, 'export_random', lambda *_, **__: (b'', 1, 52))
    monkeypatch.setattr(latency, 'measure', abort)
    with pytest.raises(SystemExit):
        latency.main(['--output', str(tmp_path / 'out'), '--models', 'mlp'])
    assert 'the process that measures mlp has died' in capsys.readouterr().err


def abort(*_: object) -> None:
    """Die as a process does that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_wrong_requests_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in ((['--models', 'gpt'], 'invalid choice'),
                               (['--threads', '0'], 'at least 1'),
                               (['--extractor', 'alphapose'], 'invalid choice'),
                               (['--split', '7'], 'invalid choice')):
        with pytest.raises(SystemExit):
            latency.main(['--output', str(tmp_path / 'out'), *arguments])
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
