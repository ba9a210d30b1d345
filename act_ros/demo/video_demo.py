"""
The demo: a video or a camera through the real nodes, with a live table of who does what.

Starts video_node, pose_node and act_node as processes of their own, listens as a robot would, and
writes ``actions.jsonl`` (an object for every frame), ``annotated.mp4`` and ``timeline.png``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.core.arguments import count_from, positive
from act_ros.core.files import replacing_in
from act_ros.core.messages import frame_of_actions
from act_ros.core.resources import find_resource
from act_ros.core.stamps import to_nanoseconds
from act_ros.core.text import printable
from act_ros.msg import ActionArray
from act_ros.persons.models import DEFAULT_MODEL, MODES
from act_ros.persons.video import VideoError, VideoSource
from act_ros.pictures.terminal import Screen, table
from act_ros.pictures.timeline import Timeline
from act_ros.pictures.video import AnnotatedVideo
from act_ros.ros.fastdds import image_transport_variables
from act_ros.ros.images import bgr_to_image, image_to_bgr
from act_ros.ros.run import join
from act_ros.ros.signals import tied_to_us

_REDRAW = 0.1  # seconds between two tables
_GREETING = 300_000_000  # nanoseconds between two greetings
_PATIENCE = 3.0  # seconds without an answer after which the last has come
_START = 30.0  # seconds that the first answer may take: the player starts, a camera wakes up


class Watcher(Node):
    """Listens to ``actions`` and the annotated images; shows and records them."""

    def __init__(self, timeline: Timeline, video: AnnotatedVideo) -> None:
        super().__init__('act_demo')
        self._timeline, self._video = timeline, video
        self._screen, self._drawn, self._last = Screen(), 0.0, ''
        self.heard_at = self.begun_at = time.monotonic()
        self._greeting = self.create_publisher(Image, 'image', 1)
        self._greeted, self._heard = 0, set[str]()
        if find_spec('py_trees'):
            from act_ros.demo.behaviour_demo import tick_tree

            # The video plays as fast as it is answered: its stamps are not of the clock's time.
            tick_tree(self, self._say, max_age=math.inf)
        # A recorder must not lose a frame to a pause of its own: the video waits for answers, not
        # for whoever records them.
        self.create_subscription(ActionArray, 'actions', self._take, QoSProfile(depth=1000))
        self.create_subscription(
            Image, 'pose_node/annotated', self._take_image, QoSProfile(depth=90))

    def greet(self) -> bool:
        """
        Show an empty image; return whether both answers to one have come.

        Who publishes is known long before all have found each other, and the first frames of a
        video would go unheard.
        """
        if len(self._heard) == 2:
            self.destroy_publisher(self._greeting)
            return True
        now = self.get_clock().now()
        if now.nanoseconds > self._greeted + _GREETING:
            self._greeted = now.nanoseconds
            self._greeting.publish(bgr_to_image(
                np.zeros((48, 64, 3), np.uint8), Header(stamp=now.to_msg())))
        return False

    def _take(self, msg: ActionArray) -> None:
        self.heard_at = time.monotonic()
        frame = frame_of_actions(msg)
        if frame.stamp <= self._greeted:
            self._heard.add('actions')
            return
        if not self._timeline.frames:
            self.begun_at = self.heard_at
        actions = frame.actions or ()
        self._timeline.add(frame.stamp, actions)
        if not self._screen.is_terminal:
            # In a log: a line for every change of somebody's action, not thirty a second.
            state = str([(a.person_id, a.status, a.label) for a in actions])
            if state != self._last:
                self._screen.show(f'--- frame {self._timeline.frames}\n{table(actions)}')
            self._last = state
        elif self.heard_at - self._drawn > _REDRAW:
            self._drawn = self.heard_at
            width, height = self._screen.size
            self._screen.show(
                f'frame {self._timeline.frames}\n{table(actions, width, height - 1)}')

    def _say(self, what: str) -> None:
        """Tell above the table what a robot would do."""
        self._screen.say(f'The robot would {printable(what)}')

    def _take_image(self, msg: Image) -> None:
        stamp = to_nanoseconds(msg.header.stamp)
        if stamp <= self._greeted:
            self._heard.add('images')
            return
        self._video.add(stamp, image_to_bgr(msg))


def _start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """
    Start a node in a session of its own: Ctrl-C is for the demo, which then stops its nodes.

    Where it is killed and cannot, they end by themselves.
    """
    return subprocess.Popen(
        [*tied_to_us(), sys.executable, '-m', 'act_ros.nodes', name, '--ros-args', *arguments],
        start_new_session=True)


def _check(nodes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in nodes.items():
        if process.poll() not in (None, 0):
            raise SystemExit(f'demo: {name} failed, see its message above')


def _run(
    watcher: Watcher, executor: Executor, nodes: dict[str, subprocess.Popen[bytes]], source: str,
    is_camera: bool, options: argparse.Namespace,
) -> None:
    """Play until the last answer to the video has come, the time is up, or there is a signal."""
    nodes['act_node'] = _start(
        'act_node', '-r', 'keypoints:=pose_node/keypoints', '-p', f'bundle:={options.bundle}')
    nodes['pose_node'] = _start(
        'pose_node', '-p', 'reliability:=reliable', '-p', f'model:={options.pose_model}',
        '-p', f'num_threads:={options.threads}')
    while rclpy.ok() and not watcher.greet():
        executor.spin_once(0.1)
        _check(nodes)
    nodes['video_node'] = _start(
        # Quoted: a device number is a string, too.
        'video_node', '-p', f'source:={json.dumps(source)}',
        '-p', f'pace:={"realtime" if is_camera else "consumed"}')
    watcher.heard_at = time.monotonic()
    watcher.begun_at = watcher.heard_at + _START  # until the first answer has come
    while rclpy.ok() and time.monotonic() - watcher.begun_at < options.seconds:
        executor.spin_once(0.1)
        _check(nodes)
        is_over = nodes['video_node'].poll() is not None
        if is_over and time.monotonic() - watcher.heard_at > _PATIENCE:
            return


def _stop(nodes: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in nodes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in nodes.values():
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _record(name: str, fps: float, is_camera: bool, options: argparse.Namespace) -> None:
    """Run everything and write the results; as a whole, or not at all."""
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    with replacing_in(options.output, last='actions.jsonl') as folder:
        with (folder / 'actions.jsonl').open('w', encoding='utf-8') as file, \
                AnnotatedVideo(folder / 'annotated.mp4', fps) as video:
            timeline, executor = Timeline(file), join()
            try:
                watcher = Watcher(timeline, video)
                executor.add_node(watcher)
                _run(watcher, executor, nodes, name, is_camera, options)
            except ExternalShutdownException:  # a signal: what there is gets written
                pass
            finally:
                _stop(nodes)
                rclpy.try_shutdown()
        if not timeline.frames:
            raise SystemExit('demo: no frame was answered')
        timeline.plot(folder / 'timeline.png', f'Actions in {Path(name).name}')
    print(f'\n{timeline.frames} frames answered; see {printable(options.output)}/actions.jsonl, '
          'annotated.mp4 and timeline.png')


def main(args: list[str] | None = None) -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(prog='act_ros.demo', description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--video', type=Path, help='a video file (default: media/demo.mp4)')
    source.add_argument('--camera', help='a device number or /dev/videoN; Ctrl-C ends it')
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    parser.add_argument('--seconds', type=positive, default=float('inf'),
                        help='stop so long after the first answer')
    parser.add_argument('--threads', type=count_from(1), default=1, help='of the pose network')
    parser.add_argument('--bundle', default='act_mu', help='model bundle: a name or a path')
    parser.add_argument('--pose-model', default=DEFAULT_MODEL, help='how people are found: a mode '
                        f'({", ".join(MODES)}), or a pose network: a name or a path')
    options = parser.parse_args(args)
    name = options.camera or str(options.video or find_resource('media/demo.mp4'))
    # What runs here is nobody else's business, and another robot's nodes are none of ours.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.update(image_transport_variables(os.environ))
    try:
        opened = VideoSource(name)
        opened.release()
        _record(name, opened.fps, opened.is_camera, options)
    except (VideoError, OSError) as error:  # no such video; no room, or no folder
        raise SystemExit(f'demo: {printable(error, 1000)}') from error
