"""What all benchmarks share: statistics, a table on the screen, and ``--json FILE``."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.core.arguments import one_line_errors
from act_ros.core.files import replacing

Row = dict[str, Any]

one_line = one_line_errors(
    argparse.ArgumentParser(usage=argparse.SUPPRESS), OSError, RuntimeError, ValueError)
"""Lets a command (it is a decorator) end with one line where it is given what it cannot use."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--json``."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument('--json', type=Path, help='also write the rows to this file')
    return made


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    p50, p99 = np.percentile(np.asarray(seconds) * 1e3, (50, 99))
    return float(p50), float(p99)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a Markdown table."""
    print(f'\n{title}\n')
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_text(row.get(name, '')) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for number, line in enumerate(cells):
        print('| ' + ' | '.join(c.rjust(w) for c, w in zip(line, widths, strict=True)) + ' |')
        if number == 0:
            print('|' + '|'.join('-' * (w + 1) + ':' for w in widths) + '|')


def save(path: Path | None, **tables: Sequence[Row]) -> None:
    """Write tables, and the machine they were measured on, as JSON."""
    if path:
        machine = {'processor': platform.processor() or platform.machine(),
                   'cores': os.cpu_count(), 'python': platform.python_version()}
        with replacing(path) as file:
            file.write_text(json.dumps({'machine': machine, **tables}, indent=2) + '\n')


def _text(value: Any) -> str:
    return f'{value:.3g}' if isinstance(value, float) else str(value)
