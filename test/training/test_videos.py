"""Clips as the finder sees them beside joints marked by hand: which show the same, how it errs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from act_ros.core.resources import find_resource
from training import videos
from training.datasets.skeletons import Take, load_sequences, write_sequences
from training.errors import ErrorBank
from training.videos import Clip, pair, read_clips, record, write_errors


def abort(job: object) -> None:
    """Die as a process does that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


def moving(seed: int, frames: int) -> np.ndarray:
    """Return somebody (T, 13, 3) whose joints go ways of their own, a torso of some 1.4 long."""
    rng = np.random.default_rng(seed)
    poses = np.ones((frames, 13, 3))
    time = np.linspace(0, 1.5, frames)[:, None, None]
    poses[..., :2] = rng.normal(0, 1, (13, 2)) + np.sin(
        time * rng.uniform(1, 4, (13, 2)) + rng.uniform(0, 6, (13, 2)))
    return poses


def seen(poses: np.ndarray, shown: np.ndarray, noise: float) -> np.ndarray:
    """Return what a finder sees of it at such frame numbers: elsewhere, larger, and not exactly."""
    found = np.ones((len(shown), 13, 3))
    for joint in range(13):
        for axis in range(2):
            found[:, joint, axis] = np.interp(
                shown, np.arange(len(poses)), poses[:, joint, axis])
    found[..., :2] += np.random.default_rng(0).normal(0, noise, found[..., :2].shape)
    found[..., :2] = 60 * found[..., :2] + (300, 200)
    found[..., 2] = 0.7
    return found


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write four clips as found and the first three as marked, in another order."""
    clips = [moving(seed, 40) for seed in range(4)]
    shown = [np.arange(40),  # as it is
             np.linspace(0, 39, 47),  # by the file's clock, which shows 40 pictures in 47 periods
             np.arange(5, 40),  # the person was seen late
             np.arange(40)]
    found = [Take(seen(clip, at, 0.02), 30.0, 0, 'sit', '', f'v{i}', 'as it is')
             for i, (clip, at) in enumerate(zip(clips, shown, strict=True))]
    marked = [Take(clips[i], 30.0, 0, 'sit', '', f'm{i}') for i in (2, 0, 1)]
    write_sequences(tmp_path / 'video.npz', found, 'mpose13_coco_2d', ['sit-down'],
                    group=np.array([f'film {i}' for i in range(4)]))
    write_sequences(tmp_path / 'marks.npz', marked, 'mpose13_coco_2d', ['sit-down'])
    return tmp_path / 'video.npz', tmp_path / 'marks.npz'


def test_a_process_that_dies_is_told_of_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(videos, '_watch', abort)
    clips = [Clip(tmp_path / f'{i}.mp4', 'a', 'b', 'c', 'walk') for i in range(3)]
    with pytest.raises(ChildProcessError, match=r'has died.*--processes 1'):
        record(clips, tmp_path / 'video.npz', 1)


def test_a_clip_is_found_again_by_its_poses_late_or_by_another_clock(
    files: tuple[Path, Path],
) -> None:
    video, marks = (load_sequences([file]) for file in files)
    assert sorted(pair(video, marks)) == [(0, 1), (1, 2), (2, 0)]


def test_errors_are_those_of_the_finder_and_marks_get_the_clips_groups(
    files: tuple[Path, Path], tmp_path: Path,
) -> None:
    assert write_errors(*files, tmp_path / 'errors.npz') == (3, 3)
    bank = ErrorBank.load(tmp_path / 'errors.npz')
    assert sorted(np.diff(bank.offsets)) == [35, 40, 47]
    assert 0.003 < np.abs(bank.errors).mean() < 0.06, 'as noisy as it was made, not one clip late'
    grouped = load_sequences([tmp_path / 'marks_grouped.npz'])
    assert grouped.group.tolist() == ['film 2', 'film 0', 'film 1']


def test_a_video_that_cannot_be_read_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """To look at the others may take hours."""
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    clips = [Clip(path, 'x', path.stem, 'walk', 'walk')
             for path in (tmp_path / 'broken.mp4', find_resource('media/demo.mp4'))]
    assert record(clips, tmp_path / 'a.npz', 1, ['small']) == len(
        load_sequences([tmp_path / 'a.npz'])) > 0
    assert 'warning: 1 of 2 clips cannot be read: ' in capsys.readouterr().err
    with pytest.raises(ValueError, match=r'1 of 1 clips cannot be read: .*broken\.mp4'):
        record(clips[:1], tmp_path / 'b.npz', 1, ['small'])
    assert not (tmp_path / 'b.npz').exists()


@pytest.mark.parametrize(('one', 'other'), [
    ('a/x/clip.mp4', 'b/x/clip.mp4'), ('x/clip.avi', 'x/clip.mp4'), ('clip.mp4', 'clip.mp4')])
def test_clips_that_would_have_one_name_are_refused(tmp_path: Path, one: str, other: str) -> None:
    for name in (one, other, 'y/clip.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    labels = tmp_path / 'labels.csv'
    first = f'file,source,group,source_label,label\n{one},s,g,sit,\n'
    labels.write_text(f'{first}y/clip.mp4,s,g,sit,\n')
    assert len(read_clips(labels)) == 2
    labels.write_text(f'{first}{other},s,g,sit,\n')
    with pytest.raises(ValueError, match=f'names {tmp_path / one} and {tmp_path / other}, which'):
        read_clips(labels)


def test_labels_of_a_spreadsheet_are_read(tmp_path: Path) -> None:
    (tmp_path / 'clip.mp4').touch()
    labels = tmp_path / 'labels.csv'
    labels.write_text('file,source,group,source_label,label\nclip.mp4,s,g,sit,sit-down\n',
                      encoding='utf-8-sig')
    assert [clip.label for clip in read_clips(labels)] == ['sit-down']
