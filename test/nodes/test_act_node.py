"""act_node over real DDS: keypoints in, actions out."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rcl_interfaces.srv import DescribeParameters
from robot import FRAME, START, Robot, frame, same, to_actions, walker
from ros_harness import ROOT, bench, free_domain
from synthetic import LABELS

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.messages import frame_of_keypoints
from act_ros.core.person import Person
from act_ros.msg import Action, ActionLabels
from act_ros.ros.health import THROTTLE
from act_ros.ros.signals import CANNOT_START
from act_ros.ros.topics import LATCHED


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Robot]:
    """Yield a running act_node with the tiny bundle; in the end SIGINT is no error."""
    with bench(tmp_path_factory.mktemp('act_node')) as made:
        robot = Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)}))
        yield robot
        assert robot.node.stop(signal.SIGINT) == 0
        assert 'Traceback' not in robot.node.log


def test_two_that_answer_on_one_topic_say_so(robot: Robot, tiny_bundle: Path) -> None:
    """Their people may share ids, and no message says whose it is."""
    other = robot.bench.start(
        'act_node', {'bundle': str(tiny_bundle)},
        {'__node': 'other', 'keypoints': '/other/keypoints'})
    told = 'others publish on /actions, too: /act_node, /other; '
    robot.peer.wait(lambda: told in robot.node.log and told in other.log, 'a word about it')
    assert other.stop() == 0


HOUR = 3_600_000_000_000
times = itertools.count(START + HOUR, HOUR)


@pytest.fixture
def start(robot: Robot) -> int:
    """Return a time that has come, and before which everybody is forgotten."""
    robot.settle(stamp := next(times))
    return stamp


def test_answers_every_frame_like_the_core(robot: Robot, start: int, tiny_bundle: Path) -> None:
    """Message by message what ActionRecognizer says in this process, also for empty frames."""
    frames = [frame(i, [walker(i), walker(i, 'p2', 'wave', 120.0)], start=start)
              for i in range(60)]
    frames += [frame(i, [], start=start) for i in range(60, 75)]
    core = ActionRecognizer(ActClassifier(tiny_bundle))
    for i, msg in enumerate(frames):
        answer = robot.ask(msg)
        seen = frame_of_keypoints(msg)
        seen.actions = core.update(start + i * FRAME, seen.persons, 'coco17')
        assert seen.actions is not None
        expected = to_actions(seen, 'tiny')
        assert same([answer], [expected])
    at_58 = next(m for m in robot.heard if m.header == frames[58].header)
    assert {a.person_id: a.label for a in at_58.actions} == {'p1': 'walk', 'p2': 'wave'}
    assert all(a.status == Action.RECOGNIZED and a.frames == 30 for a in at_58.actions)
    assert robot.heard[0].actions[0].status == Action.BUFFERING
    assert len(robot.heard) == len(frames)


def test_labels_are_latched(robot: Robot) -> None:
    """Who comes late still learns the labels."""
    heard: list[ActionLabels] = robot.peer.listen(ActionLabels, '/act_node/labels', LATCHED)
    robot.peer.wait(lambda: bool(heard), 'labels')
    assert tuple(heard[0].labels) == LABELS and heard[0].model == 'tiny'


def broken(index: int) -> list[tuple[str, list[Person]]]:
    """Return kinds of bad company for one good person, and what the log says of each."""
    sick = walker(index, 'sick')

    def spoiled(value: float) -> Person:
        keypoints = sick.keypoints.copy()
        keypoints[:] = value
        return Person(keypoints, 0.9, np.full(4, value, np.float32), 'sick')

    return [
        ('no keypoint seen', [spoiled(math.nan)]),
        ('no keypoint seen', [spoiled(math.inf)]),
        ('wrong number of keypoints', [Person(sick.keypoints[:5], 0.9, sick.box, 'sick')]),
        ('wrong number of keypoints', [Person(sick.keypoints[:0], 0.9, sick.box, 'sick')]),
        ('person without an id', [walker(index, '')]),
        ('id given twice', [walker(index, 'twin'), walker(index, 'twin')]),
        ('', [walker(index, f'c{i}', x=10.0 * i) for i in range(50)]),
    ]


def test_bad_company_changes_nobody_elses_answer(
    robot: Robot, start: int, tiny_bundle: Path,
) -> None:
    """The good person's answer is that of a run alone, whoever else is in the frame."""
    core = ActionRecognizer(ActClassifier(tiny_bundle))
    kinds = broken(0)
    for i in range(35 + len(kinds)):
        good = walker(i, 'good')
        company = broken(i)[i - 35][1] if i >= 35 else []
        answer = robot.ask(frame(i, [good, *company], start=start))
        alone = frame_of_keypoints(frame(i, [good], start=start))
        alone.actions = core.update(start + i * FRAME, alone.persons, 'coco17')
        assert alone.actions is not None
        ours = next(a for a in answer.actions if a.person_id == 'good')
        theirs = to_actions(alone, 'tiny').actions[0]
        assert (ours.status, ours.label) == (theirs.status, theirs.label)
        assert np.allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    assert len(answer.actions) >= 51
    robot.peer.wait(lambda: 'dropped so far' in robot.node.log, 'a word about drops')
    assert robot.node.is_alive()


def test_unknown_layout_late_stamps_and_loops(robot: Robot, start: int) -> None:
    """A layout nobody knows is named, late frames are dropped, a loop starts windows anew."""
    robot.keypoints.publish(frame(0, [walker(0)], layout='octopus', start=start))
    robot.peer.wait(lambda: "unknown keypoint layout 'octopus'" in robot.node.log, 'an error')
    for i in range(1, 40):
        last = robot.ask(frame(i, [walker(i)], start=start))
    assert last.actions[0].status == Action.RECOGNIZED
    robot.keypoints.publish(frame(38, [walker(38)], start=start))
    robot.keypoints.publish(frame(39, [walker(39)], start=start))
    robot.ask(frame(40, [walker(40)], start=start))
    assert len([m for m in robot.heard if m.header == last.header]) == 1
    for i in range(2):  # frames that are far off are believed from the third in a row on
        robot.keypoints.publish(frame(i, [walker(i)], start=start - 100 * FRAME))
    back = robot.ask(frame(2, [walker(2)], start=start - 100 * FRAME))
    assert back.actions[0].status == Action.BUFFERING
    robot.peer.wait(lambda: 'late or repeated stamp' in robot.node.log
                    and 'everything before a jump back in time: 1' in robot.node.log, 'the drops')


def test_parameters_describe_themselves(robot: Robot) -> None:
    """`ros2 param describe` tells what a parameter does and its range."""
    gap, rate, bundle = robot.peer.call(
        DescribeParameters, '/act_node/describe_parameters', DescribeParameters.Request(
            names=['window.max_gap', 'window.max_rate', 'bundle'])).descriptors
    assert 'gap in seconds' in gap.description
    assert gap.floating_point_range[0].to_value == 10.0
    assert rate.additional_constraints == '0, or at least 0.01'
    assert 'Model bundle' in bundle.description


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'bundle': 'no_such_bundle'}, "no model 'no_such_bundle'"),
    ({'bundle': '{corrupt}'}, 'does not belong to'),
    ({'bundle': '{lonely}'}, 'does not exist'),
    ({'labels': "['walk', 'fly']"}, 'labels: fly not among the labels of model'),
    ({'decision.threshold': 1.5}, 'decision.threshold'),
    ({'--params-file': 'act_node: {ros__parameters: [1, 2]}'}, "Couldn't parse params file"),
])
def test_what_cannot_start_says_why(
    tmp_path: Path, tiny_bundle: Path, parameters: dict[str, Any], message: str,
) -> None:
    """One clear line and exit status."""
    corrupt, lonely = tmp_path / 'corrupt.tflite', tmp_path / 'lonely.tflite'
    corrupt.write_bytes(tiny_bundle.read_bytes()[:-100])
    card = tiny_bundle.with_suffix('.yaml').read_text()
    corrupt.with_suffix('.yaml').write_text(card)
    lonely.write_bytes(tiny_bundle.read_bytes())
    with bench(tmp_path) as made:
        values: dict[str, Any] = {'bundle': str(tiny_bundle), **parameters}
        values['bundle'] = values['bundle'].format(corrupt=corrupt, lonely=lonely)
        listed = values.pop('labels', None)
        raw = ['-p', f'labels:={listed}'] if listed else []
        if text := values.pop('--params-file', ''):
            (tmp_path / 'params.yaml').write_text(text)
            raw = ['--params-file', str(tmp_path / 'params.yaml')]
        node = made.start('act_node', values, raw=raw)
        assert node.wait() == CANNOT_START
        assert message in node.log and 'Traceback' not in node.log


def test_a_silent_camera_is_told_by_who_listens_to_it(tmp_path: Path, tiny_bundle: Path) -> None:
    """And not once more by each who waits for the keypoints of its images."""
    with bench(tmp_path) as made:
        lonely = made.start('act_node', {'bundle': str(tiny_bundle)})
        names = {'keypoints': '/pose_node/keypoints', '__node': 'other'}
        pose = made.start('pose_node', {'model': 'movenet_lightning'})
        made.peer.wait_for_publisher('/pose_node/keypoints')
        waiting = [made.start('act_node', {'bundle': str(tiny_bundle)}, names),
                   made.start('markers_node', {}, names)]
        made.peer.wait(
            lambda: made.peer.node.count_subscribers('/pose_node/keypoints') >= 2, 'both')
        told = time.monotonic() + 1.2 * THROTTLE  # whatever these have to say
        for node, words in ((lonely, 'nothing on /keypoints for 5 s; publishers: none'),
                            (pose, 'nothing on /image for 10 s')):
            made.peer.wait(lambda: words in node.log, words)  # noqa: B023
        made.peer.wait(lambda: time.monotonic() > told, 'a period of silence')
        assert not any('nothing on' in node.log for node in waiting)


WALK = """
import sys
from pathlib import Path

import rclpy
from rclpy.serialization import serialize_message
from robot import frame, walker

from act_ros.nodes import act_node

rclpy.init(args=['--ros-args', '-p', f'bundle:={sys.argv[1]}'])
node = act_node.NODE()
assert node.bring_up()
published, entered = [], set()
output = node._work._poses._output
output._publisher.publish = published.append
take = node.guarded(node._work._poses._take)  # what is subscribed
messages = [serialize_message(frame(i, [walker(i)])) for i in range(60)]
room = Path(act_node.__file__).parents[1]
for message in messages[:45]:  # the first one is asked for its layout
    take(message, {})
sys.setprofile(lambda frame, event, _: entered.add(frame.f_code.co_filename))
for message in messages[45:]:
    take(message, {})
sys.setprofile(None)
assert len(published) == 60
print(*sorted(str(Path(file).relative_to(room)) for file in entered if str(room) in file))
node.destroy_node()
rclpy.shutdown()
"""


def test_a_message_of_keypoints_is_answered_within_seven_files(
    tmp_path: Path, tiny_bundle: Path,
) -> None:
    """Whoever follows one from the callback to what is published has no more to read."""
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(free_domain()),
                   'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'test')])}
    done = subprocess.run([sys.executable, '-c', WALK, str(tiny_bundle)], cwd=tmp_path,
                          env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {
        'actions/classifier.py', 'actions/features.py', 'actions/recognizer.py', 'core/cdr.py',
        'core/stamps.py', 'ros/actions.py', 'ros/health.py'}
