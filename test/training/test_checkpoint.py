"""What a run writes down to go on from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.checkpoint import (
    CheckpointError,
    read_arrays,
    restore_state,
    state_arrays,
    write_arrays,
)


class Variable:
    """A variable as Keras has them."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.value = shape, np.zeros(shape)

    def numpy(self) -> np.ndarray:
        """Return its value."""
        return self.value

    def assign(self, value: np.ndarray) -> None:
        """Take another value."""
        self.value = value


def network(*sizes: int) -> Any:
    """Return what has variables of such sizes."""
    return SimpleNamespace(variables=[Variable(size) for size in sizes])


def test_a_state_comes_back_variable_by_variable(tmp_path: Path) -> None:
    model, optimizer = network(*[2] * 12), network(3)  # more than ten: 10 is not before 2
    for i, variable in enumerate(model.variables + optimizer.variables):
        variable.assign(np.full(variable.shape, float(i)))
    write_arrays(tmp_path / 'x.npz', step=7, **state_arrays(model, optimizer))
    arrays = read_arrays(tmp_path / 'x.npz')
    assert arrays['step'] == 7
    again, its_optimizer = network(*[2] * 12), network(3)
    restore_state(arrays, again, its_optimizer)
    assert [v.value.tolist() for v in again.variables] == [[i, i] for i in range(12)]
    assert its_optimizer.variables[0].value.tolist() == [12, 12, 12]


@pytest.mark.parametrize(('model', 'optimizer'), [
    (network(2, 4), network(3)), (network(2), network(3)), (network(2, 2), network(3, 3))])
def test_a_state_of_another_network_is_refused(model: Any, optimizer: Any) -> None:
    arrays = state_arrays(network(2, 2), network(3))
    with pytest.raises(CheckpointError, match='it is of another network'):
        restore_state(arrays, model, optimizer)


def test_a_file_that_is_damaged_or_lacks_something_says_what_to_do(tmp_path: Path) -> None:
    write_arrays(tmp_path / 'x.npz', step=7)
    with pytest.raises(CheckpointError, match=r'x\.npz lacks epoch, so is of another version'):
        read_arrays(tmp_path / 'x.npz')['epoch']
    (tmp_path / 'x.npz').write_bytes((tmp_path / 'x.npz').read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r'x\.npz is damaged .*: remove it'):
        read_arrays(tmp_path / 'x.npz')
