"""What nodes share: how topics are kept, what the log is told, and actions out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from act_ros.classifier import ActClassifier
from act_ros.decision import DecisionOptions
from act_ros.msg import ActionArray, ActionLabels
from act_ros.nodes.conversions import actions_to_msg
from act_ros.nodes.managed import ManagedNode
from act_ros.nodes.options import ActOptions
from act_ros.person import Person
from act_ros.recognizer import Action, ActionRecognizer, WindowOptions

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEVEL = QoSProfile(depth=10)
"""RELIABLE, volatile: keypoints and actions."""

THROTTLE = 5.0
"""Seconds between two warnings of the same kind."""


class DropLog:
    """Tells the log what input was not used and why: a new cause at once, more now and then."""

    def __init__(self, node: Node, drops: Counter[str]) -> None:
        self._node, self._drops = node, drops
        self._told: Counter[str] = Counter()
        self._told_at = 0.0

    def tell(self) -> None:
        """Warn if there is something new to say."""
        if self._drops == self._told:
            return
        now = time.monotonic()
        if self._drops.keys() == self._told.keys() and now - self._told_at < THROTTLE:
            return
        self._told, self._told_at = self._drops.copy(), now
        counts = ', '.join(f'{cause}: {count}' for cause, count in self._drops.items())
        self._node.get_logger().warning(f'dropped so far: {counts}')


class SilenceLog:
    """Warns while a topic is silent: the first thing an engineer asks for."""

    def __init__(
        self, node: Node, topic: str, is_listening: Callable[[], bool] = lambda: True,
    ) -> None:
        self._node, self._topic, self._is_listening = node, topic, is_listening
        self._heard = False
        # Steady time: a silent /clock must not silence the warning.
        node.create_timer(THROTTLE, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def heard(self) -> None:
        """Note that a message came."""
        self._heard = True

    def _check(self) -> None:
        is_listening = self._is_listening()
        if is_listening and not self._heard:
            publishers = self._node.get_publishers_info_by_topic(self._topic)
            state = ', '.join(
                f'{p.node_name} ({p.qos_profile.reliability.name.lower()}, {p.topic_type})'
                for p in publishers)
            self._node.get_logger().warning(
                f'nothing on {self._topic} for {THROTTLE:.0f} s; publishers: '
                f'{state or "none; check topic names and remappings"}')
        self._heard = not is_listening


class ActionOutput:
    """A recognizer with its topics: ``actions`` and the latched ``~/labels``."""

    def __init__(self, node: ManagedNode) -> None:
        self._node, act = node, node.parameters(ActOptions)
        classifier = ActClassifier(act.bundle, act.act_threads)
        bundle = classifier.bundle
        self._recognizer = ActionRecognizer(
            classifier, node.parameters(WindowOptions), node.parameters(DecisionOptions),
            act.allowed(bundle))
        self._drop_log = DropLog(node, self._recognizer.drops)
        self._actions = node.create_publisher(ActionArray, 'actions', LEVEL)
        self._labels = node.create_publisher(ActionLabels, '~/labels', LATCHED)
        self._labels.publish(ActionLabels(model=bundle.name, labels=list(bundle.labels)))
        node.get_logger().info(
            f'model {bundle.name}: {len(bundle.labels)} actions, {bundle.num_frames} frames at '
            f'{bundle.frame_rate:g} Hz, answers on {self._actions.topic_name}')

    def publish(
        self, header: Header, stamp: int, persons: Sequence[Person], layout: str,
    ) -> list[Action]:
        """Recognize and publish the actions of one frame of tracked persons."""
        try:
            actions = self._recognizer.update(stamp, persons, layout)
        except ValueError as error:
            self._recognizer.drops['unusable keypoints'] += 1
            self._node.get_logger().error(str(error), throttle_duration_sec=THROTTLE)
            actions = None
        self._drop_log.tell()
        if actions is None:
            return []
        name = self._recognizer.classifier.bundle.name
        self._actions.publish(actions_to_msg(actions, name, header))
        return actions
