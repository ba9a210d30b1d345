"""
ST-TR: Plizzari et al., "Skeleton-based action recognition via spatial and temporal transformer
networks", https://arxiv.org/abs/2008.07404. A stack of ten units of a spatial and a temporal part.
In the units of 128 and 256 channels the spatial stream (S-TR) attends over the joints of a frame
in place of the graph convolution, the temporal stream (T-TR) over the frames of a joint in place
of the temporal convolution (sections 4.1 to 4.3). Eight heads, keys of a quarter of the channels,
attention dropped by key, coordinates joined in again before the fourth unit: the authors'
configuration.

Mazzia et al., https://arxiv.org/abs/2107.00606, list 3,036k parameters for T-TR and 6,072k for
ST-TR. The first is the count of the *spatial* stream, which the configuration of the authors of
ST-TR runs as it stands, without its doubled channels: 3,036,252 for 13 joints of three channels
(x, y, score); the second is twice that. Built here is what the names say; ``s_tr`` is the network
of 3,036k. It has 1,024 parameters less, which change no answer: in their code each of a graph
convolution's three parts has a bias, of which only the sum counts, and 512 belong to a
normalisation that is never called.

Deviations: one person; four channels a joint (x, y, vx, vy) are read as well; windows of an odd
number of frames are padded where they are halved. The benchmark trains the streams apart and adds
their scores, as the authors do; built as one, they give the mean of their logits.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from act_ros.core.skeletons import get_layout
from training.models.blocks import (
    batch_norm,
    gather_neighbours,
    normalise_joints,
    temporal_windows,
)
from training.models.graph import layout_of, partitions

UNITS = ((64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
ATTENTION_FROM = 128  # channels
JOIN_COORDINATES = 3  # the index of the unit
HEADS = 8
KEY_SHARE = 4
KERNEL = 9
DROP_ATTENTION = 0.5


@keras.saving.register_keras_serializable(package='act')
class PartitionAggregation(keras.layers.Layer):
    """
    Gather each joint's three neighbourhoods: (N, T, K, C) to (N, T, K, 3 * C).

    Every edge has a learned weight that starts at one.
    """

    def __init__(self, layout: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.layout = layout
        self.graph = partitions(layout)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.importance = self.add_weight(
            shape=self.graph.shape, initializer='ones', name='importance')

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return gather_neighbours(x, ops.reshape(
            ops.multiply(self.importance, self.graph), (-1, self.graph.shape[-1])))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'layout': self.layout}


def build_st_tr(
    streams: str, num_frames: int, num_features: int, num_classes: int, name: str,
    layout: str | None, dropout: float = 0.5,
) -> keras.Model:
    """
    Build ST-TR: features (N, T, F) to logits (N, C).

    :param streams: ``'s'`` for the spatial stream, ``'t'`` for the temporal, ``'st'`` for both.
    :param dropout: before each temporal convolution.
    :param layout: the joints of the features; by default COCO's of that length.
    """
    layout = layout_of(num_features, layout)
    frames = keras.Input((num_frames, num_features), name='features')
    count = len(get_layout(layout).joints)
    joints = ops.reshape(frames, (-1, num_frames, count, num_features // count))
    logits = [_stream(joints, stream, layout, num_classes, dropout) for stream in streams]
    return keras.Model(
        frames, logits[0] if len(logits) == 1 else keras.layers.Average()(logits), name=name)


def _stream(
    joints: keras.KerasTensor, stream: str, layout: str, num_classes: int, dropout: float,
) -> keras.KerasTensor:
    """Return the logits (N, C) of (N, T, K, 3 or 4)."""
    x = normalise_joints(joints)
    x = _graph_convolution(x, UNITS[0][0], layout)
    x = _temporal_convolution(x, UNITS[0][0])
    for i, (width, stride) in enumerate(UNITS):
        if i == JOIN_COORDINATES:
            x = keras.layers.Concatenate()([x, joints])
        attends = width >= ATTENTION_FROM
        shortcut = x
        if x.shape[-1] != width or stride != 1:
            shortcut = _temporal_convolution(x, width, kernel=1, stride=stride)
        x = (_spatial_attention(x, width) if attends and stream == 's' else
             _graph_convolution(x, width, layout))
        x = (_temporal_attention(x, stride) if attends and stream == 't' else
             _temporal_convolution(x, width, KERNEL, stride, dropout))
        x = keras.layers.Add()([x, shortcut])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.layers.Dense(num_classes)(x)


def _rectified(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Activation('relu')(batch_norm(x))


def _graph_convolution(x: keras.KerasTensor, width: int, layout: str) -> keras.KerasTensor:
    return _rectified(keras.layers.Dense(width)(PartitionAggregation(layout)(x)))


def _temporal_convolution(
    x: keras.KerasTensor, width: int, kernel: int = KERNEL, stride: int = 1, dropout: float = 0.0,
) -> keras.KerasTensor:
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    if kernel == 1:
        return _rectified(keras.layers.Dense(width)(x[:, ::stride]))
    return _rectified(keras.layers.Conv2D(
        width, (kernel, 1), (stride, 1), padding='same', kernel_initializer='he_normal')(x))


def _spatial_attention(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Attend over the joints of each frame (section 4.1)."""
    mixed = _attention(normalise_joints(x), width)
    return _rectified(keras.layers.Add()([mixed, x]) if x.shape[-1] == width else mixed)


def _temporal_attention(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """Attend over the frames of each joint (section 4.2)."""
    width = x.shape[-1]
    tokens = normalise_joints(x)
    if stride > 1:  # the projection reads this many frames at once
        tokens = ops.concatenate(temporal_windows(tokens, stride, stride), axis=-1)
    mixed = _attention(ops.transpose(tokens, (0, 2, 1, 3)), width)
    shortcut = x if stride == 1 else _temporal_convolution(x, width, kernel=1, stride=stride)
    return _rectified(keras.layers.Add()([ops.transpose(mixed, (0, 2, 1, 3)), shortcut]))


def _attention(tokens: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Return (N, groups, L, C) as (N, groups, L, width), every token mixed with those beside it."""
    _, groups, length, _ = tokens.shape
    keys = width // KEY_SHARE
    projected = keras.layers.Dense(2 * keys + width)(tokens)
    query, key, value = (
        ops.transpose(ops.reshape(part, (-1, length, HEADS, part.shape[-1] // HEADS)),
                      (0, 2, 1, 3))
        for part in ops.split(projected, np.cumsum([keys, keys]).tolist(), axis=-1))
    scores = ops.matmul(query * (keys // HEADS) ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
    # Keys are dropped for all queries of a head, and what is left sums to 1 again.
    weights = keras.layers.Dropout(DROP_ATTENTION, noise_shape=(None, None, 1, None))(
        ops.softmax(scores, axis=-1))
    weights = weights / (ops.sum(weights, axis=-1, keepdims=True) + 1e-8)
    mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
    return keras.layers.Dense(width)(ops.reshape(mixed, (-1, groups, length, width)))
