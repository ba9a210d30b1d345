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
import json, sys
import keras
import numpy as np
from keras import ops
from training.models.act import HashDropout
from training.step import Step

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), HashDropout(0.3, seed=1),
                          keras.layers.Dense(2)])
rng = np.random.default_rng(0)
for variable in model.trainable_variables:
    variable.assign(rng.standard_normal(variable.shape))
features = rng.standard_normal((8, 4)).astype(np.float32)
target = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 8)]
optimizer = {'adam': keras.optimizers.Adam(0.1),
             'sgd': keras.optimizers.SGD(0.1, 0.9, nesterov=True)}[sys.argv[1]]
step = Step(model, optimizer, weight_decay=0.01, old_layers=0.5,
            teach=lambda features, target: 0.9 * target + 0.05)
losses = []
for _ in range(2):  # the second time from what the model was given back
    losses += [float(ops.convert_to_numpy(step(features, target))) for _ in range(3)]
    step.finish()
print(json.dumps([keras.backend.backend(), losses,
                  np.concatenate([w.ravel() for w in model.get_weights()]).tolist()]))
"""


@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
@pytest.mark.parametrize('optimizer', ['adam', 'sgd'])
def test_jax_takes_the_steps_that_tensorflow_takes(optimizer: str) -> None:
    told = {}
    for backend in ('jax', 'tensorflow'):
        output = subprocess.run(
            [sys.executable, '-c', STEPS, optimizer], check=True, capture_output=True, text=True,
            env={**os.environ, 'KERAS_BACKEND': backend, 'JAX_PLATFORMS': 'cpu'}).stdout
        name, losses, weights = json.loads(output.splitlines()[-1])
        assert name == backend and losses[-1] < losses[0]
        told[backend] = losses, weights
    for ours, theirs in zip(told['jax'], told['tensorflow'], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
