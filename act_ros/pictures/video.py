"""Stamped images into a video file that browsers play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
_LEAST_STEP = NANOSECONDS // _TICKS + 1  # from one tick to another


class AnnotatedVideo:
    """
    Writes stamped images into a video, each at its own time; a context manager.

    It comes under its name when it is whole, at the end; after an error nothing does.

    :param fps: about how many images come in a second; the last one is shown for so long.
    :raises OSError: at the end, too: the file cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._files = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._held: Any = None  # a packet whose duration is not known yet
        self._size = (0, 0)
        self._offset = self._last = 0
        self.frames = 0

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0]:
            with suppress(OSError, ValueError):
                self._files.__exit__(*error)
            return
        with self._explaining(), self._files:
            if self.frames:
                self._encode(None)
                self._held.duration = int(_TICKS / self._fps)
                self._container.mux(self._held)

    def add(self, stamp: int, image: np.ndarray) -> None:
        """
        Append the image (H, W, 3) uint8 BGR of ``stamp`` nanoseconds; all get the first one's size.

        :raises OSError: the file cannot be written.
        :raises ModuleNotFoundError: PyAV is not installed.
        """
        with self._explaining():
            if self._container is None:
                self._open(stamp, image)
            self._encode(self._frame(stamp, image))
        self.frames += 1

    def _open(self, stamp: int, image: np.ndarray) -> None:
        import av

        self._size, self._offset = (image.shape[1], image.shape[0]), stamp
        name = next((codec for codec in _CODECS if codec in av.codecs_available), None)
        if name is None:
            raise ValueError(f'PyAV has none of the encoders {", ".join(_CODECS)}')
        if self._path.exists() and not self._path.is_file():
            raise ValueError('it is no file')  # a device would be replaced
        partial = self._files.enter_context(replacing(self._path))
        self._container = self._files.enter_context(av.open(
            f'file:{partial}', 'w', format='mp4', options={'movflags': 'faststart'}))
        # PyAV knows which class belongs to a name that it can see when it is compiled.
        stream: Any = self._container.add_stream(
            name, rate=max(round(self._fps), 1), options=_CODECS[name])
        stream.width, stream.height = (side + side % 2 for side in self._size)
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream

    def _frame(self, stamp: int, image: np.ndarray) -> Any:
        """Return an image, of the video's size, at its time."""
        from av import VideoFrame

        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size)
        height, width = image.shape[:2]
        # H.264 halves the colours' resolution, so sides are even.
        even: Any = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        time = stamp - self._offset
        if self.frames and not self._last + _LEAST_STEP <= time <= self._last + _LONGEST_PAUSE:
            time = self._last + round(NANOSECONDS / self._fps)
            self._offset = stamp - time
        self._last = time
        frame = VideoFrame.from_ndarray(even, format='bgr24')
        frame.pts, frame.time_base = time * _TICKS // NANOSECONDS, Fraction(1, _TICKS)
        return frame

    def _encode(self, frame: Any) -> None:
        """Take a frame, or None at the end."""
        for packet in self._stream.encode(frame):
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Name the video in errors."""
        try:
            yield
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise OSError(f'cannot write the video {self._path}: {reason}') from error
