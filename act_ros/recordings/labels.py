"""
Who does what when in a recording: the CSV file that evaluation and training read.

    start,end,label,person,actor
    2.0,6.5,wave1,p1,anna
    2026-05-04T10:31:07+02:00,2026-05-04T10:31:11+02:00,walk,,

``start`` and ``end`` are seconds since the bag's first message, or ISO 8601 times (local time
where no zone is given), by the time of recording. ``label`` is one of the model's, another one,
or ``unknown``: anything that none of the labels says. ``person`` is the track's id, needed only
where several people are in view. ``actor`` is who it is: training keeps people apart by it, and
the evaluation finds by it who goes by another id than before. Nobody is labelled twice at a time.

Semicolons and tabs may stand for the commas, as spreadsheets write them; decimals have a point.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import PrintableError, printable

UNKNOWN_LABEL = 'unknown'
NONE = 'none'
"""What an evaluation calls no answer; so no label of a model."""
_REQUIRED, _OPTIONAL = ('start', 'end', 'label'), ('person', 'actor')
_DELIMITERS = ',;\t'
# Labels outside of the bag that are told one by one; the rest are counted.
_MOST_TOLD = 5


class LabelError(PrintableError):
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
    labels: list[Label] = []
    outside = 0
    for line, cells in _read_rows(path):
        where = f'{path} line {line}'
        if not cells['label']:
            raise LabelError(f'{where}: the label is empty')
        span = f'{cells["start"]} to {cells["end"]}'
        start, end = (_time(cells[key], bag_start, where) for key in ('start', 'end'))
        if end <= start:
            raise LabelError(f'{where}: end must be after start')
        label = Label(line, start, end, cells['label'], cells.get('person', ''),
                      cells.get('actor', ''))
        if end > bag_start and start < bag_end:
            labels.append(label)
            if warnings is None or min(start - bag_start, bag_end - end) >= -NANOSECONDS:
                continue
            problem = f'{where}: {span} is only partly within the bag'
        else:
            problem = (f'{where}: {span} lies outside of the bag, which lasts '
                       f'{(bag_end - bag_start) / NANOSECONDS:.1f} s')
            if warnings is None:
                raise LabelError(problem)
            problem += '; left out'
        outside += 1
        if outside <= _MOST_TOLD:
            warnings.append(printable(problem, 1000))
    if warnings is not None and outside > _MOST_TOLD:
        warnings.append(printable(
            f'{path}: the same holds for {outside - _MOST_TOLD} more lines', 1000))
    if not labels:
        raise LabelError(f'{path} labels nothing' + (' in this bag' if outside else ''))
    labels.sort(key=lambda label: label.start)
    _refuse_overlaps(path, labels)
    return labels


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of every row."""
    if path.exists() and not path.is_file():
        raise LabelError(f'cannot read the labels {path}: it is no file')
    reader = None
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            first = file.readline()
            # Of the delimiters that which a spreadsheet's first line has most of.
            delimiter = max(_DELIMITERS, key=first.count)
            columns = _columns(path, next(csv.reader([first], delimiter=delimiter), []))
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    if any(cells[len(columns):]):
                        raise LabelError(
                            f'{path} line {reader.line_num + 1}: {len(cells)} cells, but the first '
                            f'line names {len(columns)} columns; a cell that holds a comma is '
                            'quoted, and decimals have a point')
                    cells += [''] * (len(columns) - len(cells))
                    yield reader.line_num + 1, dict(zip(columns, cells, strict=False))
    except UnicodeDecodeError as error:
        raise LabelError(f'cannot read the labels {path}: it is not UTF-8 ({error}); save it as '
                         'UTF-8 text') from error
    except csv.Error as error:
        line = reader.line_num + 1 if reader else 1
        raise LabelError(f'{path} line {line}: {error}') from error
    except OSError as error:
        raise LabelError(f'cannot read the labels {path}: {error}') from error


def _columns(path: Path, names: list[str]) -> list[str]:
    """Return the columns that the first line names, in lower case."""
    columns = [name.strip().lower() for name in names]
    while columns and not columns[-1]:
        columns.pop()
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise LabelError(f'{path}: the first line lacks {", ".join(missing)}; it must name the '
                         f'columns {", ".join(_REQUIRED)} and perhaps {", ".join(_OPTIONAL)}')
    if extra := [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL)]:
        raise LabelError(f'{path} has columns that mean nothing here: {", ".join(extra)}')
    if doubled := {name for name in columns if columns.count(name) > 1}:
        raise LabelError(f'{path}: the first line names {", ".join(sorted(doubled))} twice')
    return columns


def _refuse_overlaps(path: Path, labels: list[Label]) -> None:
    """Raise LabelError where a person is labelled twice at a time; ``labels`` are sorted."""
    latest: dict[str | None, Label] = {}  # of those so far that ends last; None: of all
    for label in labels:
        own = [f'id {label.person}', *([f'actor {label.actor}'] if label.actor else [])]
        # A label without a person is about everybody.
        for name in (*own, 'id ') if label.person else (None,):
            rival = latest.get(name)
            if rival is not None and label.start < rival.end:
                raise LabelError(f'{path}: lines {rival.line} and {label.line} label the same '
                                 f'person at the same time')
        for name in (*own, None):
            if name not in latest or label.end > latest[name].end:
                latest[name] = label


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
                         f'time{"; decimals have a point" if "," in text else ""}') from None
    return round(moment * 1e6) * 1000
