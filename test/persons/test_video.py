"""A real video file, played as fast as asked for and in real time; sources that are none."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from act_ros.persons.video import VideoError, VideoSource

FPS, FRAMES = 25.0, 20


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video whose frame i has the grey value 10 i."""
    path = tmp_path_factory.mktemp('video') / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), FPS, (64, 48))
    assert writer.isOpened()
    for i in range(FRAMES):
        writer.write(np.full((48, 64, 3), 10 * i, np.uint8))
    writer.release()
    return path


def number(image: np.ndarray) -> int:
    """Return which frame this is."""
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    return round(float(image.mean()) / 10)


def test_as_fast_as_asked_for_every_frame_comes(video: Path) -> None:
    source = VideoSource(str(video))
    assert (source.fps, source.is_camera) == (FPS, False)
    frames = list(source.play(realtime=False))
    assert [number(image) for _, image in frames] == list(range(FRAMES))
    np.testing.assert_allclose([t for t, _ in frames], np.arange(FRAMES) / FPS)


def test_in_real_time_no_frame_comes_before_it_is_due(video: Path) -> None:
    source, begin = VideoSource(str(video)), time.monotonic()
    last = -1
    for seconds, image in source.play():
        assert time.monotonic() - begin >= seconds
        assert round(seconds * FPS) == number(image) > last
        last = number(image)


def test_in_real_time_a_slow_consumer_misses_frames(video: Path) -> None:
    last = None
    for seconds, image in islice(VideoSource(str(video), loop=True).play(), 4):
        assert round(seconds * FPS) % FRAMES == number(image)
        assert last is None or seconds - last > 0.2 - 2.1 / FPS
        last = seconds
        time.sleep(0.2)


def test_a_loop_goes_on_with_ascending_times(video: Path) -> None:
    source = VideoSource(str(video), loop=True)
    frames = list(islice(source.play(realtime=False), 3 * FRAMES))
    assert [number(image) for _, image in frames] == 3 * list(range(FRAMES))
    np.testing.assert_allclose([t for t, _ in frames], np.arange(3 * FRAMES) / FPS)


def test_close_ends_the_play(video: Path) -> None:
    source = VideoSource(str(video), loop=True)
    count = 0
    for _ in source.play(realtime=False):
        count += 1
        if count == 30:
            source.close()
    assert count == 30


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match='no.mp4 does not exist'):
        VideoSource(str(tmp_path / 'no.mp4'))
    with pytest.raises(VideoError, match='does not exist'):
        VideoSource(str(tmp_path))
    with pytest.raises(VideoError):
        VideoSource('')


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(5000)])
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'odd.mp4'
    path.write_bytes(content)
    with pytest.raises(VideoError, match='odd.mp4 cannot be opened: is it a video'):
        VideoSource(str(path))


@pytest.mark.parametrize('loop', [False, True])
def test_a_video_without_frames(tmp_path: Path, loop: bool) -> None:
    path = tmp_path / 'empty.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), FPS, (64, 48))
    writer.release()
    with pytest.raises(VideoError, match='empty.avi (cannot be opened|holds no readable frame)'):
        list(VideoSource(str(path), loop).play(realtime=False))


@pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
def test_a_video_that_breaks_off_plays_up_to_there_or_says_so(
    video: Path, tmp_path: Path, share: float,
) -> None:
    path = tmp_path / 'part.avi'
    path.write_bytes(video.read_bytes()[:round(video.stat().st_size * share)])
    try:
        frames = [number(image) for _, image in VideoSource(str(path)).play(realtime=False)]
    except VideoError as error:
        assert 'part.avi' in str(error)
    else:
        assert 0 < len(frames) <= FRAMES
        assert frames == list(range(len(frames)))


@pytest.mark.parametrize('source', ['99', '/dev/video99'])
def test_a_camera_that_is_not_there(source: str) -> None:
    with pytest.raises(VideoError, match=f'{source} cannot be opened: is it plugged in'):
        VideoSource(source)
