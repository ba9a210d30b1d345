"""Text from outside, made fit for logs and terminals."""

from __future__ import annotations

import traceback

_TRACEBACK_LINES = 40
ERROR_LENGTH = 500
"""Most characters of an error message that are shown: it may quote what came from outside."""


def printable(text: object, limit: int = 200) -> str:
    """
    Return what is safe to print: one line of at most about ``limit`` characters.

    Control characters, line breaks, escape codes, marks that turn the direction of writing and
    lone surrogates appear as Python writes them (``\\x1b``). What is longer ends in its length.
    """
    whole = str(text)
    shown = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in whole[:limit])
    return shown if len(whole) <= limit else f'{shown}… ({len(whole)} characters)'


def printable_traceback() -> str:
    """Return the last lines of the current traceback, each printable and marked by a bar."""
    lines = traceback.format_exc().splitlines()[-_TRACEBACK_LINES:]
    return '\n'.join(f'  | {printable(line)}' for line in lines)


class PrintableError(ValueError):
    """An error about what came from outside, and may quote it: its message is safe and short."""

    def __init__(self, message: object) -> None:
        super().__init__(printable(message, 2 * ERROR_LENGTH))
