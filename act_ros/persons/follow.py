"""
Find and follow: one network finds people, another looks closely at each of them.

A network for all people at once finds well and sees badly: small, cut off or turned away they get
a low score, as do chairs. So it only proposes, in every third frame, and a network for one person
verifies what is in a square of the image and tells the pose. One person has one source of poses:
two networks disagree by more than people move, and so do two squares, which is why the square
stays where it is until the person leaves its middle.

A frame costs a fixed number of looks, more only where frames are few, and whoever waited longest
is looked at first. Not looked at is not the same as not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS
from act_ros.persons import clothes
from act_ros.persons.letterbox import Region, check_image, shown
from act_ros.persons.movenet import MultiPose, SinglePose
from act_ros.persons.onnx_networks import SimCC
from act_ros.persons.tracker import PoseTracker, Track, is_as_big, overlap

_MARGIN = 1.25
"""Width of the square around a person, as a multiple of the longer side of the box."""
_SLIM = 0.7
_STILL = 0.12
"""How far the person may move from the middle of the square, as a share of its width."""
_TIGHT, _WIDE = 0.8, 1.5
"""The square is also chosen anew where the box fills more, or less, of it than this multiple."""
_SOMEBODY = 0.3
"""Score of a look from which on its pose is told: nearly all places without anybody score less."""
_SURE_LOOK, _SURE_PROPOSAL = 0.4, 0.15
"""Scores of a look and of a proposal, one of which somebody new must have ..."""
_SURE_OF_SMALL = 0.45
"""... and the score of a look at somebody too small for the mode: bushes look like people."""
_CERTAIN = 0.55
"""Score that 95 % of people have, and less than one in a hundred places without anybody."""
_SAME_PLACE = 0.5
"""Overlap of boxes from which on two of them are one place."""
_APART, _GIVEN = 0.4, 0.25
"""Shares of a person's width: nearer than the first one neighbour hides the other; so much of it at
most is not shown, to keep the neighbour out."""
_STALE = 3
"""Finds after which the last proposal no longer tells where the person is: the pose does."""
_MAX_PAUSE = 16
"""Most finds for which a place without anybody is left alone, or one waits for its first look."""
_SMALL = 0.45
"""Height of the tallest, as a share of the image's, below which searches go nearer ..."""
_NEARER = 0.6
"""... and the share of the image's sides that they see then."""
_LOST_INTEREST = 4
"""Finds without a proposal after which a place is forgotten where a look has seen nobody."""
_OVERDUE = NANOSECONDS // 4
"""After so long the whole image is searched again, though few images came meanwhile."""
_FULL_RATE, _MOST_ROOM = 15.0, 3.0
"""Images a second below which there is room for more looks in each, and for how many times more."""


@dataclass(frozen=True)
class Schedule:
    """What a frame may cost; where frames are few it may take more looks, see `Follower`."""

    find_every: int
    """Frames from one search of the whole image to the next."""
    looks: int
    """Most looks in a frame without a search ..."""
    looks_with_find: int
    """... and in one with it."""


class FindAndFollow:
    """
    Two networks: one proposes all people in an image, one looks at a person in a square of it.

    ``PersonFinder`` follows people with them through a stream of images. A single image is searched
    by ``estimate``, which looks at every proposal.
    """

    def __init__(
        self, name: str, find: MultiPose, look: SinglePose | SimCC, score_threshold: float,
        schedule: Schedule, least_height: float,
    ) -> None:
        self.name, self.least_height = name, least_height
        self.schedule = schedule
        self.score_threshold = score_threshold
        self._find, self._look, self.layout = find, look, look.layout
        self.drops = find.drops = look.drops

    def propose(self, image_bgr: np.ndarray, region: Region | None = None) -> list[Person]:
        """
        Return what may be people, best score first, and each only once.

        :param image_bgr: (H, W, 3) uint8.
        :param region: part of the image to search; people cut by its edge are left out.
        """
        height, width = image_bgr.shape[:2]
        region = region or Region(0, 0, width, height)
        # Where the edge of the region is that of the image, people may well be cut.
        low = [edge + 2 if edge else -1 for edge in region[:2]]
        high = [edge - 2 if edge < size else size
                for edge, size in zip(region[2:], (width, height), strict=True)]
        kept: list[Person] = []
        for person in self._find.estimate(image_bgr, region):
            corner, end = person.box[:2], person.box[2:]
            if (end - corner).min() >= 2 and (corner > low).all() and (end <= high).all() and all(
                    overlap(person.box, other.box) < _SAME_PLACE for other in kept):
                kept.append(person)
        return kept

    def look(
        self, image_bgr: np.ndarray, region: Region, within: Region | None = None,
    ) -> Person | None:
        """Return who is in a region of an image (H, W, 3), or in its part ``within``, or None."""
        if shown(image_bgr, region, within) is None:
            return None  # who walked out of the image, or behind a neighbour
        person = self._look.look(image_bgr, region, within)
        return person if person.score >= self.score_threshold else None

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        """See ``PoseEstimator.estimate``; the score is the mean score of the best eight joints."""
        check_image(image_bgr)
        found: list[Person] = []
        for proposal in self.propose(image_bgr):
            person = self.look(image_bgr, region_around(proposal.box))
            if person and all(overlap(person.box, other.box) < _SAME_PLACE for other in found):
                found.append(person)
        return sorted(found, key=lambda person: -person.score)

    def reset(self) -> None:
        """Do nothing: people are remembered by ``PersonFinder``."""


@dataclass(eq=False)
class _Place:
    """A square of the image in which somebody is, or may be."""

    region: Region
    box: np.ndarray
    """Around all that was shown of the person, by proposals and poses."""
    middle: np.ndarray
    """Around the person alone (4,), as last proposed, or else as last seen."""
    looked: int
    """Number of the look that was last taken at it."""
    proposed: int
    """Number of the find in which it was last proposed."""
    evidence: float
    """Score of the proposal."""
    track: Track | None = None
    """Of whoever is followed here."""
    refuted: int = 0
    """How often in a row nobody was seen in it."""
    again: int = 0
    """Number of the find from which on it may be looked at."""

    def aim(self, box: np.ndarray) -> None:
        """Look at a box (4,) in pixels from now on, through the same square while that suits."""
        self.box, self.region = box, hold(self.region, box)


class Follower:
    """Follows people with two networks through the images of one camera."""

    def __init__(self, networks: FindAndFollow, tracker: PoseTracker) -> None:
        self._networks, self._tracker = networks, tracker
        self.reset()

    def reset(self) -> None:
        """Forget all people and places."""
        self._tracker.reset()
        self._places: list[_Place] = []
        self._frame = self._find = self._looks = 0  # how many there have been
        self._stamp = self._since = self._height = 0  # of the last frame, and since that before
        self._searched = self._search_stamp = 0  # number and stamp of the last frame searched ...
        self._next_find = 0  # ... and number of the next one to search

    def update(self, stamp: int, image_bgr: np.ndarray) -> list[Person]:
        """
        Return those of the tracked persons that were looked at and seen in this image.

        Whom a look is not sure to see keeps the id, but the pose is not told: where somebody hides
        or has left it lies on a lamp post, or on a neighbour.

        :param stamp: nanoseconds, later than that of the image before.
        :param image_bgr: uint8 (H, W, 3), all of one shape until ``reset``.
        """
        if stamp - self._stamp > self._tracker.options.max_age * NANOSECONDS:
            self.reset()  # all were lost: no place means anything
        since, self._stamp = stamp - self._stamp, stamp
        self._height = image_bgr.shape[0]
        schedule = self._networks.schedule
        self._frame += 1
        # Never in every image: those who are known would have to wait.
        is_find = self._frame >= self._next_find or (
            self._frame > self._searched + 1 and stamp - self._search_stamp >= _OVERDUE)
        if is_find:
            self._search(stamp, image_bgr)
        room = self._room(since)
        places = self._choose(round(
            room * (schedule.looks_with_find if is_find else schedule.looks)))
        self._look(stamp, image_bgr, places)
        return [p for p in self._tracker.seen(stamp) if p.score >= _SOMEBODY]

    def _room(self, since: int) -> float:
        """
        Return how many times the schedule's looks an image may take.

        Where images are few each may cost more: never more a second than at the full rate. One
        image that comes late, ``since`` nanoseconds after that before, is no reason.
        """
        steady, self._since = min(since, self._since), since
        return min(max(steady / NANOSECONDS * _FULL_RATE, 1.0), _MOST_ROOM)

    def _search(self, stamp: int, image_bgr: np.ndarray) -> None:
        """Search the whole image for new places, and for those who were lost."""
        self._find += 1
        self._searched, self._search_stamp = self._frame, stamp
        self._next_find = self._frame + self._networks.schedule.find_every
        proposals = self._networks.propose(image_bgr, self._view(image_bgr))
        tracks = self._tracker.match(stamp, proposals)
        newest = self._networks.schedule.looks  # as if looked at in the image before
        for proposal, track in zip(proposals, tracks, strict=True):
            place = next((p for p in self._places if track and p.track is track), None)
            if place is None:
                place = self._at(proposal.box)
            if place is None:
                self._places.append(_Place(region_around(proposal.box), proposal.box, proposal.box,
                                           self._looks - newest, self._find,
                                           proposal.score))
                continue
            place.proposed, place.middle = self._find, proposal.box
            place.evidence = proposal.score
            if place.refuted or not place.track:  # where it went astray the proposal leads back
                place.aim(proposal.box)
            else:  # what the proposal shows of the person, and the pose does not
                place.aim(_union(proposal.box, place.track.person.box))
        self._places = [p for p in self._places
                        if p.track or self._find - p.proposed
                        < (_LOST_INTEREST if p.refuted else _MAX_PAUSE)]

    def _view(self, image_bgr: np.ndarray) -> Region | None:
        """
        Return the part of the image to search now, or None for the whole.

        Where people are small there may be more of them, too small to be found in the whole image:
        every other search then goes nearer, into one quarter after the other.
        """
        height, width = image_bgr.shape[:2]
        known = [p.box[3] - p.box[1] for p in self._places if p.track]
        if self._find % 2 or not known or max(known) > _SMALL * height:
            return None
        corner = self._find // 2 % 4
        x, y = corner % 2 * (1 - _NEARER) * width, corner // 2 * (1 - _NEARER) * height
        return Region(round(x), round(y), round(x + _NEARER * width), round(y + _NEARER * height))

    def _at(self, box: np.ndarray) -> _Place | None:
        """Return the place that a box lies in."""
        best = max(self._places, key=lambda p: float(overlap(p.box, box)), default=None)
        return best if best and overlap(best.box, box) >= _SAME_PLACE else None

    def _choose(self, count: int) -> list[_Place]:
        """
        Return the places to look at: the longest wait first, of equals known people; refuted last.

        Somebody known whom a look has missed is due like everybody else.
        """
        waiting = [p for p in self._places if p.again <= self._find]
        waiting.sort(key=lambda p: (
            p.refuted > 0 and not p.track, p.looked, not p.track))
        return waiting[:count]

    def _look(self, stamp: int, image_bgr: np.ndarray, places: list[_Place]) -> None:
        """Look at places, and tell the tracker who is there."""
        found: list[tuple[_Place, Person]] = []
        sought = {p.track for p in places if p.track}
        for place in places:
            self._looks += 1
            place.looked = self._looks
            person = self._networks.look(image_bgr, place.region, self._within(place))
            if person is not None and self._is_somebody(place, person):
                found.append((place, person))
        persons = [person for _, person in found]
        seen = [clothes.look(image_bgr, person) for person in persons]
        owners = self._tracker.assign(
            stamp, persons, seen, sought, expected=[place.track for place, _ in found],
            hits=[hits(person.score, self._is_tall(person.box)) for person in persons])
        settled = self._settle(found, owners)
        for place in places:
            if place not in settled:
                self._refute(place)
        alive = set(self._tracker.tracks)
        for place in self._places:
            if place.track and place.track not in alive:
                place.track = None

    def _settle(
        self, found: list[tuple[_Place, Person]], owners: list[Track | None],
    ) -> set[_Place]:
        """Bring the places of those who were seen up to date, and return them."""
        place_of = {p.track: p for p in self._places if p.track}
        settled: set[_Place] = set()
        for (place, person), owner in zip(found, owners, strict=True):
            if owner is None:
                continue
            home = place_of.get(owner, place)
            if home.track not in (None, owner):  # the person of another place: a place of its own
                home = _Place(place.region, person.box, person.box, place.looked, self._find,
                              place.evidence)
                self._places.append(home)
            place_of[owner] = home
            home.track, home.refuted, home.again, home.looked = owner, 0, 0, place.looked
            moved = np.tile(owner.moved, 2)
            home.aim(_union(home.box + moved, person.box))
            home.middle = (home.middle + moved if self._find - home.proposed < _STALE
                           else person.box)
            settled.add(home)
        return settled

    def _is_somebody(self, place: _Place, person: Person) -> bool:
        """
        Tell people from ghosts: of somebody new one of the networks must be sure.

        The look must also be sure of somebody known who seems to have grown or shrunk: joints of
        something else would lead the track astray.
        """
        if place.track:
            return person.score >= _SOMEBODY or is_as_big(place.track.person.box, person.box)
        sure = _SURE_LOOK if self._is_tall(place.box) else _SURE_OF_SMALL
        return person.score >= sure or place.evidence >= _SURE_PROPOSAL

    def _is_tall(self, box: np.ndarray) -> bool:
        """Tell whether a box (4,) is as tall as the mode needs to see well."""
        return bool(box[3] - box[1] >= self._networks.least_height * self._height)

    def _within(self, place: _Place) -> Region | None:
        """Return the part of a place's region that is not its neighbours'."""
        low, high = place.region.x_min, place.region.x_max
        own = place.middle
        room = _GIVEN * (own[2] - own[0])
        for other in self._places:
            box = other.middle
            if other is place or other.refuted or min(own[3], box[3]) <= max(own[1], box[1]):
                continue
            away = (box[0] + box[2] - own[0] - own[2]) / 2
            if abs(away) < _APART * (own[2] - own[0]):
                continue  # one hides the other
            if away > 0:
                high = min(high, math.ceil(max((own[2] + box[0]) / 2, own[2] - room)))
            else:
                low = max(low, math.floor(min((own[0] + box[2]) / 2, own[0] + room)))
        return place.region._replace(x_min=low, x_max=high)

    def _refute(self, place: _Place) -> None:
        place.refuted += 1
        if place.track:
            place.again = self._find + (place.refuted > 2)
            # The next search may find the person again; it comes earlier, but never in every image.
            every = self._networks.schedule.find_every
            self._next_find = min(self._next_find, self._searched + max(every - 1, 1))
        else:
            place.again = self._find + min(2 ** (place.refuted - 1), _MAX_PAUSE)


def hits(score: float, is_tall: bool) -> int:
    """
    Return how many frames with somebody new a look of such a score is worth.

    One for the proposal and one for the look; of somebody tall enough a look may be so sure that it
    needs no second one.
    """
    return 2 + (is_tall and score >= _CERTAIN)


def region_around(box: np.ndarray) -> Region:
    """Return where to look at the person in a box (4,) of an image's pixels."""
    x, y = (box[:2] + box[2:]) / 2
    half_width, half_height = _wanted(box) / 2
    return Region(math.floor(x - half_width), math.floor(y - half_height),
                  math.ceil(x + half_width), math.ceil(y + half_height))


def _wanted(box: np.ndarray) -> np.ndarray:
    """Return the width and height (2,) of the region for a box: arms and legs need room."""
    size = box[2:] - box[:2]
    return np.maximum(np.maximum(_MARGIN * size, _SLIM * _MARGIN * size.max()), 8.0)


def _union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the box (4,) around two."""
    return np.concatenate((np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])))


def hold(region: Region, box: np.ndarray) -> Region:
    """Return the region as long as it suits a person's box (4,) in pixels, else a new one."""
    size = np.array([region.x_max - region.x_min, region.y_max - region.y_min])
    middle = np.array([region.x_min + region.x_max, region.y_min + region.y_max]) / 2
    away = np.abs((box[:2] + box[2:]) / 2 - middle)
    ratio = size / _wanted(box)
    if (away <= _STILL * size.max()).all() and (_TIGHT <= ratio).all() and (ratio <= _WIDE).all():
        return region
    return region_around(box)
