"""
Multilayer perceptron: the simplest baseline of Mazzia et al., https://arxiv.org/abs/2107.00606,
section 4: three hidden layers of 512 neurons, each followed by dropout, and the output layer.

The paper does not give the rate of the dropout; ours is that of its Table II.
"""

from __future__ import annotations

import keras


def build_mlp(
    num_frames: int, num_features: int, num_classes: int, name: str, dropout: float = 0.3,
) -> keras.Model:
    """Build the perceptron: features (N, T, F) to logits (N, C)."""
    frames = keras.Input((num_frames, num_features), name='features')
    x = keras.layers.Flatten()(frames)
    for _ in range(3):
        x = keras.layers.Dense(512, activation='relu')(x)
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(frames, keras.layers.Dense(num_classes, name='logits')(x), name=name)
