"""Real videos, played as fast as asked for and in real time; cameras; sources that are none."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import cv2
import numpy as np
import pytest

from act_ros.persons import video as module
from act_ros.persons.video import VideoError, VideoSource

av = pytest.importorskip('av')
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


def write(
    path: Path | str, times: Sequence[float], container: str | None = None,
    picture: np.ndarray | None = None, ticks: int = 1000, bf: int = 0, title: str = '',
    **options: str,
) -> None:
    """
    Write H.264 with a frame at each of the times, grey value 5 i, a key frame every five.

    :param picture: what every frame shows, (48, 64, 3), in place of a grey.
    :param ticks: parts of a second that times are counted in.
    :param bf: frames between two others that are stored after both of them.
    """
    with av.open(str(path), 'w', format=container, options=options) as file:
        file.metadata['title'] = title
        stream = file.add_stream('libx264', rate=min(ticks, 30), options={
            'preset': 'ultrafast', 'g': '5', 'bf': str(bf), 'b_strategy': '0'})
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, ticks)
        for i, seconds in enumerate(times):
            grey = np.full((48, 64, 3), 5 * i % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(
                grey if picture is None else picture, format='bgr24')
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


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


class Clock(threading.Event):
    """A time of its own, in which only waiting and what a test says takes any."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass."""
        self.now += timeout or 0.0
        return self.is_set()


@pytest.mark.parametrize(('busy', 'seen'), [
    (0.0, list(range(FRAMES))), (0.039, list(range(FRAMES))), (0.115, [0, 2, 5, 8, 11, 14, 17])])
def test_in_real_time_only_frames_more_than_a_period_late_are_skipped(
    video: Path, monkeypatch: pytest.MonkeyPatch, busy: float, seen: list[int],
) -> None:
    clock, source = Clock(), VideoSource(str(video))
    monkeypatch.setattr(module, 'time', clock)
    source._stop, numbers = clock, []
    for seconds, image in source.play():
        numbers.append(number(image))
        assert seconds - 1e-9 <= clock.now <= seconds + 1 / FPS
        clock.now += busy
    assert numbers == seen


def test_a_machine_too_slow_for_a_video_sees_a_frame_a_second(
    video: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, source = Clock(), VideoSource(str(video), loop=True)
    frames = module._Film.frames

    def slow(film: module._Film) -> Iterator[Any]:
        for frame in frames(film):
            clock.now += 3 / FPS  # to decode it
            yield frame

    monkeypatch.setattr(module, 'time', clock)
    monkeypatch.setattr(module._Film, 'frames', slow)
    source._stop = clock
    times = [seconds for seconds, _ in islice(source.play(), 4)]
    np.testing.assert_allclose(np.diff(times), 1 + 1 / FPS, atol=1.1 / FPS)


def test_a_loop_goes_on_with_ascending_times(video: Path) -> None:
    told: list[str] = []
    source = VideoSource(str(video), loop=True, warn=told.append)
    frames = list(islice(source.play(realtime=False), 3 * FRAMES))
    assert [number(image) for _, image in frames] == 3 * list(range(FRAMES))
    np.testing.assert_allclose([t for t, _ in frames], np.arange(3 * FRAMES) / FPS)
    assert not told, 'its times do not jump'


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
    with pytest.raises(VideoError, match='is no file'):
        VideoSource(str(tmp_path))
    with pytest.raises(VideoError):
        VideoSource('')


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(5000)])
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'odd.mp4'
    path.write_bytes(content)
    with pytest.raises(VideoError, match='odd.mp4 cannot be opened: is it a video'):
        VideoSource(str(path))


def test_a_video_of_too_many_pixels_is_refused(
    video: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'MAX_PIXELS', 64 * 48 - 1)
    with pytest.raises(VideoError, match='clip.avi cannot be opened: .* 64 x 48 pixels, more than'):
        VideoSource(str(video))


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


@pytest.mark.parametrize('source', ['²', '٣'])
def test_a_digit_that_is_no_device_number(source: str) -> None:
    with pytest.raises(VideoError, match=f'video {source} does not exist'):
        VideoSource(source)


def test_a_variable_frame_rate_keeps_the_times_of_its_frames(tmp_path: Path) -> None:
    """Thirty a second, then five: a phone in the dusk."""
    times = [i / 30 for i in range(15)] + [0.5 + i / 5 for i in range(10)]
    write(tmp_path / 'dusk.mp4', [5 + t for t in times])
    source = VideoSource(str(tmp_path / 'dusk.mp4'))
    played = [t for t, _ in source.play(realtime=False)]
    np.testing.assert_allclose(played, times, atol=0.001)
    begin = time.monotonic()
    for seconds, _ in VideoSource(str(tmp_path / 'dusk.mp4')).play():
        assert time.monotonic() - begin >= seconds
    twice = [t for t, _ in islice(
        VideoSource(str(tmp_path / 'dusk.mp4'), loop=True).play(realtime=False), 50)]
    np.testing.assert_allclose(np.diff(twice[25:]), np.diff(times), atol=0.001)
    assert twice[25] > twice[24]


def test_a_recording_joined_to_another_goes_on(tmp_path: Path) -> None:
    """Times that begin anew go on where they were."""
    for name, begin in (('a.ts', 100), ('b.ts', 2)):
        write(tmp_path / name, [begin + i / 25 for i in range(10)])
    joined = tmp_path / 'both.ts'
    joined.write_bytes((tmp_path / 'a.ts').read_bytes() + (tmp_path / 'b.ts').read_bytes())
    told: list[str] = []
    times = [t for t, _ in VideoSource(str(joined), warn=told.append).play(realtime=False)]
    assert len(times) == 20
    assert 'the times in' in told[0] and 'jump 1 times' in told[0]
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=0.015)


@pytest.mark.parametrize(('name', 'promised'), [
    ('part.mp4', ' of 100'), ('part.mkv', ''), ('part.flv', ''), ('part.avi', ' of 100')])
def test_a_clip_that_ends_early_is_told(tmp_path: Path, name: str, promised: str) -> None:
    path = tmp_path / name
    write(path, [i / 25 for i in range(100)], ticks=25, movflags='faststart')
    told: list[str] = []
    assert len(list(VideoSource(str(path), warn=told.append).play(realtime=False))) == 100
    assert not told
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 4 // 5])
    frames = list(VideoSource(str(path), warn=told.append).play(realtime=False))
    assert 10 < len(frames) < 100
    assert f'{name} ends early, after {len(frames)}{promised} frames' in told[-1]


def test_sound_may_go_on_after_the_last_picture(tmp_path: Path) -> None:
    """Matroska tells the length of both together."""
    path = tmp_path / 'sound.mkv'
    with av.open(str(path), 'w') as file:
        pictures = file.add_stream('libx264', rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, 'yuv420p'
        sound = file.add_stream('pcm_s16le', rate=8000)
        for i in range(20):
            file.mux(pictures.encode(av.VideoFrame(64, 48, 'yuv420p')) if i < 10 else [])
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
            frame.sample_rate, frame.pts = 8000, 800 * i
            file.mux(sound.encode(frame))
        file.mux(pictures.encode())
    told: list[str] = []
    assert len(list(VideoSource(str(path), warn=told.append).play(realtime=False))) == 10
    assert not told


def test_a_frame_of_which_parts_are_lost_is_told(tmp_path: Path) -> None:
    """A transport stream promises no length; of its last frame half is there."""
    path = tmp_path / 'part.ts'
    rng = np.random.default_rng(0)
    write(path, [i / 25 for i in range(10)], picture=rng.integers(0, 256, (48, 64, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[:data.index(b'\x47\x41', len(data) // 2) + 5 * 188])
    told: list[str] = []
    frames = list(VideoSource(str(path), warn=told.append).play(realtime=False))
    assert 0 < len(frames) < 10
    assert told == [f'{path} has 1 frames of which only parts could be decoded']


def test_a_frame_that_grows_beyond_bounds_is_left_out(tmp_path: Path) -> None:
    """The size that is checked first is that of the first frames."""
    path = tmp_path / 'grows.mjpeg'
    small, large = (cv2.imencode('.jpg', np.zeros((size, size), np.uint8))[1].tobytes()
                    for size in (64, 5200))
    path.write_bytes(small * 3 + large + small * 3)
    told: list[str] = []
    frames = list(VideoSource(str(path), warn=told.append).play(realtime=False))
    assert [image.shape for _, image in frames] == [(64, 64, 3)] * 6
    assert told == [f'{path} has 1 damaged frames, which are left out']


@pytest.mark.skipif(av.library_versions['libavcodec'] < (62,), reason='FFmpeg turns none')
@pytest.mark.parametrize(('orientation', 'turns'), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_jpeg_is_turned_as_its_exif_says(tmp_path: Path, orientation: int, turns: int) -> None:
    """PyAV knows no EXIF, and then refuses the matrix beside it."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 255
    jpeg = cv2.imencode('.jpg', picture)[1].tobytes()
    exif = b'Exif\0\0MM' + struct.pack('>HIHHHIHHI', 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    path = tmp_path / 'camera.mjpeg'
    path.write_bytes((jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif
                      + jpeg[2:]) * 2)
    images = [image for _, image in VideoSource(str(path)).play(realtime=False)]
    assert len(images) == 2
    np.testing.assert_allclose(images[0], np.rot90(picture, turns), atol=30)


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / 'hole.mp4'
    write(path, [i / 25 for i in range(100)])
    data = bytearray(path.read_bytes())
    begin = data.index(b'mdat') + 1500
    data[begin:begin + 300] = b'\xff' * 300
    path.write_bytes(data)
    told: list[str] = []
    times = [t for t, _ in VideoSource(str(path), warn=told.append).play(realtime=False)]
    assert 50 < len(times) < 100 and times[-1] == pytest.approx(99 / 25)
    assert len(told) == 1 and 'hole.mp4 has ' in told[0] and 'damaged frames' in told[0]


@pytest.mark.parametrize(('matrix', 'seen'), [
    # A phone held upright; by a quarter clockwise, as players show it, though not every OpenCV.
    ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    ((-1, 0, 0, 1), np.fliplr),
    ((1, 0, 0, -1), np.flipud),
    ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
])
def test_a_video_is_upright(
    tmp_path: Path, matrix: tuple[int, ...], seen: Callable[[np.ndarray], np.ndarray],
) -> None:
    """The file says by a matrix how to turn, or mirror, its pictures."""
    path = tmp_path / 'phone.mp4'
    write(path, [0.0], picture=np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3))
    _, lying = next(VideoSource(str(path)).play())
    data = bytearray(path.read_bytes())
    at = data.index(b'tkhd') + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at:at + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(data)
    _, image = next(VideoSource(str(path)).play())
    np.testing.assert_array_equal(image, seen(lying))


@pytest.mark.parametrize('name', ['clip.avi', 'clip.mxf', 'clip.mp4', 'clip.mkv'])
def test_frames_that_are_stored_in_another_order_come_at_their_times(
    tmp_path: Path, name: str,
) -> None:
    """An AVI does not say when a frame is shown: 2 s of H.264 with B-frames had lasted 4 s."""
    write(tmp_path / name, [i / 25 for i in range(50)], ticks=25, bf=2)
    told: list[str] = []
    times = [t for t, _ in VideoSource(str(tmp_path / name), warn=told.append).play(False)]
    np.testing.assert_allclose(times, np.arange(50) / 25, atol=0.001)
    assert not told


@pytest.mark.parametrize('name', ['a:b.mp4', 'concat:x.mp4', 'a%03d.mp4', 'é 走.mp4'])
def test_odd_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'file:{tmp_path / name}', [0.0, 0.1])
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoSource(name).play(realtime=False))) == 2


@pytest.mark.parametrize('name', ['clip.avi', 'clip.mp4', 'clip.mkv'])
def test_a_title_that_is_no_utf_8_keeps_nobody_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, [i / 25 for i in range(5)], title='caf__')
    data = path.read_bytes()
    assert data.count(b'caf__') == 1
    path.write_bytes(data.replace(b'caf__', 'café '.encode('latin-1')))
    assert len(list(VideoSource(str(path)).play(realtime=False))) == 5


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / 'sound.wav'
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('pcm_s16le', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    with pytest.raises(VideoError, match='there is no picture in it'):
        VideoSource(str(path))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder by HTTP."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{http.server_port}'
        http.shutdown()


@pytest.mark.parametrize('name', ['clip.mp4', 'list.m3u8'])
def test_an_address_is_played(server: str, tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [i / 25 for i in range(FRAMES)])
    source = VideoSource(f'{server}/{name}')
    assert not source.is_camera
    times = [t for t, _ in source.play(realtime=False)]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25, atol=0.001)


def test_a_playlist_that_was_never_ended_ends(tmp_path: Path) -> None:
    write(tmp_path / 'a.ts', [i / 25 for i in range(10)])
    path = tmp_path / 'list.m3u8'
    path.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\na.ts\n')
    times: list[float] = []
    player = threading.Thread(target=lambda: times.extend(
        seconds for seconds, _ in VideoSource(str(path)).play(realtime=False)), daemon=True)
    player.start()
    player.join(30)
    assert not player.is_alive() and len(times) == 10


def test_a_server_that_breaks_off_is_told(tmp_path: Path) -> None:
    write(tmp_path / 'clip.ts', [i / 25 for i in range(100)])
    content = (tmp_path / 'clip.ts').read_bytes()

    class Server(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10_000)
            self.request.sendall(
                b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(content)
                + content[:len(content) // 2])

    told: list[str] = []
    with ThreadingTCPServer(('127.0.0.1', 0), Server) as tcp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        source = VideoSource(f'http://127.0.0.1:{tcp.server_address[1]}/clip.ts', warn=told.append)
        frames = list(source.play(realtime=False))
        tcp.shutdown()
    assert 10 < len(frames) < 100
    assert f'breaks off after {len(frames)} frames: ' in told[0]


def test_an_address_that_does_not_answer(server: str) -> None:
    with pytest.raises(VideoError, match='no.m3u8 cannot be opened: is the address right'):
        VideoSource(f'{server}/no.m3u8')
    with pytest.raises(VideoError, match='^rtsp://127.0.0.1:9/x cannot be opened: is the address') \
            as caught:
        VideoSource('rtsp://me:secret@127.0.0.1:9/x')
    assert 'secret' not in str(caught.value)
    with pytest.raises(VideoError, match='^http://127.0.0.1:9/x[?]at=a@b cannot be opened'):
        VideoSource('http://me:se@cret@127.0.0.1:9/x?at=a@b')
    with pytest.raises(VideoError, match='nonsense://x cannot be opened'):
        VideoSource('nonsense://x')
    with pytest.raises(VideoError, match='cannot be opened: is the address right'):
        VideoSource('http://127.0.0.1:9/\ud800')  # which cannot be encoded


def test_an_address_that_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a camera that hangs, or a firewall: a node would wait for it without end."""
    monkeypatch.setattr(module, '_ANSWER_TIME', 0.3)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        address = f'http://127.0.0.1:{silent.getsockname()[1]}/x.mp4'
        with pytest.raises(VideoError, match='x.mp4 cannot be opened: is the address right'):
            VideoSource(address)


def test_a_live_address_that_breaks_off_is_taken_up_again(tmp_path: Path) -> None:
    write(tmp_path / 'live.ts', [i / 25 for i in range(40)])
    content = (tmp_path / 'live.ts').read_bytes()
    connections = 0

    class Camera(BaseRequestHandler):
        def handle(self) -> None:  # and hangs up
            nonlocal connections
            connections += 1
            self.request.sendall(content)

    told: list[str] = []
    with ThreadingTCPServer(('127.0.0.1', 0), Camera) as tcp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        source = VideoSource(f'tcp://127.0.0.1:{tcp.server_address[1]}', warn=told.append)
        assert source.is_camera
        times = []
        for seconds, _ in source.play():
            times.append(seconds)
            if connections == 3:
                source.close()
        tcp.shutdown()
    assert connections == 3 and times == sorted(times) and len(set(times)) == len(times)
    assert not told, 'it was never silent for long'


def test_a_live_frame_of_which_no_picture_comes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that reads goes on; it had ended, and the camera was waited for ever after."""
    write(tmp_path / 'clip.mp4', [i / 25 for i in range(5)])
    film = module._Film(str(tmp_path / 'clip.mp4'), 'clip')

    def fail(frame: object) -> np.ndarray:
        raise ValueError('this conversion is not supported')

    assert film.read() is not None
    with monkeypatch.context() as patch:
        patch.setattr(film, 'picture', fail)
        assert film.read() is None
    assert film.read() is not None
    film.close()


class FakeCamera:
    """What OpenCV does with a camera, by a script: images, failures, and a device that is gone."""

    script: list[bool] = []
    present: Callable[[], bool] = staticmethod(lambda: True)
    opened = gone = 0

    def __init__(self, name: str) -> None:
        if not type(self).present():
            raise VideoError(f'{name} cannot be opened')
        type(self).opened += 1
        self.fps, self.number = 30.0, self.opened

    def read(self) -> np.ndarray | None:
        """Return the next image of the script, or None."""
        time.sleep(0.005)
        works = self.number > self.gone and (self.script.pop(0) if self.script else True)
        return np.zeros((4, 6, 3), np.uint8) if works else None

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeCamera]:
    """Put a camera where there is none."""
    class Fake(FakeCamera):
        script: list[bool] = []

    monkeypatch.setattr(module, '_Device', Fake)
    return Fake


def test_a_camera_that_fails_once_goes_on(fake: type[FakeCamera]) -> None:
    fake.script[:] = [True, False, True, False, False, True]
    told: list[str] = []
    source = VideoSource('0', warn=told.append)
    assert len(list(islice(source.play(), 10))) == 10
    assert not fake.script and fake.opened == 1 and not told


def test_a_camera_that_is_plugged_in_again_goes_on(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def warn(text: str) -> None:
        told.append(text)
        monkeypatch.setattr(module, '_CAMERA_SILENCE', 5.0)

    source = VideoSource('0', warn=warn)
    frames = source.play()
    times = [next(frames)[0] for _ in range(3)]
    monkeypatch.setattr(module, '_CAMERA_SILENCE', 0.2)
    fake.gone, fake.present = 1, staticmethod(lambda: bool(told))  # till its loss is told
    while len(told) < 2:
        times.append(next(frames)[0])
    times += [next(frames)[0] for _ in range(3)]
    source.close()
    assert not list(frames)
    assert times == sorted(times) and fake.opened == 2
    assert 'camera 0 sends no images any more' in told[0] and 'is back after' in told[1]
    assert len(told) == 2


def test_a_camera_that_never_sends_anything(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, '_CAMERA_SILENCE', 0.2)
    fake.script[:] = [False] * 1000
    with pytest.raises(VideoError, match='camera 0 sends no images; is it unplugged'):
        next(VideoSource('0').play())


def test_a_camera_that_sends_nothing_is_tried_less_and_less_often(fake: type[FakeCamera]) -> None:
    """The third failure in a row opens it anew; an image begins the counting again."""
    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append((timeout, fake.opened))
            if len(pauses) == 13:
                self.set()
            return self.is_set()

    pauses: list[tuple[float | None, int]] = []
    fake.script[:] = [False] * 9 + [True] + [False] * 4
    source = VideoSource('0')
    source._stop = Stop()
    source._keep_reading([])
    assert pauses == [
        (0.05, 1), (0.05, 1), (0.05, 1), (0.1, 2), (0.2, 3), (0.4, 4), (0.8, 5), (1.6, 6), (2.0, 7),
        (0.05, 8), (0.05, 8), (0.05, 8), (0.1, 9)]
    assert fake.opened == 9  # it was closed: nobody waits for another


@pytest.mark.parametrize('works', [True, False])
def test_a_silent_camera_can_be_closed(fake: type[FakeCamera], works: bool) -> None:
    fake.script[:] = [works] + [False] * 10_000
    told: list[str] = []
    source = VideoSource('0', warn=told.append)
    frames = source.play()
    if works:
        next(frames)
    threading.Timer(0.05, source.close).start()
    assert list(frames) == [] and not told
