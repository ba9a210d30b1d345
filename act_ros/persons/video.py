"""
A video file, an address or a camera as a source of stamped images, in real time or faster.

Files and addresses are read with PyAV, which tells each frame's own time: phones and screen
recorders write few frames while nothing happens. Cameras are read with OpenCV.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from act_ros.core.frame import MAX_PIXELS
from act_ros.core.text import printable
from act_ros.persons.images import ImageError, check_size

if TYPE_CHECKING:
    import av

_LOG = logging.getLogger(__name__)
_FALLBACK_FPS = 30.0
# A camera that sends nothing for this long is gone.
_CAMERA_SILENCE = 5.0
# Seconds between two tries to read a camera that sends nothing: doubled from the first to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0
# So many failures in a row, and the device is opened anew.
_FAILURES = 3
# Seconds; frames further apart are of two recordings that were joined, whose times begin anew.
_LONGEST_PAUSE = 3600.0
# Seconds that a server may take to answer.
_ANSWER_TIME = 10.0
_ADDRESS = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+://')
# What comes as it happens, and not from a file at the other end.
_LIVE = ('rtsp', 'rtsps', 'rtmp', 'rtmps', 'rtp', 'udp', 'tcp', 'srt')
# Containers that do not say when a frame is shown, for which FFmpeg's guesses are wrong. When it is
# decoded they say, and frames come in the order they are shown in.
_UNTIMED = ('avi', 'mxf')


class VideoError(RuntimeError):
    """A video or camera that cannot be read; the message says which and what to do."""


class VideoSource:
    """
    A video file, an address or a V4L2 device.

    A camera or live address that stops sending is opened anew until it sends again.

    :param source: path of a file; an address such as ``rtsp://…`` or ``https://….m3u8``; a device
        number (``0``) or ``/dev/videoN``. ``/dev/v4l/by-id/…`` stays the same camera when it is
        plugged in again.
    :param loop: begin a file again when it ends.
    :param warn: is told what the source lost: where a file breaks off, that a camera is silent.
    :raises VideoError: when it cannot be opened.
    """

    def __init__(
        self, source: str, loop: bool = False,
        warn: Callable[[str], None] = _LOG.warning,
    ) -> None:
        # Whoever reads a log need not know the password.
        self.name = printable(re.sub(r'(?<=://)[^/?#]*@', '', source))  # it may hold an @
        self._source, self._loop, self._warn = source, loop, warn
        self._is_device = source.startswith('/dev/') or (source.isascii() and source.isdigit())
        self.is_camera = self._is_device or source.lower().startswith(
            tuple(f'{scheme}://' for scheme in _LIVE))
        self._stop = threading.Event()
        self._fresh = threading.Condition()
        self._reader: _Device | _Film = self._open()
        self.fps = self._reader.fps if 0 < self._reader.fps <= 1000 else _FALLBACK_FPS

    def _open(self) -> _Device | _Film:
        return _Device(self._source) if self._is_device else _Film(self._source, self.name)

    def close(self) -> None:
        """End `play`, from any thread."""
        self._stop.set()
        with self._fresh:
            self._fresh.notify_all()

    def release(self) -> None:
        """Give the file or device back without playing it."""
        self._reader.close()

    def play(self, realtime: bool = True) -> Iterator[tuple[float, np.ndarray]]:
        """
        Yield (seconds, image BGR uint8), the seconds from the first frame on and ascending.

        In real time every frame comes when it is due, and frames that are past due because the
        consumer was busy are skipped. Otherwise each frame of a file comes as soon as it is asked
        for. A camera is always in real time; of the frames that came meanwhile only the newest is
        yielded.

        :raises VideoError: when a file has no frame at all, or a camera never sends any.
        """
        if self.is_camera:
            yield from self._camera()
            return
        try:
            yield from self._file(realtime)
        finally:
            self._reader.close()

    def _file(self, realtime: bool) -> Iterator[tuple[float, np.ndarray]]:
        clock = _Clock(1 / self.fps)
        start = skipped_until = None
        while not self._stop.is_set():
            film = self._reader
            assert isinstance(film, _Film)
            for frame in film.frames():
                seconds = clock.read(frame.time)
                if realtime and start is not None and (
                        time.monotonic() > start + seconds + 1 / self.fps):
                    # A machine too slow for the video still sees one a second.
                    skipped_until = seconds + 1 if skipped_until is None else skipped_until
                    if seconds < skipped_until:
                        continue
                skipped_until, picture = None, film.picture(frame)  # done when it is due
                now = time.monotonic()
                start = now if start is None else start
                if self._stop.wait(max(start + seconds - now, 0) if realtime else 0):
                    return
                yield seconds, picture
            if not film.num_frames:
                raise VideoError(f'{self.name} holds no readable frame')
            for loss in film.losses():
                self._warn(f'{self.name} {loss}')
            if clock.joints:
                self._warn(f'the times in {self.name} jump {clock.joints} times; the frames go on '
                           'without a gap')
            if not self._loop:
                return
            film.close()
            clock.join()
            self._reader = self._open()

    def _camera(self) -> Iterator[tuple[float, np.ndarray]]:
        # The driver queues frames; reading them all at once in a thread keeps the newest at hand.
        newest: list[tuple[float, np.ndarray]] = []
        reader = threading.Thread(target=self._keep_reading, args=(newest,), daemon=True)
        reader.start()
        start = time.monotonic()
        last: float | None = None
        is_lost = False
        try:
            while not self._stop.is_set():
                with self._fresh:
                    heard = self._fresh.wait_for(
                        lambda: bool(newest) or self._stop.is_set(), _CAMERA_SILENCE)
                    moment, image = newest.pop() if newest else (0.0, None)
                if image is not None:
                    if is_lost and last is not None:
                        self._warn(f'camera {self.name} is back after {moment - last:.0f} s')
                    last, is_lost = moment, False
                    yield moment - start, image
                elif not heard and last is None:
                    raise VideoError(f'camera {self.name} sends no images; is it unplugged?')
                elif not heard and not is_lost:
                    is_lost = True
                    self._warn(f'camera {self.name} sends no images any more; is it unplugged? '
                               'It is tried again until it does')
        finally:
            self._stop.set()
            reader.join(_CAMERA_SILENCE)

    def _keep_reading(self, newest: list[tuple[float, np.ndarray]]) -> None:
        """Hand on every image; whatever sends none is tried again, then opened anew."""
        failures, pause = 0, _FIRST_PAUSE
        while not self._stop.is_set():
            image = self._reader.read()
            if image is not None:
                failures, pause = 0, _FIRST_PAUSE
                with self._fresh:
                    newest[:] = [(time.monotonic(), image)]
                    self._fresh.notify()
                continue
            failures += 1
            self._stop.wait(pause)
            if failures >= _FAILURES and not self._stop.is_set():
                pause = min(2 * pause, _LAST_PAUSE)
                self._reader.close()
                with suppress(VideoError):
                    self._reader = self._open()
        self._reader.close()  # here: nobody may close what is being read


class _Clock:
    """The times of a film's frames as seconds from its first one on, ascending."""

    def __init__(self, period: float) -> None:
        self._period = period
        self.joints = 0
        self._last: float | None = None
        self._base: float | None = None

    def read(self, own: float | None) -> float:
        """Return the seconds of a frame that says ``own``, or nothing at all."""
        last = -self._period if self._last is None else self._last
        seconds = last + self._period
        if own is not None:
            if self._base is not None and last < own - self._base < last + _LONGEST_PAUSE:
                seconds = own - self._base
            else:  # the first one, or of a recording that was joined to another
                self.joints += self._base is not None
                self._base = own - seconds
        self._last = seconds
        return seconds

    def join(self) -> None:
        """Go on with another film, one period after this one's last frame."""
        self._base, self.joints = None, 0


class _Device:
    """A V4L2 device, read with OpenCV."""

    def __init__(self, name: str) -> None:
        path = Path(f'/dev/video{name}' if name.isdigit() else name)
        self._capture = cv2.VideoCapture()
        # Of a path that is not there OpenCV would speak on the terminal, at every try.
        if not (path.exists() and self._capture.open(str(path), cv2.CAP_V4L2)):
            raise VideoError(f'{name} cannot be opened: is it plugged in, free, and readable for '
                             'this user (group video)?')
        self.fps: float = self._capture.get(cv2.CAP_PROP_FPS)

    def read(self) -> np.ndarray | None:
        """Return the next image (H, W, 3), or None where there is none."""
        try:
            is_read, image = self._capture.read()
        except cv2.error:
            return None
        return image if is_read else None

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


class _Film:
    """A file or an address, read with PyAV."""

    def __init__(self, source: str, name: str) -> None:
        self._av = _pyav()
        self.num_frames = 0
        self._num_damaged = self._num_partial = 0
        self._failure = ''
        self._end = self._last_end = 0.0  # seconds: of the pictures, and of all there is
        is_address = _ADDRESS.match(source)
        if not is_address and not Path(source).is_file():
            exists = source and Path(source).exists()
            raise VideoError(f'video {name} ' + ('is no file' if exists else 'does not exist'))
        hint = ('is the address right, and the server up?' if is_address
                else 'is it a video, and complete?')
        try:
            self._container = self._av.open(
                # Else a colon in a file's name would begin a protocol.
                source if is_address else f'file:{source}',
                options=_options(source, bool(is_address)),
                # A title of another encoding than UTF-8, as in many AVI files, keeps nobody out.
                metadata_errors='replace', timeout=_ANSWER_TIME if is_address else None)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise VideoError(f'{name} cannot be opened: {hint} ({reason})') from None
        try:
            self._stream = self._choose_stream(name)
        except VideoError:
            self._container.close()
            raise
        self.fps = float(self._stream.average_rate or 0)
        self._images = self.frames()
        self._convert = self._av.video.reformatter.VideoReformatter()

    def _choose_stream(self, name: str) -> av.VideoStream:
        if not self._container.streams.video:
            raise VideoError(f'{name} cannot be opened: there is no picture in it, '
                             'only sound or text')
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError(f'{name} cannot be opened: its codec is not known here')
        try:
            check_size(stream.height, stream.width, MAX_PIXELS)
        except ImageError as error:
            raise VideoError(f'{name} cannot be opened: {error}') from None
        stream.thread_type = 'AUTO'
        # A frame may be larger than the first ones, or than the file says.
        stream.codec_context.options = {'max_pixels': str(MAX_PIXELS)}
        return stream

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that can be decoded; what cannot is counted."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (self._av.error.FFmpegError, OSError, ValueError) as error:
                self._failure = str(getattr(error, 'strerror', None) or error)
                return
            end = 0.0
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._last_end = max(self._last_end, end)
            if packet.stream.index != self._stream.index:
                continue
            try:
                frames = packet.decode()
            except (self._av.error.FFmpegError, ValueError):
                self._num_damaged += 1
                continue
            self._end = max(self._end, end)
            for frame in frames:
                self.num_frames += 1
                self._num_partial += frame.is_corrupt
                if self._container.format.name in _UNTIMED:
                    frame.pts = frame.dts
                yield frame

    def losses(self) -> Iterator[str]:
        """Yield what went missing, once all frames have come."""
        if self._num_damaged:
            yield f'has {self._num_damaged} damaged frames, which are left out'
        if self._num_partial:
            yield f'has {self._num_partial} frames of which only parts could be decoded'
        if self._failure:
            yield f'breaks off after {self.num_frames} frames: {self._failure}'
            return
        promised, reached = self._promise()
        if promised - reached > max(3 / (self.fps or _FALLBACK_FPS), 0.1):
            count = f' of {self._stream.frames}' if self._stream.frames else ''
            yield (f'ends early, after {self.num_frames}{count} frames and {reached:.1f} of '
                   f'{promised:.1f} s: it is cut off or damaged')

    def _promise(self) -> tuple[float, float]:
        """Return when the file says it ends (0: it does not say), and when it did, in seconds."""
        stream, container = self._stream, self._container
        if container.format.name in _UNTIMED and stream.frames and self.fps:
            # FFmpeg takes the duration of an AVI from how much of it there is.
            return stream.frames / self.fps, self._end
        if stream.duration and stream.time_base:
            start = stream.start_time or 0
            return float((start + stream.duration) * stream.time_base), self._end
        # Matroska and FLV say when all of it ends, of which sound may be the last.
        return (container.duration or 0) / self._av.time_base, self._last_end

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """Return a frame as uint8 (H, W, 3) BGR, upright."""
        image = self._convert.reformat(frame, format='bgr24').to_ndarray()
        try:
            matrix = frame.side_data.get('DISPLAYMATRIX')
        except ValueError:  # of something beside it that this PyAV does not know, such as EXIF
            turned = getattr(frame, 'rotation', 0)  # which tells the turns, but not a mirror
            return np.ascontiguousarray(np.rot90(image, round(turned / 90)))
        return _upright(image, matrix)

    def read(self) -> np.ndarray | None:
        """Return the next image (H, W, 3), or None where there is none."""
        frame = next(self._images, None)
        try:
            return None if frame is None else self.picture(frame)
        except (self._av.error.FFmpegError, ValueError):  # decoded, but no picture comes of it
            return None

    def close(self) -> None:
        """Close the file or the connection."""
        self._container.close()


def _options(source: str, is_address: bool) -> dict[str, str]:
    """Return what FFmpeg is told of a source."""
    if not is_address:
        # A playlist without an end, of a recorder that was killed: nothing is added any more.
        return {'m3u8_hold_counters': '3'}
    return {'rtsp_transport': 'tcp'} if source.startswith('rtsp') else {}


def _upright(image: np.ndarray, matrix: Any) -> np.ndarray:
    """Return a picture (H, W, 3) turned by quarters, and mirrored, as the file wants it shown."""
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    if a * d < b * c:  # left and right change sides before it is turned
        image, a, b = image[:, ::-1], -a, -b
    return np.ascontiguousarray(np.rot90(image, round(-math.atan2(b, a) * 2 / math.pi)))


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise VideoError('videos are read with PyAV, which is not installed: pip install av, or '
                         'the package python3-av') from error
    return av
