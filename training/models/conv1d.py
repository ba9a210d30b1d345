"""
Convolutions over time: a baseline of Mazzia et al., https://arxiv.org/abs/2107.00606, section 4:
1D convolutions of 512 filters with batch normalisation, global average pooling, dropout, output.

The paper speaks of five convolutions; its parameter counts (4,037k with 52 features, 4,062k with
68) are those of six with a kernel of three, which is what is built here. The paper does not give
the rate of the dropout; ours is that of its Table II.
"""

from __future__ import annotations

import keras


def build_conv1d(
    num_frames: int, num_features: int, num_classes: int, name: str, dropout: float = 0.3,
) -> keras.Model:
    """Build the convolutional baseline: features (N, T, F) to logits (N, C)."""
    frames = keras.Input((num_frames, num_features), name='features')
    x = frames
    for _ in range(6):
        x = keras.layers.Conv1D(512, 3, padding='same', activation='relu')(x)
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(frames, keras.layers.Dense(num_classes, name='logits')(x), name=name)
