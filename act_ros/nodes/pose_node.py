"""
pose_node: images in, keypoints of every tracked person out.

Subscribes ``image`` (or ``image/compressed``); publishes ``~/keypoints`` for every image, also an
empty one. While somebody subscribes to ``~/annotated``, it does what annotator_node does, too.
"""

from __future__ import annotations

from functools import partial

from act_ros.core.frame import Frame
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.persons.models import PoseOptions
from act_ros.persons.tracker import TrackerOptions
from act_ros.ros.annotator import Annotator, SynchronizedAnnotator
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.images import ImageInput
from act_ros.ros.managed import ManagedNode, Work
from act_ros.ros.options import DrawingOptions, ImageOptions, StartOptions
from act_ros.ros.persons import PersonOutput, load_estimator
from act_ros.ros.run import run

OPTIONS = (
    ('', StartOptions), ('', PoseOptions), ('', MountOptions), ('', StampOptions),
    ('', ImageOptions), ('tracker', TrackerOptions), ('drawing', DrawingOptions),
    ('diagnostics', HealthOptions))


class PoseWork(Work):
    """Runs a pose network and a tracker on a camera's images."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._health = Health('images')
        self.health = [self._health]
        estimator = load_estimator(node, self._health)
        self._output = PersonOutput(
            node, estimator, self._health, node.parameters(MountOptions).rotation)
        self._annotator = Annotator(node, node.parameters, subscribe=node.subscribe)
        # Actions are made of these keypoints, elsewhere: they come back to be drawn.
        self._annotations = SynchronizedAnnotator(node, self._annotator, lambda: node.is_active)
        self._input = ImageInput(node, self._health, self._find)
        node.get_logger().info(f'pose network {estimator.name} is ready')

    def _find(self, frame: Frame) -> None:
        if self._output.find(frame):
            self._output.publish(frame)
            self._health.count_answer(
                self._node.get_clock().now().nanoseconds - frame.stamp, len(frame.persons))
            self._annotations.add(frame)

    def stop(self) -> None:
        """End the subscriptions of what is drawn."""
        self._annotations.close()

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        self._output.reconfigure()


NODE = partial(ManagedNode, 'pose_node', OPTIONS, PoseWork)

if __name__ == '__main__':
    run(NODE, __doc__)
