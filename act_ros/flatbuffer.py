"""
Check that a TensorFlow Lite file does not point beyond its own end.

Older runtimes trust every offset and take the process with them when a file is truncated or
overwritten. A walk over the tables that they follow, by the public TFLite schema, finds that first.
"""

from __future__ import annotations

import struct
from typing import Any

# What a field points to: a vector of elements of so many bytes, or tables with fields of their own.
# Numbers are those of the schema; scalar fields lie inside of their table and need no entry.
_BYTES, _NUMBERS = 1, 4
_TENSOR = {0: _NUMBERS, 3: _BYTES, 4: {2: _NUMBERS, 3: 8}, 7: _NUMBERS}
_OPERATOR: dict[int, Any] = {1: _NUMBERS, 2: _NUMBERS, 4: {}, 5: _BYTES}
_SUBGRAPH = {0: [_TENSOR], 1: _NUMBERS, 2: _NUMBERS, 3: [_OPERATOR], 4: _BYTES}
_MODEL = {1: [{1: _BYTES}], 2: [_SUBGRAPH], 3: _BYTES, 4: [{0: _BYTES}]}


def check_offsets(content: bytes) -> None:
    """
    Follow the tables of a model.

    :raises ValueError: an offset leaves the file.
    """
    try:
        _check_table(content, _target(content, 0), _MODEL)
    except struct.error as error:
        raise ValueError('an offset points beyond the end of the file') from error


def _target(content: bytes, place: int) -> int:
    """Position that the offset at a place points to."""
    return place + int(struct.unpack_from('<I', content, place)[0])


def _check_table(content: bytes, table: int, fields: dict[int, Any]) -> None:
    layout = table - struct.unpack_from('<i', content, table)[0]
    if layout < 0:
        raise ValueError('a table has no layout')
    layout_size, table_size = struct.unpack_from('<HH', content, layout)
    if max(layout + layout_size, table + table_size) > len(content):
        raise ValueError('a table is cut off')
    for number, kind in fields.items():
        entry = 4 + 2 * number
        if entry + 2 > layout_size:
            continue
        offset = struct.unpack_from('<H', content, layout + entry)[0]
        if not offset:
            continue
        if isinstance(kind, dict):
            _check_table(content, _target(content, table + offset), kind)
        else:
            _check_vector(content, _target(content, table + offset), kind)


def _check_vector(content: bytes, vector: int, kind: int | list[dict[int, Any]]) -> None:
    length = struct.unpack_from('<I', content, vector)[0]
    size = kind if isinstance(kind, int) else 4
    if vector + 4 + length * size > len(content):
        raise ValueError('data is cut off')
    if isinstance(kind, list):
        for place in range(vector + 4, vector + 4 + 4 * length, 4):
            _check_table(content, _target(content, place), kind[0])
