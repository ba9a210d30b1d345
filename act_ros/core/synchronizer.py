"""Image, keypoints and actions of one stamp, which come on topics of their own, put together."""

from __future__ import annotations

from act_ros.core.frame import Frame


class FrameSynchronizer:
    """
    Joins the parts of frames by stamp, in whatever order the topics deliver them.

    Each topic is in order: once a frame is whole, nothing more comes for those before it.

    :param size: most frames that wait for the rest of them.
    """

    def __init__(self, size: int = 16) -> None:
        self.needs_actions = True
        """Whether a frame waits for actions, or is whole without."""
        self._size = size
        self._waiting: dict[int, Frame] = {}
        self._old: set[int] = set()

    def add(self, part: Frame) -> list[Frame]:
        """
        Take what a message says of a frame; return the frames that need not wait any longer.

        Each has an image and keypoints, but may lack actions. The oldest comes first.
        """
        frame = self._waiting.setdefault(part.stamp, part)
        if part.image is not None:
            frame.image, frame.size = part.image, part.size
        if part.layout:
            frame.layout, frame.persons = part.layout, part.persons
        if part.actions is not None:
            frame.actions = part.actions
        if _has_picture(frame) and not (self.needs_actions and frame.actions is None):
            return self._take(list(self._waiting).index(part.stamp) + 1)
        return self._take(len(self._waiting) - self._size)

    def flush(self) -> list[Frame]:
        """Return, as `add` does, the frames that have waited since the last call."""
        count = sum(stamp in self._old for stamp in self._waiting)
        frames, self._old = self._take(count), set(self._waiting)
        return frames

    def _take(self, count: int) -> list[Frame]:
        """Take the oldest frames away and return those that can be shown."""
        frames = [self._waiting.pop(stamp) for stamp in list(self._waiting)[:max(count, 0)]]
        return [frame for frame in frames if _has_picture(frame)]


def _has_picture(frame: Frame) -> bool:
    return frame.image is not None and bool(frame.layout)
