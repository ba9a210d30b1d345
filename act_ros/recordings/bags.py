"""
Read ROS 2 bags without ROS: keypoints and images, one message after another.

    with Bag('recording') as bag:
        for frame in bag.keypoints():
            print(frame.time, [person.id for person in frame.persons])

Bags of both storages (sqlite3, mcap), whole or compressed, are read with the ``rosbags`` package.
Messages are taken by the definition that the bag carries; a bag without one, by this project's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from act_ros.core.action import Status
from act_ros.core.adapters import (
    DETECTIONS,
    IDS,
    INPUTS,
    KEYPOINTS,
    SKELETON,
    BodyFrames,
    PoseInputOptions,
    frame_of_detections,
)
from act_ros.core.cdr import read_keypoints
from act_ros.core.frame import Frame
from act_ros.core.messages import frame_of_actions, frame_of_keypoints
from act_ros.core.place import is_depth
from act_ros.core.resources import file_checksum, find_resource
from act_ros.core.stamps import NANOSECONDS, receive, to_nanoseconds
from act_ros.core.text import PrintableError, printable
from act_ros.recordings.recovery import UnfinishedMcap, UnfinishedSqlite
from act_ros.recordings.unpacking import UnpackError, limit_unpacking, unpack_file, unpacked

ACTIONS = 'act_ros/msg/ActionArray'
POSES = tuple(INPUTS.values())
"""Where tracked persons may come from, by preference."""
IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_SIZED = (CAMERA_INFO, IMAGES[0])  # messages that say how large images are
_STORAGES = ('.mcap', '.db3')
_PACKED = '.zstd'
_CERTAIN = 1 + 1e-6  # a probability of 1 after rounding: those of labels that are alike are added


class BagError(PrintableError):
    """A bag that cannot be used; the message says which, why, what to do."""


class Topic(NamedTuple):
    """What a bag holds of a topic."""

    type: str
    num_messages: int


class Bag:
    """
    An open bag; a context manager.

    ``topics`` tells what there is; ``start`` and ``end`` (nanoseconds) are the times of recording
    of the first message and after the last. ``unstamped`` counts the frames read so far whose
    header's stamp was empty, ``unreadable`` the images that could not be decoded, ``broken`` topic
    and time of recording of every message that could not be decoded, ``drops`` what of
    another package's poses could not be used, by cause. ``stamps`` is that of `StampOptions`, where
    a message arrives when it is recorded. ``image_size`` is what REP-155's joints are shares of,
    where the bag itself does not say how large images are.

    A file that was never finished or is cut off is read as far as it goes; the error that says so
    comes after its last message.

    :param path: the bag's folder, or a single ``.mcap`` or ``.db3`` file.
    :raises BagError: no such bag, or one that is damaged or empty.
    :raises ModuleNotFoundError: the ``rosbags`` package is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.stamps = Path(path), 'header'
        self._files = _find_files(self.path)
        self._stack = ExitStack()
        self.unstamped = self.unreadable = 0
        self.drops: Counter[str] = Counter()
        self.image_size = PoseInputOptions().image_size
        self._first_unreadable = self._first_broken = ''
        self.broken: set[tuple[str, int]] = set()
        self._damage: Exception | None = None

    def __enter__(self) -> Bag:
        try:
            from rosbags.rosbag2 import Reader
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'reading bags needs the rosbags package: pip install rosbags') from error
        try:
            self._open(Reader)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self, kind: type[Any]) -> None:
        limit_unpacking()
        self._unpack_files()
        try:
            self._readers = [self._stack.enter_context(kind(file)) for file in self._files]
            if any(reader.compression_mode == 'message' for reader in self._readers):
                # Read by their files, messages come as they are, and are unpacked one by one.
                self._files = _storage_files(self.path)
                self._readers = [self._stack.enter_context(kind(file)) for file in self._files]
            for connection in (c for reader in self._readers for c in reader.connections):
                if not isinstance(connection.msgcount, int):  # rosbags takes it as it is written
                    raise ValueError(f'{connection.msgcount!r} is no number of messages')
        except Exception as error:  # rosbags, sqlite and the file system each have their own
            self._damage = self._damage or error
            self._readers = self._recover(kind, self._damage)
        self._readers.sort(key=lambda reader: reader.start_time)  # by name, 10 is before 2
        counts: Counter[tuple[str, str]] = Counter()
        for connection in (c for reader in self._readers for c in reader.connections):
            counts[connection.topic, connection.msgtype] += connection.msgcount
        self.topics: dict[str, Topic] = {}
        for (topic, msgtype), count in counts.items():
            # A recorder knows one type of a topic; if others were joined to it, most are right.
            if topic not in self.topics or count > self.topics[topic].num_messages:
                self.topics[topic] = Topic(msgtype, count)
        self._strange = [
            f'{count} messages of {topic} are of {msgtype}, not {self.topics[topic].type}, and are '
            'left out' for (topic, msgtype), count in counts.items()
            if count and msgtype != self.topics[topic].type]
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            if self._damage:
                raise self._damaged(self._damage)
            raise BagError(f'{self.path} holds no messages')
        self.start: int = min(reader.start_time for reader in filled)
        self.end: int = max(reader.end_time for reader in filled)

    def _unpack_files(self) -> None:
        """Unpack files that were packed as a whole into a folder of their own."""
        packed = _packed_files(self.path)
        if not packed:
            return
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        self._files = _storage_files(self.path)  # the last one, where the recorder was killed
        for file in packed:
            target = folder / file.stem
            try:
                unpack_file(file, target)
            except UnpackError as error:
                self._damage = error
                continue
            except Exception as error:  # whatever unpacks has its own
                self._damage = error
            self._files.append(target)  # of one that is damaged, what comes before
        if not self._files and self._damage:
            raise self._damaged(self._damage) from self._damage

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def duration(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end - self.start) / NANOSECONDS

    def topics_of(self, types: Sequence[str]) -> list[str]:
        """Return the topics of one of the types; of ids, that of REP-155's bodies."""
        return [name for name, info in self.topics.items() if info.type in types
                and (info.type != IDS or name.endswith('/bodies/tracked'))]

    def find_topic(self, types: Sequence[str], topic: str | None = None) -> str:
        """
        Return ``topic`` if the bag has it in one of the types, or without a name the only such.

        A depth image is not taken unless it is named.

        :raises BagError: none or several; the message lists what there is.
        """
        candidates = self.topics_of(types)
        wanted = ' or '.join(types)
        if topic is None:
            if len(candidates) > 1:
                depth = self.depth_topics()
                candidates = [name for name in candidates if name not in depth]
            if len(candidates) == 1:
                return candidates[0]
            found = f'several topics of {wanted}: {", ".join(candidates)}; name one of them' \
                if candidates else f'no topic of {wanted}; it holds {self._listing()}'
            raise BagError(f'{self.path} has {found}')
        self._check_topic(topic)
        if topic not in candidates:
            raise BagError(f'{self.path}: {topic!r} is of type {self.topics[topic].type}, not '
                           f'{wanted}')
        return topic

    def depth_topics(self, types: Sequence[str] = IMAGES) -> list[str]:
        """Return the topics of depth images (REP-118), compressed or not, in one of the types."""
        firsts = ((name, self.first(name)) for name in self.topics_of(types))
        return [name for name, message in firsts
                if is_depth(getattr(message, 'encoding', getattr(message, 'format', '')))]

    def first(self, topic: str) -> Any:
        """Return the first message of a topic; None where it has none that can be read."""
        try:
            return next((message for _, _, message in self.messages([topic])), None)
        except BagError:
            return None

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of every file with messages, by name."""
        files = [self.path] if self.path.is_file() else [
            path for path in self.path.iterdir() if set(path.suffixes) & set(_STORAGES)]
        return {path.name: file_checksum(path) for path in sorted(files)}

    def messages(self, topics: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """
        Yield topic, time of recording (nanoseconds) and message, in the order of recording.

        :raises BagError: an unknown topic or message type, or a bag cut off or damaged.
        """
        for topic in topics:
            self._check_topic(topic)
        return self._decoded(topics, lambda connection: partial(
            self._store_for(connection).deserialize_cdr, typename=connection.msgtype))

    def _decoded(
        self, topics: Sequence[str], decoder_for: Callable[[Any], Callable[[bytes], Any]],
    ) -> Iterator[tuple[str, int, Any]]:
        """Yield what `messages` does, decoded by what ``decoder_for`` gives for a connection."""
        decoders: dict[str, Callable[[bytes], Any]] = {}
        count = 0
        failures: list[Exception] = []
        for reader in self._readers:
            connections = [c for c in reader.connections
                           if c.topic in topics and c.msgtype == self.topics[c.topic].type]
            if not connections:
                continue
            try:
                for connection in connections:
                    if connection.msgtype not in decoders:
                        decoders[connection.msgtype] = decoder_for(connection)
                for connection, time, data in self._messages_of(reader, connections):
                    try:
                        value = decoders[connection.msgtype](unpacked(data))
                    except Exception as error:  # it costs itself alone
                        self._note_broken(connection.topic, time, error)
                        failures.append(error)
                        continue
                    yield connection.topic, time, value
                    count += 1
            except Exception as error:
                raise self._damaged(error, f' after {count} messages') from error
        if failures and not count:
            raise self._damaged(failures[0], ' after 0 messages') from failures[0]
        if self._damage:
            raise self._damaged(self._damage, f' after {count} messages')
        wanted = sum(self.topics[topic].num_messages for topic in topics)
        if count + len(failures) < wanted:
            raise BagError(f'{self.path} is cut off: it should hold {wanted} messages of '
                           f'{", ".join(topics)}, but has {count + len(failures)}')

    def _messages_of(
        self, reader: Any, connections: Sequence[Any],
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Yield what a reader has; where it ends by a damage within an MCAP file, also the rest."""
        last = -1
        try:
            for connection, time, data in reader.messages(connections):
                yield connection, time, data
                last = time
        except Exception as error:  # as above
            self._damage = self._damage or error
            known = {(c.topic, c.msgtype): c for c in connections}
            files = [file for file in _storage_files(Path(reader.path)) if file.suffix == '.mcap']
            for rest in map(UnfinishedMcap, files):
                channels = [c for c in rest.connections if (c.topic, c.msgtype) in known]
                for channel, time, data in rest.messages(channels):
                    if time > last:
                        yield known[channel.topic, channel.msgtype], time, data

    def _note_broken(self, topic: str, time: int, error: Exception) -> None:
        """Count a message that cannot be decoded, however often it is read."""
        self.broken.add((topic, time))
        self._first_broken = self._first_broken or (
            f'{topic} at {(time - self.start) / NANOSECONDS:.3f} s: {error}')

    def keypoints(self, topic: str | None = None) -> Iterator[Frame]:
        """
        Yield every frame of a topic of `POSES`, also those without a person.

        It is act_ros/KeypointArray, yolo_msgs/DetectionArray, or the hri_msgs/IdsList of REP-155's
        bodies, whose skeletons lie beside it.

        :raises BagError: as `find_topic` and `messages`.
        """
        name = self.find_topic(POSES, topic)
        if self.topics[name].type == IDS:
            yield from self._bodies(name)
            return
        for _, time, frame in self._decoded([name], self._keypoints_decoder):
            yield self._timed(frame, time)

    def _bodies(self, topic: str) -> Iterator[Frame]:
        """Yield the frames of REP-155's bodies, each timed as the last that came of it."""
        root = topic.removesuffix('tracked')
        names = {name: name.removeprefix(root).removesuffix('/skeleton2d')
                 for name, info in self.topics.items()
                 if info.type == SKELETON and name.startswith(root)}
        bodies, time = BodyFrames(self._size(), self.drops), self.start
        for name, time, message in self.messages([topic, *names]):
            try:
                frames = (bodies.add_ids(message) if name == topic
                          else bodies.add_skeleton(names[name], message))
            except AttributeError as error:
                raise self._damaged(error) from error
            yield from (self._timed(frame, time) for frame in frames)
        yield from (self._timed(frame, time) for frame in bodies.flush())

    def _size(self) -> tuple[int, int]:
        """Return width and height of the images in pixels."""
        for topic in (name for kind in _SIZED for name in self.topics_of((kind,))):
            message = self.first(topic)
            if message and message.width and message.height:
                return int(message.width), int(message.height)
        return self.image_size

    def _keypoints_decoder(self, connection: Any) -> Callable[[bytes], Frame]:
        store, ours = self._store_for(connection), project_types()
        if connection.msgtype == DETECTIONS:
            return lambda data: frame_of_detections(
                store.deserialize_cdr(data, DETECTIONS), self.drops)
        if store is ours or store.hash_rihs01(KEYPOINTS) == ours.hash_rihs01(KEYPOINTS):
            return read_keypoints
        # Of another version of this project: as its own definition has it.
        return lambda data: frame_of_keypoints(store.deserialize_cdr(data, KEYPOINTS))

    def actions(self, topic: str | None = None) -> Iterator[Frame]:
        """
        Yield every frame of a topic of act_ros/ActionArray.

        :raises BagError: as `find_topic` and `messages`, for what nobody can have answered, or
            where another model than the first answers.
        """
        first: str | None = None
        for _, time, message in self.messages([self.find_topic((ACTIONS,), topic)]):
            try:
                frame, model = frame_of_actions(message), message.model
                for action in message.actions:
                    _check_action(action)
            except AttributeError as error:
                raise self._damaged(error) from error
            first = model if first is None else first
            if model != first:
                raise BagError(f'from {(time - self.start) / NANOSECONDS:.3f} s on model {model!r} '
                               f'answers, no longer {first!r}; each is evaluated by itself')
            yield self._timed(frame, time)

    def images(self, topic: str | None = None) -> Iterator[tuple[Frame, Any]]:
        """
        Yield every frame of a topic of images, and its message, which is not decoded.

        The messages are of sensor_msgs/Image or CompressedImage.

        :raises BagError: as `find_topic` and `messages`.
        """
        for _, time, message in self.messages([self.find_topic(IMAGES, topic)]):
            try:
                frame = Frame(to_nanoseconds(message.header.stamp), message.header.frame_id)
            except AttributeError as error:
                raise self._damaged(error) from error
            yield self._timed(frame, time), message

    def note_unreadable(self, topic: str, time: int, error: Exception) -> None:
        """Count an image that could not be decoded; the first one is named in `losses`."""
        self.unreadable += 1
        self._first_unreadable = self._first_unreadable or (
            f'{topic} at {(time - self.start) / NANOSECONDS:.3f} s: {error}')

    def losses(self) -> Iterator[str]:
        """Yield what of the frames read so far could not be used, or not as it was meant."""
        yield from (printable(strange, 1000) for strange in self._strange)
        if self.broken:
            yield printable(f'{len(self.broken)} messages could not be decoded and are left out; '
                            f'the first: {self._first_broken}', 1000)
        if self.unreadable:
            yield printable(f'{self.unreadable} images could not be decoded and are left out; the '
                            f'first: {self._first_unreadable}', 1000)
        if self.unstamped:
            yield f'{self.unstamped} messages have no stamp; ' + (
                'the time of recording served instead' if self.stamps == 'arrival' else
                'with the parameter stamps: arrival, the time of recording serves instead')

    def _timed(self, frame: Frame, time: int) -> Frame:
        """Note when a frame was recorded."""
        self.unstamped += not frame.stamp
        receive(frame, time, self.stamps)
        return frame

    def _store_for(self, connection: Any) -> Any:
        """Return the types that decode a connection's messages."""
        from rosbags.interfaces import MessageDefinitionFormat
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            store = get_typestore(Stores.EMPTY)
            store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        else:
            store = project_types()
        if connection.msgtype not in store.types:
            raise BagError(
                f'{self.path}: the type {connection.msgtype} of {connection.topic!r} is not '
                f'known, and the bag carries no definition of it')
        return store

    def _recover(self, reader: type[Any], error: Exception) -> list[Any]:
        """Return readers of those files that can be read, or raise BagError."""
        readers = []
        for file in _storage_files(self.path) if self._files == [self.path] else self._files:
            try:
                readers.append(self._stack.enter_context(reader(file)))
            except Exception:  # as above
                unfinished = UnfinishedMcap if file.suffix == '.mcap' else UnfinishedSqlite
                try:
                    readers.append(unfinished(file))
                except UnpackError as reason:  # which is why, and not that the end is missing
                    error = reason
                except Exception:  # noqa: S110 - one more file that is left out
                    pass
        if not readers:
            raise self._damaged(error) from error
        return readers

    def _check_topic(self, topic: str) -> None:
        if topic not in self.topics:
            raise BagError(f'{self.path} has no topic {topic!r}; it holds {self._listing()}')

    def _listing(self) -> str:
        return ', '.join(f'{name} ({info.type}, {info.num_messages} messages)'
                         for name, info in sorted(self.topics.items())) or 'no topics'

    def _damaged(self, error: Exception, where: str = '') -> BagError:
        if isinstance(error, BagError):
            return error
        if isinstance(error, AttributeError):
            return BagError(f'{self.path} holds messages without the field {error.name!r}: they '
                            'are of another version than this one can read')
        if isinstance(error, UnpackError):
            return BagError(f'{self.path}{where}: {error}')
        return BagError(f'{self.path} is damaged or cut off{where} ({error}); copy it again, or '
                        f'repair it with `ros2 bag reindex`')


def _check_action(message: Any) -> None:
    """Raise BagError for an act_ros/Action that no version of this project has answered."""
    if message.status not in list(Status):
        raise BagError(f'an action of {message.person_id!r} has the status {message.status}, '
                       f'which no version knows')
    probabilities = np.asarray(message.probabilities)
    if not ((probabilities >= 0) & (probabilities <= _CERTAIN)).all():
        raise BagError(f'an action of {message.person_id!r} has probabilities outside of [0, 1]')
    box = message.box
    if not np.isfinite((message.confidence, message.duration,
                        box.x_min, box.y_min, box.x_max, box.y_max)).all():
        raise BagError(f'an action of {message.person_id!r} has a confidence, a duration or a box '
                       f'that is no number')


def project_types() -> Any:
    """Return a rosbags type store with the types of ROS 2 Jazzy and of this project's messages."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for name in ('BoundingBox', 'Keypoint', 'PersonKeypoints', 'KeypointArray', 'Action',
                 'ActionArray', 'ActionLabels'):
        text = find_resource(f'msg/{name}.msg').read_text(encoding='utf-8')
        types.update(get_types_from_msg(text, f'act_ros/msg/{name}'))
    store.register(types)
    return store


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
    """Return the files of a bag that were packed as a whole and are there only so."""
    return [] if path.is_file() else sorted(
        file for file in path.iterdir() if file.suffix == _PACKED
        and Path(file.stem).suffix in _STORAGES and not file.with_suffix('').exists())
