"""
Training of AcT-µ: samples a second of our input pipeline and step, beside the usual Keras way.

The other way is what the authors' code does, written anew: `tf.data` maps flip and noise sample by
sample, `keras.layers.MultiHeadAttention`, `Model.fit`. Theirs is for TensorFlow 2.10, whose Keras
compiles nothing with XLA; today's does so unasked, and is shown as well. All train the same network
(the same number of parameters) on the same samples, epoch by epoch in turn, so that they meet
the same load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from benchmarks.report import Row, parser, save, show
from training.models.act import SIZES, ActSize, PatchClassEmbedding
from training.paper.mpose import MposeSplit
from training.paper.protocol import ProtocolConfig, augment, make_trainer
from training.schedule import TransformerSchedule

NUM_CLASSES = 20


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


def measure(steps: int, rounds: int, config: ProtocolConfig) -> list[Row]:
    """Return the rows of the two ways, after an epoch of each that is not counted."""
    rng = np.random.default_rng(0)
    count = steps * config.batch_size
    y = np.arange(round(count / (1 - config.validation))) % NUM_CLASSES
    x = rng.standard_normal((len(y), 30, 52))
    features = x.astype(np.float32)
    data = MposeSplit('openpose', 1, 'mpose13_openpose', features, y, features, y)
    ours = make_trainer(config, data, 'act_mu', 0)
    fold = ours.source
    fold.x_train, fold.y_train, fold.steps = fold.x_train[:count], fold.y_train[:count], steps

    usual = {'Keras fit': usual_model(SIZES['mu'], 30, 52),
             'Keras fit, XLA': usual_model(SIZES['mu'], 30, 52)}
    for way, model in usual.items():
        model.compile(
            keras.optimizers.AdamW(TransformerSchedule(64, config.epochs * steps),
                                   weight_decay=config.weight_decay),
            keras.losses.CategoricalCrossentropy(True, label_smoothing=config.label_smoothing),
            metrics=['accuracy'], jit_compile='XLA' in way)
    samples = usual_pipeline(x[:count], y[:count], config)  # float64, as the mpose package has it

    def our_input() -> None:
        for index in rng.permutation(count).reshape(steps, -1):
            augment(rng, fold.x_train[index], config, fold.layout)

    def usual_input() -> None:
        for _ in samples:
            pass

    runs: dict[tuple[str, str], Callable[[], object]] = {
        ('ours', 'training'): lambda: ours.train_epoch(ours.batches(end=1)),
        ('ours', 'input'): our_input, ('Keras fit', 'input'): usual_input}
    for way, model in usual.items():
        runs[way, 'training'] = partial(model.fit, samples, epochs=1, verbose=0)
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in runs}
    for number in tqdm(range(rounds + 1), unit='round', leave=False):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    speed = {name: count / float(np.median(values)) for name, values in seconds.items()}
    return [{'way': way, 'parameters': model.count_params(),
             'samples/s': round(speed[way, 'training']),
             'input alone samples/s': round(speed.get((way, 'input'), speed['Keras fit', 'input'])),
             'ours is faster': speed['ours', 'training'] / speed[way, 'training']}
            for way, model in {'ours': ours.model, **usual}.items()]


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('--batch', type=int, default=512)
    arguments.add_argument('--steps', type=int, default=4, help='batches an epoch')
    arguments.add_argument('--rounds', type=int, default=5, help='epochs that are counted')
    options = arguments.parse_args()
    config = ProtocolConfig(batch_size=options.batch)
    rows = measure(options.steps, options.rounds, config)
    show(f'Training of AcT-µ, batch {options.batch}, TensorFlow {tf.__version__}', rows)
    save(options.json, training=rows)


if __name__ == '__main__':
    main()
