"""
The skeleton as a graph, for the networks that convolve over joints.

Most layouts have no neck, so that no bone holds their head. The neck is the middle of the shoulders
then, as in the features: shoulders and head count as one bone away from it and as neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import shortest_path

from act_ros.actions.features import MPOSE, SCORED
from act_ros.actions.features import num_features as features_of
from act_ros.core.skeletons import get_layout

_LAYOUTS = ('mpose13_coco', 'coco17')


def layout_of(num_features: int, layout: str | None = None) -> str:
    """
    Return the layout of a feature vector: the one given, else the COCO one of that length.

    A joint has three features (x, y, score) or four (x, y and their velocities).

    :raises ValueError: if the layout does not have ``num_features`` features, or none has.
    """
    names = (layout,) if layout else _LAYOUTS
    lengths = {name: [features_of(name, form) for form in (SCORED, MPOSE)] for name in names}
    for name, known in lengths.items():
        if num_features in known:
            return name
    raise ValueError(f'no layout has {num_features} features: ' + ', '.join(
        f'{name} has {known[0]} or {known[1]}' for name, known in lengths.items()))


def adjacency(layout: str) -> np.ndarray:
    """Return which joints are neighbours: (K, K) bool, symmetric, no joint its own neighbour."""
    joints, centre = get_layout(layout).joints, _centre(layout)
    near = np.zeros((len(joints), len(joints)), bool)
    edges = (*get_layout(layout).edges, *((a, b) for a in centre for b in centre if a != b))
    for a, b in edges:
        near[a, b] = near[b, a] = True
    return near


def depth(layout: str) -> np.ndarray:
    """Return each joint's distance from the middle of the shoulders in bones: (K,) int."""
    hops = shortest_path(adjacency(layout), unweighted=True)
    return hops[list(_centre(layout))].min(axis=0).astype(int) + 1


def partitions(layout: str) -> np.ndarray:
    """
    Return the spatial partition (3, K, K): same depth or itself, nearer the neck, further.

    Row v of each gives the mean over its joints. Yan et al., "Spatial temporal graph convolutional
    networks", https://arxiv.org/abs/1801.07455, section 3.3.
    """
    near, steps = adjacency(layout), depth(layout)
    towards = np.sign(steps[None, :] - steps[:, None])  # [v, u]: is u further than v?
    near = near | np.eye(len(near), dtype=bool)
    parts = np.stack([near & (towards == side) for side in (0, -1, 1)]).astype(np.float32)
    return parts / np.maximum(parts.sum(axis=-1, keepdims=True), 1)


def disentangled_scales(layout: str, num_scales: int, window: int = 1) -> np.ndarray:
    """
    Return the adjacency of exactly k hops, k < ``num_scales``: (S, window * K, window * K).

    With a ``window`` of several frames each joint neighbours its neighbours and itself in all of
    them. Self-loops at every scale, normalised by degree. Liu et al.,
    https://arxiv.org/abs/2003.14111, sections 3.2 and 3.3.
    """
    near = adjacency(layout)
    hops = shortest_path(np.tile(near | np.eye(len(near), dtype=bool), (window, window)),
                         unweighted=True)
    scales = [(hops == scale) | np.eye(len(hops), dtype=bool) for scale in range(num_scales)]
    weights = np.stack(scales).astype(np.float32)
    norm = weights.sum(axis=-1) ** -0.5
    return norm[:, :, None] * weights * norm[:, None, :]


def bones(layout: str) -> np.ndarray:
    """Return the matrix (K, K) that turns joints into the vectors from the joint before to them."""
    near, steps = adjacency(layout), depth(layout)
    shoulders = list(_centre(layout)[:2])
    matrix = np.eye(len(near), dtype=np.float32)
    for joint in range(len(near)):
        before = np.flatnonzero(near[joint] & (steps == steps[joint] - 1))[:1].tolist()
        before = before or shoulders
        matrix[joint, before] -= 1 / len(before)
    return matrix


def _centre(layout: str) -> tuple[int, ...]:
    """Return the joints that meet in the neck."""
    joints = get_layout(layout).joints
    head = 'head' if 'head' in joints else 'nose'
    return tuple(joints.index(name) for name in ('l_shoulder', 'r_shoulder', head, 'neck')
                 if name in joints)
