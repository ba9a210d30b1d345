"""
REMNet: Angarano et al., "Robust ultra-wideband range error mitigation with deep learning at the
edge", https://arxiv.org/abs/2011.14684: residual reduction modules over a time series, each a
residual convolution with channel attention and a block that halves the time.

As a baseline in Mazzia et al., https://arxiv.org/abs/2107.00606, section 4: two modules of 512
filters, dropout, output layer. Nothing else is given there. A first kernel of seven follows from
the difference of its parameter counts between 68 and 52 features; an attention ratio of four and
batch normalisation after the first convolution and each module, neither of them REMNet's own
(eight, none), give its total to 0.1 per thousand.
"""

from __future__ import annotations

import keras

from training.models.blocks import squeeze_excite

FILTERS = 512
KERNEL = 3
FIRST_KERNEL = 7
MODULES = 2
ATTENTION_RATIO = 4


def build_remnet(
    num_frames: int, num_features: int, num_classes: int, name: str, dropout: float = 0.3,
) -> keras.Model:
    """Build REMNet: features (N, T, F) to logits (N, C)."""
    frames = keras.Input((num_frames, num_features), name='features')
    x = keras.layers.Conv1D(FILTERS, FIRST_KERNEL, padding='same', activation='relu')(frames)
    x = keras.layers.BatchNormalization()(x)
    for _ in range(MODULES):
        x = _residual_reduction(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(frames, keras.layers.Dense(num_classes, name='logits')(x), name=name)


def _residual_reduction(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return (N, T, C) as (N, T / 2, C)."""
    residual = keras.layers.Conv1D(FILTERS, KERNEL, padding='same', activation='relu')(x)
    x = keras.layers.Add()([x, squeeze_excite(residual, ATTENTION_RATIO)])
    x = keras.layers.Add()([
        keras.layers.Conv1D(FILTERS, KERNEL, strides=2, padding='same', activation='relu')(x),
        keras.layers.Conv1D(FILTERS, 1, strides=2, padding='same')(x)])
    return keras.layers.BatchNormalization()(x)
