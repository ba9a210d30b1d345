"""The evaluation answers what the live node answers: the same keypoints, message by message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')
pytest.importorskip('sklearn')

from bag_writer import camera_info, keypoint_array, write_bag
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from robot import Robot, to_keypoints
from ros_harness import bench
from sensor_msgs.msg import CameraInfo
from synthetic import SECOND, person, pose, stamps

from act_ros.core.messages import frame_of_actions
from act_ros.core.person import Person
from act_ros.core.stamps import to_nanoseconds
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings
from act_ros.pictures.timeline import frame_line
from act_ros.recordings.bags import Bag

FOCAL = 525.0


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
    bag = write_bag(tmp_path / 'bag', [('/camera_info', 1, camera_info(1, focal=FOCAL))] + [
        ('/keypoints', times[0] + i * 50_000_000, keypoint_array(s, crowd((s - SECOND) / SECOND)))
        for i, s in enumerate(times)])
    evaluate(Job(bag, tmp_path / 'out', settings=read_settings(bundle=str(tiny_bundle))))
    records = [json.loads(line)
               for line in (tmp_path / 'out' / 'results.jsonl').read_text().splitlines()]
    answered = {record['stamp'] for record in records}
    assert len(records) == len(times) - 1

    with bench(tmp_path) as made, Bag(bag) as opened:
        robot = Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)}))
        info = CameraInfo(width=640, height=480, k=opened.first('/camera_info').k)
        camera = made.peer.publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        health: list[DiagnosticArray] = made.peer.listen(DiagnosticArray, '/diagnostics')
        made.peer.insist(lambda: camera.publish(info), lambda: any(
            value.value == '640x480' for m in health for s in m.status for value in s.values),
            'a camera that is known')
        robot.settle(times[0])
        heard = robot.heard
        wanted = 0
        for frame in opened.keypoints():
            robot.keypoints.publish(to_keypoints(frame))
            if frame.stamp / SECOND in answered:
                wanted += 1
                made.peer.wait(lambda: len(heard) >= wanted, f'answer {wanted}')  # noqa: B023
        assert robot.node.is_alive() and len(heard) == len(records)

    statuses, places = set(), set()
    for message, record in zip(heard, records, strict=True):
        assert to_nanoseconds(message.header.stamp) / SECOND == record['stamp']
        live = json.loads(frame_line(0, frame_of_actions(message).actions or ()))['actions']
        assert len(live) == len(record['actions'])
        for a, b in zip(live, record['actions'], strict=True):
            statuses.add(b['status'])
            places.add(a.get('place'))
            for key in a:
                if key in ('probabilities', 'confidence', 'duration', 'box', 'position', 'bearing',
                           'distance', 'distance_error'):
                    # Messages hold float32; a rounded digit may differ.
                    np.testing.assert_allclose(a[key], b[key], atol=2e-3, err_msg=key)
                else:
                    assert a[key] == b[key], key
    assert statuses >= {'BUFFERING', 'RECOGNIZED', 'LOST'} and places == {'ESTIMATED'}
