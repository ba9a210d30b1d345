"""
ActionXPose: Angelini et al., "ActionXPose: a novel 2D multi-view pose-based algorithm for real-time
human action recognition", https://arxiv.org/abs/1810.12126: MLSTM-FCN on richer pose features.

The features are not the paper's: its hand-made preprocessing, whose details were not at hand, is
replaced by the distance of every pair of joints and that distance's change since the frame
before, computed inside the network and joined to the input. That gives 208 features for 13 joints
and, with the LSTM of our MLSTM-FCN, 1.4 % more parameters than Mazzia et al.,
https://arxiv.org/abs/2107.00606, list for both 13 and 17 joints. With 17 joints ours is larger.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from act_ros.actions.features import CHANNELS
from training.models.mlstm_fcn import lstm_beside_convolutions

# Keeps the square root's slope finite where two joints coincide; far below any real distance.
_SQUARED_EPSILON = 1e-6


def joint_distances(features: keras.KerasTensor) -> keras.KerasTensor:
    """Return pair distances and their changes (N, T, K * (K - 1)) of features (N, T, K * 4)."""
    joints = features.shape[-1] // CHANNELS
    first, second = np.triu_indices(joints, 1)
    # A matrix of +1 and -1: faster and simpler for TFLite than two gathers.
    matrix = np.zeros((joints, len(first)), np.float32)
    pairs = np.arange(len(first))
    matrix[first, pairs], matrix[second, pairs] = 1, -1
    x, y = (ops.matmul(features[:, :, i::CHANNELS], matrix) for i in (0, 1))
    distance = ops.sqrt(ops.square(x) + ops.square(y) + _SQUARED_EPSILON)
    before = ops.concatenate([distance[:, :1], distance[:, :-1]], axis=1)
    return ops.concatenate([distance, distance - before], axis=-1)


def build_actionxpose(
    num_frames: int, num_features: int, num_classes: int, name: str, dropout: float = 0.8,
) -> keras.Model:
    """Build ActionXPose: features (N, T, F) to logits (N, C)."""
    if num_features % CHANNELS:
        raise ValueError(
            f'actionxpose needs {CHANNELS} features a joint, not {num_features} in all')
    frames = keras.Input((num_frames, num_features), name='features')
    series = keras.layers.Concatenate()([frames, joint_distances(frames)])
    return keras.Model(
        frames, lstm_beside_convolutions(series, num_classes, dropout), name=name)
