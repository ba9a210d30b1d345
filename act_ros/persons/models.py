"""The pose networks that can be opened: modes by name, networks by name or path."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from act_ros.core.options import Options, option
from act_ros.core.resources import file_checksum, find_model
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.follow import FindAndFollow, Schedule
from act_ros.persons.movenet import MultiPose, SinglePose, open_movenet
from act_ros.persons.onnx_networks import SimCC, WholeImage, open_onnx
from act_ros.tflite.errors import ModelError
from act_ros.tflite.onnx import CPU

DEFAULT_MODEL = 'balanced'
_PROPOSAL_SCORE = 0.05
"""Score from which a person that the network for all people finds is worth a look."""


@dataclass(frozen=True)
class Mode:
    """Two networks, and what a frame may cost."""

    find: str
    look: str
    schedule: Schedule
    least_height: float
    """Height of a person as a share of the image's, below which poses get unreliable."""


MODES = {
    'fast': Mode('movenet_multipose_192x256', 'movenet_lightning', Schedule(6, 2, 0), 0.2),
    'balanced': Mode('movenet_multipose_192x256', 'movenet_lightning', Schedule(3, 3, 1), 0.2),
    'far': Mode('movenet_multipose_256x352', 'movenet_lightning', Schedule(3, 4, 1), 0.15),
}
"""What a frame costs in each, and from how far people are found: doc/finding_people.md."""
_GONE = {'accurate': 'balanced'}
"""Modes that are no more, and what takes their place: robots may still ask for them."""


@dataclass(frozen=True)
class PoseOptions(Options):
    """The pose network."""

    model: str = option(
        DEFAULT_MODEL, 'How people are found: a mode (fast, balanced, far), or one pose network '
        'alone, by its name in the models folder or its path. It may be an ONNX file: '
        'doc/pose_networks.md.', fixed=True)
    providers: tuple[str, ...] = option(
        ('',), 'What runs an ONNX file, by preference: cpu, cuda, tensorrt, openvino, or the full '
        'name of an execution provider of ONNX Runtime. An empty list (or one empty string): the '
        'CPU.', fixed=True)
    num_threads: int = option(
        1, 'CPU threads of a pose network; more is faster where cores are free.',
        low=1, high=64, fixed=True)
    score_threshold: float = option(
        0.2, 'Persons found with a lower score are ignored.', low=0.0, high=1.0)


def checksum(model: str | Path) -> str:
    """Return the SHA-256 of a model's file; of a mode those of both its files, with a space."""
    mode = MODES.get(_present(model))
    names = (mode.find, mode.look) if mode else (model,)
    return ' '.join(file_checksum(_find(name)) for name in names)


def _find(model: str | Path) -> Path:
    """Return the file of a network."""
    return find_model(model, modes=MODES)


def _present(model: str | Path) -> str:
    """Return the name of a model, or of what takes the place of a mode that is no more."""
    return _GONE.get(str(model), str(model))


def create_estimator(
    model: str | Path = PoseOptions.model, num_threads: int = PoseOptions.num_threads,
    score_threshold: float = PoseOptions.score_threshold, providers: Sequence[str] = (),
    warn: Callable[[str], object] = warnings.warn,
) -> PoseEstimator:
    """
    Open what finds people in images: the two networks of a mode, or one network alone.

    An ONNX file for one person looks at those whom the default mode's network finds.

    :param model: a mode of ``MODES``, or the path of a ``.tflite`` or ``.onnx`` file or its bare
        name in the models folder. Its kind (several people or one) shows in its tensors.
    :param num_threads: CPU threads of one inference.
    :param score_threshold: people with a lower score are dropped, in [0, 1].
    :param providers: what runs an ONNX file, see ``PoseOptions``.
    :param warn: told of a mode that is no more; its successor is opened.
    :raises FileNotFoundError: there is no such model.
    :raises ModelError: the file is damaged or no known network, or no runtime or provider is
        installed; or the CPU alone runs it, and other providers were asked for.
    :raises ValueError: a parameter is out of range.
    """
    if not 0.0 <= score_threshold <= 1.0:
        raise ValueError(f'score_threshold must lie in [0, 1], not {score_threshold}')
    name = _present(model)
    if name != str(model):
        warn(f'mode {model} is no more: {name} takes its place, finds more and costs less')
    mode = MODES.get(name)
    file = _find(mode.look if mode else model)
    look: PoseEstimator | SimCC
    if file.suffix == '.onnx':
        opened = open_onnx(file, num_threads, score_threshold, providers)
        if isinstance(opened, WholeImage):
            return opened
        mode, name, look = MODES[DEFAULT_MODEL], opened.name, opened
    else:
        if asked := [item for item in providers if item not in ('', *CPU)]:
            raise ModelError(f'providers: {", ".join(asked)} may run an ONNX file, but {model} is '
                             'none and runs on the CPU')
        look = open_movenet(file, num_threads, score_threshold)
        if mode is None:
            return look
    find = open_movenet(_find(mode.find), num_threads, _PROPOSAL_SCORE)
    if not isinstance(find, MultiPose) or not isinstance(look, SinglePose | SimCC):
        raise ModelError(
            f'mode {name} needs a network for several people and one for a single person; '
            f'{mode.find} and {mode.look} are others')
    return FindAndFollow(
        name, find, look, score_threshold, mode.schedule, mode.least_height)
