"""A camera faster than the pose network: the newest frame wins, and no queue builds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy')

from ros_harness import Bench, bench
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.core.stamps import to_nanoseconds
from act_ros.msg import KeypointArray
from act_ros.ros.images import bgr_to_image
from act_ros.ros.topics import to_time

FRAMES = 200
PIXELS = np.full((48, 64, 3), 127, np.uint8)


class Camera:
    """Small numbered images for a node, and which of them it has answered."""

    def __init__(self, made: Bench, node: str) -> None:
        self.peer = made.peer
        # One network for every image: what an image costs is then always the same.
        made.start(node, {'reliability': 'reliable', 'model': 'movenet_multipose_192x256'})
        self.answers: list[KeypointArray] = self.peer.listen(KeypointArray, f'/{node}/keypoints')
        self._images = self.peer.publisher(Image, '/image', 1)
        self.sent = 0

    def send(self) -> int:
        """Publish the next image; return its number."""
        self.sent += 1
        # The stamps are numbers, as far apart as the frames of a camera that nothing is dropped of.
        self._images.publish(bgr_to_image(PIXELS, Header(stamp=to_time(self.sent * 10_000_000))))
        return self.sent

    def _show(self) -> None:
        self.send()

    @property
    def answered(self) -> list[int]:
        """The numbers of the images answered."""
        return [to_nanoseconds(msg.header.stamp) // 10_000_000 for msg in self.answers]

    def latency(self) -> float:
        """Return the seconds from an image to its answer while nothing else is to be done."""
        times = []
        self.peer.insist(self._show, lambda: self.sent in self.answered, 'answers')
        for _ in range(15):
            begin, number = time.monotonic(), self.send()
            self.peer.wait(lambda: number in self.answered, 'an answer')  # noqa: B023
            times.append(time.monotonic() - begin)
        return float(np.median(times))


@pytest.fixture(scope='module', params=['pose_node', 'pipeline_node'])
def camera(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Camera]:
    """Yield a camera before a running node."""
    with bench(tmp_path_factory.mktemp('camera')) as made:
        yield Camera(made, request.param)


@pytest.mark.parametrize('times_faster', [2, 5])
def test_the_newest_frame_wins(camera: Camera, times_faster: int) -> None:
    """Old frames are skipped, the last one is answered, and nothing waits behind it."""
    period = camera.latency() / times_faster
    camera.answers.clear()
    lags: list[int] = []  # how many newer images there were as an answer came
    first, begin = camera.sent + 1, time.monotonic()
    for i in range(FRAMES):
        camera.send()
        due = begin + (i + 1) * period
        while True:
            before = len(camera.answers)
            camera.peer.executor.spin_once(timeout_sec=max(due - time.monotonic(), 0.0))
            lags += [camera.sent - number for number in camera.answered[before:]]
            if time.monotonic() >= due:
                break
    in_time = len(camera.answers)
    camera.peer.wait(lambda: camera.sent in camera.answered, 'the answer to the last image')

    answered = [number for number in camera.answered if number >= first]
    assert answered == sorted(set(answered)), 'in order, each once'
    assert 10 < in_time < FRAMES, 'what is too much is skipped'
    # One is being worked on, one waits; one or two answers may be on their way.
    assert len(camera.answers) - in_time <= 4, 'a queue has built'
    skipping = FRAMES / in_time
    assert np.median(lags) <= 3 * skipping + 3, f'answers are {np.median(lags)} images late'
