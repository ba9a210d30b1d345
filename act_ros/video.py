"""
A video file or a camera as a source of stamped images, in real time or as fast as wanted; and
stamped images into a video file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

_FALLBACK_FPS = 30.0
# A camera that sends nothing for this long is gone.
_CAMERA_SILENCE = 5.0
# A pause in the stamps longer than this is cut out of a written video.
_LONGEST_PAUSE = 10.0


class VideoError(RuntimeError):
    """A video or camera that cannot be read; the message says which and what to do."""


class VideoSource:
    """
    A video file or a V4L2 device.

    :param source: path of a file, a device number (``0``) or ``/dev/videoN``.
    :param loop: begin a file again when it ends.
    :raises VideoError: when it cannot be opened.
    """

    def __init__(self, source: str, loop: bool = False) -> None:
        self.name = source
        self.is_camera = source.isdigit() or source.startswith('/dev/')
        self._loop = loop
        self._stop = threading.Event()
        self._capture = self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else _FALLBACK_FPS

    def _open(self) -> cv2.VideoCapture:
        if self.is_camera:
            device = int(self.name) if self.name.isdigit() else self.name
            capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
            hint = 'is it plugged in, free, and readable for this user (group video)?'
        else:
            if not Path(self.name).is_file():
                raise VideoError(f'video {self.name} does not exist')
            capture = cv2.VideoCapture(self.name)
            hint = 'is it a video, and complete?'
        if not capture.isOpened():
            raise VideoError(f'{self.name} cannot be opened: {hint}')
        return capture

    def close(self) -> None:
        """End `play`, from any thread."""
        self._stop.set()

    def release(self) -> None:
        """Give the file or device back without playing it."""
        self._capture.release()

    def play(self, realtime: bool = True) -> Iterator[tuple[float, np.ndarray]]:
        """
        Yield (seconds, image BGR uint8), the seconds from the first frame on and ascending.

        In real time every frame comes when it is due, and frames that are past due because the
        consumer was busy are skipped. Otherwise each frame of a file comes as soon as it is asked
        for. A camera is always in real time, the newest frame first.

        :raises VideoError: when a file has no frame at all, or a camera falls silent.
        """
        frames = self._camera() if self.is_camera else self._file(realtime)
        try:
            yield from frames
        finally:
            self._capture.release()

    def _file(self, realtime: bool) -> Iterator[tuple[float, np.ndarray]]:
        start, index, since_begin, skipped = time.monotonic(), 0, 0, 0
        while not self._stop.is_set():
            due = start + index / self.fps
            late = realtime and time.monotonic() > due + 1.0 / self.fps
            if not self._capture.grab():
                if since_begin == 0:
                    raise VideoError(f'{self.name} holds no readable frame')
                if not self._loop:
                    return
                self._capture.release()
                self._capture, since_begin = self._open(), 0
                continue
            index, since_begin = index + 1, since_begin + 1
            if late and skipped < self.fps:  # a machine too slow for the video still sees some
                skipped += 1
                continue
            skipped = 0
            if realtime and self._stop.wait(max(due - time.monotonic(), 0.0)):
                return
            ok, image = self._capture.retrieve()
            if ok:
                yield (index - 1) / self.fps, image

    def _camera(self) -> Iterator[tuple[float, np.ndarray]]:
        # The driver queues frames; reading them all at once in a thread keeps the newest at hand.
        newest: list[tuple[float, np.ndarray]] = []
        fresh = threading.Condition()

        def read() -> None:
            while not self._stop.is_set():
                ok, image = self._capture.read()
                with fresh:
                    if not ok:
                        return
                    newest[:] = [(time.monotonic(), image)]
                    fresh.notify()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        start = time.monotonic()
        try:
            while not self._stop.is_set():
                with fresh:
                    if not fresh.wait_for(lambda: bool(newest), _CAMERA_SILENCE):
                        raise VideoError(f'camera {self.name} sends no images; is it unplugged?')
                    moment, image = newest.pop()
                yield moment - start, image
        finally:
            self._stop.set()
            reader.join(_CAMERA_SILENCE)


class AnnotatedVideo:
    """Writes stamped images into a video at a fixed rate: each stays until the next one's time."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._start = self._last = self._due = self.frames = 0

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, stamp: int, image: np.ndarray) -> None:
        """
        Append the image (H, W, 3) uint8 BGR of ``stamp`` nanoseconds; all get the first one's size.

        :raises VideoError: the file cannot be written.
        """
        if self._writer is None:
            self._size = (image.shape[1], image.shape[0])
            self._start = self._last = stamp
            self._writer = cv2.VideoWriter(
                str(self._path), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, self._size)
            if not self._writer.isOpened():
                raise VideoError(f'cannot write the video {self._path}; does its folder exist, '
                                 'and does its name end in .mp4?')
        if not 0 <= stamp - self._last <= _LONGEST_PAUSE * 1e9:
            self._start, self._due = stamp, self.frames
        self._last = stamp
        due = self._due + round((stamp - self._start) * 1e-9 * self._fps) + 1
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size)
        for _ in range(due - self.frames):
            self._writer.write(image)
        self.frames = max(self.frames, due)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
