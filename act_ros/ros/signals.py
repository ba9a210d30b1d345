"""
Ctrl-C, SIGTERM and SIGHUP (the terminal is gone): whenever they come, the exit status is 0.

Nothing but the standard library: `watch` comes before the imports that take a second or two.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from functools import cache, partial

CANNOT_START = 2
"""Exit status of a node that would fail again, however often it is started."""

_stop: Callable[[], object] = partial(os._exit, 0)
_told = threading.Event()


@cache  # once in a process
def watch() -> None:
    """
    End the process with 0 at a signal, or do what `on_signal` says.

    The signals are blocked and a thread waits for them. No handler, and so no KeyboardInterrupt,
    breaks in anywhere: not into an import, nor, at a second Ctrl-C, into the end itself.
    """
    signals = {signal.SIGINT, signal.SIGTERM}  # also where a shell has them ignored, for `... &`
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        signals.add(signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=_wait, args=(signals,), daemon=True).start()


def on_signal(stop: Callable[[], object]) -> None:
    """Call this from now on, in another thread, in place of ending at once."""
    global _stop
    _stop = stop


def is_told() -> bool:
    """Whether a signal has come."""
    return _told.is_set()


def _wait(signals: set[signal.Signals]) -> None:
    while True:
        signal.sigwait(signals)
        _told.set()
        _stop()


def leave_to_loop(is_running: Callable[[], bool]) -> None:
    """
    Let no KeyboardInterrupt break into an event loop that looks after SIGINT itself.

    Launch's does, but leaves Python's handler in place: of two signals at once, as `timeout -s INT`
    sends them, the second tears what the loop does about the first, and it waits for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: (
            None if is_running() else signal.default_int_handler(number, frame)))


def tied_to_us() -> list[str]:
    """
    Return words to put before a command, which then gets SIGTERM when this process is gone.

    However it went: SIGKILL, too. No words where util-linux is not installed.
    """
    return ['setpriv', '--pdeathsig', 'TERM', '--'] if shutil.which('setpriv') else []
