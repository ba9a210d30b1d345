"""
Poses to stable person ids.

Rows of a pose network are not identities: two people swap rows from frame to frame. Each track
predicts its pose at constant velocity; detections and tracks are matched one to one (Hungarian
method) by pose and box overlap, confident detections first, weak ones only to what is left
(ByteTrack, arXiv 2110.06864). Clothes count by how much less than usual they look like what the
person wears. Ids are ``p1``, ``p2``, ... and never used twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf

import numpy as np
from scipy.optimize import linear_sum_assignment

from act_ros.core.options import Options, option
from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.skeletons import TORSO
from act_ros.core.stamps import NANOSECONDS
from act_ros.persons.clothes import likeness as clothes_likeness

# How far a joint may be from where it is expected, as a share of the person's size (the width of a
# Gaussian): by the network's error, large in a crowd, and by its own movement in a second.
_ERROR, _MOVEMENT = 0.15, 0.45
# Two detections this alike are one person found twice.
_DUPLICATE = 0.6
# Nanoseconds after which two tracks in one pose are no longer two people who pass each other, and
# for which a track's last pose tells whether it is in the pose of another.
_PASSING, _RECENT = NANOSECONDS // 2, NANOSECONDS // 4
# Time constant of the velocity estimate in seconds: people who cross at 5 fps must not take over
# each other's velocity in the one frame in which they coincide.
_VELOCITY_TIME = 0.3
# How much it counts against a match that clothes are less alike than usual, in units of the
# likeness of pose and place.
_CLOTHES = 2.0
# Likeness of pose and place from which on clothes do not matter, since light and folds change, too.
# They do matter where others are near, where they are so much less alike than usual that they are
# another person's, and where somebody was out of sight for so many nanoseconds.
_SURE, _ANOTHER = 0.6, 0.4
_LONG_GONE = 3 * NANOSECONDS // 10
# Share of a new look at the clothes that is taken over, how alike two looks usually are, and the
# overlap of boxes from which on they may be the neighbour's.
_CLOTHES_RATE, _USUAL = 0.1, 0.95
_CLOSE = 0.1
# How much less than usual the same clothes may be alike where they alone decide: somebody jumps.
_SAME_CLOTHES = 0.05
# What it is worth to be where somebody was looked for, in another pose: less than any likeness.
_PLACE = 0.01


@dataclass(frozen=True)
class TrackerOptions(Options):
    """Options of `PoseTracker`."""

    max_age: float = option(
        1.0, 'Seconds a person may stay unseen and still keep the id. Longer bridges occlusion, '
        'shorter avoids handing an id to somebody else.', low=0.05, high=10.0)
    min_hits: int = option(
        3, 'Frames in a row a new person must be seen before an id is given; in a mode of two '
        'networks the proposal counts as one, and a sure look at somebody tall as two. More '
        'suppresses ghosts, fewer answers sooner.', low=1, high=30)
    new_score: float = option(
        0.3, 'Score a detection needs to start a new person; weaker ones only continue a '
        'known one.', low=0.0, high=1.0)
    min_similarity: float = option(
        0.15, 'Likeness in [0, 1] of predicted and detected pose below which they are never the '
        'same person.', low=0.01, high=0.9)


@dataclass(eq=False)
class Track:
    """One person followed through the frames."""

    stamp: int
    """When the person was last seen, nanoseconds ..."""
    person: Person
    """... and how."""
    hits: int
    """Frames in which the person was seen: enough of them end the probation."""
    id: str = ''
    """Empty while on probation."""
    moved: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """How far (2,) the last pose is from the one before, pixels."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """Pixels a second (2,), smoothed."""
    clothes: np.ndarray | None = None
    """What the person wears (40,), as far as it was learned: `act_ros.persons.clothes`."""
    usual: float = _USUAL
    """How alike two looks at these clothes usually are."""
    was_alone: bool = False
    """Whether the clothes were learned while nobody was near."""
    fit: float = 0.0
    """How alike the clothes were when they were last seen."""
    is_missed: bool = False
    """Whether the person was looked for since, in vain."""
    double_since: int | None = None
    """Stamp from which on another track has been in the same pose."""

    def update(self, stamp: int, person: Person) -> None:
        """Take the detection as this person's newest pose."""
        dt = max((stamp - self.stamp) * 1e-9, 1e-3)
        self.moved = _moved(self.person, person)
        self.velocity += (self.moved / dt - self.velocity) * (1 - np.exp(-dt / _VELOCITY_TIME))
        self.stamp, self.person, self.hits = stamp, person, self.hits + 1
        self.is_missed = False

    def learn(self, clothes: np.ndarray, is_alone: bool) -> None:
        """Learn a little of clothes (40,); beside others only until somebody stood alone."""
        if is_alone and not self.was_alone:
            self.clothes, self.was_alone = None, True
        if is_alone or not self.was_alone:
            old = clothes if self.clothes is None else self.clothes
            self.usual += _CLOTHES_RATE * (clothes_likeness(old, clothes) - self.usual)
            self.clothes = old + _CLOTHES_RATE * (clothes - old)

    def wore(self, clothes: np.ndarray | None, stamp: int) -> bool:
        """Tell whether this is known to have worn such clothes (40,) a moment ago."""
        return (clothes is not None and self.clothes is not None
                and stamp - self.stamp <= _LONG_GONE
                and clothes_likeness(self.clothes, clothes) >= self.usual - _SAME_CLOTHES)


class PoseTracker:
    """Gives every person of a stream of frames an id that stays theirs."""

    def __init__(
        self, options: TrackerOptions | None = None, numbers: Iterator[int] | None = None,
    ) -> None:
        """Take options, and the numbers of the ids: those of a tracker before this one go on."""
        self.options = options or TrackerOptions()
        self.tracks: list[Track] = []
        self._numbers = numbers or count(1)
        self._stamp = 0

    def reset(self) -> None:
        """Forget all people; their ids are not used again."""
        self.tracks.clear()

    def update(self, stamp: int, persons: Sequence[Person]) -> list[Person]:
        """
        Return the persons of this frame that have an id, in the order of their ids.

        Call it for every frame, also without persons: that is how tracks age.

        :param stamp: the frame's stamp in nanoseconds, later than the one before.
        """
        self.assign(stamp, persons)
        return self.seen(stamp)

    def seen(self, stamp: int) -> list[Person]:
        """Return the persons with an id that were seen at ``stamp``, in the order of ids."""
        return [dataclasses.replace(t.person, id=t.id) for t in self.tracks
                if t.id and t.stamp == stamp]

    def assign(
        self, stamp: int, persons: Sequence[Person],
        clothes: Sequence[np.ndarray | None] | None = None,
        sought: Collection[Track] | None = None, hits: Sequence[int] | None = None,
        expected: Sequence[Track | None] | None = None,
    ) -> list[Track | None]:
        """
        Give the persons of a frame to the tracks, and return the track of each, or None.

        :param stamp: the frame's stamp in nanoseconds, later than the one before.
        :param clothes: (40,) of each person, where they are seen (`act_ros.persons.clothes`).
        :param sought: the tracks that were looked for in this frame, by default all; the others
            do not count as missed.
        :param hits: how many frames each person counts as if it is somebody new, at least 1.
        :param expected: the track that each person was looked for as.
        """
        self._forget_gone(stamp, sought is None)
        clothes = clothes or [None] * len(persons)
        worth = self._worth_now(stamp, persons, clothes)
        theirs = np.zeros(len(persons), bool)  # of those whose turn it was not
        if expected:
            theirs = self._keep_waiting(worth, expected, sought)
            self._weigh_places(worth, stamp, persons, clothes, expected)
        strong = np.array([p.score >= self.options.new_score for p in persons], bool)
        owners = self._deal(worth, strong)
        for person, owner, worn in zip(persons, owners, clothes, strict=True):
            if owner is not None:
                owner.update(stamp, person)
                if worn is not None and owner.clothes is not None:
                    owner.fit = clothes_likeness(owner.clothes, worn)
        for track in self.tracks:
            if track not in owners and (sought is None or track in sought):
                track.is_missed = True
        self._begin(stamp, persons, owners, strong & ~theirs, hits)
        self._drop_doubles(stamp)
        self.tracks.sort(key=lambda track: int(track.id[1:]) if track.id else inf)
        alone = dict(zip(self.tracks, self._alone().tolist(), strict=True))
        for owner, worn in zip(owners, clothes, strict=True):
            if owner in alone and worn is not None:
                owner.learn(worn, alone[owner])
        return owners

    def match(self, stamp: int, persons: Sequence[Person]) -> list[Track | None]:
        """Return the track that each person may be, and change nothing."""
        worth = self._worth(_likeness(self.tracks, persons, stamp))
        pairs = self._match(worth, *(np.ones(size, bool) for size in worth.shape))
        owner = {p: self.tracks[t] for t, p in pairs}
        return [owner.get(p) for p in range(len(persons))]

    def _forget_gone(self, stamp: int, is_whole: bool) -> None:
        """Forget people not seen for long; ``is_whole``: everybody was looked for."""
        max_age = round(self.options.max_age * NANOSECONDS)
        is_gap = stamp - self._stamp > max_age
        self._stamp = stamp
        self.tracks = [t for t in self.tracks
                       if stamp - t.stamp <= max_age
                       or not (is_gap or t.is_missed or is_whole)]

    def _worth_now(
        self, stamp: int, persons: Sequence[Person], clothes: Sequence[np.ndarray | None],
    ) -> np.ndarray:
        """Return what matches (tracks, persons) are worth by pose, place and clothes."""
        likeness = _likeness(self.tracks, persons, stamp)
        other = self._other_clothes(clothes)
        if other.any():
            here = np.array([not t.is_missed or stamp - t.stamp <= _LONG_GONE
                             for t in self.tracks])
            is_sure = (likeness >= _SURE) & (other < _ANOTHER)
            other[is_sure & (self._alone() & here)[:, None]] = 0.0
        return self._worth(likeness, other)

    def _deal(self, worth: np.ndarray, strong: np.ndarray) -> list[Track | None]:
        """
        Return the track that each person is given to, or None.

        Known people choose first, among confident detections (``strong``), then among the rest;
        what is left may continue a track that is still on probation.
        """
        confirmed = np.array([bool(t.id) for t in self.tracks], bool)
        free_tracks, free = np.ones(len(self.tracks), bool), np.ones(len(strong), bool)
        owners: list[Track | None] = [None] * len(strong)
        for rows, columns in ((confirmed, strong), (confirmed, ~strong), (~confirmed, strong)):
            for t, p in self._match(worth, rows & free_tracks, columns & free):
                owners[p] = self.tracks[t]
                free_tracks[t] = free[p] = False
        return owners

    def _begin(
        self, stamp: int, persons: Sequence[Person], owners: list[Track | None],
        may_be_new: np.ndarray, hits: Sequence[int] | None,
    ) -> None:
        """Begin tracks of those who have none, in ``owners``, and give ids after the probation."""
        taken = [track.person for track in owners if track]
        # A newcomer that fails on probation was a ghost.
        self.tracks = [t for t in self.tracks if t.id or not t.is_missed]
        taken += [t.person for t in self.tracks if t.stamp < stamp <= t.stamp + _RECENT]
        for p in may_be_new.nonzero()[0].tolist():
            if owners[p] is None and (
                    _pose_likeness([persons[p]], taken) < _DUPLICATE).all():
                track = owners[p] = Track(stamp, persons[p], hits[p] if hits else 1)
                self.tracks.append(track)
                taken.append(persons[p])
        for track in self.tracks:
            if not track.id and track.hits >= self.options.min_hits:
                track.id = f'p{next(self._numbers)}'

    def _worth(self, likeness: np.ndarray, other: np.ndarray | float = 0.0) -> np.ndarray:
        """
        Return what a match (tracks, persons) is worth; 0 where it must not be.

        :param likeness: of pose and place, (tracks, persons) in [0, 1].
        :param other: how much less than usual the clothes are alike, (tracks, persons) in [0, 1].
        """
        is_possible = likeness - other >= self.options.min_similarity
        return np.where(is_possible, 1 + likeness - _CLOTHES * other, 0.0)

    def _keep_waiting(
        self, worth: np.ndarray, expected: Sequence[Track | None],
        sought: Collection[Track] | None,
    ) -> np.ndarray:
        """
        Keep tracks whose turn it was not from poses found where somebody known was sought.

        Their own look is due soon and sees them better. Such a pose belongs to whoever was sought
        there, or to nobody; it is nobody new.

        :returns: which poses (persons,) these are.
        """
        waits = np.array([sought is not None and t not in sought and not t.is_missed
                          for t in self.tracks], bool)
        aimed = np.array([bool(track and track.id) for track in expected], bool)
        theirs = (worth[waits] > 0).any(axis=0) & aimed
        for p in theirs.nonzero()[0].tolist():
            worth[[track is not expected[p] for track in self.tracks], p] = 0.0
        return theirs

    def _weigh_places(
        self, worth: np.ndarray, stamp: int, persons: Sequence[Person],
        clothes: Sequence[np.ndarray | None], expected: Sequence[Track | None],
    ) -> None:
        """
        Change what matches are worth (tracks, persons) by where people were looked for.

        A pose without a torso may be anybody's: it continues the track it was looked for as, or
        none. One whose clothes are not seen continues no other track whose clothes are known and
        in whose own place somebody was found. In whatever pose, somebody of about its size nearby
        continues a track that has no id, so that none can go to the wrong person, or that wore such
        clothes a moment ago.
        """
        at_home = np.array([t.clothes is not None and t in expected for t in self.tracks], bool)
        for p, track in enumerate(expected):
            is_it = np.array([t is track for t in self.tracks], bool)
            if np.count_nonzero(persons[p].keypoints[TORSO, 2] >= SEEN_SCORE) < 2:
                worth[~is_it, p] = 0.0
            elif clothes[p] is None:
                worth[~is_it & at_home, p] = 0.0
            if track and (not track.id or track.wore(clothes[p], stamp)) and _is_nearby(
                    track.person.box, persons[p].box):
                worth[is_it, p] = np.maximum(worth[is_it, p], _PLACE)

    def _other_clothes(self, clothes: Sequence[np.ndarray | None]) -> np.ndarray:
        """Return how much less than usual clothes (tracks, persons) are alike, where both known."""
        other = np.zeros((len(self.tracks), len(clothes)))
        for t, track in enumerate(self.tracks):
            for p, worn in enumerate(clothes):
                if worn is not None and track.clothes is not None:
                    other[t, p] = max(track.usual - clothes_likeness(track.clothes, worn), 0.0)
        return other

    def _drop_doubles(self, stamp: int) -> None:
        """Forget one of two tracks that stay in one pose: they follow one person."""
        tracks = self.tracks
        persons, named = [t.person for t in tracks], [bool(t.id) for t in tracks]
        alike = _pose_likeness(persons, persons) if len(persons) > 1 else np.zeros((1, 1))
        double = {i for i, j in zip(*(alike >= _DUPLICATE).nonzero(), strict=True)
                  if tracks[j].stamp + _RECENT >= stamp
                  and i != j and (named[j] or not named[i] and j < i)}
        for i, track in enumerate(tracks):
            if track.stamp == stamp and (i not in double or track.double_since is None):
                track.double_since = stamp if i in double else None
        self.tracks = [t for t in tracks if t.id or t.double_since is None]
        doubled = [i for i, t in enumerate(tracks)
                   if t.double_since is not None and t.stamp - t.double_since >= _PASSING]
        # Who is there is told by the clothes, best by those learned elsewhere.
        doubled.sort(key=lambda i: (
            tracks[i].was_alone and tracks[i].fit >= tracks[i].usual - _SAME_CLOTHES,
            tracks[i].fit), reverse=True)
        for i in doubled:
            others = [tracks[j] for j in doubled if j != i and alike[i, j] >= _DUPLICATE]
            if others and tracks[i] in self.tracks:
                self.tracks = [t for t in self.tracks if t not in others]
                tracks[i].double_since = None

    def _alone(self) -> np.ndarray:
        """Tell of each track (tracks,) whether nobody with an id is near."""
        if len(self.tracks) < 2:
            return np.ones(len(self.tracks), bool)
        boxes = np.array([t.person.box for t in self.tracks])
        near = overlap(boxes[:, None], boxes[None]) >= _CLOSE
        near.flat[::len(near) + 1] = False
        has_id = np.array([bool(t.id) for t in self.tracks], bool)
        return np.asarray(~(near & has_id).any(axis=1))

    @staticmethod
    def _match(
        worth: np.ndarray, rows: np.ndarray, columns: np.ndarray,
    ) -> list[tuple[int, int]]:
        """Return the best one-to-one (track, person) pairs among the given rows and columns."""
        tracks, persons = rows.nonzero()[0], columns.nonzero()[0]
        part = worth[tracks[:, None], persons]
        i, j = linear_sum_assignment(part, maximize=True)
        is_pair = part[i, j] > 0
        return list(zip(tracks[i[is_pair]].tolist(), persons[j[is_pair]].tolist(), strict=True))


def is_as_big(before: np.ndarray, now: np.ndarray) -> bool:
    """Tell whether a box (4,) is neither twice as large as one before, nor half of it."""
    sizes = [float((box[2:] - box[:2]).max()) for box in (before, now)]
    return max(sizes) < 2 * min(sizes)


def _is_nearby(before: np.ndarray, now: np.ndarray) -> bool:
    """Tell whether a box (4,) is one before, moved by at most half of it; else it is a ghost."""
    size = max(float((box[2:] - box[:2]).max()) for box in (before, now))
    away = np.abs(before[:2] + before[2:] - now[:2] - now[2:]) / 2
    return is_as_big(before, now) and bool((away <= size / 2).all())


def _moved(before: Person, now: Person) -> np.ndarray:
    """Return how far (2,) a person has moved: the joints' mean, by how well both poses see them."""
    weight = np.minimum(before.keypoints[:, 2], now.keypoints[:, 2])
    shift = now.keypoints[:, :2] - before.keypoints[:, :2]
    return weight @ shift / max(float(weight.sum()), 1e-6)


def _likeness(tracks: Sequence[Track], persons: Sequence[Person], stamp: int) -> np.ndarray:
    """Return the likeness (tracks, persons) in [0, 1] of predicted and detected people."""
    if not tracks or not persons:
        return np.zeros((len(tracks), len(persons)))
    unseen = np.array([(stamp - t.stamp) * 1e-9 for t in tracks])[:, None]
    shift = np.array([t.velocity for t in tracks]) * unseen
    boxes = np.array([t.person.box for t in tracks]) + np.concatenate((shift, shift), axis=1)
    pose = _pose_likeness(
        [t.person for t in tracks], persons, shift, _ERROR + _MOVEMENT * unseen)
    return (pose + overlap(boxes[:, None], np.array([p.box for p in persons]))) / 2.0


def _pose_likeness(
    some: Sequence[Person], others: Sequence[Person], shift: np.ndarray | None = None,
    width: np.ndarray | float = _ERROR,
) -> np.ndarray:
    """
    Return how alike poses (some, others) are: a score-weighted Gaussian of joint distances.

    :param some: one at least.
    :param shift: how far some are moved for it, pixels (some, 2).
    :param width: of the Gaussian as a share of the size of some, (some, 1).
    """
    if not others:
        return np.zeros((len(some), 0))
    points = np.array([p.keypoints for p in some])[:, None]
    found = np.array([p.keypoints for p in others])
    size = np.sqrt(np.maximum(_area(np.array([p.box for p in some])), 1.0))[:, None]
    away = points[..., :2] - found[..., :2]
    if shift is not None:
        away = away + shift[:, None, None]
    away = away * away
    weight = np.sqrt(np.maximum(points[..., 2] * found[..., 2], 1e-6))
    scale = width * size
    alike = np.exp((away[..., 0] + away[..., 1]) / (-2 * (scale * scale))[..., None])
    return np.add.reduce(weight * alike, axis=-1) / np.add.reduce(weight, axis=-1)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes (..., 4)."""
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    size = np.maximum(size, 0.0)
    both = size[..., 0] * size[..., 1]
    return both / np.maximum(_area(a) + _area(b) - both, 1e-9)


def _area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes (..., 4)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(size[..., 0] * size[..., 1])
