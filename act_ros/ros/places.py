"""What a camera tells of where people are: its calibration and, if asked for, its depth."""

from __future__ import annotations

from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image

from act_ros.core.cdr import read_stamp
from act_ros.core.place import Camera
from act_ros.core.places import PlaceOptions, Places
from act_ros.ros.health import Health
from act_ros.ros.managed import ManagedNode
from act_ros.ros.topics import topic_of


class PlaceInput(Places):
    """Subscribes to ``camera_info`` and ``depth`` of a camera."""

    def __init__(self, node: ManagedNode, health: Health, camera: str = '') -> None:
        super().__init__(lambda: node.parameters(PlaceOptions), health.drops, health.drop,
                         lambda data: deserialize_message(data, Image))
        self._health = health
        health.facts['camera_info'] = 'none yet'
        node.subscribe(CameraInfo, topic_of(camera, 'camera_info'), self._take_info,
                       qos_profile_sensor_data)
        if node.parameters(PlaceOptions).depth:
            node.subscribe(
                Image, topic_of(camera, 'depth'), self._take_depth,
                QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT), is_raw=True)

    def _take_info(self, message: CameraInfo) -> None:
        self.info = message
        self._health.facts['camera_info'] = f'{message.width}x{message.height}' + (
            '' if Camera.of_matrix(message.k) else ', not calibrated')

    def _take_depth(self, data: bytes) -> None:
        try:
            self.add_depth(read_stamp(data), data)
        except ValueError as error:
            self._health.drop('unreadable depth image', error)
