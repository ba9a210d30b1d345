"""Stamped images into a video file that browsers play."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from act_ros.core.files import replacing
from act_ros.core.stamps import NANOSECONDS

# A pause in the stamps longer than this is cut out of a written video.
_LONGEST_PAUSE = 10 * NANOSECONDS
# What browsers play, the first that is there: FFmpeg is built with one or another.
_CODECS = {
    'libx264': {'preset': 'superfast', 'crf': '23', 'bf': '0'},
    'libopenh264': {},
    'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8', 'row-mt': '1', 'lag-in-frames': '0'},
}
_TICKS = 90_000  # a second, as MPEG counts


class _Abandoned(Exception):
    """Ends a file that shall not be."""


class AnnotatedVideo:
    """
    Writes stamped images into a video, each at its own time; a context manager.

    It comes under its name when it is whole, after `close`.

    :param fps: about how many images come in a second; the last one is shown for so long.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._file = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._held: Any = None  # a packet whose duration is not known yet
        self._size = (0, 0)
        self._offset = self._last = 0
        self.frames = 0

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()
        else:
            self._discard()

    def add(self, stamp: int, image: np.ndarray) -> None:
        """
        Append the image (H, W, 3) uint8 BGR of ``stamp`` nanoseconds; all get the first one's size.

        :raises OSError: the file cannot be written.
        :raises ModuleNotFoundError: PyAV is not installed.
        """
        from av import VideoFrame

        if self._container is None:
            self._open(stamp, image)
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size)
        height, width = image.shape[:2]
        # H.264 halves the colours' resolution, so sides are even.
        even: Any = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        period = round(NANOSECONDS / self._fps)
        time = stamp - self._offset
        if self.frames and not self._last < time <= self._last + _LONGEST_PAUSE:
            time = self._last + period
            self._offset = stamp - time
        self._last = time
        frame = VideoFrame.from_ndarray(even, format='bgr24')
        frame.pts, frame.time_base = time * _TICKS // NANOSECONDS, Fraction(1, _TICKS)
        self._write(frame)
        self.frames += 1

    def close(self) -> None:
        """
        Finish the file.

        :raises OSError: it cannot be written.
        """
        if self._container is None:
            return
        self._write(None)
        container, self._container = self._container, None
        try:
            self._held.duration = int(_TICKS / self._fps)
            container.mux(self._held)
            container.close()
            self._file.close()
        except (OSError, ValueError) as error:
            self._discard()
            raise self._failed(error) from error

    def _open(self, stamp: int, image: np.ndarray) -> None:
        import av

        self._size, self._offset = (image.shape[1], image.shape[0]), stamp
        name = next((codec for codec in _CODECS if codec in av.codecs_available), None)
        if name is None:
            raise OSError(f'cannot write the video {self._path}: PyAV has none of the encoders '
                          f'{", ".join(_CODECS)}')
        try:
            if self._path.exists() and not self._path.is_file():
                raise ValueError('it is no file')  # a device would be replaced
            partial = self._file.enter_context(replacing(self._path))
            self._container = av.open(
                f'file:{partial}', 'w', format='mp4', options={'movflags': 'faststart'})
            # PyAV knows which class belongs to a name that it can see when it is compiled.
            stream: Any = self._container.add_stream(
                name, rate=max(round(self._fps), 1), options=_CODECS[name])
            stream.width, stream.height = (side + side % 2 for side in self._size)
            stream.pix_fmt = 'yuv420p'
            stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream = stream
        except (OSError, ValueError) as error:
            self._discard()
            raise self._failed(error) from error

    def _write(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                if self._held is not None:
                    self._container.mux(self._held)
                self._held = packet
        except (OSError, ValueError) as error:
            self._discard()
            raise self._failed(error) from error

    def _discard(self) -> None:
        """Leave nothing of it."""
        container, self._container = self._container, None
        with suppress(OSError, ValueError):
            if container is not None:
                container.close()
        with suppress(_Abandoned):
            self._file.__exit__(_Abandoned, _Abandoned(), None)

    def _failed(self, error: Exception) -> OSError:
        reason = getattr(error, 'strerror', None) or error
        return OSError(f'cannot write the video {self._path}: {reason}')
