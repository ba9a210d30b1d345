"""The order of stamps: late is dropped, a jump back begins anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND, stamps

from act_ros.core.stamps import Arrival, RateLimit, StampOrder


def test_new_late_and_jump() -> None:
    order = StampOrder(0.5)
    assert order.judge(0) is Arrival.NEW
    assert order.judge(10 * SECOND) is Arrival.NEW
    assert order.judge(10 * SECOND) is Arrival.LATE
    assert order.judge(10 * SECOND - SECOND // 2) is Arrival.LATE
    assert order.judge(10 * SECOND + 1) is Arrival.NEW  # what was late has not moved the clock
    assert order.judge(10 * SECOND - SECOND // 2) is Arrival.JUMP
    assert order.judge(10 * SECOND - SECOND // 2 + 1) is Arrival.NEW


@given(st.lists(st.integers(0, 2**63 - 1), max_size=50), st.floats(0, 10))
def test_stamps_that_are_taken_ascend_between_jumps(stamps: list[int], tolerance: float) -> None:
    order, newest = StampOrder(tolerance), None
    for stamp in stamps:
        arrival = order.judge(stamp)
        if newest is not None:
            assert (arrival is Arrival.NEW) == (stamp > newest)
            assert (arrival is Arrival.JUMP) == (newest - stamp > round(tolerance * SECOND))
        if arrival is not Arrival.LATE:
            newest = stamp


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
