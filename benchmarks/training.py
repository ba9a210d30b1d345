"""
Training of AcT-µ: samples a second of our input pipeline and step, beside the usual Keras way.

The other way is what the authors' code does, written anew: `tf.data` maps flip and noise sample by
sample, `keras.layers.MultiHeadAttention`, `Model.fit`. Theirs is for TensorFlow 2.10, whose Keras
compiles nothing with XLA; today's does so unasked, and is shown as well. All train the same network
(the same number of parameters) on the same samples, epoch by epoch in turn, so that they meet
the same load.

The second table is what our step is made of. The limit is what its matrix products take when each
is computed alone, in the same shapes and threads. The next batch is made meanwhile, by a thread.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from act_ros.core.arguments import count_from
from benchmarks.report import Row, one_line, parser, save, show
from training.models.act import SIZES, ActSize, PatchClassEmbedding
from training.paper.mpose import MposeSplit
from training.paper.protocol import Fold, ProtocolConfig, make_trainer
from training.schedule import learning_rate
from training.step import Batch
from training.trainer import Trainer

NUM_CLASSES = 20

T = TypeVar('T')
Product = tuple[tuple[int, ...], tuple[int, ...], bool, bool]
"""Shapes of two factors, and whether each is transposed."""


def usual_model(size: ActSize, frames: int, features: int) -> keras.Model:
    """Return the same network, of Keras's own attention and three-dimensional Dense layers."""
    inputs = keras.Input((frames, features))
    x = PatchClassEmbedding(frames)(keras.layers.Dense(size.d_model)(inputs))
    for _ in range(size.num_layers):
        attention = keras.layers.MultiHeadAttention(size.num_heads, size.d_model // size.num_heads)
        mixed = keras.layers.Dropout(size.dropout)(attention(x, x))
        x = keras.layers.LayerNormalization(epsilon=1e-6)(x + mixed)
        hidden = keras.layers.Dense(4 * size.d_model, activation='gelu')(x)
        hidden = keras.layers.Dropout(size.dropout)(keras.layers.Dense(size.d_model)(hidden))
        x = keras.layers.LayerNormalization(epsilon=1e-6)(x + hidden)
    logits = keras.layers.Dense(NUM_CLASSES)(keras.layers.Dense(size.mlp_head)(x[:, 0]))
    return keras.Model(inputs, logits)


def usual_pipeline(x: np.ndarray, y: np.ndarray, config: ProtocolConfig) -> tf.data.Dataset:
    """Return batches of augmented samples, each mapped by itself."""
    def flip(sample: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pairs = tf.reshape(sample, (x.shape[1], -1, 2))
        if tf.random.uniform(()) < config.flip:
            pairs = pairs * np.array((-1.0, 1.0))
        return tf.reshape(pairs, x.shape[1:]), target

    def noise(sample: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return sample + tf.random.normal(x.shape[1:], 0.0, config.noise, sample.dtype), target

    samples = tf.data.Dataset.from_tensor_slices((x, y))
    samples = samples.map(lambda a, b: (a, tf.one_hot(b, NUM_CLASSES)),
                          num_parallel_calls=tf.data.AUTOTUNE).cache()
    samples = samples.map(flip, num_parallel_calls=tf.data.AUTOTUNE)
    samples = samples.map(noise, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.shuffle(len(x)).batch(config.batch_size).prefetch(tf.data.AUTOTUNE)


def medians(runs: dict[T, Callable[[], object]], rounds: int) -> dict[T, float]:
    """Return the median seconds of each run, all in turn, after one that is not counted."""
    seconds: dict[T, list[float]] = {name: [] for name in runs}
    for _ in tqdm(range(rounds + 1), unit='round', leave=False):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            tf.test.experimental.sync_devices()
            seconds[name].append(time.perf_counter() - begin)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def products_of(step: Any, batch: Batch) -> Counter[Product]:
    """Return the matrix products in a compiled function of a batch, and how often each occurs."""
    found: Counter[Product] = Counter()
    for op in step.get_concrete_function(*map(tf.constant, batch)).graph.get_operations():
        if 'MatMul' in op.type:
            a, b = ('transpose_a', 'transpose_b') if op.type == 'MatMul' else ('adj_x', 'adj_y')
            first, second = (tuple(x.shape) for x in op.inputs)
            found[first, second, op.get_attr(a), op.get_attr(b)] += 1
    return found


def measure_parts(trainer: Trainer[Fold], rounds: int) -> list[Row]:
    """Return what a step is made of, beside its matrix products alone."""
    model, batches = trainer.model, list(trainer.batches(end=1))

    def forward(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, model(x, training=True)))

    def backward(x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = forward(x, y)
        return tape.gradient(loss, model.trainable_variables)

    steps = {'forward': tf.function(forward, jit_compile=True),
             'backward': tf.function(backward, jit_compile=True),
             'optimizer': trainer.step.compiled_step}
    products = {name: products_of(step, batches[0]) for name, step in steps.items()}
    rng = np.random.default_rng(0)

    def alone(first: tuple[int, ...], second: tuple[int, ...], a: bool, b: bool) -> Any:
        product = tf.function(lambda x, y: tf.matmul(x, y, a, b), jit_compile=True)
        x, y = (tf.constant(rng.standard_normal(shape, np.float32)) for shape in (first, second))
        return lambda: product(x, y)

    runs: dict[Any, Callable[[], object]] = {
        **{name: partial(_call, step, batches) for name, step in steps.items()},
        'input': lambda: list(trainer.batches(end=1)),
        **{product: alone(*product) for product in products['optimizer']}}
    seconds, rows, before, limit_before = medians(runs, rounds), list[Row](), 0.0, 0.0
    for name in steps:
        total = 1e3 * seconds[name] / len(batches)
        limit = 1e3 * sum(n * seconds[product] for product, n in products[name].items())
        rows.append({'part': name, 'ms': total - before, 'products alone ms': limit - limit_before})
        before, limit_before = total, limit
    return [*rows, {'part': 'step', 'ms': before, 'products alone ms': limit_before,
                    'share of the limit': limit_before / before},
            {'part': 'input, meanwhile', 'ms': 1e3 * seconds['input'] / len(batches)}]


def _call(step: Any, batches: Sequence[Batch]) -> None:
    for batch in batches:
        step(*batch)


def measure(steps: int, rounds: int, config: ProtocolConfig) -> tuple[list[Row], list[Row]]:
    """Return the rows of the two ways, and of what our step is made of."""
    rng = np.random.default_rng(0)
    count = steps * config.batch_size
    y = np.arange(round(count / (1 - config.validation))) % NUM_CLASSES
    x = rng.standard_normal((len(y), 30, 52))
    features = x.astype(np.float32)
    data = MposeSplit(1, 'mpose13_openpose', features, y, features, y)
    ours = make_trainer(config, data, 'act_mu', 0)
    fold = ours.source
    fold.x_train, fold.y_train, fold.steps = fold.x_train[:count], fold.y_train[:count], steps

    usual = {'Keras fit': usual_model(SIZES['mu'], 30, 52),
             'Keras fit, XLA': usual_model(SIZES['mu'], 30, 52)}
    for way, model in usual.items():
        model.compile(
            keras.optimizers.AdamW(learning_rate(config, 64, config.epochs * steps),
                                   weight_decay=config.weight_decay),
            keras.losses.CategoricalCrossentropy(True, label_smoothing=config.label_smoothing),
            metrics=['accuracy'], jit_compile='XLA' in way)
    samples = usual_pipeline(x[:count], y[:count], config)  # float64, as the mpose package has it

    runs: dict[str, Callable[[], object]] = {
        'ours': lambda: ours.train_epoch(ours.batches(end=1)),
        **{way: partial(model.fit, samples, epochs=1, verbose=0) for way, model in usual.items()}}
    speed = {way: count / value for way, value in medians(runs, rounds).items()}
    rows = [{'way': way, 'parameters': model.count_params(), 'samples/s': round(speed[way]),
             'ours is faster': speed['ours'] / speed[way]}
            for way, model in {'ours': ours.model, **usual}.items()]
    return rows, measure_parts(ours, rounds)


@one_line
def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('--batch', type=count_from(1), default=512)
    arguments.add_argument('--steps', type=count_from(1), default=4, help='batches an epoch')
    arguments.add_argument('--rounds', type=count_from(1), default=5,
                           help='epochs that are counted')
    options = arguments.parse_args()
    config = ProtocolConfig(batch_size=options.batch)
    ways, parts = measure(options.steps, options.rounds, config)
    show(f'Training of AcT-µ, batch {options.batch}, TensorFlow {tf.__version__}', ways)
    show('What a step of ours is made of', parts)
    save(options.json, training=ways, parts=parts)


if __name__ == '__main__':
    main()
