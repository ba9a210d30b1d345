"""Bodies as REP-155 (ROS4HRI) has them: what is subscribed to, and names of topics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from rclpy.subscription import Subscription

from act_ros.core.adapters import BodyFrames
from act_ros.core.frame import Frame
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.ros.managed import ManagedNode
from act_ros.ros.topics import LEVEL

BODY_LIFETIME = 3 * NANOSECONDS
"""Nanoseconds for which the topics of a body outlive it: it may come back."""
_ID_LENGTH = 100  # characters; a topic's name may have 247
MOST_BODIES = 100
"""Bodies that have topics at a time: ids that change in every frame must not pile up."""

_PACKAGES = {
    'yolo_msgs': 'build it from https://github.com/mgonzs13/yolo_ros',
    'hri_msgs': 'apt install ros-$ROS_DISTRO-hri-msgs, or build it from '
                'https://github.com/ros4hri/hri_msgs',
}


def import_messages(package: str, whose: str) -> ModuleType:
    """Return the messages of another package; RuntimeError, saying what to install, without it."""
    try:
        return import_module(f'{package}.msg')
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f'{whose} needs the package {package}: {_PACKAGES[package]}') from error


def is_topic_part(name: str) -> bool:
    """Whether an id can be part of a topic's name."""
    return len(name) <= _ID_LENGTH and re.fullmatch(r'[A-Za-z]\w*', name, re.ASCII) is not None


class Bodies:
    """
    The skeletons of those who are tracked according to REP-155, each on a topic of its own.

    :param topic: of their ids, in full; the skeletons are beside it.
    :param size: returns width and height of the images in pixels.
    :param drops: counts what cannot be used, by cause.
    :param give: is called with the frames that are whole.
    """

    def __init__(
        self, node: ManagedNode, topic: str, messages: ModuleType,
        size: Callable[[], tuple[int, int]], drops: Counter[str],
        give: Callable[[list[Frame]], None],
    ) -> None:
        self._node, self._messages, self._drops, self._give = node, messages, drops, give
        self._size, self._frames = size, BodyFrames(size(), drops)
        self._root = topic.rpartition('/')[0]
        self._subscriptions: dict[str, tuple[Subscription, int]] = {}

    def take_ids(self, message: Any) -> None:
        """Take an hri_msgs/IdsList: who is tracked."""
        stamp = to_nanoseconds(message.header.stamp)
        for name in message.ids:
            known = self._subscriptions.get(name)
            if known is None and not is_topic_part(name):
                self._drops['id that cannot be part of a topic name'] += 1
            elif known is None and len(self._subscriptions) >= MOST_BODIES:
                self._drops['too many bodies'] += 1
            else:
                self._subscriptions[name] = (known[0] if known else self._subscribe(name), stamp)
        for name, (subscription, seen) in list(self._subscriptions.items()):
            if abs(stamp - seen) > BODY_LIFETIME:  # long out of sight, or time has jumped
                self._node.destroy_subscription(subscription)
                del self._subscriptions[name]
        # Of the others no skeleton can come; a frame would wait for it in vain.
        ids = [name for name in message.ids if name in self._subscriptions]
        self._give(self._frames.add_ids(self._messages.IdsList(header=message.header, ids=ids)))

    def close(self) -> None:
        """End the subscriptions to skeletons."""
        for subscription, _ in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe(self, name: str) -> Subscription:
        return self._node.subscribe(
            self._messages.Skeleton2D, f'{self._root}/{name}/skeleton2d',
            partial(self._take_skeleton, name), LEVEL)

    def _take_skeleton(self, name: str, message: Any) -> None:
        self._frames.size = self._size()
        self._give(self._frames.add_skeleton(name, message))
