"""What nodes share of topics: qualities of service, names, headers, time, a log of silence."""

from __future__ import annotations

import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.timer import Timer
from std_msgs.msg import Header

from act_ros.core.frame import Frame
from act_ros.core.stamps import cut_stamp
from act_ros.core.text import printable
from act_ros.ros.health import THROTTLE, Health

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEVEL = QoSProfile(depth=10)
"""RELIABLE, volatile: keypoints and actions."""
# Seconds after which DDS knows no more of a process that was killed (its lease: 20).
_FORGOTTEN = 30.0


def topic_of(camera: str, name: str) -> str:
    """
    Return the topic of one of several cameras: ``front/actions``, or ``~/front/keypoints``.

    :param camera: its name; empty where there is but one camera, whose topic is ``name`` itself.
    """
    head, slash, tail = name.rpartition('/')
    return f'{head}{slash}{camera}/{tail}' if camera else name


def to_time(nanoseconds: int) -> Time:
    """Return integer nanoseconds as a stamp, cut to what a stamp can say (1901 to 2038)."""
    sec, nanosec = cut_stamp(nanoseconds)
    return Time(sec=sec, nanosec=nanosec)


def to_header(frame: Frame) -> Header:
    """Return stamp and frame_id, which all messages about a frame share."""
    return Header(stamp=to_time(frame.stamp), frame_id=frame.frame_id)


def steady_timer(node: Node, period: float, callback: Callable[[], object]) -> Timer:
    """Return a timer of so many seconds that goes on while a paused /clock stands still."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


class Publishers:
    """
    Who publishes on a topic.

    Of a node that was killed and started anew both are known until DDS forgets the first: two of
    one name count as two only if that stays.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic = node, topic
        self._namesakes_since: float | None = None

    def names(self) -> list[str]:
        """Return the full names of the nodes, one for each publisher."""
        names = sorted(f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
                       for publisher in self._node.get_publishers_info_by_topic(self._topic))
        each_once, now = sorted({*names}), time.monotonic()
        if names == each_once:
            self._namesakes_since = None
        elif self._namesakes_since is None:
            self._namesakes_since = now
        is_past = self._namesakes_since is not None and now - self._namesakes_since > _FORGOTTEN
        return names if is_past else each_once


class TopicLog:
    """
    Warns while a topic is silent, more and more rarely, and where several nodes publish on it.

    Their stamps and ids mix: no window of poses comes of it, and nobody is recognized.

    :param is_source: whether nobody further on would tell why nothing comes. Otherwise only that
        nobody publishes is told: who does, but has nothing to publish, tells it.
    :param health: learns who publishes.
    """

    def __init__(
        self, node: Node, topic: str, is_listening: Callable[[], bool] = lambda: True, *,
        is_source: bool = False, health: Health | None = None,
    ) -> None:
        self.messages = 0
        """Messages received; the subscriber counts them."""
        self._node, self._topic, self._is_listening = node, topic, is_listening
        self._is_source, self._health = is_source, health or Health(topic)
        self._health.has_one_sender = lambda: node.count_publishers(topic) == 1
        self._publishers = Publishers(node, topic)
        self._known: int | None = 0  # of the messages; None where nobody listened
        self._silent = 0  # periods in a row
        steady_timer(node, THROTTLE, self._check)

    def _check(self) -> None:
        is_listening = self._is_listening()
        is_silent = is_listening and self.messages == self._known
        self._silent = self._silent + 1 if is_silent else 0
        self._known = self.messages if is_listening else None
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        is_ours = self._is_source or not publishers
        if is_ours and self._silent and not self._silent & self._silent - 1:  # after 1, 2, 4, ...
            state = ', '.join(
                f'{p.node_name} ({p.qos_profile.reliability.name.lower()}, {p.topic_type})'
                for p in publishers)
            self._node.get_logger().warning(
                f'nothing on {self._topic} for {THROTTLE * self._silent:.0f} s; publishers: '
                f'{printable(state, 500) or "none; check topic names and remappings"}')
        names = self._publishers.names()
        if len(names) > 1 and names != self._health.senders:
            self._node.get_logger().warning(
                f'{len(names)} publishers on {self._topic}: {printable(", ".join(names), 500)}; '
                'their stamps and ids mix, give each a topic of its own')
        self._health.senders = names
