"""
From camera to ``/actions``: age of an answer, CPU and memory, by composition, rate and people.

Publishes images of so many walking people at the rate of a camera to nodes in processes of their
own: pose_node and act_node, or pipeline_node. The age of an answer is the time from publishing an
image to receiving its actions. Where pipeline_node has the camera itself (a video of the same
images stands in for it), no image goes over DDS, and the age counts from the image's stamp. The
floor is the finder alone and the bare invoke of AcT, without ROS, on the same images at the same
rate, before and after. The second table is what an age is made of, in means, since medians do not
add up: by the stamps of messages, and the times that nodes tell on /diagnostics. The third is what
each node costs over its life: starting, active, inactive (life cycle), cleaned up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.action import Status
from act_ros.core.arguments import count_from, positive
from act_ros.core.memory import keep_memory
from act_ros.core.resources import find_resource
from act_ros.core.stamps import NANOSECONDS, RateLimit, to_nanoseconds
from act_ros.msg import ActionArray, KeypointArray
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import DEFAULT_MODEL, create_estimator
from act_ros.ros.fastdds import image_transport_variables
from act_ros.ros.images import bgr_to_image
from act_ros.ros.topics import LEVEL, to_time
from benchmarks.pose import images_of
from benchmarks.report import Row, one_line, parser, percentiles, save, show

COMPOSITIONS = {'two nodes': ('act_node', 'pose_node'), 'one process': ('pipeline_node',)}
OWN_CAMERA = 'one process, own camera'
_TICKS = os.sysconf('SC_CLK_TCK')
_MEAN = ', mean (ms)'  # how /diagnostics names such values
# Where the demo clip shows a woman walk by: frames, her middle at both ends, upper edge; pixels.
_FIRST, _LAST, _FROM, _TO, _TOP = 75, 150, 497, 117, 240
_WIDTH, _HEIGHT = 160, 240


class Process:
    """A node in a process of its own, and what it costs."""

    def __init__(self, name: str, threads: int, bundle: str, source: str = '') -> None:
        arguments = ['-r', 'keypoints:=pose_node/keypoints', '-p', 'reliability:=reliable']
        if source:
            arguments += ['-p', f'source:={source}', '-p', 'loop:=true']
        if name != 'act_node':
            arguments += ['-p', f'num_threads:={threads}']
        if name != 'pose_node':
            arguments += ['-p', f'bundle:={bundle}']
        self.name, self.begin = name, time.perf_counter()
        self._popen = subprocess.Popen(
            [sys.executable, '-m', 'act_ros.nodes', name, '--ros-args', *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._folder = Path(f'/proc/{self._popen.pid}')

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = (self._folder / 'stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_mb(self) -> tuple[float, float]:
        """Resident memory now, and its private part (no shared libraries), in MB."""
        status = dict(
            line.split(':', 1) for line in (self._folder / 'status').read_text().splitlines())
        return int(status['VmRSS'].split()[0]) / 1000, int(status['RssAnon'].split()[0]) / 1000

    @property
    def threads(self) -> int:
        """Threads now."""
        return len(list((self._folder / 'task').iterdir()))

    @property
    def descriptors(self) -> int:
        """Open files and sockets now."""
        return len(list((self._folder / 'fd').iterdir()))

    def stop(self) -> None:
        """End it."""
        self._popen.terminate()
        self._popen.wait(10)


class Camera:
    """Publishes images at a rate, and notes when the answer to each comes."""

    def __init__(self) -> None:
        self.node = Node('benchmark')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.moments: list[tuple[int, int, int, int, int]] = []
        """Nanoseconds: the image's stamp, sent, its keypoints sent or 0, actions sent, received."""
        self.means: dict[str, float] = {}
        """What the nodes tell of the last ten seconds, by its name; milliseconds."""
        self.people: list[int] = []
        self.recognized = 0.0
        self._sent: dict[int, int] = {}
        self._found: dict[int, int] = {}
        listeners: list[tuple[type, str, Callable[..., None]]] = [
            (KeypointArray, 'pose_node/keypoints', self._see),
            (ActionArray, 'actions', self._answered),
            (DiagnosticArray, '/diagnostics', self._listen)]
        for kind, topic, listener in listeners:
            self.node.create_subscription(kind, topic, listener, LEVEL)
        self._images = self.node.create_publisher(Image, 'image', QoSProfile(depth=1))

    def wait(self, condition: Callable[[], Any]) -> None:
        """Spin until the condition holds."""
        while not condition():
            self._executor.spin_once(timeout_sec=0.01)

    def wait_for_nodes(self) -> None:
        """Spin until images are wanted and answers offered."""
        self.wait(lambda: self._images.get_subscription_count()
                  and self.node.count_publishers('/actions'))

    def begin(self) -> None:
        """Forget the answers so far."""
        for memory in (self.moments, self.people, self._sent, self._found):
            memory.clear()

    def play(self, frames: list[np.ndarray], rate: float, count: int) -> float:
        """Publish so many images, wait for the last answer, and return the seconds that took."""
        self.begin()
        start = time.perf_counter()
        for i in range(count):
            due = start + i / rate
            msg = bgr_to_image(frames[i % len(frames)], Header())
            while (left := due - time.perf_counter()) > 0:
                self._executor.spin_once(timeout_sec=left)
            stamp = time.time_ns()
            msg.header.stamp = to_time(stamp)
            self._images.publish(msg)
            self._sent[stamp] = time.time_ns()
        self.watch(0.5)
        return time.perf_counter() - start

    def watch(self, seconds: float) -> None:
        """Listen for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._executor.spin_once(timeout_sec=left)

    @property
    def ages(self) -> list[float]:
        """Seconds from each image's stamp to its actions."""
        return [(received - stamp) * 1e-9 for stamp, _, _, _, received in self.moments]

    def _see(self, msg: KeypointArray, info: Mapping[str, Any]) -> None:
        self._found[to_nanoseconds(msg.header.stamp)] = info['source_timestamp']

    def _answered(self, msg: ActionArray, info: Mapping[str, Any]) -> None:
        now, stamp = time.time_ns(), to_nanoseconds(msg.header.stamp)
        self.moments.append((stamp, self._sent.get(stamp, stamp), self._found.get(stamp, 0),
                             info['source_timestamp'], now))
        self.people.append(sum(a.status != Status.LOST for a in msg.actions))
        if not self.recognized and any(a.status == Status.RECOGNIZED for a in msg.actions):
            self.recognized = time.perf_counter()

    def _listen(self, msg: DiagnosticArray) -> None:
        self.means |= {value.key.removesuffix(_MEAN): float(value.value) for status in msg.status
                       for value in status.values if value.key.endswith(_MEAN) and value.value}

    def change(self, name: str, transition: str) -> None:
        """Ask a node for a transition of its life cycle."""
        client = self.node.create_client(ChangeState, f'/{name}/change_state')
        self.wait(client.service_is_ready)
        future = client.call_async(ChangeState.Request(transition=Transition(label=transition)))
        self.wait(future.done)
        assert future.result().success, f'{name} does not {transition}'


@contextmanager
def running(
    names: Sequence[str], options: argparse.Namespace, source: str = '',
) -> Iterator[tuple[list[Process], Camera]]:
    """Start nodes, each in a process of its own, and a camera that hears them; end them."""
    ActClassifier(options.bundle)  # nodes that cannot load it would be waited for in vain
    processes = [Process(name, options.threads, options.bundle, source) for name in names]
    camera = Camera()
    try:
        yield processes, camera
    finally:
        camera.node.destroy_node()
        for process in processes:
            process.stop()


def walkers(people: int) -> list[np.ndarray]:
    """Return images, uint8 (480, 640, 3), of one to eight people who walk on the spot."""
    clip, frames = images_of(find_resource('media/demo.mp4')), []
    for i in [*range(_FIRST, _LAST), *range(_LAST, _FIRST, -1)]:
        share = (i - _FIRST) / (_LAST - _FIRST)
        left = max(round(_FROM + share * (_TO - _FROM)) - _WIDTH // 2, 0)
        walker = clip[i][_TOP:_TOP + _HEIGHT, left:left + _WIDTH]
        image = np.full_like(clip[0], 127)
        for n in range(people):
            row, column = (n % 2) * _HEIGHT, (n // 2) * _WIDTH
            image[row:row + _HEIGHT, column:column + _WIDTH] = walker
        frames.append(image)
    return frames


class Floor:
    """Finding people, and as often as nodes do AcT's invoke, without anything around them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._estimator = create_estimator(DEFAULT_MODEL, options.threads)
        self._classifier = ActClassifier(options.bundle)
        self._shown = 0

    def measure(
        self, frames: list[np.ndarray], people: int, rate: float, seconds: float,
    ) -> list[tuple[float, float]]:
        """Return the seconds of finder and invoke in the next images, paced like a camera."""
        bundle, taken = self._classifier.bundle, list[tuple[float, float]]()
        limit = RateLimit(WindowOptions().max_rate)
        features = np.zeros((people, bundle.num_frames, bundle.num_features), np.float32)
        finder = PersonFinder(self._estimator)
        for i in range(max(round(seconds * rate), 5)):
            stamp, begin = round(i * NANOSECONDS / rate) + 1, time.perf_counter()
            finder.update(stamp, frames[self._shown % len(frames)])
            found = time.perf_counter()
            if limit.allows(stamp):
                self._classifier.invoke(features)
            taken.append((found - begin, time.perf_counter() - found))
            self._shown += 1
            time.sleep(max(1 / rate - sum(taken[-1]), 0))
        return taken[2:]


def measure_ages(
    composition: str, names: Sequence[str], options: argparse.Namespace,
) -> list[tuple[Row, Row]]:
    """Return rows of the first two tables for every rate and number of people."""
    rows, bare = [], Floor(options)
    for people, rate in product(options.people, options.rates):
        frames, count = walkers(people), round(options.seconds * rate)
        floor = bare.measure(frames, people, rate, options.seconds / 2)
        with TemporaryDirectory() as folder:
            video = write_video(folder, frames, rate) if composition == OWN_CAMERA else ''
            with running(names, options, video) as (processes, camera):
                if video:
                    camera.wait(lambda: camera.recognized)
                else:
                    camera.wait_for_nodes()
                    camera.play(frames, rate, round(2.5 * rate))  # a window: then all is classified
                camera.begin()
                begin, busy = time.perf_counter(), sum(x.cpu_seconds for x in processes)
                if video:
                    camera.watch(options.seconds)
                else:
                    camera.play(frames, rate, count)
                elapsed = time.perf_counter() - begin
                cpu = (sum(x.cpu_seconds for x in processes) - busy) / elapsed
                memory = sum(x.memory_mb[1] for x in processes)
        floor += bare.measure(frames, people, rate, options.seconds / 2)
        rows.append(age_rows(composition, rate, people, camera, count, floor, cpu, memory))
    return rows


def write_video(folder: str, frames: list[np.ndarray], rate: float) -> str:
    """Write images as a video, and return its path."""
    path = f'{folder}/camera.avi'
    writer = cv2.VideoWriter(
        path, cv2.VideoWriter.fourcc(*'MJPG'), rate, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def age_rows(
    composition: str, rate: float, people: int, camera: Camera, count: int,
    floor: list[tuple[float, float]], cpu: float, memory: float,
) -> tuple[Row, Row]:
    """Return a row of the first table, and one of the second."""
    what = {'composition': composition, 'Hz': rate, 'people': people}
    (age50, age99), (floor50, floor99) = (
        percentiles(camera.ages), percentiles([sum(steps) for steps in floor]))
    age = {
        **what, 'found': float(np.mean(camera.people)),
        'answered': len(camera.ages) / count, 'age p50 ms': age50, 'age p99 ms': age99,
        'floor p50 ms': floor50, 'floor p99 ms': floor99, 'p50 / floor': age50 / floor50,
        'CPU share of a core': cpu, 'private MB': memory}
    is_split = composition == 'two nodes'
    moments = np.array([m for m in camera.moments if m[2] or not is_split])
    _, sent, found, acted, received = (moments - moments[:, :1]).mean(axis=0).tolist()
    finder, recognizer = camera.means['pose network and tracker'], camera.means['recognition']
    hop = (acted - found) * 1e-6 - recognizer if is_split else 0.0
    bare_finder, bare_invoke = np.mean(floor, axis=0).tolist()
    return age, {
        **what, 'sending the image': sent * 1e-6,
        'image on its way': (acted - sent) * 1e-6 - finder - hop - recognizer,
        'finder': finder, '(floor)': bare_finder * 1e3, 'keypoints on their way': hop,
        'recognizer': recognizer, '(invoke)': bare_invoke * 1e3,
        'actions on their way': (received - acted) * 1e-6, 'age': received * 1e-6}


def measure_costs(names: Sequence[str], options: argparse.Namespace) -> list[Row]:
    """Return a row for each node, active and inactive at 30 Hz with one person; clean them up."""
    frames = walkers(1)
    with running(names, options) as (processes, camera):
        camera.wait_for_nodes()
        ready = time.perf_counter()
        camera.play(frames, 30, 90)

        def shares() -> list[float]:
            """Return the processor time of each node a second while images come."""
            before = [process.cpu_seconds for process in processes]
            elapsed = camera.play(frames, 30, 300)
            return [(process.cpu_seconds - cpu) / elapsed
                    for process, cpu in zip(processes, before, strict=True)]

        active = shares()
        memory = [process.memory_mb for process in processes]
        for process in processes:
            camera.change(process.name, 'deactivate')
        inactive = shares()
        for process in processes:
            camera.change(process.name, 'cleanup')
        return [{'node': process.name, 'start-up s': ready - process.begin,
                 'to first action s': camera.recognized - process.begin,
                 'resident MB': resident, 'private MB': private,
                 'after cleanup MB': process.memory_mb[1], 'CPU share of a core, active': busy,
                 'inactive': idle}
                for process, (resident, private), busy, idle in zip(
                    processes, memory, active, inactive, strict=True)]


def set_up_ros() -> None:
    """Keep to this machine, in a domain of our own, with room for raw images."""
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(os.getpid() % 90 + 1))
    os.environ.update(image_transport_variables(os.environ))
    keep_memory()  # as the nodes do: neither camera nor floor shall be slower than need be
    rclpy.init()


@one_line
def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument('--rates', type=positive, nargs='+', default=[5, 15, 30, 60], help='Hz')
    arguments.add_argument('--people', type=count_from(1), nargs='+', default=[1, 3, 6])
    arguments.add_argument('--seconds', type=positive, default=8.0, help='of each measurement')
    arguments.add_argument('--threads', type=count_from(1), default=1, help='of the pose network')
    arguments.add_argument('--bundle', default='act_mu', help='model bundle: a name or a path')
    options = arguments.parse_args()
    set_up_ros()
    rows: list[tuple[Row, Row]] = []
    costs: list[Row] = []
    for composition, names in COMPOSITIONS.items():
        rows += measure_ages(composition, names, options)
        costs += measure_costs(names, options)
    rows += measure_ages(OWN_CAMERA, ('pipeline_node',), options)
    ages, steps = zip(*rows, strict=True)
    rclpy.shutdown()
    show('Age of an answer, from an image of 640 x 480', ages)
    show('What it is made of, mean ms', steps)
    show('Costs of each node, one person at 30 Hz', costs)
    save(options.json, ages=ages, steps=steps, costs=costs)


if __name__ == '__main__':
    main()
