"""What all benchmarks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import everyday, tracking


@pytest.mark.parametrize(('truth', 'said'), [
    ('{', 'Expecting property name'), ('{"clip": 3}', 'must map names to lists'),
    ('{"clip": [{"t": 1, "persons": []}, {"t": 2}]}', 'moment 1 of clip must have t'),
    ('{"clip": [{"t": 1, "persons": [{"box": [1, 2], "accepted": []}]}]}', 'moment 0 of clip'),
    (None, 'No such file or directory')])
def test_what_a_benchmark_cannot_use_is_one_line(
    tmp_path: Path, truth: str | None, said: str,
) -> None:
    if truth:
        (tmp_path / 'truth.json').write_text(truth)
    with pytest.raises(SystemExit, match=said):
        everyday.main([str(tmp_path), str(tmp_path / 'truth.json')])


def test_sequences_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'empty.npz').touch()
    for name, said in (('empty', 'empty.npz is damaged'), ('absent', 'No such file')):
        monkeypatch.setattr('sys.argv', ['tracking', str(tmp_path / f'{name}.npz')])
        with pytest.raises(SystemExit, match=said):
            tracking.main()
