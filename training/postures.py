"""
Postures made of movements: a posture is not its transition.

Whoever sat down is sitting, and sits on while they wave or drink; who stands may hold the hands
anywhere. Few sources show that, but all show the moments before and after: those are held, and the
seated legs of one person are put under the gestures of another. All of it stays with the person
(the group) whose frames they are, and with the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from training.datasets.skeletons import UNKNOWN, Sequences, concatenate, joints_of

SITTING = 'sitting'
"""Label of whoever sits, whatever they do that is none of the other actions."""

_SHOULDERS, _HIPS, _KNEES = map(joints_of, ('shoulder', 'hip', 'knee'))
_LEGS = joints_of('hip', 'knee', 'ankle')

_SECONDS = 3.0  # a held posture lasts so long, more than a window
_MOMENT = 0.25  # seconds of real movement that are held to and fro
# Arms are at rest, or at work in front: standing. Elsewhere they may be a gesture that is held.
_STANDING_WITH = ('hands-clap', 'box', 'standing', 'pick-up', 'bend', 'sit-down')
_GESTURES = ('wave1', 'wave2', 'hands-clap', 'check-watch', 'point', 'cross-arms')


def add_postures(
    sequences: Sequences, labels: tuple[str, ...], seed: int = 0,
) -> Sequences:
    """
    Return the sequences and, behind them, the postures that can be made of them.

    Held: `SITTING` after sit-down and before get-up; ``standing`` before sit-down, pick-up and
    bend, and with the hands as in the middle of a clap or punch. Of 3D sources also seated gestures
    (which keep their label; other actions become `SITTING`) and, as `UNKNOWN`, lying people.

    :param labels: of the model; without `SITTING` among them nothing is added.
    """
    if SITTING not in labels:
        return sequences
    rng = np.random.default_rng(seed)
    number = {label: i for i, label in enumerate(labels)}
    held = list(_held(rng, sequences, number))
    seated = [part for part in held if part.label[0] == number[SITTING] and not part.flat[0]]
    made = [*held, *_seated_gestures(rng, sequences, seated, number),
            *(_lying(rng, part) for part in seated[::4])]
    return concatenate([sequences, *made])


def _held(
    rng: np.random.Generator, sequences: Sequences, number: dict[str, int],
) -> Iterator[Sequences]:
    sitting, standing = number[SITTING], number['standing']
    for i, label in enumerate(sequences.label.tolist()):
        clip = sequences.select(np.array([i]))
        last = clip.duration[0]
        if label == number['sit-down']:
            yield _hold(clip, last, sitting, 'sitting')
        elif label == number['get-up']:
            yield _hold(clip, 0.0, sitting, 'sitting')
        names = [name for name in _STANDING_WITH if number[name] == label]
        if names and rng.random() < 0.5:
            at = rng.uniform(0, last) if names[0] in ('hands-clap', 'box', 'standing') else 0.0
            yield _hold(clip, at, standing, 'standing')


def _hold(clip: Sequences, at: float, label: int, what: str) -> Sequences:
    """Return a moment of a clip, played to and fro for some seconds."""
    fps = float(clip.fps[0])
    moment = max(round(_MOMENT * fps), 2)
    count = len(clip.joints)
    first = int(np.clip(round(at * fps) - moment // 2, 0, max(count - moment, 0)))
    frames = np.arange(first, min(first + moment, count))
    # Slowly: a moment of sitting down is no sitting still.
    ramp = np.abs((np.arange(round(_SECONDS * fps)) / (4 * moment) + 0.5) % 1 * 2 - 1)
    index = frames[0] + np.rint(ramp * (len(frames) - 1)).astype(np.int64)
    return _like(clip, clip.joints[index], label, what)


def _like(clip: Sequences, joints: np.ndarray, label: int, what: str) -> Sequences:
    """Return a sequence of the same person with other joints (T, 13, 4)."""
    rest = {f.name: getattr(clip, f.name) for f in fields(Sequences)}
    return Sequences(**{
        **rest, 'joints': joints, 'offsets': np.array([0, len(joints)]),
        'label': np.array([label]), 'source_label': np.array([f'{clip.source_label[0]}/{what}']),
        'take': np.array([f'{clip.take[0]}#{what}'])})


def _seated_gestures(
    rng: np.random.Generator, sequences: Sequences, seated: list[Sequences],
    number: dict[str, int],
) -> Iterator[Sequences]:
    """Put the legs of seated people under the gestures of standing ones."""
    gestures = [number[name] for name in _GESTURES if name in number]
    wanted = ~sequences.flat & (np.isin(sequences.label, gestures)
                                | (sequences.label == UNKNOWN)) & (sequences.lengths >= 8)
    for i in np.flatnonzero(wanted).tolist():
        clip = sequences.select(np.array([i]))
        if not _is_upright(clip.joints) or not seated:
            continue
        legs = seated[int(rng.integers(len(seated)))].joints[0, :, :3]
        label = int(clip.label[0])
        yield _like(clip, _sit(clip.joints, legs), number[SITTING] if label == UNKNOWN else label,
                    'seated')


def _is_upright(joints: np.ndarray) -> bool:
    """Tell whether somebody (T, 13, 4) stands all the time: the torso above the hips."""
    torso = joints[:, _HIPS, :3].mean(axis=1) - joints[:, _SHOULDERS, :3].mean(axis=1)
    thigh = joints[:, _KNEES, 1].mean(axis=1) - joints[:, _HIPS, 1].mean(axis=1)
    length = np.linalg.norm(torso, axis=-1)
    return bool((torso[:, 1] > 0.85 * length).all() and (thigh > 0.4 * length).all())


def _sit(joints: np.ndarray, seated: np.ndarray) -> np.ndarray:
    """Return the clip (T, 13, 4) with the legs of a seated pose (13, 3), turned and sized."""
    joints = joints.copy()
    mine, theirs = joints[0, :, :3], seated

    def heading(pose: np.ndarray) -> float:
        across = pose[_SHOULDERS[0]] - pose[_SHOULDERS[1]]
        return float(np.arctan2(across[2], across[0]))

    def torso(pose: np.ndarray) -> float:
        return float(np.linalg.norm(pose[_HIPS].mean(axis=0) - pose[_SHOULDERS].mean(axis=0)))

    turn = heading(mine) - heading(theirs)
    legs = (theirs[_LEGS] - theirs[_HIPS].mean(axis=0)) * torso(mine) / max(torso(theirs), 1e-3)
    c, s = np.cos(turn), np.sin(turn)
    legs = legs @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    middle = joints[:, _HIPS, :3].mean(axis=1, keepdims=True)
    joints[:, _LEGS, :3] = middle + legs[None]
    return joints


def _lying(rng: np.random.Generator, clip: Sequences) -> Sequences:
    """Return somebody who lies: the picture of a posture, turned by about a right angle."""
    angle = np.deg2rad(rng.uniform(60, 120)) * rng.choice((-1, 1))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    joints = clip.joints.copy()
    joints[..., :2] = joints[..., :2] @ turn
    return _like(clip, joints.astype(np.float32), UNKNOWN, 'lying')
