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
from functools import partial
from pathlib import Path
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
from act_ros.core.text import printable
from act_ros.recordings.storage import BagError, Storage
from act_ros.recordings.unpacking import unpacked

ACTIONS = 'act_ros/msg/ActionArray'
POSES = tuple(INPUTS.values())
"""Where tracked persons may come from, by preference."""
IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_SIZED = (CAMERA_INFO, IMAGES[0])  # messages that say how large images are
_CERTAIN = 1 + 1e-6  # a probability of 1 after rounding: those of labels that are alike are added


class Topic(NamedTuple):
    """What a bag holds of a topic."""

    type: str
    num_messages: int


class Bag:
    """
    An open bag; a context manager.

    ``topics`` tells what there is; ``start`` and ``end`` (nanoseconds) are the times of recording
    of the first message and after the last. ``unstamped`` counts the frames read so far whose
    header's stamp was empty, ``unreadable`` the images that could not be decoded, ``broken`` holds
    topic and time of recording of the messages that could not, ``drops`` counts what of another
    package's poses could not be used, by cause. ``stamps`` is that of `StampOptions`, where a
    message arrives when it is recorded. ``image_size`` is what REP-155's joints are shares of,
    where the bag itself does not say how large images are.

    A file that was never finished or is cut off is read as far as it goes; the error that says so
    comes after its last message.

    :param path: the bag's folder, or a single ``.mcap`` or ``.db3`` file.
    :raises BagError: no such bag, or one that is damaged or empty.
    :raises ModuleNotFoundError: the ``rosbags`` package is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.stamps = Path(path), 'header'
        self._storage = Storage(self.path)
        self.unstamped = self.unreadable = 0
        self.drops: Counter[str] = Counter()
        self.image_size = PoseInputOptions().image_size
        self._first_unreadable = self._first_broken = ''
        self.broken: set[tuple[str, int]] = set()

    def __enter__(self) -> Bag:
        storage = self._storage.__enter__()
        self.start, self.end = storage.start, storage.end
        counts: Counter[tuple[str, str]] = Counter()
        for connection in storage.connections:
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
        return self

    def __exit__(self, *error: Any) -> None:
        self._storage.__exit__(*error)

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

        Of several, those of depth images are not taken unless named.

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
        return {path.name: file_checksum(path) for path in self._storage.files_as_recorded()}

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
        storage, count, num_broken = self._storage, 0, 0
        failure: Exception | None = None  # the first one: each keeps its message in memory
        connections = [c for c in storage.connections
                       if c.topic in topics and c.msgtype == self.topics[c.topic].type]
        decoders: dict[str, Callable[[bytes], Any]] = {}
        try:
            for connection in connections:  # one for each file and topic
                if connection.msgtype not in decoders:
                    decoders[connection.msgtype] = decoder_for(connection)
            for connection, time, data in storage.messages(connections):
                try:
                    value = decoders[connection.msgtype](unpacked(data))
                except Exception as error:  # it costs itself alone
                    self.broken.add((connection.topic, time))  # once, however often it is read
                    self._first_broken = self._first_broken or self._told(
                        connection.topic, time, error)
                    failure, num_broken = failure or error, num_broken + 1
                    continue
                yield connection.topic, time, value
                count += 1
        except Exception as error:
            raise storage.damaged(error, f' after {count} messages') from error
        if failure and not count:
            raise storage.damaged(failure, ' after 0 messages') from failure
        wanted = sum(self.topics[topic].num_messages for topic in topics)
        if count + num_broken < wanted:
            raise BagError(f'{self.path} is cut off: it should hold {wanted} messages of '
                           f'{", ".join(topics)}, but has {count + num_broken}')

    def _told(self, topic: str, time: int, error: Exception) -> str:
        """Return where a message was, recorded at ``time``, and what is wrong with it."""
        return f'{topic} at {(time - self.start) / NANOSECONDS:.3f} s: {error}'

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
                raise self._storage.damaged(error) from error
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
        if store.hash_rihs01(KEYPOINTS) == ours.hash_rihs01(KEYPOINTS):
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
                raise self._storage.damaged(error) from error
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
                raise self._storage.damaged(error) from error
            yield self._timed(frame, time), message

    def note_unreadable(self, topic: str, time: int, error: Exception) -> None:
        """Count an image that could not be decoded; the first one is named in `losses`."""
        self.unreadable += 1
        self._first_unreadable = self._first_unreadable or self._told(topic, time, error)

    def losses(self) -> Iterator[str]:
        """Yield what of the frames read so far could not be used, or not as it was meant."""
        yield from (printable(strange, 1000) for strange in self._strange)
        for number, what, first in (
                (len(self.broken), 'messages', self._first_broken),
                (self.unreadable, 'images', self._first_unreadable)):
            if number:
                yield printable(f'{number} {what} could not be decoded and are left out; the '
                                f'first: {first}', 1000)
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

    def _check_topic(self, topic: str) -> None:
        if topic not in self.topics:
            raise BagError(f'{self.path} has no topic {topic!r}; it holds {self._listing()}')

    def _listing(self) -> str:
        return ', '.join(f'{name} ({info.type}, {info.num_messages} messages)'
                         for name, info in sorted(self.topics.items())) or 'no topics'


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
