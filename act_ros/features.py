"""
MPOSE normalisation: poses in pixels become the features that AcT reads.

The one function for training and serving. It equals what the ``mpose`` package does for the
released MPOSE2021 arrays (reduce, centre and scale, velocities, flatten) and is tested against it.
"""

from __future__ import annotations

import numpy as np

from act_ros.skeletons import get_layout, joint_sources

NORMALISATION = 'mpose-v1'
"""Name of this normalisation; a model bundle carries it and is refused under another."""

CHANNELS = 4
"""Features a joint: x, y, vx, vy, all in torso lengths (velocities: torso lengths a frame)."""

# The layout a model is trained on when it sees poses of the given layout.
_OUTPUT_LAYOUT = {'coco17': 'mpose13_coco', 'body25': 'mpose13_openpose'}


def num_features(layout: str) -> int:
    """Return the length F of a frame's feature vector in the output layout ``layout``."""
    return CHANNELS * len(get_layout(layout).joints)


def extract_features(
    keypoints: np.ndarray, layout: str, output_layout: str | None = None,
) -> np.ndarray:
    """
    Turn windows of poses into AcT features.

    :param keypoints: (..., T, K, 2 or 3) x, y and perhaps score, in pixels. Not coordinates
        normalised to [0, 1]: a torso below one pixel counts as one pixel long. Zero means
        "not detected" where a joint is the mean of several, as in OpenPose.
    :param layout: the layout of ``keypoints``.
    :param output_layout: joints and order of the features; by default the 13-joint MPOSE layout
        that belongs to ``layout``. ``'coco17'`` gives the 68 features of the paper's PoseNet runs.
    :returns: (..., T, F), float64 for float64 input, else float32; joint by joint x, y, vx, vy.
    :raises ValueError: on a wrong shape, an unknown layout, or values that are not finite.
    """
    keypoints = np.asarray(keypoints)
    source = get_layout(layout)
    if keypoints.ndim < 3 or keypoints.shape[-1] not in (2, 3):
        raise ValueError(f'keypoints must be (..., T, K, 2 or 3), not {keypoints.shape}')
    if keypoints.shape[-2] != len(source.joints):
        raise ValueError(
            f'layout {layout!r} has {len(source.joints)} joints, keypoints have '
            f'{keypoints.shape[-2]}')
    if keypoints.shape[-3] == 0:
        raise ValueError('keypoints hold no frame')
    # Joints first, (K, ..., T, 2): each joint is then one block of memory.
    joint_axis = keypoints.ndim - 2
    others = (*range(joint_axis), joint_axis + 1)
    points = np.ascontiguousarray(
        keypoints[..., :2].transpose(joint_axis, *others), np.float64)
    if not np.isfinite(points).all():
        raise ValueError(
            'keypoints hold NaN or infinite values; fill missing joints first (act_ros.window)')

    joints = get_layout(output_layout or _OUTPUT_LAYOUT.get(layout, layout)).joints
    gathered = _gather(points, joint_sources(layout, (*joints, 'neck', 'mid_hip')))
    pose, neck, mid_hip = gathered[:-2], gathered[-2], gathered[-1]
    across = neck - mid_hip
    torso = np.sqrt((across * across).sum(axis=-1, keepdims=True))
    pose -= neck
    pose /= np.maximum(torso, 1.0)

    features = np.empty((*pose.shape[1:-1], len(joints), CHANNELS),
                        np.float64 if keypoints.dtype == np.float64 else np.float32)
    by_joint = features.transpose(joint_axis, *others)
    by_joint[..., :2] = pose
    by_joint[..., 0, 2:] = pose[..., 0, :]
    by_joint[..., 1:, 2:] = pose[..., 1:, :] - pose[..., :-1, :]
    return features.reshape(*features.shape[:-2], len(joints) * CHANNELS)


def _gather(points: np.ndarray, sources: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return new points (joints, ..., 2), each the mean of its sources among (K, ..., 2)."""
    gathered = points[[indices[0] for indices in sources]]
    for joint, indices in enumerate(sources):
        if len(indices) == 2:  # neck and mid-hip: the plain middle, as mpose centres
            gathered[joint] += points[indices[1]]
            gathered[joint] /= 2
        elif len(indices) > 2:  # head and feet: OpenPose writes 0 for what it did not find
            group = points[list(indices)]
            found = (group != 0).sum(axis=0)
            gathered[joint] = group.sum(axis=0) / np.maximum(found, 1)
    return gathered
