"""Clips as a robot would see them: the cameras of the evaluation, and full windows cut as live."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from act_ros.actions.features import resample
from act_ros.core.person import SEEN_SCORE
from training.augmentation import Augmentation, gather_frames, measure_bodies, render
from training.datasets.skeletons import Sequences

_RAW = Augmentation(
    raw_body=1, any_yaw=0, yaw=0, pitch=(0, 0), flip=0, roll=0, distance=(3, 3), aside=0,
    focal=(300, 300), aspect=0, followed=0, moved=0, noise=(1e-4, 1e-4), bias=0, leg_swaps=0)
VIEWS = {
    'own': replace(
        _RAW, raw_body=0, torso_to_thigh=(1.25, 1.25), head_to_torso=(0.42, 0.42),
        hips_to_torso=(0.35, 0.35), shoulder_width=(1, 1), head_forward=0.1),
    'raw': _RAW,
    'turned': Augmentation(
        raw_body=0, torso_to_thigh=(1.1, 1.4), head_to_torso=(0.35, 0.47), any_yaw=0, yaw=45,
        pitch=(0, 25), flip=0, roll=2, distance=(2.5, 6), aspect=0.03, followed=0, moved=0,
        noise=(0.01, 0.02), bias=0.02, leg_swaps=0),
}
VIEWS['moving'] = replace(VIEWS['turned'], moved=1)
VIEWS['hidden'] = replace(VIEWS['turned'], hidden=1)
"""Cameras of the evaluation: the source's own with image-like bodies, the same with the tracker's
bodies, a turned one with a detector's noise, that one on a robot that moves, and that one where
part of the body is hidden. A clip is seen by one camera throughout."""


def see_clips(sequences: Sequences, view: str, seed: int = 0) -> Sequences:
    """Return flat sequences in pixels: every clip seen by one camera of ``VIEWS[view]``."""
    bodies = measure_bodies(sequences)
    joints = np.zeros_like(sequences.joints)
    for i, (a, b) in enumerate(pairwise(sequences.offsets)):
        rng = np.random.default_rng([seed, i])
        seen = render(rng, sequences.joints[None, a:b], bodies[i:i + 1], sequences.flat[i:i + 1],
                      VIEWS[view], sequences.is_detected[i:i + 1])[0]
        joints[a:b, :, :2], joints[a:b, :, 3] = seen[..., :2], seen[..., 2]
    return replace(sequences, joints=joints, flat=np.ones(len(sequences), bool))


def clip_windows(
    sequences: Sequences, num_frames: int, frame_rate: float, stride: float = 0.25,
    pose_smoothing: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Cut whole clips into full windows, each as a live node would see it at that moment.

    A clip shorter than a window gives one that holds its first pose. There a live node differs: it
    answers from the few frames there are.

    :param stride: seconds between the ends of a clip's windows.
    :param pose_smoothing: as for `act_ros.actions.features.resample`.
    :returns: keypoints (M, T, 13, 3) of windows, and the clip (M,) that each is of.
    """
    span = (num_frames - 1) / frame_rate
    duration = sequences.duration
    counts = np.floor(np.maximum(duration - span, 0) / stride + 1e-6).astype(np.int64) + 1
    clip = np.repeat(np.arange(len(sequences)), counts)
    number = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
    end = np.minimum(duration, span)[clip] + number * stride
    frames, offsets = gather_frames(sequences, clip, end - span, end)
    owner = np.repeat(np.arange(len(clip)), np.diff(offsets))
    stamps = (frames - sequences.offsets[clip][owner]) / sequences.fps[clip][owner]
    queries = end[:, None] + np.arange(1 - num_frames, 1) / frame_rate
    windows = resample(
        stamps, sequences.joints[frames], offsets, queries, SEEN_SCORE, pose_smoothing)
    return windows[..., [0, 1, 3]], clip
