"""
The files of a ROS 2 bag, and what is in them as bytes: whole, packed, never finished or damaged.

Whole files are read with the ``rosbags`` package, others as far as `recovery` can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from act_ros.core.text import PrintableError
from act_ros.recordings.recovery import UnfinishedMcap, UnfinishedSqlite, check_sqlite
from act_ros.recordings.unpacking import UnpackError, limit_unpacking, unpack_file

_STORAGES = ('.mcap', '.db3')
_PACKED = '.zstd'


class BagError(PrintableError):
    """A bag that cannot be used; the message says which, why, what to do."""


class Storage:
    """
    The files of a bag; a context manager.

    ``connections`` tells what each file holds of a topic, with the fields of a rosbags connection;
    ``start`` and ``end`` are the times of recording of the first message and after the last, in
    nanoseconds.

    :param path: the bag's folder, or a single ``.mcap`` or ``.db3`` file.
    :raises BagError: no such bag, or one that is damaged or empty.
    :raises ModuleNotFoundError: the ``rosbags`` package is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._damage: Exception | None = None  # what keeps some of the files from being opened
        self._files = _find_files(path)
        self._stack = ExitStack()

    def __enter__(self) -> Storage:
        try:
            from rosbags.rosbag2 import Reader
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'reading bags needs the rosbags package: pip install rosbags') from error
        try:
            limit_unpacking()
            self._unpack_files()
            self._readers = self._open(Reader)
            filled = [reader for reader in self._readers if reader.message_count]
            if not filled:
                raise self.damaged(self._damage or BagError(f'{self.path} holds no messages'))
        except BaseException:
            self._stack.close()
            raise
        self.connections = [c for reader in self._readers for c in reader.connections]
        self.start: int = min(reader.start_time for reader in filled)
        self.end: int = max(reader.end_time for reader in filled)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def messages(self, connections: Sequence[Any]) -> Iterator[tuple[Any, int, bytes]]:
        """
        Yield connection, time of recording and bytes of the messages of some connections.

        Each file's are in the order of recording, and so are the files. What kept some of them from
        being read is raised after the last.
        """
        damage = self._damage
        for reader in self._readers:
            if wanted := [c for c in reader.connections if c in connections]:
                try:
                    yield from self._messages_of(reader, wanted)
                except Exception as error:  # rosbags, sqlite and the files each have their own
                    damage = damage or error
        if damage:
            raise damage

    def files_as_recorded(self) -> list[Path]:
        """Return the files with messages, packed ones too."""
        return [self.path] if self.path.is_file() else sorted(
            path for path in self.path.iterdir() if set(path.suffixes) & set(_STORAGES))

    def damaged(self, error: Exception, where: str = '') -> BagError:
        """Return what to raise for an error ``where`` (such as after so many messages) in it."""
        if isinstance(error, BagError):
            return error
        if isinstance(error, AttributeError):
            return BagError(f'{self.path} holds messages without the field {error.name!r}: they '
                            'are of another version than this one can read')
        if isinstance(error, UnpackError):
            return BagError(f'{self.path}{where}: {error}')
        return BagError(f'{self.path} is damaged or cut off{where} ({error}); copy it again, or '
                        f'repair it with `ros2 bag reindex`')

    def _unpack_files(self) -> None:
        """Unpack files that were packed as a whole into a folder of their own."""
        packed = _packed_files(self.path)
        if not packed:
            return
        self._check_metadata()
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        self._files = _storage_files(self.path)  # the last one, where the recorder was killed
        for file in packed:
            if file.with_suffix('').exists():  # somebody unpacked it
                continue
            target = folder / file.stem
            try:
                unpack_file(file, target)
            except UnpackError as error:
                self._damage = error
                continue
            except Exception as error:  # whatever unpacks has its own
                self._damage = error
            self._files.append(target)  # of one that is damaged, what comes before

    def _check_metadata(self) -> None:
        """Note which files that the metadata name are lacking: of packed ones nobody else asks."""
        metadata = self.path / 'metadata.yaml'
        if not metadata.is_file():
            return
        there = {file.name.removesuffix(_PACKED) for file in self.files_as_recorded()}
        try:
            names = yaml.safe_load(metadata.read_text(encoding='utf-8'))[
                'rosbag2_bagfile_information']['relative_file_paths']
            if lacking := [name for name in names
                           if Path(name).name.removesuffix(_PACKED) not in there]:
                raise ValueError(f'there is no {", ".join(lacking)}')
        except Exception as error:  # of a half written file, too
            self._damage = error

    def _open(self, kind: type[Any]) -> list[Any]:
        """Return the open readers, in the order of recording."""
        try:
            readers = [self._reader(kind, file) for file in self._files]
            for storage in (reader.storage for reader in readers):
                # So messages come as they are, and are unpacked one by one.
                storage.metadata = storage.metadata._replace(compression_mode=None)
            for connection in (c for reader in readers for c in reader.connections):
                if not isinstance(connection.msgcount, int):  # rosbags takes it as it is written
                    raise ValueError(f'{connection.msgcount!r} is no number of messages')
        except Exception as error:  # as in `messages`
            self._damage = self._damage or error
            readers = self._recover(kind, self._damage)
        return sorted(readers, key=lambda reader: reader.start_time)  # by name, 10 is before 2

    def _reader(self, kind: type[Any], path: Path) -> Any:
        """Return a reader of the bag's folder, or of one of its files."""
        for file in _storage_files(path):
            check_sqlite(file)
        return self._stack.enter_context(kind(path))

    def _recover(self, kind: type[Any], error: Exception) -> list[Any]:
        """Return readers of those files that can be read, or raise BagError."""
        readers = []
        for file in _storage_files(self.path) if self._files == [self.path] else self._files:
            try:
                readers.append(self._reader(kind, file))
            except Exception:  # as in `messages`
                unfinished = UnfinishedMcap if file.suffix == '.mcap' else UnfinishedSqlite
                try:
                    readers.append(unfinished(file))
                except UnpackError as reason:  # which is why, and not that the end is missing
                    error = reason
                except Exception:  # noqa: S110 - one more file that is left out
                    pass
        if not readers:
            raise self.damaged(error) from error
        return readers

    def _messages_of(
        self, reader: Any, connections: Sequence[Any],
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Yield what a reader has; where it ends by a damage within an MCAP file, also the rest."""
        last = -1
        try:
            for connection, time, data in reader.messages(connections):
                yield connection, time, data
                last = time
        except Exception:  # as in `messages`
            known = {(c.topic, c.msgtype): c for c in connections}
            files = [file for file in _storage_files(Path(reader.path)) if file.suffix == '.mcap']
            for rest in map(UnfinishedMcap, files):
                channels = [c for c in rest.connections if (c.topic, c.msgtype) in known]
                for channel, time, data in rest.messages(channels):
                    if time > last:
                        yield known[channel.topic, channel.msgtype], time, data
            raise


def _find_files(path: Path) -> list[Path]:
    """Return what rosbags shall open: the folder, or files of one without its metadata."""
    if not path.exists():
        raise BagError(f'the bag {path} does not exist')
    if path.is_file():
        if path.suffix not in _STORAGES:
            raise BagError(f'{path} is not a ROS 2 bag: give its folder, or a '
                           f'{" or ".join(_STORAGES)} file')
        return [path]
    for entry in sorted(path.iterdir()):
        if set(entry.suffixes) & set(_STORAGES) and not entry.is_file():
            raise BagError(f'{entry} is no file')  # a pipe would be waited for without end
    if (path / 'metadata.yaml').is_file():
        return [path]
    # The recorder writes the metadata when it ends; it may have been killed.
    files = _storage_files(path)
    if not files and not _packed_files(path):
        raise BagError(f'{path} is not a ROS 2 bag: it has neither a metadata.yaml nor '
                       f'{" or ".join(_STORAGES)} files')
    return files


def _storage_files(path: Path) -> list[Path]:
    """Return the files of a bag, a folder or such a file itself, that can be read as they are."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in _STORAGES)


def _packed_files(path: Path) -> list[Path]:
    """Return the files of a bag that were packed as a whole."""
    return [] if path.is_file() else sorted(
        file for file in path.iterdir() if file.suffix == _PACKED
        and Path(file.stem).suffix in _STORAGES)
