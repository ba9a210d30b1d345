"""Bags with the poses of other packages, read by the definitions they carry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')

from bag_writer import camera_info, header, keypoint_array, write_bag
from foreign import YOLO, bag_types, detections, skeleton
from synthetic import person, pose, stamps

from act_ros.core.person import Person
from act_ros.evaluation.__main__ import main
from act_ros.evaluation.source import choose_topic
from act_ros.recordings.bags import Bag, BagError

SIZE = (1280, 960)
TYPES = bag_types()
Entry = tuple[str, int, Any]


def make(name: str, **fields: Any) -> Any:
    """Return a message."""
    return TYPES.types[name](**fields)


def people() -> Iterator[tuple[int, list[Person]]]:
    """Yield two seconds of somebody who walks, then nobody."""
    for stamp in stamps(30.0, 2.5):
        seconds = stamp / 1e9 - 1.0
        yield stamp, [person(pose(seconds), 'abc')] if seconds < 2.0 else []


def yolo() -> Iterator[Entry]:
    """Yield what yolo_ros publishes, before and after its tracker."""
    for stamp, persons in people():
        untracked = [Person(p.keypoints, p.score, p.box) for p in persons]
        yield '/yolo/detections', stamp, detections(make, header(stamp), untracked)
        yield '/yolo/tracking', stamp + 1, detections(make, header(stamp), persons)


def hri() -> Iterator[Entry]:
    """Yield bodies of ROS4HRI beside faces, in the order of hri_body_detect."""
    for stamp, persons in people():
        for kind, names in (('bodies', [p.id for p in persons]), ('faces', ['f'])):
            yield f'/humans/{kind}/tracked', stamp, make(
                'hri_msgs/msg/IdsList', header=header(stamp), ids=names)
        for p in persons:
            yield f'/humans/bodies/{p.id}/skeleton2d', stamp + 1, skeleton(
                make, header(stamp), p, SIZE)


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_detections(tmp_path: Path, storage: str) -> None:
    """Where there are several topics one has to be named; every frame comes, with its ids."""
    path = write_bag(tmp_path / 'bag', yolo(), storage, TYPES)
    with Bag(path) as bag:
        with pytest.raises(BagError, match='/yolo/detections, /yolo/tracking; name one'):
            choose_topic(bag, None)
        assert choose_topic(bag, '/yolo/tracking') == ('keypoints', '/yolo/tracking')
        frames = list(bag.keypoints('/yolo/tracking'))
    for (stamp, persons), frame in zip(people(), frames, strict=True):
        assert (frame.stamp, frame.time, frame.layout) == (stamp, stamp + 1, 'coco17')
        assert [p.id for p in frame.persons] == [p.id for p in persons]
        for found, real in zip(frame.persons, persons, strict=True):
            assert np.array_equal(found.keypoints, real.keypoints)


@pytest.mark.parametrize(('is_sized', 'told', 'size'), [
    (True, (320, 240), SIZE), (False, (320, 240), (320, 240)), (False, None, (640, 480))])
def test_bodies(
    tmp_path: Path, is_sized: bool, told: tuple[int, int] | None, size: tuple[int, int],
) -> None:
    """Of the lists of ids only that of bodies counts; the camera says how large images are."""
    (stamp, (somebody,)), *_ = people()
    more = [('/camera_info', 1, camera_info(1, SIZE if is_sized else (SIZE[0], 0))),
            ('/other/bodies/d/skeleton2d', 2, skeleton(make, header(stamp), somebody, SIZE))]
    end = stamps(30.0, 3.0)[-1]
    last = '/humans/bodies/tracked', end, make(  # the skeleton was not recorded any more
        'hri_msgs/msg/IdsList', header=header(end), ids=['abc'])
    path = write_bag(tmp_path / 'bag', [*more, *hri(), last], 'mcap', TYPES)
    with Bag(path) as bag:
        assert choose_topic(bag, None) == ('keypoints', '/humans/bodies/tracked')
        bag.image_size = told or bag.image_size
        *frames, frame = bag.keypoints()
        assert not bag.drops
    assert (frame.stamp, frame.time, frame.persons) == (end, end, [])
    assert {frame.size for frame in frames} == {size}
    for (stamp, persons), frame in zip(people(), frames, strict=True):
        assert (frame.stamp, frame.layout) == (stamp, 'rep155')
        assert [p.id for p in frame.persons] == [p.id for p in persons]
        for found, real in zip(frame.persons, persons, strict=True):
            nose = real.keypoints[0, :2] * (size[0] / SIZE[0])
            assert np.allclose(found.keypoints[0, :2], nose, atol=1e-3)


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    """Of another version of yolo_msgs, by the definition that the bag carries."""
    types = bag_types({'yolo_msgs': {name: text.replace('string id', 'int32 id')
                                     for name, text in YOLO.items()}})
    made = (detections(make, header(stamp), persons) for stamp, persons in people())
    for_other = [('/yolo/tracking', i, message) for i, message in enumerate(made, 1)]
    for _, _, message in for_other:
        for detection in message.detections:
            detection.id = 7
    path = write_bag(tmp_path / 'bag', for_other, 'mcap', types)
    with Bag(path) as bag:
        assert {p.id for frame in bag.keypoints() for p in frame.persons} == {'7'}


@pytest.mark.parametrize('kind', ['yolo', 'hri'])
def test_the_evaluation_answers_as_on_keypoints(
    tmp_path: Path, tiny_bundle: Path, kind: str,
) -> None:
    """The same labels at the same stamps, for the same ids."""
    ours = [('/keypoints', stamp, keypoint_array(stamp, persons)) for stamp, persons in people()]
    theirs = [entry for entry in {'yolo': yolo, 'hri': hri}[kind]()
              if entry[0] != '/yolo/detections']
    answers = []
    for name, entries in ('ours', ours), ('theirs', theirs):
        bag = write_bag(tmp_path / name, entries, 'mcap', TYPES)
        assert main([str(bag), '--output', str(tmp_path / f'{name}_out'),
                     '--bundle', str(tiny_bundle)]) == 0
        lines = (tmp_path / f'{name}_out' / 'results.jsonl').read_text().splitlines()
        answers.append([(line['stamp'], [(a['person_id'], a['status'], a['label'])
                                         for a in line['actions']])
                        for line in map(json.loads, lines)])
    assert answers[0] == answers[1]
    assert any(('abc', 'RECOGNIZED', 'walk') in actions for _, actions in answers[0])
