"""
Read MCAP files that were never finished: a recorder killed, a battery gone, a disk full.

Such a file lacks its index and perhaps part of its last chunk, and ordinary readers refuse it. It
is read from the start, record by record, as far as it goes. https://mcap.dev/spec
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

_MAGIC = b'\x89MCAP0\r\n'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6
_RECORD = struct.Struct('<BQ')
# No recorder writes larger records; a broken length claims them.
_LARGEST = 1 << 30


class Definition(NamedTuple):
    """Format and text of a message definition, as in `rosbags.interfaces`."""

    format: object
    data: str


class Channel(NamedTuple):
    """What a file holds of a topic; the fields are those of a rosbags connection."""

    topic: str
    msgtype: str
    msgdef: Definition
    msgcount: int


class UnfinishedMcap:
    """
    An unfinished file with the part of the interface of `rosbags.rosbag2.Reader` that is needed.

    :raises ValueError: the file is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        counts: Counter[int] = Counter()
        self._channels: dict[int, Channel] = {}
        times: list[int] = []
        for number, time, _ in self._messages():
            counts[number] += 1
            times = [min(times[0], time), max(times[1], time)] if times else [time, time]
        self._channels = {number: channel._replace(msgcount=counts[number])
                          for number, channel in self._channels.items()}
        self.connections = list(self._channels.values())
        self.message_count = counts.total()
        self.start_time, self.end_time = (times[0], times[1] + 1) if times else (0, 0)

    def messages(self, connections: Sequence[Channel]) -> Iterator[tuple[Channel, int, bytes]]:
        """Yield channel, time of recording and bytes of every whole message."""
        for number, time, data in self._messages():
            if self._channels[number] in connections:
                yield self._channels[number], time, data

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        schemas: dict[int, tuple[str, Definition]] = {}
        with open(self._path, 'rb') as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError('it does not begin as an MCAP file does')
            for kind, data in _records(file):
                if kind == _SCHEMA:
                    number, schema = _read_schema(data)
                    schemas[number] = schema
                elif kind == _CHANNEL:
                    number, schema_id = struct.unpack_from('<HH', data)
                    if number not in self._channels and schema_id in schemas:
                        topic, _ = _text(data, 4)
                        self._channels[number] = Channel(topic, *schemas[schema_id], 0)
                elif kind == _MESSAGE:
                    number, _, time = struct.unpack_from('<HIQ', data)
                    if number in self._channels:
                        yield number, time, data[22:]


def _records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of every whole record, those within chunks too."""
    while len(head := file.read(_RECORD.size)) == _RECORD.size:
        kind, size = _RECORD.unpack(head)
        if size > _LARGEST:
            return
        data = file.read(size)
        if kind == _CHUNK:
            yield from _chunk_records(data, is_whole=len(data) == size)
        elif len(data) == size:
            yield kind, data


def _chunk_records(chunk: bytes, is_whole: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the whole records of a chunk; of one cut off only where it is not compressed."""
    from rosbags.rosbag2.storage_mcap import decompress

    if len(chunk) < 40:
        return
    size, checksum = struct.unpack_from('<QI', chunk, 16)
    compression, at = _text(chunk, 28)
    records = chunk[at + 8:]
    if is_whole:
        records = bytes(decompress(records, compression, size, checksum))
    elif compression:
        return
    at = 0
    while at + _RECORD.size <= len(records):
        kind, size = _RECORD.unpack_from(records, at)
        at += _RECORD.size + size
        if at <= len(records):
            yield kind, records[at - size:at]


def _read_schema(data: bytes) -> tuple[int, tuple[str, Definition]]:
    from rosbags.interfaces import MessageDefinitionFormat

    name, at = _text(data, 2)
    encoding, at = _text(data, at)
    text, _ = _text(data, at)
    kind = MessageDefinitionFormat.MSG if encoding == 'ros2msg' else MessageDefinitionFormat.NONE
    return struct.unpack_from('<H', data)[0], (name, Definition(kind, text))


def _text(data: bytes, at: int) -> tuple[str, int]:
    """Return the text at a place, and the place of what follows."""
    (size,) = struct.unpack_from('<I', data, at)
    return data[at + 4:at + 4 + size].decode(), at + 4 + size
