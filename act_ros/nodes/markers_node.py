"""
markers_node: people and their actions for RViz and Foxglove.

Subscribes ``keypoints``, ``actions`` and ``camera_info``; publishes ``~/markers``: skeletons and
captions before the camera, in the frame of the image, as far away as ``actions`` says, or else at
the parameter ``distance``. They are made only while somebody subscribes.
"""

from __future__ import annotations

from math import nan

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.messages import frame_of_actions, frame_of_keypoints
from act_ros.core.person import Person
from act_ros.core.place import Camera
from act_ros.core.skeletons import get_layout
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import ActionArray, KeypointArray
from act_ros.pictures.captions import caption, colour_of
from act_ros.ros.health import THROTTLE
from act_ros.ros.options import MarkerOptions
from act_ros.ros.parameters import Parameters
from act_ros.ros.run import run
from act_ros.ros.topics import LEVEL, TopicLog

OPTIONS = (('', MarkerOptions),)

_BONE, _JOINT, _TEXT = 0.012, 0.025, 0.06  # sizes, as shares of the distance
_OUTLINE = ((1, 2), (2, 3), (3, 4), (4, 1))  # of a box
_LIFETIME = Duration(sec=1)  # what nobody updates any more, vanishes
_MAX_AGE = 1_000_000_000  # nanoseconds by which the stamps of keypoints and actions may differ


class MarkersNode(Node):
    """Shows everybody in view."""

    def __init__(self) -> None:
        super().__init__('markers_node')
        self._settings = Parameters(self, OPTIONS)
        self._publisher = self.create_publisher(MarkerArray, '~/markers', LEVEL)
        self._actions, self._camera = ActionArray(), CameraInfo()
        self.create_subscription(ActionArray, 'actions', self._take_actions, QoSProfile(depth=1))
        self.create_subscription(
            CameraInfo, 'camera_info', self._take_camera, qos_profile_sensor_data)
        subscription = self.create_subscription(KeypointArray, 'keypoints', self._show, LEVEL)
        self._topic_log = TopicLog(self, subscription.topic_name)

    def _take_actions(self, msg: ActionArray) -> None:
        self._actions = msg

    def _take_camera(self, msg: CameraInfo) -> None:
        self._camera = msg

    def _show(self, msg: KeypointArray) -> None:
        self._topic_log.messages += 1
        if not self._publisher.get_subscription_count():
            return
        frame = frame_of_keypoints(msg)
        try:
            edges, plane = get_layout(msg.layout).edges, self._plane(frame)
        except ValueError as error:
            self.get_logger().error(printable(error, ERROR_LENGTH), throttle_duration_sec=THROTTLE)
            return
        actions = self._newest(frame)
        # Each message says all there is: whoever is not in it is to disappear.
        markers = [Marker(header=msg.header, action=Marker.DELETEALL)]
        for number, person in enumerate(frame.persons):
            action = actions.get(person.id)
            markers += self._markers(msg.header, number, person, action, plane, edges)
        # Not everybody is looked at in every image: who is answered stays, or captions would blink.
        seen = {person.id for person in frame.persons}
        for number, action in enumerate(actions.values(), len(frame.persons)):
            if action.person_id not in seen and action.status is not Status.LOST:
                markers += [marker for marker in self._markers(
                    msg.header, number, _outline(action), action, plane, _OUTLINE)
                    if marker.ns != 'joints']
        self._publisher.publish(MarkerArray(markers=markers))

    def _plane(self, frame: Frame) -> Camera:
        """
        Return the camera's own plane if its calibration is known, else an assumed one.

        :raises ValueError: neither that nor the size of the images is known.
        """
        width, height = frame.size
        if camera := Camera.of_info(self._camera, width):
            return camera
        if not all(frame.size):
            raise ValueError('the size of the images is not known: keypoints without image_width '
                             'and image_height are shown only with a calibrated camera_info')
        return Camera.of_view(width, height, self._settings(MarkerOptions).field_of_view)

    def _newest(self, frame: Frame) -> dict[str, Action]:
        """Return the newest answers by person, unless they are of another time."""
        newest = frame_of_actions(self._actions)
        if abs(frame.stamp - newest.stamp) > _MAX_AGE:
            return {}
        return {action.person_id: action for action in newest.actions or ()}

    def _markers(
        self, header: Header, number: int, person: Person, action: Action | None, plane: Camera,
        edges: tuple[tuple[int, int], ...],
    ) -> list[Marker]:
        """Return a person's bones, joints and caption, as far away as the action says."""
        options, keypoints = self._settings(MarkerOptions), person.keypoints
        z = action.place.position[2] if action else nan
        distance = z if z > 0 else options.distance
        seen = np.isfinite(keypoints).all(axis=1) & (keypoints[:, 2] >= options.min_score)
        points = [Point(x=x, y=y, z=z) if ok else None for (x, y, z), ok in zip(
            plane.points(keypoints[:, :2], distance).tolist(), seen.tolist(), strict=True)]
        bones = [point for a, b in edges if max(a, b) < len(points) and points[a] and points[b]
                 for point in (points[a], points[b])]
        joints = [point for point in points if point]
        if not joints:
            return []
        blue, green, red = (value / 255 for value in colour_of(person.id))
        colour = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        white = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)

        def marker(kind: int, name: str, size: float, paint: ColorRGBA) -> Marker:
            result = Marker(
                header=header, ns=name, id=number, type=kind, action=Marker.ADD, color=paint,
                lifetime=_LIFETIME)
            result.scale = Vector3(x=size, y=size, z=size)
            return result

        label = marker(Marker.TEXT_VIEW_FACING, 'captions', _TEXT * distance, colour)
        label.text = caption(action) if action else printable(person.id, 40)
        top = min(joints, key=lambda point: point.y)
        label.pose.position = Point(x=top.x, y=top.y - 1.5 * _TEXT * distance, z=distance)
        skeleton = marker(Marker.LINE_LIST, 'bones', _BONE * distance, colour)
        skeleton.points = bones
        dots = marker(Marker.SPHERE_LIST, 'joints', _JOINT * distance, white)
        dots.points = joints
        return [skeleton, dots, label] if bones else [dots, label]


def _outline(action: Action) -> Person:
    """Return the box of an action as joints: the middle of its upper edge, and its corners."""
    x_min, y_min, x_max, y_max = action.box.tolist()
    corners = ((x_min + x_max) / 2, y_min), (x_min, y_min), (x_max, y_min), (x_max, y_max), (
        x_min, y_max)
    return Person(np.array([(*corner, 1.0) for corner in corners], np.float32), 1.0, action.box,
                  action.person_id)


NODE = MarkersNode

if __name__ == '__main__':
    run(NODE, __doc__)
