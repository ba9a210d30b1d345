"""
AcT on a TFLite or ONNX runtime: poses in, calibrated probabilities out, and what they decide.

Action Transformer, arXiv 2107.00606. All windows go through the network in one invoke. A robot acts
on what `ActionFilter` makes of a person's probabilities: smoothed, thresholded, with hysteresis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from act_ros.actions.bundle import Bundle, BundleError, load_bundle
from act_ros.actions.features import (
    SEEN,
    extract_features,
    is_view_steady,
    seen_features,
    seen_joints,
)
from act_ros.core.action import Status
from act_ros.core.options import Options, option
from act_ros.core.resources import find_model
from act_ros.core.skeletons import get_layout
from act_ros.tflite.errors import ModelError
from act_ros.tflite.runtime import load_interpreter

TOO_LITTLE_SEEN, POSE_NOT_SURE, LIES, NOT_SURE, NOT_ALLOWED = (
    'too little of the body seen', 'pose not sure enough', 'the person lies or falls',
    'no action sure enough', 'action not among the labels allowed')
CAUSES = (TOO_LITTLE_SEEN, POSE_NOT_SURE, LIES, NOT_SURE, NOT_ALLOWED)
"""Why an answer is UNKNOWN."""

MIN_SCORE = 0.275
"""Score from which on a joint counts as seen for an answer, unless somebody sets another limit."""


@dataclass(frozen=True)
class ActOptions(Options):
    """The action classifier."""

    bundle: str = option(
        'act_mu', 'Model bundle: the name of one in the models folder, or a path (of its '
        '`.onnx`, if it has one: ONNX Runtime serves it). The service `~/load_bundle` changes it.',
        fixed=True)
    act_threads: int = option(
        1, 'CPU threads of the action classifier.', low=1, high=64, fixed=True)
    labels: tuple[str, ...] = option(
        ('',), 'Labels that may be answered; what falls on others counts as unknown. An empty '
        'list (or one empty string) allows all of the model, `trusted` the `trusted_labels` of '
        'its `.yaml`: measured on enough people, and told well enough.',
        fixed=True)

    def allowed(self, bundle: Bundle) -> tuple[str, ...]:
        """
        Return the labels of a bundle that may be answered; none stands for all.

        :raises ValueError: the bundle trusts none of its labels.
        """
        allowed = tuple(label for label in self.labels if label)
        if allowed == ('trusted',):
            if not bundle.trusted_labels:
                raise ValueError(f'labels: model {bundle.name!r} trusts none of its labels')
            return bundle.trusted_labels
        return allowed


@dataclass(frozen=True)
class DecisionOptions(Options):
    """Options of `ActionFilter`."""

    threshold: float = option(
        0.0, 'Probability an action needs to be recognized; below it the answer is UNKNOWN. '
        '0 takes the threshold the model was calibrated with.', low=0.0, high=1.0)
    hysteresis: float = option(
        0.1, 'By how much a recognized action may fall below the threshold before it is given '
        'up (at the latest below half of the threshold), and by how much another must lead to '
        'replace it.', low=0.0, high=0.5)
    smoothing: float = option(
        0.2, 'Time constant in seconds of the exponential mean over probabilities; more '
        'flickers less and answers later. 0 turns it off.', low=0.0, high=10.0)
    alike: tuple[str, ...] = option(
        ('',), 'Labels that are answered as one, by the name of the first, such as run and jog; '
        'their probabilities are added. An empty list (or one empty string): none.')

    def alike_of(self, bundle: Bundle, allowed: Sequence[str]) -> list[int]:
        """
        Return which labels of a bundle are answered as one.

        :param allowed: labels that may be answered; none stands for all.
        :raises ValueError: the bundle lacks one, or what may be answered could not be any more.
        """
        alike = [label for label in self.alike if label]
        if alike and allowed and alike[0] not in allowed and (lost := {*alike} & {*allowed}):
            raise ValueError(f'alike: {", ".join(sorted(lost))} would be answered as {alike[0]}, '
                             f'which is not among the labels allowed: name an allowed one first')
        return indices_of('alike', alike, bundle)


def indices_of(what: str, labels: Iterable[str], bundle: Bundle) -> list[int]:
    """
    Return the places of labels in a bundle's outputs, each once.

    :param what: the setting that names them.
    :raises ValueError: the bundle lacks one.
    """
    labels = dict.fromkeys(labels)
    if unknown := sorted(labels.keys() - set(bundle.labels)):
        raise ValueError(
            f'{what}: {", ".join(unknown)} not among the labels of model {bundle.name!r}: '
            f'{", ".join(bundle.labels)}')
    return [bundle.labels.index(label) for label in labels]


class Prediction(NamedTuple):
    """
    Probabilities (N, C), and the class token's attention over the frames (N, T) or None.

    ``seen`` (N, J) tells which of the model's joints are seen; None where features were given.
    """

    probabilities: np.ndarray
    attention: np.ndarray | None
    seen: np.ndarray | None = None


class ActClassifier:
    """
    A loaded model bundle.

    :param bundle_path: a bundle's path, or the bare name of one in the models folder.
    :param num_threads: threads of the TFLite runtime; 1 is best for a few people.
    :param check_sum: refuse a model whose SHA-256 is not the bundle's.
    :raises FileNotFoundError: there is no such bundle.
    :raises BundleError: when anything about the bundle does not fit, at load.
    """

    def __init__(
        self, bundle_path: str | Path = ActOptions.bundle,
        num_threads: int = ActOptions.act_threads, *, check_sum: bool = True,
    ) -> None:
        path = find_model(bundle_path, is_bundle=True)
        self.bundle, model = load_bundle(path, check_sum=check_sum)
        try:
            self._interpreter = load_interpreter(model, num_threads)
        except ModelError as error:
            raise BundleError(f'{path}: {error}') from error
        self._shape: tuple[int, ...] = ()
        self._needs_steady_view = np.isin(self.labels, self.bundle.steady_view)
        self._check_tensors(path)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names (C) in the order of the probabilities."""
        return self.bundle.labels

    @property
    def frame_rate(self) -> float:
        """Rate in Hz at which windows must be sampled."""
        return self.bundle.frame_rate

    @property
    def num_frames(self) -> int:
        """Frames T in a full window."""
        return self.bundle.num_frames

    def classify(self, keypoints: np.ndarray, layout: str) -> np.ndarray:
        """
        Return the probabilities (N, C) float32 of windows of poses.

        :param keypoints: (N, T, K, 3) x px, y px, score; T from the bundle's ``min_frames`` to
            ``num_frames``, at ``frame_rate``; finite.
        :param layout: the keypoints' layout; converted by joint name to the bundle's.
        :raises ValueError: on a wrong shape or layout, or values that are not finite.
        """
        return self.predict(keypoints, layout).probabilities

    def predict(
        self, keypoints: np.ndarray, layout: str, min_score: float = MIN_SCORE,
    ) -> Prediction:
        """
        Like `classify`, with what is seen, and the attention where the bundle has it.

        :param min_score: from which score on a joint is seen.
        """
        keypoints = np.asarray(keypoints)
        if keypoints.ndim != 4:
            raise ValueError(f'keypoints must be (N, T, K, 3), not {keypoints.shape}')
        bundle, frames = self.bundle, keypoints.shape[1]
        if not bundle.min_frames <= frames <= bundle.num_frames:
            raise ValueError(
                f'windows have {frames} frames, model {bundle.name!r} takes '
                f'{bundle.min_frames} to {bundle.num_frames}')
        if bundle.normalisation == SEEN:
            features, seen = seen_features(
                keypoints, layout, bundle.layout, min_score, bundle.steady_size)
        else:
            features = extract_features(keypoints, layout, bundle.layout, bundle.normalisation)
            seen = seen_joints(keypoints, layout, bundle.layout, min_score)
        if len(features) == 0:  # TFLite runs no empty batch
            attention = np.zeros((0, frames), np.float32) if bundle.attention else None
            return Prediction(np.zeros((0, len(self.labels)), np.float32), attention, seen)
        answer = self.invoke(features.astype(np.float32, copy=False))._replace(seen=seen)
        if bundle.steady_view:
            # What is not told is as likely to be any other thing.
            is_steady = is_view_steady(keypoints, layout, min_score)[:, None]
            untold = answer.probabilities * (self._needs_steady_view & ~is_steady)
            answer.probabilities[:] += untold.mean(axis=-1, keepdims=True) - untold
        return answer

    def invoke(self, features: np.ndarray) -> Prediction:
        """Run the network on features (N, T, F) float32."""
        interpreter = self._interpreter
        if features.shape != self._shape:
            interpreter.resize_tensor_input(self._input, features.shape)
            interpreter.allocate_tensors()
            self._shape = features.shape
        interpreter.set_tensor(self._input, features)
        interpreter.invoke()
        logits = interpreter.get_tensor(self._outputs[0]) / np.float32(self.bundle.temperature)
        with np.errstate(invalid='ignore'):  # NaN and infinity are refused by the caller
            logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=-1, keepdims=True)
        attention = interpreter.get_tensor(self._outputs[1]) if self.bundle.attention else None
        return Prediction(logits, attention)

    def _check_tensors(self, path: Path) -> None:
        """Hold the network's tensors against what the bundle says of them, and try it out."""
        bundle, interpreter = self.bundle, self._interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        wanted = 2 if bundle.attention else 1
        if len(inputs) != 1 or len(outputs) != wanted:
            raise BundleError(
                f'{path} has {len(inputs)} inputs and {len(outputs)} outputs, the bundle wants '
                f'1 and {wanted}')
        self._input = inputs[0]['index']
        self._outputs = [item['index'] for item in outputs]
        if any(item['dtype'] != np.float32 for item in (*inputs, *outputs)):
            raise BundleError(f'{path}: inputs and outputs must be float32')
        shape = tuple(int(size) for size in inputs[0]['shape'])
        if len(shape) != 3 or shape[-1] != bundle.num_features:
            raise BundleError(
                f'{path} reads features of shape {shape}, layout '
                f'{bundle.layout!r} gives {bundle.num_features} a frame')
        for count, frames in ((4, bundle.min_frames), (1, bundle.num_frames)):
            try:
                result = self.predict(_walkers(count, frames, bundle.layout), bundle.layout)
            except (RuntimeError, ValueError) as error:
                raise BundleError(
                    f'{path} does not run on {count} windows of {frames} frames: {error}'
                ) from error
            if result.probabilities.shape != (count, len(bundle.labels)):
                raise BundleError(
                    f'{path} gives outputs of shape {result.probabilities.shape} for {count} '
                    f'windows, but the bundle names {len(bundle.labels)} labels')
            if not np.isfinite(result.probabilities).all():
                raise BundleError(f'{path} gives probabilities that are not finite')
            if result.attention is not None and result.attention.shape != (count, frames):
                raise BundleError(
                    f'{path} gives attention of shape {result.attention.shape}, '
                    f'not {(count, frames)}')


class ActionFilter:
    """The decision for one person."""

    def __init__(self, options: DecisionOptions, bundle: Bundle, allowed: np.ndarray) -> None:
        """
        Take the model's ``bundle`` and which classes may be answered: ``allowed`` (C,).

        What falls on other classes counts as unknown.
        """
        self.reconfigure(options, bundle)
        self._allowed = allowed
        self.reset(0)

    @property
    def confidence(self) -> float:
        """Smoothed probability of the recognized action, else of the likeliest one."""
        if self.probabilities is None:
            return 0.0
        if self.label_id >= 0:
            return float(self.probabilities[self.label_id])
        return float((self.probabilities * self._allowed).max())

    def reconfigure(self, options: DecisionOptions, bundle: Bundle) -> None:
        """Go on with other options, or the thresholds of another model."""
        self._options, self._bundle = options, bundle

    def reset(self, stamp: int) -> None:
        """Begin anew at ``stamp``: a new window fills."""
        self.probabilities: np.ndarray | None = None
        self.status, self.label_id = Status.BUFFERING, -1
        self.since = self._stamp = stamp
        self.cause = ''
        """One of `CAUSES` while the status is UNKNOWN."""

    def decide(
        self, stamp: int, probabilities: np.ndarray, frames: int, lack: str = '',
    ) -> None:
        """
        Take a window's probabilities (C,), seen at ``stamp`` nanoseconds.

        :param frames: length of the window.
        :param lack: why no action can be told at all, whatever the probabilities; one of `CAUSES`.
        """
        if self.probabilities is None:
            self.probabilities = probabilities.copy()
        else:
            dt, smoothing = (stamp - self._stamp) * 1e-9, self._options.smoothing
            share = 1.0 - math.exp(-dt / smoothing) if smoothing > 0 else 1.0
            # A new array: the last one is already part of an answer given.
            self.probabilities = self.probabilities + share * (probabilities - self.probabilities)
        self._stamp = stamp
        threshold = self._threshold(frames)
        label_id = -1 if lack else self._choose(self.probabilities, threshold)
        self.cause = '' if label_id >= 0 else lack or (
            NOT_ALLOWED if self.probabilities.max() >= threshold else NOT_SURE)
        status = Status.UNKNOWN if label_id < 0 else Status.RECOGNIZED
        if (status, label_id) != (self.status, self.label_id):
            self.status, self.label_id, self.since = status, label_id, stamp

    def _threshold(self, frames: int) -> float:
        """Return the probability an action needs in a window of so many frames."""
        bundle, asked = self._bundle, self._options.threshold
        full = asked or bundle.unknown_threshold
        short = asked or bundle.short_threshold or full
        missing, most = bundle.num_frames - frames, bundle.num_frames - bundle.min_frames
        return full + (short - full) * missing / max(most, 1)

    def _choose(self, probabilities: np.ndarray, threshold: float) -> int:
        """Return the class to answer, or -1 for unknown."""
        slack = self._options.hysteresis
        best = int((probabilities * self._allowed).argmax())
        is_clear = probabilities[best] >= threshold
        if self.label_id < 0:
            return best if is_clear else -1
        held = probabilities[self.label_id]
        if best != self.label_id and is_clear and probabilities[best] >= held + slack:
            return best
        # Not for ever, however much hysteresis beside a low threshold is asked for.
        return self.label_id if held >= max(threshold - slack, threshold / 2) else -1


# How far joints lie below the neck, in torso lengths.
_HEIGHTS = {'elbow': 0.45, 'wrist': 0.85, 'hip': 1.0, 'knee': 1.7, 'ankle': 2.4, 'foot': 2.4,
            'nose': -0.4, 'eye': -0.5, 'ear': -0.45, 'head': -0.45, 'toe': 2.6, 'heel': 2.5}


def _walkers(count: int, frames: int, layout: str) -> np.ndarray:
    """Return made-up poses (N, T, K, 3) of people who walk, each faster, to try a network on."""
    joints = get_layout(layout).joints
    height = np.array([_HEIGHTS.get(joint.split('_')[-1], 0.0) for joint in joints])
    side = np.array([{'l': 1.0, 'r': -1.0}.get(joint.split('_')[0], 0.0) for joint in joints])
    size = np.linspace(40.0, 300.0, count)[:, None, None]  # of a torso, in pixels
    swing = np.sin(0.2 * np.arange(1, count + 1)[:, None] * np.arange(frames))[..., None]
    poses = np.ones((count, frames, len(joints), 3), np.float32)
    poses[..., 0] = size * (2.0 + 0.25 * side + 0.2 * swing * side * height)
    poses[..., 1] = size * (1.0 + height)
    poses[1::2, :, np.flatnonzero(height > 1.5), 2] = 0.0  # of every second one no legs are seen
    return poses
