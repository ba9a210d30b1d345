"""What command lines share."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import pytest

from act_ros.core.arguments import count_from, goes_with, one_line_errors, positive, share


def read(kind: Callable[[str], Any], text: str) -> Any:
    parser = ArgumentParser()
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


@pytest.mark.parametrize(('error', 'status', 'said'), [
    (ValueError('bad\x1b[2J\nname'), 2, 'prog: error: bad\\x1b[2J\\nname'),
    (KeyboardInterrupt(), 130, 'interrupted')])
def test_errors_and_ctrl_c_are_one_line(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as caught, one_line_errors(ArgumentParser('prog'), ValueError):
        raise error
    assert caught.value.code == status
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_other_errors_are_no_business_of_a_user() -> None:
    with pytest.raises(KeyError), one_line_errors(ArgumentParser(), ValueError):
        raise KeyError


def test_options_of_another_mode_are_refused(capsys: pytest.CaptureFixture) -> None:
    parser = ArgumentParser()
    parser.add_argument('--mpose-order', action='store_true')
    parser.add_argument('--bundle')
    goes_with(parser, Namespace(bundle='x', mpose_order=True), 'bundle', 'mpose_order')
    goes_with(parser, Namespace(bundle=None, mpose_order=False), 'bundle', 'mpose_order')
    with pytest.raises(SystemExit):
        goes_with(parser, Namespace(bundle=None, mpose_order=True), 'bundle', 'mpose_order')
    assert '--mpose-order goes with --bundle' in capsys.readouterr().err
