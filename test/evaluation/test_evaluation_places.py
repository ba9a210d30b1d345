"""Where people are, from a bag: by what was recorded of the camera up to then."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import camera_info, depth_image, image, keypoint_array, write_bag
from plan import somebody
from synthetic import SECOND, stamps

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.place import Camera, PlaceKind, locate
from act_ros.core.places import PlaceOptions
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings
from act_ros.evaluation.source import BagPlaces
from act_ros.recordings.bags import IMAGES, Bag

FOCAL, MOMENT = 525.0, SECOND // 10
POSES = '/camera/color/keypoints'


def recording() -> list[tuple[str, int, Any]]:
    """Return three seconds of a depth camera that has two eyes; its calibration comes late."""
    messages = []
    for i, stamp in enumerate(stamps(10, 3)):
        if i >= 5:
            messages += [(f'/camera/{name}/camera_info', stamp, camera_info(
                stamp, focal=focal, frame_id=eye)) for name, focal, eye in (
                    ('color', FOCAL, 'camera'), ('depth', 99.0, 'eye'))]
        wall = depth_image(stamp, 7.0, 'eye')
        messages += [('/camera/depth/image', stamp, wall),
                     ('/camera/color/image', stamp, image(stamp, np.zeros((6, 8, 3), np.uint8)))]
        if 10 <= i < 20:
            messages.append(('/camera/aligned/image', stamp, depth_image(
                stamp, 0.0 if i == 19 else 2.0 + i / 10)))
        people = [] if i == 25 else [somebody(i / 10)]
        messages.append((POSES, stamp + MOMENT // 2, keypoint_array(stamp, people)))
    return messages


def test_places_are_those_of_the_core(tmp_path: Path, tiny_bundle: Path) -> None:
    """Nowhere, estimated, measured, out of sight where he was; by the eye the poses are of."""
    bag = write_bag(tmp_path / 'bag', recording())
    params = tmp_path / 'act.yaml'
    params.write_text('act_node: {ros__parameters: {place: {depth: true, tolerance: 0.04}}}')
    summary = evaluate(Job(bag, tmp_path / 'out', settings=read_settings(
        params, str(tiny_bundle)))).summary
    assert summary['places'] == {
        'camera_info': '/camera/color/camera_info', 'depth': '/camera/aligned/image'}
    assert summary['dropped'] == {
        'depth without camera_info': 5, 'no depth image of that time': 15,
        'no depth on a person': 1}
    lines = (tmp_path / 'out' / 'results.jsonl').read_text().splitlines()
    (found,) = zip(*(json.loads(line)['actions'] for line in lines), strict=True)
    camera = Camera(FOCAL, FOCAL, 320.0, 240.0)
    assert [action.get('place') for action in found] == [
        *[None] * 5, *['ESTIMATED'] * 5, *['MEASURED'] * 9, *['ESTIMATED'] * 12]
    for i, action in enumerate(found[5:], 5):
        place = locate(somebody((24 if i == 25 else i) / 10), 'coco17', camera, (640, 480))
        z = 2.0 + i / 10 if 10 <= i < 19 else place.position[2]
        assert action['position'][2] == pytest.approx(z, abs=1e-3)
        assert action['bearing'] == pytest.approx(place.bearing, abs=1e-3)


def test_the_depth_of_an_image_may_come_after_it(tmp_path: Path) -> None:
    """For poses take their time, too; and a depth image is no camera's image."""
    path = write_bag(tmp_path / 'bag', [
        ('/camera_info', SECOND - 1, camera_info(1, focal=FOCAL)),
        ('/depth', SECOND + MOMENT // 10, depth_image(SECOND, 3.0)),
        ('/image', SECOND, image(SECOND, np.zeros((6, 8, 3), np.uint8)))])
    with Bag(path) as bag, ExitStack() as stack:
        assert bag.find_topic(IMAGES) == '/image'
        kinds = []
        for is_early in True, False:
            action = Action('p1', Status.BUFFERING, '', -1, 0.0, np.zeros(0), 0.0, 0, 0, 0,
                            np.zeros(4), np.zeros(0))
            BagPlaces(bag, '/image', PlaceOptions(depth=True), stack, is_early, Counter(), print
                      ).fill(Frame(SECOND, 'camera', (640, 480), 'coco17', [somebody(0.0)],
                                   [action], time=SECOND))
            kinds.append(action.place.kind)
    assert kinds == [PlaceKind.MEASURED, PlaceKind.ESTIMATED]
