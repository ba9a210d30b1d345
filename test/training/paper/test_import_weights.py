"""Keras .h5 weights of the paper's code become bundles that say what the paper's formulas say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
import h5py
from released import write_split

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.features import extract_features
from training.config import TrainConfig
from training.datasets.labels import MPOSE_LABELS
from training.finetuning import OldNetwork
from training.models import build
from training.models.act import SIZES
from training.paper import import_weights
from training.paper.benchmark import run_benchmark
from training.paper.import_weights import WeightsError, read_h5
from training.paper.mpose import load_mpose
from training.paper.protocol import ProtocolConfig, every_nth_frame

Layers = list[tuple[str, list[tuple[str, np.ndarray]]]]


def random_layers(size: str = 'mu', features: int = 52, classes: int = 20, frames: int = 30,
                  seed: int = 0) -> Layers:
    """Return the layers of the authors' network, named as Keras 2 names them in a second model."""
    rng = np.random.default_rng(seed)
    config = SIZES[size]
    width = config.d_model

    def dense(rows: int, columns: int) -> list[tuple[str, np.ndarray]]:
        return [('kernel:0', rng.normal(0, rows ** -0.5, (rows, columns))),
                ('bias:0', rng.normal(0, 0.2, columns))]

    def norm() -> list[tuple[str, np.ndarray]]:
        return [('gamma:0', rng.normal(1, 0.1, width)), ('beta:0', rng.normal(0, 0.1, width))]

    encoder = []
    for i in range(config.num_layers):
        prefix = f'transformer_encoder_1/transformer_encoder_layer_{i + 4}'
        parts = [(f'multi_head_attention_{i}/dense_{6 * i + j}', dense(width, width))
                 for j in range(4)]
        parts += [(f'dense_{6 * i + 4}', dense(width, 4 * width)),
                  (f'dense_{6 * i + 5}', dense(4 * width, width)),
                  (f'layer_normalization_{2 * i}', norm()),
                  (f'layer_normalization_{2 * i + 1}', norm())]
        encoder += [(f'{prefix}/{part}/{name}', array) for part, arrays in parts
                    for name, array in arrays]
    return [
        ('input_2', []),
        ('dense_30', [(f'dense_30/{n}', a) for n, a in dense(features, width)]),
        ('patch_class_embedding_1', [
            ('patch_class_embedding_1/class_token:0', rng.normal(0, 0.5, (1, 1, width))),
            ('patch_class_embedding_1/embedding_1/embeddings:0',
             rng.normal(0, 0.5, (frames + 1, width)))]),
        ('transformer_encoder_1', encoder),
        ('lambda_1', []),
        ('dense_60', [(f'dense_60/{n}', a) for n, a in dense(width, config.mlp_head)]),
        ('dense_61', [(f'dense_61/{n}', a) for n, a in dense(config.mlp_head, classes)]),
    ]


def write_h5(path: Path, layers: Layers, chunk: int = 10 ** 6) -> Path:
    """Write what Keras 2's ``save_weights`` writes; attributes over ``chunk`` names are cut up."""
    def put(group: h5py.Group, attribute: str, names: list[str]) -> None:
        parts = [names[i:i + chunk] for i in range(0, len(names), chunk)] or [[]]
        for i, part in enumerate(parts):
            group.attrs[attribute if len(parts) == 1 else f'{attribute}{i}'] = np.array(
                [name.encode() for name in part], 'S')

    with h5py.File(path, 'w') as file:
        put(file, 'layer_names', [name for name, _ in layers])
        file.attrs['backend'], file.attrs['keras_version'] = b'tensorflow', b'2.4.0'
        for name, arrays in layers:
            group = file.create_group(name)
            put(group, 'weight_names', [weight for weight, _ in arrays])
            for weight, array in arrays:
                group.create_dataset(weight, data=array.astype(np.float32))
    return path


def formula(layers: Layers, x: np.ndarray, heads: int) -> np.ndarray:
    """Return the logits (N, C) of features (N, T, F), in plain numpy and float64."""
    arrays = {name: [a.astype(np.float32).astype(np.float64) for _, a in values]
              for name, values in layers}

    def norm(y: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(
            y.var(-1, keepdims=True) + 1e-6) * gamma + beta

    def split(y: np.ndarray) -> np.ndarray:
        return y.reshape(*y.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    kernel, bias = arrays['dense_30']
    token, position = arrays['patch_class_embedding_1']
    x = np.concatenate([np.tile(token, (len(x), 1, 1)), x @ kernel + bias], axis=1)
    x = x + position[:x.shape[1]]
    encoder = arrays['transformer_encoder_1']
    for i in range(0, len(encoder), 16):
        wq, bq, wk, bk, wv, bv, wo, bo, w1, b1, w2, b2, g1, e1, g2, e2 = encoder[i:i + 16]
        q, k, v = split(x @ wq + bq), split(x @ wk + bk), split(x @ wv + bv)
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = norm(x + mixed.transpose(0, 2, 1, 3).reshape(x.shape) @ wo + bo, g1, e1)
        hidden = x @ w1 + b1
        x = norm(x + hidden * (1 + erf(hidden / np.sqrt(2))) / 2 @ w2 + b2, g2, e2)
    for name in ('dense_60', 'dense_61'):
        kernel, bias = arrays[name]
        x = x[:, 0] @ kernel + bias if x.ndim == 3 else x @ kernel + bias
    return x


def softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits - logits.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(1).uniform(50, 400, (5, 30, 25, 3)).astype(np.float32)


@pytest.mark.parametrize(('size', 'chunk'), [('mu', 10 ** 6), ('s', 20)])
def test_the_bundle_says_what_the_formula_says(
    tmp_path: Path, windows: np.ndarray, size: str, chunk: int,
) -> None:
    layers = random_layers(size)
    file = write_h5(tmp_path / 'AcT_1_0.h5', layers, chunk)
    import_weights.main(['--h5', str(file), '--size', size, '--layout', 'mpose13_openpose',
                         '--output', str(tmp_path / 'models')])
    classifier = ActClassifier(tmp_path / 'models' / 'AcT_1_0.tflite')
    assert classifier.labels == MPOSE_LABELS
    assert (classifier.frame_rate, classifier.num_frames) == (30.0, 30)
    assert classifier.bundle.unknown_threshold == 0.5
    for frames in (30, 20):
        features = extract_features(windows[:, :frames], 'body25', 'mpose13_openpose')
        expected = softmax(formula(layers, features.astype(np.float64), SIZES[size].num_heads))
        np.testing.assert_allclose(classifier.classify(windows[:, :frames], 'body25'), expected,
                                   atol=2e-5)


def test_the_authors_later_weights_read_scores(
    tmp_path: Path, windows: np.ndarray, capsys: pytest.CaptureFixture[str],
) -> None:
    """They have 39 inputs; what macOS put into their archive is left out with a word."""
    layers = random_layers('mu', 39)
    file = write_h5(tmp_path / 'AcT_micro_1_0.h5', layers)
    copy = tmp_path / '__MACOSX' / '._AcT_micro_1_0.h5'
    copy.parent.mkdir()
    copy.write_bytes(b'\x00\x05\x16\x07Mac OS X')
    common = ['--size', 'mu', '--layout', 'mpose13_openpose', '--output', str(tmp_path)]
    import_weights.main(['--h5', str(file), str(copy), *common])
    assert f'left out {copy}' in capsys.readouterr().out
    classifier = ActClassifier(tmp_path / 'AcT_micro_1_0.tflite')
    assert classifier.bundle.normalisation == 'score-v1'
    features = extract_features(windows, 'body25', 'mpose13_openpose', 'score-v1')
    expected = softmax(formula(layers, features.astype(np.float64), 1))
    np.testing.assert_allclose(classifier.classify(windows, 'body25'), expected, atol=2e-5)
    with pytest.raises(SystemExit):
        import_weights.main(['--h5', str(copy), *common])
    assert 'outside of __MACOSX' in capsys.readouterr().err


def test_several_files_become_an_ensemble_of_their_own_labels_and_layout(tmp_path: Path) -> None:
    folds = [random_layers('mu', 68, 3, seed=seed) for seed in (1, 2)]
    files = [write_h5(tmp_path / f'fold{i}.h5', layers) for i, layers in enumerate(folds)]
    path = import_weights.import_weights(
        files, 'mu', 'coco17', tmp_path, labels=('a', 'b', 'c'), name='both', attention=True)
    classifier = ActClassifier(path)
    assert (classifier.labels, classifier.bundle.members) == (('a', 'b', 'c'), 2)
    windows = np.random.default_rng(1).uniform(50, 400, (4, 30, 17, 3)).astype(np.float32)
    features = extract_features(windows, 'coco17', 'coco17').astype(np.float64)
    expected = np.mean([softmax(formula(layers, features, 1)) for layers in folds], axis=0)
    prediction = classifier.predict(windows, 'coco17')
    np.testing.assert_allclose(prediction.probabilities, expected, atol=2e-5)
    assert prediction.attention is not None
    np.testing.assert_allclose(prediction.attention.sum(-1), 1, atol=1e-5)


def test_training_can_go_on_from_imported_weights(
    tmp_path: Path, windows: np.ndarray,
) -> None:
    """Old classes keep their answers, new ones start fresh."""
    layers = random_layers('mu', classes=3)
    file = write_h5(tmp_path / 'act.h5', layers)
    import_weights.import_weights([file], 'mu', 'mpose13_openpose', tmp_path,
                                  labels=('a', 'b', 'c'))
    config = TrainConfig(name='more', files=('x.npz',), labels=('c', 'salute', 'a'),
                         frame_rate=30.0, start_from=str(tmp_path / 'act.weights.h5'))
    model = build('act_mu', num_classes=config.num_outputs)
    old = OldNetwork(config)
    old.transfer(model)
    assert old.kept == ['c', 'a']
    features, openpose = (  # training has the joints in another order
        extract_features(windows[:, :, :13], 'mpose13_coco', layout)
        for layout in ('mpose13_coco', 'mpose13_openpose'))
    expected = formula(layers, openpose.astype(np.float64), 1)
    np.testing.assert_allclose(model(features).numpy()[:, [0, 2]], expected[:, [2, 0]], atol=1e-3)

    with pytest.raises(ValueError, match='is act_mu for 30 .*, the configuration wants act_s'):
        OldNetwork(TrainConfig(name='x', files=('x.npz',), model='act_s',
                               start_from=config.start_from))
    with pytest.raises(ValueError, match='neither the folder of a training run nor'):
        OldNetwork(TrainConfig(name='x', files=('x.npz',), start_from=str(file)))


def drop_last_layer(layers: Layers) -> Layers:
    return layers[:-1]


def drop_a_bias(layers: Layers) -> Layers:
    return [(name, arrays[:-1] if name.startswith('transformer') else arrays)
            for name, arrays in layers]


def drop_a_block(layers: Layers) -> Layers:
    return [(name, arrays[:-16] if name.startswith('transformer') else arrays)
            for name, arrays in layers]


def square_feed_forward(layers: Layers) -> Layers:
    return [(name, [(w, np.zeros((64, 128)) if a.shape == (64, 256) and 'encoder' in w else a)
                    for w, a in arrays]) for name, arrays in layers]


def not_finite(layers: Layers) -> Layers:
    return [(name, [(w, np.full_like(a, np.nan)) for w, a in arrays]) for name, arrays in layers]


@pytest.mark.parametrize(('change', 'message'), [
    (drop_last_layer, 'does not have the layers of an AcT.*its layers with weights are: dense_30'),
    (drop_a_bias, r'transformer_encoder_1 \(63 arrays\)'),
    (drop_a_block, "3 encoder layers of width 64, size 'mu' has 4 of 64; it is none of the known"),
    (square_feed_forward, r'encoder_0/expand/kernel is \(64, 128\).*\(64, 256\)'),
    (not_finite, 'not finite'),
])
def test_another_architecture_is_refused(
    tmp_path: Path, change: Callable[[Layers], Layers], message: str,
) -> None:
    file = write_h5(tmp_path / 'act.h5', change(random_layers()))
    with pytest.raises(WeightsError, match=message):
        read_h5(file, 'mu')


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--size', 's'], "size 's' has 5 of 128; use --size mu"),
    (['--layout', 'coco17'], "52 features a frame, layout 'coco17' has 68"),
    (['--labels', 'walk', 'run'], 'for 20 classes, the list of labels has 2'),
    (['--frame-rate', '0'], 'frame_rate'),
])
def test_what_does_not_fit_the_file_is_said_and_nothing_written(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture,
) -> None:
    file = write_h5(tmp_path / 'act.h5', random_layers())
    with pytest.raises(SystemExit):
        import_weights.main(['--h5', str(file), '--size', 'mu', '--layout', 'mpose13_openpose',
                             '--output', str(tmp_path / 'models'), *arguments])
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'models').exists()


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.95])
def test_a_file_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    file = write_h5(tmp_path / 'act.h5', random_layers())
    file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
    with pytest.raises(WeightsError, match=r'act.h5 is not a readable HDF5 file'):
        read_h5(file, 'mu')


def test_what_is_no_weight_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='missing'):
        read_h5(tmp_path / 'nothing.h5', 'mu')
    with h5py.File(tmp_path / 'other.h5', 'w') as file:
        file['data'] = np.zeros(3)
    with pytest.raises(WeightsError, match='not a Keras 2'):
        read_h5(tmp_path / 'other.h5', 'mu')


def test_folds_of_a_benchmark_become_a_calibrated_ensemble(
    tmp_path: Path, capsys: pytest.CaptureFixture, small_act: None,
) -> None:
    write_split(tmp_path / 'data', 'movenet')
    config = ProtocolConfig(extractor='movenet', splits=(1,), folds=2, epochs=1, batch_size=64,
                            models=('act_mu',), frame_step=3, xla=False)
    run_benchmark(config, tmp_path / 'mpose', tmp_path / 'data')
    folder = tmp_path / 'mpose' / 'movenet' / 'split_1'
    folds = [folder / 'act_mu' / f'fold_{i}.npz' for i in (0, 1)]
    import_weights.main(['--folds', *map(str, folds), '--output', str(tmp_path / 'models'),
                         '--name', 'act_mu_mpose'])
    split = load_mpose('movenet', 1, tmp_path / 'data')
    assert 'largest difference of a probability from Keras' in capsys.readouterr().out
    classifier = ActClassifier(tmp_path / 'models' / 'act_mu_mpose.tflite')
    bundle = classifier.bundle
    assert (bundle.members, bundle.layout, bundle.frame_rate) == (2, 'mpose13_coco', 10.0)
    assert (bundle.num_frames, bundle.min_frames) == (10, 6)
    assert bundle.labels == MPOSE_LABELS
    assert bundle.training['imported_from'][1] == 'movenet/split_1/act_mu/fold_1.npz'
    assert bundle.metrics['validation']['ece'] <= bundle.metrics['validation']['ece_before']

    # On the test set the bundle says what the benchmark measured.
    mean = np.mean([softmax(np.load(fold)['logits'].astype(np.float64)) for fold in folds], axis=0)
    expected = softmax(np.log(np.maximum(mean, 1e-9)) / bundle.temperature)
    answers = classifier.invoke(every_nth_frame(split.x_test, 3)).probabilities
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    assert bundle.metrics['test']['accuracy'] == pytest.approx(
        (mean.argmax(axis=-1) == split.y_test).mean(), abs=1e-4)
    with pytest.raises(WeightsError, match='for 20 classes, the list of labels has 2'):
        import_weights.import_folds(folds, tmp_path, labels=['one', 'two'])
    (folder.with_name('split_2') / 'act_mu').mkdir(parents=True)
    shutil.copy(folds[1], folder.with_name('split_2') / 'act_mu')
    with pytest.raises(WeightsError, match='not of the same split and network'):
        import_weights.import_folds(
            [folds[0], folder.with_name('split_2') / 'act_mu' / folds[1].name], tmp_path)

    (folder / 'mlp').mkdir()
    np.savez(folder / 'mlp' / 'fold_0.npz', logits=np.zeros((1, 20)), **{
        f'weight_{i}': weight for i, weight in enumerate(build('mlp', 10).get_weights())})
    with pytest.raises(WeightsError, match='fold_0.npz is a mlp: bundles take windows of any len'):
        import_weights.import_folds([folder / 'mlp' / 'fold_0.npz'], tmp_path)
    (tmp_path / 'other.npz').write_bytes(b'no arrays')
    with pytest.raises(SystemExit):
        import_weights.main(['--folds', str(tmp_path / 'other.npz'), '--output', str(tmp_path)])
    assert 'other.npz is not a fold of training.paper.benchmark' in capsys.readouterr().err
