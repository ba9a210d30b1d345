"""
`PersonFinder`: stamped images in, tracked persons out. The counterpart of `ActionRecognizer`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from act_ros.core.person import Person
from act_ros.core.stamps import Arrival, StampOrder
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.follow import FindAndFollow, Follower
from act_ros.persons.tracker import PoseTracker, TrackerOptions


class PersonFinder:
    """A pose network and a tracker on one stream of images; ``drops`` counts unused images."""

    def __init__(self, estimator: PoseEstimator, tracker: TrackerOptions | None = None) -> None:
        self.estimator = estimator
        self.drops: Counter[str] = Counter()
        self._tracker, self._order = PoseTracker(), StampOrder(0.0)
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

    def update(self, stamp: int, image_bgr: np.ndarray) -> list[Person] | None:
        """
        Return the tracked persons of an image, or None if it came too late and was dropped.

        :param stamp: nanoseconds.
        :param image_bgr: uint8 (H, W, 3).
        :raises ValueError: on an image without pixels or of another type.
        """
        arrival = self._order.judge(stamp)
        if arrival is Arrival.LATE:
            self.drops['late or repeated stamp'] += 1
            return None
        if arrival is Arrival.JUMP:
            self.reset()
        if self._follower:
            return self._follower.update(stamp, image_bgr)
        return self._tracker.update(stamp, self.estimator.estimate(image_bgr))
