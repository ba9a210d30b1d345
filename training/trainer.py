"""The one trainer: epochs, checkpoints, validation and the weights that are kept."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from act_ros.core.memory import keep_memory
from training.checkpoint import (
    CheckpointError,
    read_arrays,
    restore_state,
    state_arrays,
    write_arrays,
)
from training.config import Recipe
from training.progress import progress
from training.schedule import learning_rate
from training.step import Batch, Step, Teach

Predict = Callable[[np.ndarray], np.ndarray]
"""From features (N, T, F) to logits (N, C)."""
OnEpoch = Callable[[int, dict[str, float]], object]
"""Told the epoch, from 1, and what was measured in it; what it raises ends the training."""


class DivergedError(ValueError):
    """A training whose loss or answers are no numbers any more."""

    def __init__(self) -> None:
        super().__init__('the training has diverged, its loss is no number any more: lower the '
                         'learning rate (peak_rate) and train again')


class Source(Protocol):
    """What a network learns from, and what tells how well it did."""

    steps: int
    """Batches of an epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return measures on samples not learned from; the mean of ``*_accuracy`` is compared."""


T = TypeVar('T')
S = TypeVar('S', bound=Source)


class Trainer(Generic[S]):
    """
    Trains one network.

    Everything random follows from the seed, so a training that goes on from a checkpoint ends as
    one that was not interrupted.

    :param recipe: how.
    :param source: on what.
    :param build: makes the network, once the seed of its weights is set.
    :param seed: numbers that belong to this training alone.
    :param teach: what other networks have to say about the targets.
    :param old_layers: learning rate of all layers but the last, as a part of the last one's.
    :param serve: makes what answers of the network that is trained; by default that one itself.
    """

    def __init__(
        self, recipe: Recipe, source: S, build: Callable[[], keras.Model],
        seed: Sequence[int], teach: Teach | None = None, old_layers: float = 1.0,
        serve: Callable[[keras.Model], keras.Model] | None = None,
    ) -> None:
        self.recipe, self.source, self.seed = recipe, source, seed
        keras.utils.set_random_seed(int(np.random.SeedSequence(seed).generate_state(1)[0] // 2))
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy(
            'float32' if recipe.precision == 'float32' else f'mixed_{recipe.precision}')
        try:
            self.model = build()
        finally:
            keras.config.set_dtype_policy(usual)
        self.history: list[dict[str, float]] = []
        """What was measured in each epoch: ``loss``, and at times what the source validates."""
        projection = next((x for x in self.model.layers if x.name == 'projection'), None)
        rate = learning_rate(recipe, projection.units if projection else recipe.schedule_width,
                             recipe.epochs * source.steps)
        self.optimizer = (keras.optimizers.Adam(rate) if recipe.optimizer == 'adam'
                          else keras.optimizers.SGD(rate, 0.9, nesterov=True))
        self.step = Step(self.model, self.optimizer, recipe.weight_decay, old_layers, teach,
                         recipe.xla)
        self.served = serve(self.model) if serve else self.model

    def batches(self, begin: int = 0, end: int | None = None) -> Generator[Batch, None, None]:
        """Yield the batches of the epochs from ``begin`` on, made ahead by a thread."""
        def make() -> Iterator[Batch]:
            for epoch in range(begin, self.recipe.epochs if end is None else end):
                yield from self.source.batches(np.random.default_rng([*self.seed, epoch]))

        return _ahead(make())

    def train_epoch(self, batches: Iterator[Batch]) -> float:
        """Take the steps of one epoch and return the mean loss."""
        losses = [self.step(*batch) for batch in islice(batches, self.source.steps)]
        self.step.finish()
        return float(np.mean([ops.convert_to_numpy(loss) for loss in losses]))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """
        Return logits (N, C) of features (N, T, F); batches of one size are compiled once.

        :raises DivergedError: some are no numbers.
        """
        size, count = self.recipe.batch_size, len(features)
        filled = np.resize(features, (-(-count // size) * size, *features.shape[1:]))
        logits = self.served.predict(filled, size, verbose=0)[:count].astype(np.float32)
        if not np.isfinite(logits).all():
            raise DivergedError
        return logits

    def run(
        self, checkpoint: Path | None = None, title: str | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        """
        Train to the last epoch, from the checkpoint if there is one.

        The model then has the weights that ``keep`` asks for.

        :param checkpoint: file of the training's state; removed by the caller when the result is
            safe.
        :param title: text before the progress bar; None shows no bar.
        :raises CheckpointError: the checkpoint is damaged, or of another network.
        :raises DivergedError: the loss is no number any more.
        """
        recipe, model, history = self.recipe, self.model, self.history
        best, best_score = model.get_weights(), -1.0
        if checkpoint and checkpoint.is_file():
            arrays = read_arrays(checkpoint)
            try:
                restore_state(arrays, model, self.optimizer)
                best = [arrays[f'best_{i}'] for i in range(len(best))]
                best_score = float(arrays['best_score'])
                history[:] = json.loads(str(arrays['history']))
            except (CheckpointError, ValueError) as error:
                raise CheckpointError(f'{checkpoint} cannot be taken up again ({error}): remove '
                                      f'it') from error
        bar = progress((), title, recipe.epochs, 'epoch', len(history))
        with bar, closing(self.batches(len(history))) as batches:
            for epoch in range(len(history) + 1, recipe.epochs + 1):
                values = {'loss': self.train_epoch(batches)}
                if not np.isfinite(values['loss']):
                    raise DivergedError
                last = epoch == recipe.epochs
                if last or epoch % recipe.validate_every == 0:
                    values |= self.source.validate(self.logits)
                    score = [v for name, v in values.items() if name.endswith('_accuracy')]
                    if score and np.mean(score) > best_score:
                        best, best_score = model.get_weights(), float(np.mean(score))
                history.append(values)
                bar.set_postfix({k: f'{v:.3f}' for k, v in values.items()}, refresh=False)
                bar.update()
                if on_epoch:  # first: what it missed would not be done again
                    on_epoch(epoch, values)
                if checkpoint and (last or epoch % recipe.checkpoint_every == 0):
                    write_arrays(checkpoint, best_score=best_score, history=json.dumps(history),
                                 **{f'best_{i}': value for i, value in enumerate(best)},
                                 **state_arrays(model, self.optimizer))
        if recipe.keep == 'best' and best_score >= 0:  # or nothing was measured
            model.set_weights(best)


def _ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield the items, of which a thread makes eight ahead; what it raises is raised here."""
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(8))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(pool.submit(next, items, end))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


def tensorboard_log(folder: Path) -> OnEpoch:
    """Return what writes each epoch's values for TensorBoard."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))

    def log(epoch: int, values: dict[str, float]) -> None:
        with writer.as_default(step=epoch):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        writer.flush()

    return log


def tell_duration(name: str, epochs: int, runs: int = 1) -> OnEpoch:
    """
    Return what says, once an epoch is timed, how long a training and ``runs`` of them take.

    Made where a training begins: what it prepares and compiles may take longer than its epochs.
    """
    begin, times = time.monotonic(), list[float]()

    def tell(epoch: int, _: dict[str, float]) -> None:
        times.append(time.monotonic())
        if len(times) == 3:  # the first epoch compiles
            each = (times[2] - times[0]) / 2
            whole = times[2] - begin + each * (epochs - 3)
            text = f'{name}: {each:.2g} s an epoch, about {_duration(whole)} a run'
            if runs > 1:
                text += f', {_duration(whole * runs)} for {runs} one after another'
            tqdm.write(text, file=sys.stderr)

    return tell


def _duration(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, length in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * length:
            return f'{seconds / length:.0f} {unit}'
    return f'{seconds:.0f} s'


def in_turn(*listeners: OnEpoch | None) -> OnEpoch:
    """Return what tells several of each epoch."""
    def tell(epoch: int, values: dict[str, float]) -> None:
        for listener in listeners:
            if listener:
                listener(epoch, values)

    return tell


def device() -> str:
    """Return what Keras computes on, by name."""
    if keras.backend.backend() == 'jax':
        import jax

        names = [x.device_kind for x in jax.devices() if x.platform != 'cpu']
    else:
        import tensorflow as tf

        names = [tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)
                 for gpu in tf.config.list_physical_devices('GPU')]
    return ', '.join(names) or f'CPU ({os.cpu_count()} cores), no GPU'


def start_afresh(threads: int = 0) -> None:
    """
    Drop what earlier trainings left in memory, and limit TensorFlow's CPU threads.

    TensorFlow keeps the graphs of their steps, and what XLA compiled of them, until the process
    ends.

    :param threads: 0 leaves them as they are; another number must be said before TensorFlow
        computes anything.
    """
    keras.utils.clear_session()
    keep_memory()
    if threads and keras.backend.backend() == 'tensorflow':
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
