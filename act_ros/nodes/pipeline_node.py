"""
pipeline_node: pose_node and act_node in one process, without images over DDS.

Opens a video file or a camera itself (parameter ``source``), or subscribes ``image``. Publishes
``~/keypoints``, ``actions``, the latched ``~/labels`` and, on demand, ``~/annotated``.
"""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from act_ros.decision import DecisionOptions
from act_ros.health import Health, HealthOptions
from act_ros.nodes.actions import ActionModel
from act_ros.nodes.images import ImageInput, VideoInput
from act_ros.nodes.managed import ManagedNode, Work
from act_ros.nodes.options import (
    ActOptions,
    DrawingOptions,
    ImageOptions,
    PoseOptions,
    StartOptions,
    VideoOptions,
)
from act_ros.nodes.persons import PersonOutput, load_estimator
from act_ros.nodes.run import run
from act_ros.recognizer import WindowOptions
from act_ros.tracking import TrackerOptions

OPTIONS = (
    ('', StartOptions), ('', VideoOptions), ('', ImageOptions), ('', PoseOptions),
    ('', ActOptions), ('tracker', TrackerOptions), ('window', WindowOptions),
    ('decision', DecisionOptions), ('drawing', DrawingOptions), ('diagnostics', HealthOptions))


class PipelineWork(Work):
    """From a camera to actions in one process."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._health = Health('images')
        self.health = [self._health]
        self._persons = PersonOutput(node, load_estimator(node, self._health), self._health)
        self._model = ActionModel(node)
        self._actions = self._model.output(self._health)
        self._video: VideoInput | None = None
        if not node.parameters(VideoOptions).source:
            self._input = ImageInput(node, self._health, self._process)

    def start(self) -> None:
        """Open the video, if there is one."""
        video = self._node.parameters(VideoOptions)
        if video.source:
            self._health.source = video.source
            self._video = VideoInput(self._node, video, self._play)
            self._video.start()

    def stop(self) -> None:
        """Close the video; raises what ended it, if that was an error."""
        if self._video:
            self._video.close()

    def adjust(self) -> None:
        """Take over the node's parameters."""
        self._persons.adjust()
        self._model.adjust()

    def _play(self, header: Header, image: np.ndarray) -> None:
        self._health.heard()
        self._process(header, image)

    def _process(self, header: Header, image: np.ndarray) -> None:
        with self._node.lock:  # a video plays in a thread of its own
            persons = self._persons.find(header, image)
            if persons is None:
                return
            actions = self._actions.publish(header, persons, self._persons.layout)
            self._health.answered(self._node.age(header), len(persons))
            self._persons.publish(header, image, persons)
            self._persons.annotate(header, image, persons, actions or ())


class PipelineNode(ManagedNode):
    """The node of `PipelineWork`."""

    def __init__(self) -> None:
        super().__init__('pipeline_node', OPTIONS, PipelineWork)


def main() -> None:
    """Run the node."""
    run(PipelineNode)


if __name__ == '__main__':
    main()
