"""Cameras of every reliability, before and after the node, without our profile for Fast DDS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from camera import clip, encoded
from ros_harness import ROOT, bench, free_domain, give_back
from sensor_msgs.msg import Image

from act_ros.msg import KeypointArray
from act_ros.ros.fastdds import PROFILE_VARIABLES, image_transport_variables

# Arguments: reliability, first number, width, height. Frames have numbers for stamps.
CAMERA = """
import itertools, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
reliability, first, width, height = sys.argv[1], *map(int, sys.argv[2:])
rclpy.init()
node = rclpy.create_node(f'camera_{first}')
publisher = node.create_publisher(
    Image, 'image', QoSProfile(depth=100, reliability=ReliabilityPolicy[reliability]))
msg = Image(height=height, width=width, encoding='bgr8', step=3 * width)
msg.data.frombytes(bytes(3 * width * height))
while publisher.get_subscription_count() == 0:
    time.sleep(0.01)
for number in itertools.count(first):
    msg.header.stamp.sec = number
    publisher.publish(msg)
    time.sleep(0.04)
"""
# VGA loses parts of images without the profile, which only a reliable camera sends again.
SIZES = {'RELIABLE': ('640', '480'), 'BEST_EFFORT': ('160', '120')}
IN_A_ROW = {'RELIABLE': 50, 'BEST_EFFORT': 1}
# Prints the number of every frame that it hears.
LISTENER = """
import rclpy
from sensor_msgs.msg import Image
from act_ros.ros.options import SubscriptionOptions
from act_ros.ros.subscription import CameraSubscription
rclpy.init()
node = rclpy.create_node('listener')
images = CameraSubscription(
    node, ('/image', Image), SubscriptionOptions(),
    lambda msg, _: print(msg.header.stamp.sec, flush=True), depth=50)
rclpy.spin(node)
"""


@pytest.fixture
def domain() -> Iterator[int]:
    """Yield a ROS domain of the test's own."""
    made = free_domain()
    yield made
    give_back(made)


@contextmanager
def process(domain: int, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script, and kill it in the end."""
    made = subprocess.Popen(
        [sys.executable, '-c', code, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        env={**{name: value for name, value in os.environ.items() if name not in PROFILE_VARIABLES},
             'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'})
    try:
        yield made
    finally:
        made.kill()
        made.communicate()


def heard(listener: subprocess.Popen[str], first: int, in_a_row: int) -> list[int]:
    """
    Return the numbers of a camera's frames, up to so many in a row without a gap.

    How long it takes until a camera is known, and what is lost before, is the middleware's affair
    and the machine's.
    """
    assert listener.stdout
    numbers = list[int]()
    while len(numbers) < in_a_row or numbers[-1] - numbers[-in_a_row] >= in_a_row:
        number = int(listener.stdout.readline())
        assert number < first + 1000, f'never {in_a_row} frames in a row: {numbers}'
        if number >= first:
            numbers.append(number)
    return numbers


def test_a_reliable_camera_is_heard_in_full_and_any_other_at_all(domain: int) -> None:
    """
    One after the other before the same listener, and one that was there before it.

    They are killed: to the others it looks for a while as if they were still there.
    """
    with process(domain, LISTENER) as listener:
        for first, reliability in enumerate(('RELIABLE', 'BEST_EFFORT', 'RELIABLE'), start=1):
            with process(domain, CAMERA, reliability, str(10_000 * first), *SIZES[reliability]):
                numbers = heard(listener, 10_000 * first, IN_A_ROW[reliability])
            assert numbers == sorted(set(numbers)), 'heard twice, or late'
    for reliability, count in IN_A_ROW.items():
        with process(domain, CAMERA, reliability, '90000', *SIZES[reliability]), \
                process(domain, LISTENER) as listener:
            heard(listener, 90_000, count)


def test_transports_that_are_set_up_already_are_left_alone() -> None:
    """By a profile, or as containers do it."""
    assert image_transport_variables({'HOME': '/'}).keys() == {*PROFILE_VARIABLES}
    for name in (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS'):
        assert image_transport_variables({name: 'UDPv4'}) == {}


def test_images_lost_on_the_way_are_told(tmp_path: Path) -> None:
    """Large ones, best effort, through the small shared memory of Fast DDS's defaults."""
    with bench(tmp_path) as made:
        node = made.start('pose_node', variables=dict.fromkeys(PROFILE_VARIABLES, ''))
        with process(made.domain, CAMERA, 'BEST_EFFORT', '1000', '1920', '1080'):
            made.peer.wait(lambda: 'of the images on /image are lost on the way' in node.log,
                           'a word about lost images')
        assert node.stop() == 0, node.log


def test_two_nodes_on_one_topic_share_no_ids(tmp_path: Path) -> None:
    """Both find somebody, whom each would call p1."""
    image = clip(12)[-1]
    with bench(tmp_path) as made:
        peer = made.peer
        keypoints: list[KeypointArray] = peer.listen(KeypointArray, '/keypoints')
        nodes, publishers = [], []
        for name in ('left', 'right'):
            nodes.append(made.start(
                'pose_node', {'tracker.min_hits': 1, 'model': 'movenet_lightning'},
                {'__node': name, '~/keypoints': '/keypoints', 'image': f'/{name}/image'}))
            publishers.append(peer.publisher(Image, f'/{name}/image', 1))
        numbers = iter(range(100_000))

        def show() -> None:
            for publisher in publishers:
                publisher.publish(encoded(image, 'bgr8', next(numbers)))

        def ids() -> list[str]:
            return [person.id for msg in keypoints[-8:] for person in msg.persons]

        peer.insist(show, lambda: len(ids()) == 8 and all('_' in name for name in ids()), 'marks')
        assert len(set(ids())) == 2
        assert all('others publish on /keypoints, too' in node.log for node in nodes)
