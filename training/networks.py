"""Trained networks, taken up again: to look into them, or to train on from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from act_ros.actions.bundle import BundleError, load_bundle
from act_ros.actions.features import mirror, num_features
from act_ros.core.skeletons import get_layout
from training.augmentation import LAYOUT
from training.checkpoint import CheckpointError, read_arrays, write_whole
from training.config import read_run
from training.datasets.labels import MPOSE_LABELS
from training.metrics import share_background, softmax
from training.models import build, normalisation_of
from training.paper.mpose import PAPER_LAYOUTS

WEIGHTS = '.weights.h5'

BOTH_WAYS = 'both_ways'

MPOSE_RATE = 30.0
"""Frames a second of MPOSE2021's clips."""


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
    smoothing: float = 0.0
    mirrored: bool = False

    @property
    def served(self) -> keras.Model:
        """What is exported: the network, or that which asks it `both_ways`."""
        return both_ways(self.model, self.layout) if self.mirrored else self.model

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """
        Return probabilities (N, C) of features (N, T, F), as the exported file gives them.

        A background is shared out.
        """
        model = self.served
        logits = np.concatenate([model(features[i:i + 1024], training=False).numpy()
                                 for i in range(0, len(features), 1024)])
        return softmax(share_background(logits, len(self.labels)))


def both_ways(model: keras.Model, layout: str) -> keras.Model:
    """
    Return what answers with the mean of what a network says of a window and of its mirror image.

    The outputs are logarithms of probabilities. A network learns that the mirror image of an action
    is the same action, but never fully: where the two answers differ neither is sure.
    """
    index, sign = mirror(layout, model.input_shape[-1] // len(get_layout(layout).joints))
    features = keras.Input(model.input_shape[1:], name='features')
    mirrored = ops.take(features, index, axis=-1) * sign
    logits = model(ops.concatenate((features, mirrored), axis=0))
    answers = ops.softmax(ops.cast(logits, 'float32'))
    mean = ops.mean(ops.reshape(answers, (2, -1, model.output_shape[-1])), axis=0)
    return keras.Model(features, ops.log(ops.maximum(mean, 1e-9)), name=BOTH_WAYS)


def save_weights(model: keras.Model, bundle: Path) -> Path:
    """Write a model's weights beside its bundle; CheckpointError where that is impossible."""
    path = bundle.with_name(bundle.stem + WEIGHTS)
    write_whole(path, model.save_weights)
    return path


def load_network(path: str | Path, member: int = 0) -> Network:
    """
    Load a member of a run, a fold of a benchmark, or weights with their bundle beside them.

    :param path: the folder of a run, a ``fold_<i>.npz`` of `training.paper.benchmark`, or a
        ``.weights.h5`` file as `training.paper.import_weights` and `training.export` write it.
    :raises ValueError: there are no such weights, or they cannot be read.
    """
    path = Path(path)
    if path.suffix == '.npz':
        return _load_fold(path)
    if path.is_dir():
        weights = path / f'member_{member}' / f'member{WEIGHTS}'
        config = read_run(path)
        model = build(config.model, config.num_frames,
                      num_features(LAYOUT, config.normalisation), config.num_outputs)
        network = Network(model, config.model, config.labels, config.background, LAYOUT,
                          config.num_frames, config.frame_rate, config.normalisation,
                          config.smoothing, config.mirrored)
    elif path.name.endswith(WEIGHTS):
        weights = path
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
                          bundle.smoothing, bool(settings.get('mirrored', False)))
    else:
        raise ValueError(f'{path} is neither the folder of a training run nor a {WEIGHTS} file nor '
                         f'a fold of a benchmark')
    if not weights.is_file():
        raise ValueError(f'{weights} does not exist')
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
        num_frames, classes = -(-30 // step), arrays['logits'].shape[-1]
        form = normalisation_of(kind)
        model = build(kind, num_frames, num_features(layout, form), classes, layout=layout)
        model.set_weights([arrays[f'weight_{i}'] for i in range(len(model.weights))])
    except (OSError, IndexError, KeyError, ValueError, CheckpointError) as error:
        raise ValueError(f'{path} is not a fold of training.paper.benchmark ({error})') from error
    labels = MPOSE_LABELS if classes == len(MPOSE_LABELS) else tuple(map(str, range(classes)))
    return Network(model, kind, labels, False, layout, num_frames, MPOSE_RATE / step, form)
