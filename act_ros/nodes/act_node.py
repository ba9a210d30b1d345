"""
act_node: keypoints of tracked persons in, their actions out.

Subscribes ``keypoints``, which may also be detections of yolo_ros, or the bodies of REP-155
(parameter ``input``); publishes ``actions`` for every frame of them, also an empty one, and the
latched ``~/labels``. Poses of another package are published on ``~/keypoints``, too, for nodes and
bags that know only those. With ``camera_info`` and, if asked for, a registered ``depth`` image, it
says where people are, too.
"""

from __future__ import annotations

from functools import partial

from act_ros.actions.classifier import ActOptions, DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.adapters import PoseInputOptions
from act_ros.core.places import PlaceOptions
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.ros.actions import ActionModel, PoseInput
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.managed import ManagedNode, Work
from act_ros.ros.options import StartOptions
from act_ros.ros.parameters import Values
from act_ros.ros.run import run

OPTIONS = (
    ('', StartOptions), ('', PoseInputOptions), ('', StampOptions), ('', ActOptions),
    ('', MountOptions), ('window', WindowOptions), ('decision', DecisionOptions),
    ('place', PlaceOptions), ('diagnostics', HealthOptions))


class ActWork(Work):
    """Runs the Action Transformer on everybody's recent poses."""

    def __init__(self, node: ManagedNode) -> None:
        health = Health('actions')
        self.health = [health]
        self._model = ActionModel(node)
        output = self._model.output(health, node.parameters(MountOptions).rotation)
        self._poses = PoseInput(node, output)

    def check(self, values: Values) -> None:
        """Refuse what the model does not know."""
        self._model.check(values)

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        self._model.reconfigure()


NODE = partial(ManagedNode, 'act_node', OPTIONS, ActWork)

if __name__ == '__main__':
    run(NODE, __doc__)
