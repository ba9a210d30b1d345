"""Clothes: the colours of the torso and of nothing else, where enough of it is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import person, pose

from act_ros.core.person import Person
from act_ros.persons.clothes import likeness, look

HEIGHT, WIDTH = 480, 640
GREEN, BLUE = (0, 255, 0), (255, 0, 0)
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


def body(x: float = 320.0, y: float = 150.0) -> Person:
    """Return somebody who stands: the torso is 60 pixels wide and 100 tall, from y on."""
    return person(pose(0.0, 'standing', x, y))


def plain(colour: tuple[int, ...]) -> np.ndarray:
    """Return an image of one colour."""
    return np.full((HEIGHT, WIDTH, 3), colour, np.uint8)


def worn(image: np.ndarray, who: Person | None = None) -> np.ndarray:
    """Return the clothes of somebody of whom they are seen."""
    clothes = look(image, who or body())
    assert clothes is not None and clothes.shape == (40,)
    return clothes


@given(colour=COLOURS, other=COLOURS)
def test_likeness_is_one_of_the_same_and_the_same_both_ways(
    colour: tuple[int, ...], other: tuple[int, ...],
) -> None:
    a, b = worn(plain(colour)), worn(plain(other))
    assert likeness(a, a) == pytest.approx(1.0, abs=1e-5)
    assert likeness(a, b) == pytest.approx(likeness(b, a))
    assert -1e-6 < likeness(a, b) < 1 + 1e-5


@given(colour=COLOURS)
def test_a_colour_that_is_hardly_another_is_hardly_less_alike(colour: tuple[int, ...]) -> None:
    """Wherever the edges of the bins are."""
    next_to_it = tuple(min(value + 1, 255) for value in colour)
    assert likeness(worn(plain(colour)), worn(plain(next_to_it))) > 0.9


def test_nothing_but_the_torso_counts() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    torso = body().keypoints[[5, 6, 12, 11], :2].astype(np.int32)
    cv2.fillConvexPoly(image, torso, GREEN)
    np.testing.assert_array_equal(worn(image), worn(plain(GREEN)))


@pytest.mark.parametrize('axis', [0, 1])
@pytest.mark.parametrize('share', [0.25, 0.5, 0.75])
def test_of_two_colours_each_counts_by_its_share(axis: int, share: float) -> None:
    """Trousers and shirt, or an open jacket."""
    image, (x, y) = plain(BLUE), (320, 150)
    if axis:  # what is probed are 42 pixels across and 80 down
        image[:, :round(x - 21 + 42 * share)] = GREEN
    else:
        image[:round(y + 5 + 80 * share)] = GREEN
    green, blue, both = worn(plain(GREEN)), worn(plain(BLUE)), worn(image)
    assert likeness(green, blue) < 0.1
    assert likeness(green, both) == pytest.approx(np.sqrt(share), abs=0.06)
    assert likeness(blue, both) == pytest.approx(np.sqrt(1 - share), abs=0.06)


@pytest.mark.parametrize(('x', 'y', 'is_seen'), [
    (5, 150, True), (-5, 150, False), (WIDTH - 5, 150, True), (WIDTH + 5, 150, False),
    (320, -35, True), (320, -55, False), (320, HEIGHT - 55, True), (320, HEIGHT - 35, False)])
def test_clothes_are_seen_where_half_of_the_torso_is_in_the_image(
    x: float, y: float, is_seen: bool,
) -> None:
    clothes = look(plain(GREEN), body(x, y))
    assert (clothes is not None) is is_seen
    if clothes is not None:
        np.testing.assert_allclose(clothes, worn(plain(GREEN)), atol=1e-6)


@pytest.mark.parametrize('joint', [5, 6, 11, 12])
def test_clothes_are_not_seen_where_a_corner_of_the_torso_is_not(joint: int) -> None:
    keypoints = body().keypoints.copy()
    for score, is_seen in ((0.31, True), (0.29, False)):
        keypoints[joint, 2] = score
        assert (look(plain(GREEN), person(keypoints)) is not None) is is_seen
