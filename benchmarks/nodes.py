"""
The running nodes: age of an answer, start-up, memory and CPU share.

Publishes the demo clip at its real rate to nodes in processes of their own, once for pose_node and
act_node and once for pipeline_node, first active and then inactive. The age of an answer is the
time from publishing an image to receiving its actions; the floor is the pose network alone on the
same images in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
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


class Camera:
    """Publishes frames at their rate, and notes when the answer to each comes."""

    def __init__(self) -> None:
        self.node = Node('benchmark')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._sent: dict[int, float] = {}
        self.ages: list[float] = []
        self.recognized: list[float] = []
        self.node.create_subscription(ActionArray, 'actions', self._answered, LEVEL)
        self._images = self.node.create_publisher(Image, 'image', QoSProfile(depth=1))

    def wait(self, condition: Callable[[], Any]) -> None:
        """Spin until the condition holds."""
        while not condition():
            self._executor.spin_once(timeout_sec=0.01)

    def wait_for_nodes(self) -> None:
        """Spin until images are wanted and answers offered."""
        self.wait(lambda: self._images.get_subscription_count()
                  and self.node.count_publishers('/actions'))

    def play(self, frames: list[np.ndarray], fps: float, rounds: int) -> float:
        """Publish the frames, some rounds of them; return the seconds that took."""
        start, count = time.perf_counter() + 0.5, rounds * len(frames)
        for i in range(count):
            due, stamp = start + i / fps, time.time_ns()
            msg = bgr_to_image(frames[i % len(frames)], Header(stamp=to_time(stamp)))
            while (left := due - time.perf_counter()) > 0:
                self._executor.spin_once(timeout_sec=left)
            self._sent[stamp] = time.perf_counter()
            self._images.publish(msg)
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            self._executor.spin_once(timeout_sec=0.1)
        return end - start

    def _answered(self, msg: ActionArray) -> None:
        now = time.perf_counter()
        self.ages.append(now - self._sent[to_nanoseconds(msg.header.stamp)])
        if not self.recognized and any(a.status == Status.RECOGNIZED for a in msg.actions):
            self.recognized.append(now)

    def change(self, name: str, transition: str) -> None:
        """Ask a node for a transition of its life cycle."""
        client = self.node.create_client(ChangeState, f'/{name}/change_state')
        self.wait(client.service_is_ready)
        future = client.call_async(ChangeState.Request(transition=Transition(label=transition)))
        self.wait(future.done)
        assert future.result().success, f'{name} does not {transition}'


def measure(
    processes: list[Process], frames: list[np.ndarray], fps: float, rounds: int,
) -> tuple[Row, list[Row]]:
    """Play the frames to running nodes; return the ages of answers and each node's costs."""
    camera = Camera()
    camera.wait_for_nodes()
    begin, ready = min(process.begin for process in processes), time.perf_counter()

    def shares() -> list[float]:
        """Return the processor time of each node a second while the frames are played."""
        before = [process.cpu_seconds for process in processes]
        elapsed = camera.play(frames, fps, rounds)
        return [(process.cpu_seconds - cpu) / elapsed
                for process, cpu in zip(processes, before, strict=True)]

    active = shares()
    p50, p99 = percentiles(camera.ages[10:])
    age = {'answered': f'{len(camera.ages)}/{rounds * len(frames)}', 'age p50 ms': p50,
           'age p99 ms': p99, 'start-up s': ready - begin, 'to first action s': (
               camera.recognized[0] - begin if camera.recognized else float('nan'))}
    memory = [process.memory_mb for process in processes]
    for process in processes:
        camera.change(process.name, 'deactivate')
    inactive = shares()
    for process in processes:
        camera.change(process.name, 'cleanup')
    costs = [{'node': process.name, 'resident MB': resident, 'private MB': private,
              'after cleanup MB': process.memory_mb[1], 'CPU share of a core, active': busy,
              'inactive': idle}
             for process, (resident, private), busy, idle in zip(
                 processes, memory, active, inactive, strict=True)]
    camera.node.destroy_node()
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
            age, cost = measure(processes, frames, fps, options.rounds)
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
