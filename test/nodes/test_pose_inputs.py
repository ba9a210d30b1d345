"""act_node on the poses of other packages, whose messages are generated for it, over real DDS."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('ament_package')

import foreign
from rclpy.qos import qos_profile_sensor_data
from robot import FRAME, START, frame, walker
from ros_harness import Bench, Peer, bench
from sensor_msgs.msg import CameraInfo

from act_ros.core.adapters import IDS, KEYPOINTS
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.ros import actions
from act_ros.ros.bodies import Bodies
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.signals import CANNOT_START

SIZE = (640, 480)
HAS_YOLO = find_spec('yolo_msgs') is not None


def make(name: str, **fields: Any) -> Any:
    """Return a message of rclpy's."""
    package, _, kind = name.split('/')
    return getattr(import_module(f'{package}.msg'), kind)(**fields)


class Yolo:
    """Publishes as yolo_ros's tracking_node does."""

    parameters: dict[str, Any] = {}  # what is published says what it is
    remappings = {'keypoints': '/yolo/tracking'}
    spoilt = 'keypoints of an unknown layout: '

    def __init__(self, peer: Peer) -> None:
        self._peer, self._publisher = peer, peer.publisher(
            import_module('yolo_msgs.msg').DetectionArray, '/yolo/tracking', 10)

    def show(self, header: Any, persons: list[Person], is_spoilt: bool = False) -> None:
        """Publish a frame, perhaps with somebody of 21 joints."""
        message = foreign.detections(make, header, persons)
        if is_spoilt:
            message.detections[0].keypoints.data[4].id = 21
        self._publisher.publish(message)

    def close(self) -> None:
        """Publish no more."""
        self._peer.node.destroy_publisher(self._publisher)


class Hri:
    """Publishes as hri_body_detect does: who is tracked first, then a skeleton each."""

    parameters: dict[str, Any] = {'input': 'rep155'}
    remappings = {'/humans/bodies/tracked': '/robot/humans/bodies/tracked'}
    spoilt = 'id that cannot be part of a topic name: '

    def __init__(self, peer: Peer) -> None:
        self._peer, self._messages = peer, import_module('hri_msgs.msg')
        self._ids = peer.publisher(
            self._messages.IdsList, '/robot/humans/bodies/tracked', 10)
        self._skeletons: dict[str, Any] = {}

    def show(self, header: Any, persons: list[Person], is_spoilt: bool = False) -> None:
        """Publish a frame, perhaps with an id that is a number."""
        ids = [p.id for p in persons] + ['7'] * is_spoilt
        self._ids.publish(self._messages.IdsList(header=header, ids=ids))
        for person in persons:
            if person.id not in self._skeletons:
                self._skeletons[person.id] = self._peer.publisher(
                    self._messages.Skeleton2D, f'/robot/humans/bodies/{person.id}/skeleton2d', 1)
            self._skeletons[person.id].publish(foreign.skeleton(make, header, person, SIZE))


class HriByType(Hri):
    """The same, where nobody says that it is."""

    parameters = {}
    remappings = {'keypoints': '/robot/humans/bodies/tracked'}


@pytest.mark.slow
@pytest.mark.parametrize('source', [Yolo, Hri, HriByType])
def test_actions_of_foreign_poses(
    tmp_path: Path, tiny_bundle: Path, foreign_variables: dict[str, str], source: type[Yolo | Hri],
) -> None:
    """An answer for every frame, also an empty one, under the ids of the other package."""
    names = ('7', '12') if source is Yolo else ('abc', 'xyz')
    with bench(tmp_path) as made:
        peer = made.peer
        node = made.start('act_node', {'bundle': str(tiny_bundle), **source.parameters},
                          source.remappings, variables=foreign_variables)
        heard: list[ActionArray] = peer.listen(ActionArray, '/actions')
        passed_on: list[KeypointArray] = peer.listen(KeypointArray, '/act_node/keypoints')
        theirs = source(peer)
        peer.wait_for_publisher('/act_node/keypoints')
        greet(made, theirs, heard)
        info = CameraInfo(width=640, height=480, k=np.diag([500.0, 500.0, 1.0]).ravel())
        camera = peer.publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        for i in range(75):
            camera.publish(info)
            persons = [walker(i, names[0]), walker(i, names[1], 'wave', 120.0)] if i < 60 else []
            msg = frame(i, persons)
            theirs.show(msg.header, persons)
            peer.wait(lambda: any(m.header == msg.header for m in heard), 'actions')  # noqa: B023
        by_stamp = {m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: m for m in heard}
        at_58 = by_stamp[START + 58 * FRAME]
        assert {a.person_id: (a.status, a.label) for a in at_58.actions} == {
            names[0]: (Action.RECOGNIZED, 'walk'), names[1]: (Action.RECOGNIZED, 'wave')}
        assert at_58.header.frame_id == 'eye'
        assert {m.layout for m in passed_on} == {'coco17' if source is Yolo else 'rep155'}
        # Nothing but the camera tells the size where yolo_ros is not asked for masks.
        assert (passed_on[-1].image_width, passed_on[-1].image_height) == SIZE
        assert len(heard) == 75 and len(passed_on) >= 75
        # What cannot be used is told, and others are answered.
        for i in (75, 76):
            theirs.show(frame(i, []).header, [walker(i, name) for name in names], i == 75)
        peer.wait(lambda: any(m.header == frame(76, []).header for m in heard), 'actions')
        peer.wait(lambda: f'dropped so far: {source.spoilt}' in node.log, 'a word of it')
        assert node.stop() == 0 and 'Traceback' not in node.log, node.log


@pytest.mark.slow
def test_poses_of_one_package_after_those_of_another(
    tmp_path: Path, tiny_bundle: Path, foreign_variables: dict[str, str],
) -> None:
    """Whatever was published before; those who see what is passed on see it from one publisher."""
    with bench(tmp_path) as made:
        peer = made.peer
        node = made.start('act_node', {'bundle': str(tiny_bundle)},
                          {'keypoints': '/yolo/tracking'}, variables=foreign_variables)
        heard: list[ActionArray] = peer.listen(ActionArray, '/actions')
        for begin in (0, 2000):
            keypoints, index = peer.publisher(KeypointArray, '/yolo/tracking'), count(begin)
            peer.insist(lambda: keypoints.publish(frame(next(index), [])),  # noqa: B023
                        lambda: bool(heard), 'an answer')
            peer.node.destroy_publisher(keypoints)
            heard.clear()
            theirs, index = Yolo(peer), count(begin + 1000)
            peer.insist(lambda: theirs.show(frame(next(index), []).header, []),  # noqa: B023
                        lambda: bool(heard), 'an answer')
            assert peer.node.count_publishers('/act_node/keypoints') == 1
            theirs.close()
            heard.clear()
        assert node.stop() == 0 and 'Traceback' not in node.log, node.log


def greet(made: Bench, theirs: Yolo | Hri, heard: list[ActionArray]) -> None:
    """Show the robot empty frames of long ago until it answers."""
    sent: list[Any] = []

    def show() -> None:
        msg = frame(len(sent), [], start=FRAME)
        sent.append(msg.header)
        theirs.show(msg.header, [])

    made.peer.insist(show, lambda: bool(heard), 'an answer')
    made.peer.wait(lambda: any(m.header == sent[-1] for m in heard), 'the last answer')
    heard.clear()


def test_bodies_without_a_topic_hold_up_no_frame() -> None:
    """Ids that are no parts of a topic's name, and the 101st body: counted, not waited for."""
    takers: dict[str, Any] = {}
    node = SimpleNamespace(subscribe=lambda _, topic, take, __: takers.setdefault(topic, take))
    messages = SimpleNamespace(IdsList=SimpleNamespace, Skeleton2D=None)
    drops, given = Counter[str](), list[Frame]()
    bodies = Bodies(cast('Any', node), '/humans/bodies/tracked', cast('Any', messages),
                    lambda: SIZE, drops, given.extend)
    header, joints = frame(0, []).header, [SimpleNamespace(x=0.5, y=0.5, c=1.0)] * 18
    ids = ['7', 'b' * 101, *(f'b{number}' for number in range(101))]
    bodies.take_ids(SimpleNamespace(header=header, ids=ids))
    assert len(takers) == 100 and not given
    for take in takers.values():
        take(SimpleNamespace(header=header, skeleton=joints))
    assert [len(made.persons) for made in given] == [100]
    assert drops == {'id that cannot be part of a topic name': 2, 'too many bodies': 1}


def test_of_a_sender_who_has_gone_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of another sender are no gap, and skeletons end with who is tracked."""
    messages = SimpleNamespace(IdsList=SimpleNamespace, Skeleton2D=None, DetectionArray=None)
    monkeypatch.setattr(actions, 'import_messages', lambda *_: messages)
    takers: dict[str, Any] = {}

    def subscribe(_: Any, topic: str, take: Any, *__: Any, **___: Any) -> str:
        takers[topic] = take
        return topic

    kind, health = KEYPOINTS, Health('')
    node = MagicMock(
        parameters=lambda options: options(), resolve_topic_name=lambda _: '/humans/tracked',
        count_publishers=lambda _: 1, subscribe=subscribe, destroy_subscription=takers.pop,
        get_publishers_info_by_topic=lambda _: [SimpleNamespace(topic_type=kind)])
    actions.PoseInput(node, cast('Any', SimpleNamespace(
        health=health, publish=lambda _: None, places=SimpleNamespace(image_size=SIZE))))
    look = node.create_timer.call_args.args[1]
    header = frame(0, []).header
    for number, kind in (5, KEYPOINTS), (800, IDS), (20, KEYPOINTS):
        look()
        look()
        given = SimpleNamespace(ids=['abc'], header=header) if kind == IDS else b''
        takers['/humans/tracked'](given, {'publication_sequence_number': number})
        assert ('/humans/abc/skeleton2d' in takers) == (kind == IDS)
    drops = {name: value for name, value in health.report(HealthOptions()).values.items()
             if name.startswith('dropped')}
    assert drops == {'dropped: unreadable message': '2'}


@pytest.mark.skipif(HAS_YOLO, reason='yolo_msgs is installed')
def test_what_is_not_installed_is_named(tmp_path: Path, tiny_bundle: Path) -> None:
    """One clear line and exit status, where the messages of an input are absent."""
    with bench(tmp_path) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle), 'input': 'yolo'})
        assert node.wait() == CANNOT_START
        assert 'input yolo needs the package yolo_msgs' in node.log
        assert 'Traceback' not in node.log


def test_skeletons_cannot_go_by_arrival(tmp_path: Path, tiny_bundle: Path) -> None:
    """Ids and skeletons belong together by their stamps."""
    with bench(tmp_path) as made:
        node = made.start('act_node', {
            'bundle': str(tiny_bundle), 'input': 'rep155', 'stamps': 'arrival'})
        assert node.wait() == CANNOT_START
        assert 'stamps: arrival, but ids and skeletons' in node.log and 'Traceback' not in node.log
