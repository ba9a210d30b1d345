"""
The health of a stream of frames: rates, ages, times, drops and errors, and a level for them.

The nodes publish it on ``/diagnostics`` (REP-107).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import wraps
from typing import Any

import numpy as np

from act_ros.core.options import Options, option
from act_ros.core.stamps import NANOSECONDS, Order
from act_ros.core.text import ERROR_LENGTH, printable

_MEMORY = 10.0  # seconds that rates and times are taken over
_ANOTHER_SENDER = 1000  # numbers farther apart are no gap: another sends, or it began anew
MANY_LOST = 0.05
"""Share of frames lost on the way, over the last ten seconds, that calls for a warning."""
_ERROR_LIFETIME = 60.0  # seconds for which the last error is reported
THROTTLE = 5.0
"""Seconds between two warnings of the same kind."""


@dataclass(frozen=True)
class HealthOptions(Options):
    """When something is wrong."""

    max_silence: float = option(
        2.0, 'Seconds without input, or without an answer to it, after which `/diagnostics` warns.',
        low=0.1, high=3600.0)
    max_age: float = option(
        1.0, 'Seconds from the stamp of a frame to its answer from which on `/diagnostics` warns.',
        low=0.01, high=3600.0)


class Level(IntEnum):
    """Severity; the values are those of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Report:
    """Health at a moment: the level, one line that says why, and all figures as text."""

    level: Level
    message: str
    values: dict[str, str]


class Recent:
    """Values of the last ten seconds."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque()
        self.last = -np.inf
        """When the last value came."""

    def add(self, now: float, value: float) -> None:
        """Take a value that came ``now``."""
        self._values.append((now, value))
        self.last = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._values and self._values[0][0] < now - _MEMORY:
            self._values.popleft()

    def values(self, now: float) -> np.ndarray:
        """Return the values (N,), oldest first."""
        self._forget(now)
        return np.array([value for _, value in self._values])

    def rate(self, now: float, begin: float) -> float:
        """Return how many values a second came since ``begin``, or lately."""
        self._forget(now)
        count = sum(time >= begin for time, _ in self._values)
        return count / max(min(now - begin, _MEMORY), 1.0)


class Health:
    """
    Measures one stream of frames.

    :param name: what it is about, such as a camera.
    :param source: where the frames come from, such as a topic.
    :param clock: seconds that never go back.
    """

    def __init__(
        self, name: str, source: str = '', clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.source = name, source
        self.facts: dict[str, str] = {}
        """What is in use, such as the model; part of every report."""
        self.pause = 0.0
        """Seconds between two answers where their rate is limited."""
        self.senders: Sequence[str] = ()
        """Names of those who send the frames, as far as they are known."""
        self.rivals = ''
        """Who else answers on the same topic, and what to do."""
        self.has_one_sender: Callable[[], bool] = lambda: True
        """Whether only one sends: between the numbers of several, a gap means nothing."""
        self.drops: Counter[str] = Counter()
        """Frames that were not used, by cause."""
        self._clock, self._begin = clock, clock()
        self._input, self._ages = Recent(), Recent()
        self._times: dict[str, Recent] = {}
        self._drops, self._expected = [self.drops], Counter[str]()
        self._logged, self._logged_at = Counter[str](), -np.inf
        self._news, self._news_at = '', -np.inf
        self._mixed, self._mixed_at = 0, -np.inf
        self._number: int | None = None
        self._gaps, self._all_lost, self._lost = 0, 0, Recent()
        self._persons = 0
        self._heights, self._head_down, self._least = Recent(), Recent(), 0.0
        self._brightness, self._dark = Recent(), 0.0
        self._error, self._failed = '', -np.inf

    @property
    def mixed_senders(self) -> str:
        """A warning where several send the frames: no window of poses comes of them. Or empty."""
        return '' if len(self.senders) < 2 else (
            f'{len(self.senders)} publishers on {self.source}: '
            f'{printable(", ".join(self.senders), 500)}; their stamps and ids mix, give each a '
            'topic of its own')

    def restart(self) -> None:
        """Note that frames may come from now on: silence counts from here."""
        self._begin, self._number = self._clock(), None

    def include_drops(self, drops: Counter[str]) -> None:
        """Report these counts of frames and persons that were not used, by cause."""
        self._drops.append(drops)

    def skip(self, cause: str) -> None:
        """Count a frame that is left out because that was asked for: the log says nothing of it."""
        self._expected[cause] += 1

    def drop(self, cause: str, error: Exception) -> None:
        """Count a frame that cannot be used, and remember why."""
        self.drops[cause] += 1
        self.record_error(str(error))
        self._news = self._error

    def count_input(self, number: int | None = None) -> None:
        """
        Note that a frame came in; gaps in the numbers that its sender gave are frames missed.

        :param number: None where it is not known.
        """
        self._input.add(self._clock(), 0.0)
        if number is not None and self._number is not None:
            step = number - self._number
            if 1 < step <= _ANOTHER_SENDER and self.has_one_sender():
                self._gaps += step - 1
        self._number = number

    def count_lost(self, count: int) -> float:
        """Note frames known to be lost on the way; return their share of the last ten seconds'."""
        self._all_lost += count
        self._lost.add(self._clock(), count)
        return self._lost_share

    def count_answer(self, age: int, persons: int) -> None:
        """Note an answer, ``age`` nanoseconds after its frame's stamp, and how many it is about."""
        self._ages.add(self._clock(), age / NANOSECONDS)
        self._persons = persons

    def add_people(
        self, heights: Sequence[float], head_down: Sequence[bool], least: float,
    ) -> None:
        """
        Note how tall people are in the image, and which of them are head down.

        :param heights: of all that were seen, as shares of the image's height.
        :param least: height below which their poses are not to be relied on.
        """
        for recent, values in ((self._heights, heights), (self._head_down, head_down)):
            for value in values:
                recent.add(self._clock(), value)
        self._least = least

    def add_brightness(self, value: float, least: float) -> None:
        """Note how bright an image is, 0 to 255; below ``least`` people are hard to find."""
        self._brightness.add(self._clock(), value)
        self._dark = least

    def record_error(self, error: str) -> None:
        """Note what went wrong."""
        self._error, self._failed = printable(error, ERROR_LENGTH), self._clock()

    def count_error(self, error: Exception) -> None:
        """Note a frame lost to an error that nobody foresaw."""
        self.drops['unforeseen error'] += 1
        self.record_error(f'{type(error).__name__}: {error}')

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long something takes."""
        start = self._clock()
        yield
        now = self._clock()
        self._times.setdefault(what, Recent()).add(now, now - start)

    def news(self) -> Iterator[tuple[Level, str]]:
        """Yield what a log should say now: each new cause of drops, and more now and then."""
        now, drops = self._clock(), sum(self._drops, Counter[str]())
        if self._news and now - self._news_at >= THROTTLE:
            yield Level.ERROR, self._news
            self._news, self._news_at = '', now
        is_new = drops.keys() != self._logged.keys()
        if is_new or drops != self._logged and now - self._logged_at >= THROTTLE:
            self._logged, self._logged_at = drops, now
            counts = ', '.join(f'{cause}: {count}' for cause, count in drops.items())
            yield Level.WARN, f'dropped so far: {printable(counts, 500)}'

    def report(self, options: HealthOptions) -> Report:
        """Return the present health."""
        now = self._clock()
        level, message = self._assess(now, options)
        values = {
            'input': self.source,
            'input rate (Hz)': f'{self._input.rate(now, self._begin):.1f}',
            'last input (s ago)': _seconds(now - self._input.last),
            'answer rate (Hz)': f'{self._ages.rate(now, self._begin):.1f}',
            'last answer (s ago)': _seconds(now - self._ages.last),
            **_spread('age of answers', self._ages, now),
            'persons': str(self._persons),
        }
        if len(heights := self._heights.values(now)):
            low, middle, high = np.percentile(heights, (0, 50, 100)) * 100
            values['heights of persons (% of the image)'] = (
                f'{low:.0f} to {high:.0f}, median {middle:.0f}')
        if len(brightness := self._brightness.values(now)):
            values['brightness of images (0 to 255)'] = f'{np.median(brightness):.0f}'
        for what, recent in self._times.items():
            values |= _spread(what, recent, now)
        drops = self._all_drops()
        values |= {f'dropped: {cause}': str(count) for cause, count in sorted(drops.items())}
        values |= self.facts
        age = now - self._failed
        values['last error'] = (
            f'{self._error} ({age:.0f} s ago)' if age < _ERROR_LIFETIME else 'none')
        return Report(level, message, values)

    def _all_drops(self) -> Counter[str]:
        drops = sum(self._drops, self._expected)
        drops['lost on the way'] += self._all_lost
        drops['replaced by a newer one, or lost on the way'] += self._gaps - self._all_lost
        return +drops  # those above 0

    @property
    def _lost_share(self) -> float:
        now = self._clock()
        lost = self._lost.values(now).sum()
        return float(lost / max(lost + len(self._input.values(now)), 1))

    def _assess(self, now: float, options: HealthOptions) -> tuple[Level, str]:
        mixed = self._all_drops()[Order.INTERLEAVED.value]
        if mixed > self._mixed:
            self._mixed, self._mixed_at = mixed, now
        silence = now - max(self._input.last, self._begin)
        if silence > options.max_silence:
            return Level.WARN, f'nothing on {self.source} for {silence:.1f} s'
        unanswered = now - max(self._ages.last, self._begin)
        if unanswered > options.max_silence + self.pause:
            why = self._error if now - self._failed < _MEMORY else ', '.join(
                f'{cause} ({count})' for cause, count in self._all_drops().most_common(1))
            why = f': {why}' if why else ''
            return Level.WARN, f'no answer for {unanswered:.1f} s, though input comes{why}'
        ages = self._ages.values(now)
        if len(ages) and ages[-1] > options.max_age:
            return Level.WARN, (f'answers are stale: {ages[-1]:.1f} s from stamp to answer; too '
                                'slow, or stamps of another clock')
        if len(ages) and ages[-1] < -options.max_age:
            return Level.WARN, (f'stamps are {-ages[-1]:.1f} s ahead of the clock here: stamps of '
                                'another clock, or use_sim_time without a /clock')
        if now - self._failed < _MEMORY:
            return Level.WARN, self._error
        if self.mixed_senders:
            return Level.WARN, self.mixed_senders
        if self.rivals:
            return Level.WARN, self.rivals
        if now - self._mixed_at < _MEMORY:
            return Level.WARN, (f'stamps of two clocks on {self.source}, as of two sources: '
                                f'{mixed} frames of the second are not used')
        if (lost := self._lost_share) > MANY_LOST:
            return Level.WARN, f'{100 * lost:.0f} % of the frames are lost on the way'
        if not np.isfinite(self._ages.last):
            return Level.OK, 'no answer yet'
        brightness = self._brightness.values(now)
        if len(brightness) and np.median(brightness) < self._dark:
            return Level.WARN, (f'the images are dark, {np.median(brightness):.0f} of 255: '
                                'people are hard to find in them (exposure, lens cap?)')
        heights = self._heights.values(now)
        if len(heights) and self._head_down.values(now).mean() > 0.5:
            return Level.WARN, 'most people are head down: set rotation, 180 more than it is'
        if len(heights) and np.median(heights) < self._least:
            return Level.WARN, (
                f'most people are too small: {100 * np.median(heights):.0f} % of the image high, '
                f'where poses need {100 * self._least:.0f} %; go nearer, or take another mode')
        nobody = self._least and not np.isfinite(self._heights.last)
        return Level.OK, f'{self._ages.rate(now, self._begin):.0f} answers a second' + (
            ', nobody seen yet: if people are there, is the camera upright (rotation)?'
            if nobody else '')


def guarded(
    callback: Callable[..., None], lose: Callable[[Exception], None],
    lock: AbstractContextManager[Any],
) -> Callable[..., None]:
    """Return a callback that has the lock, and whose errors go to ``lose``."""
    @wraps(callback)
    def call(*arguments: Any) -> None:
        with lock:
            try:
                callback(*arguments)
            except Exception as error:
                lose(error)
    return call


def _seconds(value: float) -> str:
    return f'{value:.1f}' if np.isfinite(value) else 'never'


def _spread(what: str, recent: Recent, now: float) -> dict[str, str]:
    """Return mean and 99th percentile of times in seconds, as milliseconds."""
    values = recent.values(now) * 1e3
    if not len(values):
        return {f'{what}, mean (ms)': '', f'{what}, p99 (ms)': ''}
    return {f'{what}, mean (ms)': f'{values.mean():.1f}',
            f'{what}, p99 (ms)': f'{np.percentile(values, 99):.1f}'}
