"""A training step, and learning rates: the paper's (Table II), and one for fewer epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops


def train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, features: tf.Tensor,
    target: tf.Tensor, weight_decay: float = 0.0,
) -> tf.Tensor:
    """
    Take one step towards ``target`` distributions (B, C) and return the loss; compile it.

    The weights shrink by ``weight_decay`` in each step, as AdamW has it in the authors' code;
    Keras's own multiplies the decay by the learning rate, which leaves next to nothing of it.
    """
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = tf.reduce_mean(
            tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=logits))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    if weight_decay:
        for variable in variables:
            variable.assign(variable * (1 - weight_decay))
    optimizer.apply(gradients, variables)
    return loss


@keras.saving.register_keras_serializable(package='act')
class TransformerSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """
    ``d_model^-0.5 * min(step^-0.5, step * warmup^-1.5)``, and ``final`` from ``drop_at`` on.

    The rise and decay of "Attention is all you need"; AcT warms up over 40 % of the steps and
    falls to 1e-4 after 80 %.
    """

    def __init__(
        self, d_model: int, total_steps: int, warmup: float = 0.4, drop_at: float = 0.8,
        final: float = 1e-4,
    ) -> None:
        if total_steps < 1:
            raise ValueError(f'total_steps must be at least 1, not {total_steps}')
        self.d_model, self.total_steps = d_model, total_steps
        self.warmup, self.drop_at, self.final = warmup, drop_at, final

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, 'float32') + 1
        warmup_steps = max(self.warmup * self.total_steps, 1.0)
        rate = self.d_model ** -0.5 * ops.minimum(step ** -0.5, step * warmup_steps ** -1.5)
        return ops.where(step > self.drop_at * self.total_steps, self.final, rate)

    def get_config(self) -> dict[str, float]:
        return {'d_model': self.d_model, 'total_steps': self.total_steps, 'warmup': self.warmup,
                'drop_at': self.drop_at, 'final': self.final}


@keras.saving.register_keras_serializable(package='act')
class CosineCycles(keras.optimizers.schedules.LearningRateSchedule):
    """
    Fall from ``peak`` to 0 along a cosine, and again from half of it in each further cycle.

    Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017.

    :param cycle_steps: steps of each cycle.
    :param warmup_steps: steps in which the first cycle rises from 0.
    """

    def __init__(self, peak: float, cycle_steps: Sequence[int], warmup_steps: int = 0) -> None:
        if not cycle_steps or min(cycle_steps) < 1 or not 0 <= warmup_steps < cycle_steps[0]:
            raise ValueError('each cycle must have a step, and the first more than the warm-up')
        self.peak, self.warmup_steps = peak, warmup_steps
        self.cycle_steps = tuple(cycle_steps)

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, 'float32')
        begin, rate = 0.0, 0.0
        for cycle, steps in enumerate(self.cycle_steps):
            first = self.warmup_steps if cycle == 0 else 0
            share = ops.clip((step - begin - first) / (steps - first), 0.0, 1.0)
            fall = self.peak * 0.5 ** cycle * 0.5 * (1 + ops.cos(math.pi * share))
            if first:
                fall = ops.minimum(fall, self.peak * step / first)
            rate = ops.where(step >= begin, fall, rate)
            begin += steps
        return rate

    def get_config(self) -> dict[str, object]:
        return {'peak': self.peak, 'cycle_steps': self.cycle_steps,
                'warmup_steps': self.warmup_steps}
