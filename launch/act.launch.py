"""
From a camera, or a video in its place, to actions.

    ros2 launch act_ros act.launch.py image_topic:=/camera/image_raw
    ros2 launch act_ros act.launch.py video:=clip.mp4 composition:=single_process

An argument that is given wins over the parameter file; one that is empty leaves it alone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from act_ros.ros.fastdds import image_transport_variables
from act_ros.ros.signals import CANNOT_START, tied_to_us

ARGUMENTS = [
    DeclareLaunchArgument(
        'image_topic', default_value='image',
        description='Images to look at; with transport compressed, <image_topic>/compressed.'),
    DeclareLaunchArgument(
        'transport', default_value='', choices=['', 'raw', 'compressed'],
        description='Whether images are raw or compressed.'),
    DeclareLaunchArgument(
        'reliability', default_value='', choices=['', 'best_available', 'best_effort', 'reliable'],
        description='Of the subscription to images; best_available is what the camera is.'),
    DeclareLaunchArgument(
        'rotation', default_value='',
        description='Degrees clockwise (0, 90, 180, 270) by which images have to be turned for '
        'people to stand upright; of several cameras one for each, with commas between.'),
    DeclareLaunchArgument(
        'depth_topic', default_value='',
        description='Depth images registered to the images, to measure where people are; with '
        'several cameras, {camera} stands for the name.'),
    DeclareLaunchArgument(
        'keypoints_topic', default_value='',
        description='Keypoints to take in place of images: act_node alone.'),
    DeclareLaunchArgument(
        'bundle', default_value='',
        description='Action model: a name in the models folder, or a path.'),
    DeclareLaunchArgument(
        'pose_model', default_value='',
        description='Pose network: a name in the models folder, or a path.'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([FindPackageShare('act_ros'), 'config', 'act.yaml']),
        description='Parameters of all nodes.'),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of the nodes and their topics.'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='', choices=['', 'true', 'false'],
        description='Whether to take the time from /clock.'),
    DeclareLaunchArgument(
        'video', default_value='',
        description='A video file, device number or /dev/videoN to play onto image_topic; '
        'all ends when it ends. Empty: the images come from elsewhere.'),
    DeclareLaunchArgument(
        'loop', default_value='', choices=['', 'true', 'false'],
        description='Whether to begin the video again when it ends.'),
    DeclareLaunchArgument(
        'composition', default_value='two_nodes', choices=['two_nodes', 'single_process'],
        description='pose_node and act_node, or pipeline_node: both in one process, and a video '
        'without images over DDS.'),
    DeclareLaunchArgument(
        'cameras', default_value='',
        description='Names of cameras, with commas between, that share the networks of a single '
        "process; image_topic then holds {camera} in the place of each one's name."),
    DeclareLaunchArgument(
        'autostart', default_value='', choices=['', 'true', 'false'],
        description='Whether the nodes configure and activate themselves, or wait for `ros2 '
        'lifecycle set` or a lifecycle manager.'),
    DeclareLaunchArgument(
        'markers', default_value='false', choices=['true', 'false'],
        description='Whether to start markers_node, for RViz and Foxglove.'),
    DeclareLaunchArgument(
        'annotator', default_value='false', choices=['true', 'false'],
        description='Whether to start annotator_node, which draws people and actions into images '
        'as pose_node does, but elsewhere: on the machine of whoever looks.'),
    DeclareLaunchArgument(
        'respawn', default_value='false', choices=['true', 'false'],
        description='Whether a node that fails is started again, after two seconds. Otherwise, and '
        'where it cannot start, all end with it, and the launch fails.'),
    DeclareLaunchArgument(
        'log_level', default_value='info', choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Least severity that is logged.'),
    DeclareLaunchArgument(
        'layout', default_value='', choices=['', 'two_nodes', 'single_process'],
        description='Deprecated: the former name of composition.'),
]
FLAGS = ('autostart', 'loop', 'place.depth', 'use_sim_time')
RESPAWN_DELAY = 2.0  # seconds


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes that they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes, once the values of the arguments are known."""
    value = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    # Of launch itself, such as `gdb -ex run --args`.
    value['launch-prefix'] = context.launch_configurations.get('launch-prefix', '')
    if not Path(value['params_file']).is_file():
        raise FileNotFoundError(f'params_file: {value["params_file"]} does not exist')

    _check_video(value['video'])
    if value['layout']:
        get_logger('act.launch').warning(
            f'the argument layout is now called composition: composition:={value["layout"]}')
        value['composition'] = value['layout']
    _check_rotation(value['rotation'], value['cameras'].count(',') + 1)
    both = {'autostart': value['autostart'],
            'rotations' if ',' in value['rotation'] else 'rotation': value['rotation']}
    pose = {**both, 'model': value['pose_model'], 'transport': value['transport'],
            'reliability': value['reliability']}
    act = {**both, 'bundle': value['bundle'],
           'place.depth': 'true' if value['depth_topic'] else ''}
    video = {'source': value['video'], 'loop': value['loop']}
    images = ('image', value['image_topic'])
    camera = _beside(value['image_topic'], value['depth_topic'])
    if value['keypoints_topic'] and value['video']:
        raise ValueError('keypoints_topic and video: give one of them')

    if value['keypoints_topic']:
        keypoints = ('keypoints', value['keypoints_topic'])
        made = [_node('act_node', value, act, [keypoints, *camera])]
    elif value['cameras']:
        return _several_cameras(value, pose | act)
    elif value['composition'] == 'single_process':
        keypoints = ('keypoints', 'pipeline_node/keypoints')
        made = [_node('pipeline_node', value, pose | act | video, [images, *camera],
                      ends_all=bool(value['video']))]
    else:
        keypoints = ('keypoints', 'pose_node/keypoints')
        made = _two_nodes(value, pose, act, video, keypoints)
    if value['markers'] == 'true':
        made.append(_node('markers_node', value, {}, [keypoints, camera[0]]))
    if value['annotator'] == 'true':
        made.append(_node('annotator_node', value, {
            'transport': value['transport'], 'reliability': value['reliability']},
            [images, keypoints]))
    return made


def _beside(images: str, depth: str, name: str = '') -> list[tuple[str, str]]:
    """Return the remappings of a camera's calibration, and of its depth images if there are any."""
    # Where image_transport puts it: beside the image.
    info = f'{"".join(images.rpartition("/")[:2])}camera_info'
    start = f'{name}/' if name else ''
    return [(f'{start}camera_info', info), *([(f'{start}depth', depth)] if depth else [])]


def _check_video(video: str) -> None:
    """Refuse a file that is not there; a node would say so when all others have started."""
    if video and '://' not in video and not video.isdecimal() and not Path(video).exists():
        raise FileNotFoundError(f'video: {video} does not exist')


def _check_rotation(rotation: str, cameras: int) -> None:
    """Refuse what is neither one angle, nor one for each camera."""
    given = rotation.replace(' ', '').split(',') if rotation else ['0']
    if not {*given} <= {'0', '90', '180', '270'} or len(given) not in (1, cameras):
        raise ValueError(f'rotation: {rotation!r} is neither 0, 90, 180 or 270, nor one of them '
                         f'for each of {cameras} camera(s), with commas between')


def _several_cameras(value: dict[str, str], parameters: dict[str, str]) -> list[Node]:
    """Return a pipeline_node for all cameras and, if wanted, what shows each in its namespace."""
    cameras, topic = value['cameras'].replace(' ', '').split(','), value['image_topic']
    topic = '{camera}/image' if topic == 'image' else topic
    for reason, is_wrong in (
            ('composition must be single_process', value['composition'] != 'single_process'),
            ('image_topic must hold {camera}', '{camera}' not in topic),
            ('a video is one camera: leave out either', bool(value['video']))):
        if is_wrong:
            raise ValueError(f'cameras: {reason}')
    for camera in cameras:
        if not re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*', camera):
            raise ValueError(f'cameras: {camera!r} is no name in ROS: only letters, digits and _, '
                             'and no digit first')
    topics = {camera: topic.replace('{camera}', camera) for camera in cameras}
    made = [_node('pipeline_node', value, {**parameters, 'cameras': value['cameras']}, [
        remapping for camera, images in topics.items() for remapping in (
            (f'{camera}/image', images),
            *_beside(images, value['depth_topic'].replace('{camera}', camera), camera))])]
    space = f'/{value["namespace"].strip("/")}'.rstrip('/')
    for camera, images in topics.items():
        beside = {**value, 'namespace': f'{space}/{camera}'}
        images = images if images.startswith('/') else f'{space}/{images}'
        keypoints = ('keypoints', f'{space}/pipeline_node/{camera}/keypoints')
        if value['markers'] == 'true':
            made.append(_node('markers_node', beside, {}, [keypoints, *_beside(images, '')]))
        if value['annotator'] == 'true':
            made.append(_node('annotator_node', beside, {'transport': value['transport']}, [
                keypoints, ('image', images)]))
    return made


def _two_nodes(
    value: dict[str, str], pose: dict[str, str], act: dict[str, str], video: dict[str, str],
    keypoints: tuple[str, str],
) -> list[Node]:
    """Return pose_node, act_node and, if a video is given, its player."""
    images = ('image', value['image_topic'])
    if not value['video']:
        player = []
    else:
        # Best effort loses large raw images on the way; video_node offers better than a camera.
        pose['reliability'] = pose['reliability'] or 'reliable'
        video['transport'] = value['transport']
        player = [_node('video_node', value, video, [images], ends_all=True)]
    return [
        _node('pose_node', value, pose, [images]),
        _node('act_node', value, act, [
            keypoints, *_beside(value['image_topic'], value['depth_topic'])]),
        *player,
    ]


def _node(
    name: str, value: dict[str, str], parameters: dict[str, str],
    remappings: list[tuple[str, str]], ends_all: bool = False,
) -> Node:
    """
    Return a node with the parameter file and, over it, the parameters that are not empty.

    Where it ``ends_all``, as a video does, all others end with it.
    """
    def ended(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
        is_over = not is_respawned or event.returncode == CANNOT_START
        if event.returncode and is_over and not context.is_shutdown:
            raise RuntimeError(f'{name} has failed, for the reason above')
        return [Shutdown(reason=f'{name} has come to its end')] if ends_all else []

    given = {
        # Declared a string, for YAML would read the camera '0' as a number.
        key: text == 'true' if key in FLAGS else int(text) if key == 'rotation' else
        text.replace(' ', '').split(',') if key == 'cameras' else
        [int(part) for part in text.split(',')] if key == 'rotations' else
        ParameterValue(text, value_type=str)
        for key, text in {**parameters, 'use_sim_time': value['use_sim_time']}.items() if text
    }
    # `ros2 launch` leaves its nodes behind where it gets SIGTERM, or is killed.
    prefix = None if value['launch-prefix'] else ' '.join(tied_to_us())
    is_respawned = value['respawn'] == 'true' and not ends_all
    # A node-named section of a file wins over an unnamed one, whichever comes last. launch_ros
    # names the section of `given` only for a node with a namespace, be it the empty one.
    return Node(
        package='act_ros', executable=name, name=name, namespace=value['namespace'],
        exec_name=name,  # what its lines in the log begin with, whatever the prefix
        parameters=[value['params_file'], given], remappings=remappings,
        ros_arguments=['--log-level', value['log_level']], output='screen', emulate_tty=True,
        additional_env=image_transport_variables(os.environ), respawn=is_respawned,
        respawn_delay=RESPAWN_DELAY, on_exit=ended, prefix=prefix)
