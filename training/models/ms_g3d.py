"""
MS-G3D: Liu et al., "Disentangling and unifying graph convolutions for skeleton-based action
recognition", https://arxiv.org/abs/2003.14111, figure 3: three spatial-temporal blocks of 96, 192
and 384 channels. Each sums multi-scale graph convolutions over windows of three and five frames
(G3D) and a factorised path of a multi-scale graph convolution and two temporal ones.

Eight scales each, as the authors' configuration for 2D poses has, and three channels a joint (x, y,
score) give exactly the parameters that Mazzia et al., https://arxiv.org/abs/2107.00606, list. One
person. Four channels (x, y, vx, vy) are read as well.

``ms_g3d_jb`` joins a network on joints and one on bones. The benchmark trains them apart and adds
their scores, as the authors do; built as one, it gives the mean of their logits.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from act_ros.core.skeletons import get_layout
from training.models.blocks import (
    batch_norm,
    gather_neighbours,
    normalise_joints,
    temporal_windows,
)
from training.models.graph import bones, disentangled_scales, layout_of

WIDTHS = (96, 192, 384)
SCALES = 8
WINDOWS = (3, 5)
DILATIONS = (1, 2, 3, 4)


@keras.saving.register_keras_serializable(package='act')
class MultiScaleAggregation(keras.layers.Layer):
    """
    Gather each joint's neighbourhoods of every scale: (N, T, V, C) to (N, T, V, scales * C).

    The graph is the skeleton's, repeated over ``window`` frames (V = window * K joints), plus a
    learned correction that starts near zero (section 3.4).
    """

    def __init__(self, layout: str, num_scales: int, window: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.layout, self.num_scales, self.window = layout, num_scales, window
        graph = disentangled_scales(layout, num_scales, window)
        self.graph = graph.reshape(-1, graph.shape[-1])

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.correction = self.add_weight(
            shape=self.graph.shape, initializer=keras.initializers.RandomUniform(-1e-6, 1e-6),
            name='correction')

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return gather_neighbours(x, ops.add(self.correction, self.graph))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), 'layout': self.layout, 'num_scales': self.num_scales,
                'window': self.window}


def build_ms_g3d(
    streams: str, num_frames: int, num_features: int, num_classes: int, name: str,
    layout: str | None, dropout: float = 0.0,
) -> keras.Model:
    """
    Build MS-G3D: features (N, T, F) to logits (N, C).

    :param streams: ``'j'`` for joints, ``'b'`` for bones, ``'jb'`` for both.
    :param dropout: before the output layer; the paper has none.
    :param layout: the joints of the features; by default COCO's of that length.
    """
    layout = layout_of(num_features, layout)
    frames = keras.Input((num_frames, num_features), name='features')
    count = len(get_layout(layout).joints)
    joints = ops.reshape(frames, (-1, num_frames, count, num_features // count))
    inputs = {'j': joints, 'b': ops.matmul(ops.convert_to_tensor(bones(layout)), joints)}
    logits = [_stream(inputs[stream], layout, num_classes, dropout) for stream in streams]
    return keras.Model(
        frames, logits[0] if len(logits) == 1 else keras.layers.Average()(logits), name=name)


def _stream(
    x: keras.KerasTensor, layout: str, num_classes: int, dropout: float,
) -> keras.KerasTensor:
    """Return the logits (N, C) of (N, T, K, 3 or 4)."""
    x, before = normalise_joints(x), WIDTHS[0]
    for i, width in enumerate(WIDTHS):
        stride = 1 if i == 0 else 2
        factorised = _normalised(MultiScaleAggregation(layout, SCALES)(x), before, 'relu')
        factorised = _temporal(factorised, width, stride)
        factorised = _temporal(factorised, width, activation=None)
        paths = [_g3d(x, layout, window, before, width, stride) for window in WINDOWS]
        x = keras.layers.Activation('relu')(keras.layers.Add()([factorised, *paths]))
        x = _temporal(x, width)
        before = width
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(num_classes)(x)


def _normalised(
    x: keras.KerasTensor, width: int, activation: str | None = None,
) -> keras.KerasTensor:
    """Return a 1x1 convolution, batch normalisation and the activation."""
    x = batch_norm(keras.layers.Dense(width)(x))
    return keras.layers.Activation(activation)(x) if activation else x


def _g3d(
    x: keras.KerasTensor, layout: str, window: int, before: int, width: int, stride: int,
) -> keras.KerasTensor:
    """Convolve over the graph of a sliding window, then collapse the window (section 3.3)."""
    joints = x.shape[2]
    x = ops.concatenate(temporal_windows(x, window, stride), axis=2)
    x = _normalised(MultiScaleAggregation(layout, SCALES, window)(x), before, 'relu')
    frames = [x[:, :, k * joints:(k + 1) * joints] for k in range(window)]
    return _normalised(ops.concatenate(frames, axis=-1), width)


def _temporal(
    x: keras.KerasTensor, width: int, stride: int = 1, activation: str | None = 'relu',
) -> keras.KerasTensor:
    """Convolve over time at several dilations beside pooling and a shortcut (figure 3, MS-TCN)."""
    branch = width // (len(DILATIONS) + 2)
    # The first layers of all branches but the last, side by side.
    squeezed = _normalised(x, branch * (len(DILATIONS) + 1), 'relu')
    parts = ops.split(squeezed, len(DILATIONS) + 1, axis=-1)
    outputs = [
        _normalised(ops.concatenate(temporal_windows(part, 3, stride, dilation), axis=-1), branch)
        for part, dilation in zip(parts, DILATIONS, strict=False)]
    # The zeros beyond the ends do not disturb a maximum of values that ReLU made.
    outputs.append(batch_norm(
        keras.layers.Maximum()(temporal_windows(parts[-1], 3, stride))))
    strided = x[:, ::stride]
    outputs.append(_normalised(strided, branch))
    same = x.shape[-1] == width and stride == 1
    shortcut = x if same else _normalised(strided, width)
    x = keras.layers.Add()([keras.layers.Concatenate()(outputs), shortcut])
    return keras.layers.Activation(activation)(x) if activation else x
