"""Several cameras: a namespace for each, or one process for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from camera import clip
from diagnostic_msgs.msg import DiagnosticArray
from robot import frame, walker
from ros_harness import Bench, bench
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.msg import ActionArray, KeypointArray
from act_ros.ros.images import bgr_to_image
from act_ros.ros.options import CameraOptions
from act_ros.ros.signals import CANNOT_START
from act_ros.ros.topics import to_time
from act_ros.srv import LoadBundle


class Camera:
    """One camera before a pipeline_node, and what is said of its images."""

    def __init__(self, made: Bench, name: str, picture: np.ndarray, start: int) -> None:
        self._peer, self._picture, self._stamp = made.peer, picture, start
        self.actions: list[ActionArray] = self._peer.listen(ActionArray, f'/{name}/actions')
        self.keypoints: list[KeypointArray] = self._peer.listen(
            KeypointArray, f'/pipeline_node/{name}/keypoints')
        self._images = self._peer.publisher(Image, f'/{name}/image', 1)
        self._name = name

    def show(self) -> None:
        """Publish the next image."""
        self._stamp += 33_333_333
        self._images.publish(bgr_to_image(
            self._picture, Header(stamp=to_time(self._stamp), frame_id=self._name)))


@pytest.fixture(scope='module')
def cameras(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path,
) -> Iterator[tuple[Bench, Camera, Camera]]:
    """Yield a camera upside down that sees a man, and one of another time that sees nothing."""
    with bench(tmp_path_factory.mktemp('cameras')) as made:
        made.start('pipeline_node', {
            'bundle': str(tiny_bundle), 'reliability': 'reliable', 'tracker.min_hits': 1},
            raw=['-p', 'cameras:=[front, rear]', '-p', 'rotations:=[180, -1]'])
        picture = clip(12)[-1]
        yield (made, Camera(made, 'front', np.ascontiguousarray(picture[::-1, ::-1]), 10**18),
               Camera(made, 'rear', np.full_like(picture, 127), 2 * 10**18))


def test_one_process_answers_each_camera(cameras: tuple[Bench, Camera, Camera]) -> None:
    """Its own people, stamps, frames and rotation, though images come in turns, of other times."""
    made, front, rear = cameras

    def show() -> None:
        front.show()
        rear.show()

    made.peer.insist(show, lambda: all(
        len(heard) > 3 for camera in (front, rear) for heard in (camera.actions, camera.keypoints)),
        'answers of both')
    assert {m.header.frame_id for m in front.actions + front.keypoints} == {'front'}
    assert {m.header.frame_id for m in rear.actions + rear.keypoints} == {'rear'}
    assert all([p.id for p in m.persons] == ['p1'] for m in front.keypoints)
    assert all([a.person_id for a in m.actions] == ['p1'] for m in front.actions)
    nose, ankle = (front.keypoints[-1].persons[0].keypoints[k] for k in (0, 15))
    assert nose.y > ankle.y + 50 and min(nose.score, ankle.score) > 0.3, 'head down, and well seen'
    assert not any(m.persons for m in rear.keypoints) and not any(m.actions for m in rear.actions)
    assert made.peer.node.count_publishers('/actions') == 0


def test_a_bundle_is_swapped_for_all(cameras: tuple[Bench, Camera, Camera]) -> None:
    """Both cameras' answers come from the new model."""
    made, front, rear = cameras
    assert made.peer.call(
        LoadBundle, '/pipeline_node/load_bundle', LoadBundle.Request(bundle='act_mu')).success
    for camera in (front, rear):
        camera.actions.clear()
        made.peer.insist(
            camera.show, lambda: any(m.model == 'act_mu' for m in camera.actions),  # noqa: B023
            'the new model')


def test_each_camera_has_a_status(cameras: tuple[Bench, Camera, Camera]) -> None:
    """Who falls silent is told by name."""
    made, front, _ = cameras
    heard: list[DiagnosticArray] = made.peer.listen(DiagnosticArray, '/diagnostics')

    def messages() -> dict[str, str]:
        return {status.name: status.message for status in heard[-1].status} if heard else {}

    made.peer.insist(
        front.show, lambda: 'nothing on /rear/image' in messages().get('pipeline_node: rear', '')
        and 'nothing' not in messages()['pipeline_node: front'], 'the rear camera alone silent')


def test_each_camera_has_its_own_rotation_or_that_of_all() -> None:
    """In the order of the cameras."""
    cameras = ('front', 'rear')
    for rotations, expected in (((-1,), [90, 90]), ((180,), [180, 180]), ((0, -1), [0, 90])):
        assert CameraOptions(cameras, rotations).each_rotation(90) == expected
    with pytest.raises(ValueError, match='rotations are 3, but cameras 2'):
        CameraOptions(cameras, (0, 0, 0))


@pytest.mark.parametrize(('cameras', 'source', 'message'), [
    ('[front, front]', '', 'must differ'), ("['2nd']", '', "'2nd' cannot be part of a topic"),
    ('[front]', 'clip.mp4', 'source and cameras'),
])
def test_what_cannot_be_several_cameras(
    tmp_path: Path, cameras: str, source: str, message: str,
) -> None:
    """One clear line and exit status."""
    with bench(tmp_path) as made:
        node = made.start('pipeline_node', {'source': source}, raw=['-p', f'cameras:={cameras}'])
        assert node.wait() == CANNOT_START
        assert message in node.log and 'Traceback' not in node.log


def test_a_namespace_for_each_camera(tmp_path: Path, tiny_bundle: Path) -> None:
    """Two processes of the same name do not hear each other."""
    with bench(tmp_path) as made:
        heard = {}
        for name, person in (('front', 'anna'), ('rear', 'ben')):
            made.start('act_node', {'bundle': str(tiny_bundle)}, raw=['-r', f'__ns:=/{name}'])
            heard[name] = made.peer.listen(ActionArray, f'/{name}/actions')
            keypoints = made.peer.publisher(KeypointArray, f'/{name}/keypoints')
            index = iter(range(10_000))
            made.peer.insist(
                lambda: keypoints.publish(  # noqa: B023
                    frame(next(index), [walker(0, person)])),  # noqa: B023
                lambda: len(heard[name]) > 3, 'actions')  # noqa: B023
        for name, person in (('front', 'anna'), ('rear', 'ben')):
            assert {a.person_id for m in heard[name] for a in m.actions} == {person}
