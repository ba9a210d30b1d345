"""Subscriptions that fit a camera, be it reliable or best effort, and whichever starts first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from act_ros.ros.options import SubscriptionOptions
from act_ros.ros.topics import steady_timer

_PERIOD = 0.5  # seconds between two looks at who publishes, besides those when somebody comes
_LATELY = 1.0  # seconds
_BEST_EFFORT, _RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE


class CameraSubscription:
    """
    A subscription that follows the reliability of who publishes, where that is 'best_available'.

    The policy of that name in ROS decides once, for whoever is there at that moment. Here there is
    a reliable subscription while anybody reliable publishes, and one of best effort, which hears
    everybody, until all who publish are known to be reliable. While there are both, as when DDS
    has not yet forgotten a camera that was killed, what the reliable one hears counts.

    :param callback: gets each message and the information that comes with it.
    :param depth: of the queue; of depth 1, newer images replace each other while one is being
        worked on.
    :param subscribe: makes subscriptions, if not the node itself.
    :param lost: gets the number of messages that the middleware knows to be lost on the way.
    """

    def __init__(
        self, node: Node, source: tuple[str, type], options: SubscriptionOptions,
        callback: Callable[[Any, Any], None], *, depth: int = 1,
        subscribe: Callable[..., Subscription] | None = None,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._node, self._callback, self._lost = node, callback, lost
        self._topic, self._kind = source
        self._depth, self._subscribe = depth, subscribe or node.create_subscription
        self._made: dict[ReliabilityPolicy, Subscription] = {}
        self._newest = 0  # by the clock of who publishes
        self._are_reliable, self._heard = False, -inf
        self._timer = None
        if options.reliability != 'best_available':
            self._add(ReliabilityPolicy[options.reliability.upper()])
            return
        self._add(_BEST_EFFORT)
        self._timer = steady_timer(node, _PERIOD, self._follow)

    def close(self) -> None:
        """Unsubscribe."""
        if self._timer:
            self._node.destroy_timer(self._timer)
        for reliability in list(self._made):
            self._remove(reliability)

    def _follow(self) -> None:
        """See who publishes."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        kinds = {publisher.qos_profile.reliability for publisher in publishers}
        self._are_reliable = kinds == {_RELIABLE}
        if not self._are_reliable:
            self._add(_BEST_EFFORT)
        if _RELIABLE in kinds:
            self._add(_RELIABLE)
        else:
            self._remove(_RELIABLE)

    def _see(self, _: object) -> None:
        if self._timer:
            self._follow()

    def _count(self, status: Any) -> None:
        self._lost(status.total_count_change)

    def _add(self, reliability: ReliabilityPolicy) -> None:
        if reliability in self._made:
            return
        # A reliable one tells of best effort as an error, which here it is not.
        incompatible = self._see if self._timer else None
        make = partial(
            self._subscribe, self._kind, self._topic, partial(self._receive, reliability),
            QoSProfile(depth=self._depth, reliability=reliability))
        try:
            self._made[reliability] = make(event_callbacks=SubscriptionEventCallbacks(
                matched=self._see, message_lost=self._count, incompatible_qos=incompatible))
        except UnsupportedEventTypeError:  # the timer will do
            self._made[reliability] = make()

    def _remove(self, reliability: ReliabilityPolicy) -> None:
        if subscription := self._made.pop(reliability, None):
            self._node.destroy_subscription(subscription)

    def _receive(self, reliability: ReliabilityPolicy, msg: Any, info: Any) -> None:
        if len(self._made) > 1:
            now = monotonic()
            if reliability is _BEST_EFFORT and now - self._heard < _LATELY:
                return
            if reliability is _RELIABLE:
                self._heard = now
                if self._are_reliable:
                    self._remove(_BEST_EFFORT)
                if info['source_timestamp'] <= self._newest:
                    return  # the other one was first
        self._newest = info['source_timestamp']
        self._callback(msg, info)
