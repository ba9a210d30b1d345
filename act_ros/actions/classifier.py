"""
AcT on a TFLite runtime: windows of poses in, calibrated probabilities out.

Action Transformer, arXiv 2107.00606. All windows go through the network in one invoke.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from act_ros.actions.bundle import Bundle, BundleError, load_bundle
from act_ros.actions.features import SEEN, extract_features, seen_features, seen_joints
from act_ros.core.options import Options, option
from act_ros.core.resources import find_model
from act_ros.core.skeletons import get_layout
from act_ros.tflite.runtime import ModelError, load_interpreter


@dataclass(frozen=True)
class ActOptions(Options):
    """The action classifier."""

    bundle: str = option(
        'act_mu', 'Model bundle: the name of one in the models folder, or a path. The service '
        '`~/load_bundle` changes it.', fixed=True)
    act_threads: int = option(
        1, 'CPU threads of the action classifier.', low=1, high=64, fixed=True)
    labels: tuple[str, ...] = option(
        ('',), 'Labels that may be answered; what falls on others counts as unknown. An empty '
        'list (or one empty string) allows all of the model, `trusted` those it was measured on.',
        fixed=True)

    def allowed(self, bundle: Bundle) -> tuple[str, ...]:
        """Return the labels of a bundle that may be answered; none stands for all."""
        allowed = tuple(label for label in self.labels if label)
        return bundle.trusted_labels if allowed == ('trusted',) else allowed


# Of joints below the neck, in torso lengths.
_HEIGHTS = {'elbow': 0.45, 'wrist': 0.85, 'hip': 1.0, 'knee': 1.7, 'ankle': 2.4, 'foot': 2.4,
            'nose': -0.4, 'eye': -0.5, 'ear': -0.45, 'head': -0.45, 'toe': 2.6, 'heel': 2.5}


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
        self, bundle_path: str | Path = 'act_mu', num_threads: int = 1, *,
        check_sum: bool = True,
    ) -> None:
        path = find_model(bundle_path)
        self.bundle, model = load_bundle(path, check_sum=check_sum)
        try:
            self._interpreter = load_interpreter(model, num_threads)
        except ModelError as error:
            raise BundleError(f'{path}: {error}') from error
        self._shape: tuple[int, ...] = ()
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

    def predict(self, keypoints: np.ndarray, layout: str) -> Prediction:
        """Like `classify`, with what is seen, and the attention where the bundle has it."""
        keypoints = np.asarray(keypoints)
        if keypoints.ndim != 4:
            raise ValueError(f'keypoints must be (N, T, K, 3), not {keypoints.shape}')
        bundle, frames = self.bundle, keypoints.shape[1]
        if not bundle.min_frames <= frames <= bundle.num_frames:
            raise ValueError(
                f'windows have {frames} frames, model {bundle.name!r} takes '
                f'{bundle.min_frames} to {bundle.num_frames}')
        if bundle.normalisation == SEEN:
            features, seen = seen_features(keypoints, layout, bundle.layout)
        else:
            features = extract_features(keypoints, layout, bundle.layout, bundle.normalisation)
            seen = seen_joints(keypoints, layout, bundle.layout)
        if len(features) == 0:  # TFLite runs no empty batch
            attention = np.zeros((0, frames), np.float32) if bundle.attention else None
            return Prediction(np.zeros((0, len(self.labels)), np.float32), attention, seen)
        return self.invoke(features.astype(np.float32, copy=False))._replace(seen=seen)

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
        with np.errstate(invalid='ignore'):  # what is no number is refused by who asked
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
