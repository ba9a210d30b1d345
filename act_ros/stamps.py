"""The order of message stamps: what is new, what came too late, where time jumped back."""

from __future__ import annotations

from enum import Enum


class Arrival(Enum):
    """What a stamp is to the ones before it."""

    NEW = 'new'
    LATE = 'late'
    JUMP = 'jump'


class StampOrder:
    """
    Judges the stamps (integer nanoseconds) of one stream.

    A stamp at or up to ``tolerance`` seconds before the newest is LATE (out of order, or a
    repeat): drop its message. One further back is a JUMP (a bag that loops, a simulation reset):
    forget what was known and go on from there.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = round(tolerance * 1e9)
        self._newest: int | None = None

    def judge(self, stamp: int) -> Arrival:
        """Return what ``stamp`` is, and take it as the newest unless it is LATE."""
        back = 0 if self._newest is None else self._newest - stamp
        if self._newest is not None and 0 <= back <= self._tolerance:
            return Arrival.LATE
        self._newest = stamp
        return Arrival.JUMP if back > 0 else Arrival.NEW
