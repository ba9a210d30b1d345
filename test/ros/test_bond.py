"""The bond with Nav2's lifecycle manager, with the package bond as its definition says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_harness import bench

MANAGER = """
import rclpy
from bond.msg import Status
rclpy.init()
node = rclpy.create_node('manager')
node.create_subscription(Status, 'bond', lambda m: print(
    m.id, m.instance_id, m.active, round(m.heartbeat_timeout, 3), round(m.heartbeat_period, 3),
    flush=True), 100)
rclpy.spin(node)
"""


@pytest.mark.slow
def test_the_heart_beats_while_the_node_is_active(
    tmp_path: Path, tiny_bundle: Path, foreign_variables: dict[str, str],
) -> None:
    """As Nav2's manager expects it; and it says so where it is told to stop."""
    with bench(tmp_path) as made:
        manager = subprocess.Popen(
            [sys.executable, '-c', MANAGER], text=True, stdout=subprocess.PIPE,
            env={**os.environ, 'ROS_DOMAIN_ID': str(made.domain)})
        assert manager.stdout
        node = made.start('act_node', {'bundle': str(tiny_bundle)}, variables=foreign_variables)
        beats = [manager.stdout.readline().split() for _ in range(20)]
        assert {(beat[0], *beat[2:]) for beat in beats} == {('act_node', 'True', '4.0', '0.1')}
        first, = {beat[1] for beat in beats}

        def change(label: str) -> None:
            assert made.peer.call(
                ChangeState, '/act_node/change_state',
                ChangeState.Request(transition=Transition(label=label))).success

        change('deactivate')
        while (beat := manager.stdout.readline().split())[2] == 'True':
            assert beat[1] == first
        assert beat[:2] == ['act_node', first]
        change('activate')
        beat = manager.stdout.readline().split()
        assert beat[2] == 'True' and beat[1] != first, 'another bond'
        assert node.stop() == 0, node.log
        manager.kill()
        manager.communicate()


@pytest.mark.slow
def test_what_ended_a_video_is_told_where_there_is_a_bond(
    tmp_path: Path, foreign_variables: dict[str, str],
) -> None:
    """The video has ended ROS by then, and nothing can be published any more."""
    video = tmp_path / 'dark.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*'MJPG'), 20.0, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    content = video.read_bytes()
    begin = content.index(b'00dc', content.index(b'movi')) + 8
    video.write_bytes(content[:begin] + bytes(len(content) - begin))  # spoils its one picture
    with bench(tmp_path) as made:
        node = made.start('pipeline_node', {'source': str(video)}, variables=foreign_variables)
        assert node.wait() == 1, node.log
        assert 'dark.avi holds no readable frame' in node.log and 'Traceback' not in node.log
