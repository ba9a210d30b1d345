"""
act_node: keypoints of tracked persons in, their actions out.

Subscribes ``keypoints``; publishes ``actions`` for every one of its messages, also an empty one,
and the latched ``~/labels``.
"""

from __future__ import annotations

from rclpy.node import Node

from act_ros.decision import DecisionOptions
from act_ros.msg import KeypointArray
from act_ros.nodes.conversions import msg_to_persons, to_nanoseconds
from act_ros.nodes.options import ActOptions
from act_ros.nodes.parameters import declare
from act_ros.nodes.run import run
from act_ros.nodes.topics import LEVEL, ActionOutput, SilenceLog
from act_ros.recognizer import WindowOptions


class ActNode(Node):
    """Runs the Action Transformer on everybody's recent poses."""

    def __init__(self) -> None:
        super().__init__('act_node')
        self._output = ActionOutput(
            self, declare(self, ActOptions), declare(self, WindowOptions, 'window'),
            declare(self, DecisionOptions, 'decision'))
        subscription = self.create_subscription(KeypointArray, 'keypoints', self._act, LEVEL)
        self._silence = SilenceLog(self, subscription.topic_name)

    def _act(self, msg: KeypointArray) -> None:
        self._silence.heard()
        self._output.publish(
            msg.header, to_nanoseconds(msg.header.stamp), msg_to_persons(msg), msg.layout)


def main() -> None:
    """Run the node."""
    run(ActNode)


if __name__ == '__main__':
    main()
