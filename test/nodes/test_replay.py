"""act_node beside a bag that is played as `ros2 bag play --clock` does: no state goes stale."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from rclpy.parameter import Parameter
from robot import FRAME, START, Robot, frame, same, to_actions, walker
from ros_harness import bench
from rosgraph_msgs.msg import Clock

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.messages import frame_of_keypoints
from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.ros.behaviours import ActionMonitor
from act_ros.ros.topics import to_time

LENGTH = 2100  # frames: seventy seconds
CLOCK = 1 / 40  # seconds of the wall between two messages on /clock, rosbag2's default


def recording() -> list[KeypointArray]:
    """Return a bag's messages: p1 walks, and after three seconds gives way to p2, who waves."""
    return [frame(i, [walker(i) if i < 90 else walker(i, 'p2', 'wave', 120.0)])
            for i in range(LENGTH)]


class Player:
    """Plays the recording to a robot: /clock at a steady pace of the wall, messages when due."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.messages = robot, recording()
        robot.peer.node.set_parameters([Parameter('use_sim_time', value=True)])
        self.monitor = ActionMonitor(robot.peer.node)
        self.clock = robot.peer.publisher(Clock, '/clock')
        self.robot.peer.wait(lambda: self.clock.get_subscription_count() == 2, 'both clocks')

    def play(self, frames: range, rate: float, dropped: int = 0) -> list[ActionArray]:
        """Play from the first to the last of the frames; return the answers."""
        heard, before = self.robot.heard, len(self.robot.heard)
        begin, tick = time.monotonic(), 0.0
        for index in frames:
            due = (index - frames.start) * FRAME * 1e-9 / rate
            while (wall := time.monotonic() - begin) < due:
                if wall >= tick:
                    self.tell(START + frames.start * FRAME + round(wall * rate * 1e9))
                    tick = wall + CLOCK
                self.robot.peer.executor.spin_once(timeout_sec=min(CLOCK, due - wall))
            # Not to overrun the queues where this machine falls behind.
            self.wait_for(before + index - frames.start - dropped - 5)
            self.tell(START + index * FRAME)
            self.robot.keypoints.publish(self.messages[index])
        self.wait_for(before + len(frames) - dropped)
        return heard[before:]

    def wait_for(self, number: int) -> None:
        """Spin until that many answers have been heard in all."""
        self.robot.peer.wait(lambda: len(self.robot.heard) >= number, f'{number} answers')

    def pause(self, index: int) -> None:
        """Stand still at a frame: /clock goes on to say the same time."""
        for _ in range(10):
            self.tell(START + index * FRAME)
            self.robot.peer.executor.spin_once(timeout_sec=CLOCK)

    def tell(self, now: int) -> None:
        """Publish the time."""
        self.clock.publish(Clock(clock=to_time(now)))

    def expected(self, frames: range, bundle: Path) -> list[ActionArray]:
        """Return what a recognizer answers that has never seen anything else."""
        core = ActionRecognizer(ActClassifier(bundle))
        answers = []
        for msg in (self.messages[i] for i in frames):
            seen = frame_of_keypoints(msg)
            seen.actions = core.update(seen.stamp, seen.persons, seen.layout)
            assert seen.actions is not None
            answers.append(to_actions(seen, 'tiny'))
        return answers


@pytest.fixture
def player(tmp_path: Path, tiny_bundle: Path) -> Iterator[Player]:
    """Yield a player beside an act_node in simulation time."""
    with bench(tmp_path) as made:
        yield Player(Robot(made, made.start(
            'act_node', {'bundle': str(tiny_bundle), 'use_sim_time': True})))


def test_pauses_rates_seeks_and_loops_leave_no_stale_state(
    player: Player, tiny_bundle: Path,
) -> None:
    """
    After a jump the answers are those of a node that starts two frames later.

    A pause or a rate is no jump.
    """
    # Played at its own rate, paused, then at double rate: as if in one go.
    first = player.play(range(0, 60), rate=1.0)
    assert first[-1].actions[0].label == 'walk' and player.monitor.doing('walk') == ['p1']
    player.pause(59)
    assert player.monitor.doing('walk') == ['p1'], 'what is known holds while time stands still'
    second = player.play(range(60, 120), rate=2.0)
    assert same(first + second, player.expected(range(0, 120), tiny_bundle))
    assert [(a.person_id, a.status) for a in second[-1].actions] == [
        ('p1', Action.LOST), ('p2', Action.RECOGNIZED)]

    # A seek back: p2, who is still to come, is forgotten.
    player.tell(START + 30 * FRAME)
    player.robot.peer.wait(lambda: not player.monitor.is_fresh, 'the time')
    back = player.play(range(30, 75), rate=2.0, dropped=2)
    assert back[0].actions[0].status == Action.BUFFERING
    assert same(back, player.expected(range(32, 75), tiny_bundle))

    # A seek forward, to the end: p1 is forgotten.
    forward = player.play(range(2040, LENGTH), rate=2.0, dropped=2)
    assert same(forward, player.expected(range(2042, LENGTH), tiny_bundle))
    assert {a.person_id for msg in forward for a in msg.actions} == {'p2'}

    # A loop: the second time is like the first.
    once_more = player.expected(range(2, 120), tiny_bundle)
    assert same(player.play(range(0, 60), rate=3.0, dropped=2), once_more[:58])

    # A short step back repeats what has been answered; from there on it is as if in one go.
    again = player.play(range(51, 120), rate=3.0, dropped=9)
    assert same(again, once_more[58:])

    assert player.robot.node.stop() == 0
    assert 'Traceback' not in player.robot.node.log
