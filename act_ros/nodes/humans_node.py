"""
humans_node: the people in view under the topics of REP-155 (ROS4HRI).

Subscribes ``keypoints``; publishes ``/humans/bodies/tracked`` and, for each body,
``/humans/bodies/<id>/skeleton2d`` and ``roi``. Needs the package ``hri_msgs``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from act_ros.core.messages import frame_of_keypoints
from act_ros.core.person import OUT_OF_SIGHT, Person
from act_ros.core.skeletons import LAYOUTS, joint_sources
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import KeypointArray
from act_ros.ros.bodies import BODY_LIFETIME, MOST_BODIES, import_messages, is_topic_part
from act_ros.ros.health import THROTTLE
from act_ros.ros.options import HumansOptions
from act_ros.ros.parameters import Parameters
from act_ros.ros.run import run
from act_ros.ros.topics import LATCHED, LEVEL, TopicLog

OPTIONS = (('', HumansOptions),)
# The index of each is a constant of hri_msgs/Skeleton2D.
JOINTS = LAYOUTS['rep155'].joints
_SIDES = {'l_': 'LEFT_', 'r_': 'RIGHT_'}


class Body(NamedTuple):
    """The topics of a body, and when it was last seen."""

    skeleton: Publisher
    roi: Publisher
    seen: int


class HumansNode(Node):
    """Tells ROS4HRI about bodies."""

    def __init__(self) -> None:
        super().__init__('humans_node')
        self._hri = import_messages('hri_msgs', 'humans_node')
        self._root = Parameters(self, OPTIONS)(HumansOptions).root.rstrip('/') + '/bodies'
        self._tracked = self.create_publisher(self._hri.IdsList, f'{self._root}/tracked', LEVEL)
        self._bodies: dict[str, Body] = {}
        subscription = self.create_subscription(KeypointArray, 'keypoints', self._tell, LEVEL)
        self._topic_log = TopicLog(self, subscription.topic_name)

    def _tell(self, msg: KeypointArray) -> None:
        self._topic_log.messages += 1
        stamp, size = to_nanoseconds(msg.header.stamp), (msg.image_width, msg.image_height)
        told = set()
        for person in frame_of_keypoints(msg).persons[:MOST_BODIES]:
            try:
                name = topic_part_of(person.id)
                skeleton = skeleton_msg(self._hri, msg.header, person, msg.layout, size)
            except ValueError as error:
                self.get_logger().error(
                    printable(error, ERROR_LENGTH), throttle_duration_sec=THROTTLE)
                continue
            body = self._body(name, stamp)
            body.skeleton.publish(skeleton)
            body.roi.publish(roi_msg(self._hri, msg.header, person, size))
            told.add(name)
        self._forget(stamp)
        # Not everybody is looked at in every image, and libhri drops at once who is not tracked.
        ids = [name for name, body in self._bodies.items()
               if name in told or 0 < stamp - body.seen <= OUT_OF_SIGHT * NANOSECONDS]
        self._tracked.publish(self._hri.IdsList(header=msg.header, ids=ids))

    def _body(self, name: str, stamp: int) -> Body:
        body = self._bodies.pop(name, None)
        if body is None:
            topic, hri = f'{self._root}/{name}', self._hri
            # libhri subscribes to both as volatile, which a latched region serves as well.
            body = Body(
                self.create_publisher(hri.Skeleton2D, f'{topic}/skeleton2d', LEVEL),
                self.create_publisher(hri.NormalizedRegionOfInterest2D, f'{topic}/roi', LATCHED),
                stamp)
        self._bodies[name] = body._replace(seen=stamp)  # those seen last come last
        return body

    def _forget(self, stamp: int) -> None:
        """Take away the topics of those long out of sight, or of a time that jumped."""
        surplus = len(self._bodies) - MOST_BODIES  # where ids change, and stamps perhaps never
        for number, (name, body) in enumerate(list(self._bodies.items())):
            if number < surplus or abs(stamp - body.seen) > BODY_LIFETIME:
                self.destroy_publisher(body.skeleton)
                self.destroy_publisher(body.roi)
                del self._bodies[name]


def topic_part_of(name: str) -> str:
    """
    Return what an id is called in the names of topics, which begin with a letter.

    The numbers that yolo_ros gives get one.

    :raises ValueError: the id has other characters than topics may have, or too many.
    """
    part = f'p{name}' if name[:1].isdigit() else name
    if not is_topic_part(part):
        raise ValueError(f'id {printable(name)!r} cannot be part of a topic name: letters, digits '
                         'and _ only, a hundred at most')
    return part


def skeleton_msg(
    hri: Any, header: Header, person: Person, layout: str, size: tuple[int, int],
) -> Any:
    """
    Return a person's keypoints as hri_msgs/Skeleton2D: shares of the image's width and height.

    A joint that is not seen, or outside the image, has confidence 0.

    :raises ValueError: a layout that lacks a joint of REP-155, keypoints not of the layout, or
        images of an unknown size.
    """
    if not all(size):
        raise ValueError('the size of the images is not known: keypoints without image_width and '
                         'image_height cannot be told as shares of it')
    sources = joint_sources(layout, JOINTS)
    if len(person.keypoints) <= max(map(max, sources)):
        raise ValueError(f'{person.id}: {len(person.keypoints)} keypoints are too few for {layout}')
    points = np.stack([_mean(person.keypoints[list(source)]) for source in sources])
    points[:, :2] /= size
    is_inside = np.all((points >= 0) & (points <= 1), axis=1, keepdims=True)  # False for NaN
    points = np.where(is_inside, points, 0.0)
    skeleton = [hri.NormalizedPointOfInterest2D() for _ in JOINTS]
    for joint, (x, y, confidence) in zip(JOINTS, points.tolist(), strict=True):
        name = _SIDES.get(joint[:2], '') + joint.removeprefix('l_').removeprefix('r_').upper()
        skeleton[getattr(hri.Skeleton2D, name)] = hri.NormalizedPointOfInterest2D(
            x=x, y=y, c=confidence)
    return hri.Skeleton2D(header=header, skeleton=skeleton)


def _mean(parts: np.ndarray) -> np.ndarray:
    """Return a joint (3,) amid its parts (n, 3), as sure as the least sure of them."""
    return np.append(parts[:, :2].mean(axis=0), parts[:, 2].min())


def roi_msg(hri: Any, header: Header, person: Person, size: tuple[int, int]) -> Any:
    """Return a person's box as hri_msgs/NormalizedRegionOfInterest2D, cut to the image."""
    box = np.clip(np.nan_to_num(person.box) / np.maximum((*size, *size), 1), 0.0, 1.0).tolist()
    score = float(np.clip(np.nan_to_num(person.score), 0.0, 1.0))
    return hri.NormalizedRegionOfInterest2D(
        header=header, xmin=box[0], ymin=box[1], xmax=box[2], ymax=box[3], c=score)


NODE = HumansNode

if __name__ == '__main__':
    run(NODE, __doc__)
