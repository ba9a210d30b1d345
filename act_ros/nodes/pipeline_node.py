"""
pipeline_node: pose_node and act_node in one process, without images over DDS.

Opens a video file or a camera itself (parameter ``source``), or subscribes ``image``. Publishes
``~/keypoints``, ``actions``, the latched ``~/labels`` and, on demand, ``~/annotated``.
"""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from act_ros.decision import DecisionOptions
from act_ros.finder import PersonFinder
from act_ros.msg import KeypointArray
from act_ros.nodes.conversions import persons_to_msg, to_nanoseconds
from act_ros.nodes.images import AnnotatedOutput, ImageInput, VideoInput
from act_ros.nodes.options import ActOptions, ImageOptions, PoseOptions, VideoOptions
from act_ros.nodes.parameters import declare
from act_ros.nodes.run import run
from act_ros.nodes.topics import LEVEL, ActionOutput, DropLog
from act_ros.pose import create_estimator
from act_ros.recognizer import WindowOptions
from act_ros.tracking import TrackerOptions


class PipelineNode(Node):
    """From a camera to actions in one process."""

    def __init__(self) -> None:
        super().__init__('pipeline_node')
        pose, video = declare(self, PoseOptions), declare(self, VideoOptions)
        image = declare(self, ImageOptions)
        estimator = create_estimator(pose.model, pose.num_threads, pose.score_threshold)
        self._finder = PersonFinder(estimator, declare(self, TrackerOptions, 'tracker'))
        self._drop_log = DropLog(self, self._finder.drops)
        self._keypoints = self.create_publisher(KeypointArray, '~/keypoints', LEVEL)
        self._annotated = AnnotatedOutput(self)
        self._output = ActionOutput(
            self, declare(self, ActOptions), declare(self, WindowOptions, 'window'),
            declare(self, DecisionOptions, 'decision'))
        self._video: VideoInput | None = None
        if video.source:
            self._video = VideoInput(self, video, self._process)
            self._video.start()
        else:
            self._input = ImageInput(self, image, self._process)

    def _process(self, header: Header, image: np.ndarray) -> None:
        stamp = to_nanoseconds(header.stamp)
        persons = self._finder.update(stamp, image)
        self._drop_log.tell()
        if persons is None:
            return
        height, width = image.shape[:2]
        layout = self._finder.estimator.layout
        actions = self._output.publish(header, stamp, persons, layout)
        self._keypoints.publish(persons_to_msg(persons, layout, header, width, height))
        self._annotated.publish(header, image, persons, layout, actions)

    def destroy_node(self) -> None:
        """Stop the video, then destroy; raises what ended it, if that was an error."""
        try:
            if self._video:
                self._video.close()
        finally:
            super().destroy_node()


def main() -> None:
    """Run the node."""
    run(PipelineNode)


if __name__ == '__main__':
    main()
