"""From sequence files to a bundle: train, evaluate, export, classify; and the export's checks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

keras = pytest.importorskip('keras', reason='training needs TensorFlow')
tf = pytest.importorskip('tensorflow', reason='training needs TensorFlow')

from act_ros.actions.bundle import BundleError, save_bundle  # noqa: E402
from act_ros.actions.classifier import ActClassifier  # noqa: E402
from act_ros.actions.features import mirror  # noqa: E402
from act_ros.core.skeletons import get_layout  # noqa: E402
from act_ros.tflite.runtime import load_interpreter  # noqa: E402
from training import evaluate, export, train, trainer  # noqa: E402
from training.checkpoint import CheckpointError  # noqa: E402
from training.config import TrainConfig, read_run  # noqa: E402
from training.data import is_held_back, load_data  # noqa: E402
from training.datasets.skeletons import DataError  # noqa: E402
from training.metrics import softmax  # noqa: E402
from training.models import build  # noqa: E402
from training.models.act import ActSize, build_act  # noqa: E402
from training.networks import Serving, as_served, load_network  # noqa: E402

FEATURES = np.random.default_rng(0).normal(0, 0.5, (20, 12, 52)).astype(np.float32)
CONFIG = TrainConfig(name='tiny', files=('a.npz',), labels=('one', 'two', 'three'), num_frames=12,
                     min_frames=6, background=True)


def member(seed: int, outputs: int = 4) -> Any:
    keras.utils.set_random_seed(seed)
    model = build('act_mu', num_frames=12, num_classes=outputs)
    for variable in model.trainable_variables:
        if variable.name == 'bias':  # new ones are all 0
            variable.assign(keras.random.normal(variable.shape, stddev=0.3))
    return model


def run(model: bytes, features: np.ndarray) -> list[np.ndarray]:
    interpreter = load_interpreter(model, 1)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]['index'], features.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], features)
    interpreter.invoke()
    return [interpreter.get_tensor(o['index']) for o in interpreter.get_output_details()]


def test_a_single_model_keeps_its_logits_for_any_batch_and_length() -> None:
    model = member(0, 3)
    file = export.convert([model])
    for features in (FEATURES, FEATURES[:1, 4:], FEATURES[:3, 9:]):
        (logits,) = run(file, features)
        np.testing.assert_allclose(logits, model(features), atol=1e-4)


def test_an_ensemble_averages_probabilities_shares_the_background_and_shows_attention() -> None:
    models = [member(0), member(1)]
    logits, attention = run(export.convert(models, attention=True, background=True), FEATURES)
    mean = np.mean([softmax(m(FEATURES).numpy()) for m in models], axis=0)
    np.testing.assert_allclose(np.exp(logits), mean[:, :3] + mean[:, 3:] / 3, atol=1e-5)
    assert attention.shape == (20, 12)
    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)
    assert attention.min() >= 0


def test_a_mirrored_person_does_the_same() -> None:
    network, (index, sign) = member(0), mirror('mpose13_coco')
    model = as_served(network, 'mpose13_coco', 'abc', Serving(mirrored=True))
    logits, attention = run(export.convert([model], attention=True, background=True), FEATURES)
    (mirrored,) = run(export.convert([model], background=True), FEATURES[..., index] * sign)
    np.testing.assert_allclose(mirrored, logits, atol=1e-4)
    halves = [softmax(network(x).numpy()) for x in (FEATURES, FEATURES[..., index] * sign)]
    assert np.abs(halves[0] - halves[1]).max() > 1e-3
    mean = np.mean(halves, axis=0)
    np.testing.assert_allclose(np.exp(logits), mean[:, :3] + mean[:, 3:] / 3, atol=1e-5)
    np.testing.assert_allclose(
        attention, run(export.convert([network], attention=True), FEATURES)[1], atol=1e-5)


@pytest.mark.parametrize(('mirrored', 'told'), [(False, 'b'), (True, 'b'), (True, 'ac')])
def test_legs_alone_tell_who_walks(mirrored: bool, told: str) -> None:
    """
    Some classes get the greater of two answers, of which one is blind for arms; the rest shrinks.

    So they do together, and among themselves.
    """
    network, (index, sign) = member(0), mirror('mpose13_coco')
    served = as_served(network, 'mpose13_coco', 'abc', Serving(mirrored, by_legs=tuple(told)))
    (logits,) = run(export.convert([served]), FEATURES)
    image = FEATURES[..., index] * sign
    armless = image.reshape(20, 12, 13, 4).copy()
    joints = get_layout('mpose13_coco').joints
    armless[:, :, [joints.index(f'{s}_{x}') for s in 'lr' for x in ('elbow', 'wrist')]] = 0
    plain, other, legs = (softmax(network(x).numpy()) for x in (
        FEATURES, image, armless.reshape(image.shape)))
    plain = (plain + other) / 2 if mirrored else plain
    those = ['abc'.index(name) for name in told]
    seen, alone = plain[:, those].sum(axis=-1), legs[:, those].sum(axis=-1)
    assert 0 < (alone > seen).mean() < 1
    total, greater = np.maximum(seen, alone)[:, None], np.maximum(plain, legs)[:, those]
    wanted = plain * (1 - total) / (1 - seen)[:, None]
    wanted[:, those] = greater * total / greater.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(logits), wanted, atol=1e-5)
    np.testing.assert_allclose(wanted.sum(axis=-1), 1, atol=1e-6)


def test_of_whom_no_legs_are_seen_nobody_knows_whether_they_sit() -> None:
    """What falls on class 1 goes to the background where knees and feet are unseen throughout."""
    network, joints = member(0), get_layout('mpose13_coco').joints
    legs = [joints.index(f'{side}_{part}') for part in ('knee', 'ankle') for side in 'lr']
    features = FEATURES.reshape(20, 12, 13, 4).copy()
    features[:8, :, legs] = 0  # of the others, one foot is seen in one frame at least
    features[8:, 1:, legs] = features[8:, :1, legs[:-1]] = 0
    asked = features.reshape(FEATURES.shape)
    served = as_served(network, 'mpose13_coco', 'abc', Serving(needs_legs=('b',)))
    (logits,) = run(export.convert([served]), asked)
    wanted = softmax(network(asked).numpy())
    assert (wanted[:8, 1] > 1e-3).all()
    wanted[:8, 3] += wanted[:8, 1]
    wanted[:8, 1] = 0
    np.testing.assert_allclose(np.exp(logits), wanted, atol=1e-5)


def test_what_is_met_more_often_is_likelier() -> None:
    """Twice as often: twice the odds against the others, the background among them."""
    network = member(0)
    plain = softmax(network(FEATURES).numpy())
    served = as_served(network, 'mpose13_coco', 'abc', Serving(prior={'b': 2.0}))
    (logits,) = run(export.convert([served]), FEATURES)
    wanted = plain[:, 1] * 2 / (plain[:, 1] * 2 + plain[:, [0, 2, 3]].sum(-1))
    np.testing.assert_allclose(np.exp(logits[:, 1]), wanted, atol=1e-5)
    np.testing.assert_allclose(np.exp(logits).sum(axis=-1), 1, atol=1e-5)


@pytest.fixture(scope='module')
def with_onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """Return a bundle with an ONNX file beside it, and its two small networks."""
    for name in ('tf2onnx', 'onnxruntime'):
        pytest.importorskip(name)
    keras.utils.set_random_seed(0)
    models = [build_act(ActSize(2, 8, 1, 8, 0.0), 12, 52, 4, 'act') for _ in range(2)]
    path = export.export_bundle(
        models, CONFIG.bundle(attention=True), tmp_path_factory.mktemp('onnx'), FEATURES,
        background=True, onnx=True)
    return path.with_suffix('.onnx'), models


def test_a_bundle_is_served_from_its_onnx_file_too(with_onnx: tuple[Path, list[Any]]) -> None:
    """The same card, checks and answers, for any batch and length; the checksum is its own."""
    path, models = with_onnx
    onnx, tflite = ActClassifier(path), ActClassifier(path.with_suffix('.tflite'))
    assert onnx.labels == CONFIG.labels
    assert onnx.bundle.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert onnx.bundle.sha256_onnx == tflite.bundle.sha256_onnx == onnx.bundle.sha256
    for features in (FEATURES, FEATURES[:1, 4:], FEATURES[:3, 9:]):
        probabilities, attention, _ = onnx.invoke(features)
        np.testing.assert_allclose(probabilities, export.average(models, features, 3), atol=1e-5)
        assert attention is not None and attention.shape == features.shape[:2]
        same = tflite.invoke(features)
        assert same.attention is not None
        np.testing.assert_allclose(probabilities, same.probabilities, atol=1e-5)
        np.testing.assert_allclose(attention, same.attention, atol=1e-5)


def test_a_wrong_onnx_file_gets_one_clear_line(
    with_onnx: tuple[Path, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Damaged, of another network, of a bundle that has none, or nothing there to run it."""
    path, models = with_onnx
    content, copy = path.read_bytes(), tmp_path / 'tiny.onnx'
    with pytest.raises(FileNotFoundError, match='tiny.onnx does not exist'):
        ActClassifier(copy)
    copy.write_bytes(content[:-100])
    shutil.copy(path.with_suffix('.yaml'), tmp_path)
    with pytest.raises(BundleError, match='does not belong to .*: its SHA-256 is'):
        ActClassifier(copy)
    save_bundle(tmp_path, CONFIG.bundle(attention=True), content, content[:-100])
    with pytest.raises(BundleError, match='tiny.onnx: cannot load the model'):
        ActClassifier(copy)
    other = dataclasses.replace(CONFIG, labels=('one', 'two'))
    save_bundle(tmp_path, other.bundle(attention=True), content, content)
    with pytest.raises(BundleError, match='gives outputs of shape .* names 2 labels'):
        ActClassifier(copy)
    with pytest.raises(export.ExportError, match='differs from Keras'):
        export.check(content, models[:1], FEATURES, 'float32')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(BundleError, match='needs ONNX Runtime: pip install onnxruntime'):
        ActClassifier(path)
    monkeypatch.setitem(sys.modules, 'tf2onnx', None)
    with pytest.raises(export.ExportError, match='need tf2onnx: pip install tf2onnx'):
        export.convert_onnx(models)


@pytest.mark.parametrize('quantisation', ['float16', 'int8'])
def test_quantised_files_are_smaller_and_agree(quantisation: str) -> None:
    models = [member(0, 3)]
    file = export.convert(models, quantisation)
    assert len(file) < 0.7 * len(export.convert(models))
    assert export.check(file, models, FEATURES, quantisation) < export.TOLERANCE[quantisation]
    label = models[0](FEATURES).numpy().argmax(-1)
    before, after = export.balanced_accuracies(file, models, FEATURES, label)
    assert before == 1 and after > 0.8


def test_a_file_that_differs_from_keras_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = export.convert([member(7)], background=True)
    monkeypatch.setattr(export, 'convert', lambda *_: wrong)
    with pytest.raises(export.ExportError, match='differs from Keras'):
        export.export_bundle([member(0)], CONFIG.bundle(), tmp_path, FEATURES,
                             background=True)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_ends_as_one_that_was_not(
    tmp_path: Path, people: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once by the user, once by a full disk: the rest of the run is done by the same command."""
    config = tmp_path / 'run.yaml'
    config.write_text(yaml.safe_dump({'name': 'tiny', **SETTINGS, 'members': [0], 'epochs': 3,
                                      'model': 'mlp', 'checkpoint_every': 1, 'xla': False}))
    weights = {}
    for name in ('whole', 'broken'):
        command = ['--config', str(config), '--output', str(tmp_path / name), *people]
        with monkeypatch.context() as patch:
            if name == 'broken':
                patch.setattr(trainer, 'write_arrays', interrupted_at(
                    2, trainer.write_arrays, CheckpointError('cannot write checkpoint.npz')))
                with pytest.raises(SystemExit):
                    train.main(command)
                assert 'cannot write checkpoint.npz' in capsys.readouterr().err
                patch.setattr(trainer, 'write_arrays', interrupted_at(
                    2, trainer.write_arrays, KeyboardInterrupt()))
                with pytest.raises(SystemExit, match='130'):
                    train.main(command)
        train.main(command)
        weights[name] = load_network(tmp_path / name / 'tiny').model.get_weights()
        assert not list((tmp_path / name).rglob('*partial*'))
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_that_is_done_again_has_one_line_of_the_log(
    tmp_path: Path, people: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is interrupted between two checkpoints has told of epochs that come again."""
    config = tmp_path / 'run.yaml'
    config.write_text(yaml.safe_dump({'name': 'tiny', **SETTINGS, 'members': [0], 'epochs': 3,
                                      'model': 'mlp', 'checkpoint_every': 2}))
    command = ['--config', str(config), '--output', str(tmp_path), *people]
    for call in (1, 2):  # the second checkpoint is the last
        with monkeypatch.context() as patch:
            patch.setattr(trainer, 'write_arrays', interrupted_at(
                call, trainer.write_arrays, KeyboardInterrupt()))
            with pytest.raises(SystemExit, match='130'):
                train.main(command)
    train.main(command)
    lines = (tmp_path / 'tiny' / 'member_0' / 'log.jsonl').read_text().splitlines()
    assert [json.loads(line)['epoch'] for line in lines] == [1, 2, 3]


@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
def test_tensorboard_without_tensorflow_is_said_in_one_line(
    tmp_path: Path, people: list[str], on_jax: dict[str, str],
) -> None:
    config = tmp_path / 'run.yaml'
    config.write_text(yaml.safe_dump({'name': 'tiny', **SETTINGS, 'model': 'mlp'}))
    code = ('import sys\nsys.modules["tensorflow"] = None\n'
            'from training.train import main\nmain(sys.argv[1:])')
    done = subprocess.run(
        [sys.executable, '-c', code, '--config', str(config), '--output', str(tmp_path), *people,
         '--tensorboard'], capture_output=True, text=True, check=False, env=on_jax)
    assert done.returncode == 2 and 'tensorflow' in done.stderr.splitlines()[-1]


def test_a_person_who_does_no_known_action_ends_no_training(
    tmp_path: Path, people: list[str],
) -> None:
    """There is nothing to measure, nor to choose weights by: the last ones are kept."""
    with np.load(tmp_path / 'a.npz') as file:
        arrays = {**file, 'label': np.where(file['actor'] == 's0', -1, file['label'])}
    np.savez(tmp_path / 'a.npz', **arrays)
    config = tmp_path / 'run.yaml'
    config.write_text(yaml.safe_dump({'name': 'tiny', **SETTINGS, 'folds': 4, 'keep': 'best',
                                      'members': [0, 1, 2, 3], 'model': 'mlp'}))
    train.main(['--config', str(config), '--output', str(tmp_path / 'runs'), *people])
    run_folder = tmp_path / 'runs' / 'tiny'
    folders = [folder for folder in run_folder.glob('member_*')
               if 'own_accuracy' not in (folder / 'log.jsonl').read_text()]
    assert len(folders) == 1
    number = int(folders[0].name.removeprefix('member_'))
    settings = read_run(run_folder)
    sequences, folds = load_data(settings, tmp_path)
    untrained = train.make_trainer(settings, train.People(
        settings, sequences, is_held_back(settings, sequences, folds, number)), number)
    kernel = load_network(run_folder, number).model.get_weights()[0]
    assert np.abs(kernel - untrained.model.get_weights()[0]).max() > 1e-4
    evaluate.main(['--run', str(run_folder), '--data', str(tmp_path)])
    shutil.copytree(folders[0], tmp_path / 'alone' / 'member_0')
    with pytest.raises(DataError, match=r'nobody held back, .* there is nothing to measure'):
        evaluate.evaluate_run(tmp_path / 'alone', dataclasses.replace(settings, members=(number,)))


def interrupted_at(call: int, function: Any, error: BaseException) -> Any:
    """Return a function that raises in its n-th call what would have come in between."""
    calls = []

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == call:
            raise error
        return function(*args, **kwargs)

    return wrapper


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, 'backend', lambda: 'jax')
    with pytest.raises(export.ExportError, match='Keras runs on jax: unset KERAS_BACKEND'):
        export.convert([member(0)])


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError, match='float16'):
        export.convert([member(0)], 'int4')
    with pytest.raises(ValueError, match='no model'):
        export.convert([])


SETTINGS = {
    'files': ['a.npz'], 'labels': ['stand', 'wave'], 'num_frames': 12, 'min_frames': 6, 'folds': 2,
    'members': [0, 1], 'epochs': 1, 'windows_per_epoch': 64, 'batch_size': 32,
    'short_windows': 0.0, 'validate_every': 1, 'xla': False}


@pytest.fixture
def people(tmp_path: Path, small_act: None) -> list[str]:
    """Make four people who stand, wave and do something else; return where, as arguments."""
    rng = np.random.default_rng(0)
    length, takes = 40, 24
    t = np.arange(length) / 30
    joints = np.zeros((takes, length, 13, 3))
    joints[..., 0] = np.array([0, 2, 2, 2, -2, -2, -2, 1, 1, 1, -1, -1, -1]) / -10
    joints[..., 1] = np.array([-7, -5, -2, 0, -5, -2, 0, 0, 4, 8, 0, 4, 8]) / 10
    joints[..., 2] = 4
    label = np.tile([0, 1, -1], 8)
    joints[label == 1, :, 3, 1] -= 0.9 + 0.2 * np.sin(9 * t)
    joints[label == -1, :, 9, 0] += np.abs(np.sin(5 * t))
    joints += rng.normal(0, 0.01, joints.shape)
    np.savez(
        tmp_path / 'a.npz', joints=joints.reshape(-1, 13, 3).astype(np.float32),
        offsets=np.arange(takes + 1) * length, label=label, fps=np.full(takes, 30.0),
        layout=np.array(['mpose13_3d']), actor=np.repeat([f's{i}' for i in range(4)], 6),
        labels=np.array(['stand', 'wave']),
        take=np.array([f't{i}' for i in range(takes)]))
    return ['--data', str(tmp_path)]


def test_one_command_each_from_sequences_to_a_bundle(
    tmp_path: Path, people: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    """Members hold back different folds, and their average is the bundle."""
    config = tmp_path / 'run.yaml'
    config.write_text(yaml.safe_dump({'name': 'tiny', **SETTINGS}))
    command = ['--config', str(config), '--output', str(tmp_path / 'runs'), *people]
    train.main([*command, '--member', '0'])
    run_folder = tmp_path / 'runs' / 'tiny'
    with pytest.raises(SystemExit):
        evaluate.main(['--run', str(run_folder)])
    assert 'train member 1 first' in capsys.readouterr().err
    before = (run_folder / 'member_0' / 'member.weights.h5').read_bytes()
    train.main(command)  # goes on where it stopped: member 0 is done
    assert 'trained already: member 0; to train anew' in capsys.readouterr().err
    assert (run_folder / 'member_0' / 'member.weights.h5').read_bytes() == before

    card = tmp_path / 'tiny.md'
    card.write_text(f'head\n{evaluate.BEGIN}\nold\n{evaluate.END}\ntail\n')
    evaluate.main(['--run', str(run_folder), '--card', str(card)])
    text = card.read_text()
    assert text.startswith('head') and text.endswith('tail\n')
    assert '| wave |' in text and '\nold\n' not in text
    export.main(['--run', str(run_folder), '--output', str(tmp_path / 'models'), *people])
    classifier = ActClassifier(tmp_path / 'models' / 'tiny.tflite')
    assert classifier.labels == ('stand', 'wave')
    assert classifier.bundle.members == 2
    windows = np.random.default_rng(0).uniform(10, 200, (5, 12, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(classifier.classify(windows, 'coco17').sum(-1), 1, atol=1e-5)

    config.write_text(config.read_text().replace('epochs: 1', 'epochs: 2'))
    with pytest.raises(SystemExit):
        train.main(command)
    assert 'results of other settings (epochs)' in capsys.readouterr().err


def test_a_training_that_is_refused_leaves_nothing_behind(
    tmp_path: Path, people: list[str],
) -> None:
    """Else the mended configuration would be refused, for results that are none."""
    config = tmp_path / 'tiny.yaml'
    config.write_text(yaml.safe_dump({
        **SETTINGS, 'name': 'tiny', 'model': 'mlp', 'short_windows': 0.5}))
    with pytest.raises(SystemExit):  # it takes no short windows
        train.main(['--config', str(config), '--output', str(tmp_path / 'runs'), *people])
    assert not (tmp_path / 'runs').exists()


def test_a_run_is_of_one_state_of_its_data(
    tmp_path: Path, people: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    """Else members would be of different people, and a checkpoint go on with others."""
    def command(name: str, *options: str, **settings: Any) -> list[str]:
        config = tmp_path / f'{name}.yaml'
        config.write_text(yaml.safe_dump({'name': name, **SETTINGS, 'model': 'mlp', **settings}))
        return ['--config', str(config), '--output', str(tmp_path), *people, *options]

    def refused(name: str, file: str, *options: str, **settings: Any) -> None:
        with pytest.raises(SystemExit):
            train.main(command(name, *options, **settings))
        said = capsys.readouterr().err.splitlines()[-1]
        assert f'{name} holds results of other data ({file} changed since): take' in said
        assert not (tmp_path / name / 'member_1').exists()

    train.main(command('old', '--member', '0'))
    train.main(command('new', '--member', '0', start_from=str(tmp_path / 'old')))
    weights = tmp_path / 'old' / 'member_0' / 'member.weights.h5'
    shutil.copy(tmp_path / 'new' / 'member_0' / 'member.weights.h5', weights)
    refused('new', str(tmp_path / 'old'), start_from=str(tmp_path / 'old'))
    with np.load(tmp_path / 'a.npz') as file:
        arrays = dict(file)
    np.savez(tmp_path / 'a.npz', **{**arrays, 'fps': arrays['fps'] + 1})
    refused('old', 'a.npz')
    refused('old', 'a.npz', '--member', '0')  # also where nothing is left to train
    record = tmp_path / 'old' / 'data.json'
    record.write_text('[1')
    with pytest.raises(SystemExit):
        train.main(command('old'))
    assert f'{record} is damaged' in capsys.readouterr().err
    record.unlink()  # as runs of earlier versions: they go on
    train.main(command('old'))
    assert (tmp_path / 'old' / 'member_1' / 'member.weights.h5').is_file()
    np.savez(tmp_path / 'a.npz', **arrays)
    for module in (evaluate, export):  # who was never seen may be somebody else
        with pytest.raises(SystemExit):
            module.main(['--run', str(tmp_path / 'old'), *people])
        assert 'old holds results of other data (a.npz changed' in capsys.readouterr().err


def test_the_final_network_of_everybody_ships_and_the_others_are_measured(
    tmp_path: Path, people: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody is left to measure it on."""
    config, run_folder = tmp_path / 'run.yaml', tmp_path / 'runs' / 'tiny'
    config.write_text(yaml.safe_dump(
        {'name': 'tiny', **SETTINGS, 'members': [0, 0], 'final': True,
         'normalisation': 'motion-v1'}))
    train.main(['--config', str(config), '--output', str(tmp_path / 'runs'), *people])
    assert sorted(p.parent.name for p in run_folder.glob('*/held_back.npz')) == [
        'member_0', 'member_1']
    alone = evaluate.load_held_back(run_folder, read_run(run_folder), 'own')
    kept = np.load(run_folder / 'member_1' / 'held_back.npz')
    np.testing.assert_array_equal(alone.log_mean, kept['own_logits'])
    assert len(kept['waist_up_logits']) == len(kept['turned_logits'])
    evaluate.main(['--run', str(run_folder)])
    told = capsys.readouterr().out
    assert 'Classes that need knees and feet' in told
    temperature = float(re.findall(r'temperature ([\d.]+)', told)[-1])
    export.main(['--run', str(run_folder), '--output', str(tmp_path / 'models'), *people])
    classifier = ActClassifier(tmp_path / 'models' / 'tiny.tflite')
    assert classifier.bundle.members == 1
    assert classifier.bundle.temperature == pytest.approx(temperature, abs=1e-3)
    assert classifier.bundle.normalisation == 'motion-v1'
    network = load_network(run_folder)  # what another training starts from
    assert network.normalisation == 'motion-v1'
    features = np.random.default_rng(0).standard_normal((4, 12, 52)).astype(np.float32)
    np.testing.assert_allclose(
        classifier.invoke(features).probabilities,
        softmax(np.log(network.probabilities(features)), temperature), atol=1e-3)
    config.write_text(config.read_text() + 'keep: best\n')
    with pytest.raises(SystemExit):
        train.main(['--config', str(config), *people])
    assert 'final needs keep: last' in capsys.readouterr().err
