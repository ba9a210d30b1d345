"""The order of stamps: late and odd ones are dropped, another time base begins anew."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND, stamps

from act_ros.core.cdr import read_stamp
from act_ros.core.frame import Frame
from act_ros.core.stamps import Order, RateLimit, StampOrder, receive, to_nanoseconds


def checked(stamps: Sequence[float], tolerance: float = 0.5) -> str:
    """Return what each stamp (seconds) is, by the first letter; INTERLEAVED by an S."""
    order = StampOrder(tolerance)
    arrivals = [order.check(round(stamp * SECOND)) for stamp in stamps]
    return ''.join('S' if a is Order.INTERLEAVED else a.name[0] for a in arrivals)


@pytest.mark.parametrize(('stamps', 'expected'), [
    ((0.0, 10.0, 10.0, 9.5, 10.1, 9.6), 'NNLLNL'),  # what was late has not moved the clock
    ((9.0, 9.1, 9.2, 3.0, 3.1, 3.2, 3.3), 'NNNOOJN'),
    ((9.0, 9.1, 9.2, 99.0, 99.1, 99.2, 99.3), 'NNNOONN'),
    ((9.0, 9.1, 99.0, 9.2, 99.1, 9.3, 99.2, 9.4), 'NNONSNSN'),
    ((9.0, 9.1, 99.0, 99.1, 9.2, 99.2, 99.3, 99.4), 'NNOONSSN'),
    ((9.0, 9.1, 3.0, 5.0, 4.0, 9.2), 'NNOOON'),  # nothing follows from nonsense
    ((9.0, 9.1, 3.0, 3.1, 5.0, 9.2), 'NNOOON'),
    ((99.0, 100.0, 101.0, 40.0, 41.0, 42.0, 43.0), 'NNNOOJN'),  # a slow bag begins again
    ((9.0, 10.0, 13.0), 'NNN'), ((9.0, 10.0, 13.5), 'NNO'),  # it pauses for three of its steps
    ((9.0, 9.1, 3.0, 3.0, 3.1, 3.1, 3.2), 'NNOLOLJ'),
    ((9.0, 99.0, 9.1, 9.2), 'NNJN'), ((99.0, 9.0, 9.1), 'NJN'), ((9.0, 10.0, 11.0), 'NNN'),
    ((9.0, 9.1, 0.0, 9.2, 0.0), 'NNUNU'), ((0.0, 0.0, 0.0), 'NUU'),
])
def test_what_a_stamp_is_to_those_before(stamps: Sequence[float], expected: str) -> None:
    assert checked(stamps) == expected


def test_while_nobody_is_known_a_stamp_further_on_is_taken_at_once() -> None:
    order = StampOrder(0.5)
    arrivals = [order.check(round(stamp * SECOND), is_idle=True) for stamp in (
        9.0, 9.1, 99.0, 99.1, 9.2, 99.2, 9.3, 9.4, 9.5, 9.6)]
    assert [a.name[0] for a in arrivals] == [*'NNNNONIIJN']
    order = StampOrder(0.5)  # what was doubted before is doubted anew
    assert [order.check(round(stamp * SECOND), is_idle=stamp == 99.0).name[0] for stamp in (
        9.0, 9.1, 3.0, 99.0, 3.1, 3.2, 3.3)] == [*'NNONOOJ']
    order = StampOrder(0.5)  # of the first two either may be wrong, whoever is known
    arrivals = [order.check(round(stamp * SECOND), is_idle=True) for stamp in (9.0, 99.0, 9.1, 9.2)]
    assert [a.name[0] for a in arrivals] == [*'NNJN']


@pytest.mark.parametrize(('pairs', 'expected'), [
    # A camera stops for five seconds, twice, and goes on; so do the arrivals, half a second late.
    (((9.0, 0.1), (9.1, 0.2), (14.1, 5.2), (14.2, 5.3), (19.0, 10.5)), 'NNNNN'),
    (((9.0, 0.1), (9.1, 0.2), (14.1, 0.3), (9.2, 0.3), (9.3, 0.4)), 'NNONN'),  # it did not stop
    (((9.0, 0.1), (9.1, 0.2), (14.1, 5.2), (99.1, 5.3), (14.3, 5.4)), 'NNNON'),  # no new pace
    (((9.0, 0.1), (9.1, 0.2), (14.1, 5.2), (24.1, 5.3), (14.3, 5.4)), 'NNNON'),
    (((9.0, 0.1), (9.1, 0.2), (3.0, 5.2), (3.1, 5.3), (3.2, 5.4)), 'NNOOJ'),  # a clock set back
    (((9.0, 0.1), (9.1, 0.2), (9.0, 0.3)), 'NNL'),  # late, however soon it came
    (((9.0, 0.1), (9.1, 0.2), (14.1, 0.0)), 'NNO'),  # when it came is not known
    (((9.0, 0.0), (9.1, 0.0), (14.1, 5.0)), 'NNO'),
])
def test_a_pause_costs_nothing_where_the_arrivals_paused_as_long(
        pairs: Sequence[tuple[float, float]], expected: str) -> None:
    order = StampOrder(0.5)
    arrivals = [order.check(round(stamp * SECOND), arrival=round(arrival * SECOND))
                for stamp, arrival in pairs]
    assert ''.join(arrival.name[0] for arrival in arrivals) == expected


@given(st.lists(st.integers(-2**63, 2**63 - 1), max_size=50), st.floats(0, 10))
def test_stamps_that_are_taken_ascend_between_jumps(stamps: list[int], tolerance: float) -> None:
    drops: Counter[str] = Counter()
    order, newest, taken = StampOrder(tolerance, drops), None, 0
    for stamp in stamps:
        arrival = order.check(stamp)
        if newest is not None:
            assert arrival is not Order.NEW or stamp > newest
            assert arrival is not Order.JUMP or newest - stamp > round(tolerance * SECOND)
            if 0 <= newest - stamp <= round(tolerance * SECOND):
                assert arrival in (Order.LATE, Order.UNSTAMPED)
        if arrival.is_taken:
            newest, taken = stamp, taken + (arrival is Order.NEW)
    assert drops.total() == len(stamps) - taken


@pytest.mark.parametrize(('stamps', 'steady', 'stamp', 'time'), [
    ('header', 0, 5, 7), ('header', 9, 5, 9), ('arrival', 0, 7, 7), ('arrival', 9, 7, 9)])
def test_a_frame_is_of_when_its_header_says_or_of_when_it_came(
        stamps: str, steady: int, stamp: int, time: int) -> None:
    frame = Frame(5)
    receive(frame, 7, stamps, steady)
    assert (frame.stamp, frame.time) == (stamp, time)


def test_stamps_are_whole_nanoseconds() -> None:
    assert to_nanoseconds(SimpleNamespace(sec=17, nanosec=1)) == 17_000_000_001


@pytest.mark.parametrize(('camera', 'rate', 'expected'), [
    (30.0, 15.0, 15.0), (30.0, 20.0, 20.0), (30.0, 30.0, 30.0), (30.0, 60.0, 30.0),
    (30.0, 0.0, 30.0), (60.0, 1.0, 1.0), (5.0, 4.0, 4.0)])
@pytest.mark.parametrize('jitter', [0.0, 0.2])
def test_a_limited_rate_is_met(camera: float, rate: float, expected: float, jitter: float) -> None:
    limit, taken = RateLimit(rate), stamps(camera, 20.0, jitter)
    count = sum(map(limit.allows, taken))
    assert abs(count - 20.0 * expected) <= 2 + 0.05 * 20.0 * expected


def test_a_limited_rate_knows_pauses_and_jumps() -> None:
    limit = RateLimit(1.0)
    answers = [limit.allows(round(second * SECOND)) for second in (
        100, 100.5, 101, 150, 150.1, 150.9, 20, 20.2, 21)]
    assert answers == [True, False, True, True, False, True, True, False, True]


@pytest.mark.parametrize('jump', [-100.0, -2.5, -2.1, -1.9, -1.0, -0.5, 0.0, 0.5, 1.5, 100.0])
def test_wherever_time_jumps_a_limited_rate_is_not_silent_for_long(jump: float) -> None:
    limit = RateLimit(1.0)
    assert limit.allows(100 * SECOND)
    after = [round((100 + jump + frame / 30) * SECOND) for frame in range(1, 300)]
    taken = [after[0], *filter(limit.allows, after), after[-1]]
    assert max(b - a for a, b in itertools.pairwise(taken)) <= 2 * SECOND


def test_a_limited_rate_leaves_stamps_that_stand_still_to_their_judge() -> None:
    """A camera without stamps must be told so, not pass for one that is too fast."""
    limit = RateLimit(10.0)
    assert [limit.allows(0) for _ in range(4)] == [True] * 4


def test_the_stamp_of_a_serialized_message_is_read_or_refused() -> None:
    little, big = b'\0\1\0\0', b'\0\0\0\0'
    assert read_stamp(little + struct.pack('<iI', 7, 5) + b'rest') == 7 * SECOND + 5
    assert read_stamp(big + struct.pack('>iI', 7, 5)) == 7 * SECOND + 5
    for size in (0, 1, 4, 11):
        with pytest.raises(ValueError, match=f'{size} bytes are no message with a header'):
            read_stamp(little.ljust(11, b'\0')[:size])
