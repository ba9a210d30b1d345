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

import keras

from training.models.blocks import squeeze_excite

CELLS = 64
CONVOLUTIONS = ((128, 8), (256, 5), (128, 3))  # (filters, kernel)
EXCITATION_RATIO = 16


def lstm_beside_convolutions(
    x: keras.KerasTensor, num_classes: int, dropout: float,
) -> keras.KerasTensor:
    """Return the logits (N, C) of a multivariate series (N, T, F)."""
    memory = keras.layers.LSTM(CELLS, name='lstm')(keras.layers.Permute((2, 1))(x))
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
    num_frames: int, num_features: int, num_classes: int, name: str, dropout: float = 0.8,
) -> keras.Model:
    """Build MLSTM-FCN: features (N, T, F) to logits (N, C). Dropout as in the paper."""
    frames = keras.Input((num_frames, num_features), name='features')
    return keras.Model(
        frames, lstm_beside_convolutions(frames, num_classes, dropout), name=name)
