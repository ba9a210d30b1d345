"""
Behaviour trees on ``actions``: three lines from "somebody waves" to a condition.

    monitor = ActionMonitor(node)
    if monitor.doing('wave1', confidence=0.7, seconds=0.5):
        greet()

`ActionMonitor` needs nothing but rclpy and reads a level: what the newest message says, never an
event that could be missed. `IsDoing` and `IsWatching` are the same as py_trees conditions:

    py_trees.composites.Sequence('Greet', memory=False, children=[
        IsDoing(monitor, ('wave1', 'wave2'), confidence=0.7, key='waving'), Greet()])
"""

from __future__ import annotations

import math
from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time

from act_ros.msg import Action, ActionArray

py_trees: Any = import_module('py_trees') if find_spec('py_trees') else None
_Behaviour: Any = py_trees.behaviour.Behaviour if py_trees else object
_NANOSECONDS = 1e-9


class ActionMonitor:
    """
    Who does what, according to the newest message on ``actions``.

    Whoever spins the node keeps this up to date; asking never blocks. Questions may come from
    another thread than the one that spins.
    """

    def __init__(self, node: Node, topic: str = 'actions', max_age: float = 1.0) -> None:
        """
        Subscribe.

        :param node: the robot's own; its clock (with ``use_sim_time`` that of ``/clock``) says
            how old an answer is.
        :param topic: the answers' topic, resolved like any name of the node.
        :param max_age: seconds between a message's stamp and now, either way, beyond which it
            counts as none: the camera has died, or a bag has jumped away from it.
        """
        self._clock, self._max_age = node.get_clock(), max_age
        self._newest: ActionArray | None = None
        # Depth 1: only the newest matters.
        node.create_subscription(ActionArray, topic, self._take, QoSProfile(depth=1))

    def _take(self, msg: ActionArray) -> None:
        self._newest = msg

    @property
    def age(self) -> float:
        """Seconds since the newest message's stamp; infinite before the first message."""
        return self._age_of(self._newest)

    @property
    def is_fresh(self) -> bool:
        """Whether there are answers to trust; without them nobody is seen doing anything."""
        return self._is_fresh(self._newest)

    @property
    def actions(self) -> list[Action]:
        """The newest answers, one for each person watched; none if they are stale."""
        msg = self._newest  # once: another thread may replace it
        return list(msg.actions) if msg is not None and self._is_fresh(msg) else []

    def _is_fresh(self, msg: ActionArray | None) -> bool:
        return msg is not None and abs(self._age_of(msg)) <= self._max_age

    def _age_of(self, msg: ActionArray | None) -> float:
        if msg is None:
            return math.inf
        stamp = Time.from_msg(msg.header.stamp, clock_type=self._clock.clock_type)
        return float((self._clock.now() - stamp).nanoseconds * _NANOSECONDS)

    def doing(
        self, labels: str | Collection[str], person: str = '', confidence: float = 0.0,
        seconds: float = 0.0,
    ) -> list[str]:
        """
        Return the ids of those who are seen doing it now; an empty list is false.

        :param labels: an action, or several any of which will do.
        :param person: only this person's id; empty: anybody.
        :param confidence: least confidence of the answer now, 0 to 1.
        :param seconds: how long the same label must have held, by the messages' stamps.
        """
        wanted = {labels} if isinstance(labels, str) else set(labels)
        return [
            action.person_id for action in self.actions
            if action.status == Action.RECOGNIZED and action.label in wanted
            and person in ('', action.person_id)
            and action.confidence >= confidence and action.duration >= seconds
        ]


class IsDoing(_Behaviour):
    """
    A py_trees condition: SUCCESS while anybody (or ``person``) is doing it, else FAILURE.

    The feedback message names the people. With a ``key``, their ids are on the blackboard under
    it, for the behaviours that follow: a list, as of the last tick, empty after FAILURE.
    """

    def __init__(
        self, monitor: ActionMonitor, labels: str | Collection[str], person: str = '',
        confidence: float = 0.0, seconds: float = 0.0, name: str = '', key: str = '',
    ) -> None:
        """Take a question to ``monitor``, as for `ActionMonitor.doing`."""
        _require_py_trees()
        self._labels = (labels,) if isinstance(labels, str) else tuple(labels)
        super().__init__(name or f'{person or "anybody"}: {" or ".join(self._labels)}')
        self._monitor, self._key = monitor, key
        self._person, self._confidence, self._seconds = person, confidence, seconds
        if key:
            self._blackboard = self.attach_blackboard_client()
            self._blackboard.register_key(key, py_trees.common.Access.WRITE)

    def update(self) -> Any:
        """Ask anew."""
        persons = self._monitor.doing(
            self._labels, self._person, self._confidence, self._seconds)
        if self._key:
            self._blackboard.set(self._key, persons)
        self.feedback_message = ', '.join(persons)
        return py_trees.common.Status.SUCCESS if persons else py_trees.common.Status.FAILURE


class IsWatching(_Behaviour):
    """
    A py_trees condition: SUCCESS while answers are fresh, FAILURE when nobody watches any more.

    It tells "nobody runs" from "nobody looks", which matters where an action means danger.
    """

    def __init__(self, monitor: ActionMonitor, name: str = 'watching') -> None:
        """Take the monitor."""
        _require_py_trees()
        super().__init__(name)
        self._monitor = monitor

    def update(self) -> Any:
        """Look at the age of the newest message."""
        is_fresh = self._monitor.is_fresh
        self.feedback_message = '' if is_fresh else f'last answer {self._monitor.age:.1f} s ago'
        return py_trees.common.Status.SUCCESS if is_fresh else py_trees.common.Status.FAILURE


def _require_py_trees() -> None:
    if py_trees is None:
        raise ModuleNotFoundError(
            'act_ros.behaviours: the conditions need py_trees: apt install ros-$ROS_DISTRO-'
            'py-trees, or pip install py_trees. ActionMonitor works without it')
