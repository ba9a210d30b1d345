"""
Files that are whole or not there: written under another name, synced, and then renamed.

Whatever happens meanwhile (a full disk, a killed process, no power), a reader finds the former
content or the new one, never a part of either. What a killed process has left behind goes when
somebody writes there again.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = f'.partial.{platform.node()}.'  # a number means a process of this machine alone


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Yield where to write the new content of a file, which is then renamed to ``path``.

    It has the same suffixes, in the same folder, which is made if need be. After an error within,
    or nothing written, ``path`` is as it was.

    :raises OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    temporary = path.with_name(f'{_PARTIAL}{os.getpid()}.{path.name}')
    try:
        yield temporary
        if temporary.exists():
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_in(folder: Path, last: str) -> Iterator[Path]:
    """
    Yield an empty folder to write several files to, which then replace those in ``folder``.

    The one called ``last`` goes first and comes last: while it is there, the files belong together.
    Others in ``folder`` stay. After an error everything is as it was.

    :raises OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    temporary = folder / f'{_PARTIAL}{os.getpid()}'
    former = temporary / 'former'
    former.mkdir(parents=True)
    try:
        yield temporary
        files = sorted((file for file in temporary.iterdir() if file != former),
                       key=lambda file: file.name == last)
        for file in files:
            _sync(file)
        try:
            for file in reversed(files):
                if (folder / file.name).exists():
                    os.replace(folder / file.name, former / file.name)
            for file in files:
                os.replace(file, folder / file.name)
        except BaseException:
            for file in former.iterdir():
                os.replace(file, folder / file.name)
            raise
        _sync(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes have left that are no more."""
    for path in folder.iterdir():
        found = re.match(re.escape(_PARTIAL) + r'(\d+)(?:\.|$)', path.name)
        if not found or _is_running(int(found[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's; or no number of a process
        pass
    return True


def _sync(path: Path) -> None:
    """See to it that a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
