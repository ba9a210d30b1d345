"""The pose networks that can be opened, by name or path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from act_ros.core.options import Options, option
from act_ros.core.resources import find_model
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.movenet import open_movenet

DEFAULT_MODEL = 'movenet_multipose_192x256'


@dataclass(frozen=True)
class PoseOptions(Options):
    """The pose network."""

    model: str = option(
        DEFAULT_MODEL, 'Pose network: the name of one in the models folder, or a path.',
        fixed=True)
    num_threads: int = option(
        1, 'CPU threads of the pose network; more is faster where cores are free.',
        low=1, high=64, fixed=True)
    score_threshold: float = option(
        0.2, 'Persons found with a lower score are ignored.', low=0.0, high=1.0)


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
    return open_movenet(find_model(model), num_threads, score_threshold)
