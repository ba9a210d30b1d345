"""What tests of training share."""

from __future__ import annotations

from functools import partial

import pytest


@pytest.fixture
def small_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AcT-µ be one narrow layer: soon compiled, and what is tested is not about its size."""
    pytest.importorskip('tensorflow', reason='training needs TensorFlow')
    from training.models import MODELS
    from training.models.act import ActSize, build_act

    monkeypatch.setitem(MODELS, 'act_mu', partial(build_act, ActSize(1, 16, 1, 16, 0.3)))
