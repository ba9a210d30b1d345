"""What people do, as a table in a terminal that changes in place; one after another in a log."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from itertools import accumulate
from typing import TextIO
from unicodedata import east_asian_width

from act_ros.core.action import Action
from act_ros.core.place import Place, PlaceKind
from act_ros.core.text import printable
from act_ros.pictures.captions import distance_of

# Heading, least width, and whether the text stands to the right. The status comes early: a narrow
# terminal shows it too, or what somebody lost did last would look like what they do.
_COLUMNS = [('person', 8, False), ('action', 13, False), ('status', 11, False),
            ('confidence', 10, True), ('held', 9, True), ('where', 17, True)]
_WIDEST = 40


class Screen:
    """
    Shows a text in place of the one before.

    :param file: where it goes. If that is no terminal, every other text is written out.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._lines, self._last = 0, ''
        self.is_terminal = self._file.isatty()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines that there is room for; the last line is the cursor's."""
        width, height = shutil.get_terminal_size()
        return width, height - 1

    def show(self, text: str) -> None:
        """Put a text, of no more lines than there is room for, in place of the last one."""
        if text == self._last:
            return
        self._write(text)
        self._lines, self._last = text.count('\n') + 1, text

    def say(self, text: str) -> None:
        """Write something above, where it stays."""
        self._write(text)
        self._lines, self._last = 0, ''

    def _write(self, text: str) -> None:
        up = f'\x1b[{self._lines}A' if self._lines else ''
        print(f'{up}\x1b[J{text}' if self.is_terminal else text, file=self._file, flush=True)


def table(actions: Sequence[Action], width: int = 80, height: int = 24) -> str:
    """
    Return people and their actions as at most ``height`` lines of at most ``width`` columns.

    Columns there is no room for are left out from the right, people from below; with room to spare
    those grow that hold more. Where they are is told if it is known of anybody.
    """
    columns = _COLUMNS if any(action.place.kind for action in actions) else _COLUMNS[:-1]
    ends = accumulate(size + 1 for _, size, _ in columns)
    columns = columns[:max(sum(end - 1 <= width for end in ends), 1)]
    rows = [tuple(heading for heading, _, _ in columns)] + [
        (action.person_id, action.label or '-', action.status.name, f'{action.confidence:.0%}',
         f'{action.duration:.1f} s', _where(action.place)) for action in actions]
    sizes, spare = [], width + 1 - sum(size + 1 for _, size, _ in columns)
    for (_, size, _), cells in zip(columns, zip(*rows, strict=True), strict=False):
        longest = max(_width(printable(text, _WIDEST)) for text in cells)
        sizes.append(size + max(min(longest - size, spare), 0))
        spare -= sizes[-1] - size
    lines = [' '.join(_cell(text, size, right) for text, size, (_, _, right) in zip(
        row, sizes, columns, strict=False))[:width].rstrip() for row in rows]
    if len(lines) > height:
        lines[height - 1:] = [f'and {len(lines) - height + 1} more'[:width]]
    return '\n'.join(lines)


def _where(place: Place) -> str:
    """Return a distance, as far as it is known, and to which side of the camera's axis."""
    if place.kind is PlaceKind.NOWHERE:
        return '-'
    degrees = round(math.degrees(place.bearing))
    side = 'right' if degrees > 0 else 'left' if degrees else 'ahead'
    return f'{distance_of(place)} {abs(degrees)}° {side}'.strip()


def _cell(text: str, size: int, right: bool) -> str:
    """Return a cell of so many columns; what is cut off leaves an ellipsis."""
    kept = printable(text, _WIDEST)
    if _width(kept) > size:
        while _width(kept) >= size:
            kept = kept[:-1]
        kept += '…'
    space = ' ' * (size - _width(kept))
    return space + kept if right else kept + space


def _width(text: str) -> int:
    """Return the columns a text takes in a terminal: signs of East Asia take two."""
    return sum(2 if east_asian_width(sign) in 'WF' else 1 for sign in text)
