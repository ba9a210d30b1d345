"""The training step on both backends: the same mathematics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip('tensorflow', reason='training needs TensorFlow')

STEPS = """
import json
import keras
import numpy as np
from keras import ops
from training.models import build
from training.models.act import HashDropout
from training.step import Step

def dense():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), HashDropout(0.3, seed=1),
                             keras.layers.Dense(2)])

def act():
    keras.utils.set_random_seed(1)  # of its dropout
    return build('act_mu', num_classes=2, dropout=0.3)

def steps(model, shape, optimizer):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape) / variable.shape[0] ** 0.5)
    features = rng.standard_normal(shape).astype(np.float32)
    target = np.eye(2, dtype=np.float32)[rng.integers(0, 2, len(features))]
    step = Step(model, optimizer, weight_decay=0.01, old_layers=0.5,
                teach=lambda features, target: 0.9 * target + 0.05)
    losses = []
    for _ in range(2):  # the second time from what the model was given back
        losses += [float(ops.convert_to_numpy(step(features, target))) for _ in range(3)]
        step.finish()
    return losses, np.concatenate([w.ravel() for w in model.get_weights()]).tolist()

print(json.dumps([keras.backend.backend(),
                  steps(dense(), (8, 4), keras.optimizers.Adam(0.1)),
                  steps(dense(), (8, 4), keras.optimizers.SGD(0.1, 0.9, nesterov=True)),
                  steps(act(), (8, 12, 52), keras.optimizers.SGD(0.01, 0.9, nesterov=True))]))
"""


@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
def test_jax_takes_the_steps_that_tensorflow_takes() -> None:
    told = {}
    for backend in ('jax', 'tensorflow'):
        output = subprocess.run(
            [sys.executable, '-c', STEPS], check=True, capture_output=True, text=True,
            env={**os.environ, 'KERAS_BACKEND': backend, 'JAX_PLATFORMS': 'cpu'}).stdout
        name, *told[backend] = json.loads(output.splitlines()[-1])
        assert name == backend
    for ours, theirs in zip(told['jax'], told['tensorflow'], strict=True):
        assert ours[0][-1] < ours[0][0]
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-4)
