"""
The networks, by name.

``build('act_mu')`` returns an uncompiled Keras model that maps features (N, T, F) to logits (N, C).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras

from act_ros.actions.features import MPOSE, SCORED
from training.models.act import SIZES, build_act
from training.models.actionxpose import build_actionxpose
from training.models.conv1d import build_conv1d
from training.models.mlp import build_mlp
from training.models.mlstm_fcn import build_mlstm_fcn
from training.models.ms_g3d import build_ms_g3d
from training.models.remnet import build_remnet
from training.models.st_tr import build_st_tr

# Networks over the graph of the joints: they must know which joint is which.
_GRAPH_MODELS: dict[str, Callable[..., keras.Model]] = {
    's_tr': partial(build_st_tr, 's'),
    't_tr': partial(build_st_tr, 't'),
    'st_tr': partial(build_st_tr, 'st'),
    'ms_g3d_j': partial(build_ms_g3d, 'j'),
    'ms_g3d_b': partial(build_ms_g3d, 'b'),
    'ms_g3d_jb': partial(build_ms_g3d, 'jb'),
}

MODELS: dict[str, Callable[..., keras.Model]] = {
    **{f'act_{name}': partial(build_act, size) for name, size in SIZES.items()},
    'mlp': build_mlp,
    'conv1d': build_conv1d,
    'remnet': build_remnet,
    'mlstm_fcn': build_mlstm_fcn,
    'actionxpose': build_actionxpose,
    **_GRAPH_MODELS,
}


STREAMS = {'st_tr': ('s_tr', 't_tr'), 'ms_g3d_jb': ('ms_g3d_j', 'ms_g3d_b')}
"""Networks of two streams, which their authors train apart; the scores of both are added."""


def normalisation_of(name: str) -> str:
    """Return what the paper's features of a network are: three channels for those of graphs."""
    return SCORED if name in _GRAPH_MODELS else MPOSE


def build(
    name: str, num_frames: int = 30, num_features: int = 52, num_classes: int = 20,
    layout: str | None = None, **options: object,
) -> keras.Model:
    """
    Build the network called ``name`` with fresh weights.

    :param name: one of ``MODELS``.
    :param num_frames: T, the longest window it will see.
    :param num_features: F, the length of one frame's feature vector.
    :param num_classes: C, the number of logits.
    :param layout: whose joints the features are, for the networks over the graph of the joints
        (ST-TR, MS-G3D); the others ignore it. By default COCO's of that length.
    :param options: what else the network takes, such as ``dropout``.
    :raises ValueError: for an unknown name or a size that is not positive.
    """
    if name not in MODELS:
        raise ValueError(f'unknown model {name!r}; known models: {", ".join(sorted(MODELS))}')
    for key, value in (('num_frames', num_frames), ('num_features', num_features),
                       ('num_classes', num_classes)):
        if value < 1:
            raise ValueError(f'{key} must be at least 1, not {value}')
    if name in _GRAPH_MODELS:
        options['layout'] = layout
    return MODELS[name](
        num_frames=num_frames, num_features=num_features, num_classes=num_classes, name=name,
        **options)
