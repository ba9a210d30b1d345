"""Cameras that are not mounted upright: images and people turned by quarters of a circle."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from act_ros.core.options import Options, option
from act_ros.core.person import Person

ROTATIONS = (0, 90, 180, 270)
"""Degrees clockwise by which an image is turned so that people stand upright in it."""


@dataclass(frozen=True)
class MountOptions(Options):
    """How the camera is mounted."""

    rotation: int = option(
        0, 'Degrees clockwise by which images have to be turned for people to stand upright in '
        'them. Keypoints and boxes stay in the pixels of the images as they come.',
        choices=ROTATIONS, fixed=True)


def turn_image(image: np.ndarray, degrees: int) -> np.ndarray:
    """Return an image (H, W, ...) turned clockwise; contiguous, and itself where that is none."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90)) if degrees else image


def turn_person(person: Person, degrees: int, width: float = 0.0, height: float = 0.0) -> Person:
    """
    Return a person turned clockwise along with the image.

    :param width: of the image before it is turned, pixels; without sizes the turn is about the
        image's corner, which is all the same where only a pose counts.
    :param height: of the image before it is turned, pixels.
    """
    if not degrees:
        return person
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = _turn(keypoints[:, :2], degrees, width, height)
    return dataclasses.replace(
        person, keypoints=keypoints, box=turn_box(person.box, degrees, width, height))


def turn_box(
    box: np.ndarray, degrees: int, width: float = 0.0, height: float = 0.0,
) -> np.ndarray:
    """Return a box (4,) turned clockwise along with the image, see ``turn_person``."""
    corners = _turn(box.reshape(2, 2), degrees, width, height)
    return np.sort(corners, axis=0).reshape(4)


def _turn(points: np.ndarray, degrees: int, width: float, height: float) -> np.ndarray:
    """Turn points (..., 2) x, y."""
    x, y = points[..., 0], points[..., 1]
    turned = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}
    return np.stack(turned[degrees], axis=-1)
