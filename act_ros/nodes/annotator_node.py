"""
annotator_node: images with the people and their actions drawn in, wherever somebody wants to look.

Subscribes ``image`` (or ``image/compressed``), ``keypoints`` and ``actions``, while somebody
subscribes to ``~/annotated``, and joins them by their stamps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from act_ros.core.messages import frame_of_keypoints
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import KeypointArray
from act_ros.ros.annotator import Annotator, SynchronizedAnnotator
from act_ros.ros.health import THROTTLE
from act_ros.ros.images import image_source, image_to_frame
from act_ros.ros.options import DrawingOptions, SubscriptionOptions
from act_ros.ros.parameters import Parameters
from act_ros.ros.run import run
from act_ros.ros.subscription import CameraSubscription
from act_ros.ros.topics import LEVEL, TopicLog

OPTIONS = (('', SubscriptionOptions), ('drawing', DrawingOptions))


class AnnotatorNode(Node):
    """Draws everybody in view."""

    def __init__(self) -> None:
        super().__init__('annotator_node')
        self._settings = Parameters(self, OPTIONS)
        self._annotator = Annotator(self, self._settings)
        self._annotations = SynchronizedAnnotator(
            self, self._annotator, subscribe=self._subscribe)
        self._topic_log = TopicLog(
            self, self.resolve_topic_name('keypoints'), lambda: self._annotator.is_wanted)

    def _subscribe(self) -> Sequence[Callable[[], object]]:
        # They wait for their keypoints anyway, and to draw is quick: no need to lose one.
        options = self._settings(SubscriptionOptions)
        images = CameraSubscription(
            self, image_source(self, options.transport), options, self._take_image, depth=5)
        keypoints = self.create_subscription(
            KeypointArray, 'keypoints', self._take_keypoints, LEVEL)
        return [images.close, partial(self.destroy_subscription, keypoints)]

    def _take_image(self, msg: Image | CompressedImage, _: object) -> None:
        try:
            self._annotations.add(image_to_frame(
                msg, self._settings(SubscriptionOptions).max_pixels))
        except ValueError as error:
            self.get_logger().error(printable(error, ERROR_LENGTH), throttle_duration_sec=THROTTLE)

    def _take_keypoints(self, msg: KeypointArray) -> None:
        self._topic_log.messages += 1
        self._annotations.add(frame_of_keypoints(msg))


NODE = AnnotatorNode

if __name__ == '__main__':
    run(NODE, __doc__)
