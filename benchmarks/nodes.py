"""
The running nodes: age of an answer, start-up, memory and CPU share.

Publishes the demo clip at its real rate to nodes in processes of their own, once for pose_node and
act_node and once for pipeline_node. The age of an answer is the time from publishing an image to
receiving its actions; the floor is the pose network alone on the same images in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.decision import Status
from act_ros.msg import ActionArray
from act_ros.nodes.conversions import to_nanoseconds, to_time
from act_ros.nodes.images import bgr_to_image
from act_ros.nodes.topics import LEVEL
from act_ros.pose import DEFAULT_MODEL, create_estimator
from act_ros.resources import find_resource
from benchmarks.report import Row, parser, percentiles, save, show

LAYOUTS = {'two nodes': ('act_node', 'pose_node'), 'one process': ('pipeline_node',)}
_TICKS = os.sysconf('SC_CLK_TCK')


class Process:
    """A node in a process of its own, and what it costs."""

    def __init__(self, name: str, threads: int, bundle: str) -> None:
        arguments = ['-r', 'keypoints:=pose_node/keypoints', '-p', 'reliability:=reliable']
        if name != 'act_node':
            arguments += ['-p', f'num_threads:={threads}']
        if name != 'pose_node':
            arguments += ['-p', f'bundle:={bundle}']
        self.name, self.begin = name, time.perf_counter()
        self._popen = subprocess.Popen(
            [sys.executable, '-m', f'act_ros.nodes.{name}', '--ros-args', *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f'/proc/{self._popen.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_mb(self) -> tuple[float, float]:
        """Resident memory now, and its private part (no shared libraries), in MB."""
        status = dict(
            line.split(':', 1) for line in
            Path(f'/proc/{self._popen.pid}/status').read_text().splitlines())
        return tuple(int(status[k].split()[0]) / 1000 for k in ('VmRSS', 'RssAnon'))  # type: ignore

    def stop(self) -> None:
        """End it."""
        self._popen.terminate()
        self._popen.wait(10)


def read_clip(path: str) -> tuple[list[np.ndarray], float]:
    """Return all frames of a video and its rate."""
    capture = cv2.VideoCapture(path)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def pose_latency(frames: list[np.ndarray], threads: int, fps: float) -> list[float]:
    """Return the seconds each image takes in the pose network, paced like a camera."""
    estimator = create_estimator(DEFAULT_MODEL, threads)
    seconds = []
    for image in frames:
        begin = time.perf_counter()
        estimator.estimate(image)
        seconds.append(time.perf_counter() - begin)
        time.sleep(max(1 / fps - seconds[-1], 0))
    return seconds[10:]


def play(
    processes: list[Process], frames: list[np.ndarray], fps: float, rounds: int,
) -> tuple[Row, list[Row]]:
    """Publish the frames to running nodes; return the ages of answers and each node's costs."""
    node = Node('benchmark')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    sent: dict[int, float] = {}
    ages: list[float] = []
    recognized: list[float] = []

    def answered(msg: ActionArray) -> None:
        now = time.perf_counter()
        ages.append(now - sent[to_nanoseconds(msg.header.stamp)])
        if not recognized and any(a.status == Status.RECOGNIZED for a in msg.actions):
            recognized.append(now)

    node.create_subscription(ActionArray, 'actions', answered, LEVEL)
    images = node.create_publisher(Image, 'image', QoSProfile(depth=1))
    while not (images.get_subscription_count() and node.count_publishers('/actions')):
        executor.spin_once(timeout_sec=0.01)
    ready = time.perf_counter()
    cpu = [process.cpu_seconds for process in processes]
    start, count = time.perf_counter() + 0.5, rounds * len(frames)
    for i in range(count):
        due, stamp = start + i / fps, time.time_ns()
        msg = bgr_to_image(frames[i % len(frames)], Header(stamp=to_time(stamp)))
        while (left := due - time.perf_counter()) > 0:
            executor.spin_once(timeout_sec=left)
        sent[stamp] = time.perf_counter()
        images.publish(msg)
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        executor.spin_once(timeout_sec=0.1)
    elapsed = end - start
    node.destroy_node()
    p50, p99 = percentiles(ages[10:])
    begin = min(process.begin for process in processes)
    age = {'answered': f'{len(ages)}/{count}', 'age p50 ms': p50, 'age p99 ms': p99,
           'start-up s': ready - begin,
           'to first action s': (recognized[0] - begin) if recognized else float('nan')}
    costs: list[Row] = []
    for process, before in zip(processes, cpu, strict=True):
        resident, private = process.memory_mb
        costs.append({'node': process.name, 'resident MB': resident, 'private MB': private,
                      'CPU share of one core': (process.cpu_seconds - before) / elapsed})
    return age, costs


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument('--video', default=str(find_resource('media/demo.mp4')))
    arguments.add_argument('--rounds', type=int, default=2, help='how often to play the clip')
    arguments.add_argument('--threads', type=int, default=1, help='of the pose network')
    arguments.add_argument('--bundle', default='act_mu', help='model bundle: a name or a path')
    options = arguments.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(os.getpid() % 90 + 1))
    for variable in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        os.environ.setdefault(variable, str(find_resource('config/fastdds.xml')))
    frames, fps = read_clip(options.video)
    rclpy.init()
    ages: list[Row] = []
    costs: list[Row] = []
    for layout, names in LAYOUTS.items():
        # Before and after: a machine's speed drifts.
        floor = pose_latency(frames, options.threads, fps)
        processes = [Process(name, options.threads, options.bundle) for name in names]
        try:
            age, cost = play(processes, frames, fps, options.rounds)
        finally:
            for process in processes:
                process.stop()
        floor += pose_latency(frames, options.threads, fps)
        floor50, floor99 = percentiles(floor)
        ages.append({'layout': layout, **age, 'pose p50 ms': floor50, 'pose p99 ms': floor99,
                     'p50 above pose ms': age['age p50 ms'] - floor50})
        costs += cost
    rclpy.shutdown()
    height, width = frames[0].shape[:2]
    show(f'Age of an answer, {width} x {height} raw images at {fps:g} Hz', ages)
    show('Costs', costs)
    save(options.json, ages=ages, costs=costs)


if __name__ == '__main__':
    main()
