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

# Arguments: reliability, first number, width, height. Frames have numbers for stamps: 40 to become
# known, 24 that count, then the last one again and again.
CAMERA = """
import sys, time
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
number = first
while True:
    msg.header.stamp.sec = number
    publisher.publish(msg)
    number = min(number + 1, first + 64)
    time.sleep(0.04)
"""
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


def heard(listener: subprocess.Popen[str], first: int) -> list[int]:
    """Return the numbers of a camera's frames, up to its last."""
    assert listener.stdout
    numbers = list[int]()
    while first + 64 not in numbers:
        numbers.append(int(listener.stdout.readline()))
    return [number for number in numbers if number >= first]


def test_a_reliable_camera_is_heard_in_full_and_any_other_at_all(domain: int) -> None:
    """
    One after the other before the same listener, and one that was there before it.

    They are killed: to the others it looks for a while as if they were still there.
    """
    vga = ('640', '480')
    with process(domain, LISTENER) as listener:
        for first, reliability in enumerate(('RELIABLE', 'BEST_EFFORT', 'RELIABLE'), start=1):
            with process(domain, CAMERA, reliability, str(1000 * first), *vga):
                numbers = heard(listener, 1000 * first)
            if reliability == 'RELIABLE':
                assert numbers[-25:] == list(range(1000 * first + 40, 1000 * first + 65))
            assert len(numbers) == len(set(numbers)), 'heard twice'
    for reliability in ('RELIABLE', 'BEST_EFFORT'):
        with process(domain, CAMERA, reliability, '9000', *vga), \
                process(domain, LISTENER) as listener:
            numbers = heard(listener, 9000)
            assert reliability == 'BEST_EFFORT' or numbers[-25:] == list(range(9040, 9065))


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
