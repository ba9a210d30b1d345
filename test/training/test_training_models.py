"""The networks: sizes of the paper's Table I, shapes, and what the layers compute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip('keras', reason='training needs TensorFlow')
pytest.importorskip('tensorflow', reason='training needs TensorFlow')

from training.config import TrainConfig  # noqa: E402
from training.metrics import softmax  # noqa: E402
from training.models import MODELS, build  # noqa: E402
from training.models.act import HashDropout, PatchClassEmbedding, TransformerEncoder  # noqa: E402
from training.schedule import learning_rate  # noqa: E402
from training.step import Batch, Step  # noqa: E402
from training.trainer import DivergedError, Predict, Trainer  # noqa: E402

PARAMETERS = [
    ('act_mu', 52, 227_156), ('act_mu', 68, 228_180), ('act_s', 52, 1_040_404),
    ('act_s', 68, 1_042_452), ('act_m', 52, 2_740_052), ('act_m', 68, 2_743_124),
    ('act_l', 52, 4_902_164), ('act_l', 68, 4_906_260)]


@pytest.mark.parametrize(('name', 'features', 'expected'), PARAMETERS)
def test_parameter_counts_are_the_papers(name: str, features: int, expected: int) -> None:
    assert build(name, num_features=features).count_params() == expected


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match='act_xxl.*act_mu'):
        build('act_xxl')
    with pytest.raises(ValueError, match='num_classes'):
        build('act_mu', num_classes=0)
    assert {'act_mu', 'act_s', 'act_m', 'act_l'} <= set(MODELS)


def test_positions_begin_as_the_authors_do() -> None:
    """Uniform in ±0.05: else every position is like every other, and Figure 9 red."""
    layer = PatchClassEmbedding(30)
    layer.build((None, 30, 192))
    position = np.asarray(layer.position)
    assert np.abs(position).max() <= 0.05 and abs(position.mean()) < 0.003
    assert position.std() == pytest.approx(0.05 / 3 ** 0.5, rel=0.05)


@pytest.mark.parametrize('name', ['act_mu', 'act_s'])
def test_any_length_up_to_the_trained_one(name: str) -> None:
    model = build(name, num_frames=30, num_classes=7)
    for frames in (1, 12, 30):
        logits = model(np.ones((3, frames, 52), np.float32)).numpy()
        assert logits.shape == (3, 7)
        assert np.isfinite(logits).all()


def test_encoder_is_what_section_3_of_the_paper_says() -> None:
    """Written out in NumPy: post-norm, scaled dot products by head, GELU by the error function."""
    from scipy.special import erf

    rng = np.random.default_rng(0)
    heads, width = 2, 8
    layer = TransformerEncoder(heads, dropout=0.5)
    tokens = rng.standard_normal((2, 5, width)).astype(np.float32)
    layer(tokens)
    layer.set_weights([0.3 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    result, attention = layer(tokens, training=False, return_attention=True)
    w = {v.path.split('/', 1)[-1]: v.numpy() for v in layer.weights}
    w = {'/'.join(key.split('/')[-2:]): value for key, value in w.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-6)
        return scaled * w[f'{name}/gamma'] + w[f'{name}/beta']

    q, k, v = np.split(tokens @ w['qkv/kernel'] + w['qkv/bias'], 3, axis=-1)
    outputs = []
    for head in range(heads):
        part = slice(head * 4, head * 4 + 4)
        scores = q[..., part] @ k[..., part].transpose(0, 2, 1) / 2.0
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        np.testing.assert_allclose(attention[:, head], weights, atol=1e-5)
        outputs.append(weights @ v[..., part])
    x = norm(tokens + np.concatenate(outputs, -1) @ w['project/kernel'] + w['project/bias'],
             'norm_attention')
    hidden = x @ w['expand/kernel'] + w['expand/bias']
    hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
    expected = norm(x + hidden @ w['contract/kernel'] + w['contract/bias'], 'norm_forward')
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    layer = HashDropout(0.3, seed=1)
    x = np.ones((200, 31, 64), np.float32)
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert abs((first == 0).mean() - 0.3) < 0.005
    assert abs(first.mean() - 1) < 0.01
    agreement = ((first == 0) == (second == 0)).mean()  # of independent masks: 0.58
    assert abs(agreement - 0.58) < 0.01
    for axis in range(3):  # neighbours are independent too
        a, b = np.take(first, range(1, x.shape[axis]), axis), np.take(
            first, range(x.shape[axis] - 1), axis)
        assert abs(np.corrcoef((a == 0).ravel(), (b == 0).ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_models_survive_saving(tmp_path: Path) -> None:
    model = build('act_mu', num_frames=10, num_classes=3)
    features = np.random.default_rng(0).standard_normal((2, 10, 52)).astype(np.float32)
    model.save(tmp_path / 'model.keras')
    again = keras.models.load_model(tmp_path / 'model.keras')
    np.testing.assert_allclose(again(features), model(features), atol=1e-6)


@pytest.mark.parametrize(('settings', 'rise', 'drop', 'final'), [
    ({}, 400, 800, 1e-4), ({'warmup': 0.0, 'drop_at': 0.5, 'final_rate': 1e-5}, 1, 500, 1e-5)])
def test_schedule_is_the_papers(
    settings: dict[str, Any], rise: int, drop: int, final: float,
) -> None:
    schedule = learning_rate(TrainConfig(name='x', files=('x.npz',), **settings), 64, 1000)
    assert not isinstance(schedule, float)
    step = np.arange(1.0, 1001.0)
    np.testing.assert_allclose(schedule(step - 1), np.where(
        step > drop, final, 64 ** -0.5 * np.minimum(step ** -0.5, step * rise ** -1.5)), rtol=1e-5)


def test_the_cosine_rises_and_falls_to_nothing() -> None:
    config = TrainConfig(name='x', files=('x.npz',), schedule='cosine', peak_rate=0.01, warmup=0.1)
    schedule = learning_rate(config, 64, 100)
    assert not isinstance(schedule, float)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.005)
    assert rates.argmax() == 10
    assert rates[10] == pytest.approx(0.01)
    assert rates[55] == pytest.approx(0.005, rel=1e-2)
    assert (np.diff(rates[10:]) < 0).all() and rates[100] < 1e-5
    for warmup, peak in ((0.0, 1), (1.0, 100)):  # one step at least
        schedule = learning_rate(replace(config, warmup=warmup), 64, 100)
        assert not isinstance(schedule, float)
        before, at, after = (float(schedule(peak + i)) for i in (-1, 0, 1))
        assert before < at > after and at == pytest.approx(0.01)


def test_a_step_goes_down_the_gradient_of_the_cross_entropy() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((8, 4)), np.eye(3)[rng.integers(0, 3, 8)]
    kernel = model.get_weights()[0].astype(np.float64)
    gradient = features.T @ (softmax(features @ kernel) - target) / len(features)
    expected = kernel - 0.1 * gradient
    optimizer = keras.optimizers.SGD(0.1)
    loss = Step(model, optimizer)(features.astype(np.float32), target.astype(np.float32))
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-6)
    assert float(loss) == pytest.approx(
        -np.log((softmax(features @ kernel) * target).sum(axis=1)).mean(), rel=1e-5)


class Source:
    """Nothing to learn from."""

    steps = 1

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        yield from ()

    def validate(self, predict: Predict) -> dict[str, float]:
        return {}


def test_where_nobody_watches_progress_is_no_line_an_epoch(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainConfig(name='x', files=('x.npz',), epochs=100)
    trainer: Trainer[Source] = Trainer(config, Source(), lambda: build('mlp'), [0])

    def epoch(_: Iterator[Batch]) -> float:
        time.sleep(0.01)
        return 0.5

    monkeypatch.setattr(trainer, 'train_epoch', epoch)
    trainer.run(title='mlp')
    lines = capsys.readouterr().err.replace('\r', '\n').split('\n')
    assert 0 < len([line for line in lines if 'epoch' in line]) < 5


def test_answers_are_those_of_the_samples_alone_and_numbers() -> None:
    """A batch that is not full is filled; a network that answers none has diverged."""
    config = TrainConfig(name='x', files=('x.npz',), batch_size=4)
    trainer: Trainer[Source] = Trainer(config, Source(), lambda: build('mlp'), [0])
    features = np.random.default_rng(0).standard_normal((6, 30, 52)).astype(np.float32)
    np.testing.assert_allclose(
        trainer.logits(features), trainer.model(features, training=False), atol=1e-5)
    trainer.model.trainable_variables[-1].assign(
        np.full(trainer.model.trainable_variables[-1].shape, np.nan))
    with pytest.raises(DivergedError, match='lower the learning rate'):
        trainer.logits(features)


def test_half_precision_computes_in_bfloat16_and_keeps_its_weights(small_act: None) -> None:
    def network() -> Any:
        return build('act_mu', num_frames=6, num_classes=3, dropout=0.0)

    features = np.random.default_rng(0).standard_normal((4, 6, 52)).astype(np.float32)
    target = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    losses, answers = {}, {}
    for precision in ('float32', 'bfloat16'):
        config = TrainConfig(name='x', files=('x.npz',), precision=precision, xla=False,
                             schedule='constant', constant_rate=1e-3, batch_size=4)
        trainer: Trainer[Source] = Trainer(config, Source(), network, [0])
        assert trainer.model.get_layer('encoder_0').compute_dtype == precision
        assert all(v.dtype == 'float32' for v in trainer.model.trainable_variables)
        answers[precision] = trainer.logits(features)
        losses[precision] = [float(trainer.step(features, target)) for _ in range(5)]
    assert answers['bfloat16'].dtype == np.float32
    assert 0 < np.abs(answers['bfloat16'] - answers['float32']).max() < 0.1
    np.testing.assert_allclose(losses['bfloat16'], losses['float32'], rtol=0.1)
    assert losses['bfloat16'][-1] < losses['bfloat16'][0]
    assert keras.config.dtype_policy().name == 'float32'
