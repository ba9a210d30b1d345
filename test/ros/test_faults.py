"""
What goes wrong in a year: after each fault the right answers are back within one window.

Real nodes in processes of their own. Most faults befall one act_node, before which somebody walks
and somebody waves; time goes on from test to test.
"""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message, serialize_message
from robot import Robot, frame, to_keypoints
from ros_harness import ROOT, Bench, Process, bench
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from synthetic import SECOND, person, pose

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.frame import Frame
from act_ros.core.messages import frame_of_keypoints
from act_ros.core.person import Person
from act_ros.core.stamps import Order, StampOrder, to_nanoseconds
from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.ros.images import bgr_to_image
from act_ros.ros.topics import to_time

CLIP = ROOT / 'media' / 'demo.mp4'
PERIOD = SECOND // 30
RIGHT = {'walker': 'walk', 'waver': 'wave'}


def couple(seconds: float) -> list[Person]:
    """Return somebody who walks and somebody who waves."""
    return [person(pose(seconds, 'walk', x=200.0), 'walker'),
            person(pose(seconds, 'wave', x=450.0), 'waver')]


def said(answer: ActionArray) -> dict[str, str]:
    """Return what each person does: the label where there is one."""
    return {a.person_id: a.label if a.status == Action.RECOGNIZED else str(a.status)
            for a in answer.actions}


class Stream:
    """Keypoints to a running act_node, and its answers."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.now = SECOND * 1_700_000_000

    def later(self, seconds: float) -> int:
        """Let time pass, so that all are forgotten, and return the stamp that has come."""
        self.now += round(seconds * SECOND)
        self.robot.settle(self.now)
        return self.now

    def message(self, stamp: int, persons: Sequence[Person]) -> KeypointArray:
        """Return a frame."""
        return to_keypoints(Frame(stamp, 'eye', (640, 480), 'coco17', persons))

    def ask(self, stamp: int, persons: Sequence[Person]) -> ActionArray:
        """Publish a frame and return the answer to it."""
        self.robot.heard.clear()
        self.now = stamp
        return self.robot.ask(self.message(stamp, persons))

    def watch(self, begin: int, frames: int = 30) -> ActionArray:
        """Show the couple for a window, without any fault, and return the last answer."""
        for i in range(frames + 1):
            answer = self.ask(begin + i * PERIOD, couple(i / 30))
        return answer


@pytest.fixture(scope='module')
def stream(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Stream]:
    """Yield a running act_node; it must still be there after all faults, and end in peace."""
    with bench(tmp_path_factory.mktemp('faults')) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle)})
        yield Stream(Robot(made, node))
        assert node.stop() == 0
        assert 'Traceback' not in node.log


def test_frames_are_lost(stream: Stream) -> None:
    """One frame in ten never arrives."""
    begin, rng = stream.later(60), random.Random(1)
    for i in range(120):
        if rng.random() >= 0.1:
            answer = stream.ask(begin + i * PERIOD, couple(i / 30))
            assert i < 30 or said(answer) == RIGHT


def test_stamps_jitter(stream: Stream) -> None:
    """Stamps are off by up to 50 ms either way, so some are out of order, too."""
    begin, rng, order = stream.later(60), random.Random(2), StampOrder(0.5)
    answered = 0
    for i in range(120):
        stamp = begin + i * PERIOD + round(rng.uniform(-0.05, 0.05) * SECOND)
        if order.check(stamp) is Order.LATE:
            stream.robot.keypoints.publish(stream.message(stamp, couple(i / 30)))
            continue
        answer, answered = stream.ask(stamp, couple(i / 30)), answered + 1
        assert i < 33 or said(answer) == RIGHT
    assert 60 < answered < 115


def test_frames_out_of_order(stream: Stream) -> None:
    """In every handful of frames the order is another."""
    begin, rng, order = stream.later(60), random.Random(3), StampOrder(0.5)
    for first in range(0, 120, 5):
        for i in rng.sample(range(first, first + 5), 5):
            stamp = begin + i * PERIOD
            if order.check(stamp) is Order.LATE:
                stream.robot.keypoints.publish(stream.message(stamp, couple(i / 30)))
            else:
                answer = stream.ask(stamp, couple(i / 30))
                assert i < 35 or said(answer) == RIGHT


@pytest.mark.parametrize('hours', [1, -1])
def test_the_clock_jumps(stream: Stream, hours: int) -> None:
    """An hour on or back: everybody begins anew, and is known after a window."""
    assert said(stream.watch(stream.later(60))) == RIGHT
    begin = stream.now + hours * 3600 * SECOND
    for i in range(2):  # one alone would be an outlier
        stream.robot.keypoints.publish(stream.message(begin + i * PERIOD, couple(i / 30)))
    first = stream.ask(begin + 2 * PERIOD, couple(2 / 30))
    assert said(first) == dict.fromkeys(RIGHT, str(Action.BUFFERING))
    assert {m.header.stamp.sec for m in stream.robot.heard} == {first.header.stamp.sec}
    assert said(stream.watch(begin + 3 * PERIOD)) == RIGHT
    stream.robot.peer.wait(
        lambda: 'stamp far from those around it' in stream.robot.node.log, 'the drops')
    stream.later(7200)


def assert_undisturbed(
    stream: Stream, tiny_bundle: Path, crowds: Iterator[list[Person]], frames: int,
) -> list[ActionArray]:
    """Show the couple at 10 Hz in changing company; their answers are those of a run alone."""
    core = ActionRecognizer(ActClassifier(tiny_bundle))
    begin, answers = stream.later(60), []
    for i in range(frames):
        stamp, good = begin + i * SECOND // 10, couple(i / 10)
        answers.append(stream.ask(stamp, [*good, *next(crowds)]))
        persons = frame_of_keypoints(stream.message(stamp, good)).persons
        alone = core.update(stamp, persons, 'coco17')
        ours = {a.person_id: a for a in answers[-1].actions}
        for theirs in alone or ():
            action = ours[theirs.person_id]
            assert (action.status, action.label) == (theirs.status, theirs.label)
            assert np.allclose(action.probabilities, theirs.probabilities, atol=1e-5)
    assert {**said(answers[-1]), **RIGHT} == said(answers[-1])
    return answers


def test_fifty_people(stream: Stream, tiny_bundle: Path) -> None:
    """Everybody is answered, and rightly."""
    crowds = [[person(pose(i / 10, 'walk', x=12.0 * n), f'c{n}') for n in range(48)]
              for i in range(10)]  # a walker's stride lasts a second
    answers = assert_undisturbed(stream, tiny_bundle, itertools.cycle(crowds), 200)
    assert all(set(said(answer).values()) == {'walk', 'wave'} and len(answer.actions) == 50
               for answer in answers[15:])


def test_a_thousand_ids(stream: Stream, tiny_bundle: Path) -> None:
    """A tracker gone wild: every id lives for a moment, then they are forgotten."""
    ghosts = ([person(pose(0.0, x=9.0 * (n % 60)), f'g{5 * i + n}') for n in range(8)]
              for i in itertools.count())
    answers = assert_undisturbed(stream, tiny_bundle, ghosts, 200)
    ids = {action.person_id for answer in answers for action in answer.actions}
    assert len(ids) > 1000 and max(len(answer.actions) for answer in answers) <= 128
    assert set(said(stream.watch(stream.now + PERIOD, 100))) == set(RIGHT)


def junk(count: int) -> Iterator[bytes]:
    """Yield payloads that no one could have sent as keypoints."""
    rng, good = random.Random(4), bytes(serialize_message(frame(0, couple(0.0))))
    while count:
        content = bytearray(good)
        for _ in range(rng.randrange(1, 30)):
            at = 4 * rng.randrange(len(good) // 4)
            content[at:at + 4] = rng.choice((rng.randbytes(4), b'\xff' * 4, b'\0\0\0\x7f'))
        content = content[:rng.randrange(8, len(good) + 1)]
        try:
            deserialize_message(bytes(content), KeypointArray)
        except Exception:
            count -= 1
            yield bytes(content)


def test_corrupt_messages(stream: Stream) -> None:
    """Between any two frames comes what is no message."""
    begin, trash = stream.later(60), junk(90)
    for i in range(90):
        stream.robot.keypoints.publish(next(trash))
        answer = stream.ask(begin + i * PERIOD, couple(i / 30))
        assert i < 30 or said(answer) == RIGHT
    stream.robot.peer.wait(
        lambda: 'dropped so far: unreadable message' in stream.robot.node.log, 'the drops')


def test_act_node_is_killed_and_started_again(tmp_path: Path, tiny_bundle: Path) -> None:
    """Frames go on meanwhile; the new process knows everybody within a window of its own."""
    with bench(tmp_path) as made:
        first = Stream(Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)})))
        assert said(first.watch(first.later(1))) == RIGHT
        first.robot.node.popen.kill()
        first.robot.node.popen.wait()
        for i in range(10):  # nobody listens
            first.robot.keypoints.publish(first.message(first.now + i * PERIOD, couple(i / 30)))
        second = Stream(Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)})))
        answer = second.watch(first.now + 60 * SECOND)
        assert said(answer) == RIGHT and answer.actions[0].frames == 30


@pytest.fixture(scope='module')
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path,
) -> Iterator[tuple[Bench, Process]]:
    """Yield a running pipeline_node on an image topic."""
    with bench(tmp_path_factory.mktemp('pipeline')) as made:
        node = made.start('pipeline_node', {'bundle': str(tiny_bundle), 'reliability': 'reliable'})
        made.peer.wait_for_publisher('/actions')
        yield made, node
        assert node.is_alive() and 'Traceback' not in node.log


def of(heard: list[ActionArray], camera: str) -> list[ActionArray]:
    """Return the answers to a camera's images."""
    return [msg for msg in heard if msg.header.frame_id == camera]


def has_seen(heard: list[ActionArray], camera: str) -> bool:
    """Whether enough of a camera has been answered."""
    return len(of(heard, camera)) >= 50


def seen(heard: list[ActionArray]) -> list[dict[tuple[int, int], str]]:
    """Return, frame by frame, what is done where: ids are others each time."""
    return [{(round(a.box.x_min), round(a.box.y_min)): said(msg)[a.person_id]
             for a in msg.actions if a.status != Action.LOST} for msg in heard]


def test_the_camera_is_killed_and_started_again(pipeline: tuple[Bench, Process]) -> None:
    """
    After a window and more, the same people are answered at the same places as the first time.

    A clip that plays faster than it was filmed leaves its stamps ahead of the clock. A camera that
    starts again has a gap behind it: here one long enough that nobody's window goes on. It costs
    the two frames after which the new stamps are believed, so the rest is not the same to the bit.
    """
    made, _ = pipeline
    heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
    runs = []
    for name in ('first', 'second'):
        camera = made.start(
            'video_node', {'source': str(CLIP), 'pace': 'consumed', 'frame_id': name})
        made.peer.wait(partial(has_seen, heard, name), 'answers')
        camera.popen.kill()
        camera.popen.wait()
        last = to_nanoseconds(of(heard, name)[-1].header.stamp)
        made.peer.wait(lambda: time.time_ns() > last + 2 * SECOND, 'a gap')  # noqa: B023
        runs.append(seen(of(heard, name)[30:50]))
    first, second = (run[-1] for run in runs)
    np.testing.assert_allclose(sorted(first), sorted(second), atol=30)
    for run in (first, second):
        assert {'walk', 'wave', 'standing'} & set(run.values())


def is_newest(heard: list[ActionArray], stamp: int) -> bool:
    """Whether the last answer is the one to a stamp."""
    return bool(heard) and to_nanoseconds(heard[-1].header.stamp) == stamp


def test_resolution_and_encoding_change(pipeline: tuple[Bench, Process]) -> None:
    """Somebody is seen again where they are now, doing the same, within a window."""
    made, _ = pipeline
    heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
    images = made.peer.publisher(Image, '/image', 5)
    capture = cv2.VideoCapture(str(CLIP))
    picture = [capture.read()[1] for _ in range(12)][-1]
    stamp = time.time_ns() + 3600 * SECOND
    expected: tuple[str, np.ndarray] | None = None

    def show() -> None:
        nonlocal stamp
        stamp += PERIOD
        images.publish(bgr_to_image(picture, Header(stamp=to_time(stamp))))

    made.peer.insist(show, lambda: is_newest(heard, stamp), 'the hour that is another')
    for size, encoding, conversion in (
            ((640, 480), 'bgr8', None), ((1280, 960), 'rgb8', cv2.COLOR_BGR2RGB),
            ((320, 240), 'mono8', cv2.COLOR_BGR2GRAY), ((640, 480), 'bgr8', None)):
        image = cv2.resize(picture, size)
        if conversion is not None:
            image = cv2.cvtColor(image, conversion)
        for _ in range(33):  # a window, and three for the id
            stamp += PERIOD
            msg = bgr_to_image(image, Header(stamp=to_time(stamp)))
            msg.encoding, msg.step = encoding, image.nbytes // size[1]
            images.publish(msg)
            made.peer.wait(partial(is_newest, heard, stamp), 'an answer')
        found, = (a for a in heard[-1].actions if a.status == Action.RECOGNIZED)
        what = found.label, np.array((found.box.x_min, found.box.x_max)) / size[0]
        expected = expected or what
        assert what[0] == expected[0] and np.allclose(what[1], expected[1], atol=0.03)


@pytest.mark.parametrize('has_folder', [True, False])
def test_the_disk_is_full(
    tmp_path: Path, tiny_bundle: Path, request: pytest.FixtureRequest, has_folder: bool,
) -> None:
    """Neither the console nor a log file takes a line; the answers go on."""
    folder = Path('/dev/full/log')
    if has_folder:
        folder = request.getfixturevalue('small_disk')
        (folder / 'all there is').write_bytes(bytes(shutil.disk_usage(folder).free))
    with bench(tmp_path) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle)}, log=Path('/dev/full'),
                          variables={'ROS_LOG_DIR': str(folder)})
        stream = Stream(Robot(made, node))
        for _ in range(20):  # each is an error to be logged
            stream.robot.keypoints.publish(frame(0, [], layout='octopus'))
        assert said(stream.watch(stream.later(60))) == RIGHT
        assert node.stop() == 0


def test_sigterm_under_load(tmp_path: Path, tiny_bundle: Path) -> None:
    """Each node ends soon, with status 0, while more comes than it can do."""
    crowd = [person(pose(0.0, x=12.0 * n), f'c{n}') for n in range(50)]
    with bench(tmp_path) as made:
        heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
        keypoints: list[KeypointArray] = made.peer.listen(KeypointArray, '/pose_node/keypoints')
        flood = made.peer.node.create_publisher(KeypointArray, '/keypoints', 50)
        made.start('video_node', {'source': str(CLIP), 'loop': True})
        nodes = [
            made.start('act_node', {'bundle': str(tiny_bundle)}), made.start('pose_node'),
            made.start('pipeline_node', {'source': str(CLIP), 'loop': True},
                       {'actions': '/pipeline_node/said'})]
        answers: list[ActionArray] = made.peer.listen(ActionArray, '/pipeline_node/said')
        numbers = itertools.count()

        def press() -> None:
            for _ in range(30):
                flood.publish(frame(next(numbers), crowd))

        made.peer.insist(press, lambda: bool(heard and keypoints and answers), 'all at work')
        for node in nodes:
            press()
            assert node.stop() == 0, node.log  # or it takes more than ten seconds
            assert 'Traceback' not in node.log
