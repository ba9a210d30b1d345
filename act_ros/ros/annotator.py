"""``~/annotated``: people and their actions, drawn into the very image they were found in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from act_ros.core.frame import Frame
from act_ros.core.messages import frame_of_actions
from act_ros.core.synchronizer import FrameSynchronizer
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import ActionArray
from act_ros.pictures.drawing import draw
from act_ros.pictures.history import History
from act_ros.ros.health import THROTTLE
from act_ros.ros.images import bgr_to_image
from act_ros.ros.options import DrawingOptions
from act_ros.ros.parameters import Parameters
from act_ros.ros.topics import LEVEL, steady_timer, to_header, topic_of

_PERIOD = 0.5  # seconds between two looks for subscribers; no frame waits longer than two of them
_MAX_AGE = 1_000_000_000  # nanoseconds for which actions stand in for those of another frame


class Annotator:
    """
    The topic ``~/annotated`` of a node, or of one of its cameras.

    :param parameters: those of the node, with `DrawingOptions` among them.
    :param subscribe: makes subscriptions, if not the node itself.
    """

    def __init__(
        self, node: Node, parameters: Parameters, camera: str = '',
        subscribe: Callable[..., Subscription] | None = None,
    ) -> None:
        self._parameters = parameters
        self._node, self._subscribe = node, subscribe or node.create_subscription
        self._history = History()
        self._diagnostics: Subscription | None = None
        self._publisher = node.create_publisher(
            Image, topic_of(camera, '~/annotated'), QoSProfile(depth=5))
        steady_timer(node, _PERIOD, self._follow)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody subscribes to it."""
        return bool(self._publisher.get_subscription_count())

    def draw(self, frame: Frame) -> None:
        """Draw and publish, if anybody subscribes; the frame's image itself is left alone."""
        if not self.is_wanted or frame.image is None:
            return
        image, options = frame.image.copy(), self._parameters(DrawingOptions)
        try:
            draw(image, frame.persons, frame.layout, frame.actions or (), options.min_score,
                 options.captions)
        except ValueError as error:  # an unknown layout
            self._node.get_logger().error(
                printable(error, ERROR_LENGTH), throttle_duration_sec=THROTTLE)
            return
        if seconds := options.history:
            self._history.add(frame.stamp, frame.actions or (), seconds)
            image = np.vstack((image, self._history.strip(image.shape[1], seconds)))
        self._publisher.publish(bgr_to_image(image, to_header(frame)))

    def _follow(self) -> None:
        """Subscribe to diagnostics while the history is drawn, which shows what is wrong."""
        is_drawn = self.is_wanted and self._parameters(DrawingOptions).history > 0
        if is_drawn and not self._diagnostics:
            self._diagnostics = self._subscribe(
                DiagnosticArray, '/diagnostics', self._take_diagnostics, LEVEL)
        elif self._diagnostics and not is_drawn:
            self._node.destroy_subscription(self._diagnostics)
            self._diagnostics = None

    def _take_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self._history.note(
                status.name, '' if status.level == DiagnosticStatus.OK else status.message)


class SynchronizedAnnotator:
    """
    Draws frames whose actions, and perhaps other parts, come on topics.

    It subscribes only while somebody subscribes to the annotated images.

    :param is_active: whether the node is at work.
    :param subscribe: makes the subscriptions besides that to ``actions``, which call `add`, and
        returns what ends them.
    """

    def __init__(
        self, node: Node, annotator: Annotator, is_active: Callable[[], bool] = lambda: True,
        subscribe: Callable[[], Sequence[Callable[[], object]]] = tuple,
    ) -> None:
        self._node, self._annotator = node, annotator
        self._is_active, self._subscribe = is_active, subscribe
        self._synchronizer = FrameSynchronizer()
        self._subscriptions: list[Callable[[], object]] = []  # what ends them
        self._newest = Frame(-_MAX_AGE)
        self._topic = node.resolve_topic_name('actions')
        steady_timer(node, _PERIOD, self._check)

    def add(self, part: Frame) -> None:
        """Take what is known of a frame; draw those that need not wait for more."""
        if not self._subscriptions:
            self._check()
        if not self._subscriptions:
            return
        if part.actions is not None:
            self._newest = part
        for frame in self._synchronizer.add(part):
            self._draw(frame)

    def close(self) -> None:
        """End the subscriptions, and forget the frames that wait."""
        for end in self._subscriptions:
            end()
        self._subscriptions = []
        self._synchronizer = FrameSynchronizer()

    def _check(self) -> None:
        if not (self._annotator.is_wanted and self._is_active()):
            self.close()
            return
        if not self._subscriptions:
            actions = self._node.create_subscription(
                ActionArray, self._topic, lambda msg: self.add(frame_of_actions(msg)), LEVEL)
            self._subscriptions = [
                *self._subscribe(), partial(self._node.destroy_subscription, actions)]
        self._synchronizer.needs_actions = self._node.count_publishers(self._topic) > 0
        for frame in self._synchronizer.flush():
            self._draw(frame)

    def _draw(self, frame: Frame) -> None:
        if frame.actions is None and abs(frame.stamp - self._newest.stamp) <= _MAX_AGE:
            frame.actions = self._newest.actions
        self._annotator.draw(frame)
