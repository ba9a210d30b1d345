"""
Human pose estimation: an image in, people with keypoints out.

Estimators stand behind the small ``PoseEstimator`` protocol; those of this package run MoveNet on
a TFLite runtime, or the networks of ONNX files, and share what is below the protocol. Who is who
over time is the tracker's business.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import numpy as np

from act_ros.core.person import SEEN_SCORE, Person

NO_NUMBERS = 'no numbers in an answer of the pose network'
"""Cause of a drop."""

LEAST_PIXELS = 60
"""Height of a person at a network's input, below which joints are guessed."""
_SURE_JOINTS = 8
"""So many joints surely seen are a person, whatever hides the rest."""


class PoseEstimator(Protocol):
    """
    What the rest of the project expects of a pose network.

    A shallow copy is for another camera: it shares the network and remembers images of its own.
    """

    score_threshold: float
    """People with a lower score are dropped; may be changed from image to image."""
    drops: Counter[str]
    """Answers of the network that make no sense, by cause; of all its cameras together."""

    @property
    def name(self) -> str:
        """Model name, for logs and messages."""

    @property
    def layout(self) -> str:
        """Keypoint layout of every ``Person``, a name known to ``act_ros.core.skeletons``."""

    @property
    def least_height(self) -> float:
        """Height of a person as a share of the image's, below which poses get unreliable."""

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        """
        Find people, best score first.

        :param image_bgr: uint8 (H, W, 3), channels blue, green, red; any H, W > 0.
        :returns: people with 17 keypoints (for ``coco17``) in pixels of the image. A guessed joint
            may lie outside of the image, a box never does.
        :raises ModelError: the network does not run, or its answer is none of its kind.
        :raises ValueError: the image has another type or shape, or no pixels.
        """

    def reset(self) -> None:
        """Forget earlier images (a new video, a jump in time)."""


def person_of(keypoints: np.ndarray, image: np.ndarray) -> Person:
    """Return who was looked at: the score is the mean of the best eight of the keypoints (K, 3)."""
    score = float(np.sort(keypoints[:, 2])[-_SURE_JOINTS:].mean())
    return Person(keypoints, score, box_around(keypoints, image))


def box_around(keypoints: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the box (4,) around the keypoints (K, 3) that are seen, cut to the image."""
    scores = keypoints[:, 2]
    seen = keypoints[scores >= min(SEEN_SCORE, scores.max()), :2]
    return boxes_of(np.stack((seen.min(axis=0), seen.max(axis=0)))[None], image)[0]


def boxes_of(corners: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the boxes (N, 4) float32 of two corners each (N, 2, 2) x, y, cut to the image."""
    height, width = image.shape[:2]
    boxes = np.sort(corners, axis=1).reshape(-1, 4)  # a network may well swap two of them
    return np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)
