"""How commands of training end: in one line, whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.cluster import ClusterError, run_jobs


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
