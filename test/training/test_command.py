"""How commands of training end: in one line, whatever happens."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

from training.cluster import ClusterError, run_jobs
from training.command import goes_with, one_line_errors


@pytest.mark.parametrize(('error', 'status', 'said'), [
    (ValueError('bad\x1b[2J\nname'), 2, 'prog: error: bad\\x1b[2J\\nname'),
    (KeyboardInterrupt(), 130, 'interrupted')])
def test_errors_and_ctrl_c_are_one_line(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as caught, one_line_errors(ArgumentParser('prog'), ValueError):
        raise error
    assert caught.value.code == status
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_other_errors_are_no_business_of_a_user() -> None:
    with pytest.raises(KeyError), one_line_errors(ArgumentParser(), ValueError):
        raise KeyError


def test_options_of_another_mode_are_refused(capsys: pytest.CaptureFixture) -> None:
    parser = ArgumentParser()
    parser.add_argument('--mpose-order', action='store_true')
    parser.add_argument('--bundle')
    goes_with(parser, Namespace(bundle='x', mpose_order=True), 'bundle', 'mpose_order')
    goes_with(parser, Namespace(bundle=None, mpose_order=False), 'bundle', 'mpose_order')
    with pytest.raises(SystemExit):
        goes_with(parser, Namespace(bundle=None, mpose_order=True), 'bundle', 'mpose_order')
    assert '--mpose-order goes with --bundle' in capsys.readouterr().err


def test_a_worker_of_a_cluster_that_dies_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip('ray')

    class Task:
        def remote(self, *_: Any) -> str:
            return 'reference'

    def lost(_: Any) -> None:
        raise ray.exceptions.WorkerCrashedError

    for name, fake in (('init', lambda **_: None), ('remote', lambda **_: lambda _: Task()),
                       ('put', lambda x: x), ('wait', lambda x: (x, [])), ('get', lost),
                       ('shutdown', lambda: None)):
        monkeypatch.setattr(ray, name, fake)
    with pytest.raises(ClusterError, match='has lost a job'):
        list(run_jobs(len, {'job': (0,)}, {0: [1]}, 'local'))


def test_a_card_whose_marks_are_the_wrong_way_round_stays(tmp_path: Path) -> None:
    pytest.importorskip('sklearn')
    from training.evaluate import BEGIN, END, write_tables

    card = tmp_path / 'card.md'
    card.write_text(f'# head\n{END}\n{BEGIN}\n')
    with pytest.raises(ValueError, match='has no lines'):
        write_tables(card, 'table')
    assert card.read_text() == f'# head\n{END}\n{BEGIN}\n'
