"""Trained networks: how the exported one is asked, and how they are saved and loaded again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from act_ros.actions.bundle import BundleError, load_bundle
from act_ros.actions.features import extract_features, mirror, num_features
from act_ros.core.skeletons import get_layout
from training.augmentation import LAYOUT
from training.checkpoint import CheckpointError, read_arrays, write_whole
from training.config import read_run
from training.datasets.labels import MPOSE_LABELS
from training.metrics import share_background, softmax
from training.models import build, normalisation_of
from training.paper.mpose import FRAME_RATE, NUM_FRAMES, PAPER_LAYOUTS

WEIGHTS = '.weights.h5'

SERVED = 'served'

_ARMS, _LEGS = ([f'{side}_{part}' for part in parts for side in 'lr']
                for parts in (('elbow', 'wrist'), ('knee', 'ankle')))


@dataclass(frozen=True)
class Serving:
    """
    How the exported network is asked, and what is made of its answers.

    The fields are settings of `training.config.TrainConfig`, and of the bundles made by it.
    """

    mirrored: bool = False
    """A network learns that the mirror image of an action is the same action, but never fully:
    answer with the mean for a window and its mirror image. Where the two differ neither is sure."""
    by_legs: tuple[str, ...] = ()
    """Labels that legs alone tell, whatever the arms do: who walks may carry a bag or hold a
    telephone, and then is none of the sources' people. The network is asked of the mirror image
    with the arms unseen, too. The greater of both answers counts, for these classes together and
    among themselves, and the others share the rest. Of features as in `SEEN`."""
    needs_legs: tuple[str, ...] = ()
    """Labels that nobody can tell who sees neither knees nor feet: who is cut off at the hips may
    sit or stand. What then falls on them goes to the background. Of features as in `SEEN`."""
    prior: Mapping[str, float] = field(default_factory=dict)
    """How many times more often than in training labels are met."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Serving:
        """Take the settings of a training, among which there are others."""
        return cls(bool(settings.get('mirrored', False)), tuple(settings.get('by_legs', ())),
                   tuple(settings.get('needs_legs', ())), dict(settings.get('prior', {})))


@dataclass(frozen=True, eq=False)
class Network:
    """A trained Keras model and what its features and outputs mean."""

    model: keras.Model
    kind: str
    labels: tuple[str, ...]
    background: bool
    layout: str
    num_frames: int
    frame_rate: float
    normalisation: str
    pose_smoothing: float = 0.0
    serving: Serving = field(default_factory=Serving)
    steady_size: bool = False

    def features(self, keypoints: np.ndarray, layout: str) -> np.ndarray:
        """Return what the network is shown (N, T, F) of windows of poses (N, T, K, 3)."""
        return extract_features(
            keypoints, layout, self.layout, self.normalisation, self.steady_size)

    @property
    def served(self) -> keras.Model:
        """What is exported: see `as_served`."""
        return as_served(self.model, self.layout, self.labels, self.serving)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """
        Return probabilities (N, C) of features (N, T, F), as the exported file gives them.

        A background is shared out.
        """
        model = self.served
        logits = np.concatenate([
            ops.convert_to_numpy(model(features[i:i + 1024], training=False))
            for i in range(0, len(features), 1024)])
        return softmax(share_background(logits, len(self.labels)))


def as_served(
    model: keras.Model, layout: str, labels: Sequence[str], serving: Serving,
) -> keras.Model:
    """
    Return what is exported: the network, or what asks it more than once or weighs its answers.

    The outputs are then logarithms of probabilities.
    """
    if serving == Serving():
        return model
    mirrored, by_legs = serving.mirrored, serving.by_legs
    joints = get_layout(layout).joints
    channels, classes = model.input_shape[-1] // len(joints), model.output_shape[-1]
    index, sign = mirror(layout, channels)
    outputs = [*labels, *[''] * (classes - len(labels))]
    features = keras.Input(model.input_shape[1:], name='features')
    image = ops.take(features, index, axis=-1) * sign
    asked = [features, *[image] * mirrored]
    if by_legs:
        asked.append(image * (1 - _features_of(_ARMS, joints, channels)))
    answers = ops.softmax(ops.cast(model(ops.concatenate(asked, axis=0)), 'float32'))
    answers = ops.reshape(answers, (len(asked), -1, classes))
    answer = (answers[0] + answers[1]) / 2 if mirrored else answers[0]
    if by_legs:
        told = np.isin(outputs, by_legs).astype(np.float32)
        total = ops.maximum(*(ops.sum(x * told, axis=-1, keepdims=True)
                              for x in (answer, answers[-1])))
        legs, rest = ops.maximum(answer, answers[-1]) * told, answer * (1 - told)
        answer = sum(part * share / ops.maximum(ops.sum(part, axis=-1, keepdims=True), 1e-9)
                     for part, share in ((legs, total), (rest, ops.maximum(1 - total, 0))))
    if serving.needs_legs:
        shown = ops.max(ops.abs(features * _features_of(_LEGS, joints, channels)),
                        axis=(1, 2))[:, None]
        unfounded = answer * np.isin(outputs, serving.needs_legs).astype(np.float32)
        unfounded = unfounded * ops.cast(ops.equal(shown, 0), 'float32')
        background = (np.arange(classes) == len(labels)).astype(np.float32)
        answer = answer - unfounded + ops.sum(unfounded, axis=-1, keepdims=True) * background
    if serving.prior:
        answer = answer * np.array(
            [serving.prior.get(label, 1.0) for label in outputs], np.float32)
        answer = answer / ops.sum(answer, axis=-1, keepdims=True)
    return keras.Model(features, ops.log(ops.maximum(answer, 1e-9)), name=SERVED)


def _features_of(parts: Sequence[str], joints: Sequence[str], channels: int) -> np.ndarray:
    """Return 1 for each feature (F,) of one of the parts, and 0 for the others."""
    return np.repeat(np.isin(joints, parts), channels).astype(np.float32)


def save_weights(model: keras.Model, bundle: Path) -> None:
    """Write a model's weights beside its bundle; CheckpointError where that is impossible."""
    write_whole(bundle.with_name(bundle.stem + WEIGHTS), model.save_weights)


def weights_of(path: str | Path, member: int | None = None) -> Path:
    """
    Return the file that `load_network` takes weights from.

    :raises ValueError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        config = read_run(path)
        if member is None:  # the one that `training.export --weights` keeps
            member = len(config.held_back_folds) - 1 if config.final else 0
        path = path / f'member_{member}' / f'member{WEIGHTS}'
    if not path.is_file():
        raise ValueError(f'{path} does not exist')
    return path


def load_network(path: str | Path, member: int | None = None) -> Network:
    """
    Load a member of a run, a fold of a benchmark, or weights with their bundle beside them.

    :param path: the folder of a run, a ``fold_<i>.npz`` of `training.paper.benchmark`, or a
        ``.weights.h5`` file as `training.paper.import_weights` and `training.export` write it.
    :param member: of a run; by default its final network, or else the first.
    :raises ValueError: there are no such weights, or they cannot be read.
    """
    path = Path(path)
    if path.suffix == '.npz':
        return _load_fold(path)
    weights = weights_of(path, member)
    if path.is_dir():
        config = read_run(path)
        model = build(config.model, config.num_frames,
                      num_features(LAYOUT, config.normalisation), config.num_outputs)
        network = Network(model, config.model, config.labels, config.background, LAYOUT,
                          config.num_frames, config.frame_rate, config.normalisation,
                          config.pose_smoothing, Serving.of(vars(config)), config.steady_size)
    elif path.name.endswith(WEIGHTS):
        try:
            bundle, _ = load_bundle(path.with_name(path.name[:-len(WEIGHTS)] + '.tflite'))
        except BundleError as error:
            raise ValueError(str(error)) from error
        settings = bundle.training.get('config', bundle.training)
        kind, background = str(settings.get('model', '')), bool(settings.get('background', False))
        model = build(kind, bundle.num_frames, bundle.num_features,
                      len(bundle.labels) + background)
        network = Network(model, kind, bundle.labels, background, bundle.layout,
                          bundle.num_frames, bundle.frame_rate, bundle.normalisation,
                          bundle.pose_smoothing, Serving.of(settings), bundle.steady_size)
    else:
        raise ValueError(f'{path} is neither the folder of a training run nor a {WEIGHTS} file nor '
                         f'a fold of a benchmark')
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f'{weights} cannot be read ({error})') from error
    return network


def _load_fold(path: Path) -> Network:
    """Load ``<benchmark>/<extractor>/split_<s>/<model>/fold_<i>.npz``."""
    try:
        kind, extractor, folder = path.parent.name, path.parents[2].name, path.parents[3]
        settings = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
        arrays = read_arrays(path)
        layout = settings['output_layout'] or PAPER_LAYOUTS[extractor]
        step = settings['frame_step']
        num_frames, classes = -(-NUM_FRAMES // step), arrays['logits'].shape[-1]
        form = normalisation_of(kind)
        model = build(kind, num_frames, num_features(layout, form), classes, layout=layout)
        model.set_weights([arrays[f'weight_{i}'] for i in range(len(model.weights))])
    except (OSError, IndexError, KeyError, ValueError, CheckpointError) as error:
        raise ValueError(f'{path} is not a fold of training.paper.benchmark ({error})') from error
    labels = MPOSE_LABELS if classes == len(MPOSE_LABELS) else tuple(map(str, range(classes)))
    return Network(model, kind, labels, False, layout, num_frames, FRAME_RATE / step, form)
