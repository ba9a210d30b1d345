"""Tracked poses as they come in: keypoints of this package, or what another one publishes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from rclpy.subscription import Subscription

from act_ros.core.adapters import BodyFrames, PoseInputOptions, frame_of_detections
from act_ros.core.cdr import read_keypoints
from act_ros.core.frame import Frame
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.msg import KeypointArray
from act_ros.ros.health import Health
from act_ros.ros.managed import ManagedNode
from act_ros.ros.topics import LEVEL, DropLog, TopicLog

BODY_LIFETIME = 3 * NANOSECONDS
"""For how long the topics of a body outlive it: it may come back."""

_PACKAGES = {
    'yolo_msgs': 'build it from https://github.com/mgonzs13/yolo_ros',
    'hri_msgs': 'apt install ros-$ROS_DISTRO-hri-msgs, or build it from '
                'https://github.com/ros4hri/hri_msgs',
}
_MOST_BODIES = 100  # whose topics are subscribed to at a time


def import_messages(package: str, whose: str) -> ModuleType:
    """Return the messages of another package; RuntimeError, saying what to install, without it."""
    try:
        return import_module(f'{package}.msg')
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f'{whose} needs the package {package}: {_PACKAGES[package]}') from error


def is_topic_part(name: str) -> bool:
    """Whether an id can be part of a topic's name."""
    return re.fullmatch(r'[A-Za-z]\w*', name, re.ASCII) is not None


class PoseInput:
    """
    Subscribes to tracked poses, of the kind that the parameter ``input`` names.

    ``health`` learns what comes in; what cannot be used is counted and logged.

    :param take: called with every frame, also one without persons.
    :raises RuntimeError: the messages of that kind are not installed.
    """

    def __init__(
        self, node: ManagedNode, health: Health, take: Callable[[Frame], None],
    ) -> None:
        self._node, self._health, self._give = node, health, take
        self._drops = drops = Counter[str]()
        self._drop_log = DropLog(node, drops)
        health.include_drops(drops)
        self._bodies: _Bodies | None = None
        options = node.parameters(PoseInputOptions)
        topic = '/humans/bodies/tracked' if options.input == 'rep155' else 'keypoints'
        health.source = node.resolve_topic_name(topic)
        if options.input == 'keypoints':
            node.subscribe(KeypointArray, topic, self._read, LEVEL, is_raw=True)
        elif options.input == 'yolo':
            kind = import_messages('yolo_msgs', 'input yolo').DetectionArray
            node.subscribe(kind, topic, self._detections, LEVEL)
        else:
            messages = import_messages('hri_msgs', 'input rep155')
            self._bodies = _Bodies(node, messages, options.image_size, drops, self._take_frames)
            node.subscribe(messages.IdsList, topic, self._ids, LEVEL)
        self._topic_log = TopicLog(node, health.source, lambda: node.is_active)

    def reconfigure(self, size: tuple[int, int] | None = None) -> None:
        """Take over the node's parameters, and the images' size that the camera told."""
        if self._bodies:
            self._bodies.frames.size = size or self._node.parameters(PoseInputOptions).image_size

    def stop(self) -> None:
        """Give back what was subscribed to meanwhile."""
        if self._bodies:
            self._bodies.forget(None)

    def _count(self, info: Mapping[str, Any]) -> None:
        self._topic_log.reset()
        self._health.count_input(self._topic_log.number_of(info))

    def _read(self, data: bytes, info: Mapping[str, Any]) -> None:
        self._count(info)
        try:
            frame = read_keypoints(data)
        except ValueError as error:
            self._drop_log.drop('unreadable message', error, self._health)
            return
        self._give(frame)

    def _detections(self, message: Any, info: Mapping[str, Any]) -> None:
        self._count(info)
        self._take_frames([frame_of_detections(message, self._drops)])

    def _ids(self, message: Any, info: Mapping[str, Any]) -> None:
        self._count(info)
        assert self._bodies is not None
        self._bodies.take_ids(message)

    def _take_frames(self, frames: list[Frame]) -> None:
        self._drop_log.tell()
        for frame in frames:
            self._give(frame)


class _Bodies:
    """The skeletons of those who are tracked according to REP-155, each on a topic of its own."""

    def __init__(
        self, node: ManagedNode, messages: ModuleType, size: tuple[int, int],
        drops: Counter[str], give: Callable[[list[Frame]], None],
    ) -> None:
        self._node, self._messages, self._drops, self._give = node, messages, drops, give
        self.frames = BodyFrames(size, drops)
        # Beside the ids, wherever those are remapped to.
        self._root = node.resolve_topic_name('/humans/bodies/tracked').rpartition('/')[0]
        self._subscriptions: dict[str, tuple[Subscription, int]] = {}

    def take_ids(self, message: Any) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        for name in message.ids:
            known = self._subscriptions.get(name)
            if known is None and not is_topic_part(name):
                self._drops['id that cannot be part of a topic name'] += 1
            elif known is None and len(self._subscriptions) >= _MOST_BODIES:
                self._drops['too many bodies'] += 1
            else:
                self._subscriptions[name] = (known[0] if known else self._subscribe(name), stamp)
        self.forget(stamp)
        self._give(self.frames.add_ids(message))

    def forget(self, stamp: int | None) -> None:
        """Unsubscribe from bodies long out of sight, or of a time that jumped; None: from all."""
        for name, (subscription, seen) in list(self._subscriptions.items()):
            if stamp is None or abs(stamp - seen) > BODY_LIFETIME:
                self._node.destroy_subscription(subscription)
                del self._subscriptions[name]

    def _subscribe(self, name: str) -> Subscription:
        return self._node.subscribe(
            self._messages.Skeleton2D, f'{self._root}/{name}/skeleton2d',
            partial(self._take_skeleton, name), LEVEL)

    def _take_skeleton(self, name: str, message: Any) -> None:
        self._give(self.frames.add_skeleton(name, message))
