"""The order of stamps: late is dropped, a jump back begins anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND

from act_ros.stamps import Arrival, StampOrder


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
