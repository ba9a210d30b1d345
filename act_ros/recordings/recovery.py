"""
Read files of bags that were never finished, or cut off: a recorder killed, a disk full.

Such an MCAP file lacks its index and perhaps part of its last chunk, or has zeros there; such an
SQLite file lacks pages. Ordinary readers refuse both. They are read from the start as far as they
go.
https://mcap.dev/spec, https://sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from act_ros.recordings.unpacking import UnpackError

_MAGIC = b'\x89MCAP0\r\n'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6
_RECORD = struct.Struct('<BQ')
# No recorder writes larger records; a broken length claims them.
_LARGEST = 1 << 30
_WHOLE_PAGES = 'act_ros: whole pages'  # by which SQLite knows it in the whole process


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


def check_sqlite(path: Path) -> None:
    """
    Refuse an SQLite file that ordinary readers would take for what it is not.

    One that ends within a page, since SQLite takes what lacks of it for zeros; and one whose
    messages are no table, since a query may make them up without end.

    :raises ValueError: it is such a file; other files are not looked into.
    """
    with open(path, 'rb') as file:
        head = file.read(18)
    size = _page_size(head)
    if not head.startswith(b'SQLite format 3\0'):
        return
    if size and path.stat().st_size % size:
        raise ValueError(f'{path.name} ends within a page')
    with _open(path) as database:
        _check_tables(database)


def _page_size(head: bytes) -> int:
    """Return how many bytes a page of an SQLite file has that begins so, or 0."""
    size = int.from_bytes(head[16:18], 'big')
    return 1 << 16 if size == 1 else size  # https://sqlite.org/fileformat2.html, 1.3.2


class _Unfinished(ABC):
    """An unfinished file with what is needed of the interface of `rosbags.rosbag2.Reader`."""

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

    @abstractmethod
    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield number of the channel, time and bytes of every message; note the channels."""


class UnfinishedMcap(_Unfinished):
    """
    An MCAP file without the chunks, or the rest of one, that are damaged.

    :raises ValueError: it is none.
    :raises UnpackError: a chunk claims more bytes than it may.
    """

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        with open(self._path, 'rb') as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError('it does not begin as an MCAP file does')
            try:
                yield from self._messages_of(_records(file))
            except UnpackError:
                raise
            except Exception:  # rosbags and whatever unpacks each have their own
                return

    def _messages_of(
        self, records: Iterator[tuple[int, bytes]],
    ) -> Iterator[tuple[int, int, bytes]]:
        schemas: dict[int, tuple[str, Definition]] = {}
        for kind, data in records:
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


class UnfinishedSqlite(_Unfinished):
    """
    An SQLite file, in the order of recording up to the first page that is lacking.

    :raises ValueError: it is none, or lacks its list of topics.
    """

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        import apsw

        _register_whole_pages()
        try:
            with _open(self._path, vfs=_WHOLE_PAGES) as database:
                # So SQLite opens a file that lacks pages, and only to read one of those fails.
                database.execute('PRAGMA writable_schema = ON')
                _check_tables(database)
                if not self._channels:
                    self._channels = _channels_of(database)
                yield from database.execute(
                    'SELECT topic_id, timestamp, data FROM messages ORDER BY id')
        except apsw.Error as error:
            if not self._channels:
                raise ValueError(f'it lacks its list of topics ({error})') from error


@cache
def _register_whole_pages() -> Any:
    """Register a file system in which a page that is cut off is not there, instead of padded."""
    import apsw

    class File(apsw.VFSFile):
        def xFileSize(self) -> int:
            size = super().xFileSize()
            return size - size % (_page_size(super().xRead(18, 0)) or 1)

    class FileSystem(apsw.VFS):
        def xOpen(self, name: Any, flags: list[int]) -> File:
            return File('', name, flags)

    return FileSystem(_WHOLE_PAGES, '')  # it is there as long as this is kept


def _open(path: Path, **options: Any) -> closing[Any]:
    """Open an SQLite file that nothing is written to, not even a lock beside it."""
    import apsw

    return closing(apsw.Connection(
        f'{path.absolute().as_uri()}?immutable=1',
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, **options))


def _check_tables(database: Any) -> None:
    """Raise ValueError where messages or topics are a query, of which nobody knows the end."""
    for name, kind in database.execute(
            "SELECT name, type FROM sqlite_master WHERE lower(name) IN ('messages', 'topics')"):
        if kind != 'table':
            raise ValueError(f'{name} is a {kind}, no table')


def _channels_of(database: Any) -> dict[int, Channel]:
    """Return the topics of an SQLite file by number; old ones define no messages."""
    from rosbags.interfaces import MessageDefinitionFormat

    definitions: dict[str, Definition] = {}
    (tables,) = database.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'message_definitions'").fetchone()
    if tables:
        definitions = {
            name: Definition(MessageDefinitionFormat.MSG, text) for name, text in database.execute(
                'SELECT topic_type, encoded_message_definition FROM message_definitions '
                "WHERE encoding = 'ros2msg'")}
    none = Definition(MessageDefinitionFormat.NONE, '')
    return {number: Channel(topic, kind, definitions.get(kind, none), 0)
            for number, topic, kind in database.execute('SELECT id, name, type FROM topics')}


def _records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of every whole record, those within chunks too."""
    while len(head := file.read(_RECORD.size)) == _RECORD.size:
        kind, size = _RECORD.unpack(head)
        if not kind or size > _LARGEST:  # as where room was taken and nothing written
            return
        data = file.read(size)
        if kind == _CHUNK:
            try:
                yield from _chunk_records(data, is_whole=len(data) == size)
            except UnpackError:
                raise
            except Exception:  # noqa: S112 - the next chunk may be whole
                continue
        elif len(data) == size:
            yield kind, data


def _chunk_records(chunk: bytes, is_whole: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the whole records of a chunk; of one cut off only where it is not compressed."""
    from rosbags.rosbag2.storage_mcap import decompress

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
        if not kind:  # as in `_records`
            return
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
