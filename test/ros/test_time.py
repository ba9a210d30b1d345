"""Time as the field has it: several senders on a topic, and clocks that cannot be."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from robot import Robot, frame, walker
from ros_harness import bench
from rosgraph_msgs.msg import Clock

from act_ros.core.frame import Frame
from act_ros.core.stamps import receive
from act_ros.msg import KeypointArray
from act_ros.ros.topics import PublisherNames


def test_two_publishers_on_a_topic_are_named(tmp_path: Path, tiny_bundle: Path) -> None:
    """Their stamps and ids mix, so that nobody is recognized: that must not go unsaid."""
    with bench(tmp_path) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle)})
        robot = Robot(made, node)
        assert 'publishers on' not in node.log
        robot.ask(frame(0, [walker(0)]))
        other = Node('other', context=made.peer.context)
        other.create_publisher(KeypointArray, '/keypoints', 10)
        made.peer.wait(
            lambda: '2 publishers on /keypoints: /other, /test_peer; their stamps and ids mix'
            in node.log, 'a warning')
        other.destroy_node()


def test_a_node_that_was_killed_and_started_anew_counts_once(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """DDS knows the killed one for a while; whom it still knows after that is another."""
    now, known = 100.0, ['video', 'video']
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    publishers = PublisherNames()

    def names() -> list[str]:
        return publishers.update([cast('TopicEndpointInfo', SimpleNamespace(
            node_namespace='/', node_name=name)) for name in known])

    assert names() == ['/video']
    known.append('bag')
    assert names() == ['/bag', '/video']
    now += 31
    assert names() == ['/bag', '/video', '/video']
    known[:] = ['video']
    assert names() == ['/video']
    known.append('video')
    assert names() == ['/video']


def test_a_clock_before_1970_ends_no_node(tmp_path: Path, tiny_bundle: Path) -> None:
    """It is ignored, and said so."""
    with bench(tmp_path) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle), 'use_sim_time': True})
        clock = made.peer.publisher(Clock, '/clock')

        def tell() -> None:
            for nanoseconds in (0, 2**32 - 1):  # which do not make it any better
                clock.publish(Clock(clock=Time(sec=-1, nanosec=nanoseconds)))

        made.peer.insist(tell, lambda: '/clock is before 1970' in node.log, 'a warning')
        robot = Robot(made, node)
        robot.ask(frame(0, [walker(0)]))
        assert node.is_alive() and 'Traceback' not in node.log


def test_a_camera_without_stamps_is_stamped_by_arrival_where_that_is_asked_for() -> None:
    """As the evaluation does with the time of recording."""
    frames = {kind: Frame(0) for kind in ('header', 'arrival')}
    for kind, empty in frames.items():
        receive(empty, 7, kind)
    assert frames['header'].stamp == 0
    assert frames['arrival'].stamp == frames['arrival'].time == 7


def test_what_is_far_apart_is_told_by_a_clock_that_nobody_sets() -> None:
    """Else one that leaps as the stamps do, such as a bag's, would make it look like a pause."""
    frame_of_a_bag = Frame(5)
    receive(frame_of_a_bag, 7, 'arrival', steady=9)
    assert (frame_of_a_bag.stamp, frame_of_a_bag.time) == (7, 9)
