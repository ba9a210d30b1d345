"""Numbers of a command line: values without a meaning are refused before the work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable


def count_from(least: int) -> Callable[[str], int]:
    """Return a function that reads a whole number, ``least`` or more."""
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise ArgumentTypeError(f'must be {least} or more, not {value}')
        return value

    return number


def positive(text: str) -> float:
    """Read a number above 0; ``inf`` is one."""
    value = float(text)
    if not value > 0:
        raise ArgumentTypeError(f'must be more than 0, not {text}')
    return value


def share(text: str) -> float:
    """Read a share, from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f'is a share from 0 to 1, not {text}')
    return value
