"""What a launch starts: nodes, their parameters and their topics, by its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from act_ros.core.rotation import ROTATIONS
from act_ros.ros.options import CameraOptions

_FLAGS = ('autostart', 'loop', 'place.depth', 'use_sim_time')


class Start(NamedTuple):
    """A node to be started."""

    name: str
    namespace: str
    parameters: dict[str, Any]
    """Those that win over the file's."""
    remappings: list[tuple[str, str]]
    ends_all: bool
    """Whether all others end with it, as with a video."""


def plan(value: Mapping[str, str]) -> list[Start]:
    """
    Return the nodes that the arguments of a launch ask for; an empty argument asks for nothing.

    :raises ValueError: one that no node could use, or two that exclude each other.
    :raises FileNotFoundError: a video that is not there.
    """
    _check_video(value['video'])
    names = CameraOptions(tuple(_parts(value['cameras']))).names
    _check_rotation(value['rotation'], len(names))
    for other in ('cameras', 'video'):
        if value['keypoints_topic'] and value[other]:
            raise ValueError(f'keypoints_topic and {other}: give one of them')
    if any(names):
        return _several_cameras(value, names)

    images = ('image', value['image_topic'])
    beside = _beside(value['image_topic'], value['depth_topic'])
    if value['keypoints_topic']:
        keypoints = ('keypoints', value['keypoints_topic'])
        made = [_start('act_node', value, _act(value), [keypoints, *beside])]
    elif value['composition'] == 'single_process':
        keypoints = ('keypoints', 'pipeline_node/keypoints')
        made = [_start('pipeline_node', value, _pipeline(value), [images, *beside],
                       ends_all=bool(value['video']))]
    else:
        keypoints = ('keypoints', 'pose_node/keypoints')
        made = _two_nodes(value, [keypoints, *beside])
    return made + _viewers(value, images, keypoints, beside[0])


def _check_video(video: str) -> None:
    """Refuse a file that is not there; a node would say so when all others have started."""
    if video and '://' not in video and not video.isdecimal() and not Path(video).exists():
        raise FileNotFoundError(f'video: {video} does not exist')


def _check_rotation(rotation: str, cameras: int) -> None:
    """Refuse what is neither one angle, nor one for each camera."""
    given = _parts(rotation or '0')
    if not {*given} <= {*map(str, ROTATIONS)} or len(given) not in (1, cameras):
        raise ValueError(f'rotation: {rotation!r} is neither 0, 90, 180 or 270, nor one of them '
                         f'for each of {cameras} camera(s), with commas between')


def _pose(value: Mapping[str, str]) -> dict[str, str]:
    return {'autostart': value['autostart'], 'rotation': value['rotation'],
            'model': value['pose_model'], **_images(value)}


def _images(value: Mapping[str, str]) -> dict[str, str]:
    return {'transport': value['transport'], 'reliability': value['reliability']}


def _act(value: Mapping[str, str]) -> dict[str, str]:
    return {'autostart': value['autostart'], 'rotation': value['rotation'],
            'bundle': value['bundle'], 'place.depth': 'true' if value['depth_topic'] else ''}


def _pipeline(value: Mapping[str, str]) -> dict[str, str]:
    # Not `rotation`: over that, the file's `rotations` would win.
    return {**_pose(value), **_act(value), 'rotation': '', 'rotations': value['rotation'],
            'cameras': value['cameras'], 'source': value['video'], 'loop': value['loop']}


def _beside(images: str, depth: str, name: str = '') -> list[tuple[str, str]]:
    """Return the remappings of a camera's calibration, and of its depth images if there are any."""
    # Where image_transport puts it: beside the image, of which the compressed one is a part.
    info = f'{"".join(images.removesuffix("/compressed").rpartition("/")[:2])}camera_info'
    start = f'{name}/' if name else ''
    return [(f'{start}camera_info', info), *([(f'{start}depth', depth)] if depth else [])]


def _several_cameras(value: Mapping[str, str], names: tuple[str, ...]) -> list[Start]:
    """Return a pipeline_node for all cameras and, if wanted, what shows each in its namespace."""
    topic = value['image_topic']
    topic = '{camera}/image' if topic == 'image' else topic
    for reason, is_wrong in (
            ('composition must be single_process', value['composition'] != 'single_process'),
            ('image_topic must hold {camera}', '{camera}' not in topic),
            ('depth_topic must hold {camera}', '{camera}' not in (
                value['depth_topic'] or '{camera}')),
            ('a video is one camera: leave out either', bool(value['video']))):
        if is_wrong:
            raise ValueError(f'cameras: {reason}')
    topics = {camera: topic.replace('{camera}', camera) for camera in names}
    made = [_start('pipeline_node', value, _pipeline(value), [
        remapping for camera, images in topics.items() for remapping in (
            (f'{camera}/image', images),
            *_beside(images, value['depth_topic'].replace('{camera}', camera), camera))])]
    space = f'/{value["namespace"].strip("/")}'.rstrip('/')
    for camera, images in topics.items():
        images = images if images.startswith('/') else f'{space}/{images}'
        made += _viewers(
            {**value, 'namespace': f'{space}/{camera}'}, ('image', images),
            ('keypoints', f'{space}/pipeline_node/{camera}/keypoints'), *_beside(images, ''))
    return made


def _two_nodes(value: Mapping[str, str], beside: list[tuple[str, str]]) -> list[Start]:
    """Return pose_node, act_node and, if a video is given, its player."""
    images, pose, players = ('image', value['image_topic']), _pose(value), []
    if value['video']:
        # Best effort loses large raw images on the way; video_node offers better than a camera.
        pose['reliability'] = pose['reliability'] or 'reliable'
        players = [_start('video_node', value, {
            'source': value['video'], 'loop': value['loop'], 'transport': value['transport']},
            [images], ends_all=True)]
    return [_start('pose_node', value, pose, [images]),
            _start('act_node', value, _act(value), beside), *players]


def _viewers(
    value: Mapping[str, str], images: tuple[str, str], keypoints: tuple[str, str],
    info: tuple[str, str],
) -> list[Start]:
    """Return what shows a camera's people, if it is wanted."""
    made = []
    if value['markers'] == 'true':
        made.append(_start('markers_node', value, {}, [keypoints, info]))
    if value['annotator'] == 'true':
        made.append(_start('annotator_node', value, _images(value), [images, keypoints]))
    return made


def _start(
    name: str, value: Mapping[str, str], parameters: dict[str, str],
    remappings: list[tuple[str, str]], ends_all: bool = False,
) -> Start:
    given = {**parameters, 'use_sim_time': value['use_sim_time']}
    return Start(
        name, value['namespace'], {key: _typed(key, text) for key, text in given.items() if text},
        remappings, ends_all)


def _typed(key: str, text: str) -> bool | int | list[int] | list[str] | str:
    """Return the value of a parameter."""
    if key in _FLAGS:
        return text == 'true'
    if key == 'rotation':
        return int(text)
    if key == 'rotations':
        return [int(part) for part in _parts(text)]
    return [*_parts(text)] if key == 'cameras' else text


def _parts(text: str) -> tuple[str, ...]:
    """Return what commas separate; spaces within a part stay, for it to be refused."""
    return tuple(part.strip() for part in text.split(','))
