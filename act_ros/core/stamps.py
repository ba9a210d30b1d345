"""The order of message stamps: what is new, what came too late, where time jumped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

from act_ros.core.frame import Frame
from act_ros.core.options import Options, option

NANOSECONDS = 1_000_000_000

_FIRST, _LAST = -(1 << 31), (1 << 31) - 1  # seconds that a stamp can say
# Stamps so far from the others are believed if so many follow one another.
_BELIEVED = 3
# A slow stream may pause for so many of its own steps.
_STEPS = 3


@dataclass(frozen=True)
class StampOptions(Options):
    """Whose time it is."""

    stamps: str = option(
        'header', "'header' takes the time of a frame from its header's stamp, 'arrival' from when "
        'its message came in: for sources that leave the stamp empty.',
        choices=('header', 'arrival'), fixed=True)


def to_nanoseconds(stamp: Any) -> int:
    """Return a builtin_interfaces/Time, of whatever library, as integer nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def cut_stamp(nanoseconds: int) -> tuple[int, int]:
    """Return seconds and nanoseconds of a stamp, cut to what one can say (1901 to 2038)."""
    sec, nanosec = divmod(nanoseconds, NANOSECONDS)
    return min(max(sec, _FIRST), _LAST), nanosec


def receive(frame: Frame, time: int, stamps: str, steady: int = 0) -> None:
    """
    Note when (nanoseconds) a frame came in; by `StampOptions` that may be its stamp, too.

    :param steady: the same by a clock that nobody sets. One that is set, as /clock is by a bag that
        leaps, may leap as the stamps do, which would look like a pause.
    """
    frame.time = steady or time
    if stamps == 'arrival':
        frame.stamp = time


class Order(Enum):
    """What a stamp is to the ones before it; the values are what operators read."""

    NEW = 'new'
    JUMP = 'everything before a jump back in time'
    LATE = 'late or repeated stamp'
    UNSTAMPED = 'stamp 0 time and again: see the parameter stamps'
    OUTLIER = 'stamp far from those around it'
    INTERLEAVED = 'stamp of another clock in between, as of a second source'

    @property
    def is_taken(self) -> bool:
        """Whether the frame is to be used."""
        return self in (Order.NEW, Order.JUMP)


@dataclass(eq=False, slots=True)
class _TimeBase:
    """
    Stamps that follow one another.

    ``newest``, its ``arrival`` and ``step``, how far it is from the one before (0: not known), are
    nanoseconds. ``frames`` came in a row, ``is_parallel`` if others came in between.
    """

    newest: int
    arrival: int
    step: int = 0
    frames: int = 1
    is_parallel: bool = False

    def is_followed_by(self, stamp: int, limit: int) -> bool:
        return 0 < stamp - self.newest <= max(limit, _STEPS * self.step)

    def has_paused_until(self, stamp: int, arrival: int, limit: int) -> bool:
        """Whether the stamps went forward as far as the time of arrival did."""
        return bool(arrival and self.arrival) and stamp > self.newest and (
            abs(stamp - self.newest - (arrival - self.arrival)) <= limit)

    def add(self, stamp: int, arrival: int) -> None:
        self.step, self.newest, self.arrival = stamp - self.newest, stamp, arrival
        self.is_parallel |= not self.frames
        self.frames += 1


class StampOrder:
    """
    Decides which stamps (integer nanoseconds) of one stream are to be used.

    A stamp at or up to ``tolerance`` seconds before the newest is LATE (out of order, or a
    repeat). One further off, either way, is at first an OUTLIER, and its frame is dropped, too.
    Where three in a row follow one another (a bag that starts again, a clock that was set), the
    third is taken and they are the new time base: that is a JUMP if it lies before the former one,
    whose frames must then be forgotten. Where both go on side by side, two sources are INTERLEAVED,
    and the one that was there first is followed. A stream may be slower than the tolerance, if it
    is steady, and it may pause, if as much time passes between the arrivals.

    All but NEW ones are counted in ``drops``.
    """

    def __init__(self, tolerance: float, drops: Counter[str] | None = None) -> None:
        self.tolerance = tolerance
        self._drops = Counter() if drops is None else drops
        self._base: _TimeBase | None = None
        self._other: _TimeBase | None = None

    def check(self, stamp: int, is_idle: bool = False, arrival: int = 0) -> Order:
        """
        Return what ``stamp`` is to those before it, and count it.

        Where ``is_idle`` (nobody is known who could be lost), a stamp further on is taken at once.

        :param arrival: when it came in, or was recorded, nanoseconds by whatever clock; 0 where
            that is not known.
        """
        result = self._check(stamp, is_idle, arrival)
        if result is not Order.NEW:
            self._drops[result.value] += 1
        return result

    def _check(self, stamp: int, is_idle: bool, arrival: int) -> Order:
        limit, base = round(self.tolerance * NANOSECONDS), self._base
        if base is None:
            self._base = _TimeBase(stamp, arrival)
            return Order.NEW
        is_next = base.is_followed_by(stamp, limit)
        if is_next or base.has_paused_until(stamp, arrival, limit):
            step = base.step
            base.add(stamp, arrival)
            if not is_next:
                base.step = step  # a pause says nothing of the pace
            if self._other:
                self._other.frames = 0
            return Order.NEW
        if any(run and 0 <= run.newest - stamp <= limit for run in (base, self._other)):
            return Order.LATE if stamp else Order.UNSTAMPED
        if is_idle and stamp > base.newest and base.frames > 1:
            self._base = _TimeBase(stamp, arrival, stamp - base.newest, 2)
            self._other = None
            return Order.NEW
        return self._doubt(stamp, arrival, base, limit)

    def _doubt(self, stamp: int, arrival: int, base: _TimeBase, limit: int) -> Order:
        """Hold a stamp that is far from the newest against the last one that was."""
        other, step = self._other, stamp - base.newest
        if other is None and base.frames == 1:  # nobody can tell which of the first two is wrong
            self._base, self._other = _TimeBase(stamp, arrival, max(step, 0)), base
            return Order.NEW if step > 0 else Order.JUMP
        if other and (other.is_followed_by(stamp, limit) or not other.step and
                      0 < stamp - other.newest < abs(step)):
            other.add(stamp, arrival)
        else:
            other = self._other = _TimeBase(stamp, arrival)
        if other.frames >= min(_BELIEVED, base.frames + 1):
            self._base, self._other = other, None
            return Order.NEW if step > 0 else Order.JUMP
        if other.is_parallel:
            return Order.INTERLEAVED
        return Order.OUTLIER if stamp else Order.UNSTAMPED


class RateLimit:
    """Lets at most ``rate`` frames a second through, by their stamps; 0 lets all through."""

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self._due = self._last = 0

    def allows(self, stamp: int) -> bool:
        """
        Whether the frame of ``stamp`` (nanoseconds) is within the rate.

        One that is no newer than the one before is none of too many: `StampOrder` says what it is.
        """
        if not self.rate:
            return True
        is_newer, self._last = stamp > self._last, stamp
        period = round(NANOSECONDS / self.rate)
        # A quarter of a period of grace: jitter must not cost a whole frame.
        if self._due - 2 * period < stamp < self._due - period // 4:
            return not is_newer
        is_steady = abs(stamp - self._due) < period  # else frames came late, or time jumped
        self._due = (self._due if is_steady else stamp) + period
        return True
