"""Match labels to the persons of each frame, and count changes of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.stamps import NANOSECONDS
from act_ros.recordings.labels import Label

# A track that begins this soon after, and this near (in heights of the box) to where a labelled
# person was last seen, is that person under another id.
_REUNION_SECONDS = 2.0
_REUNION_HEIGHTS = 0.75
# Heights a second: a runner makes two. What moves further has become somebody else's track.
_FASTEST = 3.0
# Seconds by which the times of a recording and its stamps may differ from frame to frame.
_JITTER = 0.1


@dataclass(eq=False)
class _Track:
    """Where and when an id was last in sight, and since when it must be the same body."""

    since: int
    last: int
    box: np.ndarray


@dataclass(eq=False)
class _Followed:
    """A labelled person: the id that the last label named, the present one, where last seen."""

    named: str
    id: str
    last: int = -1
    box: np.ndarray | None = None


@dataclass(eq=False)
class Truth:
    """
    Follows the labels through a recording, frame by frame.

    A label without a person holds for everybody in view. One with a person holds for whoever has
    that id when it begins. Where that id ends, or leaps to another place, and another one begins or
    leaps to where the person was, the person is followed under that id, and ``switches`` counts
    one. It also counts one where labels of the same actor name another id than before. ``max_gap``
    is that of the window: seconds for which somebody not seen any more is still in sight. ``seen``
    counts the frames in which each track was in sight.
    """

    labels: Sequence[Label]
    max_gap: float
    switches: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._next = 0
        self._active: list[Label] = []
        self._tracks: dict[str, _Track] = {}
        self._people: dict[tuple[str, str], _Followed] = {}
        # Who has an id by the first label that names it.
        self._owners = {label.person: _who(label) for label in reversed(self.labels)
                        if label.person}

    def match(self, time: int, actions: Sequence[Action]) -> list[tuple[Label, Action | None]]:
        """
        Return the labels that hold at ``time`` (of recording), each with the action it is about.

        None stands for somebody labelled who is not in sight; LOST people are not.
        """
        visible = {a.person_id: a for a in actions if a.status is not Status.LOST}
        for action in visible.values():
            self._see(time, action)
        while self._next < len(self.labels) and self.labels[self._next].start <= time:
            self._active.append(self.labels[self._next])
            if self._active[-1].person:
                self._begin(self._active[-1], visible)
            self._next += 1
        if not self._active:
            return []
        self._active = [label for label in self._active if time < label.end]
        found = self._follow(time, visible) if self._owners else {}
        pairs: list[tuple[Label, Action | None]] = []
        for label in self._active:
            if not label.person:
                pairs += [(label, action) for action in visible.values()] or [(label, None)]
            else:
                pairs.append((label, found.get(_who(label))))
        return pairs

    def _see(self, time: int, action: Action) -> None:
        self.seen[action.person_id] += 1
        track = self._tracks.get(action.person_id)
        if track is None:
            self._tracks[action.person_id] = _Track(time, time, action.box)
            # Ids are never reused: old ones need no memory beyond a reunion.
            if len(self._tracks) > 1000:
                oldest = min(self._tracks, key=lambda name: self._tracks[name].last)
                del self._tracks[oldest]
            return
        # Only where ids matter: this is for every person in every frame.
        reach = _REUNION_HEIGHTS + _FASTEST * (time - track.last) / NANOSECONDS
        if self._owners and not _is_near(track.box, action.box, reach):
            track.since = time
        track.last, track.box = time, action.box

    def _begin(self, label: Label, visible: Mapping[str, Action]) -> None:
        """Take the id that a label names, unless that one is gone and already replaced."""
        person = self._people.setdefault(_who(label), _Followed(label.person, label.person))
        if label.person != person.named or label.person in visible:
            # A change that was noticed in time has been counted.
            self.switches += person.id == person.named != label.person
            person.id, person.last, person.box = label.person, -1, None
        person.named = label.person

    def _follow(self, time: int, visible: Mapping[str, Action]) -> dict[tuple[str, str], Action]:
        """Return what those who are labelled now, and in sight, do under their present ids."""
        found: dict[tuple[str, str], Action] = {}
        wanted = {_who(label) for label in self._active if label.person}
        unsure = [who for who in sorted(wanted) if not self._is_sure(self._people[who])
                  or self._people[who].id not in visible]
        for who in wanted.difference(unsure):
            found[who] = visible[self._people[who].id]
        for who in unsure:
            if action := self._find(who, visible, {a.person_id for a in found.values()}):
                self.switches += 1
                found[who] = action
        for who, action in found.items():
            person = self._people[who]
            person.id, person.last, person.box = action.person_id, time, action.box
        # Nobody is where they were: their ids are the best guess, and after a while believed.
        taken = {action.person_id for action in found.values()}
        for who in unsure:
            person = self._people[who]
            guess = visible.get(person.id)
            if who in found or guess is None or person.id in taken:
                continue
            found[who] = guess
            if person.box is None or time > person.last + _REUNION_SECONDS * NANOSECONDS:
                person.last, person.box = time, guess.box
        return found

    def _find(
        self, who: tuple[str, str], visible: Mapping[str, Action], taken: set[str],
    ) -> Action | None:
        """Return the action of an id that has lately come to where somebody was."""
        person = self._people[who]
        if person.box is None:
            return None
        first = person.last - (self.max_gap + _JITTER) * NANOSECONDS
        last = person.last + _REUNION_SECONDS * NANOSECONDS
        for name, action in visible.items():
            is_labelled_later = self._owners.get(name, who) not in (who, *self._people)
            if name == person.id or name in taken or is_labelled_later:
                continue
            since = self._tracks[name].since
            if first <= since <= last and _is_near(person.box, action.box):
                return action
        return None

    def _is_sure(self, person: _Followed) -> bool:
        """Tell whether the person's id is the same body since it was last seen."""
        track = self._tracks.get(person.id)
        return track is not None and track.since <= person.last


def _who(label: Label) -> tuple[str, str]:
    """Return the actor, or of nobody known the id: an actor may be called as somebody's id is."""
    return label.actor, '' if label.actor else label.person


def _is_near(one: np.ndarray, other: np.ndarray, heights: float = _REUNION_HEIGHTS) -> bool:
    """Tell whether the middle of a box is within so many heights of ``one`` from that of it."""
    x_0, y_0, x_1, y_1 = one.tolist()
    u_0, v_0, u_1, v_1 = other.tolist()
    reach = 2 * heights * max(y_1 - y_0, 1.0)
    return (x_0 + x_1 - u_0 - u_1) ** 2 + (y_0 + y_1 - v_0 - v_1) ** 2 < reach * reach
