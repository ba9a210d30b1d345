"""A video file or a camera as a source of stamped images, in real time or as fast as wanted."""

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
