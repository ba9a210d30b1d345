"""A text that changes in place, in a terminal; one after another in a log."""

from __future__ import annotations

import shutil
import sys
from typing import TextIO


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
