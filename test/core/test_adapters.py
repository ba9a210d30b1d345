"""Poses of other packages as frames; the messages are those of the real definitions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')

from bag_writer import header
from foreign import bag_types, detections, skeleton
from synthetic import SECOND, person, pose

from act_ros.core.adapters import BodyFrames, frame_of_detections
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.core.skeletons import LAYOUTS

SIZE = (640, 480)
TYPES = bag_types()


def make(name: str, **fields: Any) -> Any:
    """Return a message."""
    return TYPES.types[name](**fields)


def ids(stamp: int, *names: str) -> Any:
    """Return who is tracked at a stamp."""
    return make('hri_msgs/msg/IdsList', header=header(stamp), ids=list(names))


def body(stamp: int, person: Person) -> Any:
    """Return somebody's skeleton at a stamp."""
    return skeleton(make, header(stamp), person, SIZE)


def names(frames: list[Frame]) -> list[tuple[int, list[str]]]:
    """Return stamp and ids of each frame."""
    return [(frame.stamp, sorted(p.id for p in frame.persons)) for frame in frames]


def test_detections_are_persons_with_their_track_ids() -> None:
    """Keypoints by their numbers; one that is left out was not seen, and lies amid the others."""
    drops: Counter[str] = Counter()
    one, two = person(pose(0.0), '7'), person(pose(0.1, x=100.0), '12')
    one.keypoints[[3, 16], 2] = 0.1  # an ear and an ankle, below yolo_ros's threshold
    frame = frame_of_detections(detections(make, header(SECOND), [one, two]), drops)
    assert (frame.stamp, frame.frame_id, frame.layout) == (SECOND, 'camera', 'coco17')
    assert [p.id for p in frame.persons] == ['7', '12'] and not drops
    seen = np.delete(np.arange(17), [3, 16])
    assert np.array_equal(frame.persons[0].keypoints[seen], one.keypoints[seen])
    middle = one.keypoints[seen, :2].mean(axis=0)
    assert np.allclose(frame.persons[0].keypoints[[3, 16]], [*middle, 0.0])
    assert np.array_equal(frame.persons[1].keypoints, two.keypoints)
    assert np.allclose(frame.persons[1].box, two.box) and frame.persons[1].score == two.score


def test_what_is_no_person_is_passed_over() -> None:
    """Chairs without a word; animals with keypoints and unknown layouts are counted."""
    drops: Counter[str] = Counter()
    message = detections(make, header(SECOND), [person(pose(0.0), str(i)) for i in range(5)])
    chair, dog, hand, nobody, good = message.detections
    chair.class_name, chair.keypoints.data = 'chair', []
    dog.class_name = 'dog'
    hand.keypoints.data[4].id = 21
    nobody.keypoints.data = []
    good.mask.width, good.mask.height = 640, 480
    good.keypoints.data[0].point.x, good.keypoints.data[1].score = 1e300, float('nan')
    frame = frame_of_detections(message, drops)
    assert [p.id for p in frame.persons] == ['3', '4'] and frame.size == (640, 480)
    assert drops == {'keypoints of another class than person': 1,
                     'keypoints of an unknown layout': 1}
    assert (frame.persons[0].keypoints == 0).all()
    assert frame.persons[1].keypoints[1, 2] == 0 and np.isinf(frame.persons[1].keypoints[0, 0])
    assert frame_of_detections(detections(make, header(2 * SECOND), []), drops).persons == []


@pytest.mark.parametrize('first', ['ids', 'skeletons'])
def test_bodies_come_together_by_stamp(first: str) -> None:
    """Whoever publishes first, a frame is given as soon as everybody tracked is in it."""
    drops: Counter[str] = Counter()
    bodies = BodyFrames(SIZE, drops)
    one, two = person(pose(0.0), 'abc'), person(pose(0.1, x=100.0), 'xyz')
    steps = [lambda: bodies.add_skeleton('abc', body(SECOND, one)),
             lambda: bodies.add_skeleton('xyz', body(SECOND, two))]
    steps.insert(0 if first == 'ids' else 2, lambda: bodies.add_ids(ids(SECOND, 'abc', 'xyz')))
    assert steps[0]() == [] and steps[1]() == []
    (frame,) = steps[2]()
    assert (frame.stamp, frame.frame_id, frame.size) == (SECOND, 'camera', SIZE)
    assert names([frame]) == [(SECOND, ['abc', 'xyz'])] and not drops
    joints = LAYOUTS[frame.layout].joints
    for found, real in zip(frame.persons, (one, two), strict=True):
        for i, name in enumerate(LAYOUTS['coco17'].joints):
            assert np.allclose(found.keypoints[joints.index(name)], real.keypoints[i], atol=1e-3)
        shoulders = real.keypoints[[5, 6]].mean(axis=0)
        assert np.allclose(found.keypoints[joints.index('neck')], shoulders, atol=1e-3)
        assert np.allclose(found.box, real.box, atol=1e-3)


def test_a_body_without_a_skeleton_holds_nobody_up() -> None:
    """The next whole frame brings those before it; who left is a frame without people."""
    drops: Counter[str] = Counter()
    bodies, somebody = BodyFrames(SIZE, drops), person(pose(0.0), 'abc')
    assert bodies.add_ids(ids(1 * SECOND, 'abc', 'gone')) == []
    assert bodies.add_skeleton('abc', body(1 * SECOND, somebody)) == []
    assert bodies.add_ids(ids(2 * SECOND, 'abc')) == []
    assert names(bodies.add_skeleton('abc', body(2 * SECOND, somebody))) == [
        (1 * SECOND, ['abc']), (2 * SECOND, ['abc'])]
    assert names(bodies.add_ids(ids(3 * SECOND))) == [(3 * SECOND, [])]
    assert bodies.add_skeleton('abc', body(3 * SECOND, somebody)) == []
    assert drops == {'late skeletons or ids': 1}
    # Nobody says who is tracked: after some frames the skeletons alone count.
    told = [names(bodies.add_skeleton('abc', body(i * SECOND, somebody))) for i in range(4, 8)]
    assert told == [[], [], [], [(4 * SECOND, ['abc'])]]
    assert names(bodies.flush()) == [(i * SECOND, ['abc']) for i in (5, 6, 7)]


def test_time_that_jumps_back_begins_anew() -> None:
    """A bag that loops: what waited is dropped, and what comes is not late."""
    drops: Counter[str] = Counter()
    bodies, somebody = BodyFrames(SIZE, drops), person(pose(0.0), 'abc')
    assert names(bodies.add_ids(ids(100 * SECOND))) == [(100 * SECOND, [])]
    assert bodies.add_ids(ids(101 * SECOND, 'abc')) == []
    assert names(bodies.add_ids(ids(1 * SECOND))) == [(1 * SECOND, [])]
    assert bodies.add_skeleton('abc', body(2 * SECOND, somebody)) == []
    assert names(bodies.add_ids(ids(2 * SECOND, 'abc'))) == [(2 * SECOND, ['abc'])]
    assert not drops


def test_skeletons_of_other_lengths_and_numbers_that_are_none() -> None:
    """The former are counted, the latter are joints not seen."""
    drops: Counter[str] = Counter()
    bodies, message = BodyFrames(SIZE, drops), body(SECOND, person(pose(0.0), 'abc'))
    message.skeleton[0].x, message.skeleton[1].c = float('nan'), float('nan')
    assert bodies.add_skeleton('abc', message) == []
    message = body(SECOND, person(pose(0.0), 'xyz'))
    message.skeleton = message.skeleton[:17]
    assert bodies.add_skeleton('xyz', message) == []
    ((frame,),) = [bodies.add_ids(ids(SECOND, 'abc'))]
    assert names([frame]) == [(SECOND, ['abc'])]
    assert drops == {'skeleton of an unknown layout': 1}
    assert frame.persons[0].keypoints[1, 2] == 0 and np.isnan(frame.persons[0].keypoints[0, 0])
