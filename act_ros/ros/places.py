"""Where people are, for their actions: a camera's calibration and, if asked for, its depth."""

from __future__ import annotations

from collections import deque

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image

from act_ros.core.cdr import read_stamp
from act_ros.core.frame import Frame
from act_ros.core.place import NOWHERE, Camera, DepthError, Place, depth_pixels, locate
from act_ros.core.stamps import NANOSECONDS
from act_ros.ros.health import Health
from act_ros.ros.managed import ManagedNode
from act_ros.ros.options import PlaceOptions
from act_ros.ros.topics import topic_of

_DEPTH_IMAGES = 15  # that wait for the keypoints of their time
_SHAPE = 0.02  # share by which the sides of images of one view may differ


class PlaceInput:
    """Subscribes to ``camera_info`` and ``depth`` of a camera and says where its people are."""

    def __init__(self, node: ManagedNode, health: Health, camera: str = '') -> None:
        self._node, self._health = node, health
        self._info: CameraInfo | None = None
        self.has_camera = False
        """Whether a camera has told of itself: without it, nothing is known of any place."""
        self._places: dict[str, Place] = {}
        self._depths: deque[tuple[int, bytes]] = deque(maxlen=_DEPTH_IMAGES)
        health.facts['camera_info'] = 'none yet'
        node.subscribe(CameraInfo, topic_of(camera, 'camera_info'), self._take_info,
                       qos_profile_sensor_data)
        self._has_depth = node.parameters(PlaceOptions).depth
        if self._has_depth:
            node.subscribe(
                Image, topic_of(camera, 'depth'), self._take_depth,
                QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT), is_raw=True)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the camera's images in pixels, once they are known."""
        info = self._info
        return (info.width, info.height) if info and info.width and info.height else None

    def fill(self, frame: Frame) -> None:
        """Say of each of a frame's actions where the person is or, out of sight, was."""
        actions = frame.actions or ()
        size = frame.size if all(frame.size) else self.image_size or (0, 0)
        camera = self._camera(size)
        if camera is None:
            return
        depth = self._depth(frame.stamp, size) if self._has_depth and frame.persons else None
        persons = {person.id: person for person in frame.persons}
        for action in actions:
            person = persons.get(action.person_id)
            action.place = locate(person, frame.layout, camera, size, depth) if person else (
                self._places.get(action.person_id, NOWHERE))
        self._places = {action.person_id: action.place for action in actions}

    def _take_info(self, message: CameraInfo) -> None:
        self._info, self.has_camera = message, True

    def _take_depth(self, data: bytes) -> None:
        try:
            self._depths.append((read_stamp(data), data))
        except ValueError as error:
            self._health.drop('unreadable depth image', error)

    def _camera(self, size: tuple[int, int]) -> Camera | None:
        info = self._info
        if info is None:
            return None
        camera = Camera.of_matrix(
            info.k, size[0] / info.width if size[0] and info.width else 1.0)
        self._health.facts['camera_info'] = f'{info.width}x{info.height}'
        if camera is None:
            self._health.facts['camera_info'] += ', not calibrated'
            self._health.drops['camera_info without a calibration'] += 1
        return camera

    def _depth(self, stamp: int, size: tuple[int, int]) -> tuple[np.ndarray, float] | None:
        """Return the depth image of a frame's time, or None; what is wrong is counted and told."""
        at, data = min(self._depths, key=lambda pair: abs(pair[0] - stamp), default=(0, b''))
        if not data or abs(at - stamp) > (
                self._node.parameters(PlaceOptions).tolerance * NANOSECONDS):
            self._health.drops['no depth image of that time'] += 1
            return None
        try:
            depth = depth_pixels(deserialize_message(data, Image))
            height, width = depth[0].shape
            if abs(width * size[1] - height * size[0]) > _SHAPE * width * size[1]:
                raise DepthError(
                    f'depth image of {width}x{height} pixels is not registered to images of '
                    f'{size[0]}x{size[1]}')
        except (DepthError, RuntimeError) as error:  # which rclpy raises for bytes that are none
            self._health.drop('unusable depth image', error)
            return None
        return depth
