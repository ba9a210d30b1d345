"""Quarter turns: people turn with the image, and back again."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import person, pose

from act_ros.core.rotation import ROTATIONS, MountOptions, turn_box, turn_image, turn_person


@pytest.mark.parametrize('degrees', ROTATIONS)
def test_a_joint_stays_on_its_pixel(degrees: int) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[30, 11] = 255
    someone = person(np.array([[11.5, 30.5, 1.0]], np.float32))
    turned = turn_person(someone, degrees, 64, 48)
    x, y = turned.keypoints[0, :2].astype(int)
    upright = turn_image(image, degrees)
    assert upright.shape == ((48, 64, 3) if degrees % 180 == 0 else (64, 48, 3))
    assert upright[y, x, 0] == 255
    assert upright.flags.c_contiguous


@pytest.mark.parametrize('degrees', ROTATIONS)
def test_there_and_back(degrees: int) -> None:
    before = person(pose(0.0))
    there = turn_person(before, degrees, 640, 480)
    width, height = (640, 480) if degrees % 180 == 0 else (480, 640)
    back = turn_person(there, -degrees % 360, width, height)
    np.testing.assert_allclose(back.keypoints, before.keypoints, atol=1e-4)
    np.testing.assert_allclose(back.box, before.box, atol=1e-4)
    assert (there.box[:2] <= there.box[2:]).all()


def test_a_box_clockwise() -> None:
    np.testing.assert_array_equal(
        turn_box(np.array([10.0, 20.0, 30.0, 80.0]), 90, 640, 480), [400, 10, 460, 30])


def test_another_angle_is_refused() -> None:
    with pytest.raises(ValueError, match=r'rotation is 45, but must be one of: 0, 90, 180, 270'):
        MountOptions(45)
