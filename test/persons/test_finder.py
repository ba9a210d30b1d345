"""`PersonFinder`: images in order go to the network, late ones do not, a jump begins anew."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import SECOND, person, pose

from act_ros.core.person import Person
from act_ros.persons.finder import PersonFinder
from act_ros.persons.tracker import TrackerOptions

IMAGE = np.zeros((4, 4, 3), np.uint8)


class OnePerson:
    """A pose estimator that sees the same person in every image that has pixels."""

    name, layout, max_persons, score_threshold = 'one', 'coco17', 1, 0.2

    def __init__(self) -> None:
        self.images = self.resets = 0

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        if image_bgr.size == 0:
            raise ValueError('no pixels')
        self.images += 1
        return [person(pose(0.0))]

    def for_another_camera(self) -> OnePerson:
        return OnePerson()

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
    assert ids(finder, SECOND) == ['p2']  # back by more than max_age: never the same id
    assert (estimator.images, estimator.resets) == (4, 1)


def test_an_image_without_pixels_is_the_estimator_s_error(finder: PersonFinder) -> None:
    assert ids(finder, SECOND) == ['p1']
    with pytest.raises(ValueError, match='no pixels'):
        finder.update(2 * SECOND - 1, np.zeros((0, 4, 3), np.uint8))
    assert ids(finder, 2 * SECOND) == ['p1']


def test_options_change_and_everybody_keeps_the_id(finder: PersonFinder) -> None:
    assert ids(finder, SECOND) == ['p1']
    finder.reconfigure(0.5, TrackerOptions(min_hits=5, max_age=0.3))
    assert finder.estimator.score_threshold == 0.5
    assert ids(finder, SECOND + SECOND // 4) == ['p1']
    assert ids(finder, SECOND + SECOND // 4 - SECOND // 3) == [], 'now a jump, and on probation'
