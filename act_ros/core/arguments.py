"""What command lines share: values without a meaning are refused first, errors are one line."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from act_ros.core.text import printable


def count_from(least: int) -> Callable[[str], int]:
    """Return a function that reads a whole number, ``least`` or more."""
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise ArgumentTypeError(f'must be {least} or more, not {value}')
        return value

    return number


def positive(text: str) -> float:
    """Read a number above 0; ``inf`` is one."""
    value = float(text)
    if not value > 0:
        raise ArgumentTypeError(f'must be more than 0, not {text}')
    return value


def share(text: str) -> float:
    """Read a share, from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f'is a share from 0 to 1, not {text}')
    return value


@contextmanager
def one_line_errors(parser: ArgumentParser, *kinds: type[Exception]) -> Iterator[None]:
    """End the command with one line for errors of some kinds (status 2) and for Ctrl-C (130)."""
    try:
        yield
    except kinds as error:
        parser.error(printable(error, 1000))
    except KeyboardInterrupt:
        parser.exit(130, '\ninterrupted\n')


def goes_with(parser: ArgumentParser, options: Namespace, owner: str, *names: str) -> None:
    """End the command where options are given that mean nothing without ``owner``, which is not."""
    for name in () if getattr(options, owner) else names:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f'--{printable(name.replace("_", "-"))} goes with --{printable(owner)}')
