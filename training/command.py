"""What commands of training share: they end in one line, and refuse options that mean nothing."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from act_ros.core.text import printable


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
