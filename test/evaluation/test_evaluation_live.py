"""The evaluation answers what the live node answers: the same keypoints, message by message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')
pytest.importorskip('sklearn')

from bag_writer import keypoint_array, write_bag
from robot import Robot, to_keypoints
from ros_harness import bench
from synthetic import SECOND, person, pose, stamps

from act_ros.core.messages import frame_of_actions
from act_ros.core.person import Person
from act_ros.core.stamps import to_nanoseconds
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings
from act_ros.pictures.timeline import frame_line
from act_ros.recordings.bags import Bag


def crowd(second: float) -> list[Person]:
    """Two people who come and go; one of them changes what he does."""
    people = []
    if not 2.0 < second < 2.8:
        people.append(person(pose(second, 'walk' if second < 3 else 'wave'), 'p1'))
    if second > 1.0:
        people.append(person(pose(second, 'standing', x=500), 'p2'))
    return people


def test_a_bag_replayed_through_act_node_gives_the_evaluations_results(
    tmp_path: Path, tiny_bundle: Path,
) -> None:
    times = stamps(20, 5, jitter=0.3)
    times[30:32] = times[31], times[30]  # one comes late and is dropped
    bag = write_bag(tmp_path / 'bag', [
        ('/keypoints', times[0] + i * 50_000_000, keypoint_array(s, crowd((s - SECOND) / SECOND)))
        for i, s in enumerate(times)])
    evaluate(Job(bag, tmp_path / 'out', settings=read_settings(bundle=str(tiny_bundle))))
    records = [json.loads(line)
               for line in (tmp_path / 'out' / 'results.jsonl').read_text().splitlines()]
    answered = {record['stamp'] for record in records}
    assert len(records) == len(times) - 1

    with bench(tmp_path) as made, Bag(bag) as opened:
        robot = Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)}))
        robot.settle(times[0])
        heard = robot.heard
        wanted = 0
        for frame in opened.keypoints():
            robot.keypoints.publish(to_keypoints(frame))
            if frame.stamp / SECOND in answered:
                wanted += 1
                made.peer.wait(lambda: len(heard) >= wanted, f'answer {wanted}')  # noqa: B023
        assert robot.node.is_alive() and len(heard) == len(records)

    statuses = set()
    for message, record in zip(heard, records, strict=True):
        assert to_nanoseconds(message.header.stamp) / SECOND == record['stamp']
        live = json.loads(frame_line(0, frame_of_actions(message).actions or ()))['actions']
        assert len(live) == len(record['actions'])
        for a, b in zip(live, record['actions'], strict=True):
            statuses.add(b['status'])
            for key in a:
                if key in ('probabilities', 'confidence', 'duration', 'box'):
                    # Messages hold float32; a rounded digit may differ.
                    np.testing.assert_allclose(a[key], b[key], atol=2e-4, err_msg=key)
                else:
                    assert a[key] == b[key], key
    assert statuses >= {'BUFFERING', 'RECOGNIZED', 'LOST'}
