"""Files that are whole or not there at all, and the state of a training run in one of them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from act_ros.core.files import replacing

if TYPE_CHECKING:
    import keras


UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises of an ``.npz`` file that is none, cut off or damaged."""


class CheckpointError(RuntimeError):
    """A result or checkpoint that cannot be written or read; the message says what to do."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """
    Let ``write`` fill a temporary file beside ``path``, then give it its name.

    :raises CheckpointError: when the disk is full or write-protected; what was at ``path`` stays.
    """
    try:
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        raise CheckpointError(
            f'cannot write {path} ({error}); make room and run the same command again, it goes on '
            f'from the last checkpoint') from error


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write an ``.npz`` file whole."""
    write_whole(path, lambda temporary: np.savez(temporary, **arrays))


class _Arrays(dict[str, np.ndarray]):
    """The arrays of a file; CheckpointError for one that it lacks."""

    def __init__(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self._path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise CheckpointError(f'{self._path} lacks {name}, so is of another version or none of '
                              f'ours: remove it')


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """
    Read an ``.npz`` file.

    :raises CheckpointError: it is damaged, or is none; also when an array is asked for later that
        is not in it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return _Arrays(path, {name: file[name] for name in file.files})
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(f'{path} is damaged ({error}): remove it') from error


def state_arrays(
    model: keras.Model, optimizer: keras.optimizers.Optimizer,
) -> dict[str, np.ndarray]:
    """Return all that changes while training: weights, dropout seeds, moments and the step."""
    return {**{f'model_{i}': v.numpy() for i, v in enumerate(model.variables)},
            **{f'optimizer_{i}': v.numpy() for i, v in enumerate(optimizer.variables)}}


def restore_state(
    arrays: dict[str, np.ndarray], model: keras.Model, optimizer: keras.optimizers.Optimizer,
) -> None:
    """Put `state_arrays` back; CheckpointError if they are of another network."""
    for prefix, variables in (('model', model.variables), ('optimizer', optimizer.variables)):
        names = [name for name in arrays if name.startswith(f'{prefix}_')]
        values = [arrays[f'{prefix}_{i}'] for i in range(len(names))]
        if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
            raise CheckpointError('it is of another network')
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
