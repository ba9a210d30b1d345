"""
Poses of other packages as frames: detections of yolo_ros, and the bodies of REP-155 (ROS4HRI).

The messages may come from rclpy or from a bag. Joints are mapped by name and ids stay as they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from act_ros.core.frame import Frame
from act_ros.core.messages import MAX_KEYPOINTS, MAX_PERSONS
from act_ros.core.options import Options, option
from act_ros.core.person import Person
from act_ros.core.skeletons import LAYOUTS
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds

KEYPOINTS, DETECTIONS = 'act_ros/msg/KeypointArray', 'yolo_msgs/msg/DetectionArray'
IDS, SKELETON = 'hri_msgs/msg/IdsList', 'hri_msgs/msg/Skeleton2D'
INPUTS = {'keypoints': KEYPOINTS, 'yolo': DETECTIONS, 'rep155': IDS}
"""What poses are taken from: the parameter ``input``, and the type of the topic."""

_COCO, _BODY = LAYOUTS['coco17'], LAYOUTS['rep155']
_WAITING = 3  # most frames that wait for the rest of their skeletons
_LATE = 1  # seconds; further back, time has jumped


@dataclass(frozen=True)
class PoseInputOptions(Options):
    """Where tracked poses come from."""

    input: str = option(
        'auto', "What poses are taken from. 'keypoints' is act_ros/KeypointArray on `keypoints`; "
        "'yolo' is yolo_msgs/DetectionArray of yolo_ros there; 'rep155' are the bodies of ROS4HRI, "
        "on `/humans/bodies/tracked` and beside it. 'auto' takes whichever of them is published on "
        '`keypoints`.', choices=('auto', *INPUTS), fixed=True)
    image_width: int = option(
        640, 'Width in pixels of the images, of which REP-155 gives joints as shares; only its '
        'ratio to the height matters.', low=1, high=100_000)
    image_height: int = option(
        480, 'Height in pixels of the images, of which REP-155 gives joints as shares.',
        low=1, high=100_000)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.image_width, self.image_height


def frame_of_detections(message: Any, drops: Counter[str]) -> Frame:
    """
    Return a yolo_msgs/DetectionArray as a frame of persons with coco17 keypoints.

    A keypoint that yolo_ros leaves out was not seen. The size of the image is known only where
    there are masks.

    :param drops: counts detections with keypoints that are not a person's, by cause.
    """
    frame = Frame(to_nanoseconds(message.header.stamp), message.header.frame_id, layout=_COCO.name)
    persons = []
    for detection in message.detections[:MAX_PERSONS]:
        points = detection.keypoints.data[:MAX_KEYPOINTS]
        if detection.mask.width > 0 and detection.mask.height > 0:
            frame.size = detection.mask.width, detection.mask.height
        if detection.class_name.casefold() not in ('person', ''):
            if points:
                drops['keypoints of another class than person'] += 1
        elif not all(1 <= point.id <= len(_COCO.joints) for point in points):
            drops['keypoints of an unknown layout'] += 1
        else:
            keypoints = np.zeros((len(_COCO.joints), 3))
            for point in points:
                keypoints[point.id - 1] = point.point.x, point.point.y, point.score
            centre, half = detection.bbox.center.position, detection.bbox.size
            persons.append(_person(
                str(detection.id), keypoints, detection.score,
                [centre.x - half.x / 2, centre.y - half.y / 2,
                 centre.x + half.x / 2, centre.y + half.y / 2]))
    frame.persons = persons
    return frame


@dataclass(eq=False)
class _Part:
    """What is known of a frame: who is said to be tracked, and whose skeleton has come."""

    frame_id: str
    ids: set[str] | None = None
    persons: dict[str, Person] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return self.ids is not None and self.ids <= self.persons.keys()


class BodyFrames:
    """
    Joins the ids and skeletons of REP-155, which come on topics of their own, by stamp.

    :param size: width and height of the images in pixels, of which joints are told as shares.
    :param drops: counts what cannot be used, by cause.
    """

    def __init__(self, size: tuple[int, int], drops: Counter[str]) -> None:
        self.size = size
        self._drops = drops
        self._waiting: dict[int, _Part] = {}
        self._given: int | None = None  # the stamp of the newest frame that was given away

    def add_ids(self, message: Any) -> list[Frame]:
        """Take an hri_msgs/IdsList; return the frames that are whole now, the oldest first."""
        part = self._part(message.header)
        if part is None:
            return []
        part.ids = set(message.ids[:MAX_PERSONS])
        return self._take()

    def add_skeleton(self, name: str, message: Any) -> list[Frame]:
        """Take the hri_msgs/Skeleton2D of a body; return the frames that are whole now."""
        part = self._part(message.header)
        if part is None:
            return []
        points = np.array([(p.x, p.y, p.c) for p in message.skeleton[:MAX_KEYPOINTS]], float)
        if points.shape != (len(_BODY.joints), 3):
            self._drops['skeleton of an unknown layout'] += 1
            return []
        points[:, :2] *= self.size
        part.persons[name] = _person(name, points)
        return self._take()

    def flush(self) -> list[Frame]:
        """Return the frames that still wait: nothing more comes."""
        return self._take(is_over=True)

    def _part(self, header: Any) -> _Part | None:
        """Return the frame of a stamp, or None where it has been given away, or a later one."""
        stamp = to_nanoseconds(header.stamp)
        if self._given is not None and stamp <= self._given:
            if self._given - stamp <= _LATE * NANOSECONDS:
                self._drops['late skeletons or ids'] += 1
                return None
            self._waiting.clear()  # a bag that loops
            self._given = None
        return self._waiting.setdefault(stamp, _Part(header.frame_id))

    def _take(self, is_over: bool = False) -> list[Frame]:
        """Take away what need not wait: nothing more comes for those before one that is whole."""
        stamps = sorted(self._waiting)
        whole = [i + 1 for i, stamp in enumerate(stamps) if self._waiting[stamp].is_whole]
        count = len(stamps) if is_over else max([len(stamps) - _WAITING, *whole])
        frames = []
        for stamp in stamps[:max(count, 0)]:
            part, self._given = self._waiting.pop(stamp), stamp
            frames.append(Frame(
                stamp, part.frame_id, self.size, _BODY.name, list(part.persons.values())))
        return frames


def _person(
    name: str, keypoints: np.ndarray, score: float | None = None, box: list[float] | None = None,
) -> Person:
    """
    Return a person with keypoints (K, 3); those with a score of 0 were not seen.

    :param score: of the person; by default the mean of what is seen.
    :param box: around the person; by default around what is seen.
    """
    is_seen = keypoints[:, 2] > 0  # False for NaN
    if is_seen.any():
        seen = keypoints[is_seen]
        # Amid the others, for a corner of the image is far from everybody.
        keypoints = np.where(is_seen[:, None], keypoints, [*seen[:, :2].mean(axis=0), 0.0])
        score = seen[:, 2].mean() if score is None else score
        box = [*seen[:, :2].min(axis=0), *seen[:, :2].max(axis=0)] if box is None else box
    with np.errstate(over='ignore'):
        return Person(keypoints.astype(np.float32), float(score or 0.0),
                      np.array(box or [0.0] * 4, np.float32), name)
