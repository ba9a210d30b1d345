"""A video that plays in a thread of its own, and what the node does meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

pytest.importorskip('rclpy')

from ros_harness import ROOT, bench, free_domain, give_back

from act_ros.core.frame import Frame
from act_ros.ros import images
from act_ros.ros.options import VideoOptions

# Arguments: a bundle and a video. To wait for two threads to meet would take a million reports.
WATCHED = """
import inspect
import sys
import threading

import rclpy

from act_ros.nodes.pipeline_node import NODE
from act_ros.ros.health import Health
from act_ros.ros.managed import SUCCESS

rclpy.init(args=['--ros-args', '-p', f'bundle:={sys.argv[1]}', '-p', f'source:={sys.argv[2]}',
                 '-p', 'loop:=true'])
node, calls = NODE(), set()

def watched(name, method):
    def call(*arguments):
        place = 'node' if threading.current_thread() is threading.main_thread() else 'video'
        is_first = (name, place) not in {call[:2] for call in calls}
        calls.add((name, place, node.lock._is_owned()))
        if name == 'count_input' and is_first:
            raise KeyError('nobody thought of this')
        return method(*arguments)
    return call

for name, method in inspect.getmembers(Health, inspect.isfunction):
    if name[0] != '_':
        setattr(Health, name, watched(name, method))
assert node.trigger_configure() == SUCCESS
calls.clear()  # until here there is one thread
assert node.trigger_activate() == SUCCESS
expected = {('count_error', 'video'), ('count_answer', 'video'), ('news', 'node'),
            ('report', 'node'), ('restart', 'node')}
while expected - {call[:2] for call in calls}:
    rclpy.spin_once(node, timeout_sec=0.1)
assert node.trigger_deactivate() == SUCCESS
free = {call for call in calls if not call[2]}
assert not free, f'without the lock: {free}'
node.destroy_node()
rclpy.shutdown()
"""


def test_whoever_looks_at_the_health_has_the_lock(
    tmp_path: Path, tiny_bundle: Path, short_clip: Path,
) -> None:
    """A report is made of what the frames of a video change at any moment."""
    domain = free_domain()
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'PYTHONPATH': str(ROOT),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    done = subprocess.run(
        [sys.executable, '-c', WATCHED, str(tiny_bundle), str(short_clip)], cwd=tmp_path, text=True,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    give_back(domain)
    assert done.returncode == 0, done.stdout


def test_a_video_that_does_not_end_is_told(
    tmp_path: Path, short_clip: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its publishers are taken away in the middle of a frame."""
    monkeypatch.setattr(images, '_END_TIME', 0.1)
    has_begun, may_end = Event(), Event()

    def work(_: Frame) -> None:
        has_begun.set()
        may_end.wait()

    with bench(tmp_path) as made:
        video = images.VideoInput(made.peer.node, VideoOptions(source=str(short_clip)), work)
        video.start()
        assert has_begun.wait(30)
        video.close()
        assert 'clip.mp4 does not end' in capfd.readouterr().err
        may_end.set()
        monkeypatch.undo()
        video.close()
        assert 'does not end' not in capfd.readouterr().err
