"""Keep freed memory in the process, or return it to the system; glibc only, else a no-op."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Options of mallopt(3), and values beyond any that a process of ours asks for.
_OPTIONS = {'M_TRIM_THRESHOLD': (-1, (1 << 31) - 1), 'M_TOP_PAD': (-2, 1 << 26),
            'M_MMAP_THRESHOLD': (-3, 1 << 30)}


def keep_memory() -> None:
    """
    Let freed memory stay with the process.

    An image, or a step of training, frees megabytes that the next one asks for again, and otherwise
    the kernel clears them each time.
    """
    with suppress(AttributeError, OSError):
        for option, value in _OPTIONS.values():
            ctypes.CDLL(None).mallopt(option, value)


def give_memory_back() -> None:
    """Give freed memory back to the system."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
