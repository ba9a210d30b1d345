"""What every command of training has in common: help, and what it says while it runs."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tqdm.std as tqdm_module

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
pytest.importorskip('rosbags')

from training import export, train, trainer
from training.evaluate import share_below
from training.paper import benchmark
from training.progress import LINES, progress

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in (ROOT / 'training').rglob('*.py')
    if 'argparse.ArgumentParser(' in path.read_text(encoding='utf-8'))


class Parsed(Exception):
    """Carries a parser out of a command."""


def documented() -> Iterator[str]:
    """Yield the commands of training and evaluation, with arguments, that documents give."""
    for path in (*ROOT.glob('*.md'), *ROOT.glob('doc/*.md'), *ROOT.glob('models/*.md'),
                 *ROOT.glob('training/**/*.py'), *ROOT.glob('act_ros/evaluation/*.py')):
        text = path.read_text(encoding='utf-8')
        if path.suffix == '.py':
            text = ast.get_docstring(ast.parse(text)) or ''
        for command in re.findall(
                r'python -m ((?:training|act_ros\.evaluation)[\w.]* [^`#&\n]+)',
                re.sub(r'\\\s*\n', ' ', text)):
            yield re.sub(r'\$\w+', '0', re.sub(r'[][]', '', command)).strip()


@pytest.mark.parametrize('module', COMMANDS)
def test_every_option_says_what_it_does(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise Parsed(parser)

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    command = import_module(module)
    monkeypatch.setattr(command, '__doc__', None)  # as with `python -OO`
    with pytest.raises(Parsed) as caught:
        command.main([])
    parser = caught.value.args[0]
    assert parser.description
    assert not [action.option_strings for action in parser._actions if not action.help]


@pytest.mark.parametrize('command', sorted(set(documented())))
def test_what_documents_tell_to_type_is_taken(
    command: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(parser, *arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    monkeypatch.setattr(sys, 'argv', shlex.split(command))
    name = sys.argv[0]
    module = f'{name}.__main__' if name == 'act_ros.evaluation' else name
    with pytest.raises(Parsed):
        import_module(module).main()


@pytest.mark.parametrize(('epochs', 'said'), [
    (350, '16 s an epoch, about 95 minutes a run, 47 hours for 30 one after another'),
    (8, '16 s an epoch, about 4 minutes a run, 106 minutes for 30 one after another')])
def test_a_run_says_early_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, epochs: int, said: str,
) -> None:
    """What is prepared and compiled before the first epoch ends is much of a short run."""
    clock = iter(np.cumsum([30, 100, 30, 2]).tolist())
    monkeypatch.setattr(trainer.time, 'monotonic', lambda: next(clock))
    tell = trainer.tell_duration('act_mu', epochs, runs=30)
    for epoch in range(1, 4):
        tell(epoch, {})
    assert capsys.readouterr().err == f'act_mu: {said}\n'


def test_no_clip_has_no_share_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert share_below(0.5, np.array([])) is None
    assert share_below(0.5, np.array([0.1, 0.6])) == 0.5
    assert not recwarn.list


@pytest.mark.parametrize('command', [train.main, benchmark.main])
def test_a_training_says_first_what_it_computes_on(
    command: Callable[[list[str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    file = tmp_path / 'run.yaml'
    file.write_text('name: run\nfiles: [x.npz]' if command is train.main else 'name: run')
    arguments = ['--config', str(file), '--data', str(tmp_path / 'nowhere'), '--output',
                 str(tmp_path)]
    with pytest.raises(SystemExit):  # there are no data
        command(arguments)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f'training on {trainer.device()}' and 'nowhere' in rest[-1]
    tf = pytest.importorskip('tensorflow')
    gpu = SimpleNamespace(name='/physical_device:GPU:0')
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [gpu, gpu])
    monkeypatch.setattr(tf.config.experimental, 'get_device_details',
                        lambda _: {'device_name': 'NVIDIA H100'})
    with pytest.raises(SystemExit):
        command(arguments)
    assert capsys.readouterr().err.startswith('training on NVIDIA H100, NVIDIA H100\n')


def test_percents_are_no_share(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        export.main(['--run', 'runs/x', '--data', 'data', '--trusted', '85'])
    assert 'argument --trusted: is a share from 0 to 1, not 85' in capsys.readouterr().err


@pytest.mark.parametrize('member', [4, -1])
def test_a_member_that_is_none_is_refused(
    tmp_path: Path, member: int, capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / 'run.yaml').write_text('name: run\nfiles: [x.npz]')
    with pytest.raises(SystemExit):
        train.main(['--config', str(tmp_path / 'run.yaml'), '--data', str(tmp_path),
                    '--output', str(tmp_path / 'runs'), f'--member={member}'])
    said = f'there is no member {member}: those of run are 0 to 3'
    assert said in capsys.readouterr().err and not (tmp_path / 'runs').exists()


def test_log_files_get_few_lines_of_progress_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:
    hours = count(step=3600)
    monkeypatch.setattr(tqdm_module, 'time', lambda: next(hours))
    assert list(progress(iter(range(500)), 'trials', 500)) == list(range(500))
    lines = [line for line in re.split(r'[\r\n]', capsys.readouterr().err) if line.strip()]
    assert '500/500' in lines[-1] and 3 < len(lines) <= LINES + 2
