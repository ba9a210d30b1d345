"""Parts of frames find each other by their stamps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from synthetic import person, pose

from act_ros.core.frame import Frame
from act_ros.core.synchronizer import FrameSynchronizer

IMAGE = np.zeros((2, 4, 3), np.uint8)


def image(stamp: int) -> Frame:
    return Frame(stamp, 'eye', (4, 2), image=IMAGE)


def keypoints(stamp: int) -> Frame:
    return Frame(stamp, 'eye', (4, 2), 'coco17', [person(pose(0.0), 'p1')])


def actions(stamp: int) -> Frame:
    return Frame(stamp, 'eye', actions=[])


@pytest.mark.parametrize('order', [
    (image, keypoints, actions), (keypoints, actions, image), (actions, image, keypoints)])
def test_a_frame_is_whole_whatever_comes_first(order: tuple[Callable[[int], Frame], ...]) -> None:
    synchronizer = FrameSynchronizer()
    first, second, third = (part(7) for part in order)
    assert synchronizer.add(first) == synchronizer.add(second) == []
    (frame,) = synchronizer.add(third)
    assert (frame.stamp, frame.layout, frame.actions) == (7, 'coco17', [])
    assert frame.image is IMAGE and frame.persons[0].id == 'p1'
    assert synchronizer.flush() == synchronizer.flush() == []


def test_a_whole_frame_takes_those_before_it_along() -> None:
    """Each topic is in order: the actions of an earlier frame will not come any more."""
    synchronizer = FrameSynchronizer()
    parts = [image(1), keypoints(1), image(2), keypoints(3), image(3), image(4)]
    assert [synchronizer.add(part) for part in parts] == [[]] * 6
    frames = synchronizer.add(actions(3))
    assert [(frame.stamp, frame.actions) for frame in frames] == [(1, None), (3, [])]
    assert synchronizer.add(keypoints(4)) == []
    assert [frame.stamp for frame in synchronizer.add(actions(4))] == [4]


def test_without_actions_nothing_waits_for_them() -> None:
    synchronizer = FrameSynchronizer()
    synchronizer.needs_actions = False
    assert synchronizer.add(image(1)) == []
    assert [frame.stamp for frame in synchronizer.add(keypoints(1))] == [1]


def test_only_so_many_frames_wait() -> None:
    """Who is pushed out is shown without actions, if there is anything to show."""
    synchronizer = FrameSynchronizer(size=3)
    shown = []
    for stamp in range(100):
        shown += synchronizer.add(image(stamp))
        if stamp % 2:
            shown += synchronizer.add(keypoints(stamp))
    assert [frame.stamp for frame in shown] == list(range(1, 97, 2))
    assert len(synchronizer.flush()) == 0 and len(synchronizer.flush()) == 2


def test_time_may_jump_back() -> None:
    synchronizer = FrameSynchronizer()
    shown = [frame for stamp in (5, 6, 1, 2) for part in (image, keypoints, actions)
             for frame in synchronizer.add(part(stamp))]
    assert [frame.stamp for frame in shown] == [5, 6, 1, 2]
