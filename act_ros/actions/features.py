"""
Poses in pixels, at any rate, become what AcT reads: repair, resampling and normalisation.

The one way for training and serving. As ``mpose-v1`` it equals what the ``mpose`` package does
for the released MPOSE2021 arrays (reduce, centre and scale, velocities, flatten) and is tested
against it. ``motion-v1`` differs in the velocities alone. ``seen-v1`` knows which joints were seen.
"""

from __future__ import annotations

from functools import cache
from math import isfinite

import numpy as np

from act_ros.core.person import SEEN_SCORE
from act_ros.core.skeletons import get_layout, joint_sources

MPOSE = 'mpose-v1'
"""The paper's: velocities are differences of centred poses, so the way of the body is lost."""

MOTION = 'motion-v1'
"""Velocities are those in the image, for sitting down, a jump and a walk move the whole body; in
torso lengths in six frames, which makes them as large as x and y: training needs that."""

SEEN = 'seen-v1'
"""A joint not seen in a window is marked as such: its features are 0. One size a window, taken from
what is seen of the body, so that whoever comes nearer grows. Velocities as in `MOTION`, but 0 at
first."""

SCORED = 'score-v1'
"""Of the weights that the paper's authors published later: x and y as in `MPOSE`, then the score,
and no velocities."""

NORMALISATIONS = (MPOSE, MOTION, SEEN, SCORED)
"""What a model bundle may name; a network is only ever fed with the features it learned from."""

CHANNELS = 4
"""Features a joint: x, y in torso lengths, vx, vy in torso lengths a frame (`MOTION`: six)."""

MIN_SEEN = 0.5
"""Share of a model's joints that must be seen in a window for an action to be told."""

# Coordinates beyond any image are as good as NaN.
_MAX_PIXEL = 1e6
# Seconds for which a joint's place is known from when it was seen: further off it is not seen.
_BRIDGE = 0.3
# A Gaussian, at so many standard deviations from its middle, and its weights there.
_TAPS = np.arange(-2.0, 3.0)
_WEIGHTS = np.exp(-_TAPS ** 2 / 2)
_WEIGHTS = (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)
_SEEN_SHARE = 0.5  # of a window's frames in which a joint must be seen
_MOTION_FRAMES = 6.0
# How many times as long a torso is as: itself, the shoulders' width, the way from neck to head.
_TORSO_OF = (1.0, 1.4, 2.4)

_BEHIND_ALL = 1e6  # sorts what is not seen behind what is

# Whoever grows by less from frame to frame only seems to: pose networks shake, and people sway.
_LEAST_GROWTH = 0.005

# Parts of the body by their ends: whoever comes nearer grows in all of them.
_LIMBS = (
    ('head', 'l_shoulder'), ('head', 'r_shoulder'), ('l_shoulder', 'r_shoulder'),
    ('l_shoulder', 'l_elbow'), ('l_elbow', 'l_wrist'), ('r_shoulder', 'r_elbow'),
    ('r_elbow', 'r_wrist'), ('l_shoulder', 'l_hip'), ('r_shoulder', 'r_hip'), ('l_hip', 'r_hip'),
    ('l_hip', 'l_knee'), ('l_knee', 'l_ankle'), ('r_hip', 'r_knee'), ('r_knee', 'r_ankle'))

_LOWER_BODY = ('l_hip', 'r_hip', 'l_knee', 'r_knee')
# Who lies: how far the trunk leans at least (the tangent of 35 degrees), and how far below the hips
# the feet are at most, as a share of the trunk.
_LYING = ('l_shoulder', 'r_shoulder', 'l_hip', 'r_hip', 'l_ankle', 'r_ankle')
_LEAN, _BELOW = 0.7, 0.5

# The layout a model is trained on when it sees poses of the given layout.
_OUTPUT_LAYOUT = {'body25': 'mpose13_openpose', **dict.fromkeys(
    ('coco17', 'coco18', 'h36m17', 'halpe26', 'blazepose33'), 'mpose13_coco')}


def num_features(layout: str, normalisation: str = MPOSE) -> int:
    """Return the length F of a frame's feature vector in the output layout ``layout``."""
    return (3 if normalisation == SCORED else CHANNELS) * len(get_layout(layout).joints)


def mirror(layout: str, channels: int = CHANNELS) -> tuple[np.ndarray, np.ndarray]:
    """
    Return which feature of a window each one (F,) of its mirror image is, and its sign (F,).

    ``features[..., index] * sign`` are those of the mirrored person.
    """
    joints = get_layout(layout)
    index = np.arange(len(joints.joints) * channels).reshape(-1, channels)
    sign = np.ones(index.shape, np.float32)
    sign[:, 0::2 if channels == CHANNELS else channels] = -1  # x, and the velocity in x
    return index[joints.mirror].ravel(), sign.ravel()


def extract_features(
    keypoints: np.ndarray, layout: str, output_layout: str | None = None,
    normalisation: str = MPOSE, steady_size: bool = False,
) -> np.ndarray:
    """
    Turn windows of poses into AcT features.

    :param keypoints: (..., T, K, 2 or 3) x, y and perhaps score, in pixels. Not coordinates
        normalised to [0, 1]: a torso below one pixel counts as one pixel long. Zero means
        "not detected" where a joint is the mean of several, as in OpenPose. `SEEN` takes a joint
        with a score below `SEEN_SCORE` as not seen; without scores all are seen.
    :param layout: the layout of ``keypoints``.
    :param output_layout: joints and order of the features; by default the 13-joint MPOSE layout
        that belongs to ``layout``. ``'coco17'`` gives the 68 features of the paper's PoseNet runs.
    :param normalisation: one of `NORMALISATIONS`: that of the network's bundle.
    :param steady_size: of `SEEN` alone, see `seen_features`.
    :returns: (..., T, F), float64 for float64 input, else float32; joint by joint x, y, vx, vy,
        as `SCORED` x, y, score (1 where there is none).
    :raises ValueError: on a wrong shape, an unknown layout or normalisation, or values that are not
        finite.
    """
    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f'unknown normalisation {normalisation!r}; known: {", ".join(NORMALISATIONS)}')
    if normalisation == SEEN:
        return seen_features(keypoints, layout, output_layout, steady_size=steady_size)[0]
    if steady_size:
        raise ValueError(f'steady_size needs the normalisation {SEEN}, not {normalisation}')
    keypoints = _checked(keypoints, layout)
    joints = _output_joints(layout, output_layout)
    if normalisation == SCORED:
        _refuse_infinite(keypoints)
        return _with_scores(keypoints, layout, joints)
    kind = keypoints.dtype
    pair = np.result_type(kind, np.complex64)
    # x and y travel as one number. Joints first, (K, ..., T, 2): each is then one block of memory.
    joint_axis = keypoints.ndim - 2
    others = tuple(range(joint_axis))
    if keypoints.strides[-1] != keypoints.itemsize:  # y after x
        keypoints = np.ascontiguousarray(keypoints)
    points: np.ndarray = np.ascontiguousarray(
        keypoints[..., :2].view(pair).transpose(joint_axis, *others, joint_axis + 1)).view(kind)
    _refuse_infinite(points)
    *sources, neck_of, mid_hip_of = joint_sources(layout, (*joints, 'neck', 'mid_hip'))
    neck, mid_hip = _mean(points, neck_of), _mean(points, mid_hip_of)
    pose: np.ndarray = points.take([indices[0] for indices in sources], axis=0)
    for joint, indices in enumerate(sources):
        if len(indices) > 1:
            pose[joint] = _mean(points, indices)
    across = neck - mid_hip
    torso = np.maximum(np.hypot(across[..., 0], across[..., 1]), 1.0)
    place: np.ndarray = pose.view(pair)[..., 0]
    moved = place[..., 1:] - place[..., :-1] if normalisation == MOTION else None
    pose -= neck
    pose /= torso[..., None]

    features = np.empty((*pose.shape[1:-1], len(joints), 2), pair)
    by_joint = features.transpose(joint_axis, *others, joint_axis + 1)  # where, and how fast
    by_joint[..., 0] = place
    by_joint[..., 0, 1] = place[..., 0]
    by_joint[..., 1:, 1] = (
        place[..., 1:] - place[..., :-1] if moved is None
        else moved * (_MOTION_FRAMES / torso[..., 1:]))
    return features.view(kind).reshape(*features.shape[:-2], len(joints) * CHANNELS)


def seen_features(
    keypoints: np.ndarray, layout: str, output_layout: str | None = None,
    min_score: float = SEEN_SCORE, steady_size: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the features of `SEEN`, and what `seen_joints` does; arguments as `extract_features`.

    :param min_score: from which score on a joint is seen: other pose networks have other scores.
    :param steady_size: take out of a window by how much the person as a whole grows or shrinks in
        it, as they do before a camera that drives: they stay as large as in its middle.
    :raises ValueError: as `extract_features`.
    """
    keypoints = _checked(keypoints, layout)
    if not isfinite(keypoints.sum()):  # quicker than without the scores, which may be infinite
        _refuse_infinite(keypoints[..., :2])
    joints = _output_joints(layout, output_layout)
    poses = reduce_joints(keypoints, layout, joints, min_score)
    seen = _seen(poses, min_score)
    return _of_seen(poses, seen, joints, steady_size), seen


def _checked(keypoints: np.ndarray, layout: str) -> np.ndarray:
    """Return keypoints as floats; ValueError where they are none of windows of the layout."""
    keypoints = np.asarray(keypoints)
    if keypoints.dtype != np.float64:
        keypoints = keypoints.astype(np.float32, copy=False)
    joints = len(_output_joints(layout, layout))
    if keypoints.ndim < 3 or keypoints.shape[-1] not in (2, 3):
        raise ValueError(f'keypoints must be (..., T, K, 2 or 3), not {keypoints.shape}')
    if keypoints.shape[-2] != joints:
        raise ValueError(
            f'layout {layout!r} has {joints} joints, keypoints have {keypoints.shape[-2]}')
    if keypoints.shape[-3] == 0:
        raise ValueError('keypoints hold no frame')
    return keypoints


def _refuse_infinite(points: np.ndarray) -> None:
    if not isfinite(points.sum()):  # much cheaper than to look at each
        raise ValueError(
            'keypoints hold NaN or infinite values; fill missing joints first '
            '(act_ros.actions.features.resample)')


def seen_joints(
    keypoints: np.ndarray, layout: str, output_layout: str | None = None,
    min_score: float = SEEN_SCORE,
) -> np.ndarray:
    """
    Tell which of a model's joints (..., J) bool are seen in windows (..., T, K, 3) of ``layout``.

    The other arguments as for `seen_features`. Seen is what is seen in half of the frames.
    """
    poses = reduce_joints(
        _checked(keypoints, layout), layout, _output_joints(layout, output_layout), min_score)
    return _seen(poses, min_score)


def is_view_steady(
    keypoints: np.ndarray, layout: str, min_score: float = SEEN_SCORE,
) -> np.ndarray:
    """
    Tell whether in windows (..., T, K, 3) of ``layout`` hips and knees stay in view, or out of it.

    Of each pair one joint is seen in the first and in the last frame, or none is in either. Whoever
    comes into the picture from below seems to get up, and whoever leaves it to sit down.

    :returns: (...) bool.
    """
    ends = reduce_joints(keypoints[..., (0, -1), :, :], layout, _LOWER_BODY)
    seen = (ends[..., 2] >= min_score).reshape(*ends.shape[:-2], 2, 2)  # end, pair, side
    pairs: np.ndarray = np.logical_or(seen[..., 0], seen[..., 1])
    steady: np.ndarray = np.all(pairs[..., 0, :] == pairs[..., 1, :], axis=-1)
    return steady


def lies(
    keypoints: np.ndarray, layout: str, min_score: float = SEEN_SCORE,
) -> np.ndarray:
    """
    Tell of whom it is seen that they lie or fall at the end of windows (..., T, K, 3).

    In the mean of the last quarter their trunk leans by more than 35 degrees, and their feet are
    not below the hips by half of the trunk, as those of who bends down or crouches are. Shoulders,
    hips and feet must be seen for it.

    :returns: (...) bool.
    """
    last = keypoints[..., -max(keypoints.shape[-3] // 4, 1):, :, :]
    pairs = reduce_joints(last, layout, _LYING)
    pairs = pairs.reshape(*pairs.shape[:-2], 3, 2, 3)  # neck, hips and feet, of both sides
    seen = pairs[..., 2] >= min_score
    count = seen.sum(axis=(-3, -1))
    sums = np.einsum('...tpsc,...tps->...cp', pairs[..., :2], seen)
    x, y = np.moveaxis(sums / np.maximum(count, 1)[..., None, :], -2, 0)
    across, down = x[..., 1] - x[..., 0], y[..., 1] - y[..., 0]  # from the neck to the hips
    leans: np.ndarray = np.abs(across) > _LEAN * down
    not_below: np.ndarray = y[..., 2] - y[..., 1] < _BELOW * np.hypot(across, down)
    return count.all(axis=-1) & leans & not_below


def reduce_joints(
    keypoints: np.ndarray, layout: str, joints: tuple[str, ...], min_score: float = SEEN_SCORE,
) -> np.ndarray:
    """
    Return the named joints (..., J, 3) of poses (..., K, 2 or 3) in ``layout``: x, y, score.

    A joint that is the mean of several is that of those seen (a face in profile has one ear), with
    the greatest score of them; where none is seen, of all. Without scores every joint scores 1.
    """
    if keypoints.shape[-1] == 2:
        keypoints = np.concatenate((keypoints, np.ones_like(keypoints[..., :1])), axis=-1)
    first, means = _sources(layout, joints)
    poses: np.ndarray = keypoints.take(first, axis=-2)
    for joint, indices in means:
        parts = keypoints.take(indices, axis=-2)
        weight = (parts[..., 2] >= min_score) + parts.dtype.type(1e-6)
        total = np.einsum('...kc,...k->...c', parts[..., :2], weight)
        poses[..., joint, :2] = total / weight.sum(axis=-1)[..., None]
        poses[..., joint, 2] = parts[..., 2].max(axis=-1)
    return poses


@cache
def _sources(
    layout: str, joints: tuple[str, ...],
) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Return the first source (J,) of each joint, and all of those that are the mean of several."""
    sources = joint_sources(layout, joints)
    return np.array([indices[0] for indices in sources]), [
        (joint, np.array(indices)) for joint, indices in enumerate(sources) if len(indices) > 1]


@cache
def _output_joints(layout: str, output_layout: str | None) -> tuple[str, ...]:
    return get_layout(output_layout or _OUTPUT_LAYOUT.get(layout, layout)).joints


@cache
def _trunk(joints: tuple[str, ...], kind: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return what the size and the middle of a body are computed with, whatever is seen of its trunk.

    :returns: where the trunk's joints are (5,); a bit for each of them (5,), whose sum over those
        that are seen is the number of a matrix; the matrices (32, 5, 4). Places (T, 5), as complex
        numbers, times a matrix are (T, 4): the torso, the shoulders' width, the way from neck to
        head, each 0 where it is not seen, and the origin.
    """
    bits = 1 << np.arange(5)
    seen = np.arange(32)[:, None] & bits > 0
    parts = (slice(0, 2), slice(2, 4), slice(4, 5))  # the neck's, the mid-hip's, the head
    has = [seen[:, part].any(axis=1, keepdims=True) for part in parts]
    middles = np.zeros((3, 32, 5))
    for middle, part, is_seen in zip(middles, parts, has, strict=True):
        # Of what is seen of a pair; of all where nothing is, which then does not count.
        middle[:, part] = np.where(is_seen, seen[:, part], True)
    (neck, mid_hip, head), (has_neck, has_hip, has_head) = (
        middles / middles.sum(axis=-1, keepdims=True), has)
    shoulders = np.array((1.0, -1.0, 0.0, 0.0, 0.0)) * seen[:, :2].all(axis=1, keepdims=True)
    ends = np.stack((
        (neck - mid_hip) * (has_neck & has_hip), shoulders, (head - neck) * (has_neck & has_head),
        np.where(has_neck, neck, mid_hip)), axis=-1)
    return np.array([joints.index(name) for name in (
        'l_shoulder', 'r_shoulder', 'l_hip', 'r_hip', 'head')]), bits, ends.astype(kind)


def _seen(poses: np.ndarray, min_score: float) -> np.ndarray:
    """Tell which joints (..., J) are seen in windows of poses (..., T, J, 3)."""
    seen: np.ndarray = (poses[..., 2] >= min_score).sum(
        axis=-2) >= _SEEN_SHARE * poses.shape[-3]
    return seen


def _of_seen(
    poses: np.ndarray, seen: np.ndarray, joints: tuple[str, ...], steady_size: bool,
) -> np.ndarray:
    """
    Return the features (..., T, 4 J) of `SEEN` for windows of poses (..., T, J, 3).

    In few steps, since for the window of one person each costs more than what it computes.
    """
    kind = poses.dtype
    place = poses[..., :2].view(np.result_type(kind, np.complex64))[..., 0]  # x + iy (..., T, J)
    trunk, bits, ends_of = _trunk(joints, place.dtype)
    ends = place.take(trunk, axis=-1) @ ends_of[seen.take(trunk, axis=-1) @ bits]  # (..., T, 4)
    sizes = (np.abs(ends[..., :3]) * np.array(_TORSO_OF, kind)).max(axis=-1)
    frames = sizes.shape[-1]
    if steady_size:
        origin = ends[..., 3:]
        by_middle = np.arange(frames, dtype=kind) - (frames - 1) / 2
        grown = np.exp(_growth(place, sizes, seen, joints)[..., None] * by_middle).astype(kind)
        place = origin + (place - origin) / grown[..., None]
    sizes.sort(axis=-1)
    median = (sizes[..., (frames - 1) // 2] + sizes[..., frames // 2]) / 2
    features = np.zeros((*place.shape, 2), place.dtype)  # where, and how fast
    np.subtract(place, ends[..., 3:], out=features[..., 0])
    np.subtract(place[..., 1:, :], place[..., :-1, :], out=features[..., 1:, :, 1])
    scale = (seen / np.maximum(median, 1)[..., None])[..., None] * np.array(
        (1, 1, _MOTION_FRAMES, _MOTION_FRAMES), kind)
    result: np.ndarray = features.view(kind).reshape(*place.shape[:-1], -1)
    result *= scale.reshape(*scale.shape[:-2], 1, -1)
    return result


def _growth(
    place: np.ndarray, sizes: np.ndarray, seen: np.ndarray, joints: tuple[str, ...],
) -> np.ndarray:
    """
    Return the logarithm (...) of how many times as large people become from frame to frame.

    From the first to the last third of a window, as far as the trunk and most limbs agree: who
    bends has a shorter trunk, who turns or reaches out other limbs, and nobody of them grows.

    :param place: (..., T, J) x + iy.
    :param sizes: (..., T) of the trunk.
    :param seen: (..., J).
    """
    frames = place.shape[-2]
    third = max(frames // 3, 1)
    thirds = np.zeros((2, frames), sizes.dtype)
    thirds[0, :third] = thirds[1, -third:] = 1 / third
    begin, end, middle = _limbs(joints)
    lengths = np.abs(place.take(begin, axis=-1) - place.take(end, axis=-1))
    lengths = np.concatenate((lengths, sizes[..., None]), axis=-1)
    first_and_last = np.log(np.maximum(thirds @ lengths, 1.0))
    growth = first_and_last[..., 1, :] - first_and_last[..., 0, :]
    trunk, limbs = growth[..., -1], growth[..., :-1]
    is_seen = seen.take(begin, axis=-1) & seen.take(end, axis=-1)
    limbs = np.sort(np.where(is_seen, limbs, _BEHIND_ALL), axis=-1)
    most = (limbs * middle[is_seen.sum(axis=-1)]).sum(axis=-1)
    agreed: np.ndarray = (np.sign(trunk) + np.sign(most)) / 2 * np.minimum(
        np.abs(trunk), np.abs(most)) / max(frames - third, 1)
    return agreed * (np.abs(agreed) >= _LEAST_GROWTH)


@cache
def _limbs(joints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return where the limbs that a layout has begin and end, each (L,), and weights (L + 1, L).

    The sum of a row's weights times sorted values is the median of the first n, its number.
    """
    pairs = [[joints.index(joint) for joint in limb] for limb in _LIMBS if {*limb} <= {*joints}]
    begin, end = np.array(pairs).T
    middle = np.zeros((len(pairs) + 1, len(pairs)), np.float32)
    for count in range(1, len(pairs) + 1):
        for place in ((count - 1) // 2, count // 2):
            middle[count, place] += 0.5
    return begin, end, middle


def _with_scores(keypoints: np.ndarray, layout: str, joints: tuple[str, ...]) -> np.ndarray:
    """Return the features (..., T, 3 J) of `SCORED` for windows of poses (..., T, K, 2 or 3)."""
    if keypoints.shape[-1] == 2:
        keypoints = np.concatenate((keypoints, np.ones_like(keypoints[..., :1])), axis=-1)
    points = np.moveaxis(keypoints, -2, 0)
    *sources, neck_of, mid_hip_of = joint_sources(layout, (*joints, 'neck', 'mid_hip'))
    poses = np.stack([_mean(points, indices) for indices in sources], axis=-2)
    neck, mid_hip = (_mean(points, indices)[..., :2] for indices in (neck_of, mid_hip_of))
    torso = np.maximum(np.linalg.norm(neck - mid_hip, axis=-1), 1)[..., None, None]
    poses[..., :2] = (poses[..., :2] - neck[..., None, :]) / torso
    return poses.reshape(*poses.shape[:-2], -1).astype(keypoints.dtype, copy=False)


def _mean(points: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """Return the mean (..., 2) of some of the points (K, ..., 2)."""
    if len(indices) == 1:
        return points[indices[0]]
    if len(indices) == 2:  # neck and mid-hip: the plain middle, as mpose centres
        return (points[indices[0]] + points[indices[1]]) / 2
    # Head and feet: OpenPose writes 0 for what it did not find.
    group = points.take(indices, axis=0)
    return group.sum(axis=0) / np.maximum(np.count_nonzero(group, axis=0), 1)


def repaired(keypoints: np.ndarray, min_score: float = SEEN_SCORE) -> tuple[np.ndarray, np.ndarray]:
    """
    Return poses whose joints are all numbers, and how many joints of each pose are seen.

    A joint that is no number, or lies far beyond any image, is not seen: it is put amid the others
    of its pose. What is learned from and what is answered goes through here.

    :param keypoints: (N, K, 3) x, y, score.
    :param min_score: score from which on a joint counts as seen.
    :returns: keypoints (N, K, 3) and numbers (N,). A pose of which nothing is seen is of no use,
        and may still hold what is no number.
    """
    seen = keypoints[..., 2] >= min_score
    values = keypoints.ravel()
    with np.errstate(over='ignore'):
        is_sane = values.dot(values) < _MAX_PIXEL ** 2  # the quickest look; False for NaN
    if not is_sane:
        sane = (np.abs(keypoints) < _MAX_PIXEL).all(axis=-1)
        seen &= sane
        keypoints = keypoints.copy()
        for pose, is_right in zip(keypoints, sane, strict=True):
            if is_right.any():
                pose[~is_right] = (*pose[is_right, :2].mean(axis=0), 0.0)
    return keypoints, seen.sum(axis=-1)


def resample(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, queries: np.ndarray,
    min_score: float, pose_smoothing: float = 0.0,
) -> np.ndarray:
    """
    Interpolate pose sequences at given times, each joint over the frames where it was seen.

    Live windows and training clips go through here. A joint below ``min_score`` in a frame is
    interpolated between the nearest frames in which it was seen, and held at the ends; a joint
    never seen in its sequence keeps the detector's own guess. Where no frame in which it was seen
    is within 0.3 s, its score is 0: there it was not seen.

    :param times: (S,) seconds, ascending within each sequence.
    :param keypoints: (S, K, C) of N sequences, one after another; the last channel is the score.
    :param offsets: (N + 1,) sequence i is ``keypoints[offsets[i]:offsets[i + 1]]``, never empty.
    :param queries: (N, T) seconds, or (1, T) for the same times in every sequence.
    :param pose_smoothing: standard deviation in s of a Gaussian over the time around each query,
        which averages out how a pose network shakes; 0 takes the query alone.
    :returns: (N, T, K, C) float32, finite where the input is.
    """
    keypoints = _bridge_unseen(times, keypoints, offsets, min_score)
    if pose_smoothing:
        around = (queries[..., None] + _TAPS * pose_smoothing).reshape(len(queries), -1)
        # Nothing from after a window's end, which no robot has seen yet.
        around = np.minimum(np.maximum(around, queries[:, :1]), queries[:, -1:])
        poses = _interpolate(times, keypoints, offsets, around)
        poses = poses.reshape(len(poses), queries.shape[1], len(_TAPS), -1)
        return (_WEIGHTS @ poses).reshape(*poses.shape[:2], *keypoints.shape[1:])
    return _interpolate(times, keypoints, offsets, queries)


def _interpolate(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, queries: np.ndarray,
) -> np.ndarray:
    """Return the poses (N, T, K, C) at the queries, held at the ends; all as for `resample`."""
    begin, last = offsets[:-1, None], offsets[1:, None] - 1
    queries = np.minimum(np.maximum(queries, times[begin]), times[last])  # (N, T)
    frame = _last_at_or_before(times, offsets, queries)
    following = np.minimum(frame + 1, last)

    start_time = times.take(frame)
    # Where a pose is held, start and end are the same and any weight will do.
    span = np.maximum(times.take(following) - start_time, 1e-9)
    weight = ((queries - start_time) / span).astype(np.float32)[..., None]
    poses = keypoints.reshape(len(keypoints), -1)
    start, result = poses.take(frame, axis=0), poses.take(following, axis=0)
    result -= start
    result *= weight
    result += start
    return result.reshape(*frame.shape, *keypoints.shape[1:])


def _bridge_unseen(
    times: np.ndarray, keypoints: np.ndarray, offsets: np.ndarray, min_score: float,
) -> np.ndarray:
    """Return the keypoints (S, K, C) with joints that were not seen interpolated in time."""
    samples, joints, channels = keypoints.shape
    # All (joint, frame) pairs in one row, joint by joint: of the places that were seen the first
    # ``count`` lie before a place, so the nearest on either side are next to each other.
    seen = (keypoints[..., -1].T >= min_score).ravel()
    missing = (~seen).nonzero()[0]
    if len(missing) == 0:
        return keypoints
    known = np.concatenate(([-1], seen.nonzero()[0], [seen.size]))
    count = seen.cumsum().take(missing)
    before, after = known.take(count), known[1:].take(count)
    joint, frame = np.divmod(missing, samples)
    sequence = offsets.searchsorted(frame, side='right')
    start_of_row = missing - frame
    has_before = before >= start_of_row + offsets.take(sequence - 1)
    has_after = after < start_of_row + offsets.take(sequence)
    before = np.where(has_before, before, np.where(has_after, after, missing)) - start_of_row
    after = np.where(has_after, after - start_of_row, before)

    time, start_time, end_time = times.take(frame), times.take(before), times.take(after)
    since, until = np.abs(time - start_time), np.abs(end_time - time)
    is_near = (np.minimum(since, until) <= _BRIDGE) & (has_before | has_after)
    weight = (since / np.maximum(end_time - start_time, 1e-9)).astype(np.float32)[:, None]
    by_place = keypoints.reshape(-1, channels)
    start = by_place.take(before * joints + joint, axis=0)
    bridged = by_place.take(after * joints + joint, axis=0)
    bridged -= start
    bridged *= weight
    bridged += start
    bridged[:, -1] *= is_near
    keypoints = keypoints.copy()
    keypoints.reshape(-1, channels)[frame * joints + joint] = bridged
    return keypoints


def _last_at_or_before(
    times: np.ndarray, offsets: np.ndarray, queries: np.ndarray,
) -> np.ndarray:
    """Return the index (N, T) of each sequence's last time that is no later than the query."""
    if len(offsets) == 2:
        return times.searchsorted(queries, side='right') - 1
    # One search over all sequences: lay them end to end on a single ascending time axis.
    first = times[offsets[:-1]]
    shift = np.zeros(len(first))
    np.cumsum((times[offsets[1:] - 1] - first + 1.0)[:-1], out=shift[1:])
    shift -= first
    axis = times + shift.repeat(np.diff(offsets))
    return axis.searchsorted(queries + shift[:, None], side='right') - 1
