"""
The benchmark's protocol (Mazzia et al., https://arxiv.org/abs/2107.00606, Table II and section 4):
its settings, and the training of one fold on prepared features.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from act_ros.actions.features import CHANNELS
from act_ros.core.skeletons import get_layout
from training.checkpoint import read_arrays, restore_state, state_arrays, write_arrays
from training.config import make, read_yaml
from training.models import MODELS, build
from training.paper.mpose import LAYOUTS, SEEDS, SPLITS, MposeSplit, split_validation
from training.schedule import TransformerSchedule, train_step

tf.get_logger().setLevel('ERROR')  # else it warns that every fold compiles its own step


@dataclass(frozen=True)
class ProtocolConfig:
    """The settings of a benchmark. The defaults are the paper's."""

    name: str = 'mpose'
    extractor: str = 'openpose'
    output_layout: str | None = None
    """Layout of the features; by default what the paper used for the extractor."""
    splits: tuple[int, ...] = SPLITS
    folds: int = 10
    models: tuple[str, ...] = ('act_mu',)
    ensemble_model: str = 'act_mu'
    ensembles: tuple[int, ...] = (2, 5, 10)
    """Sizes of the ensembles; ``ensemble_model`` of so many folds each."""
    num_classes: int = 20
    seed: int = 0
    epochs: int = 350
    batch_size: int = 512
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    dropout: float | None = None
    """By default the network's own."""
    schedule: str = 'transformer'
    """Learning rate: the paper's, or 'constant'."""
    constant_rate: float = 3e-4
    schedule_width: int = 64
    """d_model in the paper's schedule, for networks that have none."""
    warmup: float = 0.4
    drop_at: float = 0.8
    final_rate: float = 1e-4
    flip: float = 0.5
    """Chance of a mirrored window."""
    swap_sides: bool = False
    """Whether a mirrored person's left and right joints change places; the authors' do not."""
    noise: float = 0.03
    """Standard deviation of the noise on every feature."""
    frame_step: int = 1
    """Every how many frames one is seen."""
    validation: float = 0.1
    validate_every: int = 1
    checkpoint_every: int = 10
    keep: str = 'best'
    """Which weights are tested: 'best' by validation accuracy, or 'last'."""
    xla: bool = True
    """Compile the training step with XLA: some seconds at first, then about twice as fast."""

    def __post_init__(self) -> None:
        unknown = sorted({*self.models, self.ensemble_model} - set(MODELS))
        problems = [text for ok, text in (
            (self.extractor in LAYOUTS, f'extractor must be one of {", ".join(LAYOUTS)}'),
            (self.splits and set(self.splits) <= set(SPLITS), 'splits must be among 1, 2, 3'),
            (1 <= self.folds <= len(SEEDS), f'folds must lie in [1, {len(SEEDS)}]'),
            (not unknown, f'unknown models {", ".join(unknown)}; known: {", ".join(MODELS)}'),
            (all(size >= 2 for size in self.ensembles), 'ensembles must have 2 members or more'),
            (self.epochs >= 1 and self.batch_size >= 1, 'epochs and batch_size must be positive'),
            (self.schedule in ('transformer', 'constant'),
             "schedule must be 'transformer' or 'constant'"),
            (self.keep in ('best', 'last'), "keep must be 'best' or 'last'"),
            (0 < self.validation < 1, 'validation must lie in (0, 1)'),
            (min(self.frame_step, self.validate_every, self.checkpoint_every) >= 1,
             'frame_step, validate_every and checkpoint_every must be positive'),
            (self.noise >= 0 and 0 <= self.flip <= 1, 'noise must be >= 0, flip in [0, 1]'),
        ) if not ok]
        if problems:
            raise ValueError('; '.join(problems))


def load_protocol(path: str | Path) -> ProtocolConfig:
    """Read a configuration; an unknown key or a bad value is a ValueError naming the file."""
    return read_yaml(path, partial(make, ProtocolConfig))


def augment(
    rng: np.random.Generator, features: np.ndarray, config: ProtocolConfig, layout: str,
) -> np.ndarray:
    """
    Mirror some windows (N, T, F) and add noise to all, in place and all at once.

    Mirroring turns the sign of x and of the velocity in x.
    """
    mirrored = np.flatnonzero(rng.random(len(features)) < config.flip)
    windows = features[mirrored]
    windows[..., 0::2] *= -1
    if config.swap_sides:
        joints = windows.reshape(*windows.shape[:2], len(get_layout(layout).joints), -1)
        windows = joints[:, :, get_layout(layout).mirror].reshape(windows.shape)
    features[mirrored] = windows
    if config.noise:
        noise = rng.standard_normal(features.shape, np.float32)
        noise *= config.noise
        features += noise
    return features


def every_nth_frame(features: np.ndarray, step: int) -> np.ndarray:
    """Return the features (N, T / step, F) of windows (N, T, F) filmed at a lower rate."""
    if step == 1:
        return features
    joints = features[:, ::step].reshape(len(features), -(-features.shape[1] // step), -1, CHANNELS)
    before = np.concatenate([np.zeros_like(joints[:, :1, :, :2]), joints[:, :-1, :, :2]], axis=1)
    joints = np.concatenate([joints[..., :2], joints[..., :2] - before], axis=-1)
    return joints.reshape(*joints.shape[:2], -1)


class FoldTrainer:
    """
    Trains one network on one fold of a split.

    Everything random follows from the configuration's seed, the split and the fold, so a run that
    goes on from a checkpoint ends as one that was not interrupted.
    """

    def __init__(self, config: ProtocolConfig, data: MposeSplit, model: str, fold: int) -> None:
        self.config, self.fold = config, fold
        self._seed = [config.seed, data.split, fold]
        keras.utils.set_random_seed(
            int(np.random.SeedSequence(self._seed).generate_state(1)[0] // 2))
        x_train, x_test = (every_nth_frame(x, config.frame_step)
                           for x in (data.x_train, data.x_test))
        train, validation = split_validation(data.y_train, fold, config.validation)
        self.layout = data.layout
        self.x_train, self.y_train = x_train[train], data.y_train[train]
        self.x_validation, self.y_validation = x_train[validation], data.y_train[validation]
        self.x_test, self.y_test = x_test, data.y_test
        self.batch_size = min(config.batch_size, len(train))
        self.steps_per_epoch = -(-len(train) // self.batch_size)
        options = {} if config.dropout is None else {'dropout': config.dropout}
        self.model = build(model, x_train.shape[1], data.num_features, config.num_classes,
                           layout=data.layout, **options)
        self.optimizer = self._make_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self._step = tf.function(self._train_step, jit_compile=config.xla)
        self._predict = tf.function(lambda x: self.model(x, training=False),
                                    jit_compile=config.xla)
        smooth = config.label_smoothing
        self._targets = (np.eye(config.num_classes) * (1 - smooth)
                         + smooth / config.num_classes).astype(np.float32)

    def _make_optimizer(self) -> keras.optimizers.Optimizer:
        config = self.config
        rate: object = config.constant_rate
        if config.schedule == 'transformer':
            projection = next((layer for layer in self.model.layers
                               if layer.name == 'projection'), None)
            rate = TransformerSchedule(
                projection.units if projection else config.schedule_width,
                config.epochs * self.steps_per_epoch, config.warmup, config.drop_at,
                config.final_rate)
        return keras.optimizers.Adam(rate)

    def _train_step(self, features: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return train_step(self.model, self.optimizer, features, target, self.config.weight_decay)

    def train_epoch(self, epoch: int) -> float:
        """Train once on every sample and return the mean loss; the last batch is filled up."""
        rng = np.random.default_rng([*self._seed, epoch])
        order = rng.permutation(len(self.x_train))
        order = np.resize(order, self.steps_per_epoch * self.batch_size)
        losses = []
        for index in order.reshape(self.steps_per_epoch, self.batch_size):
            features = augment(rng, self.x_train[index], self.config, self.layout)
            losses.append(self._step(tf.constant(features),
                                     tf.constant(self._targets[self.y_train[index]])))
        return float(np.mean([loss.numpy() for loss in losses]))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits (N, C) of features (N, T, F); batches of one size are compiled once."""
        size, count = self.batch_size, len(features)
        filled = np.resize(np.arange(count), -(-count // size) * size).reshape(-1, size)
        return np.concatenate([
            self._predict(tf.constant(features[index])).numpy() for index in filled])[:count]

    def validation_accuracy(self) -> float:
        """Return the share of validation samples answered correctly."""
        answer = self.logits(self.x_validation).argmax(axis=-1)
        return float((answer == self.y_validation).mean())

    def run(
        self, checkpoint: Path | None = None, progress: str | None = None,
        on_epoch: Callable[[int, dict[str, float]], Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """
        Train to the last epoch, from the checkpoint if there is one, and answer the test set.

        :param checkpoint: file of the run's state; removed by the caller when the result is safe.
        :param progress: text before the progress bar; None shows no bar.
        :param on_epoch: called with the epoch (from 1) and its values; what it raises ends the run.
        :returns: ``logits`` (n_test, C) and ``validation_logits`` with their ``label`` and
            ``validation_label``, ``parameters``, over epochs ``loss`` and ``validation_accuracy``
            (NaN where not measured), and the weights as ``weight_<i>``.
        """
        config, model = self.config, self.model
        history: dict[str, list[float]] = {'loss': [], 'validation_accuracy': []}
        best, best_accuracy = model.get_weights(), -1.0
        if checkpoint and checkpoint.is_file():
            arrays = read_arrays(checkpoint)
            restore_state(arrays, model, self.optimizer)
            best = [arrays[f'best_{i}'] for i in range(len(best))]
            best_accuracy = float(arrays['best_accuracy'])
            history = {name: arrays[name].tolist() for name in history}
        start = len(history['loss'])
        bar = tqdm(range(start, config.epochs), initial=start, total=config.epochs, desc=progress,
                   unit='epoch', leave=False, mininterval=1 if sys.stderr.isatty() else 30,
                   disable=progress is None)
        for epoch in bar:
            values = {'loss': self.train_epoch(epoch), 'validation_accuracy': float('nan')}
            last = epoch + 1 == config.epochs
            if last or (epoch + 1) % config.validate_every == 0:
                values['validation_accuracy'] = self.validation_accuracy()
                if values['validation_accuracy'] > best_accuracy:
                    best, best_accuracy = model.get_weights(), values['validation_accuracy']
            for name, value in values.items():
                history[name].append(value)
            bar.set_postfix({name: f'{value:.3f}' for name, value in values.items()})
            if checkpoint and not last and (epoch + 1) % config.checkpoint_every == 0:
                write_arrays(checkpoint, best_accuracy=np.array(best_accuracy),
                             **{name: np.array(values) for name, values in history.items()},
                             **{f'best_{i}': value for i, value in enumerate(best)},
                             **state_arrays(model, self.optimizer))
            if on_epoch:
                on_epoch(epoch + 1, values)
        if config.keep == 'best':
            model.set_weights(best)
        return {'logits': self.logits(self.x_test), 'label': self.y_test,
                'validation_logits': self.logits(self.x_validation),
                'validation_label': self.y_validation,
                'parameters': np.array(model.count_params()),
                **{name: np.array(values) for name, values in history.items()},
                **{f'weight_{i}': value for i, value in enumerate(model.get_weights())}}


def start_afresh(threads: int = 0) -> None:
    """
    Drop what earlier runs of this process left in memory, and limit TensorFlow's CPU threads.

    :param threads: 0 leaves them as they are; another number must be said before TensorFlow
        computes anything.
    """
    keras.utils.clear_session()
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
