"""
Train the members of a model and keep what each says of the people it never saw.

    python -m training.train --config training/configs/act_mu_default.yaml --data FOLDER

An interrupted run goes on where it stopped. Then `training.export` makes the bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.augmentation import VIEWS, WindowSampler
from training.checkpoint import (
    CheckpointError,
    read_arrays,
    restore_state,
    state_arrays,
    write_arrays,
    write_whole,
)
from training.config import TrainConfig, load_config, parse_config
from training.data import load_data
from training.datasets.skeletons import UNKNOWN, Sequences, check_disjoint
from training.evaluate import ViewedClips, measure
from training.metrics import share_background
from training.models import build
from training.models.act import SIZES
from training.networks import load_network, transfer
from training.schedule import TransformerSchedule, train_step


def learning_rate(
    config: TrainConfig, width: int, steps: int,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule that a configuration asks for."""
    if config.schedule == 'transformer':
        return TransformerSchedule(width, steps, config.warmup, config.drop_at, config.final_rate)
    rise = max(int(config.warmup * steps), 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - rise, 1), warmup_target=config.peak_rate, warmup_steps=rise)


class Trainer:
    """
    Trains the ``member``-th network of a run: one fold is held back, everything else is seen.

    The final one, after all others, holds nobody back.
    """

    def __init__(
        self, config: TrainConfig, sequences: Sequences, folds: np.ndarray, member: int,
        folder: Path, tensorboard: bool = False,
    ) -> None:
        self.config, self.member, self.folder = config, member, folder
        fold = config.held_back_folds[member]
        self.train = sequences.select(folds != fold)
        self.held_back = sequences.select(folds == fold)
        check_disjoint(self.train, self.held_back)
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(config.seed * 1000 + member)
        options: dict[str, Any] = {} if config.dropout is None else {'dropout': config.dropout}
        self.model = build(config.model, config.num_frames, num_classes=config.num_outputs,
                           **options)
        self.teachers = [load_network(folder.parent, i).model for i in config.teachers(member)]
        if config.start_from:
            transfer(self.model, config)
        width = SIZES[config.model[4:]].d_model if config.model.startswith('act_') else 64
        self.steps_per_epoch = config.windows_per_epoch // config.batch_size
        self.optimizer = keras.optimizers.Adam(
            learning_rate(config, width, config.epochs * self.steps_per_epoch))
        self.optimizer.build(self.model.trainable_variables)
        self.sampler = WindowSampler(
            self.train, config.num_frames, config.frame_rate, config.normalisation,
            config.augmentation, config.unknown_share, config.balance)
        self.tensorboard = tf.summary.create_file_writer(str(folder)) if tensorboard else None
        self.epoch, self.best = 0, -1.0
        self._checkpoint = folder / 'checkpoint.npz'

    @tf.function(jit_compile=True)
    def _step(self, features: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        config = self.config
        if self.teachers:
            answers = [tf.nn.softmax(teacher(features)) for teacher in self.teachers]
            target += config.taught * (tf.add_n(answers) / len(answers) - target)
        return train_step(self.model, self.optimizer, features, target, config.weight_decay,
                          config.sharpness)

    def run(self, views: dict[str, ViewedClips] | None = None) -> None:
        """Train to the last epoch, from the last checkpoint if there is one."""
        config = self.config
        if self._checkpoint.is_file():
            arrays = read_arrays(self._checkpoint)
            restore_state(arrays, self.model, self.optimizer)
            self.epoch, self.best = int(arrays['epoch']), float(arrays['best'])
        start = self.epoch
        if start >= config.epochs:
            return
        if views is None:
            views = {name: ViewedClips(self.held_back, name, config)
                     for name in VIEWS if len(self.held_back)}
        progress = tqdm(range(start, config.epochs), initial=start, total=config.epochs,
                        desc=f'{config.name} member {self.member}', unit='epoch',
                        disable=None if sys.stderr.isatty() else False, mininterval=10)
        batches = self._batches(start)
        for epoch in progress:
            losses = [self._step(*next(batches)) for _ in range(self.steps_per_epoch)]
            row: dict[str, float] = {'epoch': epoch + 1, 'loss': float(np.mean(losses))}
            last = epoch + 1 == config.epochs
            if last or (epoch + 1) % config.validate_every == 0:
                row |= self._validate(views)
            progress.set_postfix({k: f'{v:.3f}' for k, v in row.items() if k != 'epoch'})
            self._log(row)
            self.epoch = epoch + 1
            if last or (epoch + 1) % config.validate_every == 0:
                write_arrays(self._checkpoint, epoch=self.epoch, best=self.best,
                             **state_arrays(self.model, self.optimizer))
        if config.keep == 'last':
            self.save_weights()

    def save_weights(self) -> None:
        """Write the weights."""
        write_whole(self.folder / 'member.weights.h5', self.model.save_weights)

    def _validate(self, views: dict[str, ViewedClips]) -> dict[str, float]:
        row: dict[str, float] = {}
        for name, clips in views.items():
            result = measure(clips, predict_logits(self.model, clips.features, self.config))
            row |= {f'{name}_{key}': result[key] for key in ('accuracy', 'macro_f1', 'rejected')}
        if not views:  # nobody is held back from the final one
            return row
        score = float(np.mean([v for k, v in row.items() if k.endswith('_accuracy')]))
        if score > self.best:
            self.best = score
            if self.config.keep == 'best':
                self.save_weights()
        return row

    def _log(self, row: dict[str, float]) -> None:
        with open(self.folder / 'log.jsonl', 'a', encoding='utf-8') as file:
            file.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + '\n')
        if self.tensorboard:
            with self.tensorboard.as_default(step=int(row['epoch'])):
                for name, value in row.items():
                    tf.summary.scalar(name, value)

    def _batches(self, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches made ahead by a thread; the same for a seed, also after a resume."""
        ready: queue.Queue = queue.Queue(maxsize=8)

        def produce() -> None:
            try:
                for epoch in range(start, self.config.epochs):
                    rng = np.random.default_rng([self.config.seed, self.member, epoch])
                    for _ in range(self.steps_per_epoch):
                        ready.put(make_batch(rng, self.sampler, self.config))
            except Exception as error:  # handed to the training loop, which raises it
                ready.put(error)

        threading.Thread(target=produce, daemon=True).start()
        while True:
            batch = ready.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch


def make_batch(
    rng: np.random.Generator, sampler: WindowSampler, config: TrainConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (B, T, F) and target distributions (B, C): smoothed, unknown = uniform."""
    frames = config.num_frames
    if rng.random() < config.short_windows:  # two lengths: each is compiled once
        frames = int(rng.choice((config.min_frames, (config.min_frames + frames) // 2)))
    features, label = sampler.draw(rng, config.batch_size, frames)
    smooth = np.full((len(label), 1), config.label_smoothing)
    if not config.background:
        smooth[label == UNKNOWN] = 1.0
    # UNKNOWN is -1: the last output, which is the background if there is one.
    target = np.eye(config.num_outputs)[label] * (1 - smooth) + smooth / config.num_outputs
    return features, target.astype(np.float32)


def predict_logits(
    model: keras.Model, features: np.ndarray, config: TrainConfig, batch: int = 1024,
) -> np.ndarray:
    """Return logits (N, C) of features (N, T, F); a background is shared out."""
    call = getattr(model, '_act_predict', None)
    if call is None:
        call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
        model._act_predict = call
    logits = np.concatenate([call(tf.constant(features[i:i + batch])).numpy()
                             for i in range(0, len(features), batch)])
    return share_background(logits, len(config.labels))


def save_held_back(trainer: Trainer) -> None:
    """Keep the member's logits for its held-back people, every view, for export and card."""
    model, config = trainer.model, trainer.config
    model.load_weights(trainer.folder / 'member.weights.h5')
    arrays: dict[str, Any] = {}
    for name in VIEWS:
        clips = ViewedClips(trainer.held_back, name, config)
        arrays[f'{name}_logits'] = predict_logits(model, clips.features, config)
        arrays[f'{name}_clip'] = clips.clip
    held_back = trainer.held_back
    write_arrays(trainer.folder / 'held_back.npz', **arrays, label=held_back.label,
                 source=held_back.source, take=held_back.take,
                 source_label=held_back.source_label, group=held_back.group)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--config', required=True, help='YAML file of the run')
    parser.add_argument('--data', type=Path, default=Path('../shared/data/skeletons'),
                        help='folder of the sequence files')
    parser.add_argument('--output', type=Path, default=Path('runs'),
                        help='folder for checkpoints and results; the run gets one inside')
    parser.add_argument('--member', type=int, action='append',
                        help='train this member only; may be repeated')
    parser.add_argument('--tensorboard', action='store_true',
                        help='also log for TensorBoard, beside log.jsonl')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0 = all')
    options = parser.parse_args(arguments)
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        train(load_config(options.config), options.data, options.output, options.member,
              options.tensorboard)
    except (OSError, ValueError, CheckpointError) as error:
        parser.error(str(error))


def train(
    config: TrainConfig, data: Path, output: Path, members: Sequence[int] | None = None,
    tensorboard: bool = False,
) -> None:
    """
    Train members of a configuration, by default all, into a folder of its name in ``output``.

    :raises ValueError: the data cannot be used, or the folder holds a run of other settings.
    :raises CheckpointError: the disk is full; the same call goes on later.
    """
    sequences, folds = load_data(config, data)
    folder = output / config.name
    stored = folder / 'config.json'
    if stored.exists() and not _same(stored, config):
        raise ValueError(f'{folder} holds a run of other settings: choose another --output, or '
                         f'remove it')
    settings = json.dumps(asdict(config), indent=1, sort_keys=True)
    write_whole(stored, lambda temporary: temporary.write_text(settings, encoding='utf-8'))
    for member in members or range(len(config.held_back_folds)):
        trainer = Trainer(config, sequences, folds, member, folder / f'member_{member}',
                          tensorboard)
        trainer.run()
        if len(trainer.held_back):
            save_held_back(trainer)


def _same(stored: Path, config: TrainConfig) -> bool:
    """Tell whether a run has these settings; those it does not know yet had their default."""
    try:
        return parse_config(json.loads(stored.read_text(encoding='utf-8'))) == config
    except (ValueError, TypeError):
        return False


if __name__ == '__main__':
    main()
