"""How far a long command is: a bar for who watches, a few lines for who reads a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar('T')

LINES = 20
"""In a log file no more than about so many, however long the work takes."""


def progress(
    items: Iterable[T] = (), title: str | None = '', total: int | None = None, unit: str = 'it',
    initial: int = 0,
) -> tqdm[T]:
    """
    Return a progress bar on standard error, over ``items`` or to be updated by hand.

    :param title: text before the bar; None shows no bar.
    :param total: how many there are; needed where ``items`` have no length.
    :param initial: how many of them are done.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if sys.stderr.isatty():
        return tqdm(items, title, total, unit=unit, initial=initial, leave=False,
                    disable=title is None)
    tqdm.monitor_interval = 0  # tqdm's own watch would repeat what is old
    return tqdm(items, title, total, unit=unit, initial=initial, disable=title is None,
                mininterval=30, miniters=-(-(total or 1) // LINES))
