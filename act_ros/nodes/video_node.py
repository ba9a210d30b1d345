"""
video_node: a video file or a V4L2 device as a camera.

Publishes ``image`` (or ``image/compressed``), reliably, which also reaches best-effort
subscribers. Ends, with exit status 0, when a file that does not loop has been played.
"""

from __future__ import annotations

import threading
import time

import cv2
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from act_ros.core.frame import Frame
from act_ros.core.stamps import to_nanoseconds
from act_ros.msg import ActionArray
from act_ros.ros.health import THROTTLE
from act_ros.ros.images import VideoInput, bgr_to_image, image_source
from act_ros.ros.options import PublishOptions, VideoOptions
from act_ros.ros.parameters import Parameters
from act_ros.ros.run import run
from act_ros.ros.topics import LEVEL, to_header

OPTIONS = (('', VideoOptions), ('', PublishOptions))
_ANSWER_TIMEOUT = 2.0  # seconds after which 'consumed' goes on: a dropped frame is no deadlock


class VideoNode(Node):
    """Plays a file or a camera into a topic."""

    def __init__(self) -> None:
        super().__init__('video_node')
        # First of all: newer versions of rclpy destroy a node, too, whose parameters were refused.
        self._input: VideoInput | None = None
        parameters = Parameters(self, OPTIONS)
        video, self._options = parameters(VideoOptions), parameters(PublishOptions)
        if not video.source:
            raise ValueError('parameter source is empty; give a video file or a camera device')
        topic, kind = image_source(self, self._options.transport)
        self._publisher = self.create_publisher(kind, topic, QoSProfile(depth=2))
        self._answered = threading.Condition()
        self._newest_answer, self._is_ending = -1, False
        if self._options.pace == 'consumed':
            self.create_subscription(ActionArray, 'actions', self._hear, LEVEL)
        self._input = VideoInput(
            self, video, self._publish, is_realtime=self._options.pace == 'realtime',
            before=self._wait_for_subscriber)
        self._input.start()

    def _publish(self, frame: Frame) -> None:
        self._publisher.publish(self._message(frame))
        if self._options.pace == 'consumed':
            self._wait_for_answer(frame.stamp)

    def _message(self, frame: Frame) -> Image | CompressedImage:
        assert frame.image is not None
        if self._options.transport == 'raw':
            return bgr_to_image(frame.image, to_header(frame))
        msg = CompressedImage(header=to_header(frame), format='bgr8; jpeg compressed bgr8')
        msg.data.frombytes(cv2.imencode('.jpg', frame.image)[1].data)
        return msg

    def _wait_for_subscriber(self) -> None:
        deadline = time.monotonic() + self._options.wait
        while rclpy.ok() and time.monotonic() < deadline:
            # An answering node that is not there yet would miss the first frames.
            is_heard = (self._options.pace == 'realtime'
                        or self.count_publishers(self.resolve_topic_name('actions')) > 0)
            if self._publisher.get_subscription_count() > 0 and is_heard:
                return
            time.sleep(0.05)

    def _hear(self, msg: ActionArray) -> None:
        with self._answered:
            self._newest_answer = to_nanoseconds(msg.header.stamp)
            self._answered.notify()

    def _wait_for_answer(self, stamp: int) -> None:
        with self._answered:
            if not self._answered.wait_for(
                    lambda: self._is_ending or self._newest_answer >= stamp, _ANSWER_TIMEOUT):
                self.get_logger().warning(
                    'nobody answered a frame; is act_node up?', throttle_duration_sec=THROTTLE)

    def destroy_node(self) -> None:
        """Stop playing, then destroy; raises what ended the video, if that was an error."""
        try:
            if self._input:
                with self._answered:
                    self._is_ending = True  # nobody spins any more, to hear an answer
                    self._answered.notify()
                self._input.close()
        finally:
            super().destroy_node()


NODE = VideoNode

if __name__ == '__main__':
    run(NODE, __doc__)
