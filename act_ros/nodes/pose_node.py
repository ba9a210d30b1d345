"""
pose_node: images in, keypoints of every tracked person out.

Subscribes ``image`` (or ``image/compressed``) and, to draw it, ``actions``; publishes
``~/keypoints`` for every image, also an empty one, and ``~/annotated`` on demand.
"""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from act_ros.finder import PersonFinder
from act_ros.msg import ActionArray, KeypointArray
from act_ros.nodes.conversions import msg_to_actions, persons_to_msg, to_nanoseconds
from act_ros.nodes.images import AnnotatedOutput, ImageInput
from act_ros.nodes.managed import ManagedNode, Work
from act_ros.nodes.options import ImageOptions, PoseOptions, StartOptions
from act_ros.nodes.run import run
from act_ros.nodes.topics import LEVEL, DropLog
from act_ros.pose import create_estimator
from act_ros.tracking import TrackerOptions

OPTIONS = (
    ('', StartOptions), ('', PoseOptions), ('', ImageOptions), ('tracker', TrackerOptions))


class PoseWork(Work):
    """Runs a pose network and a tracker on a camera's images."""

    def __init__(self, node: ManagedNode) -> None:
        pose = node.parameters(PoseOptions)
        estimator = create_estimator(pose.model, pose.num_threads, pose.score_threshold)
        self._finder = PersonFinder(estimator, node.parameters(TrackerOptions))
        self._drop_log = DropLog(node, self._finder.drops)
        self._keypoints = node.create_publisher(KeypointArray, '~/keypoints', LEVEL)
        self._annotated = AnnotatedOutput(node)
        self._actions = ActionArray()
        node.subscribe(ActionArray, 'actions', self._remember, 1)
        self._input = ImageInput(node, self._find)
        node.get_logger().info(f'pose network {estimator.name} is ready')

    def _find(self, header: Header, image: np.ndarray) -> None:
        persons = self._finder.update(to_nanoseconds(header.stamp), image)
        self._drop_log.tell()
        if persons is None:
            return
        height, width = image.shape[:2]
        layout = self._finder.estimator.layout
        self._keypoints.publish(persons_to_msg(persons, layout, header, width, height))
        if self._annotated.is_wanted:
            # The classifier has not seen this image yet: draw its latest answers.
            actions = msg_to_actions(self._actions)
            self._annotated.publish(header, image, persons, layout, actions)

    def _remember(self, msg: ActionArray) -> None:
        self._actions = msg


class PoseNode(ManagedNode):
    """The node of `PoseWork`."""

    def __init__(self) -> None:
        super().__init__('pose_node', OPTIONS, PoseWork)


def main() -> None:
    """Run the node."""
    run(PoseNode)


if __name__ == '__main__':
    main()
