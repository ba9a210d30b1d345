"""
Poses to stable person ids.

Rows of a pose network are not identities: two people swap rows from frame to frame. Each track
predicts its pose at constant velocity; detections and tracks are matched one to one (Hungarian
method) by pose and box overlap, confident detections first, weak ones only to what is left
(ByteTrack, arXiv 2110.06864). Ids are ``p1``, ``p2``, ... and never used twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from act_ros.core.options import Options, option
from act_ros.core.person import Person

# Width of the pose kernel as a share of the person's size, and how many times wider it gets in a
# second unseen: loose enough for a punch at 5 fps, tight enough to keep neighbours apart.
_KERNEL = 0.15
_KERNEL_GROWTH = 3.0
# Two detections this alike are one person found twice.
_DUPLICATE = 0.6
# Time constant of the velocity estimate in seconds: people who cross at 5 fps must not take over
# each other's velocity in the one frame in which they coincide.
_VELOCITY_TIME = 0.3


@dataclass(frozen=True)
class TrackerOptions(Options):
    """Options of `PoseTracker`."""

    max_age: float = option(
        1.0, 'Seconds a person may stay unseen and still keep the id. Longer bridges occlusion, '
        'shorter avoids handing an id to somebody else.', low=0.05, high=10.0)
    min_hits: int = option(
        3, 'Frames in a row a new person must be seen before an id is given. More suppresses '
        'ghosts, fewer answers sooner.', low=1, high=30)
    new_score: float = option(
        0.3, 'Score a detection needs to start a new person; weaker ones only continue a '
        'known one.', low=0.0, high=1.0)
    min_similarity: float = option(
        0.15, 'Likeness in [0, 1] of predicted and detected pose below which they are never the '
        'same person.', low=0.01, high=0.9)


class _Track:
    """One person followed through the frames."""

    def __init__(self, stamp: int, person: Person) -> None:
        self.id = ''
        self.hits = 1
        self.stamp = stamp
        self.person = person
        self.velocity = np.zeros(2)

    def shift(self, stamp: int) -> np.ndarray:
        """Return how far (2,) the person has moved by ``stamp``."""
        return self.velocity * ((stamp - self.stamp) * 1e-9)

    def update(self, stamp: int, person: Person) -> None:
        """Take the detection as this person's newest pose."""
        dt = max((stamp - self.stamp) * 1e-9, 1e-3)
        moved = (_centre(person) - _centre(self.person)) / dt
        self.velocity += (moved - self.velocity) * (1 - np.exp(-dt / _VELOCITY_TIME))
        self.stamp, self.person, self.hits = stamp, person, self.hits + 1


class PoseTracker:
    """Gives every person of a stream of frames an id that stays theirs."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._tracks: list[_Track] = []
        self._count = 0

    def reset(self) -> None:
        """Forget all people; their ids are not used again."""
        self._tracks.clear()

    def update(self, stamp: int, persons: Sequence[Person]) -> list[Person]:
        """
        Return the persons of this frame that have an id, in the order of their ids.

        Call it for every frame, also without persons: that is how tracks age.

        :param stamp: the frame's stamp in nanoseconds, later than the one before.
        """
        options = self.options
        max_age = round(options.max_age * 1e9)
        self._tracks = [t for t in self._tracks if stamp - t.stamp <= max_age]
        likeness = _likeness(self._tracks, persons, stamp)
        strong = np.array([p.score >= options.new_score for p in persons], bool)
        confirmed = np.array([bool(t.id) for t in self._tracks], bool)

        # Known people choose first, among confident detections, then among the rest; what is
        # left may continue a track that is still on probation.
        free_tracks, free = np.ones(len(self._tracks), bool), np.ones(len(persons), bool)
        for rows, columns in ((confirmed, strong), (confirmed, ~strong), (~confirmed, strong)):
            for t, p in self._match(likeness, rows & free_tracks, columns & free):
                self._tracks[t].update(stamp, persons[p])
                free_tracks[t] = free[p] = False

        taken = [p for p, is_free in zip(persons, free, strict=True) if not is_free]
        # A newcomer that fails on probation was a ghost.
        self._tracks = [t for t, is_free in zip(self._tracks, free_tracks, strict=True)
                        if t.id or not is_free]
        for p in np.flatnonzero(free & strong).tolist():
            if all(_pose_likeness(persons[p], other) < _DUPLICATE for other in taken):
                self._tracks.append(_Track(stamp, persons[p]))
                taken.append(persons[p])
        for track in self._tracks:
            if not track.id and track.hits >= options.min_hits:
                self._count += 1
                track.id = f'p{self._count}'
        return [dataclasses.replace(t.person, id=t.id) for t in self._tracks
                if t.id and t.stamp == stamp]

    def _match(
        self, likeness: np.ndarray, rows: np.ndarray, columns: np.ndarray,
    ) -> list[tuple[int, int]]:
        """Return the best one-to-one (track, person) pairs among the given rows and columns."""
        tracks, persons = np.flatnonzero(rows), np.flatnonzero(columns)
        part = likeness[np.ix_(tracks, persons)]
        pairs = zip(*linear_sum_assignment(part, maximize=True), strict=True)
        return [(int(tracks[i]), int(persons[j])) for i, j in pairs
                if part[i, j] >= self.options.min_similarity]


def _centre(person: Person) -> np.ndarray:
    """Return the middle (2,) of the person's box."""
    return (person.box[:2] + person.box[2:]) / 2.0


def _likeness(tracks: Sequence[_Track], persons: Sequence[Person], stamp: int) -> np.ndarray:
    """Return the likeness (tracks, persons) in [0, 1] of predicted and detected people."""
    if not tracks or not persons:
        return np.zeros((len(tracks), len(persons)))
    shift = np.stack([t.shift(stamp) for t in tracks])
    unseen = np.array([(stamp - t.stamp) * 1e-9 for t in tracks])
    boxes = np.stack([t.person.box for t in tracks]) + np.tile(shift, 2)
    points = np.stack([t.person.keypoints for t in tracks])
    points = np.concatenate((points[..., :2] + shift[:, None], points[..., 2:]), axis=-1)
    found = np.stack([p.keypoints for p in persons])
    found_boxes = np.stack([p.box for p in persons])
    kernel = _KERNEL * (1 + _KERNEL_GROWTH * unseen)
    pose = _kernel_likeness(points[:, None], found[None], boxes[:, None], kernel[:, None])
    return (pose + _overlap(boxes[:, None], found_boxes[None])) / 2.0


def _pose_likeness(a: Person, b: Person) -> float:
    return float(_kernel_likeness(a.keypoints, b.keypoints, a.box, np.array(_KERNEL)))


def _kernel_likeness(
    a: np.ndarray, b: np.ndarray, box: np.ndarray, kernel: np.ndarray,
) -> np.ndarray:
    """Return how alike poses (..., K, 3) are: a score-weighted Gaussian of joint distances."""
    size = np.sqrt(np.maximum(np.prod(box[..., 2:] - box[..., :2], axis=-1), 1.0))
    distance = np.sum((a[..., :2] - b[..., :2]) ** 2, axis=-1)
    weight = np.sqrt(np.maximum(a[..., 2] * b[..., 2], 1e-6))
    alike = np.exp(-distance / (2 * (kernel * size)[..., None] ** 2))
    return np.sum(weight * alike, axis=-1) / np.sum(weight, axis=-1)


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes (..., 4)."""
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.prod(np.maximum(size, 0.0), axis=-1)
    either = (np.prod(a[..., 2:] - a[..., :2], axis=-1)
              + np.prod(b[..., 2:] - b[..., :2], axis=-1) - both)
    return both / np.maximum(either, 1e-9)
