"""Text from outside that is safe to print."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from act_ros.core.text import printable


def test_what_would_act_on_a_terminal_is_shown() -> None:
    assert printable('\x1b[31m[FATAL]\n\x07\x00') == r'\x1b[31m[FATAL]\n\x07\x00'
    assert printable('abc\u202ecba\ud800') == r'abc\u202ecba\ud800'
    assert printable('gähnen 走る é😀 a b') == 'gähnen 走る é😀 a b'
    assert printable(ValueError('x\ty')) == r'x\ty'


def test_what_is_long_tells_its_length() -> None:
    assert printable('a' * 10_000_000, 20) == 'a' * 20 + '… (10000000 characters)'
    assert printable('a' * 20, 20) == 'a' * 20


@given(st.text(st.characters()), st.integers(0, 50))
def test_any_text_becomes_one_short_printable_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable() and len(shown) <= 10 * limit + 30
    shown.encode()
    assert printable(shown, 10**6) == shown
