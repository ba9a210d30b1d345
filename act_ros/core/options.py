"""
Options: settings as dataclass fields that carry their own range and explanation.

A ROS parameter, its descriptor, ``config/act.yaml`` and ``doc/parameters.md`` all come from here.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_ALIKE = 0.85  # how alike two names are of which one may be a slip of the other


def option(
    default: Any, doc: str, *, low: float | None = None, high: float | None = None,
    choices: tuple[str | int, ...] = (), fixed: bool = False, least: float | None = None,
) -> Any:
    """
    Declare an option of an `Options` class: default, one-line explanation, closed range.

    One that is ``fixed`` cannot be changed while a node is at work. One with a ``least`` is at
    least that, or 0.
    """
    return dataclasses.field(default=default, metadata={
        'doc': doc, 'low': low, 'high': high, 'choices': choices, 'fixed': fixed,
        'least': least})


@dataclass(frozen=True)
class Options:
    """Base of the option classes; a value out of its range is a ValueError that names it."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, meta = getattr(self, item.name), item.metadata
            low, high, choices = meta.get('low'), meta.get('high'), meta.get('choices')
            if low is not None and not value >= low or high is not None and not value <= high:
                raise ValueError(f'{item.name} is {value}, but must lie in [{low}, {high}]')
            least = meta.get('least')
            if least is not None and 0 < value < least:
                raise ValueError(f'{item.name} is {value}, but must be 0 or at least {least}')
            for part in value if isinstance(value, tuple) else (value,):
                if choices and part not in choices:
                    raise ValueError(f'{item.name} is {part!r}, but must be one of: '
                                     f'{", ".join(map(str, choices))}')


def slips(given: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """
    Yield what to say of given names that no option has, but that look as if they should.

    Others pass: a parameter file may be written for more than one kind of node.

    :param known: full names of all options, such as ``window.max_gap``.
    """
    groups = {name.rpartition('.')[0] for name in known} - {''}
    for name in given:
        near = nearest(name, known)
        if name not in known and (near or name.rpartition('.')[0] in groups):
            yield (f'no parameter {name}, which does not count'
                   + (f'; did you mean {near}?' if near else ''))


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that a given one may be a slip of; empty where none is like it."""
    return next(iter(difflib.get_close_matches(name, known, 1, _ALIKE)), '')
