"""Images into nodes: messages, subscriptions and videos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic_ns
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from act_ros.core.frame import MAX_PIXELS, Frame
from act_ros.core.stamps import NANOSECONDS, StampOptions, receive, to_nanoseconds
from act_ros.core.text import printable
from act_ros.persons.decoding import decode
from act_ros.persons.images import UnknownEncodingError
from act_ros.persons.video import VideoSource
from act_ros.ros.health import MANY_LOST, Health
from act_ros.ros.managed import ManagedNode
from act_ros.ros.options import ImageOptions, VideoOptions
from act_ros.ros.subscription import CameraSubscription
from act_ros.ros.topics import TopicLog, topic_of

_END_TIME = 6.0  # seconds that a video is given to end; that of a silent camera takes five


def image_to_bgr(
    msg: Image | CompressedImage, max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """
    Return an image message as uint8 (H, W, 3) BGR, perhaps a read-only view of it.

    Encodings that act_ros does not know are left to cv_bridge.

    :raises ValueError: the image cannot be read; says why.
    """
    try:
        return decode(msg, max_pixels)
    except UnknownEncodingError as error:
        return _by_cv_bridge(msg, error)


def _by_cv_bridge(msg: Image, error: UnknownEncodingError) -> np.ndarray:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        raise ValueError(f'{error}; install cv_bridge to read others') from error
    try:
        image: np.ndarray = CvBridge().imgmsg_to_cv2(msg, 'bgr8')
    except (CvBridgeError, RuntimeError, TypeError, KeyError) as reason:
        raise ValueError(f'{error}; nor does cv_bridge read it: {reason}') from reason
    return image


def bgr_to_image(image: np.ndarray, header: Header) -> Image:
    """Return a uint8 (H, W, 3) BGR array as a message."""
    height, width = image.shape[:2]
    msg = Image(header=header, height=height, width=width, encoding='bgr8', step=3 * width)
    # The generated setter looks at every byte of anything but an array.array.
    msg.data.frombytes(np.ascontiguousarray(image).data)
    return msg


def image_source(node: Node, transport: str, camera: str = '') -> tuple[str, type]:
    """Return topic and type of a camera's images, where image_transport has them."""
    topic = node.resolve_topic_name(topic_of(camera, 'image'))
    if transport == 'raw':
        return topic, Image
    return topic if topic.endswith('/compressed') else f'{topic}/compressed', CompressedImage


def image_to_frame(msg: Image | CompressedImage, max_pixels: int = MAX_PIXELS) -> Frame:
    """Return an image message as a frame; errors as those of `image_to_bgr`."""
    image = image_to_bgr(msg, max_pixels)
    return Frame(to_nanoseconds(msg.header.stamp), msg.header.frame_id, image.shape[1::-1],
                 image=image)


class ImageInput:
    """
    Subscribes to images and hands on those that can be decoded.

    Of those that come while one is being worked on, only the newest is taken.
    """

    def __init__(
        self, node: ManagedNode, health: Health, on_frame: Callable[[Frame], None],
        camera: str = '',
    ) -> None:
        self._node, self._health, self._on_frame = node, health, on_frame
        self._stamps = node.parameters(StampOptions).stamps
        self._clock = node.get_clock()
        options = node.parameters(ImageOptions)
        topic, kind = image_source(node, options.transport, camera)
        self._topic_log = TopicLog(
            node, topic, lambda: node.is_active, is_source=True, health=health)
        self._subscription = CameraSubscription(
            node, (topic, kind), options, self._receive,
            subscribe=partial(node.subscribe, health=health), lost=self._lost)
        health.source = topic

    def _lost(self, count: int) -> None:
        share = self._health.count_lost(count)
        if share > MANY_LOST:
            self._node.get_logger().warning(
                f'{100 * share:.0f} % of the images on {self._health.source} are lost on the way: '
                'see doc/operations.md, Cameras and Fast DDS', throttle_duration_sec=60.0)

    def _receive(self, msg: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        self._topic_log.messages += 1
        self._health.count_input(info.get('publication_sequence_number'))
        try:
            frame = image_to_frame(msg, self._node.parameters(ImageOptions).max_pixels)
        except ValueError as error:
            self._health.drop('unreadable image', error)
            return
        receive(frame, self._clock.now().nanoseconds, self._stamps, monotonic_ns())
        self._on_frame(frame)


class VideoInput:
    """
    Plays a video or a camera in a thread of its own, since reading blocks.

    When the video ends by itself, it shuts the context down, and so ends the node; ``close`` then
    raises the error that ended it, if it was one.
    """

    def __init__(
        self, node: Node, options: VideoOptions, on_frame: Callable[[Frame], None], *,
        is_realtime: bool = True, before: Callable[[], None] | None = None,
    ) -> None:
        """Open the source; ``before`` runs in the thread before the first frame is read."""
        self._node, self._frame_id, self._on_frame = node, options.frame_id, on_frame
        self._is_realtime, self._before = is_realtime, before
        self._source = VideoSource(
            options.source, options.loop, warn=node.get_logger().warning)
        self._error: Exception | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def _run(self) -> None:
        try:
            if self._before:
                self._before()
            start = None
            for seconds, image in self._source.play(self._is_realtime):
                # The frames of a file keep their own times, from when the first one is there.
                passed = round(seconds * NANOSECONDS)
                if start is None:
                    start = self._node.get_clock().now().nanoseconds - passed
                self._on_frame(Frame(
                    start + passed, self._frame_id, image.shape[1::-1], image=image))
            if not self._is_closed:
                self._node.get_logger().info(f'{printable(self._source.name)} has ended')
        except Exception as error:
            if rclpy.ok():  # else somebody shut down while a frame was being published
                self._error = error
        if not self._is_closed:
            rclpy.try_shutdown()

    def close(self) -> None:
        """Stop playing; raises what ended the video, if that was an error."""
        self._is_closed = True
        self._source.close()
        self._thread.join(_END_TIME)
        if self._thread.is_alive():
            self._node.get_logger().error(
                f'{printable(self._source.name)} does not end: what its last frame publishes is '
                'lost')
        if self._error:
            raise self._error
