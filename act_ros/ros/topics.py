"""What nodes share of topics: qualities of service, names, headers, time, a log of silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf

from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.timer import Timer
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_msgs.msg import Header

from act_ros.core.frame import Frame
from act_ros.core.stamps import cut_stamp
from act_ros.core.text import printable
from act_ros.ros.health import THROTTLE, Health

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEVEL = QoSProfile(depth=10)
"""RELIABLE, volatile: keypoints and actions."""
_FORGOTTEN = 30.0  # seconds after which DDS has forgotten a process that was killed (its lease: 20)


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


class PublisherNames:
    """
    The names of those who publish on a topic, look by look.

    When a node was killed and started anew, DDS still knows both until it forgets the first: two
    of one name count as two only once that has lasted longer.
    """

    def __init__(self) -> None:
        self._namesakes_since = inf

    def update(self, publishers: Sequence[TopicEndpointInfo]) -> list[str]:
        """Return the full names of the nodes, one for each of the publishers there are now."""
        names = sorted(f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
                       for publisher in publishers)
        each_once, now = sorted({*names}), time.monotonic()
        self._namesakes_since = inf if names == each_once else min(self._namesakes_since, now)
        return names if now - self._namesakes_since > _FORGOTTEN else each_once


class TopicLog:
    """
    Warns while a topic is silent, more and more rarely, and where several nodes publish on it.

    :param is_source: whether to warn also of publishers that are silent, as a camera is that says
        nothing itself; a node of act_ros that has nothing to publish warns of the cause.
    :param health: learns who publishes.
    """

    def __init__(
        self, node: Node, topic: str, is_listening: Callable[[], bool] = lambda: True, *,
        is_source: bool = False, health: Health | None = None,
    ) -> None:
        self.messages = 0
        """Messages received; the subscriber counts them."""
        self._node, self._topic, self._is_listening = node, topic, is_listening
        self._is_source, self._health = is_source, health or Health('', topic)
        self._health.has_one_sender = lambda: node.count_publishers(topic) == 1
        self._names = PublisherNames()
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
        before, self._health.senders = self._health.senders, self._names.update(publishers)
        if self._health.mixed_senders and self._health.senders != before:
            self._node.get_logger().warning(printable(self._health.mixed_senders, 1000))
