"""A camera faster than the pose network: the newest frame wins, and no queue builds."""

from __future__ import annotations

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
        self._images = self.peer.publisher(Image, '/image', 10)
        self.sent = 0

    def send(self) -> None:
        """Publish the next image."""
        self.sent += 1
        # The stamps are numbers, as far apart as the frames of a camera that nothing is dropped of.
        self._images.publish(bgr_to_image(PIXELS, Header(stamp=to_time(self.sent * 10_000_000))))

    @property
    def answered(self) -> list[int]:
        """The numbers of the images answered."""
        return [to_nanoseconds(msg.header.stamp) // 10_000_000 for msg in self.answers]


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
    # As fast as that by the answers, not by the clock: a busy machine changes nothing.
    peer = camera.peer
    peer.insist(camera.send, lambda: camera.sent in camera.answered, 'answers')
    camera.answers.clear()
    lags: list[int] = []  # how many newer images there were as an answer came
    first = camera.sent + 1
    for _ in range(FRAMES // times_faster):
        before = len(camera.answers)
        for _ in range(times_faster):
            camera.send()
        peer.wait(lambda: len(camera.answers) > before, 'an answer')  # noqa: B023
        peer.executor.spin_once(timeout_sec=0.0)  # perhaps there is another one
        lags += [camera.sent - number for number in camera.answered[before:]]
    in_time = len(camera.answers)
    peer.wait(lambda: camera.sent in camera.answered, 'the answer to the last image')

    answered = [number for number in camera.answered if number >= first]
    assert answered == sorted(set(answered)), 'in order, each once'
    assert in_time < FRAMES, 'what is too much is skipped'
    # One is being worked on, one waits; one or two answers may be on their way.
    assert len(camera.answers) - in_time <= 4, 'a queue has built'
    assert np.median(lags) <= 2 * times_faster, f'answers are {np.median(lags)} images late'
