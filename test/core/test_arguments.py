"""Numbers of a command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import pytest

from act_ros.core.arguments import count_from, positive, share


def read(kind: Callable[[str], Any], text: str) -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument('--number', type=kind)
    return parser.parse_args([f'--number={text}']).number


@pytest.mark.parametrize(('kind', 'text', 'value'), [
    (count_from(1), '1', 1), (count_from(-1), '-1', -1), (positive, '0.5', 0.5),
    (positive, 'inf', math.inf), (share, '0', 0.0), (share, '1', 1.0)])
def test_a_number_is_read(kind: Callable[[str], Any], text: str, value: float) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(('kind', 'text', 'said'), [
    (count_from(1), '0', 'argument --number: must be 1 or more, not 0'),
    (count_from(1), '1.5', 'argument --number: invalid number value'),
    (positive, '0', 'must be more than 0, not 0'), (positive, '-3', 'not -3'),
    (positive, 'nan', 'not nan'), (positive, 'x', 'invalid positive value'),
    (share, '85', 'is a share from 0 to 1, not 85'), (share, 'nan', 'not nan')])
def test_a_number_that_means_nothing_is_refused(
    kind: Callable[[str], Any], text: str, said: str, capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit):
        read(kind, text)
    assert said in capsys.readouterr().err
