"""What tests of training share."""

from __future__ import annotations

import os
from functools import partial

import pytest


@pytest.fixture
def small_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AcT-µ be one narrow layer: soon compiled, and what is tested is not about its size."""
    pytest.importorskip('tensorflow', reason='training needs TensorFlow')
    from training.models import MODELS
    from training.models.act import ActSize, build_act

    monkeypatch.setitem(MODELS, 'act_mu', partial(build_act, ActSize(1, 16, 1, 16, 0.3)))


@pytest.fixture
def on_jax() -> dict[str, str]:
    """
    Return the variables of a process that trains on JAX.

    What it computes is little: to compile it well takes longer than it runs.
    """
    return {**os.environ, 'KERAS_BACKEND': 'jax', 'JAX_PLATFORMS': 'cpu',
            'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true'}
