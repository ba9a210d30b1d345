"""
Behaviour trees on ``actions``: three lines from "somebody waves" to a condition.

    monitor = ActionMonitor(node)
    if monitor.doing('wave1', confidence=0.7, seconds=0.5):
        greet()

`ActionMonitor` needs nothing but rclpy and reads a level: what the newest message says, never an
event that could be missed. `IsDoing`, `IsNobody` and `IsWatching` are the same as py_trees
conditions:

    py_trees.composites.Sequence('Greet', memory=False, children=[
        IsDoing(monitor, ('wave1', 'wave2'), confidence=0.7, key='waving'), Greet()])
"""

from __future__ import annotations

import math
from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import QoSProfile

from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.msg import Action, ActionArray

py_trees: Any = import_module('py_trees') if find_spec('py_trees') else None
_Behaviour: Any = py_trees.behaviour.Behaviour if py_trees else object
_LONGEST = 32  # labels of a person that are remembered
_STEP, _FARTHEST = 0.1, 100.0  # metres that are told apart where people were
_SLACK = 0.01  # seconds two times of the same event may differ, by rounding


class _Answers(NamedTuple):
    """A message, and what is known from those before it; times are stamps in seconds."""

    msg: ActionArray
    held: dict[str, tuple[tuple[str, float], ...]]
    """By person the labels held without a break, the earliest first: (label, its start)."""
    seen: tuple[tuple[float, float], ...]
    """When somebody was in view, the earliest first: (time, metres to the nearest)."""
    since: float
    """When the messages began to come without a break."""


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
        self._newest: _Answers | None = None
        # Depth 1: only the newest matters.
        node.create_subscription(ActionArray, topic, self._take, QoSProfile(depth=1))

    def _take(self, msg: ActionArray) -> None:
        stamp = _seconds_of(msg)
        before = self._newest
        if before is None or not 0 <= stamp - _seconds_of(before.msg) <= self._max_age:
            before = _Answers(msg, {}, (), stamp)  # nobody knows who was there meanwhile
        held = {
            action.person_id: _held(
                before.held.get(action.person_id, ()), action.label, stamp - action.duration)
            for action in msg.actions if action.status == Action.RECOGNIZED}
        # At once, for another thread may be asking.
        self._newest = _Answers(
            msg, held, _seen(before.seen, stamp, msg.actions), before.since)

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
        newest = self._newest
        return list(newest.msg.actions) if newest and self._is_fresh(newest) else []

    def _is_fresh(self, answers: _Answers | None) -> bool:
        return answers is not None and abs(self._age_of(answers)) <= self._max_age

    def _age_of(self, answers: _Answers | None) -> float:
        if answers is None:
            return math.inf
        # In integers: rclpy's own Time refuses what a stamp can say, such as one before 1970.
        stamp = to_nanoseconds(answers.msg.header.stamp)
        return (self._clock.now().nanoseconds - stamp) / NANOSECONDS

    def doing(
        self, labels: str | Collection[str], person: str = '', confidence: float = 0.0,
        seconds: float = 0.0, within: float = math.inf,
    ) -> list[str]:
        """
        Return the ids of those who are seen doing it now; an empty list is false.

        :param labels: an action, or several any of which will do.
        :param person: only this person's id; empty: anybody.
        :param confidence: least confidence of the answer now, 0 to 1. Recognized already means
            above act_node's threshold, which has a hysteresis; a limit of one's own has none.
        :param seconds: how long one or other of the labels must have held without a break, by
            the messages' stamps.
        :param within: metres from the camera; who is farther, or nobody knows where, does not
            count.
        """
        wanted = {labels} if isinstance(labels, str) else set(labels)
        newest = self._newest
        if newest is None or not self._is_fresh(newest):
            return []
        return [
            action.person_id for action in newest.msg.actions
            if action.status == Action.RECOGNIZED and action.label in wanted
            and person in ('', action.person_id) and action.confidence >= confidence
            and action.duration + _earlier(newest.held[action.person_id], wanted) >= seconds
            and _distance(action, math.inf) <= within
        ]

    @property
    def nearest(self) -> Action | None:
        """Who is in view and the nearest, whatever they do; None where no distance is known."""
        known = [action for action in self.actions
                 if action.status != Action.LOST and _distance(action, math.inf) < math.inf]
        return min(known, key=lambda action: float(action.distance), default=None)

    def is_nobody(self, seconds: float = 0.0, within: float = math.inf) -> bool:
        """
        Whether nobody has been in view for some time; False while nobody watches.

        :param seconds: for how long, by the messages' stamps, which must have come all the while.
        :param within: metres from the camera; who is farther does not count. Whoever may be
            nearer, since nobody knows the distance, does.
        """
        newest = self._newest
        if newest is None or not self._is_fresh(newest):
            return False
        now = _seconds_of(newest.msg)
        last = next((time for time, near in reversed(newest.seen) if near <= within), -math.inf)
        return last < now and now - max(last, newest.since) >= seconds - _SLACK


def _seconds_of(msg: ActionArray) -> float:
    return to_nanoseconds(msg.header.stamp) / NANOSECONDS


def _distance(action: Action, unknown: float) -> float:
    """Return metres from the camera, or what stands for them where nobody knows."""
    is_known = action.place >= Action.ESTIMATED and math.isfinite(action.distance)
    return float(action.distance) if is_known else unknown


def _seen(
    before: tuple[tuple[float, float], ...], stamp: float, actions: Collection[Action],
) -> tuple[tuple[float, float], ...]:
    """Return when somebody was how near, without the entries that a later, nearer one covers."""
    near = min((_distance(a, 0.0) for a in actions if a.status != Action.LOST), default=math.inf)
    if near == math.inf:
        return before
    near = min(math.floor(near / _STEP) * _STEP, _FARTHEST)  # so that they do not become too many
    return (*(entry for entry in before if entry[1] < near), (stamp, near))


def _held(
    before: tuple[tuple[str, float], ...], label: str, start: float,
) -> tuple[tuple[str, float], ...]:
    """Return the labels held without a break, now that ``label`` is held since ``start``."""
    if before and before[-1][0] == label and abs(before[-1][1] - start) < _SLACK:
        return before
    if before and (before[-1][0] == label or start < before[-1][1]):
        before = ()  # there was a break that went unheard, or time jumped back
    return (*before[1 - _LONGEST:], (label, start))


def _earlier(held: tuple[tuple[str, float], ...], wanted: set[str]) -> float:
    """Return the seconds for which wanted labels had held when the current one began."""
    current = since = held[-1][1]
    for label, start in reversed(held):
        if label not in wanted:
            break
        since = start
    return current - since


class IsDoing(_Behaviour):
    """
    A py_trees condition: SUCCESS while anybody (or ``person``) is doing it, else FAILURE.

    The feedback message names the people. With a ``key``, their ids are on the blackboard under
    it, for the behaviours that follow: a list, as of the last tick, empty after FAILURE.
    """

    def __init__(
        self, monitor: ActionMonitor, labels: str | Collection[str], person: str = '',
        confidence: float = 0.0, seconds: float = 0.0, name: str = '', key: str = '',
        within: float = math.inf,
    ) -> None:
        """Take a question to ``monitor``, as for `ActionMonitor.doing`."""
        _require_py_trees()
        self._labels = (labels,) if isinstance(labels, str) else tuple(labels)
        super().__init__(name or f'{person or "anybody"}: {" or ".join(self._labels)}')
        self._monitor, self._key = monitor, key
        self._person, self._limits = person, (confidence, seconds, within)
        if key:
            self._blackboard = self.attach_blackboard_client()
            self._blackboard.register_key(key, py_trees.common.Access.WRITE)

    def update(self) -> Any:
        """Ask anew."""
        persons = self._monitor.doing(self._labels, self._person, *self._limits)
        if self._key:
            self._blackboard.set(self._key, persons)
        self.feedback_message = ', '.join(persons)
        return py_trees.common.Status.SUCCESS if persons else py_trees.common.Status.FAILURE


class IsNobody(_Behaviour):
    """
    A py_trees condition: SUCCESS once nobody has been in view, or near, for some time.

    FAILURE while somebody is, and while no answers come: nobody then knows.
    """

    def __init__(
        self, monitor: ActionMonitor, seconds: float = 0.0, within: float = math.inf,
        name: str = 'nobody',
    ) -> None:
        """Take a question to ``monitor``, as for `ActionMonitor.is_nobody`."""
        _require_py_trees()
        super().__init__(name)
        self._monitor, self._seconds, self._within = monitor, seconds, within

    def update(self) -> Any:
        """Ask anew."""
        is_nobody = self._monitor.is_nobody(self._seconds, self._within)
        return py_trees.common.Status.SUCCESS if is_nobody else py_trees.common.Status.FAILURE


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
