"""The topics that several nodes share: images in, actions and annotated images out."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from act_ros.classifier import ActClassifier
from act_ros.decision import DecisionOptions
from act_ros.drawing import draw
from act_ros.msg import ActionArray, ActionLabels
from act_ros.nodes.conversions import actions_to_msg, bgr_to_image, image_to_bgr
from act_ros.nodes.options import ActOptions, ImageOptions, VideoOptions
from act_ros.person import Person
from act_ros.recognizer import Action, ActionRecognizer, WindowOptions
from act_ros.video import VideoSource

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEVEL = QoSProfile(depth=10)
"""RELIABLE, volatile: keypoints and actions."""

_THROTTLE = 5.0


def compressed_topic(topic: str) -> str:
    """Return where image_transport publishes the compressed images of ``topic``."""
    return topic if topic.endswith('/compressed') else f'{topic}/compressed'


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
        if self._drops.keys() == self._told.keys() and now - self._told_at < _THROTTLE:
            return
        self._told, self._told_at = self._drops.copy(), now
        counts = ', '.join(f'{cause}: {count}' for cause, count in self._drops.items())
        self._node.get_logger().warning(f'dropped so far: {counts}')


class SilenceLog:
    """Warns while a topic is silent: the first thing an engineer asks for."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic, self._heard = node, topic, False
        # Steady time: a silent /clock must not silence the warning.
        node.create_timer(_THROTTLE, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def heard(self) -> None:
        """Note that a message came."""
        self._heard = True

    def _check(self) -> None:
        if not self._heard:
            publishers = self._node.get_publishers_info_by_topic(self._topic)
            state = ', '.join(
                f'{p.node_name} ({p.qos_profile.reliability.name.lower()}, {p.topic_type})'
                for p in publishers)
            self._node.get_logger().warning(
                f'nothing on {self._topic} for {_THROTTLE:.0f} s; publishers: '
                f'{state or "none; check topic names and remappings"}')
        self._heard = False


class ImageInput:
    """Subscribes to images and hands on what can be decoded, the newest first."""

    def __init__(
        self, node: Node, options: ImageOptions,
        on_image: Callable[[Header, np.ndarray], None],
    ) -> None:
        self._node, self._on_image = node, on_image
        self.drops: Counter[str] = Counter()
        self._drop_log = DropLog(node, self.drops)
        topic, kind = node.resolve_topic_name('image'), Image
        if options.transport == 'compressed':
            topic, kind = compressed_topic(topic), CompressedImage
        self._silence = SilenceLog(node, topic)
        # Depth 1: while an image is being worked on, newer ones replace each other.
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[options.reliability.upper()])
        node.create_subscription(kind, topic, self._receive, qos)

    def _receive(self, msg: Image | CompressedImage) -> None:
        self._silence.heard()
        try:
            image = image_to_bgr(msg)
        except ValueError as error:
            self.drops['unreadable image'] += 1
            self._node.get_logger().error(str(error), throttle_duration_sec=_THROTTLE)
            self._drop_log.tell()
            return
        self._on_image(msg.header, image)


class VideoInput:
    """
    Plays a video or a camera in a thread of its own, since reading blocks.

    When the video is over, so is the node: the context shuts down and ``close`` raises what went
    wrong, if anything did.
    """

    def __init__(
        self, node: Node, options: VideoOptions, on_image: Callable[[Header, np.ndarray], None],
        *, is_realtime: bool = True, before: Callable[[], None] | None = None,
    ) -> None:
        """Open the source; ``before`` runs in the thread before the first frame is read."""
        self._node, self._frame_id, self._on_image = node, options.frame_id, on_image
        self._is_realtime, self._before = is_realtime, before
        self._source = VideoSource(options.source, options.loop)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def _run(self) -> None:
        try:
            if self._before:
                self._before()
            start = self._node.get_clock().now()
            for seconds, image in self._source.play(self._is_realtime):
                # The frames of a file keep their own even spacing.
                stamp = start + Duration(nanoseconds=round(seconds * 1e9))
                self._on_image(Header(stamp=stamp.to_msg(), frame_id=self._frame_id), image)
            self._node.get_logger().info(f'{self._source.name} has ended')
        except Exception as error:
            if rclpy.ok():  # else somebody shut down while a frame was being published
                self._error = error
        rclpy.try_shutdown()

    def close(self) -> None:
        """Stop playing; raises what ended the video, if that was an error."""
        self._source.close()
        self._thread.join(_THROTTLE)
        if self._error:
            raise self._error


class ActionOutput:
    """A recognizer with its topics: ``actions`` and the latched ``~/labels``."""

    def __init__(
        self, node: Node, act: ActOptions, window: WindowOptions, decision: DecisionOptions,
    ) -> None:
        self._node = node
        classifier = ActClassifier(act.bundle, act.act_threads)
        bundle = classifier.bundle
        allowed = tuple(label for label in act.labels if label)
        if allowed == ('trusted',):
            allowed = bundle.trusted_labels
        self._recognizer = ActionRecognizer(classifier, window, decision, allowed)
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
            self._node.get_logger().error(str(error), throttle_duration_sec=_THROTTLE)
            actions = None
        self._drop_log.tell()
        if actions is None:
            return []
        name = self._recognizer.classifier.bundle.name
        self._actions.publish(actions_to_msg(actions, name, header))
        return actions


class AnnotatedOutput:
    """``~/annotated``: the image with people and actions drawn in, made only when wanted."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Image, '~/annotated', QoSProfile(depth=5))

    @property
    def is_wanted(self) -> bool:
        """Whether anybody subscribes."""
        return self._publisher.get_subscription_count() > 0

    def publish(
        self, header: Header, image: np.ndarray, persons: Sequence[Person], layout: str,
        actions: Sequence[Action],
    ) -> None:
        """Draw and publish, if anybody subscribes; the image itself is left alone."""
        if self.is_wanted:
            image = image.copy()
            draw(image, persons, layout, actions)
            self._publisher.publish(bgr_to_image(image, header))
