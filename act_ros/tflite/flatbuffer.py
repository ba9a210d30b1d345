"""
Check that a TensorFlow Lite file does not point beyond its own end.

Older runtimes trust every offset and take the process with them when a file is truncated or
overwritten. A walk over the tables that they follow, by the public TFLite schema, finds that first.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class _Table(NamedTuple):
    """
    What the fields of a table point to: a vector of elements of so many bytes, a table, or a
    vector of tables. Numbers are those of the schema; scalar fields lie inside of their table and
    need no entry. ``needed`` fields are read unasked: a file that lacks one crashes the runtime.
    """

    fields: dict[int, Any]
    needed: tuple[int, ...] = ()


_BYTES, _NUMBERS = 1, 4
_TENSOR = _Table({0: _NUMBERS, 3: _BYTES, 4: _Table({2: _NUMBERS, 3: 8}), 7: _NUMBERS})
_OPERATOR = _Table({1: _NUMBERS, 2: _NUMBERS, 4: _Table({}), 5: _BYTES})
_SUBGRAPH = _Table(
    {0: [_TENSOR], 1: _NUMBERS, 2: _NUMBERS, 3: [_OPERATOR], 4: _BYTES}, needed=(0, 1, 2, 3))
_MODEL = _Table(
    {1: [_Table({1: _BYTES})], 2: [_SUBGRAPH], 3: _BYTES, 4: [_Table({0: _BYTES})]},
    needed=(1, 2, 4))


def check_offsets(content: bytes) -> None:
    """
    Refuse a model with an offset that leads beyond its end.

    :raises ValueError: there is such an offset, or something is missing.
    """
    try:
        _check_table(content, _target(content, 0), _MODEL)
    except struct.error as error:
        raise ValueError('an offset points beyond the end of the file') from error


def _target(content: bytes, place: int) -> int:
    """Position that the offset at a place points to."""
    return place + int(struct.unpack_from('<I', content, place)[0])


def _check_table(content: bytes, table: int, kind: _Table) -> None:
    vtable = table - struct.unpack_from('<i', content, table)[0]
    if vtable < 0:
        raise ValueError('a table has no vtable')
    vtable_size, table_size = struct.unpack_from('<HH', content, vtable)
    if max(vtable + vtable_size, table + table_size) > len(content):
        raise ValueError('a table is cut off')
    for number, points_to in kind.fields.items():
        entry, offset = 4 + 2 * number, 0
        if entry + 2 <= vtable_size:
            offset = struct.unpack_from('<H', content, vtable + entry)[0]
        if not offset:
            if number in kind.needed:
                raise ValueError('a part of the network is missing')
        elif isinstance(points_to, _Table):
            _check_table(content, _target(content, table + offset), points_to)
        else:
            _check_vector(content, _target(content, table + offset), points_to)


def _check_vector(content: bytes, vector: int, kind: int | list[_Table]) -> None:
    length = struct.unpack_from('<I', content, vector)[0]
    size = kind if isinstance(kind, int) else 4
    if vector + 4 + length * size > len(content):
        raise ValueError('data is cut off')
    if isinstance(kind, list):
        for place in range(vector + 4, vector + 4 + 4 * length, 4):
            _check_table(content, _target(content, place), kind[0])
