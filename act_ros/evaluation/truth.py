"""Whose label is whose: what everybody in a frame really does, and who changed ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from act_ros.decision import Status
from act_ros.labels import Label
from act_ros.recognizer import Action
from act_ros.window import NANOSECONDS

# A person who comes into sight this soon after, and this near (in heights of the box) to where
# a labelled one was last seen, is that one under another id.
_REUNION_SECONDS = 2.0
_REUNION_HEIGHTS = 0.75


@dataclass(eq=False)
class _Seen:
    """When and where a track was first and last in sight."""

    first: int
    last: int
    box: np.ndarray


@dataclass(eq=False)
class Truth:
    """
    Follows the labels through a recording, frame by frame.

    A label without a person holds for everybody in view. One with a person holds for the track of
    that id; where the track ends and a new one begins nearby, the person is followed under the
    new id and ``switches`` counts one. ``seen`` are the frames in which each track was in sight.
    """

    labels: Sequence[Label]
    switches: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._next = 0
        self._active: list[Label] = []
        self._tracks: dict[str, _Seen] = {}
        self._id_of: dict[str, str] = {
            label.person: label.person for label in self.labels if label.person}

    def update(self, time: int, actions: Sequence[Action]) -> list[tuple[Label, Action | None]]:
        """
        Return the labels that hold at ``time`` (of recording), each with whom it is about.

        None stands for somebody labelled who is not in sight; LOST people are not.
        """
        visible = [a for a in actions if a.status is not Status.LOST]
        for action in visible:
            self._see(time, action)
        while self._next < len(self.labels) and self.labels[self._next].start <= time:
            self._active.append(self.labels[self._next])
            self._next += 1
        if not self._active:
            return []
        self._active = [label for label in self._active if time < label.end]
        by_id = {action.person_id: action for action in visible}
        pairs: list[tuple[Label, Action | None]] = []
        for label in self._active:
            if not label.person:
                pairs += [(label, action) for action in visible] or [(label, None)]
            else:
                pairs.append((label, by_id.get(self._follow(label.person, time, by_id))))
        return pairs

    def _see(self, time: int, action: Action) -> None:
        self.seen[action.person_id] += 1
        track = self._tracks.get(action.person_id)
        if track is None:
            self._tracks[action.person_id] = _Seen(time, time, action.box)
            # Ids are never reused: old ones need no memory beyond a reunion.
            if len(self._tracks) > 1000:
                oldest = min(self._tracks, key=lambda name: self._tracks[name].last)
                del self._tracks[oldest]
        else:
            track.last, track.box = time, action.box

    def _follow(self, person: str, time: int, visible: dict[str, Action]) -> str:
        """Return the id a labelled person has now."""
        current = self._id_of[person]
        lost = self._tracks.get(current)
        if current in visible or lost is None:
            return current
        taken = set(self._id_of.values())
        limit = _REUNION_SECONDS * NANOSECONDS
        for name, action in visible.items():
            track = self._tracks[name]
            if name in taken or not lost.last - limit / 4 <= track.first <= lost.last + limit:
                continue
            height = max(float(lost.box[3] - lost.box[1]), 1.0)
            if np.linalg.norm(_centre(action.box) - _centre(lost.box)) < _REUNION_HEIGHTS * height:
                self._id_of[person] = name
                self.switches += 1
                return name
        return current


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
