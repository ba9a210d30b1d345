"""
Who does what when in a recording: the CSV file that evaluation and training read.

    start,end,label,person,actor
    2.0,6.5,wave1,p1,anna
    2026-05-04T10:31:07+02:00,2026-05-04T10:31:11+02:00,walk,,

``start`` and ``end`` are seconds since the bag's first message, or ISO 8601 times (local time
where no zone is given), by the time of recording. ``label`` is one of the model's, another one,
or ``unknown``: anything that none of the labels says. ``person`` is the track's id, needed only
where several people are in view. ``actor`` is who it is: training keeps people apart by it, and
the evaluation finds by it who goes by another id than before.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from act_ros.core.stamps import NANOSECONDS

UNKNOWN = 'unknown'
_REQUIRED, _OPTIONAL = ('start', 'end', 'label'), ('person', 'actor')


class LabelError(ValueError):
    """A labels file that cannot be used; the message says where and why."""


@dataclass(eq=False)
class Label:
    """Somebody does something from ``start`` until ``end`` (nanoseconds, time of recording)."""

    line: int
    start: int
    end: int
    label: str
    person: str
    actor: str


def read_labels(
    path: Path, bag_start: int, bag_end: int, warnings: list[str] | None = None,
) -> list[Label]:
    """
    Read a labels file, in the order of ``start``.

    :param bag_start, bag_end: nanoseconds; labels must lie between them.
    :param warnings: where to note labels that lie outside of the bag, which are then left out;
        without it they are an error.
    :raises LabelError: naming the file and the line.
    """
    labels = []
    for line, cells in _read_rows(path):
        where = f'{path} line {line}'
        if not cells['label']:
            raise LabelError(f'{where}: the label is empty')
        start, end = (_time(cells[key], bag_start, where) for key in ('start', 'end'))
        if end <= start:
            raise LabelError(f'{where}: end must be after start')
        label = Label(line, start, end, cells['label'], cells.get('person', ''),
                      cells.get('actor', ''))
        if end > bag_start and start < bag_end:
            labels.append(label)
            if warnings is not None and (
                    min(start - bag_start, bag_end - end) < -NANOSECONDS):
                warnings.append(f'{where}: {_span(cells)} is only partly within the bag')
            continue
        problem = (f'{where}: {_span(cells)} lies outside of the bag, which lasts '
                   f'{(bag_end - bag_start) / NANOSECONDS:.1f} s')
        if warnings is None:
            raise LabelError(problem)
        warnings.append(problem + '; left out')
    if not labels:
        raise LabelError(f'{path} labels nothing' + (' in this bag' if warnings else ''))
    labels.sort(key=lambda label: label.start)
    _refuse_overlaps(path, labels)
    return labels


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return line number and cells of every row."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f'cannot read the labels {path}: {error}') from error
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise LabelError(f'{path}: the first line lacks {", ".join(missing)}; it must name the '
                         f'columns {", ".join(_REQUIRED)} and perhaps {", ".join(_OPTIONAL)}')
    if extra := [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL)]:
        raise LabelError(f'{path} has columns that mean nothing here: {", ".join(extra)}')
    return [(line, {name: (row[name] or '').strip() for name in columns}) for line, row in rows]


def _span(cells: dict[str, str]) -> str:
    return f'{cells["start"]} to {cells["end"]}'


def _refuse_overlaps(path: Path, labels: list[Label]) -> None:
    """Raise LabelError where a person is labelled twice at a time; ``labels`` are sorted."""
    for i, first in enumerate(labels):
        for second in labels[i + 1:]:
            if second.start >= first.end:
                break
            if first.person == second.person or not first.person or not second.person:
                raise LabelError(f'{path}: lines {first.line} and {second.line} label the same '
                                 f'person at the same time')


def _time(text: str, bag_start: int, where: str) -> int:
    """Return nanoseconds of a cell: seconds since the bag's start, or ISO 8601."""
    try:
        return bag_start + round(float(text) * NANOSECONDS)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()
    except (ValueError, OverflowError):  # also a year that a clock cannot show
        raise LabelError(f'{where}: {text!r} is neither a number of seconds nor an ISO 8601 '
                         f'time') from None
    return round(moment * 1e6) * 1000
