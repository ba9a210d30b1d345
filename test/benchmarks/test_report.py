"""What all benchmarks share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import everyday, place, pose, tracking


@pytest.mark.parametrize(('truth', 'said'), [
    ('{', 'Expecting property name'), ('{"clip": 3}', 'must map names to lists'),
    ('{"clip": [{"t": 1, "persons": []}, {"t": 2}]}', 'moment 1 of clip must have t'),
    ('{"clip": [{"t": 1, "persons": [{"box": [1, 2], "accepted": []}]}]}', 'moment 0 of clip'),
    (None, 'No such file or directory')])
def test_what_a_benchmark_cannot_use_is_one_line(
    tmp_path: Path, truth: str | None, said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    if truth:
        (tmp_path / 'truth.json').write_text(truth)
    with pytest.raises(SystemExit):
        everyday.main([str(tmp_path), str(tmp_path / 'truth.json')])
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_benchmark_that_is_interrupted_says_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('sys.argv', ['place'])
    monkeypatch.setattr(place, 'scene', interrupt)
    with pytest.raises(SystemExit, match='130'):
        place.main()
    assert capsys.readouterr().err == '\ninterrupted\n'


def test_sequences_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'empty.npz').touch()
    for name, said in (('empty', 'empty.npz is damaged'), ('absent', 'No such file')):
        monkeypatch.setattr('sys.argv', ['tracking', str(tmp_path / f'{name}.npz')])
        with pytest.raises(SystemExit):
            tracking.main()
        assert said in capsys.readouterr().err


def test_numbers_that_leave_nothing_to_measure_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    soak = pytest.importorskip('benchmarks.soak', reason='needs ROS')
    for module, begins in ((place, 'scene'), (pose, 'read_man'), (soak, 'set_up_ros')):
        monkeypatch.setattr(module, begins, lambda *_: pytest.fail('it has begun'))
    for module, arguments, least in (
            (place, '--scenes 5', '6'), (pose, '--frames 15', '16'),
            (soak, '--minutes 1.4', '1.5')):
        monkeypatch.setattr('sys.argv', ['benchmark', *arguments.split()])
        with pytest.raises(SystemExit):
            module.main()
        assert f'{arguments.split()[0]}: must be {least} or more' in capsys.readouterr().err


def test_a_soak_that_compares_nothing_is_not_steady() -> None:
    soak = pytest.importorskip('benchmarks.soak', reason='needs ROS')
    rows = [{'minutes': i, 'private MB': 100.0, 'threads': 9, 'descriptors': 9, 'age p99 ms': 50.0}
            for i in range(3)]
    assert soak.is_steady(soak.growth(rows))
    for few in (1, 2):
        with pytest.raises(ValueError, match=f'{few} rows say nothing'):
            soak.growth(rows[:few])


def test_clips_without_people_are_left_out(
    tmp_path: Path, waving_clip: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('sys.argv', ['pose', 'fast', '--clips', str(tmp_path)])
    for name in (None, 'nobody.avi'):
        if name:
            writer = cv2.VideoWriter(
                str(tmp_path / name), cv2.VideoWriter.fourcc(*'MJPG'), 30.0, (320, 240))
            for _ in range(8):
                writer.write(np.full((240, 320, 3), 127, np.uint8))
            writer.release()
        with pytest.raises(SystemExit):
            pose.main()
        assert 'has no video' in capsys.readouterr().err.splitlines()[-1]
    capsys.readouterr()
    (tmp_path / 'somebody.mp4').symlink_to(waving_clip)
    pose.main()
    captured = capsys.readouterr()
    assert 'nobody.avi is left out: nobody is found in it' in captured.err
    assert '1 clips, made small' in captured.out and 'nan' not in captured.out
