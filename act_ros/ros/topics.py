"""What nodes share of topics: qualities of service, names, and logs of drops and silence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.ros.health import Health

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEVEL = QoSProfile(depth=10)
"""RELIABLE, volatile: keypoints and actions."""

THROTTLE = 5.0
"""Seconds between two warnings of the same kind."""


def topic_of(camera: str, name: str) -> str:
    """
    Return the topic of one of several cameras; the topic itself where there is but one, ``''``.

    Of the camera front, ``actions`` is ``front/actions`` and ``~/keypoints``
    ``~/front/keypoints``.
    """
    head, slash, tail = name.rpartition('/')
    return f'{head}{slash}{camera}/{tail}' if camera else name


class DropLog:
    """Logs what input was not used and why: a new cause at once, further counts now and then."""

    def __init__(self, node: Node, drops: Counter[str], camera: str = '') -> None:
        self._node, self._drops, self._about = node, drops, f'{camera}: ' if camera else ''
        self._logged: Counter[str] = Counter()
        self._logged_at = 0.0

    def drop(self, cause: str, error: Exception, health: Health) -> None:
        """Count input that cannot be used, and say why."""
        self._drops[cause] += 1
        health.record_error(str(error))
        self._node.get_logger().error(
            f'{self._about}{printable(error, ERROR_LENGTH)}', throttle_duration_sec=THROTTLE)
        self.tell()

    def tell(self) -> None:
        """Warn if there is something new to say."""
        if self._drops == self._logged:
            return
        now = time.monotonic()
        if self._drops.keys() == self._logged.keys() and now - self._logged_at < THROTTLE:
            return
        self._logged, self._logged_at = self._drops.copy(), now
        counts = ', '.join(f'{cause}: {count}' for cause, count in self._drops.items())
        self._node.get_logger().warning(f'{self._about}dropped so far: {printable(counts, 500)}')


class TopicLog:
    """
    Warns while a topic is silent, more and more rarely, and where several nodes publish on it.

    Their stamps and ids mix: no window of poses comes of it, and nobody is recognized.

    :param is_source: whether nobody further on would tell why nothing comes. Otherwise only that
        nobody publishes is told: who does, but has nothing to publish, tells it.
    """

    def __init__(
        self, node: Node, topic: str, is_listening: Callable[[], bool] = lambda: True, *,
        is_source: bool = False,
    ) -> None:
        self._node, self._topic, self._is_listening = node, topic, is_listening
        self._is_source = is_source
        self._has_message = False
        self._silent = 0  # periods in a row
        self._publishers: list[str] = []
        # Steady time: a silent /clock must not silence the warning.
        node.create_timer(THROTTLE, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def reset(self) -> None:
        """Count the silence from now on: a message came."""
        self._has_message = True

    def number_of(self, info: Mapping[str, Any]) -> int | None:
        """Return a message's number; None where nobody gave one, or several nodes give theirs."""
        if self._node.count_publishers(self._topic) != 1:
            return None
        return info.get('publication_sequence_number')

    def _check(self) -> None:
        is_silent = self._is_listening() and not self._has_message
        self._silent = self._silent + 1 if is_silent else 0
        self._has_message = not self._is_listening()
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        is_ours = self._is_source or not publishers
        if is_ours and self._silent and not self._silent & self._silent - 1:  # after 1, 2, 4, ...
            state = ', '.join(
                f'{p.node_name} ({p.qos_profile.reliability.name.lower()}, {p.topic_type})'
                for p in publishers)
            self._node.get_logger().warning(
                f'nothing on {self._topic} for {THROTTLE * self._silent:.0f} s; publishers: '
                f'{printable(state, 500) or "none; check topic names and remappings"}')
        names = sorted(f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers)
        if len(names) > 1 and names != self._publishers:
            self._node.get_logger().warning(
                f'{len(names)} publishers on {self._topic}: {printable(", ".join(names), 500)}; '
                'their stamps and ids mix, give each a topic of its own')
        self._publishers = names
