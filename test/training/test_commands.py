"""What every command of training has in common: help, and what it says while it runs."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
pytest.importorskip('rosbags')

from training import trainer
from training.evaluate import share_below

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in (ROOT / 'training').rglob('*.py')
    if 'parser.add_argument' in path.read_text(encoding='utf-8'))


class Parsed(Exception):
    """Carries a parser out of a command."""


@pytest.mark.parametrize('module', COMMANDS)
def test_every_option_says_what_it_does(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise Parsed(parser)

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    with pytest.raises(Parsed) as caught:
        import_module(module).main([])
    parser = caught.value.args[0]
    assert parser.description
    assert not [action.option_strings for action in parser._actions if not action.help]


def test_a_run_says_early_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:
    clock = iter(np.cumsum([0, 30, 2, 4]).tolist())  # the first epoch compiles
    monkeypatch.setattr(trainer.time, 'monotonic', lambda: next(clock) + 30)
    tell = trainer.tell_duration('act_mu', epochs=350, runs=30)
    for epoch in range(1, 4):
        tell(epoch, {})
    assert re.fullmatch(r'act_mu: 16 s an epoch, about 93 minutes a run, 47 hours for 30 one after '
                        r'another\n', capsys.readouterr().err)


def test_no_clip_has_no_share_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert share_below(0.5, np.array([])) is None
    assert share_below(0.5, np.array([0.1, 0.6])) == 0.5
    assert not recwarn.list
