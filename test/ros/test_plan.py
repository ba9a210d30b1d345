"""What a launch starts, by its arguments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from act_ros.ros.plan import Start, plan

ROOT = Path(__file__).resolve().parents[2]
CLIP = str(ROOT / 'media/demo.mp4')
ARGUMENTS = re.findall(
    r"DeclareLaunchArgument\(\s*'(\w+)'", (ROOT / 'launch/act.launch.py').read_text())
SINGLE = {'composition': 'single_process'}
TWO = {**SINGLE, 'cameras': 'front, rear'}


def starts(**arguments: str) -> dict[str, Start]:
    """Return the nodes by their names, a camera's with its namespace before it."""
    defaults = {'image_topic': 'image', 'composition': 'two_nodes'}
    return {f'{start.namespace}/{start.name}'.lstrip('/'): start for start in plan(
        {**dict.fromkeys(ARGUMENTS, ''), **defaults, **arguments})}


def parameters(**arguments: str) -> dict[str, dict[str, object]]:
    """Return the parameters of each node."""
    return {name: start.parameters for name, start in starts(**arguments).items()}


def test_no_argument_asks_for_two_nodes_and_leaves_their_parameters_alone() -> None:
    assert parameters() == {'pose_node': {}, 'act_node': {}}


def test_single_process_opens_the_video_itself() -> None:
    """One node, and no images over DDS; all ends with it."""
    made = starts(**SINGLE, video=CLIP, bundle='other')
    assert made['pipeline_node'].parameters == {'source': CLIP, 'bundle': 'other'}
    assert len(made) == 1 and made['pipeline_node'].ends_all


def test_keypoints_take_the_place_of_images() -> None:
    """act_node alone, and markers of the same keypoints if they are wanted."""
    keypoints = ('keypoints', '/bag/keypoints')
    made = starts(keypoints_topic='/bag/keypoints')
    assert list(made) == ['act_node'] and keypoints in made['act_node'].remappings
    made = starts(keypoints_topic='/bag/keypoints', markers='true', use_sim_time='true',
                  image_topic='/eye/image_raw')
    assert list(made) == ['act_node', 'markers_node']
    assert made['markers_node'].remappings == [keypoints, ('camera_info', '/eye/camera_info')]
    assert made['markers_node'].parameters == {'use_sim_time': True}


def test_depth_and_calibration_reach_whoever_says_where_people_are() -> None:
    """The calibration beside the images, the depth where it is said to be."""
    for arguments, name in (({}, 'act_node'), (SINGLE, 'pipeline_node'),
                            ({'keypoints_topic': '/yolo/tracking'}, 'act_node')):
        start = starts(image_topic='/eye/image_raw', depth_topic='/eye/depth', **arguments)[name]
        assert {('camera_info', '/eye/camera_info'), ('depth', '/eye/depth')} <= {
            *start.remappings}
        assert start.parameters == {'place.depth': True}
    start = starts(**SINGLE, cameras='front', depth_topic='/{camera}/depth',
                   image_topic='/{camera}/image_raw')['pipeline_node']
    assert {('front/camera_info', '/front/camera_info'), ('front/depth', '/front/depth')} <= {
        *start.remappings}
    assert start.parameters['place.depth'] is True


def test_the_calibration_of_compressed_images_is_beside_the_raw_ones() -> None:
    """Whichever of the two topics is named; the images may be named as they are published."""
    for topic, info in (('/eye/image_raw', '/eye/camera_info'), ('image', 'camera_info')):
        for images in (topic, f'{topic}/compressed'):
            start = starts(**SINGLE, image_topic=images, transport='compressed')['pipeline_node']
            assert start.remappings == [('image', images), ('camera_info', info)]


@pytest.mark.parametrize(('composition', 'keypoints'), [
    ('two_nodes', 'pose_node/keypoints'), ('single_process', 'pipeline_node/keypoints')])
def test_viewers_take_the_keypoints_of_whoever_publishes_them(
    composition: str, keypoints: str,
) -> None:
    """Markers and annotated images."""
    made = starts(composition=composition, markers='true', annotator='true',
                  transport='compressed')
    assert made['markers_node'].remappings == [
        ('keypoints', keypoints), ('camera_info', 'camera_info')]
    assert made['annotator_node'].remappings == [('image', 'image'), ('keypoints', keypoints)]
    assert made['annotator_node'].parameters == {'transport': 'compressed'}


def test_several_cameras_share_a_process() -> None:
    """One pipeline, the images of each, and what shows them in each one's namespace."""
    made = starts(**TWO, image_topic='/{camera}_camera/image_raw', rotation='0, 180')
    assert list(made) == ['pipeline_node']
    assert made['pipeline_node'].parameters == {
        'cameras': ['front', 'rear'], 'rotations': [0, 180]}
    for camera in ('front', 'rear'):
        assert (f'{camera}/image', f'/{camera}_camera/image_raw') in (
            made['pipeline_node'].remappings)
    made = starts(**TWO, markers='true', annotator='true', namespace='robot')
    assert list(made)[1:] == ['robot/front/markers_node', 'robot/front/annotator_node',
                              'robot/rear/markers_node', 'robot/rear/annotator_node']
    keypoints = ('keypoints', '/robot/pipeline_node/front/keypoints')
    assert made['robot/front/markers_node'].remappings == [
        keypoints, ('camera_info', '/robot/front/camera_info')]
    assert made['robot/front/annotator_node'].remappings == [
        ('image', '/robot/front/image'), keypoints]


def test_topics_connect() -> None:
    """Images go where the caller says, keypoints from pose_node to act_node."""
    made = starts(image_topic='/camera/image_raw', video=CLIP)
    for name in ('pose_node', 'video_node'):
        assert made[name].remappings == [('image', '/camera/image_raw')]
    assert ('keypoints', 'pose_node/keypoints') in made['act_node'].remappings
    assert [name for name, start in made.items() if start.ends_all] == ['video_node']


@pytest.mark.parametrize(('arguments', 'reason'), [
    ({'video': '/nowhere/clip.mp4'}, 'video: /nowhere/clip.mp4 does not exist'),
    ({'video': '²'}, 'video: ² does not exist'),
    ({'keypoints_topic': '/bag/keypoints', 'video': CLIP}, 'keypoints_topic and video'),
    ({**TWO, 'keypoints_topic': '/bag/keypoints'}, 'keypoints_topic and cameras'),
    ({**TWO, 'composition': 'two_nodes'}, 'single_process'),
    ({**TWO, 'image_topic': '/cam'}, 'image_topic'), ({**TWO, 'video': CLIP}, 'video'),
    ({**TWO, 'depth_topic': '/depth'}, 'depth_topic must hold'),
    ({**TWO, 'rotation': '0,90,180'}, 'for each of 2'),
    ({**TWO, 'rotation': '45'}, "'45' is neither"),
    ({'rotation': '9 0'}, "'9 0' is neither"),
    ({**TWO, 'cameras': 'fro nt,rear'}, "cameras: 'fro nt' cannot be part"),
    ({**TWO, 'cameras': 'a-b'}, "cameras: 'a-b' cannot be part of a topic name"),
    ({**TWO, 'cameras': '_front'}, "cameras: '_front' cannot be part"),
    ({**TWO, 'cameras': 'front,front'}, 'must differ'),
])
def test_what_no_node_could_use_is_refused_before_any_starts(
    arguments: dict[str, str], reason: str,
) -> None:
    """With the name of the argument."""
    with pytest.raises((FileNotFoundError, ValueError), match=reason):
        starts(**arguments)


def test_whatever_name_the_node_takes_a_camera_may_have() -> None:
    """Also below another name."""
    made = starts(**SINGLE, cameras='left/front', markers='true')
    assert ('left/front/image', 'left/front/image') in made['pipeline_node'].remappings
    assert 'left/front/markers_node' in made


def test_addresses_and_devices_are_no_files() -> None:
    """They are opened by the node."""
    for video in ('rtsp://camera/stream', '0'):
        assert parameters(video=video)['video_node'] == {'source': video}


def test_rotation_and_reliability_reach_all_that_need_them() -> None:
    """The rotation that of poses and of actions; a video is heard in full unless it is said."""
    made = parameters(rotation='90', reliability='best_effort', video='0', annotator='true')
    assert made['pose_node'] == {'rotation': 90, 'reliability': 'best_effort'}
    assert made['act_node'] == {'rotation': 90}
    assert made['annotator_node'] == {'reliability': 'best_effort'}
    assert parameters(video='0')['pose_node'] == {'reliability': 'reliable'}
    made = parameters(**TWO, reliability='reliable', annotator='true')
    assert made['front/annotator_node'] == made['rear/annotator_node'] == {
        'reliability': 'reliable'}


@pytest.mark.parametrize('arguments', [SINGLE, TWO])
def test_one_rotation_wins_over_those_that_the_file_has_for_each_camera(
    arguments: dict[str, str],
) -> None:
    assert parameters(**arguments, rotation='90')['pipeline_node']['rotations'] == [90]
