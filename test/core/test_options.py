"""Options: every one explained, within its range, and refused by name otherwise."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from act_ros.actions.classifier import DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.options import Options, option
from act_ros.persons.tracker import TrackerOptions

CLASSES: tuple[type[Options], ...] = (DecisionOptions, TrackerOptions, WindowOptions)
RANGED = [(cls, item) for cls in CLASSES for item in dataclasses.fields(cls)
          if item.metadata['low'] is not None]


@dataclasses.dataclass(frozen=True)
class Colour(Options):
    """An option with choices, and one without any limit."""

    name: str = option('red', 'Which colour.', choices=('red', 'blue'))
    note: str = option('', 'Anything.')
    others: tuple[str, ...] = option((), 'More colours.', choices=('red', 'blue'))


@pytest.mark.parametrize('cls', CLASSES)
def test_defaults_are_valid_and_every_option_is_explained(cls: type[Options]) -> None:
    options = cls()
    for item in dataclasses.fields(options):
        assert item.metadata['doc'].endswith('.')
        assert isinstance(getattr(options, item.name), (bool, int, float, str, tuple))


@pytest.mark.parametrize(('cls', 'item'), RANGED, ids=lambda x: getattr(x, 'name', None))
def test_the_ends_of_a_range_are_taken_and_what_lies_beyond_is_not(
    cls: type[Options], item: dataclasses.Field[Any],
) -> None:
    low, high = item.metadata['low'], item.metadata['high']
    for value in (low, high):
        assert getattr(cls(**{item.name: value}), item.name) == value
    for value in (low - 1, high + 1, float('nan'), float('-inf'), float('inf')):
        with pytest.raises(ValueError, match=f'{item.name} is .* but must lie in'):
            cls(**{item.name: value})


def test_choices() -> None:
    assert Colour('blue', 'x').name == 'blue'
    with pytest.raises(ValueError, match="name is 'green', but must be one of: red, blue"):
        Colour('green')
    with pytest.raises(ValueError, match="others is 'green', but must be one of: red, blue"):
        Colour(others=('red', 'green'))


def test_a_rate_is_zero_or_one_that_happens() -> None:
    """Once in 10 to the 300 seconds, each frame would be lost."""
    @dataclasses.dataclass(frozen=True)
    class Rated(Options):
        rate: float = option(0.0, 'A rate.', low=0.0, high=100.0, least=0.01)

    assert [Rated(rate).rate for rate in (0.0, 0.01, 100.0)] == [0.0, 0.01, 100.0]
    for rate in (1e-308, 0.009, 101.0, -1.0):
        with pytest.raises(ValueError, match='rate is'):
            Rated(rate)
