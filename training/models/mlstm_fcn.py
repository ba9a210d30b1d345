"""
MLSTM-FCN: Karim et al., "Multivariate LSTM-FCNs for time series classification",
https://arxiv.org/abs/1801.04503, section 3.2: three convolutions over time with squeeze-and-
excitation beside an LSTM, which reads the features one by one, each as a vector of all its frames
(the "dimension shuffle").

The paper searches the number of LSTM cells among 8, 64 and 128. Mazzia et al.,
https://arxiv.org/abs/2107.00606, do not give theirs; 64 comes nearest to their 368k parameters.
They list the same count for 68 features as for 52, which no network of this kind can have: ours
grows with the features.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from training.models.blocks import squeeze_excite

CELLS = 64
CONVOLUTIONS = ((128, 8), (256, 5), (128, 3))  # (filters, kernel)
EXCITATION_RATIO = 16


@keras.saving.register_keras_serializable(package='act')
class LastLSTM(keras.layers.Layer):
    """
    The last state (N, cells) of an LSTM over (N, steps, D).

    The same recurrence as ``keras.layers.LSTM``, whose tensor lists TFLite cannot express for a
    batch of unknown size; this loop carries nothing but the state.
    """

    def __init__(self, cells: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.cells = cells

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.kernel = self.add_weight(
            shape=(input_shape[-1], 4 * self.cells), initializer='glorot_uniform', name='kernel')
        self.recurrent = self.add_weight(
            shape=(self.cells, 4 * self.cells), initializer='orthogonal', name='recurrent')
        self.bias = self.add_weight(
            shape=(4 * self.cells,), initializer=self._remember, name='bias')

    def _remember(self, shape: tuple[int, ...], dtype: object = None) -> keras.KerasTensor:
        """Start with open forget gates, the second quarter of the bias."""
        quarters = ops.arange(shape[0]) // self.cells
        return ops.cast(quarters == 1, dtype)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        steps, width = x.shape[1], x.shape[2]
        flat = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, width))
        inputs = ops.reshape(ops.matmul(flat, self.kernel) + self.bias,
                             (steps, -1, 4 * self.cells))

        def step(
            i: keras.KerasTensor, hidden: keras.KerasTensor, cell: keras.KerasTensor,
        ) -> tuple[keras.KerasTensor, ...]:
            gates = ops.take(inputs, i, axis=0) + ops.matmul(hidden, self.recurrent)
            enter, forget, value, leave = ops.split(gates, 4, axis=-1)
            cell = ops.sigmoid(forget) * cell + ops.sigmoid(enter) * ops.tanh(value)
            return i + 1, ops.sigmoid(leave) * ops.tanh(cell), cell

        zero = ops.zeros_like(inputs[0, :, :self.cells])
        return ops.while_loop(
            lambda i, *_: i < steps, step, (ops.convert_to_tensor(0, 'int32'), zero, zero),
            maximum_iterations=steps)[1]

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return input_shape[0], self.cells

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'cells': self.cells}


def lstm_beside_convolutions(
    x: keras.KerasTensor, num_classes: int, dropout: float,
) -> keras.KerasTensor:
    """Return the logits (N, C) of a multivariate series (N, T, F)."""
    memory = LastLSTM(CELLS, name='lstm')(keras.layers.Permute((2, 1))(x))
    memory = keras.layers.Dropout(dropout)(memory)
    for i, (filters, kernel) in enumerate(CONVOLUTIONS):
        x = keras.layers.Conv1D(
            filters, kernel, padding='same', kernel_initializer='he_uniform')(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation('relu')(x)
        if i + 1 < len(CONVOLUTIONS):
            x = squeeze_excite(x, EXCITATION_RATIO, use_bias=False)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.layers.Dense(num_classes, name='logits')(
        keras.layers.Concatenate()([memory, x]))


def build_mlstm_fcn(
    num_frames: int = 30, num_features: int = 52, num_classes: int = 20, dropout: float = 0.8,
    name: str = 'mlstm_fcn',
) -> keras.Model:
    """Build MLSTM-FCN: features (N, T, F) to logits (N, C). Dropout as in the paper."""
    frames = keras.Input((num_frames, num_features), name='features')
    return keras.Model(
        frames, lstm_beside_convolutions(frames, num_classes, dropout), name=name)
