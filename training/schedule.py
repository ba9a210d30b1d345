"""Learning rates; the paper's is in its Table II."""

from __future__ import annotations

import keras
from keras import ops

from training.config import Recipe


def learning_rate(
    recipe: Recipe, d_model: int, total_steps: int,
) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Return the learning rate that a recipe asks for; only the paper's depends on d_model."""
    if recipe.schedule == 'constant':
        return recipe.constant_rate
    if recipe.schedule == 'transformer':
        return TransformerSchedule(d_model, total_steps, recipe.warmup, recipe.drop_at,
                                   recipe.final_rate)
    if recipe.schedule == 'steps':
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [round(drop * total_steps) - 1 for drop in recipe.drops],
            [recipe.peak_rate * 0.1 ** i for i in range(len(recipe.drops) + 1)])
    rise = max(int(recipe.warmup * total_steps), 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(total_steps - rise, 1), warmup_target=recipe.peak_rate, warmup_steps=rise)


class TransformerSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """
    ``d_model^-0.5 * min(step^-0.5, step * warmup^-1.5)``, and ``final`` from ``drop_at`` on.

    The rise and decay of "Attention is all you need"; AcT warms up over 40 % of the steps and
    falls to 1e-4 after 80 %.
    """

    def __init__(
        self, d_model: int, total_steps: int, warmup: float, drop_at: float, final: float,
    ) -> None:
        self.d_model, self.total_steps = d_model, total_steps
        self.warmup, self.drop_at, self.final = warmup, drop_at, final

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, 'float32') + 1
        warmup_steps = max(self.warmup * self.total_steps, 1.0)
        rate = self.d_model ** -0.5 * ops.minimum(step ** -0.5, step * warmup_steps ** -1.5)
        return ops.where(step > self.drop_at * self.total_steps, self.final, rate)
