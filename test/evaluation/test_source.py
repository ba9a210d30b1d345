"""What a bag is evaluated from: the frames of its topics."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_writer import TYPES, header, image, keypoint_array, message, write_bag
from rosbags.rosbag2 import Writer
from synthetic import SECOND, person, pose

from act_ros.evaluation.source import choose_topic, find_images, read_frames, read_images
from act_ros.recordings.bags import Bag, BagError


def test_images_are_decoded(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    with Bag(write_bag(tmp_path / 'images', [('/image', 5, image(3, pixels))])) as bag:
        (frame,) = read_images(bag, '/image')
    assert frame.image is not None
    np.testing.assert_array_equal(frame.image, pixels)
    assert (frame.time, frame.stamp, frame.size, frame.frame_id) == (5, 3, (4, 2), 'camera')


def test_a_topic_on_which_nothing_was_said_hides_no_other(tmp_path: Path) -> None:
    """As pose_node's, which was recorded and did not run."""
    path = tmp_path / 'bag'
    with Writer(path, version=9) as writer:
        for name, kind in (('/pose_node/keypoints', 'act_ros/msg/KeypointArray'),
                           ('/other/image', 'sensor_msgs/msg/Image'),
                           ('/image', 'sensor_msgs/msg/Image')):
            connection = writer.add_connection(name, kind, typestore=TYPES)
        said = image(1, np.zeros((2, 4, 3), np.uint8))
        writer.write(connection, 1, TYPES.serialize_cdr(said, said.__msgtype__))
    with Bag(path) as bag:
        assert choose_topic(bag, None) == ('images', '/image')
        assert choose_topic(bag, '/other/image') == ('images', '/other/image')
        assert choose_topic(bag, None, ['keypoints']) == ('keypoints', '/pose_node/keypoints')


@pytest.mark.parametrize('format', ['16UC1; png compressed ', '16UC1; compressedDepth'])
def test_nobody_is_sought_in_compressed_depth(tmp_path: Path, format: str) -> None:
    """Registered to the colour image, it has its frame_id and comes first by name."""
    def seen(topic: str, format: str) -> tuple[str, int, object]:
        return topic, 1, message('sensor_msgs/msg/CompressedImage', header=header(1), format=format,
                                 data=np.zeros(10, np.uint8))

    with Bag(write_bag(tmp_path / 'bag', [
            seen('/camera/aligned_depth/compressed', format),
            seen('/camera/color/compressed', 'rgb8; jpeg compressed bgr8'),
            ('/pose_node/keypoints', 2, keypoint_array(1, []))])) as bag:
        assert find_images(bag, '/pose_node/keypoints') == '/camera/color/compressed'
        assert choose_topic(bag, None, ['images']) == ('images', '/camera/color/compressed')


def test_an_image_that_cannot_be_decoded_costs_its_frame_and_is_counted(tmp_path: Path) -> None:
    topic = '/image/compressed'
    sound = cv2.imencode('.png', np.zeros((2, 4, 3), np.uint8))[1].reshape(-1)
    messages = [(topic, SECOND * (1 + i), message(
        'sensor_msgs/msg/CompressedImage', header=header(1 + i), format='jpeg',
        data=np.zeros(10, np.uint8) if i in (3, 5) else sound)) for i in range(8)]
    with Bag(write_bag(tmp_path / 'images', messages)) as bag:
        assert not [*bag.losses()]
        assert [frame.stamp - 1 for frame in read_images(bag, topic)] == [0, 1, 2, 4, 6, 7]
        assert bag.unreadable == 2
        (loss,) = bag.losses()
        assert loss.startswith(
            '2 images could not be decoded and are left out; the first: /image/compressed at 3.000')


def test_keypoints_get_the_image_of_their_stamp(tmp_path: Path) -> None:
    black, white = np.zeros((2, 4, 3), np.uint8), np.full((2, 4, 3), 255, np.uint8)
    path = write_bag(tmp_path / 'both', [
        ('/image', 5, image(1, black)), ('/image', 6, image(2, white)),
        ('/keypoints', 7, keypoint_array(1, [person(pose(0.0), 'p1')])),
        ('/keypoints', 8, keypoint_array(2, [])), ('/keypoints', 9, keypoint_array(3, []))])
    with Bag(path) as bag:
        assert choose_topic(bag, None) == ('keypoints', '/keypoints')
        assert choose_topic(bag, '/image') == ('images', '/image')
        with pytest.raises(BagError, match='no topic of act_ros/msg/ActionArray; it holds /image'):
            choose_topic(bag, None, ['actions'])
        first, second, third = read_frames(bag, 'keypoints', '/keypoints', '/image')
    assert first.image is not None and second.image is not None and third.image is None
    assert (first.image.max(), second.image.min()) == (0, 255)
    assert [len(frame.persons) for frame in (first, second, third)] == [1, 0, 0]


def test_keypoints_get_images_that_were_recorded_later_and_bad_ones_are_counted(
    tmp_path: Path,
) -> None:
    """A large image takes longer to the recorder than the keypoints that were found in it."""
    topic = '/image/compressed'
    sound = cv2.imencode('.png', np.zeros((2, 4, 3), np.uint8))[1].reshape(-1)
    stamps = [SECOND + i * SECOND // 20 for i in range(60)]
    path = write_bag(tmp_path / 'late', sorted([
        *((topic, s + SECOND // 5, message(
            'sensor_msgs/msg/CompressedImage', header=header(s), format='jpeg',
            data=np.zeros(10, np.uint8) if i == 3 else sound)) for i, s in enumerate(stamps)),
        *(('/keypoints', s + SECOND // 50, keypoint_array(s, [])) for s in stamps),
        ('/keypoints', 4 * SECOND, keypoint_array(5, []))], key=lambda entry: entry[1]))
    with Bag(path) as bag:
        dark = [i for i, frame in enumerate(read_frames(bag, 'keypoints', '/keypoints', topic))
                if frame.image is None]
        (loss,) = bag.losses()
    assert dark == [3, 60] and loss.startswith('1 images could not be decoded')


def test_the_images_are_those_of_the_same_camera(tmp_path: Path) -> None:
    def seen(topic: str, frame_id: str) -> tuple[str, int, object]:
        value = image(1, np.zeros((2, 4, 3), np.uint8))
        value.header.frame_id = frame_id
        return topic, 1, value

    poses = [(f'/pipeline_node/{name}/keypoints', 2, keypoint_array(1, [])) for name in 'ab']
    poses[1][2].header.frame_id = 'b_optical'
    with Bag(write_bag(tmp_path / 'bag', [
            seen('/pipeline_node/a/annotated', 'camera'), seen('/b/image', 'b_optical'),
            seen('/a/image', 'camera'), *poses])) as bag:
        assert find_images(bag, poses[0][0]) == '/a/image'
        assert find_images(bag, poses[1][0]) == '/b/image'
        assert find_images(bag, '/b/image') == '/b/image'
    with Bag(write_bag(tmp_path / 'none', poses)) as bag:
        assert find_images(bag, poses[0][0]) is None
