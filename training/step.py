"""A training step, compiled by whichever backend Keras has: TensorFlow, or JAX on its devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

Batch = tuple[np.ndarray, np.ndarray]
"""Features (B, T, F) and target distributions (B, C), both float32."""
Teach = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]
"""From features (B, T, F) and target distributions (B, C) to better targets."""


@dataclass(eq=False)
class Step:
    """
    Takes a step towards target distributions (B, C) and returns the loss.

    The weights shrink by ``weight_decay`` in each step, as AdamW has it in the authors' code;
    Keras's own multiplies the decay by the learning rate, which leaves next to nothing of it.
    Stochastic gradient descent has the decay in the gradient, and so in the momentum.

    :param old_layers: all layers but the last go only this part of their way.
    :param teach: what other networks have to say about the targets.
    :param xla: compile by XLA, as JAX always does.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    weight_decay: float = 0.0
    old_layers: float = 1.0
    teach: Teach | None = None
    xla: bool = True

    def __post_init__(self) -> None:
        self.optimizer.build(self.model.trainable_variables)
        slow = {id(v) for layer in self.model.layers[:-1] for v in layer.trainable_variables}
        self._pace = [self.old_layers if id(v) in slow else 1.0
                      for v in self.model.trainable_variables]
        self._state: Any = None
        self.compiled_step: Any
        if keras.backend.backend() == 'jax':
            import jax

            self.compiled_step = jax.jit(self._jax_step, donate_argnums=0)
        else:
            import tensorflow as tf

            tf.get_logger().setLevel('ERROR')  # it warns that every network compiles its own step
            self.compiled_step = tf.function(self._tensorflow_step, jit_compile=self.xla)

    def __call__(self, features: np.ndarray, target: np.ndarray) -> Any:
        """Take a step; with JAX the model has the weights once `finish` was called."""
        if keras.backend.backend() != 'jax':
            return self.compiled_step(features, target)
        if self._state is None:
            self._state = [[v.value for v in part] for part in self._variables()]
        self._state, loss = self.compiled_step(self._state, features, target)
        return loss

    def finish(self) -> None:
        """Give the model and the optimizer what the steps have come to."""
        for part, values in zip(self._variables(), self._state or (), strict=False):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        self._state = None

    def _variables(self) -> tuple[list[keras.Variable], ...]:
        return (self.model.trainable_variables, self.model.non_trainable_variables,
                self.optimizer.variables)

    def _loss(self, logits: Any, features: Any, target: Any) -> Any:
        if self.teach:
            target = self.teach(features, target)
        return ops.mean(ops.categorical_crossentropy(
            target, ops.cast(logits, 'float32'), from_logits=True))

    def _decayed(
        self, gradients: Sequence[Any], values: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """Return gradients and values with the decay of the weights in one or the other."""
        if isinstance(self.optimizer, keras.optimizers.SGD):
            return [g + self.weight_decay * v for g, v in zip(gradients, values, strict=True)], [
                *values]
        return [*gradients], [v * (1 - self.weight_decay) for v in values]

    def _tensorflow_step(self, features: Any, target: Any) -> Any:
        import tensorflow as tf

        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._loss(self.model(features, training=True), features, target)
        gradients, before = self._decayed(
            tape.gradient(loss, variables), [tf.identity(v) for v in variables])
        if self.weight_decay:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        self.optimizer.apply(gradients, variables)
        for variable, old, pace in zip(variables, before, self._pace, strict=True):
            if pace != 1:
                variable.assign(old + pace * (variable - old))
        return loss

    def _jax_step(self, state: Any, features: Any, target: Any) -> Any:
        import jax

        values, others, memory = state

        def loss_of(values: Any) -> Any:
            logits, rest = self.model.stateless_call(values, others, features, training=True)
            return self._loss(logits, features, target), rest

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(values)
        gradients, before = self._decayed(gradients, values)
        after, memory = self.optimizer.stateless_apply(memory, gradients, before)
        values = [old + pace * (new - old) if pace != 1 else new
                  for old, new, pace in zip(before, after, self._pace, strict=True)]
        return [values, others, memory], loss
