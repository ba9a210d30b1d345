"""humans_node: the people in view as REP-155 has them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.qos import qos_profile_system_default
from robot import frame, walker
from ros_harness import bench
from std_msgs.msg import Header
from synthetic import pose

from act_ros.core.person import Person
from act_ros.msg import KeypointArray
from act_ros.nodes.humans_node import (
    JOINTS,
    HumansNode,
    roi_msg,
    skeleton_msg,
    topic_part_of,
)
from act_ros.ros.bodies import MOST_BODIES
from act_ros.ros.signals import CANNOT_START

HAS_HRI = find_spec('hri_msgs') is not None
# As REP-155 numbers the joints of a skeleton.
CODES = ('NOSE NECK RIGHT_SHOULDER RIGHT_ELBOW RIGHT_WRIST LEFT_SHOULDER LEFT_ELBOW LEFT_WRIST '
         'RIGHT_HIP RIGHT_KNEE RIGHT_ANKLE LEFT_HIP LEFT_KNEE LEFT_ANKLE LEFT_EYE RIGHT_EYE '
         'LEFT_EAR RIGHT_EAR').split()
SIZE = (640, 480)


class Skeleton(SimpleNamespace):
    """Stands in for hri_msgs/Skeleton2D, which takes a while to build."""


for number, code in enumerate(CODES):
    setattr(Skeleton, code, number)


@pytest.fixture(params=['stand-in', pytest.param('hri_msgs', marks=pytest.mark.slow)])
def hri(request: pytest.FixtureRequest) -> Any:
    """Return the messages of hri_msgs, or classes that look like them, which are made at once."""
    if request.param == 'stand-in':
        return SimpleNamespace(
            Skeleton2D=Skeleton, NormalizedPointOfInterest2D=SimpleNamespace,
            NormalizedRegionOfInterest2D=SimpleNamespace)
    request.getfixturevalue('foreign_variables')
    return import_module('hri_msgs.msg')


def points_of(msg: Any) -> np.ndarray:
    """Return a skeleton as an array (18, 3) of x, y, confidence."""
    return np.array([(p.x, p.y, p.c) for p in msg.skeleton])


@pytest.mark.parametrize('layout', ['coco17', 'body25'])
def test_joints_are_mapped_by_name(hri: Any, layout: str) -> None:
    """Each lands on its number, in shares of the image; a neck that is missing lies between."""
    keypoints = np.random.default_rng(0).uniform(0, 480, (25, 3)).astype(np.float32)
    keypoints[:, 2] /= 480
    header = Header(frame_id='eye')
    if layout == 'coco17':
        order = [0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 1, 2, 3, 4]
        keypoints = keypoints[:17]
    else:  # as numbered by OpenPose
        order = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 15, 18, 17]
    expected = keypoints[order].astype(float)
    if layout == 'coco17':
        expected[1, :2] = keypoints[[5, 6], :2].mean(axis=0)
        expected[1, 2] = keypoints[[5, 6], 2].min()
    expected[:, :2] /= SIZE
    msg = skeleton_msg(hri, header, Person(keypoints, 1.0, np.zeros(4)), layout, SIZE)
    assert msg.header == header and len(JOINTS) == len(msg.skeleton) == 18
    assert np.allclose(points_of(msg), expected, atol=1e-6)


def test_what_lies_outside_the_image_is_not_seen(hri: Any) -> None:
    """REP-155 allows coordinates and confidences from 0 to 1 only."""
    keypoints = pose(0.0)
    keypoints[0, 0], keypoints[9, 1], keypoints[10, 0], keypoints[15, 0] = -5, 500, np.nan, np.inf
    box = np.array([-20, 10, 700, np.nan], np.float32)
    person = Person(keypoints, 1.5, box)
    points = points_of(skeleton_msg(hri, Header(), person, 'coco17', SIZE))
    unseen = [CODES.index(name) for name in ('NOSE', 'LEFT_WRIST', 'RIGHT_WRIST', 'LEFT_ANKLE')]
    assert (points[unseen] == 0).all()
    assert (points[:, 2] == 1).sum() == 14 and ((points >= 0) & (points <= 1)).all()
    roi = roi_msg(hri, Header(), person, SIZE)
    assert (roi.xmin, roi.xmax, roi.ymax, roi.c) == (0, 1, 0, 1)
    assert roi.ymin == pytest.approx(10 / 480)


@pytest.mark.parametrize(('layout', 'joints', 'message'), [
    ('mpose13_coco', 13, "has no joint 'nose'"), ('octopus', 17, 'unknown keypoint layout'),
    ('coco17', 5, '5 keypoints are too few'),
])
def test_what_cannot_be_told_says_why(hri: Any, layout: str, joints: int, message: str) -> None:
    """A layout without eyes and ears cannot become a skeleton of REP-155."""
    person = Person(np.ones((joints, 3), np.float32), 1.0, np.zeros(4), 'p1')
    with pytest.raises(ValueError, match=message):
        skeleton_msg(hri, Header(), person, layout, SIZE)


def test_shares_of_images_of_an_unknown_size_are_not_told() -> None:
    """Rather than skeletons of which no joint is seen."""
    person = Person(pose(0.0), 1.0, np.zeros(4), 'p1')
    with pytest.raises(ValueError, match='size of the images is not known'):
        skeleton_msg(None, Header(), person, 'coco17', (0, 480))


def test_ids_of_other_packages_become_parts_of_topics() -> None:
    """yolo_ros gives numbers."""
    assert [topic_part_of(name) for name in ('p1', '7', 'Ann_2')] == ['p1', 'p7', 'Ann_2']
    for name in ('no-topic', '', '٣', 'a/b', 'a' * 101, '7' * 100):
        with pytest.raises(ValueError, match='cannot be part of a topic name'):
            topic_part_of(name)


@pytest.mark.parametrize('step', [0, 10_000_000])
def test_ids_that_change_do_not_pile_up(step: int) -> None:
    """Of a source without tracking, and perhaps without stamps; who stays keeps the topics."""
    topics: list[str] = []

    def create(_: type, topic: str, qos: object) -> str:
        topics.append(topic)
        return topic

    node = SimpleNamespace(
        _bodies={}, _root='/humans/bodies', create_publisher=create,
        destroy_publisher=topics.remove,
        _hri=SimpleNamespace(Skeleton2D=Skeleton, NormalizedRegionOfInterest2D=SimpleNamespace))
    for i in range(200):
        for name in ('stays', f'p{i}'):
            HumansNode._body(cast(HumansNode, node), name, i * step)
        HumansNode._forget(cast(HumansNode, node), i * step)
    assert len(topics) == 2 * MOST_BODIES == 2 * len(node._bodies)
    assert topics[0] == '/humans/bodies/stays/skeleton2d' and 'p199/roi' in topics[-1]


@pytest.mark.skipif(HAS_HRI, reason='hri_msgs is installed')
def test_without_hri_msgs_the_node_says_what_to_install(tmp_path: Path) -> None:
    """One clear line and exit status."""
    with bench(tmp_path) as made:
        node = made.start('humans_node')
        assert node.wait() == CANNOT_START
        assert 'needs the package hri_msgs' in node.log and 'Traceback' not in node.log


@pytest.mark.slow
def test_bodies_come_and_go(tmp_path: Path, foreign_variables: dict[str, str]) -> None:
    """As libhri subscribes: who is tracked, and a skeleton and a region for each."""
    from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D

    with bench(tmp_path) as made:
        peer, node = made.peer, made.start('humans_node', variables=foreign_variables)
        tracked = peer.listen(IdsList, '/humans/bodies/tracked', qos_profile_system_default)
        skeletons = peer.listen(
            Skeleton2D, '/humans/bodies/p1/skeleton2d', qos_profile_system_default)
        regions = peer.listen(
            NormalizedRegionOfInterest2D, '/humans/bodies/p2/roi', qos_profile_system_default)
        keypoints = peer.publisher(KeypointArray, '/keypoints')

        def show(index: int, *ids: str, until: Callable[[], bool] = lambda: True) -> list[str]:
            msg = frame(index, [walker(index, id) for id in ids])
            peer.insist(
                lambda: keypoints.publish(msg),
                lambda: any(t.header == msg.header for t in tracked) and until(), 'the ids')
            return sorted(tracked[-1].ids)

        assert show(0, 'p1', 'p2', until=lambda: bool(skeletons and regions)) == ['p1', 'p2']
        # Who is not looked at in an image is tracked all the same; '7' is of yolo_ros.
        assert show(1, 'p1', 'no-topic', 'x' * 240, '7', until=lambda: (
            skeletons[-1].header == frame(1, []).header)) == ['p1', 'p2', 'p7']
        nose = walker(1).keypoints[0]
        assert skeletons[-1].skeleton[Skeleton2D.NOSE].x == pytest.approx(nose[0] / 640)
        assert regions[-1].header == frame(0, []).header
        assert "'no-topic' cannot be part of a topic name" in node.log
        assert show(19) == ['p1', 'p7']  # p2 was seen more than 0.6 s ago
        assert show(20) == []
        assert peer.node.count_publishers('/humans/bodies/p1/skeleton2d') == 1  # may come back
        assert show(200) == []
        peer.wait(lambda: not peer.node.count_publishers('/humans/bodies/p1/skeleton2d'), 'it')
        assert node.stop() == 0 and 'Traceback' not in node.log
