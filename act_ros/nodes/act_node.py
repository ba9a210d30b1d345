"""
act_node: keypoints of tracked persons in, their actions out.

Subscribes ``keypoints``; publishes ``actions`` for every one of its messages, also an empty one,
and the latched ``~/labels``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from act_ros.actions.classifier import ActOptions
from act_ros.actions.decision import DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.cdr import read_keypoints
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.msg import KeypointArray
from act_ros.ros.actions import ActionModel
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.managed import ManagedNode, Work
from act_ros.ros.options import StartOptions
from act_ros.ros.run import run
from act_ros.ros.topics import LEVEL, DropLog, TopicLog

OPTIONS = (
    ('', StartOptions), ('', StampOptions), ('', ActOptions), ('', MountOptions),
    ('window', WindowOptions), ('decision', DecisionOptions), ('diagnostics', HealthOptions))


class ActWork(Work):
    """Runs the Action Transformer on everybody's recent poses."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._health = Health('actions', node.resolve_topic_name('keypoints'))
        self.health = [self._health]
        self._model = ActionModel(node)
        self._output = self._model.output(self._health)
        drops: Counter[str] = Counter()
        self._drop_log = DropLog(node, drops)
        self._health.include_drops(drops)
        node.subscribe(KeypointArray, 'keypoints', self._act, LEVEL, is_raw=True)
        self._topic_log = TopicLog(node, self._health.source, lambda: node.is_active)

    def _act(self, data: bytes, info: Mapping[str, Any]) -> None:
        self._topic_log.reset()
        self._health.count_input(self._topic_log.number_of(info))
        try:
            frame = read_keypoints(data)
        except ValueError as error:
            self._drop_log.drop('unreadable message', error, self._health)
            return
        self._node.date(frame)
        if self._output.publish(frame):
            self._health.count_answer(self._node.age(frame.stamp), len(frame.persons))

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        self._model.reconfigure()


def main() -> None:
    """Run the node."""
    run(lambda: ManagedNode('act_node', OPTIONS, ActWork))


if __name__ == '__main__':
    main()
