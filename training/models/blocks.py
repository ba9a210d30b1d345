"""Pieces that several baseline networks are built of."""

from __future__ import annotations

import keras
from keras import ops


def squeeze_excite(x: keras.KerasTensor, ratio: int, use_bias: bool = True) -> keras.KerasTensor:
    """
    Weigh the channels of (N, T, C) by what they say over all frames.

    Hu et al., "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507, section 3.
    """
    channels = x.shape[-1]
    weight = keras.layers.GlobalAveragePooling1D(keepdims=True)(x)
    weight = keras.layers.Dense(channels // ratio, activation='relu', use_bias=use_bias)(weight)
    weight = keras.layers.Dense(channels, activation='sigmoid', use_bias=use_bias)(weight)
    return keras.layers.Multiply()([x, weight])


def batch_norm(x: keras.KerasTensor) -> keras.KerasTensor:
    """Normalise over the batch with PyTorch's constants, which the graph networks' papers used."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def normalise_joints(x: keras.KerasTensor) -> keras.KerasTensor:
    """Normalise every channel of every joint of (N, T, K, C) by itself."""
    _, frames, joints, width = x.shape
    x = batch_norm(ops.reshape(x, (-1, frames, joints * width)))
    return ops.reshape(x, (-1, frames, joints, width))


def gather_neighbours(x: keras.KerasTensor, graph: keras.KerasTensor) -> keras.KerasTensor:
    """Mix the joints of (N, T, V, C) by S graphs (S * V, V) side by side: (N, T, V, S * C)."""
    frames, joints, width = x.shape[1:]
    count = graph.shape[0] // joints
    # One product of two matrices: (N * T * C, V) and (V, S * V).
    flat = ops.reshape(ops.transpose(x, (0, 1, 3, 2)), (-1, joints))
    gathered = ops.reshape(ops.matmul(flat, ops.transpose(graph)), (-1, width, count, joints))
    return ops.reshape(ops.transpose(gathered, (0, 3, 2, 1)), (-1, frames, joints, count * width))


def temporal_windows(
    x: keras.KerasTensor, size: int, stride: int = 1, dilation: int = 1,
) -> list[keras.KerasTensor]:
    """
    Return the ``size`` frames of every window, each as (N, ceil(T / stride), V, C).

    Windows are centred on frames 0, stride, 2 stride, ...; frames beyond the ends are zero. A
    temporal convolution is a Dense on the concatenation: strides go with dilation then, as
    ``Conv2D`` does not have it, and TFLite sees a matrix product instead of space-to-batch.
    """
    frames = x.shape[1]
    count = -(-frames // stride)
    before = dilation * ((size - 1) // 2)
    after = max((count - 1) * stride + dilation * (size - 1) + 1 - before - frames, 0)
    if before or after:
        x = ops.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    last = (count - 1) * stride + 1
    return [x[:, k * dilation:k * dilation + last:stride] for k in range(size)]
