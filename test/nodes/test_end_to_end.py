"""The whole way: a real video of real people through real nodes, and what /actions says of them."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

import rclpy
from ros_harness import ROOT, bench
from sensor_msgs.msg import CompressedImage, Image

from act_ros.core.stamps import to_nanoseconds
from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.nodes.video_node import VideoNode
from act_ros.ros.images import image_to_bgr
from act_ros.ros.signals import CANNOT_START

CLIP = ROOT / 'media' / 'demo.mp4'
FRAMES = 230


def entering_at_the_right(heard: list[ActionArray]) -> str:
    """Return the id of the one person who comes in at the right edge: the woman of the clip."""
    first: dict[str, Action] = {}
    for msg in heard:
        for action in msg.actions:
            first.setdefault(action.person_id, action)
    name, = (name for name, action in first.items() if action.box.x_max > 630)
    return name


def test_the_walking_woman_walks(tmp_path: Path) -> None:
    """video_node, pose_node and act_node in three processes, every frame of the clip."""
    with bench(tmp_path) as made:
        made.start('pose_node', {'reliability': 'reliable'})
        made.start('act_node', remappings={'keypoints': 'pose_node/keypoints'})
        heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
        made.peer.wait_for_publisher('/actions')
        made.peer.wait_for_publisher('/pose_node/keypoints')
        video = made.start('video_node', {'source': str(CLIP), 'pace': 'consumed'})
        made.peer.wait(lambda: not video.is_alive(), 'the end of the video', 120)
        made.peer.wait(lambda: len(heard) >= FRAMES, 'the last answer')
        assert video.wait() == 0 and 'has ended' in video.log

    assert len(heard) == FRAMES
    stamps = [to_nanoseconds(m.header.stamp) for m in heard]
    assert np.allclose(np.diff(stamps), 1e9 / 30, atol=2)
    woman = entering_at_the_right(heard)
    walks = Counter(a.label for m in heard for a in m.actions
                    if a.person_id == woman and a.status == Action.RECOGNIZED)
    assert walks['walk'] > 60
    assert walks['walk'] / walks.total() > 0.9, walks


def test_pipeline_node_needs_no_images_over_dds(tmp_path: Path) -> None:
    """One process opens the video itself and answers; the picture comes when it is wanted."""
    with bench(tmp_path) as made:
        heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
        poses: list[KeypointArray] = made.peer.listen(KeypointArray, '/pipeline_node/keypoints')
        drawn: list[Image] = made.peer.listen(Image, '/pipeline_node/annotated')
        node = made.start('pipeline_node', {'source': str(CLIP), 'loop': True, 'frame_id': 'eye'})
        made.peer.wait(lambda: 'walk' in {a.label for m in heard for a in m.actions}, 'walk', 60)
        made.peer.wait(lambda: len(drawn) > 0, 'an annotated image')
        assert made.peer.node.count_publishers('/image') == 0
        assert image_to_bgr(drawn[0]).shape == (480, 640, 3)
        assert heard[0].header.frame_id == 'eye' and poses[0].layout == 'coco17'
        assert {to_nanoseconds(m.header.stamp) for m in poses[:5]} & {
            to_nanoseconds(m.header.stamp) for m in heard}
        assert node.stop() == 0
        assert 'Traceback' not in node.log


def test_pipeline_node_on_an_image_topic(tmp_path: Path) -> None:
    """It subscribes like pose_node does, compressed images included."""
    with bench(tmp_path) as made:
        node = made.start('pipeline_node', {'transport': 'compressed', 'reliability': 'reliable'})
        heard: list[ActionArray] = made.peer.listen(ActionArray, '/actions')
        made.peer.wait_for_publisher('/actions')
        made.start('video_node', {'source': str(CLIP), 'transport': 'compressed',
                                  'pace': 'consumed'})
        made.peer.wait(lambda: any(m.actions for m in heard), 'actions', 60)
        assert node.is_alive()


@pytest.mark.parametrize(('node', 'source', 'message'), [
    ('video_node', '', 'parameter source is empty'),
    ('video_node', '/no/such/video.mp4', '/no/such/video.mp4 does not exist'),
    ('video_node', 'text.mp4', 'text.mp4 cannot be opened'),
    ('video_node', '/dev/video99', 'is it plugged in'),
    ('pipeline_node', '/dev/video99', 'is it plugged in'),
    ('pipeline_node', 'text.mp4', 'text.mp4 cannot be opened'),
])
def test_what_cannot_be_played(tmp_path: Path, node: str, source: str, message: str) -> None:
    """No camera, no file, no video: one clear line and exit status."""
    (tmp_path / 'text.mp4').write_text('this is no video')
    with bench(tmp_path) as made:
        process = made.start(node, {'source': source})
        assert process.wait() == CANNOT_START
        assert message in process.log and 'Traceback' not in process.log


def test_a_video_node_that_was_refused_can_be_destroyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As newer versions of rclpy do when the context shuts down."""
    monkeypatch.setenv('ROS_DOMAIN_ID', '100')
    rclpy.init(args=[])
    try:
        with pytest.raises(ValueError, match='source is empty') as caught:
            VideoNode()
        caught.traceback[-1].locals['self'].destroy_node()
    finally:
        rclpy.shutdown()


def test_video_node_as_a_camera(tmp_path: Path) -> None:
    """In real time: evenly stamped at the file's rate, looping, compressed if wanted."""
    short = tmp_path / 'short.mp4'
    writer = cv2.VideoWriter(str(short), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    with bench(tmp_path) as made:
        heard: list[CompressedImage] = made.peer.listen(CompressedImage, '/cam/compressed')
        video = made.start('video_node', {'source': str(short), 'loop': True, 'frame_id': 'front',
                                          'transport': 'compressed'}, {'image': '/cam'})
        made.peer.wait(lambda: len(heard) > 25, 'more than the file holds')
        stamps = np.array([to_nanoseconds(m.header.stamp) for m in heard])
        periods = np.diff(stamps) / 5e7
        assert np.allclose(periods, np.round(periods), atol=1e-6) and periods.min() > 0.5
        assert {m.header.frame_id for m in heard} == {'front'}
        assert image_to_bgr(heard[0]).shape == (48, 64, 3)
        assert video.stop(signal.SIGINT) == 0
        assert 'Traceback' not in video.log and 'has ended' not in video.log
