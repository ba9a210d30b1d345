"""The benchmark's protocol: what a fold is, that interruptions change nothing, and the tables."""

from __future__ import annotations

import csv
import errno
import json
import re
import runpy
import shutil
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tqdm.std
import yaml
from contrast import contrast
from released import write_split

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
metrics = pytest.importorskip('sklearn.metrics', reason='training needs scikit-learn')

from matplotlib import colormaps  # noqa: E402

from act_ros.actions.features import extract_features  # noqa: E402
from act_ros.core.skeletons import get_layout  # noqa: E402
from training import checkpoint  # noqa: E402
from training.checkpoint import CheckpointError, read_arrays, write_arrays  # noqa: E402
from training.cluster import ClusterError  # noqa: E402
from training.models import MODELS, STREAMS  # noqa: E402
from training.paper import benchmark, benchmark_report, protocol  # noqa: E402
from training.paper.benchmark_report import (  # noqa: E402
    paper_parameters,
    paper_results,
    rows_of,
    scores,
    write_report,
)
from training.paper.mpose import MposeSplit, load_mpose, split_validation  # noqa: E402
from training.paper.protocol import (  # noqa: E402
    ProtocolConfig,
    augment,
    every_nth_frame,
    load_protocol,
    make_trainer,
    run_fold,
)
from training.progress import LINES  # noqa: E402

CONFIGS = Path(protocol.__file__).parents[1] / 'configs'
SMALL: dict[str, Any] = {
    'name': 'small', 'splits': [1], 'folds': 3, 'models': ['mlp'], 'ensemble_model': 'mlp',
    'ensembles': [2], 'epochs': 6, 'batch_size': 64, 'schedule': 'constant',
    'constant_rate': 1e-3, 'checkpoint_every': 2, 'xla': False}


@pytest.fixture(scope='module')
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with split 1."""
    folder = tmp_path_factory.mktemp('released')
    write_split(folder)
    return folder


@pytest.fixture(scope='module')
def sequence(tmp_path_factory: pytest.TempPathFactory, released: Path) -> Path:
    """Return a folder with the results of two folds, trained one after the other."""
    folder = tmp_path_factory.mktemp('sequence')
    benchmark.run_benchmark(small(epochs=2, folds=2), folder, released)
    return folder


@pytest.fixture(scope='module')
def data(released: Path) -> MposeSplit:
    """Return split 1."""
    return load_mpose(folder=released)


def small(**changes: Any) -> ProtocolConfig:
    """Return the settings of a short run."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v
                              for k, v in {**SMALL, **changes}.items()}
    return ProtocolConfig(**values)


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Two results are equal in every bit."""
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_the_files_settings_are_the_papers() -> None:
    config = load_protocol(CONFIGS / 'mpose_benchmark.yaml')
    assert {(model, 1) for model in config.models} <= set(paper_parameters())
    assert (config.splits, config.folds, config.ensembles) == ((1, 2, 3), 10, (2, 5, 10))
    # Apart from the lists of models the file says what the defaults are.
    assert replace(config, models=('act_mu',), networks={}) == ProtocolConfig()
    assert config.of('act_mu') == replace(config, networks={})
    streams = {x for model in config.models for x in STREAMS.get(model, (model,))}
    assert set(config.networks) < streams
    assert (config.of('t_tr').optimizer, config.of('t_tr').epochs) == ('sgd', 120)
    assert (config.epochs, config.batch_size, config.weight_decay) == (350, 512, 1e-4)
    assert (config.label_smoothing, config.flip, config.noise) == (0.1, 0.5, 0.03)


@pytest.mark.parametrize(('change', 'message'), [
    ({'epoch': 3}, 'unknown settings epoch; known: .*epochs'),
    ({'models': ['act_xs']}, 'unknown models act_xs; known: .*act_mu'),
    ({'folds': 11}, 'folds must lie in'), ({'splits': [4]}, 'splits must be'),
    ({'extractor': 'alphapose'}, 'extractor must be one of openpose'),
    ({'schedule': 'step'}, 'schedule must be'), ({'noise': -1}, 'noise must be'),
    ({'optimizer': 'sdg'}, 'optimizer must be one of adam, sgd'),
    ({'drops': [0.8, 0.6]}, 'drops must rise'),
    ({'networks': {'act_xs': {}}}, 'networks: unknown model act_xs'),
    ({'networks': {'mlp': {'folds': 2}}}, 'networks: mlp: unknown settings folds; known: .*epochs'),
    ({'networks': {'mlp': {'epochs': 0}}}, 'networks: mlp: epochs and batch_size must'),
    ({'epochs': 'many'}, "run.yaml: epochs must be a whole number, not the text 'many'"),
    ({'networks': {'mlp': 5}}, 'networks must be a mapping: each a mapping'),
    ({'networks': {'mlp': {'epochs': 'few'}}}, 'networks: mlp: epochs must be a whole number'),
    ({'validation': 1.0}, 'validation must lie')])
def test_wrong_settings_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / 'run.yaml'
    file.write_text(yaml.safe_dump({**SMALL, **change}))
    with pytest.raises(ValueError, match=message):
        load_protocol(file)


def test_mirrored_windows_are_those_of_mirrored_people() -> None:
    """With the sides swapped: as if the pixels had been mirrored and the joints named anew."""
    rng = np.random.default_rng(0)
    layout = 'mpose13_openpose'
    points = rng.uniform(0, 300, (4, 30, 13, 2))
    mirrored = points[:, :, get_layout(layout).mirror] * (-1, 1)
    config = small(flip=1.0, noise=0.0, swap_sides=True)
    np.testing.assert_allclose(
        augment(rng, extract_features(points, layout), config, layout),
        extract_features(mirrored, layout), atol=1e-9)
    kept = augment(rng, extract_features(points, layout), replace(config, swap_sides=False), layout)
    np.testing.assert_allclose(kept, extract_features(points * (-1, 1), layout), atol=1e-9)


def test_scores_are_not_mirrored() -> None:
    features = np.full((6, 4, 39), 5, np.float32)
    changed = augment(np.random.default_rng(0), features.copy(), small(flip=1.0, noise=0.0),
                      'mpose13_openpose')
    assert (changed.reshape(6, 4, 13, 3) == (-5, 5, 5)).all()
    np.testing.assert_array_equal(every_nth_frame(changed, 2, 'score-v1'), changed[:, ::2])


def test_half_the_windows_are_mirrored_and_all_get_noise() -> None:
    features = np.full((4000, 2, 52), 5, np.float32)
    changed = augment(np.random.default_rng(0), features.copy(), small(), 'mpose13_openpose')
    assert abs((changed[:, 0, 0] < 0).mean() - 0.5) < 0.03
    assert (changed[:, :, 1::2] > 0).all()  # y stays
    assert np.abs(changed).std() == pytest.approx(0.03, rel=0.02)
    assert (changed != features).mean() > 0.99


def test_weights_decay_whatever_the_rate(data: MposeSplit) -> None:
    """At a rate of nothing only the decay of the authors' AdamW is left."""
    trainer = make_trainer(small(constant_rate=0.0, weight_decay=0.1), data, 'mlp', 0)
    before = [v.numpy() for v in trainer.model.trainable_variables]
    assert trainer.source.steps == 3
    trainer.train_epoch(trainer.batches())
    for old, new in zip(before, trainer.model.trainable_variables, strict=True):
        np.testing.assert_allclose(new, old * 0.9 ** 3, rtol=1e-5, atol=1e-7)


def test_a_network_may_have_settings_of_its_own(data: MposeSplit) -> None:
    """Gradient descent: the rate falls in steps, the decay goes through momentum and rate."""
    weights = []
    for decay in (0.0, 0.01):
        own = {'optimizer': 'sgd', 'schedule': 'steps', 'peak_rate': 0.1, 'weight_decay': decay,
               'epochs': 5}
        trainer = make_trainer(small(networks={'mlp': own}), data, 'mlp', 0)
        before = [v.numpy() for v in trainer.model.trainable_variables]
        assert trainer.source.steps == 3
        rate = trainer.optimizer._learning_rate
        np.testing.assert_allclose([rate(i) for i in (0, 8, 9, 11, 12, 14)],
                                   [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-5)
        trainer.step(*next(trainer.batches()))
        weights.append([v.numpy() for v in trainer.model.trainable_variables])
    for old, plain, decayed in zip(before, *weights, strict=True):
        np.testing.assert_allclose(decayed, plain - 1.9 * 0.1 * 0.01 * old, atol=1e-6)
    adam = make_trainer(small(networks={'mlp': own}), data, 'conv1d', 0)
    assert (type(adam.optimizer).__name__, adam.recipe.epochs) == ('Adam', 6)


def test_a_fold_learns_and_never_sees_its_validation(data: MposeSplit) -> None:
    trainer = make_trainer(small(epochs=12), data, 'mlp', 4)
    train, validation = split_validation(data.y_train, 4)
    np.testing.assert_array_equal(trainer.source.x_train, data.x_train[train])
    np.testing.assert_array_equal(trainer.source.x_validation, data.x_train[validation])
    result = run_fold(trainer)
    assert result['logits'].shape == (60, 20)
    assert result['loss'].shape == result['validation_accuracy'].shape == (12,)
    assert result['loss'][-1] < result['loss'][0]
    accuracy, balanced = scores(data.y_test, result['logits'])
    assert accuracy > 50  # of twenty classes
    assert balanced == pytest.approx(
        100 * metrics.balanced_accuracy_score(data.y_test, result['logits'].argmax(-1)))
    # The weights kept are those of the best epoch.
    best = (result['validation_logits'].argmax(-1) == result['validation_label']).mean()
    assert best == pytest.approx(result['validation_accuracy'].max())


def test_xla_changes_the_speed_only(data: MposeSplit) -> None:
    runs = [run_fold(make_trainer(small(epochs=2, xla=xla, dropout=0.0), data, 'mlp', 0))
            for xla in (False, True)]
    np.testing.assert_allclose(runs[0]['loss'], runs[1]['loss'], rtol=1e-4)
    np.testing.assert_allclose(runs[0]['logits'], runs[1]['logits'], atol=0.01)


def test_an_interrupted_fold_ends_as_one_that_was_not(
    tmp_path: Path, data: MposeSplit, small_act: None,
) -> None:
    """Weights, moments, dropout, order of the samples and the best epoch so far."""
    config, file = small(epochs=4, frame_step=10), tmp_path / 'fold.npz'
    whole = run_fold(make_trainer(config, data, 'act_mu', 1))

    def interrupt(epoch: int, values: dict[str, float]) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fold(make_trainer(config, data, 'act_mu', 1), file, on_epoch=interrupt)
    seen: list[int] = []
    again = run_fold(make_trainer(config, data, 'act_mu', 1), file,
                     on_epoch=lambda epoch, values: seen.append(epoch))
    assert seen == [3, 4]
    assert_same(whole, again)
    with pytest.raises(CheckpointError, match='another network'):
        run_fold(make_trainer(config, data, 'mlp', 1), file)
    first, again, other = (make_trainer(config, data, 'mlp', fold).model.get_weights()[0]
                           for fold in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)  # folds begin differently


def test_a_benchmark_goes_on_where_it_stopped(
    tmp_path: Path, released: Path, sequence: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small(epochs=2, folds=2)
    trained: list[int] = []
    train_fold = benchmark.train_fold

    def counted(data: MposeSplit, model: str, fold: int, *rest: Any) -> dict[str, np.ndarray]:
        if fold == 1 and not trained.count(1):
            trained.append(1)
            raise KeyboardInterrupt
        trained.append(fold)
        return train_fold(data, model, fold, *rest)

    monkeypatch.setattr(benchmark, 'train_fold', counted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.run_benchmark(config, tmp_path, released)
    benchmark.run_benchmark(config, tmp_path, released)
    assert trained == [0, 1, 1]
    for fold in range(2):
        assert_same(*(read_arrays(benchmark.fold_file(run, 'openpose', (1, 'mlp', fold)))
                      for run in (tmp_path, sequence)))
    assert not list(tmp_path.rglob('*.checkpoint.npz'))
    with pytest.raises(ValueError, match=r'results of other settings \(noise\)'):
        benchmark.run_benchmark(replace(config, noise=0.1), tmp_path, released)
    benchmark.run_benchmark(replace(config, folds=1), tmp_path, released)  # a part of it


def test_folds_of_other_data_are_not_mixed_in(tmp_path: Path, sequence: Path) -> None:
    results = shutil.copytree(sequence, tmp_path / 'results')
    write_split(tmp_path, train=11)
    with pytest.raises(ValueError, match=r'split_1 holds results of other data \(X_train.npy, y_'):
        benchmark.run_benchmark(small(epochs=2, folds=3), results, tmp_path)


def test_a_log_file_gets_no_line_for_every_fold(
    tmp_path: Path, released: Path, sequence: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor for its epochs, however long they take."""
    result = read_arrays(benchmark.fold_file(sequence, 'openpose', (1, 'mlp', 0)))
    monkeypatch.setattr(benchmark, 'train_fold', lambda *_: result)
    hours = count(step=3600)
    monkeypatch.setattr(tqdm.std, 'time', lambda: next(hours))
    config = small(folds=10, models=['mlp', 'conv1d', 'remnet', 'act_mu', 'act_s'])
    benchmark.run_benchmark(config, tmp_path, released)
    lines = [line for line in re.split(r'[\r\n]', capsys.readouterr().err) if 'fold' in line]
    assert '50/50' in lines[-1] and len(lines) <= LINES + 2


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / 'fold.npz'
    write_arrays(file, x=np.arange(3))

    def full(path: Path, **arrays: np.ndarray) -> None:
        path.write_bytes(b'the first half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(checkpoint.np, 'savez', full)
    with pytest.raises(CheckpointError, match=r'fold\.npz .*No space left.*last checkpoint'):
        write_arrays(file, x=np.arange(4))
    assert [path.name for path in tmp_path.iterdir()] == ['fold.npz']
    np.testing.assert_array_equal(read_arrays(file)['x'], np.arange(3))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(CheckpointError, match='damaged'):
        read_arrays(file)


def made_up_folds(count: int, classes: int = 4) -> list[dict[str, np.ndarray]]:
    """Return folds of a network that is right about two thirds of the time."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, 90)
    return [{'logits': 1.2 * np.eye(classes)[label] + rng.normal(0, 1, (90, classes)),
             'label': label, 'parameters': np.array(227_156), 'loss': np.array([2.0, 1.0]),
             'validation_accuracy': np.array([np.nan, 0.5])} for _ in range(count)]


def test_rows_are_means_over_folds_and_disjoint_ensembles() -> None:
    folds = made_up_folds(7)
    rows = rows_of({(2, 'act_mu'): folds, (2, 'mlp'): folds[:1]}, 'openpose', 'act_mu', (2, 5, 10))
    assert [(row['model'], row['members'], row['runs']) for row in rows] == [
        ('act_mu', 1, 7), ('mlp', 1, 1), ('act_mu', 2, 3), ('act_mu', 5, 1)]
    label = folds[0]['label']
    single = [metrics.accuracy_score(label, fold['logits'].argmax(-1)) for fold in folds]
    assert rows[0]['accuracy'] == pytest.approx(100 * np.mean(single))
    assert rows[0]['accuracy_std'] == pytest.approx(100 * np.std(single))
    pairs = []
    for i in (0, 2, 4):
        both = [np.exp(f['logits']) / np.exp(f['logits']).sum(-1, keepdims=True)
                for f in folds[i:i + 2]]
        pairs.append(metrics.balanced_accuracy_score(label, (both[0] + both[1]).argmax(-1)))
    assert rows[2]['balanced'] == pytest.approx(100 * np.mean(pairs))
    assert rows[2]['accuracy'] > rows[0]['accuracy']  # averaging helps independent errors
    assert (rows[0]['paper_accuracy'], rows[0]['paper_balanced']) == (91.00, 85.01)
    assert (rows[3]['paper_accuracy'], rows[3]['paper_balanced']) == (91.55, 87.80)
    assert rows[3]['parameters'] == 5 * 227_156
    assert [row['paper_parameters'] for row in rows[:3]] == [227_000, 1_334_000, 454_000]


def test_a_single_run_has_no_deviation() -> None:
    """An ensemble of all folds is one: ± 0.00 would claim what nobody measured."""
    rows = rows_of({(1, 'act_mu'): made_up_folds(5)}, 'openpose', 'act_mu', (5,))
    assert [row['runs'] for row in rows] == [5, 1]
    assert rows[0]['accuracy_std'] > 0 and rows[1]['accuracy_std'] is None
    single, ensemble = benchmark_report.as_markdown(rows).splitlines()[-2:]
    assert single.count('±') == 2 and '±' not in ensemble
    assert ',,' in benchmark_report.as_csv(rows)


def test_the_papers_table_is_whole() -> None:
    paper = paper_results()
    openpose = {(model, members) for extractor, model, members, _ in paper if extractor
                == 'openpose'}
    assert openpose == {(m, 1) for m in set(MODELS) - {'s_tr', 'ms_g3d_b'}} | {
        ('act_mu', n) for n in (2, 5, 10)} == set(paper_parameters())
    assert paper['posenet', 'act_m', 1, 3] == (88.70, 83.92)
    for accuracy, balanced in paper.values():
        assert 60 < balanced < accuracy < 95


def test_command_line(
    tmp_path: Path, released: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """Files, table, figures and logs."""
    pytest.importorskip('tensorboard', reason='logs are optional')
    file = tmp_path / 'run.yaml'
    file.write_text(yaml.safe_dump({**SMALL, 'epochs': 2, 'folds': 2}))
    arguments = ['--config', str(file), '--data', str(released), '--output', str(tmp_path)]
    benchmark.main([*arguments, '--tensorboard'])
    table = capsys.readouterr().out
    assert '| mlp ×2 | ' in table and '| 82.66 / 74.56 |' in table and '| 1,334,000 |' in table
    place = tmp_path / 'small' / 'openpose'
    assert (place / 'results.md').read_text() + '\n' == table
    rows = list(csv.DictReader((place / 'results.csv').read_text().splitlines()))
    assert [(row['model'], row['members']) for row in rows] == [
        ('mlp', '1'), ('mlp', '2')]
    result = read_arrays(place / 'split_1' / 'mlp' / 'fold_0.npz')
    accuracies = [scores(r['label'], r['logits'])[0] for r in (
        result, read_arrays(place / 'split_1' / 'mlp' / 'fold_1.npz'))]
    assert float(rows[0]['accuracy']) == pytest.approx(np.mean(accuracies), abs=1e-3)
    for figure in ('curves.png', 'confusion.png'):
        content = (place / 'split_1' / 'mlp' / figure).read_bytes()
        assert content.startswith(b'\x89PNG') and len(content) > 10_000
    assert list((place / 'split_1' / 'mlp' / 'fold_1.logs').glob('events.out.tfevents.*'))
    assert json.loads((tmp_path / 'small' / 'config.json').read_text())['epochs'] == 2

    benchmark.main([*arguments, '--smoke'])
    smoke = list((tmp_path / 'small_smoke').rglob('fold_*.npz'))
    assert [path.name for path in smoke] == ['fold_0.npz']
    assert np.isfinite(read_arrays(smoke[0])['loss']).all()

    for wrong, message in ((['--data', str(tmp_path)], 'X_train.npy'),
                           (['--config', 'none.yaml'], 'none.yaml')):
        with pytest.raises(SystemExit) as caught:
            benchmark.main([*arguments, '--models', 'remnet', *wrong])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize('name', ['benchmark', 'latency', 'import_weights'])
def test_former_names_of_commands_work_on(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, 'argv', ['command', '--help'])
    with pytest.warns(FutureWarning, match=f'is called training.paper.{name} now'):
        with pytest.raises(SystemExit) as caught:
            runpy.run_module(f'training.{name}', run_name='__main__')
    assert caught.value.code == 0
    assert 'usage' in capsys.readouterr().out


def test_no_fold_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='holds no fold yet'):
        write_report(tmp_path, small())
    assert benchmark_report.read_folds(tmp_path, 'openpose') == {}


def test_streams_are_trained_apart_and_their_scores_added(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = {'act_mu': ('mlp', 'conv1d')}  # two small networks stand for two streams
    monkeypatch.setattr(benchmark, 'STREAMS', streams)
    config = small(epochs=1, folds=1, models=['act_mu', 'mlp'])
    benchmark.run_benchmark(config, tmp_path, released)
    folds = benchmark_report.read_folds(tmp_path, 'openpose')
    assert set(folds) == {(1, 'mlp'), (1, 'conv1d')}
    (mlp,), (conv1d,) = folds[1, 'mlp'], folds[1, 'conv1d']
    joined = benchmark_report.add_streams(folds, streams)[1, 'act_mu'][0]
    softmax = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
               for x in (mlp['logits'].astype(float), conv1d['logits'].astype(float))]
    np.testing.assert_allclose(np.exp(joined['logits']), np.mean(softmax, axis=0), atol=1e-6)
    assert joined['parameters'] == 1_334_804 + 4_037_652
    del folds[1, 'conv1d']
    assert set(benchmark_report.add_streams(folds, streams)) == {(1, 'mlp')}


def test_ray_gives_the_results_of_a_sequence(
    tmp_path: Path, released: Path, sequence: Path, ray_cluster: str,
) -> None:
    """Folds on a cluster of two workers; but for rounding: a worker has one thread, we several."""
    benchmark.run_benchmark(small(epochs=2, folds=2), tmp_path, released, ray_cluster, threads=1)
    for fold in range(2):
        mine, theirs = (read_arrays(benchmark.fold_file(run, 'openpose', (1, 'mlp', fold)))
                        for run in (sequence, tmp_path))
        assert mine.keys() == theirs.keys() and 'logits' in mine
        for name, values in mine.items():
            if values.dtype.kind == 'f':
                np.testing.assert_allclose(theirs[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_fewer_frames_are_those_of_a_slower_camera() -> None:
    """The velocities, too: what the robot computes of poses at that rate."""
    points = np.random.default_rng(0).uniform(0, 300, (3, 30, 13, 2))
    for step in (1, 4, 10):
        np.testing.assert_allclose(
            every_nth_frame(extract_features(points, 'mpose13_coco'), step),
            extract_features(points[:, ::step], 'mpose13_coco'), atol=1e-9)


@pytest.mark.parametrize('address', ['127.0.0.1:9', 'nowhere.invalid:6379', '127.0.0.1:six'])
def test_a_cluster_that_does_not_answer_is_named(
    tmp_path: Path, released: Path, address: str,
) -> None:
    pytest.importorskip('ray', reason='Ray is optional')
    with pytest.raises(ClusterError, match=f'no Ray cluster answers at .{address}.*ray start'):
        benchmark.run_benchmark(small(), tmp_path, released, address)


def test_without_ray_the_option_says_what_to_install(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ClusterError, match='pip install "ray'):
        benchmark.run_benchmark(small(), tmp_path, released, 'local')


def test_figures_of_the_confusion_matrix_are_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At 60 % white had a contrast of 3.2 on the blue."""
    drawn: list[tuple[str, str]] = []
    monkeypatch.setattr('matplotlib.axes.Axes.text', lambda axes, x, y, text, color, **others:
                        drawn.append((text, color)))
    answers = np.eye(20)[[0] * 6 + [1] * 4 + [2] * 10]
    benchmark_report.plot_confusion(tmp_path / 'confusion.png', [
        {'label': np.array([0] * 10 + [2] * 10), 'logits': answers}], 'act_mu')
    assert {text for text, _ in drawn} == {'60', '40', '100'}
    for text, ink in drawn:
        ground = np.array(colormaps['Blues'](int(text) / 100)[:3])
        assert contrast(ground, np.full(3, float(ink == 'white'))) >= 4.5
