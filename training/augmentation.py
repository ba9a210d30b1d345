"""
From skeleton sequences to what the robot's network sees: windows of poses in pixels.

3D people get the proportions an image pose network would give them, are looked at by virtual
cameras, and every pose gets a detector's noise. All of it works on whole batches. Windows are
resampled and turned into features by `act_ros.actions.features`, as live.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from act_ros.actions.features import MIN_SEEN, extract_features, resample, seen_joints
from act_ros.core.skeletons import get_layout
from training.datasets.skeletons import JOINTS, UNKNOWN, Sequences, gather, joints_of
from training.errors import ErrorBank
from training.hiding import hide

if TYPE_CHECKING:
    from training.config import TrainConfig

LAYOUT = 'mpose13_coco'

_MIRROR = get_layout(LAYOUT).mirror
_HEAD, _LEGS = JOINTS.index('head'), joints_of('hip', 'knee', 'ankle')
_SHOULDERS, _HIPS, _KNEES = map(joints_of, ('shoulder', 'hip', 'knee'))
_LIMBS = joints_of('shoulder', 'elbow', 'wrist'), _LEGS
_NEAREST = 1.0  # metres between the camera and the nearest joint
_DRIFT, _SHAKE = 0.12, 0.04  # of a moved camera: body sizes a frame, standard deviation
_MOST = 6.0  # times that, at most
_MOVED_RATE = 15.0  # frames a second of such a camera

_MUCH = 1e6
_LIMITS = {
    **dict.fromkeys(
        ('raw_body', 'any_yaw', 'flip', 'followed', 'moved', 'lost_frames', 'slow_cameras',
         'lost_joints', 'leg_swaps', 'driven', 'hidden', 'errors'), (0.0, 1.0)),
    **dict.fromkeys(('noise', 'distance'), (1e-6, _MUCH)),  # whose logarithms are drawn
    'playback': (1.0, _MUCH), 'pitch': (-90.0, 90.0), 'head_forward': (-_MUCH, _MUCH)}
"""The least and the greatest value of settings that may not be any number from 0 on."""


@dataclass(frozen=True)
class Augmentation:
    """
    How far the imagined cameras, bodies and detectors differ. Angles in degrees.

    ``raw_body`` is the share of people who keep the proportions of their source. The noise is in
    parts of the body's size (standard deviation of its joints, about a torso length).
    """

    playback: float = 1.25
    """Clips are played up to so many times faster or slower."""
    outside: float = 0.2
    """Part of a window that may reach beyond the ends of its clip."""
    raw_body: float = 0.2
    torso_to_thigh: tuple[float, float] = (1.0, 1.55)
    head_to_torso: tuple[float, float] = (0.30, 0.52)
    hips_to_torso: tuple[float, float] = (0.27, 0.43)
    shoulder_width: tuple[float, float] = (0.8, 1.1)
    limbs: float = 0.0
    """Upper and lower arms and legs are longer or shorter by so much, relative, on average."""
    flat_turn: float = 0.0
    """Flat people are narrowed as if turned by up to so many degrees."""
    head_forward: float = 0.2
    """The face, which a pose network tells, lies before the head by up to so many torso lengths;
    behind it, of less than 0."""
    any_yaw: float = 0.5
    """Share of cameras all around the person; the others stand near the source's own."""
    yaw: float = 25.0
    pitch: tuple[float, float] = (-10.0, 35.0)
    flip: float = 0.5
    roll: float = 4.0
    distance: tuple[float, float] = (2.0, 8.0)
    """Metres; far away with a long lens nobody grows who walks up."""
    aside: float = 0.3
    """Tangent of how far the person may be from the optical axis."""
    focal: tuple[float, float] = (150.0, 900.0)
    aspect: float = 0.06
    followed: float = 0.2
    """Share of windows whose camera follows the person, who stays where the picture is."""
    moved: float = 0.3
    """Share of windows whose camera is carried by: the picture drifts and shakes."""
    bounce: float = 0.0
    """How differently much carried cameras move: standard deviation of the motion's logarithm. What
    is little for somebody near is much for somebody small."""
    noise: tuple[float, float] = (0.003, 0.05)
    bias: float = 0.03
    lost_frames: float = 0.3
    """Share of windows of which up to 70 % of the frames were not seen."""
    slow_cameras: float = 0.0
    """Share of windows of a camera that sends only 5 to 15 frames a second."""
    lost_joints: float = 0.3
    """Share of windows in which some joints are unseen for a while."""
    leg_swaps: float = 0.1
    """Share of windows in which left and right leg are confused for a while."""
    driven: float = 0.0
    """Share of windows of 3D people whose camera drives up to ``drive`` m/s to or from them."""
    drive: float = 1.0
    hidden: float = 0.0
    """Share of windows in which part of the body is hidden: by the picture's edge, by furniture, or
    by the body itself."""
    errors: float = 0.0
    """Share of windows, of sources that are no pose network's, with a pose network's own errors in
    place of jitter and bias; needs a `training.errors.ErrorBank`."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least, most = _LIMITS.get(name, (0.0, _MUCH))
            low, high = value if isinstance(value, tuple) else (value, value)
            if not least <= low <= high <= most:
                raise ValueError(f'{name} must lie in [{least:g}, {most:g}]'
                                 f'{", the lower first" * isinstance(value, tuple)}')


def _log_uniform(
    rng: np.random.Generator, bounds: tuple[float, float], size: int | tuple[int, ...],
) -> np.ndarray:
    low, high = np.log(bounds)
    return np.exp(rng.uniform(float(low), float(high), size))


class WindowSampler:
    """
    Draws random augmented windows, balanced over classes and sources, as a training wants them.

    :param weights: (N,) how likely each sequence is drawn, as `sampling_weights` gives them.
    """

    def __init__(
        self, sequences: Sequences, config: TrainConfig, weights: np.ndarray | None = None,
        errors: ErrorBank | None = None,
    ) -> None:
        self.sequences, self.config, self.errors = sequences, config, errors
        self._chances = np.cumsum(sampling_weights(sequences) if weights is None else weights)
        self._body = measure_bodies(sequences)

    def draw(
        self, rng: np.random.Generator, count: int, num_frames: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return features (count, T, F) float32 and labels (count,); T is ``num_frames``."""
        index = np.searchsorted(self._chances, rng.random(count) * self._chances[-1])
        windows = self._cut(rng, index, num_frames or self.config.num_frames)
        keypoints = render(rng, windows, self._body[index], self.sequences.flat[index],
                           self.config.augmentation, self.sequences.is_detected[index],
                           self.errors, self.config.frame_rate)
        # Of whom too little is seen nothing can be told, and a robot is told nothing: legs alone do
        # not say what somebody does.
        seen = seen_joints(keypoints, LAYOUT)
        is_enough = (seen.mean(axis=-1) >= MIN_SEEN) & seen[:, _SHOULDERS].any(axis=-1)
        return (extract_features(keypoints, LAYOUT, normalisation=self.config.normalisation),
                np.where(is_enough, self.sequences.label[index], UNKNOWN))

    def _cut(
        self, rng: np.random.Generator, index: np.ndarray, num_frames: int,
    ) -> np.ndarray:
        """Cut one random window (T, 13, 4) from each sequence of ``index``, at a random speed."""
        data, options, count = self.sequences, self.config.augmentation, len(index)
        rate = self.config.frame_rate
        speed = np.exp(rng.uniform(-1, 1, count) * np.log(options.playback))
        fps = data.fps[index] * speed
        duration = (data.lengths[index] - 1) / fps
        span = (num_frames - 1) / rate
        shortest, longest = np.minimum(duration, span), np.maximum(duration, span)
        # Windows lie within the clip, or the clip within the window; some reach a little beyond.
        end = rng.uniform(shortest, longest)
        slack = span * options.outside * rng.uniform(-1, 1, count) * (rng.random(count) < 0.4)
        end = np.clip(end + slack, 0.4 * shortest, None)
        # A window after the end of the clip is one whose person froze: only short ones do.
        end = np.where(duration < span, np.where(rng.random(count) < 0.5, duration, end), end)

        frames, offsets = gather_frames(data, index, (end - span) * speed, end * speed)
        joints, lengths = data.joints[frames], np.diff(offsets)
        owner = np.repeat(np.arange(count), lengths)
        within = np.arange(len(frames)) - offsets[:-1][owner]
        seconds = within / fps[owner]
        _lose(rng, joints, owner, within / lengths[owner], seconds, options)

        number = frames - data.offsets[index][owner]
        stamps = (number + rng.uniform(-0.2, 0.2, len(number))) / fps[owner]
        queries = end[:, None] + np.arange(1 - num_frames, 1) / rate
        min_score = float(rng.choice((0.01, 0.1, 0.2, 0.3)))
        return resample(stamps, joints, offsets, queries, min_score, self.config.pose_smoothing)


def _lose(
    rng: np.random.Generator, joints: np.ndarray, owner: np.ndarray, place: np.ndarray,
    seconds: np.ndarray, options: Augmentation,
) -> None:
    """
    Set scores to 0 where a detector saw nothing, in place.

    ``place`` in [0, 1) of the window, ``seconds`` from its first frame on.
    """
    count = owner[-1] + 1
    rate = rng.uniform(0, 0.7, count) * (rng.random(count) < options.lost_frames)
    lost = rng.random(len(owner)) < rate[owner]
    if options.slow_cameras:
        slow = rng.random(count) < options.slow_cameras
        tick = np.floor(seconds * rng.uniform(5, 15, count)[owner] + rng.random(count)[owner])
        is_first = np.diff(tick, prepend=-1) != 0
        is_first |= np.diff(owner, prepend=-1) != 0
        lost = np.where(slow[owner], ~is_first, lost)
    begin, length = rng.uniform(-0.3, 1, count), rng.uniform(0.05, 0.6, count)
    absent = rng.random((count, len(JOINTS))) < 0.15
    absent &= rng.random((count, 1)) < options.lost_joints
    during = (place > begin[owner]) & (place < (begin + length)[owner])
    lost_joints = lost[:, None] | (during[:, None] & absent[owner])
    joints[..., 3][lost_joints] = 0.0


def sampling_weights(
    sequences: Sequences, unknown_share: float = 0.2, balance: float = 0.5,
    emphasis: np.ndarray | None = None,
) -> np.ndarray:
    """
    Return each sequence's chance (N,), summing to 1.

    Classes that few sources have are not drawn more often for it: a network knows a source by its
    looks, and would call a walk in a film a run where most windows from films are of runs.

    :param unknown_share: share of windows of other actions, labelled `UNKNOWN`.
    :param balance: 0 draws every clip alike, 1 every class of every source alike.
    :param emphasis: (C,) how much more often than that each class is drawn.
    """
    cells = [f'{a}|{b}' for a, b in zip(sequences.label, sequences.source, strict=True)]
    _, number = np.unique(cells, return_inverse=True)
    weights = np.bincount(number)[number] ** -float(balance)
    unknown = sequences.label == UNKNOWN
    if emphasis is not None:
        weights *= np.where(unknown, 1.0, emphasis[sequences.label])
    for mask, share in ((unknown, unknown_share), (~unknown, 1 - unknown_share)):
        if mask.any():
            weights[mask] *= share / weights[mask].sum()
    return weights / weights.sum()


def at_least(weights: np.ndarray, chosen: np.ndarray, share: float) -> np.ndarray:
    """Return the chances (N,) with no less than a share for the sequences where a mask is true."""
    have = weights[chosen].sum()
    if not 0 < have < share * weights.sum():
        return weights
    return np.where(chosen, weights * share / have, weights * (1 - share) / weights[~chosen].sum())


def measure_bodies(sequences: Sequences) -> np.ndarray:
    """
    Return torso, thigh, head-to-neck and hip width (N, 4) of each sequence: medians, metres.

    A source's own proportions are its tracker's: the median over the source is the more reliable
    where a clip never shows the person upright, so the two are averaged.
    """
    joints = sequences.joints[..., :3]
    neck, hips = joints[:, _SHOULDERS].mean(axis=1), joints[:, _HIPS].mean(axis=1)

    def length(difference: np.ndarray) -> np.ndarray:
        return np.linalg.norm(difference, axis=-1)

    frames = np.stack([
        length(neck - hips), length(joints[:, _HIPS] - joints[:, _KNEES]).mean(axis=1),
        length(joints[:, _HEAD] - neck), length(joints[:, _HIPS[0]] - joints[:, _HIPS[1]]),
    ], axis=1)
    each = np.stack([np.median(frames[a:b], axis=0) for a, b in pairwise(sequences.offsets)])
    ratio = each / each[:, :1]
    for source in np.unique(sequences.source):
        mine = sequences.source == source
        ratio[mine] = (ratio[mine] + np.median(ratio[mine], axis=0)) / 2
    return np.maximum(ratio * each[:, :1], 1e-3).astype(np.float32)


def render(
    rng: np.random.Generator, windows: np.ndarray, bodies: np.ndarray, flat: np.ndarray,
    options: Augmentation, is_detected: np.ndarray | None = None, errors: ErrorBank | None = None,
    frame_rate: float = 15.0,
) -> np.ndarray:
    """
    Turn windows (N, T, 13, 4) into keypoints (N, T, 13, 3) as a detector would see them.

    ``is_detected`` (N,) tells which are a pose network's answers, whose errors they have already;
    ``frame_rate`` how fast cameras move, and ``errors`` come and go, from frame to frame.
    """
    points = windows[..., :3].copy()
    deep = np.flatnonzero(~flat)
    if len(deep):
        solid = _reshape_bodies(rng, points[deep], bodies[deep], options)
        points[deep, ..., :2] = _project(rng, solid, options, frame_rate)
    if options.limbs:
        _stretch_limbs(rng, points, options)
    if options.flat_turn and flat.any():
        turn = np.deg2rad(rng.uniform(0, options.flat_turn, (flat.sum(), 1, 1)))
        points[flat, ..., 0] *= np.cos(turn).astype(np.float32)
    keypoints = np.concatenate([points[..., :2], windows[..., 3:]], axis=-1)
    if len(flat) != len(deep):  # the unit of flat sources is arbitrary: give them pixels
        keypoints[flat, ..., :2] *= (
            rng.uniform(60, 300, (flat.sum(), 1, 1, 1)) / _size(keypoints[flat])).astype(np.float32)
    _move_camera(rng, keypoints, options, frame_rate)
    _distort(rng, keypoints, options)
    if is_detected is None:
        is_detected = np.zeros(len(keypoints), bool)
    with_errors = ~is_detected & (rng.random(len(keypoints)) < options.errors)
    if errors is not None:
        errors.add(rng, keypoints, with_errors, _size(keypoints), frame_rate)
        is_detected = is_detected | with_errors
    _detect(rng, keypoints, options, is_detected)
    hide(rng, keypoints, options.hidden)
    return keypoints


def set_proportions(
    points: np.ndarray, bodies: np.ndarray, torso_to_thigh: np.ndarray, head_to_torso: np.ndarray,
    hips_to_torso: np.ndarray,
) -> np.ndarray:
    """
    Give bodies (N, T, 13, 3) the wanted proportions (N,): hips slide along the thighs.

    Depth trackers put the hips too high and the head point at the crown.
    """
    torso, thigh, head, width = (bodies[:, i] for i in range(4))
    slide = (torso_to_thigh - torso / thigh) / (1 + torso_to_thigh)
    torso = torso + slide * thigh
    points = points.copy()
    hips, knees = points[:, :, _HIPS], points[:, :, _KNEES]
    hips += slide[:, None, None, None] * (knees - hips)
    middle = hips.mean(axis=2, keepdims=True)
    points[:, :, _HIPS] = middle + (hips - middle) * (
        hips_to_torso * torso / width)[:, None, None, None]
    neck = points[:, :, _SHOULDERS].mean(axis=2)
    points[:, :, _HEAD] = neck + (points[:, :, _HEAD] - neck) * (
        head_to_torso * torso / head)[:, None, None]
    return points


def _reshape_bodies(
    rng: np.random.Generator, points: np.ndarray, bodies: np.ndarray, options: Augmentation,
) -> np.ndarray:
    count = len(points)

    def draw(bounds: tuple[float, float]) -> np.ndarray:
        return rng.uniform(*bounds, count).astype(np.float32)

    shaped = set_proportions(points, bodies, draw(options.torso_to_thigh),
                             draw(options.head_to_torso), draw(options.hips_to_torso))
    shoulders = shaped[:, :, _SHOULDERS]
    neck = shoulders.mean(axis=2, keepdims=True)
    shaped[:, :, _SHOULDERS] = neck + (shoulders - neck) * draw(
        options.shoulder_width)[:, None, None, None]
    # Forward: up the spine and across the shoulders, y down.
    across = shoulders[:, :, 0] - shoulders[:, :, 1]
    spine = shaped[:, :, _HIPS].mean(axis=2) - neck[:, :, 0]
    forward = np.cross(spine, across)
    forward *= np.linalg.norm(spine, axis=-1, keepdims=True) / np.maximum(
        np.linalg.norm(forward, axis=-1, keepdims=True), 1e-6)
    by = options.head_forward * draw((0.0, 1.0))
    shaped[:, :, _HEAD] += forward * by[:, None, None]
    raw = rng.random(count) < options.raw_body
    shaped[raw] = points[raw]
    return shaped


def _stretch_limbs(rng: np.random.Generator, points: np.ndarray, options: Augmentation) -> None:
    """Change the lengths of the limbs of windows (N, T, 13, 3), left and right alike, in place."""
    for limb in _LIMBS:
        scale = np.exp(rng.normal(0, options.limbs, (len(points), 1, 2, 1))).astype(np.float32)
        for joints in (limb[::2], limb[1::2]):  # left, right
            bones = np.diff(points[:, :, joints], axis=2)
            points[:, :, joints[1:]] = points[:, :, joints[:1]] + np.cumsum(bones * scale, axis=2)


def look(
    points: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, position: np.ndarray,
    focal: np.ndarray,
) -> np.ndarray:
    """
    See windows (N, T, 13, 3) through cameras turned about each person: pixels (N, T, 13, 2).

    :param yaw, pitch: (N,) radians; a positive pitch looks down.
    :param position: (N, 3) metres: where the person's middle is before the camera; (N, T, 3) for
        a camera that moves.
    :param focal: (N,) pixels.
    """
    centre = points[:, :, _HIPS].mean(axis=(1, 2), keepdims=True)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    zero = np.zeros_like(cy)
    turn = np.stack([cy, zero, sy, sp * sy, cp, -sp * cy, -cp * sy, sp, cp * cy],
                    axis=-1).reshape(-1, 3, 3).astype(np.float32)
    seen = (points - centre).reshape(len(points), -1, 3) @ turn.transpose(0, 2, 1)
    seen = seen.reshape(points.shape)
    position = position.astype(np.float32)
    if position.ndim == 2:
        position = position[:, None]
    seen += position[:, :, None]
    # A person who comes nearer than the camera allows would pass it: stand further back.
    seen[..., 2] += np.maximum(_NEAREST - seen[..., 2].min(axis=(1, 2), keepdims=True), 0.0)
    pixels = seen[..., :2] / seen[..., 2:]
    pixels *= focal[:, None, None, None].astype(np.float32)
    return pixels


def _project(
    rng: np.random.Generator, points: np.ndarray, options: Augmentation, frame_rate: float,
) -> np.ndarray:
    count = len(points)
    around = rng.random(count) < options.any_yaw
    yaw = np.where(around, rng.uniform(-180, 180, count), rng.normal(0, options.yaw, count))
    distance = _log_uniform(rng, options.distance, count)
    position = np.stack([
        distance * rng.uniform(-options.aside, options.aside, count),
        distance * rng.uniform(-options.aside, options.aside, count) / 2, distance], axis=-1)
    if options.driven:
        speed = rng.uniform(-options.drive, options.drive, count) * (
            rng.random(count) < options.driven)
        frames = points.shape[1]
        way = speed[:, None] * (np.arange(frames) - frames / 2) / frame_rate
        position = np.repeat(position[:, None], frames, axis=1)
        position[..., 2] += way
    return look(points, np.deg2rad(yaw), np.deg2rad(rng.uniform(*options.pitch, count)), position,
                rng.uniform(*options.focal, count))


def _size(keypoints: np.ndarray) -> np.ndarray:
    """Return the size of the body (N, 1, 1, 1) in pixels: its joints' spread."""
    xy, joints = keypoints[..., :2], keypoints.shape[2]
    middle = np.einsum('ntjc->ntc', xy) / joints
    square = np.einsum('ntjc,ntjc->nt', xy, xy) / joints
    variance = square - np.einsum('ntc,ntc->nt', middle, middle)
    return np.sqrt(np.maximum(variance.mean(axis=1), 1e-6))[:, None, None, None]


def _move_camera(
    rng: np.random.Generator, keypoints: np.ndarray, options: Augmentation, frame_rate: float,
) -> None:
    """Let some cameras follow the person, and others drift and shake; in place."""
    count, frames = keypoints.shape[:2]
    followed = rng.random(count) < options.followed
    middle = keypoints[followed][:, :, _HIPS + _SHOULDERS, :2].mean(axis=2, keepdims=True)
    keypoints[followed, ..., :2] -= middle - middle.mean(axis=1, keepdims=True)
    moved = np.flatnonzero(rng.random(count) < options.moved)
    each = (len(moved), 1, 2)
    much = np.minimum(np.exp(rng.normal(0, 1, each) * options.bounce), _MOST)
    drift = rng.normal(0, _DRIFT, each) * (1.0, 0.3)  # a robot turns more than it nods
    pace = _MOVED_RATE / frame_rate
    turns = pace * np.arange(frames)[:, None] * rng.uniform(0.1, 1.0, each)
    shake = rng.normal(0, _SHAKE, each) * np.sin(turns + rng.uniform(0, 2 * np.pi, each))
    way = np.cumsum((drift + shake) * much * pace, axis=1)[:, :, None] * _size(keypoints[moved])
    keypoints[moved, ..., :2] += way.astype(np.float32)


def _distort(rng: np.random.Generator, keypoints: np.ndarray, options: Augmentation) -> None:
    """Mirror some of the windows, roll the camera, and change the pixels' aspect; in place."""
    count = len(keypoints)
    flip = rng.random(count) < options.flip
    keypoints[flip] = keypoints[flip][:, :, _MIRROR]
    keypoints[flip, ..., 0] *= -1
    roll = np.deg2rad(rng.normal(0, options.roll, count))
    stretch = np.exp(rng.normal(0, options.aspect, count))
    turn = np.stack([np.cos(roll) * stretch, -np.sin(roll), np.sin(roll) * stretch, np.cos(roll)],
                    axis=-1).reshape(-1, 1, 2, 2).astype(np.float32)
    keypoints[..., :2] = keypoints[..., :2] @ turn.transpose(0, 1, 3, 2)


def _detect(
    rng: np.random.Generator, keypoints: np.ndarray, options: Augmentation,
    is_detected: np.ndarray,
) -> None:
    """
    Add a detector's errors, in place: jitter, a bias of each joint, confused legs.

    Where they are a detector's already, a quarter of the jitter and bias.
    """
    count, frames, joints = keypoints.shape[:3]
    share = np.where(is_detected, 0.25, 1.0).astype(np.float32)
    size = _size(keypoints) * share[:, None, None, None]
    sigma = _log_uniform(rng, options.noise, (count, 1, 1, 1)).astype(np.float32) * size
    jitter = rng.standard_normal((count, frames, joints, 2), np.float32)
    bias = rng.standard_normal((count, 1, joints, 2), np.float32)
    bias *= options.bias * rng.random((count, 1, 1, 1), np.float32)
    keypoints[..., :2] += jitter * sigma + bias * size
    begin, length = rng.uniform(-0.2, 1, (count, 1)), rng.uniform(0.05, 0.4, (count, 1))
    place = np.arange(frames) / frames
    swap = (place > begin) & (place < begin + length)
    swap &= rng.random((count, 1)) < options.leg_swaps
    window, frame = np.nonzero(swap)
    moved = keypoints[window, frame]
    moved[:, _LEGS] = moved[:, _MIRROR[_LEGS]]
    keypoints[window, frame] = moved


def gather_frames(
    sequences: Sequences, index: np.ndarray, begin: np.ndarray, end: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (M,) around [begin, end] (n,) s of sequences (n,), and offsets (n + 1,)."""
    fps, longest = sequences.fps[index], sequences.lengths[index] - 1
    first = np.clip(np.floor(begin * fps) - 1, 0, np.maximum(longest - 1, 0)).astype(np.int64)
    last = np.clip(np.ceil(end * fps) + 1, first, longest).astype(np.int64)
    return gather(sequences.offsets[index] + first, last - first + 1)
