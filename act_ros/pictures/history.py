"""A strip below a picture: what people did in the last seconds, and what is wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.person import OUT_OF_SIGHT
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.pictures.captions import caption, is_light, label_colour
from act_ros.pictures.drawing import BLACK, FONT, WHITE, bgr
from act_ros.pictures.stretches import Stretch, extend

_ROWS = 5  # people, those seen last; a strip that grew with them would change the image's size
_MOST_PEOPLE = 100  # that are remembered, should they be seen again
_MOST_WRONG = 50  # statuses that are kept of a robot that is wholly unwell
_FRESH = 5 * NANOSECONDS  # what no node has said for so long is wrong no more, or the node is gone
_GROUND, _UNKNOWN = '#1e1e1e', '#6e6e6e'


@dataclass(slots=True)
class _Row:
    """What somebody did, the oldest first, and the newest caption."""

    stretches: deque[Stretch] = field(default_factory=deque)
    caption: str = ''


class History:
    """
    Everybody's actions of the last seconds.

    Kept as stretches of time: to draw them takes no longer the more frames they had.
    """

    def __init__(self) -> None:
        self._now = 0
        self._rows: dict[str, _Row] = {}  # those seen last come last
        self._wrong: dict[str, tuple[int, str]] = {}

    def add(self, stamp: int, actions: Sequence[Action], seconds: float) -> None:
        """Take the actions of a frame; forget what is older than some seconds."""
        if stamp < self._now:
            self._rows.clear()
            self._wrong.clear()
        self._now = stamp
        for action in actions:
            row = self._rows.get(action.person_id, _Row())
            row.caption = caption(action)  # of who is lost too: it stands where now is
            if action.status is not Status.LOST:
                self._rows.pop(action.person_id, None)
                self._rows[action.person_id] = row
                extend(row.stretches, stamp, action)
        for row in self._rows.values():
            while row.stretches and row.stretches[0].end < stamp - seconds * NANOSECONDS:
                row.stretches.popleft()
        known = [(name, row) for name, row in self._rows.items() if row.stretches]
        self._rows = dict(known[-_MOST_PEOPLE:])

    def note(self, name: str, wrong: str) -> None:
        """Take what is wrong by a diagnostic status; nothing: it is well."""
        name, wrong = printable(name, 80), printable(wrong, 120)
        self._wrong = {other: told for other, told in self._wrong.items()
                       if other != name and told[0] > self._now - _FRESH}
        if wrong and len(self._wrong) < _MOST_WRONG:
            self._wrong[name] = self._now, wrong

    def strip(self, width: int, seconds: float) -> np.ndarray:
        """Return an image (H, ``width``, 3) uint8 BGR; H depends on the width alone."""
        scale = float(np.clip(width / 1300, 0.35, 2.0))
        (_, letter), base = cv2.getTextSize('p', FONT, scale, 1)
        line = letter + base + 4
        image = np.full(((_ROWS + 1) * line, width, 3), bgr(_GROUND), np.uint8)
        # A caption may lie on more than one colour: each has an ink of its own.
        ink, letters = np.full_like(image, WHITE), np.zeros(image.shape[:2], np.uint8)
        begin = self._now - seconds * NANOSECONDS

        def place(stamp: float) -> int:
            return round((stamp - begin) / (seconds * NANOSECONDS) * (width - 1))

        def write(text: str, row: int) -> None:
            x = width - cv2.getTextSize(text, FONT, scale, 1)[0][0] - 4  # at the newest
            cv2.putText(letters, text, (max(x, 4), (row + 1) * line - base - 1), FONT, scale,
                        WHITE, 1, cv2.LINE_AA)

        for number, row in enumerate(list(self._rows.values())[-_ROWS:]):
            ends = [*(stretch.begin for stretch in row.stretches), self._now][1:]
            for stretch, following in zip(row.stretches, ends, strict=True):
                start = place(max(stretch.begin, begin))
                end = place(min(following, stretch.end + OUT_OF_SIGHT * NANOSECONDS))
                colour = (label_colour(stretch.label) if stretch.status is Status.RECOGNIZED
                          else _UNKNOWN)
                for part, paint in (
                        (image, bgr(colour)), (ink, BLACK if is_light(colour) else WHITE)):
                    cv2.rectangle(part, (start, number * line + 1),
                                  (end, (number + 1) * line - 2), paint, -1)
            write(row.caption, number)
        wrong = '; '.join(f'{name}: {what}' for name, (stamp, what) in sorted(self._wrong.items())
                          if stamp > self._now - _FRESH)
        write(wrong or f'{seconds:g} s', _ROWS)
        at = letters > 0
        share = letters[at][:, None] / 255
        image[at] = np.rint(image[at] * (1 - share) + ink[at] * share)
        return image
