"""The training step on both backends: the same mathematics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip('keras', reason='training needs TensorFlow')

from training.models.act import ActSize, HashDropout, build_act  # noqa: E402
from training.step import Step  # noqa: E402


def dense() -> Any:
    return keras.Sequential([
        keras.Input((4,)), keras.layers.Dense(3), HashDropout(0.3, seed=1), keras.layers.Dense(2)])


def act() -> Any:
    keras.utils.set_random_seed(1)  # of its dropout
    return build_act(ActSize(2, 16, 2, 16, 0.3), 12, 52, 2, 'act')


def steps(model: Any, shape: tuple[int, ...], optimizer: Any) -> tuple[list[float], list[float]]:
    """Return the losses of six steps, and the weights after them."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape) / variable.shape[0] ** 0.5)
    features = rng.standard_normal(shape).astype(np.float32)
    target = np.eye(2, dtype=np.float32)[rng.integers(0, 2, len(features))]
    step = Step(model, optimizer, weight_decay=0.01, old_layers=0.5,
                teach=lambda features, target: 0.9 * target + 0.05)
    losses = []
    for _ in range(2):  # the second time from what the model was given back
        losses += [float(keras.ops.convert_to_numpy(step(features, target))) for _ in range(3)]
        step.finish()
    return losses, np.concatenate([w.ravel() for w in model.get_weights()]).tolist()


def told() -> list[Any]:
    """Return the backend that Keras has, and what comes of each network and optimizer on it."""
    return [keras.backend.backend(),
            steps(dense(), (8, 4), keras.optimizers.Adam(0.1)),
            steps(dense(), (8, 4), keras.optimizers.SGD(0.1, 0.9, nesterov=True)),
            steps(act(), (8, 12, 52), keras.optimizers.SGD(0.05, 0.9, nesterov=True))]


@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
def test_jax_takes_the_steps_that_tensorflow_takes(on_jax: dict[str, str]) -> None:
    folder = Path(__file__).parent
    output = subprocess.run(
        [sys.executable, '-c', 'import json, test_step; print(json.dumps(test_step.told()))'],
        check=True, capture_output=True, text=True,
        env={**on_jax, 'PYTHONPATH': f'{folder.parents[1]}{os.pathsep}{folder}'}).stdout
    backend, *ours = json.loads(output.splitlines()[-1])
    other, *theirs = told()
    assert (backend, other) == ('jax', 'tensorflow')
    for mine, its in zip(ours, theirs, strict=True):
        assert mine[0][-1] < mine[0][0]
        np.testing.assert_allclose(mine[0], its[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mine[1], its[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('kind', ['adam', 'sgd'])
def test_a_step_is_what_the_formulas_say(kind: str) -> None:
    """Two linear layers, of which the old one goes a quarter of its way; in plain NumPy."""
    rng = np.random.default_rng(0)
    rate, decay, pace = 0.1, 0.01, (0.25, 1.0)
    weights = [rng.standard_normal(shape) for shape in ((4, 3), (3, 2))]
    features, target = rng.standard_normal((8, 4)), np.eye(2)[rng.integers(0, 2, 8)]
    model = keras.Sequential([keras.Input((4,)), *(
        keras.layers.Dense(w.shape[1], use_bias=False) for w in weights)])
    model.set_weights(weights)
    optimizer = (keras.optimizers.SGD(rate) if kind == 'sgd'
                 else keras.optimizers.Adam(rate, epsilon=1e-9))
    step = Step(model, optimizer, decay, pace[0], lambda features, target: 0.8 * target + 0.1,
                xla=False)
    loss = float(keras.ops.convert_to_numpy(step(
        features.astype(np.float32), target.astype(np.float32))))
    step.finish()

    first, second = weights
    logits = features @ first @ second
    answer = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    taught = 0.8 * target + 0.1
    assert loss == pytest.approx(-(taught * np.log(answer)).sum(axis=1).mean(), rel=1e-5)
    back = (answer - taught) / len(features)
    gradients = features.T @ back @ second.T, (features @ first).T @ back
    for old, gradient, share, new in zip(weights, gradients, pace, model.get_weights(),
                                         strict=True):
        if kind == 'sgd':  # the decay is in the gradient
            expected = old - share * rate * (gradient + decay * old)
        else:  # Adam's first step goes its rate, whatever the gradient; the decay comes before it
            expected = old * (1 - decay) - share * rate * np.sign(gradient)
        np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-5)
