"""Behaviours on the answers of a real act_node, in simulation time that the test makes."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time as RclpyTime
from robot import FRAME, START, Robot, frame, walker
from ros_harness import ROOT, START_LIMIT, bench
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from synthetic import bundle_of, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.core.person import Person
from act_ros.msg import Action, ActionArray
from act_ros.ros.behaviours import ActionMonitor, IsDoing, IsNobody, IsWatching
from act_ros.ros.topics import to_time

SECOND = 1_000_000_000
# What the tiny network takes for these: standing, walk, wave.
LABELS = ('sitting', 'run', 'wave1')


class Scene:
    """A running act_node, /clock, and a monitor in a node of its own clock."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.peer, self.now = robot, robot.peer, START
        node = self.peer.node
        node.set_parameters([Parameter('use_sim_time', value=True)])
        self.monitor = ActionMonitor(node)
        self.clock = self.peer.publisher(Clock, '/clock')

    def set_time(self, now: int) -> None:
        """Let simulation time be ``now``."""
        self.now = now
        self.clock.publish(Clock(clock=to_time(now)))
        self.peer.wait(
            lambda: self.peer.node.get_clock().now().nanoseconds == now, 'the time')

    def show(self, index: int, persons: list[Person]) -> ActionArray:
        """Let a frame be seen, and wait until the monitor has heard the answer."""
        self.set_time(START + index * FRAME)
        answer = self.robot.ask(frame(index, persons))
        self.peer.wait(lambda: abs(self.monitor.age) < 1e-6, 'the monitor')
        return answer


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Yield an act_node that knows sitting, running and waving."""
    bundle = save_bundle(tmp_path, bundle_of(labels=LABELS), tiny_model())
    with bench(tmp_path) as made:
        yield Scene(Robot(made, made.start(
            'act_node', {'bundle': str(bundle), 'use_sim_time': True,
                         'decision.threshold': 0.1})))  # from one label straight to another


def test_the_monitor_reads_a_level_and_ages(scene: Scene) -> None:
    """Who does what, for how long and how surely; nobody does anything in stale answers."""
    monitor = scene.monitor
    patient = ActionMonitor(scene.peer.node, max_age=math.inf)
    assert not patient.is_fresh  # nothing is not old, but nothing
    assert not monitor.is_fresh and monitor.age == math.inf and monitor.doing(LABELS) == []

    for i in range(60):
        answer = scene.show(i, [walker(i), walker(i, 'p2', 'wave', 120.0)])
        if answer.actions[0].status == Action.BUFFERING:
            assert monitor.doing(LABELS) == []
    runner = answer.actions[0]
    assert (runner.person_id, runner.label) == ('p1', 'run')
    for _ in range(2):  # asking changes nothing
        assert monitor.doing('run') == ['p1'] and monitor.doing('wave1') == ['p2']
    assert monitor.doing(('run', 'wave1')) == ['p1', 'p2'] and not monitor.doing('sitting')
    assert monitor.doing('run', person='p1') and not monitor.doing('run', person='p2')
    assert monitor.doing('run', confidence=runner.confidence)
    assert not monitor.doing('run', confidence=runner.confidence + 1e-4)
    assert monitor.doing('run', seconds=runner.duration)
    assert not monitor.doing('run', seconds=runner.duration + FRAME / SECOND)

    # From one label to another: each has held for its own time, either for the whole.
    for i in range(60, 100):
        answer = scene.show(i, [walker(i, 'p1', 'wave'), walker(i, 'p2', 'wave', 120.0)])
    waver, steady = answer.actions
    assert waver.label == steady.label == 'wave1' and waver.duration < 1.0 < steady.duration
    assert monitor.doing('wave1', seconds=1.0) == ['p2']
    assert monitor.doing(('run', 'wave1'), seconds=steady.duration - 0.2) == ['p1', 'p2']
    assert not monitor.doing(('run', 'wave1'), person='p1', seconds=100 * FRAME / SECOND)

    # A pause: time stands still, and so does what is known.
    scene.clock.publish(Clock(clock=to_time(scene.now)))
    scene.peer.executor.spin_once(timeout_sec=0.1)
    assert monitor.doing('wave1') == ['p1', 'p2']
    # Time goes on, but no answers come; or it jumps back: what is known is of another time.
    last = scene.now
    for seconds in (0.9, 1.1, -0.9, -1.1):
        scene.set_time(last + round(seconds * SECOND))
        assert monitor.is_fresh == (abs(seconds) < 1.0) == bool(monitor.doing('wave1'))
        assert monitor.age == pytest.approx(seconds)
        assert patient.doing('wave1') == ['p1', 'p2']

    # Out of sight: reported, but not as doing anything.
    for i in range(100, 120):
        answer = scene.show(i, [])
    assert [(a.status, a.label) for a in answer.actions] == [
        (Action.LOST, 'wave1'), (Action.LOST, 'wave1')]
    # By their text, for no NaN equals another.
    assert monitor.is_fresh and repr(monitor.actions) == repr(list(answer.actions))
    assert monitor.doing(LABELS) == []


@pytest.mark.parametrize('stamp', [
    Time(sec=-1), Time(sec=-2**31, nanosec=2**32 - 1), Time(sec=2**31 - 1, nanosec=2**32 - 1)])
def test_no_stamp_raises(stamp: Time) -> None:
    """One before 1970, and one that rclpy cannot count."""
    context = Context()
    rclpy.init(context=context, domain_id=100)
    try:
        node = Node('robot', context=context)
        monitor = ActionMonitor(node)
        (subscription,) = (s for s in node.subscriptions if s.topic_name == '/actions')
        subscription.callback(ActionArray(header=Header(stamp=stamp), actions=[
            Action(person_id='p1', label='run', status=Action.RECOGNIZED)]))
        assert not monitor.is_fresh and monitor.doing('run') == [] and abs(monitor.age) > 1e8
    finally:
        rclpy.shutdown(context=context)


class Alone:
    """A monitor that is told answers directly, in a node without peers."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=100)
        self.node = Node('robot', context=self.context)
        self.node.set_parameters([Parameter('use_sim_time', value=True)])
        self.monitor = ActionMonitor(self.node)
        (self._subscription,) = (
            s for s in self.node.subscriptions if s.topic_name == '/actions')
        self.hear = self._subscription.callback

    def set_time(self, seconds: float) -> Time:
        """Let it be a time, as /clock would; return it."""
        stamp = to_time(START + round(seconds * SECOND))
        clock: Any = self.node.get_clock()
        clock.set_ros_time_override(RclpyTime.from_msg(stamp))
        return stamp

    def tell(self, seconds: float, **distances: float) -> None:
        """Let who is how far away be told at a time, which is now; NaN: nobody knows how far."""
        stamp = self.set_time(seconds)
        self.hear(ActionArray(header=Header(stamp=stamp), actions=[
            Action(person_id=id, label='run', status=Action.RECOGNIZED, distance=distance,
                   place=Action.BEARING if math.isnan(distance) else Action.ESTIMATED)
            for id, distance in distances.items()]))


@pytest.fixture
def alone() -> Iterator[Alone]:
    """Yield a monitor."""
    made = Alone()
    yield made
    rclpy.shutdown(context=made.context)


def test_who_is_near(alone: Alone) -> None:
    """Whom nobody knows to be near is not near; and not the nearest."""
    monitor = alone.monitor
    assert monitor.nearest is None
    alone.tell(0.0, p1=4.0, p2=2.5, p3=math.nan)
    assert monitor.nearest is not None and monitor.nearest.person_id == 'p2'
    assert monitor.doing('run') == ['p1', 'p2', 'p3']
    assert monitor.doing('run', within=4.0) == ['p1', 'p2']
    assert monitor.doing('run', within=3.0) == ['p2'] and monitor.doing('run', within=2.0) == []
    alone.tell(0.1, p3=math.nan)
    assert monitor.nearest is None


@pytest.mark.parametrize('distance', [math.nan, math.inf])
def test_a_distance_that_is_no_number_is_not_known(alone: Alone, distance: float) -> None:
    """Of whatever sender: somebody is there, perhaps near, and the robot's own node goes on."""
    alone.hear(ActionArray(header=Header(stamp=alone.set_time(0.0)), actions=[
        Action(person_id='p1', label='run', status=Action.RECOGNIZED, distance=distance,
               place=Action.MEASURED)]))
    monitor = alone.monitor
    assert not monitor.is_nobody() and not monitor.is_nobody(within=1.0)
    assert monitor.doing('run') == ['p1'] and monitor.doing('run', within=100.0) == []
    assert monitor.nearest is None


def test_what_was_done_before_a_gap_is_not_held(alone: Alone) -> None:
    """Nobody knows what was done meanwhile."""
    for seconds, label, duration in ((12.0, 'walk', 2.0), (100.0, 'run', 1.0)):
        stamp = alone.set_time(seconds)
        alone.hear(ActionArray(header=Header(stamp=stamp), actions=[
            Action(person_id='p1', label=label, status=Action.RECOGNIZED, duration=duration)]))
        assert alone.monitor.doing(('walk', 'run'), seconds=1.0) == ['p1']
        assert alone.monitor.doing(('walk', 'run'), seconds=1.9) == ['p1'] * (seconds == 12.0)


def test_one_or_other_is_held_from_the_first_of_them_on_and_a_break_ends_it(alone: Alone) -> None:
    """Also a break that no message told of: the same label begins later, or time goes back."""
    def hold(seconds: float, label: str, duration: float) -> None:
        stamp = alone.set_time(seconds)
        alone.hear(ActionArray(header=Header(stamp=stamp), actions=[
            Action(person_id='p1', label=label, status=Action.RECOGNIZED, duration=duration)]))

    def held(*labels: str) -> float:
        """Return for how many seconds any of the labels has held, in tenths."""
        return max(i for i in range(100) if not i or alone.monitor.doing(
            labels, seconds=i / 10 - 0.01)) / 10

    for i in range(41):  # walk, run, walk, run: a second each
        hold(i / 10, ('walk', 'run')[i // 10 % 2], i % 10 / 10)
    assert held('walk', 'run') == 4.0 and held('run') == 0.0 and held('walk') == 0.0
    hold(4.5, 'run', 0.5)
    assert held('walk', 'run') == 4.5 and held('run') == 0.5
    hold(5.0, 'run', 0.3)
    assert held('walk', 'run') == held('run') == 0.3
    hold(5.1, 'walk', 2.0)
    assert held('walk', 'run') == held('walk') == 2.0
    assert [action.label for action in alone.monitor.actions] == ['walk']
    alone.set_time(6.2)
    assert held('walk', 'run') == 0.0 and alone.monitor.actions == []


def test_nobody_for_some_time(alone: Alone) -> None:
    """By the stamps, near or at all; who may be near is; and nobody looking is not nobody there."""
    monitor = alone.monitor
    assert not monitor.is_nobody()
    alone.tell(0.0)
    assert monitor.is_nobody() and not monitor.is_nobody(0.5)  # as if there had been somebody
    for i in range(1, 61):  # walks away, then is gone
        alone.tell(i / 10, **({'p1': 1.05 + i / 10} if i <= 30 else {}))
        assert monitor.is_nobody() == (i > 30)
        assert monitor.is_nobody(within=2.05) == (i > 10)
    assert monitor.is_nobody(3.0) and not monitor.is_nobody(3.1)
    assert monitor.is_nobody(5.0, within=2.05) and not monitor.is_nobody(5.1, within=2.05)
    assert monitor.is_nobody(6.0, within=0.5) and not monitor.is_nobody(6.1, within=0.5)
    alone.tell(6.0)  # once more
    assert monitor.is_nobody(6.0, within=0.5)
    alone.set_time(7.1)  # the camera has died
    assert not monitor.is_nobody() and not monitor.is_nobody(within=0.5)
    alone.tell(6.1, p2=math.nan)
    assert not monitor.is_nobody(within=0.5)
    alone.tell(6.2)
    alone.tell(9.0)  # a gap, in which anybody may have been there
    assert monitor.is_nobody() and not monitor.is_nobody(0.1)
    alone.tell(3.0)  # a bag that loops
    assert monitor.is_nobody() and not monitor.is_nobody(0.1)


def test_conditions_of_place_and_absence(alone: Alone) -> None:
    """As the monitor answers."""
    pytest.importorskip('py_trees')
    near = IsDoing(alone.monitor, 'run', within=3.0)
    nobody, gone = IsNobody(alone.monitor, 1.0), IsNobody(alone.monitor, within=3.0)

    def tick() -> str:
        for condition in (near, nobody, gone):
            condition.tick_once()
        return ' '.join(condition.status.name[0] for condition in (near, nobody, gone))

    assert tick() == 'F F F'
    alone.tell(0.0, p1=2.0)
    assert tick() == 'S F F' and near.feedback_message == 'p1'
    alone.tell(0.5, p1=4.0)
    assert tick() == 'F F S'
    alone.tell(1.0)
    assert tick() == 'F F S'
    alone.tell(1.5)
    assert tick() == 'F S S'


def test_the_example_tree_stops_helps_and_greets(scene: Scene) -> None:
    """In order of urgency, once for each person, beside the node that runs the same tree."""
    pytest.importorskip('py_trees')
    from act_ros.demo.behaviour_demo import make_tree

    said: list[str] = []
    tree = make_tree(scene.monitor, said.append)
    tree.tick_once()
    assert (tree.status.name, tree.children[-1].feedback_message) == (
        'FAILURE', 'last answer inf s ago')
    demo = scene.robot.bench.start('behaviour_demo', {'use_sim_time': True})
    scene.peer.wait(lambda: scene.clock.get_subscription_count() == 3, 'the demo node')
    scene.peer.wait(lambda: scene.peer.node.count_subscribers('/actions') == 3, 'the demo node')

    index = count()

    def play(least: int, *who: tuple[str, str, float], until: str = '') -> None:
        """Show frames, and more of them until the demo node, too, has had time to say it."""
        last = next(index) + least
        deadline = time.monotonic() + START_LIMIT
        for i in index:
            scene.show(i, [walker(i, id, motion, x) for id, motion, x in who])
            tree.tick_once()
            if i >= last:
                if until in demo.log:
                    break
                assert time.monotonic() < deadline, f'the demo node never said {until!r}'
                scene.peer.executor.spin_once(timeout_sec=0.02)

    waver, runner, sitter = ('p1', 'wave', 120.0), ('p2', 'walk', 320.0), ('p3', 'stand', 520.0)
    play(40, waver, until='greet: somebody waves (p1)')
    assert said == ['greet: somebody waves (p1)'] and tree.status.name == 'RUNNING'
    play(50, waver, runner, until='stop: somebody runs (p2)')
    assert said[1:] == ['stop: somebody runs (p2)']
    play(30, waver)  # the runner has left
    assert said[2:] == ['greet: somebody waves (p1)']
    play(70, waver, sitter, until='help: somebody sits (p3)')
    assert said[3:] == ['help: somebody sits (p3)']
    play(60)
    assert [child.status.name for child in tree.children] == ['FAILURE'] * 3 + ['SUCCESS']
    assert demo.stop() == 0 and 'Traceback' not in demo.log


def test_conditions_in_a_tree_of_ones_own(scene: Scene) -> None:
    """Names, feedback and the blackboard are what a tree's author looks at."""
    py_trees = pytest.importorskip('py_trees')
    anybody = IsDoing(scene.monitor, ('run', 'wave1'), seconds=0.1, key='moving')
    other = IsDoing(scene.monitor, 'run', person='p2', name='p2 flees')
    watching = IsWatching(scene.monitor)
    assert (anybody.name, other.name) == ('anybody: run or wave1', 'p2 flees')
    board = py_trees.blackboard.Client()
    board.register_key('moving', py_trees.common.Access.READ)

    def tick() -> list[str]:
        for condition in (anybody, other, watching):
            condition.tick_once()
        return [condition.status.name for condition in (anybody, other, watching)]

    assert tick() == ['FAILURE', 'FAILURE', 'FAILURE'] and board.moving == []
    for i in range(50):
        scene.show(i, [walker(i)])
    assert tick() == ['SUCCESS', 'FAILURE', 'SUCCESS'] and board.moving == ['p1']
    assert anybody.feedback_message == 'p1' and watching.feedback_message == ''
    scene.set_time(scene.now + 2 * SECOND)
    assert tick() == ['FAILURE', 'FAILURE', 'FAILURE'] and board.moving == []
    assert watching.feedback_message == 'last answer 2.0 s ago'


def test_without_py_trees_the_monitor_works_and_conditions_say_what_is_missing() -> None:
    """On a robot that has no behaviour trees, nothing else breaks."""
    code = (
        'import sys; sys.modules["py_trees"] = None\n'
        'import rclpy; from rclpy.node import Node; from act_ros import behaviours\n'
        'rclpy.init(); monitor = behaviours.ActionMonitor(Node("robot"))\n'
        'assert monitor.doing("run") == []\n'
        'for kind in (lambda: behaviours.IsDoing(monitor, "run"),\n'
        '             lambda: behaviours.IsNobody(monitor),\n'
        '             lambda: behaviours.IsWatching(monitor)):\n'
        '    try: kind()\n'
        '    except ModuleNotFoundError as error: print(error)\n'
        'rclpy.shutdown()\n')
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True,
                            capture_output=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('pip install py_trees') == 3
