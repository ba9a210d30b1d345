"""
`PersonFinder`: stamped images in, tracked persons out. The counterpart of `ActionRecognizer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.rotation import MountOptions, turn_image, turn_person
from act_ros.core.skeletons import joint_sources
from act_ros.core.stamps import Order, StampOrder
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.follow import FindAndFollow, Follower
from act_ros.persons.letterbox import check_image
from act_ros.persons.tracker import PoseTracker, TrackerOptions


class PersonFinder:
    """
    A pose network, or two, and a tracker on one stream of images.

    ``drops`` counts unused images, and answers of the network to its own images that make no sense.
    """

    def __init__(
        self, estimator: PoseEstimator, tracker: TrackerOptions | None = None, rotation: int = 0,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """
        Take what finds people (``create_estimator``), and how ids are given.

        :param rotation: degrees clockwise (0, 90, 180, 270) by which the images have to be turned
            for people to stand upright; what is found stays in pixels of the images as they come.
        :param numbers: of the ids; by default from 1 on, or else those that follow an earlier
            finder's.
        :raises ValueError: on another rotation.
        """
        self.estimator = estimator
        self.rotation = MountOptions(rotation).rotation
        self.drops: Counter[str] = Counter()
        self.heights: list[float] = []
        """Of the persons of the last image, as shares of the height of the upright image."""
        self.head_down: list[bool] = []
        """Whether each of them shows the hips above the shoulders: is the rotation right?"""
        self._shape: tuple[int, ...] = ()
        self._tracker, self._order = PoseTracker(numbers=numbers), StampOrder(0.0, self.drops)
        self._follower = (Follower(estimator, self._tracker)
                          if isinstance(estimator, FindAndFollow) else None)
        self.reconfigure(estimator.score_threshold, tracker or TrackerOptions())

    @property
    def layout(self) -> str:
        """Keypoint layout of the persons."""
        return self.estimator.layout

    def reconfigure(self, score_threshold: float, tracker: TrackerOptions) -> None:
        """Go on with other options; everybody keeps the id."""
        self.estimator.score_threshold = score_threshold
        self._tracker.options, self._order.tolerance = tracker, tracker.max_age

    def reset(self) -> None:
        """Forget all people; their ids are not used again."""
        self._tracker.reset()
        self.estimator.reset()
        if self._follower:
            self._follower.reset()

    def update(
        self, stamp: int, image_bgr: np.ndarray, arrival: int = 0,
    ) -> list[Person] | None:
        """
        Return the tracked persons of an image, or None if it is dropped by `StampOrder`.

        A mode of two networks looks at a fixed number of people in an image. Those whose turn it
        was not are left out of the answer, as a pose that nobody saw would be invented: they keep
        their id, and come again when they are looked at, normally in one of the next two images.

        :param stamp: nanoseconds.
        :param image_bgr: uint8 (H, W, 3).
        :param arrival: when it came in, nanoseconds, if that is known: see `StampOrder`.
        :raises ValueError: on an image without pixels or of another type.
        """
        order = self._order.check(stamp, not self._tracker.tracks, arrival)
        if not order.is_taken:
            return None
        if order is Order.JUMP:
            self.reset()
        check_image(image_bgr)
        if image_bgr.shape != (self._shape or image_bgr.shape):
            self.reset()  # another camera or mode: nobody is where anybody was
        self._shape = image_bgr.shape
        upright = turn_image(image_bgr, self.rotation)
        before = self.estimator.drops.copy()  # of all cameras that share the network
        try:
            if self._follower:
                persons = self._follower.update(stamp, upright)
            else:
                persons = self._tracker.update(stamp, self.estimator.estimate(upright))
        finally:
            self.drops.update(self.estimator.drops - before)
        height, width = upright.shape[:2]
        self.heights = [float(p.box[3] - p.box[1]) / height for p in persons]
        self.head_down = [_is_head_down(p, self.layout) for p in persons]
        return [turn_person(p, -self.rotation % 360, width, height) for p in persons]


def _is_head_down(person: Person, layout: str) -> bool:
    neck, middle = joint_sources(layout, ('neck', 'mid_hip'))
    shoulders, hips = person.keypoints.take(neck, axis=0), person.keypoints.take(middle, axis=0)
    across, down, _ = (shoulders - hips).mean(axis=0)
    return min(shoulders[:, 2].min(), hips[:, 2].min()) >= SEEN_SCORE and bool(down > abs(across))
