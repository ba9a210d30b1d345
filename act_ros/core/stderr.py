"""What native libraries write to stderr, kept off the terminal."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_LOCK = threading.Lock()
_SCRATCH_BYTES = 1 << 20


class _Scratch:
    """A file in memory for what is written to stderr; ``read`` bytes of it were read."""

    def __init__(self) -> None:
        self.file, self.read = os.memfd_create('stderr'), 0

    def lines(self) -> list[bytes]:
        """Return what has come since: a write that was on its way comes the next time."""
        end = os.lseek(self.file, 0, os.SEEK_CUR)
        text = os.pread(self.file, end - self.read, self.read)
        self.read = end
        if end > _SCRATCH_BYTES:
            os.lseek(self.file, 0, os.SEEK_SET)
            os.ftruncate(self.file, 0)
            self.read = 0
        return text.splitlines(keepends=True)


_scratch = cache(_Scratch)


@contextmanager
def collecting(pattern: re.Pattern[str]) -> Iterator[list[str]]:
    """
    Collect lines that the pattern matches, three at most; others are passed on afterwards.

    They are lines of the whole process's stderr, which one thread at a time collects.
    """
    words: list[str] = []
    with _LOCK:
        try:
            stderr, scratch = os.dup(2), _scratch()
        except (OSError, AttributeError):  # closed, or not on Linux
            yield words
            return
        try:
            os.dup2(scratch.file, 2)
            yield words
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            for line in scratch.lines():
                if pattern.match(line.decode(errors='replace')):
                    words.append(line.decode(errors='replace').strip()[:200])
                else:
                    os.write(2, line)
            del words[3:]
