"""The order of message stamps: what is new, what came too late, where time jumped back."""

from __future__ import annotations

from enum import Enum
from typing import Any

NANOSECONDS = 1_000_000_000


def to_nanoseconds(stamp: Any) -> int:
    """Return a builtin_interfaces/Time, of whatever library, as integer nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


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
        self.tolerance = tolerance
        self._newest: int | None = None

    def judge(self, stamp: int) -> Arrival:
        """Return what ``stamp`` is, and take it as the newest unless it is LATE."""
        back = 0 if self._newest is None else self._newest - stamp
        if self._newest is not None and 0 <= back <= round(self.tolerance * NANOSECONDS):
            return Arrival.LATE
        self._newest = stamp
        return Arrival.JUMP if back > 0 else Arrival.NEW


class RateLimit:
    """Lets at most ``rate`` frames a second through, by their stamps; 0 lets all through."""

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self._due = 0

    def allows(self, stamp: int) -> bool:
        """Whether the frame of ``stamp`` (nanoseconds) is within the rate."""
        if not self.rate:
            return True
        period = round(NANOSECONDS / self.rate)
        # A quarter of a period of grace: jitter must not cost a whole frame.
        if self._due - 2 * period < stamp < self._due - period // 4:
            return False
        is_steady = abs(stamp - self._due) < period  # else frames came late, or time jumped
        self._due = (self._due if is_steady else stamp) + period
        return True
