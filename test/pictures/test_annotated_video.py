"""Written videos: each image at its time, whole or absent, and browsers play them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from browser import CHROMIUM, show

from act_ros.persons.video import VideoSource
from act_ros.pictures.video import AnnotatedVideo

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
RED, BLUE = (0, 0, 255), (255, 0, 0)


def image(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    """Return an image of one BGR colour."""
    return np.full((height, width, 3), colour, np.uint8)


def times_of(path: Path) -> list[float]:
    """Return the seconds of a video's frames."""
    return [seconds for seconds, _ in VideoSource(str(path)).play(realtime=False)]


def test_each_image_has_its_own_time(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.066, 0.5, 0.7, 5.0]
    with AnnotatedVideo(tmp_path / 'a.mp4', 30) as video:
        for seconds in times:
            video.add(START + round(seconds * SECOND), image(RED))
        assert 'a.mp4' not in os.listdir(tmp_path), 'not yet whole'
    assert os.listdir(tmp_path) == ['a.mp4'] and video.frames == 6
    np.testing.assert_allclose(times_of(tmp_path / 'a.mp4'), times, atol=1e-4)


def test_stamps_that_jump_go_on_after_a_frame(tmp_path: Path) -> None:
    """Back, far ahead, or twice the same: none of it stops the picture, or makes it hours long."""
    with AnnotatedVideo(tmp_path / 'a.mp4', 10) as video:
        for seconds in (5, 5.1, 2, 2.1, 4000, 4000.1, 4000.1, 4000.2):
            video.add(round(seconds * SECOND), image(RED))
    np.testing.assert_allclose(times_of(tmp_path / 'a.mp4'), np.arange(8) / 10, atol=1e-4)


def test_stamps_within_one_tick_of_the_video(tmp_path: Path) -> None:
    """They differ, but not to a player: the second goes on after a frame, and ends nothing."""
    with AnnotatedVideo(tmp_path / 'a.mp4', 10) as video:
        for stamp in (0, SECOND // 10, SECOND // 10 + 5, SECOND // 10 + 11_111, SECOND):
            video.add(stamp, image(RED))
    times = np.diff(times_of(tmp_path / 'a.mp4'))
    assert len(times) == 4 and (times > 0.05).all()


@pytest.mark.parametrize(('width', 'height'), [(65, 47), (1, 1), (641, 480)])
def test_odd_sides_and_changing_ones(tmp_path: Path, width: int, height: int) -> None:
    with AnnotatedVideo(tmp_path / 'a.mp4', 10) as video:
        for i in range(3):
            video.add(i * SECOND // 10, image(BLUE, width + i, height))
    frames = [frame for _, frame in VideoSource(str(tmp_path / 'a.mp4')).play(realtime=False)]
    assert {frame.shape for frame in frames} == {(height + height % 2, width + width % 2, 3)}
    np.testing.assert_allclose(frames[-1].mean((0, 1)), BLUE, atol=12)


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / 'a.mp4', 10):
        pass
    assert not os.listdir(tmp_path)


def test_what_stops_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / 'a.mp4').write_text('the last good one')
    with pytest.raises(ZeroDivisionError), AnnotatedVideo(tmp_path / 'a.mp4', 10) as video:
        video.add(START, image(RED))
        1 / 0  # noqa: B018
    assert (tmp_path / 'a.mp4').read_text() == 'the last good one'
    assert os.listdir(tmp_path) == ['a.mp4']


@pytest.mark.parametrize(('name', 'reason'), [
    ('file/a.mp4', 'File exists'), ('file/b/a.mp4', 'Not a directory'), ('.', 'it is no file'),
    ('x' * 300, 'File name too long')])
def test_a_path_that_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match=f'^cannot write the video .*: {reason}$'), \
            AnnotatedVideo(tmp_path / name, 10) as video:
        video.add(START, image(RED))


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files, in a process of its own, stands for a disk of that size."""
    script = f"""
import resource, signal, sys
from pathlib import Path
import numpy as np
from act_ros.pictures.video import AnnotatedVideo
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).integers(0, 256, (30, 240, 320, 3), np.uint8)
try:
    with AnnotatedVideo(Path({str(tmp_path / 'a.mp4')!r}), 10) as video:
        for i, image in enumerate(noise):
            video.add(i * 100_000_000, image)
except OSError as error:
    sys.exit(str(error))
"""
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    reason = os.strerror(errno.EFBIG)
    assert result.stderr.strip() == f'cannot write the video {tmp_path / "a.mp4"}: {reason}'
    assert result.returncode == 1 and not os.listdir(tmp_path)


PAGE = b"""<!doctype html><video muted src="a.mp4"></video><img src="wait"><script>
const video = document.querySelector('video'), seen = [];
const tell = what => fetch('told?' + encodeURIComponent(JSON.stringify(what)));
video.onerror = () => tell({error: video.error.message});
video.requestVideoFrameCallback(function take(_, frame) {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0);
  seen.push([frame.mediaTime, ...pen.getImageData(30, 20, 1, 1).data.slice(0, 3)]);
  video.requestVideoFrameCallback(take);
});
video.onended = () => tell({seen, duration: video.duration, width: video.videoWidth});
video.play();
</script>"""


class Stage(BaseHTTPRequestHandler):
    """Serves the page and the video, and takes what the page has to tell."""

    video = b''
    told: dict[str, Any] = {}
    is_told = threading.Event()

    def do_GET(self) -> None:
        """Answer; a page is not ready before the last answer has come, so 'wait' waits."""
        name, _, query = self.path.lstrip('/').partition('?')
        if name == 'told':
            self.told.update(json.loads(unquote(query)))
            self.is_told.set()
        elif name == 'wait':
            self.is_told.wait(30)
        content = {'page.html': PAGE, 'a.mp4': self.video}.get(name, b'')
        self.send_response(200)
        self.send_header('Content-Type', 'video/mp4' if name == 'a.mp4' else 'text/html')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.mark.skipif(CHROMIUM is None, reason='chromium is not installed')
def test_a_browser_plays_it(tmp_path: Path) -> None:
    """Red for two seconds, then blue for one."""
    with AnnotatedVideo(tmp_path / 'a.mp4', 10) as video:
        for i in range(30):
            video.add(START + i * SECOND // 10, image(RED if i < 20 else BLUE))
    Stage.video = (tmp_path / 'a.mp4').read_bytes()
    with ThreadingHTTPServer(('127.0.0.1', 0), Stage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = show(f'http://127.0.0.1:{server.server_port}/page.html', tmp_path / 'profile')
        server.shutdown()
    assert 'error' not in Stage.told and Stage.told, (Stage.told, result.stderr)
    assert Stage.told['duration'] == pytest.approx(3.0, abs=0.01) and Stage.told['width'] == 64
    shown = Stage.told['seen']  # a busy machine leaves some out
    assert shown and shown[-1][0] >= 2
    for seconds, *colour in shown:
        np.testing.assert_allclose(colour, (RED if seconds < 2 else BLUE)[::-1], atol=20)
