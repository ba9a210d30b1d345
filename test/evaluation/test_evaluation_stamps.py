"""Stamps that are wrong or missing: recordings are answered as the live nodes would answer them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from synthetic import SECOND, person, pose, stamps

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import keypoint_array, write_bag

from act_ros.core.stamps import Order
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings


def summary_of(
    folder: Path, bundle: Path, stamps: str = 'header', *, changed: Mapping[int, int],
) -> Any:
    """Evaluate somebody who walks for two seconds; stamps by index are as they were ``changed``."""
    bag = write_bag(folder / 'bag', [
        ('/keypoints', time + 40_000_000, keypoint_array(
            changed.get(i, time), [person(pose(time / SECOND), 'p1')]))
        for i, time in enumerate(TIMES)])
    path = folder / 'params.yaml'
    path.write_text(f'act_node: {{ros__parameters: {{stamps: {stamps}}}}}')
    evaluate(Job(bag, folder / 'out', settings=read_settings(path, str(bundle))))
    return json.loads((folder / 'out' / 'summary.json').read_text())


TIMES = [stamp + 1_700_000_000 * SECOND for stamp in stamps(20, 2)]
EMPTY = dict.fromkeys(range(len(TIMES)), 0)


def test_without_stamps_one_frame_is_answered_and_the_remedy_named(
    tmp_path: Path, tiny_bundle: Path,
) -> None:
    summary = summary_of(tmp_path, tiny_bundle, changed=EMPTY)
    assert summary['frames'] == 1 and summary['dropped'] == {Order.UNSTAMPED.value: 40}
    assert summary['warnings'][0].startswith('41 messages have no stamp; with the parameter')


def test_the_time_of_recording_serves_where_it_is_asked_for(
    tmp_path: Path, tiny_bundle: Path,
) -> None:
    summary = summary_of(tmp_path, tiny_bundle, 'arrival', changed=EMPTY)
    assert summary['frames'] == 41 and summary['dropped'] == {}
    assert summary['share_of_status']['RECOGNIZED'] > 0.5
    assert summary['warnings'] == [
        '41 messages have no stamp; the time of recording served instead']


@pytest.mark.parametrize('bad', [0, TIMES[0] + 3600 * SECOND])
def test_one_wrong_stamp_in_ten_is_as_if_its_frame_were_missing(
    tmp_path: Path, tiny_bundle: Path, bad: int,
) -> None:
    changed = {i: bad + i * (bad > 0) * SECOND // 20 for i in (5, 15, 25, 35)}
    summary = summary_of(tmp_path, tiny_bundle, changed=changed)
    assert summary['frames'] == 37 and sum(summary['dropped'].values()) == 4
    assert summary['people'] == 1 and summary['share_of_status']['RECOGNIZED'] > 0.5
