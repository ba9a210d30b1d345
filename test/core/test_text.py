"""Text from outside that is safe to print."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from act_ros.core.text import ERROR_LENGTH, PrintableError, printable, printable_traceback


def test_what_would_act_on_a_terminal_is_shown() -> None:
    assert printable('\x1b[31m[FATAL]\n\x07\x00') == r'\x1b[31m[FATAL]\n\x07\x00'
    assert printable('abc\u202ecba\ud800') == r'abc\u202ecba\ud800'
    assert printable('gähnen 走る é😀 a b') == 'gähnen 走る é😀 a b'
    assert printable(ValueError('x\ty')) == r'x\ty'


def test_what_is_long_tells_its_length() -> None:
    assert printable('a' * 10_000_000, 20) == 'a' * 20 + '… (10000000 characters)'
    assert printable('a' * 20, 20) == 'a' * 20


def test_an_error_about_what_came_from_outside_is_safe_and_short() -> None:
    assert str(PrintableError('no \x1b[2J\nfile')) == r'no \x1b[2J\nfile'
    message = str(PrintableError('a' * 10_000))
    assert message == 'a' * 2 * ERROR_LENGTH + '… (10000 characters)'


def test_a_traceback_cannot_forge_a_line_of_a_log() -> None:
    try:
        raise ValueError('\x1b[2J\n[FATAL] the robot is on fire')
    except ValueError:
        lines = printable_traceback().split('\n')
    assert all(line.startswith('  | ') and line.isprintable() for line in lines)
    assert lines[0] == '  | Traceback (most recent call last):'
    assert lines[-2:] == [r'  | ValueError: \x1b[2J', '  | [FATAL] the robot is on fire']
    try:
        raise ValueError('\n'.join(map(str, range(1000))))
    except ValueError:
        lines = printable_traceback().split('\n')
    assert lines == [f'  | {number}' for number in range(960, 1000)], 'the last ones tell why'


@given(st.text(st.characters()), st.integers(0, 50))
def test_any_text_becomes_one_short_printable_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable() and len(shown) <= 10 * limit + 30
    shown.encode()
    assert printable(shown, 10**6) == shown
