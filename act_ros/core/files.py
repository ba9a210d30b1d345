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
from tempfile import TemporaryDirectory

_PARTIAL = f'.partial.{platform.node()}.'  # a number means a process of this machine alone


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Yield where to write the new content of a file, which then replaces ``path``.

    It has the same name, in another folder. After an error within, or nothing written, ``path`` is
    as it was.

    :raises OSError: the folder or the file cannot be written.
    """
    with replacing_in(path.parent, last=path.name) as folder:
        yield folder / path.name


@contextmanager
def replacing_in(folder: Path, last: str) -> Iterator[Path]:
    """
    Yield an empty folder to write files to, which then replace those in ``folder``.

    ``folder`` is made if need be. Of several files the one called ``last`` is the first to be
    removed and the last to come: while it is there, they belong together. Other files in ``folder``
    stay. After an error everything is as it was.

    :raises OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    with TemporaryDirectory(prefix=f'{_PARTIAL}{os.getpid()}.', dir=folder,
                            ignore_cleanup_errors=True) as name:
        temporary, former = Path(name), Path(name, 'former')
        former.mkdir()
        yield temporary
        files = sorted((file for file in temporary.iterdir() if file != former),
                       key=lambda file: file.name == last)
        for file in files:
            _sync(file)
        try:
            for file in reversed(files):
                if len(files) > 1 and (folder / file.name).exists():
                    os.replace(folder / file.name, former / file.name)
            for file in files:
                os.replace(file, folder / file.name)
        except BaseException:
            for file in files:
                if len(files) > 1 and not file.exists():
                    (folder / file.name).unlink()
            for file in former.iterdir():
                os.replace(file, folder / file.name)
            raise
        _sync(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove leftovers of processes that have ended."""
    for path in folder.iterdir():
        found = re.match(re.escape(_PARTIAL) + r'(\d+)\.', path.name)
        if found and not is_running(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def is_running(process: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's; or no number of a process
        pass
    return True


def _sync(path: Path) -> None:
    """Flush a file, or a folder's list of files, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
