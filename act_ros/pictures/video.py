"""Stamped images into a video file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

# A pause in the stamps longer than this is cut out of a written video.
_LONGEST_PAUSE = 10.0


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

        :raises OSError: the file cannot be written.
        """
        if self._writer is None:
            self._size = (image.shape[1], image.shape[0])
            self._start = self._last = stamp
            self._writer = cv2.VideoWriter(
                str(self._path), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, self._size)
            if not self._writer.isOpened():
                raise OSError(f'cannot write the video {self._path}; does its folder exist, '
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
