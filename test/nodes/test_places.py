"""Where people are, from act_node over real DDS: calibration and depth as cameras send them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from robot import FRAME, START, Robot, frame, walker
from ros_harness import bench
from sensor_msgs.msg import CameraInfo, Image

from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.ros.topics import to_time

# walker() stands in the middle of 640 x 480 pixels, neck at 320, 120, hips 100 pixels below.
FOCAL = 600.0


def calibration(focal: float = FOCAL, width: int = 640, height: int = 480) -> CameraInfo:
    """Return that of a camera whose axis meets the middle of the image."""
    return CameraInfo(width=width, height=height, k=np.array(
        [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1.0]))


class Camera:
    """A running act_node with a depth camera."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.peer = robot, robot.peer
        self.info = self.peer.publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        self.depth = self.peer.publisher(Image, '/depth', qos_profile_sensor_data)
        self.index = count()

    def calibrate(self, focal: float = FOCAL, width: int = 640, height: int = 480) -> None:
        """Publish a calibration."""
        self.info.publish(calibration(focal, width, height))

    def ask(self, depth: Image | None = None, later: float = 0.0) -> ActionArray:
        """Return the answer to a frame, whose depth image bears a stamp some seconds later."""
        index = next(self.index)
        if depth:
            depth.header.stamp = to_time(START + index * FRAME + round(later * 1e9))
            self.depth.publish(depth)
        return self.robot.ask(frame(index, [walker(index)]))

    def until(self, place: int, ask: Callable[[], ActionArray]) -> Action:
        """Ask until somebody's place is of a kind, as best effort needs not arrive."""
        for _ in range(200):
            (action,) = ask().actions
            if action.place == place:
                return action
            self.peer.executor.spin_once(timeout_sec=0.05)
        raise AssertionError(f'place stayed {action.place}: {self.robot.node.log}')


def depth_image(metres: float, width: int = 640, height: int = 480) -> Image:
    """Return a wall, as 16UC1, with a hole where the left half of the image is."""
    values = np.full((height, width), round(metres * 1000), np.uint16)
    values[:, :width // 2] = 0
    image = Image(height=height, width=width, encoding='16UC1', step=2 * width)
    image.data.frombytes(values.tobytes())
    return image


@pytest.fixture
def camera(tmp_path: Path, tiny_bundle: Path) -> Iterator[Camera]:
    """Yield a camera before an act_node that wants its depth."""
    with bench(tmp_path) as made:
        yield Camera(Robot(made, made.start(
            'act_node', {'bundle': str(tiny_bundle), 'place.depth': True})))


def test_places_from_nowhere_to_measured(camera: Camera) -> None:
    """Each as soon as what it needs has come; out of sight, where the person was."""
    (action,) = camera.ask().actions
    camera.peer.wait(lambda: 'depth without camera_info: ' in camera.robot.node.log, 'the drops')
    assert action.place == Action.NOWHERE and math.isnan(action.position.z)
    assert math.isnan(action.distance) and math.isnan(action.bearing)

    def estimate() -> ActionArray:
        camera.calibrate()
        return camera.ask()

    estimated = camera.until(Action.ESTIMATED, estimate)
    # 100 pixels from shoulder to hip are 0.48 m at 2.9 m; hip to foot is shorter than it should be.
    assert 2.0 < estimated.position.z < 3.2 and estimated.distance_error > 0.2
    assert estimated.bearing == pytest.approx(0.0, abs=0.01)
    camera.robot.peer.wait(
        lambda: 'no depth image of that time' in camera.robot.node.log, 'the drops')

    measured = camera.until(Action.MEASURED, lambda: camera.ask(depth_image(3.5)))
    assert measured.position.z == pytest.approx(3.5)
    assert measured.position.y == pytest.approx((170 - 240) / FOCAL * 3.5, abs=0.01)
    assert measured.distance == pytest.approx(math.hypot(3.5, measured.position.y), rel=1e-3)
    assert measured.distance_error == pytest.approx(0.01 * measured.distance, rel=1e-3)
    camera.until(Action.MEASURED, lambda: camera.ask(depth_image(3.0, 320, 240), later=0.01))

    last = camera.ask(depth_image(3.0)).actions[0]
    (gone,) = camera.robot.ask(frame(next(camera.index), [])).actions
    assert (gone.place, gone.position, gone.distance) == (last.place, last.position, last.distance)
    assert camera.robot.node.stop() == 0 and 'Traceback' not in camera.robot.node.log


def test_cameras_without_stamps_are_measured_by_arrival(tmp_path: Path, tiny_bundle: Path) -> None:
    with bench(tmp_path) as made:
        process = made.start('act_node', {'bundle': str(tiny_bundle), 'place.depth': True,
                                          'place.tolerance': 0.2, 'stamps': 'arrival'})
        heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
        made.peer.wait_for_publisher('/actions')
        info = made.peer.publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        depth = made.peer.publisher(Image, '/depth', qos_profile_sensor_data)
        keypoints = made.peer.publisher(KeypointArray, '/keypoints')

        def publish() -> None:
            info.publish(calibration())
            depth.publish(depth_image(3.5))
            message = frame(0, [walker(0)])
            message.header.stamp = Time()
            keypoints.publish(message)

        made.peer.insist(publish, lambda: any(
            action.place == Action.MEASURED for msg in heard for action in msg.actions), 'a place')
        assert process.stop() == 0


def test_what_a_depth_camera_does_wrong(camera: Camera) -> None:
    """Clear, counted, and the answers go on with an estimate."""
    def ask(depth: Image, later: float = 0.0) -> Callable[[], ActionArray]:
        def show() -> ActionArray:
            camera.calibrate()
            return camera.ask(depth, later)
        return show

    health: list[DiagnosticArray] = camera.peer.listen(DiagnosticArray, '/diagnostics')
    camera.until(Action.MEASURED, ask(depth_image(3.5)))
    colour = depth_image(3.5)
    colour.encoding = 'bgr8'
    no_numbers = Image(height=480, width=640, encoding='32FC1', step=4 * 640)
    no_numbers.data.frombytes(np.full((480, 640), np.nan, np.float32).tobytes())
    for depth, later, words in (
            (colour, 0.0, "depth image of encoding 'bgr8'; known: 16UC1, 32FC1"),
            (depth_image(3.5, 640, 640), 0.0, 'depth image of 640x640 pixels is not registered'),
            (depth_image(3.5), 0.2, 'no depth image of that time'),
            (depth_image(0.0), 0.0, 'no depth on a person: '), (no_numbers, 0.0, '')):
        camera.until(Action.ESTIMATED, ask(depth, later))
        # The same kind of line comes every five seconds at most.
        camera.peer.insist(
            ask(depth, later), lambda: words in camera.robot.node.log, words)  # noqa: B023
    camera.calibrate(focal=0.0)
    assert camera.until(Action.NOWHERE, lambda: camera.ask()).label
    values = lambda: {v.key: v.value for m in health for s in m.status for v in s.values}  # noqa: E731
    camera.peer.wait(lambda: 'dropped: camera_info without a calibration' in values(), 'a count')
    assert values()['camera_info'] == '640x480, not calibrated'
    assert int(values()['dropped: unusable depth image']) >= 2
