"""
act_node: keypoints of tracked persons in, their actions out.

Subscribes ``keypoints``, which may also be detections of yolo_ros, or the bodies of REP-155
(parameter ``input``); publishes ``actions`` for every frame of them, also an empty one, and the
latched ``~/labels``. Poses of another package are published on ``~/keypoints``, too, for nodes and
bags that know only those. With ``camera_info`` and, if asked for, a registered ``depth`` image, it
says where people are, too.
"""

from __future__ import annotations

from act_ros.actions.classifier import ActOptions, DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.adapters import PoseInputOptions
from act_ros.core.frame import Frame
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.msg import KeypointArray
from act_ros.ros.actions import ActionModel
from act_ros.ros.conversions import to_keypoints
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.managed import ManagedNode, Work
from act_ros.ros.options import PlaceOptions, StartOptions
from act_ros.ros.poses import PoseInput
from act_ros.ros.run import run
from act_ros.ros.topics import LEVEL

OPTIONS = (
    ('', StartOptions), ('', PoseInputOptions), ('', StampOptions), ('', ActOptions),
    ('', MountOptions), ('window', WindowOptions), ('decision', DecisionOptions),
    ('place', PlaceOptions), ('diagnostics', HealthOptions))


class ActWork(Work):
    """Runs the Action Transformer on everybody's recent poses."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._health = Health('actions')
        self.health = [self._health]
        self._model = ActionModel(node)
        self._output = self._model.output(
            self._health, node.parameters(MountOptions).rotation)
        self._poses = PoseInput(node, self._health, self._act)
        self._keypoints = None if node.parameters(PoseInputOptions).input == 'keypoints' else (
            node.create_publisher(KeypointArray, '~/keypoints', LEVEL))

    def _act(self, frame: Frame) -> None:
        self._node.date(frame)
        self._poses.reconfigure(self._output.places.image_size)
        if self._keypoints:
            self._keypoints.publish(to_keypoints(frame))
        if self._output.publish(frame):
            self._health.count_answer(self._node.age(frame.stamp), len(frame.persons))

    def stop(self) -> None:
        """Listen to nobody's own topic any more."""
        self._poses.stop()

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        self._model.reconfigure()
        self._poses.reconfigure(self._output.places.image_size)


def main() -> None:
    """Run the node."""
    run(lambda: ManagedNode('act_node', OPTIONS, ActWork))


if __name__ == '__main__':
    main()
