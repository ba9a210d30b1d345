"""Answers of many frames as stretches of time: what a picture of them shows, and no more."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass

from act_ros.core.action import Action, Status
from act_ros.core.person import OUT_OF_SIGHT
from act_ros.core.stamps import NANOSECONDS


@dataclass(slots=True)
class Stretch:
    """
    A time in which a person is in sight and the answer stays the same.

    ``begin`` and ``end`` are the stamps of the first and the last frame, in nanoseconds.
    """

    begin: int
    end: int
    status: Status
    label: str
    confidence: float = 0.0
    """Summed over the frames."""
    frames: int = 0


def extend(stretches: MutableSequence[Stretch], stamp: int, action: Action) -> None:
    """Take a person's action in the frame at ``stamp`` (ns): a stretch goes on, or one begins."""
    last = stretches[-1] if stretches else None
    if not last or (last.status, last.label) != (action.status, action.label) or not (
            0 <= stamp - last.end <= OUT_OF_SIGHT * NANOSECONDS):
        last = Stretch(stamp, stamp, action.status, action.label)
        stretches.append(last)
    last.end = stamp
    last.confidence += action.confidence
    last.frames += 1
