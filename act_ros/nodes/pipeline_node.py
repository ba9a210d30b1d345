"""
pipeline_node: pose_node and act_node in one process, without images over DDS.

Opens a video file or a camera itself (parameter ``source``), or subscribes ``image``. Publishes
``~/keypoints``, ``actions``, the latched ``~/labels`` and, on demand, ``~/annotated``.
"""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from act_ros.decision import DecisionOptions
from act_ros.finder import PersonFinder
from act_ros.msg import KeypointArray
from act_ros.nodes.conversions import persons_to_msg, to_nanoseconds
from act_ros.nodes.images import AnnotatedOutput, ImageInput, VideoInput
from act_ros.nodes.managed import ManagedNode, Work
from act_ros.nodes.options import (
    ActOptions,
    ImageOptions,
    PoseOptions,
    StartOptions,
    VideoOptions,
)
from act_ros.nodes.run import run
from act_ros.nodes.topics import LEVEL, ActionOutput, DropLog
from act_ros.pose import create_estimator
from act_ros.recognizer import WindowOptions
from act_ros.tracking import TrackerOptions

OPTIONS = (
    ('', StartOptions), ('', VideoOptions), ('', ImageOptions), ('', PoseOptions),
    ('', ActOptions), ('tracker', TrackerOptions), ('window', WindowOptions),
    ('decision', DecisionOptions))


class PipelineWork(Work):
    """From a camera to actions in one process."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        pose = node.parameters(PoseOptions)
        estimator = create_estimator(pose.model, pose.num_threads, pose.score_threshold)
        self._finder = PersonFinder(estimator, node.parameters(TrackerOptions))
        self._drop_log = DropLog(node, self._finder.drops)
        self._keypoints = node.create_publisher(KeypointArray, '~/keypoints', LEVEL)
        self._annotated = AnnotatedOutput(node)
        self._output = ActionOutput(node)
        self._video: VideoInput | None = None
        if not node.parameters(VideoOptions).source:
            self._input = ImageInput(node, self._process)

    def start(self) -> None:
        """Open the video, if there is one."""
        video = self._node.parameters(VideoOptions)
        if video.source:
            self._video = VideoInput(self._node, video, self._process)
            self._video.start()

    def stop(self) -> None:
        """Close the video; raises what ended it, if that was an error."""
        if self._video:
            self._video.close()

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


class PipelineNode(ManagedNode):
    """The node of `PipelineWork`."""

    def __init__(self) -> None:
        super().__init__('pipeline_node', OPTIONS, PipelineWork)


def main() -> None:
    """Run the node."""
    run(PipelineNode)


if __name__ == '__main__':
    main()
