"""
An example of a behaviour tree on ``actions``: what a robot might do about the people it sees.

Stop when somebody runs; else help who sits; else greet who waves; else wait. It says what it would
do, once for each person. Run it beside the nodes: ``ros2 run act_ros behaviour_demo``.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from act_ros.demo import TREE
from act_ros.ros.behaviours import ActionMonitor, IsDoing, IsWatching
from act_ros.ros.run import run
from act_ros.ros.topics import steady_timer

try:
    import py_trees
    from py_trees.common import Access, Status
    from py_trees.composites import Selector, Sequence
except ModuleNotFoundError as error:
    raise SystemExit('behaviour_demo needs py_trees: apt install ros-$ROS_DISTRO-py-trees, or '
                     'pip install py_trees') from error

_PERIOD = 0.1  # seconds between two ticks


class Say(py_trees.behaviour.Behaviour):
    """
    Stands for an action of the robot: tells once for each person under ``key`` what it would do.

    RUNNING until the condition before it fails, as a robot would be while it acts.
    """

    def __init__(self, what: str, key: str, say: Callable[[str], None]) -> None:
        super().__init__(what)
        self._key, self._say = key, say
        self._told: set[str] = set()
        self._blackboard = self.attach_blackboard_client()
        self._blackboard.register_key(key, Access.READ)

    def initialise(self) -> None:
        """Begin anew: those it told about before are new again."""
        self._told = set()

    def update(self) -> Status:
        """Tell about those who are new."""
        persons = set(self._blackboard.get(self._key))
        for person in sorted(persons - self._told):
            self._say(f'{self.name} ({person})')
        self._told |= persons
        return Status.RUNNING


def make_tree(monitor: ActionMonitor, say: Callable[[str], None]) -> Selector:
    """Return the tree; safety comes first, and every tick decides anew."""
    def when(key: str, what: str) -> Sequence:
        labels, seconds = TREE[key]
        doing = IsDoing(monitor, labels, seconds=seconds, key=key)
        return Sequence(key, memory=False, children=[doing, Say(what, key, say)])

    return Selector('people', memory=False, children=[
        when('running', 'stop: somebody runs'),
        when('sitting', 'help: somebody sits'),
        when('waving', 'greet: somebody waves'),
        IsWatching(monitor, 'nothing to do'),
    ])


def tick_tree(node: Node, say: Callable[[str], None], max_age: float = 1.0) -> None:
    """Tick the tree on a node, ten times a second."""
    steady_timer(node, _PERIOD, make_tree(ActionMonitor(node, max_age=max_age), say).tick_once)


class BehaviourDemoNode(Node):
    """The tree by itself; says it in the log."""

    def __init__(self) -> None:
        super().__init__('behaviour_demo')
        tick_tree(self, self.get_logger().info)


NODE = BehaviourDemoNode

if __name__ == '__main__':
    run(NODE, __doc__)
