"""
act_node: keypoints of tracked persons in, their actions out.

Subscribes ``keypoints``; publishes ``actions`` for every one of its messages, also an empty one,
and the latched ``~/labels``.
"""

from __future__ import annotations

from act_ros.decision import DecisionOptions
from act_ros.msg import KeypointArray
from act_ros.nodes.conversions import msg_to_persons, to_nanoseconds
from act_ros.nodes.managed import ManagedNode, Work
from act_ros.nodes.options import ActOptions, StartOptions
from act_ros.nodes.run import run
from act_ros.nodes.topics import LEVEL, ActionOutput, SilenceLog
from act_ros.recognizer import WindowOptions

OPTIONS = (
    ('', StartOptions), ('', ActOptions), ('window', WindowOptions), ('decision', DecisionOptions))


class ActWork(Work):
    """Runs the Action Transformer on everybody's recent poses."""

    def __init__(self, node: ManagedNode) -> None:
        self._output = ActionOutput(node)
        topic = node.subscribe(KeypointArray, 'keypoints', self._act, LEVEL).topic_name
        self._silence = SilenceLog(node, topic, lambda: node.is_active)

    def _act(self, msg: KeypointArray) -> None:
        self._silence.heard()
        self._output.publish(
            msg.header, to_nanoseconds(msg.header.stamp), msg_to_persons(msg), msg.layout)


class ActNode(ManagedNode):
    """The node of `ActWork`."""

    def __init__(self) -> None:
        super().__init__('act_node', OPTIONS, ActWork)


def main() -> None:
    """Run the node."""
    run(ActNode)


if __name__ == '__main__':
    main()
