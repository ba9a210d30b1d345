"""Managed nodes over real DDS: each transition by its service, and what comes out in each state."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.duration import Duration
from robot import frame, walker
from ros_harness import ROOT, Bench, Process, bench, free_domain
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.core.stamps import to_nanoseconds
from act_ros.msg import ActionArray, KeypointArray
from act_ros.ros.images import bgr_to_image
from act_ros.ros.managed import Entities
from act_ros.ros.topics import to_time
from act_ros.srv import LoadBundle
from act_ros.tflite.runtime import LARGEST

CLIP = ROOT / 'media' / 'demo.mp4'


class Managed:
    """A managed node that waits to be told, and the services of its life cycle."""

    def __init__(self, made: Bench, name: str, parameters: dict[str, Any]) -> None:
        self.peer, self.name = made.peer, name
        self.process: Process = made.start(name, {'autostart': False, **parameters})

    @property
    def state(self) -> str:
        """The state it is in."""
        state = self.peer.call(GetState, f'/{self.name}/get_state', GetState.Request())
        return str(state.current_state.label)

    def change(self, transition: Transition | str) -> bool:
        """Ask for a transition, by its label or its number; return whether it was done."""
        if isinstance(transition, str):
            transition = Transition(label=transition)
        return bool(self.peer.call(
            ChangeState, f'/{self.name}/change_state',
            ChangeState.Request(transition=transition)).success)

    def set(self, name: str, value: str) -> str:
        """Set a parameter; return why that was refused, or nothing."""
        parameter = Parameter(name=name, value=ParameterValue(
            type=ParameterType.PARAMETER_STRING, string_value=value))
        result, = self.peer.call(
            SetParameters, f'/{self.name}/set_parameters',
            SetParameters.Request(parameters=[parameter])).results
        return '' if result.successful else str(result.reason)

    def send_in_vain(self, publisher: Any, messages: list[Any]) -> None:
        """Publish messages, not more than its queue holds, and see that the node has taken them."""
        for msg in messages:
            publisher.publish(msg)
        assert publisher.wait_for_all_acked(Duration(seconds=30))
        for _ in range(len(messages) + 1):  # a round of its executor takes one message, then this
            assert self.state

    def bring_up(self) -> None:
        """Configure and activate."""
        assert self.change('configure') and self.change('activate')


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[Bench]:
    """Yield a bench for nodes of the test's own."""
    with bench(tmp_path) as made:
        yield made


def stamps(heard: list[Any]) -> set[int]:
    """Return the stamps of messages, in nanoseconds."""
    return {to_nanoseconds(msg.header.stamp) for msg in heard}


def memory(process: Process) -> int:
    """Return the private memory of a process in kB."""
    status = Path(f'/proc/{process.popen.pid}/status').read_text()
    return int(status.partition('RssAnon:')[2].split()[0])


def image(index: int) -> Image:
    """Return a grey image of a time of its own."""
    return bgr_to_image(np.full((48, 64, 3), 127, np.uint8),
                        Header(stamp=to_time(1_700_000_000_000_000_000 + index * 33_333_333)))


def test_answers_only_while_active(robot: Bench, tiny_bundle: Path) -> None:
    """Unconfigured there are no topics, inactive no answers; each activation brings them back."""
    act = Managed(robot, 'act_node', {'bundle': str(tiny_bundle)})
    peer = robot.peer
    assert act.state == 'unconfigured'
    assert peer.node.count_publishers('/actions') == 0
    heard = peer.listen(ActionArray, '/actions')
    assert act.change('configure') and act.state == 'inactive'
    keypoints = peer.publisher(KeypointArray, '/keypoints')
    peer.wait_for_publisher('/actions')

    unheard = [frame(i, [walker(i)]) for i in (*range(5), *range(1005, 1010))]
    for begin in (0, 1000):
        act.send_in_vain(keypoints, unheard[:5] if begin == 0 else unheard[5:])
        assert act.change('activate') and act.state == 'active'
        heard.clear()
        index = iter(range(begin + 10, begin + 1000))
        peer.insist(lambda: keypoints.publish(frame(next(index), [])),  # noqa: B023
                    lambda: len(heard) > 2, 'answers')
        assert not stamps(heard) & stamps(unheard)
        assert act.change('deactivate') and act.state == 'inactive'

    assert act.change('cleanup') and act.state == 'unconfigured'
    peer.wait(lambda: not peer.node.count_publishers('/actions'), 'the end of actions')
    peer.wait(lambda: not keypoints.get_subscription_count(), 'the end of keypoints')
    act.bring_up()
    heard.clear()
    index = iter(range(3000, 4000))
    peer.insist(lambda: keypoints.publish(frame(next(index), [])), lambda: bool(heard), 'answers')
    assert act.change('shutdown') and act.state == 'finalized'
    assert act.process.stop() == 0
    assert 'Traceback' not in act.process.log


def test_no_id_is_given_again_after_a_cleanup(robot: Bench) -> None:
    """Who follows somebody by an id would follow somebody else."""
    pose = Managed(robot, 'pose_node', {})
    heard = robot.peer.listen(KeypointArray, '/pose_node/keypoints')
    pose.bring_up()
    images = robot.peer.publisher(Image, '/image')
    video, ids, index = cv2.VideoCapture(str(CLIP)), [set[str](), set[str]()], count()

    def publish() -> None:
        ok, pixels = video.read()
        if not ok:
            video.set(cv2.CAP_PROP_POS_FRAMES, 0)
            pixels = video.read()[1]
        stamp = to_time(1_700_000_000_000_000_000 + next(index) * 33_333_333)
        images.publish(bgr_to_image(pixels, Header(stamp=stamp)))

    for i, found in enumerate(ids):
        if i:
            assert pose.change('deactivate') and pose.change('cleanup')
            pose.bring_up()
            heard.clear()
        robot.peer.insist(publish, lambda: any(msg.persons for msg in heard), 'people')
        found |= {who.id for msg in heard for who in msg.persons}
    assert not ids[0] & ids[1]


def test_a_failed_configure_can_be_tried_again(robot: Bench, tiny_bundle: Path) -> None:
    """The reason is in the log, nothing is left behind, and the corrected parameter serves."""
    act = Managed(robot, 'act_node', {'bundle': 'no_such_bundle'})
    for _ in range(2):
        assert not act.change('configure')
        assert act.state == 'unconfigured'
    assert "cannot configure: no model 'no_such_bundle'" in act.process.log
    assert robot.peer.node.count_publishers('/actions') == 0
    assert act.set('bundle', str(tiny_bundle)) == ''
    act.bring_up()
    assert 'only while the node is unconfigured' in act.set('bundle', 'act_mu')
    heard = robot.peer.listen(ActionArray, '/actions')
    keypoints = robot.peer.publisher(KeypointArray, '/keypoints')
    index = iter(range(1000))
    robot.peer.insist(lambda: keypoints.publish(frame(next(index), [])),
                      lambda: bool(heard), 'answers')
    assert heard[0].model == 'tiny'


@pytest.mark.parametrize('transition', [
    Transition(id=Transition.TRANSITION_ACTIVATE), Transition(id=99), Transition(label='fly'),
    Transition(label='deactivate')])
def test_an_impossible_transition_is_refused(
    unconfigured: Managed, transition: Transition,
) -> None:
    """And nothing else happens."""
    assert not unconfigured.change(transition)
    assert unconfigured.state == 'unconfigured' and unconfigured.process.is_alive()


@pytest.fixture(scope='module')
def unconfigured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    """Yield a node that stays unconfigured."""
    with bench(tmp_path_factory.mktemp('unconfigured')) as made:
        yield Managed(made, 'act_node', {})


def test_the_pose_node_looks_only_while_active(robot: Bench) -> None:
    """Images that come meanwhile are neither looked at nor kept."""
    pose = Managed(robot, 'pose_node', {'reliability': 'reliable'})
    heard = robot.peer.listen(KeypointArray, '/pose_node/keypoints')
    assert pose.state == 'unconfigured'
    before = memory(pose.process)
    assert pose.change('configure')
    images = robot.peer.publisher(Image, '/image')
    robot.peer.wait_for_publisher('/pose_node/keypoints')
    pose.send_in_vain(images, [image(0)])
    assert pose.change('activate')
    index = iter(range(1, 1000))
    robot.peer.insist(lambda: images.publish(image(next(index))), lambda: bool(heard), 'keypoints')
    assert pose.change('deactivate')
    unseen = image(next(index))
    pose.send_in_vain(images, [unseen])
    assert pose.change('activate')
    heard.clear()
    robot.peer.insist(lambda: images.publish(image(next(index))), lambda: bool(heard), 'keypoints')
    assert not stamps(heard) & stamps([image(0), unseen])
    used = memory(pose.process)
    assert pose.change('deactivate') and pose.change('cleanup')
    assert memory(pose.process) - before < (used - before) / 2, 'cleanup gives memory back'
    assert pose.process.stop() == 0


def test_cleanup_gives_back_what_was_subscribed_to_for_a_viewer(robot: Bench) -> None:
    """`/diagnostics`, for the history: each time the node is brought up it is one subscription."""
    pose = Managed(robot, 'pose_node', {'reliability': 'reliable', 'drawing.history': 5.0})
    peer, drawn = robot.peer, robot.peer.listen(Image, '/pose_node/annotated')
    images, index = peer.node.create_publisher(Image, '/image', 50), iter(range(1000))
    for _ in range(2):
        pose.bring_up()
        drawn.clear()
        peer.insist(lambda: images.publish(image(next(index))), lambda: bool(drawn), 'a picture')
        peer.wait(lambda: peer.node.count_subscribers('/diagnostics') == 1, 'a listener')
        assert pose.change('deactivate') and pose.change('cleanup')
        peer.wait(lambda: not peer.node.count_subscribers('/diagnostics'), 'its end', 10.0)


def test_the_pipeline_closes_its_video_while_inactive(robot: Bench, tmp_path: Path) -> None:
    """A video that cannot be opened fails the activation; a good one is opened by each."""
    short = tmp_path / 'short.mp4'
    writer = cv2.VideoWriter(str(short), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    node = Managed(robot, 'pipeline_node', {'source': '/no/such/video.mp4', 'loop': True})
    heard = robot.peer.listen(ActionArray, '/actions')
    assert node.change('configure') and not node.change('activate')
    assert 'cannot activate: video /no/such/video.mp4 does not exist' in node.process.log
    assert node.state == 'inactive' and node.change('cleanup')
    assert node.set('source', str(short)) == ''
    assert node.change('configure')
    for _ in range(2):
        assert node.change('activate')
        descriptors = Path(f'/proc/{node.process.popen.pid}/fd')
        assert str(short) in [str(file.readlink()) for file in descriptors.iterdir()
                              if file.is_symlink()]
        heard.clear()
        robot.peer.wait(lambda: len(heard) > 3, 'answers')
        assert node.change('deactivate')
        assert str(short) not in [str(file.readlink()) for file in descriptors.iterdir()
                                  if file.is_symlink()]
    assert node.process.stop() == 0


def test_a_cleanup_while_a_bad_bundle_is_loaded(
    robot: Bench, tmp_path: Path, tiny_bundle: Path,
) -> None:
    """There is nobody left to answer; the node goes on."""
    huge = tmp_path / 'huge.tflite'  # takes its time, and is refused in the end
    huge.with_suffix('.yaml').write_text(tiny_bundle.with_suffix('.yaml').read_text())
    huge.touch()
    os.truncate(huge, LARGEST)
    act, peer = Managed(robot, 'act_node', {'bundle': str(tiny_bundle)}), robot.peer
    assert act.change('configure')
    client = peer.node.create_client(LoadBundle, '/act_node/load_bundle')
    peer.wait(client.service_is_ready, 'the service')
    threads = Path(f'/proc/{act.process.popen.pid}/task')
    before = len(list(threads.iterdir()))
    future = client.call_async(LoadBundle.Request(bundle=str(huge)))
    peer.wait(lambda: len(list(threads.iterdir())) > before, 'the load')
    assert act.change('cleanup')
    peer.wait(lambda: len(list(threads.iterdir())) <= before, 'the end of the load')
    assert act.state == 'unconfigured' and not future.done()
    assert act.set('bundle', str(tiny_bundle)) == '', 'nothing is locked'
    assert act.change('configure') and act.process.stop() == 0
    assert 'Traceback' not in act.process.log


def test_what_is_destroyed_before_the_cleanup_is_not_kept_for_it(robot: Bench) -> None:
    """Bodies and cameras come and go for as long as a node runs."""
    node, gone = robot.peer.node, list[weakref.ref[Any]]()
    entities, others = Entities(node), {*node.publishers}
    for number in range(3):
        with entities.record():
            node.create_publisher(Header, f'stays_{number}', 1)
            body = node.create_subscription(Header, f'body_{number}', lambda _: None, 1)
        gone += [weakref.ref(body), weakref.ref(body.callback)]
        node.destroy_subscription(body)
    del body
    gc.collect()
    assert not any(reference() for reference in gone)
    assert len({*node.publishers} - others) == 3
    entities.destroy()
    assert {*node.publishers} == others


ODD = """
import time

import rclpy
from lifecycle_msgs.msg import State
from std_msgs.msg import Header

from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.managed import ERROR, SUCCESS, ManagedNode, Work
from act_ros.ros.options import StartOptions

tries = []

class Odd(Work):
    def __init__(self, node):
        self.odd, self.heard = node.create_publisher(Header, 'odd', 1), []
        self.health = [Health('odd'), Health('another camera')]
        node.subscribe(Header, 'odd', self.hear, 1, health=self.health[0])
        tries.append(len(tries))
        if len(tries) == 1:
            raise KeyError('nobody thought of this')

    def start(self):
        if len(tries) == 2:
            raise KeyError('nor of this')

    def hear(self, msg):
        assert node.lock._is_owned()
        self.heard.append(msg)
        if len(self.heard) == 1:
            raise KeyError('nor that a frame')

rclpy.init()
node = ManagedNode('odd', (('', StartOptions), ('diagnostics', HealthOptions)), Odd)
topics = lambda: [publisher.topic_name for publisher in node.publishers]
state = lambda: node._state_machine.current_state[0]
before = topics()
assert node.trigger_configure() == ERROR and 'nobody' in node._reports()['life cycle'].message
assert state() == State.PRIMARY_STATE_UNCONFIGURED and topics() == before
assert node.trigger_configure() == SUCCESS and topics() == [*before, '/odd']
assert node.trigger_activate() == ERROR and not node.is_active
assert state() == State.PRIMARY_STATE_UNCONFIGURED and topics() == before
assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
assert node.is_active and node._reports()['life cycle'].message == 'active'
work, end = node._work, time.monotonic() + 20
while len(work.heard) < 3 and time.monotonic() < end:
    work.odd.publish(Header())
    rclpy.spin_once(node, timeout_sec=0.1)
assert len(work.heard) >= 3 and node.is_active
values = node._reports()['odd'].values
assert values['dropped: unforeseen error'] == '1' and 'nor that' in values['last error']
assert 'dropped: unforeseen error' not in node._reports()['another camera'].values
node.destroy_node()
rclpy.shutdown()
"""


def test_errors_nobody_foresaw_do_not_end_a_node(tmp_path: Path) -> None:
    """One in a transition leaves it unconfigured, one in a frame costs that; both are logged."""
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(free_domain()), 'PYTHONPATH': str(ROOT),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    done = subprocess.run([sys.executable, '-c', ODD], cwd=tmp_path, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count('Traceback') == 3 and 'nobody thought of this' in done.stdout
