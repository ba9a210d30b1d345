"""pose_node over real DDS: images in, keypoints out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from camera import clip, encoded, header
from ros_harness import Bench, Process, bench
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from act_ros.msg import KeypointArray
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import create_estimator
from act_ros.persons.tracker import TrackerOptions
from act_ros.ros.images import bgr_to_image, image_to_bgr
from act_ros.ros.signals import CANNOT_START


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, Process]]:
    """Yield a bench with a running pose_node."""
    with bench(tmp_path_factory.mktemp('pose')) as made:
        yield made, made.start('pose_node', {'reliability': 'reliable', 'tracker.min_hits': 1})


@pytest.fixture(scope='module')
def images(robot: tuple[Bench, Process]) -> Any:
    """Return the publisher of images."""
    return robot[0].peer.publisher(Image, '/image', 5)


@pytest.fixture(scope='module')
def everything(robot: tuple[Bench, Process], images: Any) -> list[KeypointArray]:
    """Return what pose_node publishes, once it surely knows its audience."""
    heard = robot[0].peer.listen(KeypointArray, '/pose_node/keypoints')

    def greet(number: int) -> Header:
        msg = nothing(next(counter))
        images.publish(msg)
        return msg.header

    robot[0].peer.greet(greet, heard)
    return heard


@pytest.fixture
def keypoints(everything: list[KeypointArray]) -> list[KeypointArray]:
    """Return what pose_node publishes from here on."""
    everything.clear()
    return everything


counter = iter(range(1_000_000))


def nothing(index: int) -> Image:
    """Return a small image in which there is nobody."""
    return bgr_to_image(np.full((120, 160, 3), 127, np.uint8), header(index))


def ask(bench_: Bench, images: Any, heard: list[KeypointArray], msg: Image) -> KeypointArray:
    """Publish an image and return the answer to it."""
    images.publish(msg)
    bench_.peer.wait(lambda: any(m.header == msg.header for m in heard), 'keypoints')
    return next(m for m in heard if m.header == msg.header)


@pytest.mark.parametrize('padding', [0, 13])
@pytest.mark.parametrize(
    'encoding', ['bgr8', 'rgb8', 'bgra8', 'rgba8', 'mono8', 'yuv422', 'yuv422_yuy2'])
def test_finds_the_person_in_every_encoding(
    robot: tuple[Bench, Process], images: Any, keypoints: list[KeypointArray], encoding: str,
    padding: int,
) -> None:
    """The jumping man is where he is, whatever the pixels are made of."""
    # An image of another size begins anew: in grey he might be taken for somebody else.
    ask(robot[0], images, keypoints, nothing(next(counter)))
    image = clip(12)[-1]
    answer = ask(robot[0], images, keypoints, encoded(image, encoding, next(counter), padding))
    assert (answer.layout, answer.image_width, answer.image_height) == ('coco17', 640, 480)
    assert answer.persons, 'nobody found'
    man = max(answer.persons, key=lambda p: p.score)
    assert len(man.keypoints) == 17 and man.id.startswith('p')
    hips = np.mean([(man.keypoints[i].x, man.keypoints[i].y) for i in (11, 12)], axis=0)
    assert np.hypot(*(hips - (186, 130))) < 25
    assert man.box.x_min < hips[0] < man.box.x_max and man.box.y_min < hips[1] < man.box.y_max


def test_an_empty_image_gets_an_empty_answer(
    robot: tuple[Bench, Process], images: Any, keypoints: list[KeypointArray],
) -> None:
    """Nobody there is an answer, too."""
    grey = np.full((120, 160, 3), 127, np.uint8)
    answer = ask(robot[0], images, keypoints, bgr_to_image(grey, header(next(counter))))
    assert list(answer.persons) == [] and answer.image_width == 160


def test_survives_bad_images(
    robot: tuple[Bench, Process], images: Any, keypoints: list[KeypointArray],
) -> None:
    """Each kind of broken image is named in the log; the next good one is answered."""
    made, node = robot
    good = clip(1)[0]
    cut = encoded(good, 'bgr8', next(counter))
    cut.data = cut.data[:1000]
    narrow = encoded(good, 'bgr8', next(counter))
    narrow.step = 100
    strange = encoded(good, 'bgr8', next(counter))
    strange.encoding = 'nonsense9'
    made.peer.insist(lambda: images.publish(cut), lambda: 'cut off' in node.log, 'a word of it')
    for msg in (narrow, strange, Image(header=header(next(counter)), encoding='rgb8')):
        images.publish(msg)
        made.peer.executor.spin_once(timeout_sec=0.3)
        answer = ask(made, images, keypoints, encoded(good, 'bgr8', next(counter)))
        assert answer.image_width == 640
    made.peer.wait(lambda: 'dropped so far: unreadable image' in node.log, 'a word about drops')
    assert node.is_alive()


def test_a_late_image_is_dropped_and_a_jump_back_is_followed(
    robot: tuple[Bench, Process], images: Any, keypoints: list[KeypointArray],
) -> None:
    """Out of order is not answered; a bag that begins again is."""
    made, _ = robot
    image = clip(1)[0]
    at = next(counter)
    late = encoded(image, 'bgr8', at - 2)
    ask(made, images, keypoints, encoded(image, 'bgr8', at))
    images.publish(late)
    ask(made, images, keypoints, encoded(image, 'bgr8', next(counter)))
    assert not any(m.header == late.header for m in keypoints)
    for indices in (iter(range(500_000, 501_000)), counter):  # on, and back again
        shown: list[Header] = []

        def show() -> None:
            msg = encoded(image, 'bgr8', next(indices))  # noqa: B023
            shown.append(msg.header)  # noqa: B023
            images.publish(msg)

        def answered() -> list[int]:
            return [i for i, sent in enumerate(shown)  # noqa: B023
                    if any(m.header == sent for m in keypoints)]

        made.peer.insist(show, lambda: bool(answered()), 'keypoints')
        assert answered()[0] >= 2, 'one or two alone are outliers'


def test_annotated_image_on_demand(
    robot: tuple[Bench, Process], images: Any, keypoints: list[KeypointArray],
) -> None:
    """Whoever subscribes sees the people drawn in."""
    made, _ = robot
    drawn = made.peer.listen(Image, '/pose_node/annotated')
    image, asked = clip(12)[-1], list[Header]()

    def pictures() -> list[Image]:
        return [picture for picture in drawn if picture.header in asked]

    def is_drawn() -> bool:
        msg = encoded(image, 'bgr8', next(counter))
        asked.append(msg.header)
        ask(made, images, keypoints, msg)
        return bool(pictures())

    made.peer.wait(is_drawn, 'an annotated image')
    changed = np.any(image_to_bgr(pictures()[-1]) != image, axis=-1)
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 500, 'nothing was drawn'
    assert columns.max() < 330 and rows.max() < 260, 'drawn where nobody is'


def test_compressed_transport(tmp_path: Path) -> None:
    """JPEG images on <image>/compressed are answered, damaged ones are not fatal."""
    with bench(tmp_path) as made:
        node = made.start('pose_node', {'transport': 'compressed', 'tracker.min_hits': 1},
                          {'image': '/cam/image_raw'})
        heard = made.peer.listen(KeypointArray, '/pose_node/keypoints')
        images = made.peer.publisher(CompressedImage, '/cam/image_raw/compressed', 5)
        made.peer.wait_for_publisher('/pose_node/keypoints')
        jpeg = cv2.imencode('.jpg', clip(12)[-1])[1].tobytes()
        damaged = CompressedImage(header=header(0), format='jpeg', data=jpeg[:200])
        made.peer.insist(lambda: images.publish(damaged),
                         lambda: 'cannot be decoded' in node.log, 'a word about the damage')
        whole = CompressedImage(header=header(1), format='jpeg', data=jpeg)
        made.peer.insist(lambda: images.publish(whole), lambda: bool(heard), 'keypoints')
        assert heard[0].header == header(1) and len(heard[0].persons) == 1
        assert node.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(('rotation', 'turn'), [
    (90, lambda points, width, height: (points[:, 1], width - points[:, 0])),
    (180, lambda points, width, height: (width - points[:, 0], height - points[:, 1])),
])
def test_a_camera_on_its_side(
    tmp_path: Path, rotation: int, turn: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    """The man is found as in upright images, and keypoints are in the pixels of the published."""
    image = clip(12)[-1]
    height, width = image.shape[:2]
    lying = np.ascontiguousarray(np.rot90(image, rotation // 90))
    [upright] = PersonFinder(
        create_estimator(), TrackerOptions(min_hits=1)).update(1, image) or []
    with bench(tmp_path) as made:
        made.start('pose_node', {'rotation': rotation, 'tracker.min_hits': 1})
        heard = made.peer.listen(KeypointArray, '/pose_node/keypoints')
        images = made.peer.publisher(Image, '/image', 5)
        msg = bgr_to_image(lying, header(0))
        made.peer.wait_for_publisher('/pose_node/keypoints')
        made.peer.insist(lambda: images.publish(msg), lambda: bool(heard), 'keypoints')
    answer = heard[0]
    assert answer.header == msg.header
    assert (answer.image_width, answer.image_height) == lying.shape[1::-1]
    [found] = answer.persons
    points = np.array([(k.x, k.y) for k in found.keypoints])
    expected = np.stack(turn(upright.keypoints, width, height), axis=1)
    np.testing.assert_allclose(points, expected, atol=0.01)


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'model': 'no_such_model'}, "no model 'no_such_model'"),
    ({'model': '/no/such/file.tflite'}, '/no/such/file.tflite does not exist'),
    ({'num_threads': 0}, 'num_threads'),
    ({'tracker.max_age': -1.0}, 'tracker.max_age'),
    ({'transport': 'pigeon'}, 'must be one of: raw, compressed'),
    ({'score_threshold': 'high'}, 'score_threshold'),
])
def test_a_bad_parameter_is_one_clear_line(
    tmp_path: Path, parameters: dict[str, Any], message: str,
) -> None:
    """The node does not start, and says which parameter and why."""
    with bench(tmp_path) as made:
        node = made.start('pose_node', parameters)
        assert node.wait() == CANNOT_START
        assert message in node.log and 'Traceback' not in node.log


def test_a_network_of_ones_own_that_answers_nonsense(tmp_path: Path) -> None:
    """Each kind of it is a clear line and counted; the images between are answered."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from onnx_files import moody

    with bench(tmp_path) as made:
        node = made.start('pose_node', {
            'model': str(moody(tmp_path / 'net.onnx')), 'reliability': 'reliable',
            'tracker.min_hits': 1})
        publisher = made.peer.publisher(Image, '/image', 5)
        heard: list[KeypointArray] = made.peer.listen(KeypointArray, '/pose_node/keypoints')
        numbers = iter(range(1_000_000))

        def show(value: int) -> Image:
            return bgr_to_image(np.full((64, 64, 3), value, np.uint8), header(next(numbers)))

        def greet(_: int) -> Header:
            msg = show(127)
            publisher.publish(msg)
            return msg.header

        made.peer.greet(greet, heard)
        (person,) = ask(made, publisher, heard, show(127)).persons
        assert person.keypoints[0].x == pytest.approx(30, abs=0.1)
        assert list(ask(made, publisher, heard, show(255)).persons) == []
        made.peer.insist(
            lambda: publisher.publish(show(0)),
            lambda: 'net.onnx answers' in node.log and all(cause in node.log for cause in (
                'unusable answer of the pose network: ',
                'no numbers in an answer of the pose network: 1')), 'a word of both')
        assert len(ask(made, publisher, heard, show(127)).persons) == 1
        assert node.stop() == 0 and 'Traceback' not in node.log
