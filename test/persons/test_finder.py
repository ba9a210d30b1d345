"""`PersonFinder`: images in order go to the network, late ones do not, a jump begins anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy

import cv2
import numpy as np
import pytest
from synthetic import SECOND, person, pose

from act_ros.core.person import Person
from act_ros.core.resources import find_resource
from act_ros.core.rotation import turn_image, turn_person
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import DEFAULT_MODEL, create_estimator
from act_ros.persons.tracker import TrackerOptions
from act_ros.tflite.errors import ModelError

IMAGE = np.zeros((4, 4, 3), np.uint8)


class OnePerson:
    """A pose estimator that sees the same person in every image that has pixels."""

    name, layout, score_threshold, least_height = 'one', 'coco17', 0.2, 0.2

    def __init__(self) -> None:
        self.images = self.resets = 0
        self.drops: Counter[str] = Counter()

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        self.images += 1
        return [person(pose(0.0))]

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def finder() -> PersonFinder:
    """Return a finder that names people at first sight."""
    return PersonFinder(OnePerson(), TrackerOptions(min_hits=1))


def ids(finder: PersonFinder, stamp: int) -> list[str] | None:
    """Return the ids of an image at ``stamp``."""
    persons = finder.update(stamp, IMAGE)
    return None if persons is None else [p.id for p in persons]


def test_order_late_and_jump(finder: PersonFinder) -> None:
    estimator = finder.estimator
    assert isinstance(estimator, OnePerson)
    assert [ids(finder, 9 * SECOND + i) for i in (0, 1, 1, 0, 2)] == [
        ['p1'], ['p1'], None, None, ['p1']]
    assert (estimator.images, estimator.resets) == (3, 0)
    assert finder.drops == {'late or repeated stamp': 2}
    # Back by more than max_age: never the same id.
    assert [ids(finder, SECOND + i) for i in range(3)] == [None, None, ['p2']]
    assert (estimator.images, estimator.resets) == (4, 1)


@pytest.mark.parametrize('is_somebody', [False, True])
def test_stamps_far_ahead_are_doubted_only_where_somebody_could_be_lost(
    finder: PersonFinder, is_somebody: bool,
) -> None:
    if not is_somebody:
        finder.estimator.estimate = lambda image_bgr: []  # type: ignore[method-assign]
    assert [ids(finder, SECOND + i) is None for i in range(3)] == [False] * 3
    assert (ids(finder, 60 * SECOND) is None) is is_somebody


def test_broken_answers_count_for_the_camera_whose_image_it_was(finder: PersonFinder) -> None:
    """Cameras share a network, and its counter."""
    other = PersonFinder(copy(finder.estimator), TrackerOptions(min_hits=1))

    def estimate(image_bgr: np.ndarray) -> list[Person]:
        finder.estimator.drops['nonsense'] += 1
        raise ModelError('no numbers at all')

    assert ids(finder, SECOND) == ids(other, SECOND) == ['p1']
    other.estimator.estimate = estimate  # type: ignore[method-assign]
    with pytest.raises(ModelError):
        ids(other, 2 * SECOND)
    assert (finder.drops, other.drops) == (Counter(), Counter({'nonsense': 1}))
    assert ids(finder, 2 * SECOND) == ['p1'] and not finder.drops


def test_an_image_without_pixels_is_an_error_and_changes_nothing(finder: PersonFinder) -> None:
    assert ids(finder, SECOND) == ['p1']
    with pytest.raises(ValueError, match='must have pixels'):
        finder.update(2 * SECOND - 1, np.zeros((0, 4, 3), np.uint8))
    assert ids(finder, 2 * SECOND) == ['p1']


def test_options_change_and_everybody_keeps_the_id(finder: PersonFinder) -> None:
    assert ids(finder, SECOND) == ['p1']
    finder.reconfigure(0.5, TrackerOptions(min_hits=5, max_age=0.3))
    assert finder.estimator.score_threshold == 0.5
    assert ids(finder, SECOND + SECOND // 4) == ['p1']
    back = SECOND + SECOND // 4 - SECOND // 3
    assert [ids(finder, back + i) for i in range(3)] == [None, None, []], 'now on probation'


def test_the_default_follows_everybody_and_says_nothing_of_those_it_did_not_look_at() -> None:
    """At most three are looked at in an image: all are named, and nobody under two names."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    finder, seen = PersonFinder(create_estimator()), Counter[str]()
    for i in range(110):
        persons = finder.update((i + 30) * SECOND // 30, video.read()[1])
        assert persons is not None
        seen.update(p.id for p in persons)
    video.release()
    assert set(seen) == {'p1', 'p2'}
    assert seen['p1'] > 90  # of 110: from the 40th on two share the one look of every third image


def test_the_default_finds_nobody_where_nobody_is() -> None:
    finder, random = PersonFinder(create_estimator()), np.random.default_rng(0)
    for i in range(1, 60):
        noise = random.integers(0, 256, (240, 320, 3), np.uint8)
        assert finder.update(i * SECOND // 10, noise if i % 2 else noise // 64) == []


@pytest.mark.parametrize('model', [DEFAULT_MODEL, 'movenet_multipose_192x256'])
@pytest.mark.parametrize('change', [
    lambda image: cv2.resize(image, (600, 450)),
    lambda image: np.ascontiguousarray(np.rot90(image)),
], ids=['smaller', 'turned'])
def test_other_images_in_the_middle_of_a_stream_begin_anew(
    change: Callable[[np.ndarray], np.ndarray], model: str,
) -> None:
    """No crash, and no id of the images before or between is ever used again."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    finder = PersonFinder(create_estimator(model))
    names: list[set[str]] = []
    for i in range(75):
        image = video.read()[1]
        persons = finder.update((i + 30) * SECOND // 30, change(image) if 30 <= i < 55 else image)
        assert persons is not None
        names.append({p.id for p in persons})
    video.release()
    before, between, after = (
        set().union(*part) for part in (names[:30], names[30:55], names[55:]))
    assert names[29] == {'p1'}
    assert after
    assert not before & between and not (before | between) & after


@pytest.mark.parametrize(('turn', 'is_head_down'), [(0, False), (90, False), (180, True)])
def test_who_is_head_down_is_told(finder: PersonFinder, turn: int, is_head_down: bool) -> None:
    """Who lies may well do so."""
    finder.estimator.estimate = lambda image_bgr: [  # type: ignore[method-assign]
        turn_person(person(pose(0.0)), turn, 640, 480)]
    assert ids(finder, SECOND) == ['p1'] and finder.head_down == [is_head_down]


@pytest.mark.parametrize('joint', [5, 6, 11, 12])
def test_of_whom_a_shoulder_or_a_hip_is_not_seen_nobody_says_head_down(
    finder: PersonFinder, joint: int,
) -> None:
    keypoints = turn_person(person(pose(0.0)), 180, 640, 480).keypoints
    keypoints[joint, 2] = 0.1
    finder.estimator.estimate = lambda image_bgr: [person(keypoints)]  # type: ignore[method-assign]
    assert ids(finder, SECOND) == ['p1'] and finder.head_down == [False]


def test_heights_are_shares_of_the_image(finder: PersonFinder) -> None:
    image, box = np.zeros((480, 640, 3), np.uint8), np.array((10, 120, 50, 360), np.float32)
    finder.estimator.estimate = lambda image_bgr: [  # type: ignore[method-assign]
        Person(pose(0.0), 0.9, box)]
    assert finder.update(SECOND, image) and finder.heights == [0.5]


@pytest.mark.parametrize('rotation', [90, 180, 270])
def test_a_camera_on_its_side_sees_the_same_where_it_is_in_its_own_pixels(rotation: int) -> None:
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    upright, turned = PersonFinder(create_estimator()), PersonFinder(
        create_estimator(), rotation=rotation)
    for i in range(1, 8):
        image = video.read()[1]
        expected = upright.update(i * SECOND // 30, image)
        found = turned.update(i * SECOND // 30, turn_image(image, -rotation % 360))
        assert expected is not None and found is not None
        assert [p.id for p in found] == [p.id for p in expected]
        for a, b in zip(expected, found, strict=True):
            back = turn_person(b, rotation, *turn_image(image, rotation).shape[1::-1])
            np.testing.assert_allclose(back.keypoints, a.keypoints, atol=1e-3)
    video.release()
    assert upright.heights == turned.heights != []
