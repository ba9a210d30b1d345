"""
The benchmark's protocol (Mazzia et al., https://arxiv.org/abs/2107.00606, Table II and section 4):
its settings, and the training of one fold on prepared features.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.actions.features import CHANNELS, MPOSE, SCORED, mirror
from act_ros.core.arguments import count_from
from act_ros.core.skeletons import get_layout
from training.config import Recipe, checked, read_yaml, refuse_unknown
from training.datasets.labels import MPOSE_LABELS
from training.models import MODELS, build
from training.paper.mpose import LAYOUTS, SEEDS, SPLITS, MposeSplit, split_validation
from training.step import Batch
from training.trainer import OnEpoch, Predict, Trainer

CONFIGS = Path(__file__).parents[1] / 'configs'


@dataclass(frozen=True)
class ProtocolConfig(Recipe):
    """The settings of a benchmark. The defaults are the paper's."""

    name: str = 'mpose'
    extractor: str = 'openpose'
    output_layout: str | None = None
    """Layout of the features; by default what the paper used for the extractor."""
    splits: tuple[int, ...] = SPLITS
    models: tuple[str, ...] = ('act_mu',)
    ensemble_model: str = 'act_mu'
    ensembles: tuple[int, ...] = (2, 5, 10)
    """Sizes of the ensembles; ``ensemble_model`` of so many folds each."""
    flip: float = 0.5
    """Chance of a mirrored window."""
    swap_sides: bool = False
    """Whether a mirrored person's left and right joints change places; the authors' do not."""
    noise: float = 0.03
    """Standard deviation of the noise on every feature."""
    frame_step: int = 1
    """Every how many frames one is seen."""
    validation: float = 0.1
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By network: settings of a `Recipe` that it is trained with in place of the others."""

    def of(self, model: str) -> ProtocolConfig:
        """Return the settings of one network."""
        own = self.networks.get(model, {})
        refuse_unknown(own, {f.name for f in fields(Recipe)} - {'name', 'seed', 'folds'})
        return replace(self, networks={}, **checked(Recipe, own))

    def rules(self) -> Iterator[tuple[object, str]]:
        """Yield whether each rule is met, and what it says."""
        yield from super().rules()
        unknown = ', '.join(sorted({*self.models, self.ensemble_model} - set(MODELS)))
        yield self.extractor in LAYOUTS, f'extractor must be one of {", ".join(LAYOUTS)}'
        yield self.splits and set(self.splits) <= set(SPLITS), 'splits must be among 1, 2, 3'
        yield 1 <= self.folds <= len(SEEDS), f'folds must lie in [1, {len(SEEDS)}]'
        yield not unknown, f'unknown models {unknown}; known: {", ".join(MODELS)}'
        yield all(size >= 2 for size in self.ensembles), 'ensembles must have 2 members or more'
        yield 0 < self.validation < 1, 'validation must lie in (0, 1)'
        yield self.frame_step >= 1, 'frame_step must be positive'
        for model in self.networks:
            yield model in MODELS, f'networks: unknown model {model}'
            try:
                self.of(model)
            except (TypeError, ValueError) as error:
                yield False, f'networks: {model}: {error}'
        yield self.noise >= 0 and 0 <= self.flip <= 1, 'noise must be >= 0, flip in [0, 1]'


def command_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add what all commands on MPOSE2021 take; ``what`` they train at a time."""
    parser.add_argument('--data', type=Path,
                        help='folder that holds <extractor>/<split>/; default: ~/.mpose, where the '
                             'mpose package downloads to')
    parser.add_argument('--extractor', choices=LAYOUTS, help='instead of the one of the file')
    parser.add_argument('--threads', type=count_from(0), default=0,
                        help=f'CPU threads a {what} takes; default: all, with --ray 1')
    parser.add_argument('--ray', metavar='ADDRESS',
                        help=f'train each {what} on this Ray cluster: host:port, auto or local')


def load_protocol(path: str | Path) -> ProtocolConfig:
    """Read a configuration; an unknown key or a bad value is a ValueError naming the file."""
    return read_yaml(path, ProtocolConfig.parse)


def augment(
    rng: np.random.Generator, features: np.ndarray, config: ProtocolConfig, layout: str,
) -> np.ndarray:
    """
    Mirror some windows (N, T, F) and add noise to all, in place and all at once.

    Mirroring turns the sign of x and of the velocity in x, if there is one.
    """
    mirrored = np.flatnonzero(rng.random(len(features)) < config.flip)
    index, sign = mirror(layout, features.shape[-1] // len(get_layout(layout).joints))
    features[mirrored] *= sign  # the same for left and right
    if config.swap_sides:
        features[mirrored] = features[mirrored][..., index]
    if config.noise:
        noise = rng.standard_normal(features.shape, np.float32)
        noise *= config.noise
        features += noise
    return features


def every_nth_frame(
    features: np.ndarray, step: int, normalisation: str = MPOSE,
) -> np.ndarray:
    """Return the features (N, T / step, F) of windows (N, T, F) filmed at a lower rate."""
    if step == 1 or normalisation == SCORED:
        return features[:, ::step]
    joints = features[:, ::step].reshape(len(features), -(-features.shape[1] // step), -1, CHANNELS)
    before = np.concatenate([np.zeros_like(joints[:, :1, :, :2]), joints[:, :-1, :, :2]], axis=1)
    joints = np.concatenate([joints[..., :2], joints[..., :2] - before], axis=-1)
    return joints.reshape(*joints.shape[:2], -1)


class Fold:
    """A fold of a split: samples to learn from, validation samples and the test set."""

    def __init__(self, config: ProtocolConfig, data: MposeSplit, fold: int) -> None:
        self.config, self.layout = config, data.layout
        x_train, self.x_test = (every_nth_frame(x, config.frame_step, data.normalisation)
                                for x in (data.x_train, data.x_test))
        train, validation = split_validation(data.y_train, fold, config.validation)
        self.x_train, self.y_train = x_train[train], data.y_train[train]
        self.x_validation, self.y_validation = x_train[validation], data.y_train[validation]
        self.y_test = data.y_test
        self.batch_size = min(config.batch_size, len(train))
        self.steps = -(-len(train) // self.batch_size)
        smooth = config.label_smoothing
        classes = len(MPOSE_LABELS)
        self._targets = (np.eye(classes) * (1 - smooth) + smooth / classes).astype(np.float32)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch: every sample once; the last batch is filled up."""
        order = np.resize(rng.permutation(len(self.x_train)), self.steps * self.batch_size)
        for index in order.reshape(self.steps, self.batch_size):
            features = augment(rng, self.x_train[index], self.config, self.layout)
            yield features, self._targets[self.y_train[index]]

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return the share of validation samples answered correctly."""
        answer = predict(self.x_validation).argmax(axis=-1)
        return {'validation_accuracy': float((answer == self.y_validation).mean())}


def make_trainer(config: ProtocolConfig, data: MposeSplit, model: str, fold: int) -> Trainer[Fold]:
    """Return what trains a network on a fold of a split."""
    config = config.of(model)
    options = {} if config.dropout is None else {'dropout': config.dropout}
    source = Fold(config, data, fold)
    _, frames, features = source.x_train.shape
    return Trainer(
        config, source, lambda: build(model, frames, features, len(MPOSE_LABELS),
                                      layout=data.layout, **options),
        [config.seed, data.split, fold])


def run_fold(
    trainer: Trainer[Fold], checkpoint: Path | None = None, title: str | None = None,
    on_epoch: OnEpoch | None = None,
) -> dict[str, np.ndarray]:
    """
    Train to the last epoch, see `Trainer.run`, and answer the fold's test set.

    :returns: ``logits`` (n_test, C) and ``validation_logits`` with their ``label`` and
        ``validation_label``, ``parameters``, over epochs ``loss`` and ``validation_accuracy`` (NaN
        where not measured), and the weights as ``weight_<i>``.
    """
    trainer.run(checkpoint, title, on_epoch)
    fold, model = trainer.source, trainer.model
    return {'logits': trainer.logits(fold.x_test), 'label': fold.y_test,
            'validation_logits': trainer.logits(fold.x_validation),
            'validation_label': fold.y_validation, 'parameters': np.array(model.count_params()),
            **{name: np.array([row.get(name, np.nan) for row in trainer.history])
               for name in ('loss', 'validation_accuracy')},
            **{f'weight_{i}': value for i, value in enumerate(model.get_weights())}}
