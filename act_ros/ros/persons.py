"""From images to tracked persons: the pose network that cameras share, and its topic."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from uuid import uuid4

from act_ros.core.cdr import write_keypoints
from act_ros.core.frame import Frame
from act_ros.core.stamps import RateLimit
from act_ros.msg import KeypointArray
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.finder import PersonFinder
from act_ros.persons.letterbox import DARK, brightness
from act_ros.persons.models import PoseOptions, checksum, create_estimator
from act_ros.persons.tracker import TrackerOptions
from act_ros.ros.health import Health
from act_ros.ros.managed import ManagedNode
from act_ros.ros.options import ImageOptions
from act_ros.ros.topics import LEVEL, steady_timer, topic_of
from act_ros.tflite.errors import ModelError

_PERIOD = 1.0  # seconds between two looks at who else publishes


def load_estimator(node: ManagedNode, *healths: Health) -> PoseEstimator:
    """Open the pose network that the node's parameters name, and note it in each health."""
    pose = node.parameters(PoseOptions)
    estimator = create_estimator(
        pose.model, pose.num_threads, pose.score_threshold, pose.providers,
        node.get_logger().warning)
    digest = checksum(pose.model)
    for health in healths:
        health.facts |= {'pose model': estimator.name, 'pose model SHA-256': digest}
    return estimator


class PersonOutput:
    """A person finder with its topic ``~/keypoints``."""

    def __init__(
        self, node: ManagedNode, estimator: PoseEstimator, health: Health, rotation: int,
        camera: str = '',
    ) -> None:
        self._node, self._health = node, health
        self._finder = PersonFinder(
            estimator, rotation=rotation,
            numbers=node.outlasting.setdefault(f'{camera} ids', count(1)))
        self._limit = RateLimit()
        health.include_drops(self._finder.drops)
        self._keypoints = node.create_publisher(
            KeypointArray, topic_of(camera, '~/keypoints'), LEVEL)
        self._mark = ''
        # Not in every image: to ask the middleware takes longer than to write the keypoints.
        steady_timer(node, _PERIOD, self._see_others)
        self.reconfigure()

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        parameters = self._node.parameters
        self._finder.reconfigure(
            parameters(PoseOptions).score_threshold, parameters(TrackerOptions))
        rate = self._limit.rate = parameters(ImageOptions).max_rate
        self._health.pause = 1.0 / rate if rate else 0.0

    def find(self, frame: Frame) -> bool:
        """Fill in the tracked persons of an image; False if it is not used."""
        assert frame.image is not None
        if not self._limit.allows(frame.stamp):
            self._health.skip('above max_rate')
            return False
        try:
            with self._health.timed('pose network and tracker'):
                persons = self._finder.update(frame.stamp, frame.image, frame.time)
        except ModelError as error:
            self._health.drop('unusable answer of the pose network', error)
            return False
        if persons is None:
            return False
        self._health.add_people(
            self._finder.heights, self._finder.head_down, self._finder.estimator.least_height)
        self._health.add_brightness(brightness(frame.image), DARK)
        if self._mark:
            persons = [replace(person, id=person.id + self._mark) for person in persons]
        frame.persons, frame.layout = persons, self._finder.layout
        return True

    def _see_others(self) -> None:
        """Give ids that no other node gives, once another one publishes, too."""
        topic = self._keypoints.topic_name
        if self._node.is_active and not self._mark and self._node.count_publishers(topic) > 1:
            self._mark = f'_{uuid4().hex[:6]}'
            self._node.get_logger().warning(
                f'others publish on {topic}, too: ids end in {self._mark} from now on, lest two '
                'people share one; give each node a topic of its own')

    def publish(self, frame: Frame) -> None:
        """Publish the keypoints of a frame's persons."""
        self._keypoints.publish(write_keypoints(frame))
