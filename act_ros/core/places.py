"""Where the people before a camera are, frame by frame: live and from a bag alike."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from act_ros.core.action import Status
from act_ros.core.frame import Frame
from act_ros.core.options import Options, option
from act_ros.core.place import (
    NOWHERE,
    Camera,
    DepthError,
    Place,
    PlaceKind,
    depth_pixels,
    image_size_of,
    locate,
)
from act_ros.core.stamps import NANOSECONDS

_DEPTH_IMAGES = 15  # that wait for the keypoints of their time
_SHAPE = 0.02  # share by which the sides of images of one view may differ


@dataclass(frozen=True)
class PlaceOptions(Options):
    """How people's places are found."""

    depth: bool = option(
        False, "Subscribe to `depth`, a depth image (16UC1 or 32FC1) registered to the camera's "
        'images, to measure where people are. Otherwise `camera_info` gives a bearing and an '
        'estimated distance.', fixed=True)
    tolerance: float = option(
        0.05, 'Most seconds between the stamps of keypoints and of a depth image that belongs to '
        'them.', low=0.0, high=10.0)


class Places:
    """
    What a camera tells of itself, and where its people are.

    :param options: returns the present options.
    :param drops: counts what cannot be used, by cause.
    :param fail: counts a cause, too, and tells of the error behind it.
    :param load: makes a sensor_msgs/Image of what `add_depth` took, or raises RuntimeError.
    """

    def __init__(
        self, options: Callable[[], PlaceOptions], drops: Counter[str],
        fail: Callable[[str, Exception], None], load: Callable[[Any], Any] = lambda image: image,
    ) -> None:
        self.info: Any = None
        """The newest sensor_msgs/CameraInfo; without one, nothing is known of any place."""
        self._options, self._drops, self._fail, self._load = options, drops, fail, load
        self._places: dict[str, Place] = {}
        self._depths: deque[tuple[int, Any]] = deque(maxlen=_DEPTH_IMAGES)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the camera's images in pixels, once they are known."""
        size = image_size_of(self.info) if self.info else (0, 0)
        return size if all(size) else None

    def add_depth(self, stamp: int, image: Any) -> None:
        """Take a depth image, of which ``load`` makes a sensor_msgs/Image if it is needed."""
        self._depths.append((stamp, image))

    def fill(self, frame: Frame) -> None:
        """Set the place of each action's person; whoever is LOST keeps the last known one."""
        has_depth = self._options().depth
        if not self.info:
            self._drops['depth without camera_info'] += has_depth
            return
        size = frame.size if all(frame.size) else self.image_size or (0, 0)
        camera = Camera.of_info(self.info, size[0])
        if camera is None:
            self._drops['camera_info without a calibration'] += 1
            return
        depth = self._depth(frame.stamp, size) if has_depth and frame.persons else None
        persons = {person.id: person for person in frame.persons}
        actions = frame.actions or ()
        for action in actions:
            # Of somebody LOST there may be joints, but none that is seen.
            person = persons.get(action.person_id) if action.status is not Status.LOST else None
            action.place = locate(person, frame.layout, camera, size, depth) if person else (
                self._places.get(action.person_id, NOWHERE))
            if depth and person and action.place.kind is not PlaceKind.MEASURED:
                self._drops['no depth on a person'] += 1
        self._places = {action.person_id: action.place for action in actions}

    def _depth(self, stamp: int, size: tuple[int, int]) -> tuple[np.ndarray, float] | None:
        """Return the depth image of a frame's time, or None; what is wrong is counted and told."""
        at, image = min(self._depths, key=lambda pair: abs(pair[0] - stamp), default=(0, None))
        if image is None or abs(at - stamp) > self._options().tolerance * NANOSECONDS:
            self._drops['no depth image of that time'] += 1
            return None
        try:
            depth = depth_pixels(self._load(image))
            height, width = depth[0].shape
            if abs(width * size[1] - height * size[0]) > _SHAPE * width * size[1]:
                raise DepthError(
                    f'depth image of {width}x{height} pixels is not registered to images of '
                    f'{size[0]}x{size[1]}')
        except (DepthError, RuntimeError) as error:  # the latter of rclpy, for bytes that are none
            self._fail('unusable depth image', error)
            return None
        return depth
