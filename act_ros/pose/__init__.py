"""
Human pose estimation: an image in, people with keypoints out.

Estimators stand behind the small ``PoseEstimator`` protocol; the ones of this package run MoveNet
on a TFLite runtime. They see single images: who is who over time is the tracker's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from act_ros.person import Person

__all__ = ['DEFAULT_MODEL', 'Person', 'PoseEstimator', 'create_estimator']

DEFAULT_MODEL = 'movenet_multipose_192x256'


class PoseEstimator(Protocol):
    """What the rest of the project expects of a pose network."""

    score_threshold: float
    """People with a lower score are dropped; may be changed from image to image."""

    @property
    def name(self) -> str:
        """Model name, for logs and messages."""

    @property
    def layout(self) -> str:
        """Keypoint layout of every ``Person``, a name known to ``act_ros.skeletons``."""

    @property
    def max_persons(self) -> int:
        """Most people that one image can yield."""

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        """
        Find people, best score first.

        :param image_bgr: uint8 (H, W, 3), channels blue, green, red; any H, W > 0.
        :returns: people with 17 keypoints (for ``coco17``) in pixels of the image. A guessed joint
            may lie outside of the image, a box never does.
        :raises ValueError: the image has another type or shape, or no pixels.
        """

    def for_another_camera(self) -> PoseEstimator:
        """Return an estimator that shares the network, and remembers images of its own."""

    def reset(self) -> None:
        """Forget earlier images (a new video, a jump in time)."""


def create_estimator(
    model: str | Path = DEFAULT_MODEL, num_threads: int = 1, score_threshold: float = 0.2
) -> PoseEstimator:
    """
    Open a pose network.

    :param model: path of a ``.tflite`` file or its bare name in the models folder. Its kind
        (several people or one) shows in its tensors, so any file name will do.
    :param num_threads: CPU threads of one inference.
    :param score_threshold: people with a lower score are dropped, in [0, 1].
    :raises FileNotFoundError: there is no such model.
    :raises ModelError: the file is damaged or no MoveNet, or no runtime is installed.
    :raises ValueError: a parameter is out of range.
    """
    from act_ros.pose import movenet  # imported late: a subscriber to keypoints needs no OpenCV
    from act_ros.resources import find_model

    return movenet.open_movenet(find_model(model), num_threads, score_threshold)
