"""Pictures of labelled moments: skeletons, in the images where the bag has any."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

import cv2
import numpy as np

from act_ros.core.action import Action
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS
from act_ros.evaluation.scores import Scores, Segment, answer_of
from act_ros.evaluation.source import read_images
from act_ros.pictures.drawing import draw
from act_ros.recordings.bags import Bag, BagError
from act_ros.recordings.labels import Label

_SHOTS = 4
_WORST = 8
# Width and height of a picture.
_SHAPE = (150, 200)
_MARGIN = 1.25


@dataclass(eq=False)
class Shot:
    """A labelled person at a moment; ``crop`` is x, y, width, height in the image."""

    stamp: int
    second: float
    answer: str
    confidence: float
    crop: tuple[float, float, float, float]
    layout: str
    person: Person | None
    jpeg: str = ''  # base64


@dataclass(eq=False)
class Gallery:
    """Takes a few shots of every label's time; shows those of the worst segments."""

    shots: dict[int, list[Shot]] = field(default_factory=dict)
    _due: dict[int, int] = field(default_factory=dict)

    def add(self, frame: Frame, pairs: Sequence[tuple[Label, Action | None]]) -> None:
        """Take a shot of whoever is labelled, where one is due."""
        for label, action in pairs:
            # In the middle of each quarter; where people come late into sight, no two at once.
            eighths = 2 * _SHOTS * (frame.time - label.start) // (label.end - label.start)
            due = (eighths + 1) // 2
            if action is not None and due > self._due.get(label.line, 0):
                self._due[label.line] = due
                self.shots.setdefault(label.line, []).append(_shoot(frame, label, action))

    def worst(self, scores: Scores) -> list[Segment]:
        """Return the segments with the fewest right answers, worst first."""
        return sorted((s for s in scores.segments.values() if s.frames),
                      key=lambda s: (s.right, s.label.line))[:_WORST]

    def draw(self, bag: Bag, topic: str | None, scores: Scores) -> None:
        """Draw the shots of the worst segments; for images, passes over the bag once more."""
        wanted: dict[int, list[Shot]] = {}
        for segment in self.worst(scores):
            for shot in self.shots.get(segment.label.line, []):
                wanted.setdefault(shot.stamp, []).append(shot)
        if wanted and topic:
            with suppress(BagError), Bag(bag.path) as again:  # told when its frames are read
                again.stamps = bag.stamps
                for frame in read_images(again, topic):
                    for shot in wanted.pop(frame.stamp, []):
                        shot.jpeg = _draw(shot, frame.image)
                    if not wanted:
                        break
        for shot in chain(*wanted.values()):
            shot.jpeg = _draw(shot, None)


def _shoot(frame: Frame, label: Label, action: Action) -> Shot:
    person = next((p for p in frame.persons if p.id == action.person_id), None)
    x_min, y_min, x_max, y_max = (float(v) for v in action.box)
    height = max(y_max - y_min, (x_max - x_min) * _SHAPE[1] / _SHAPE[0], 16.0) * _MARGIN
    width = height * _SHAPE[0] / _SHAPE[1]
    crop = ((x_min + x_max - width) / 2, (y_min + y_max - height) / 2, width, height)
    return Shot(frame.stamp, (frame.time - label.start) / NANOSECONDS, answer_of(action),
                action.confidence, crop, frame.layout, person)


def _draw(shot: Shot, image: np.ndarray | None) -> str:
    """Return a shot as a base64 JPEG, twice as fine as `_SHAPE`; dark where there is no image."""
    x, y, width, _ = shot.crop
    size = 2 * _SHAPE[0], 2 * _SHAPE[1]
    scale = size[0] / width
    picture: np.ndarray = np.full((*size[::-1], 3), 24, np.uint8)
    if image is not None:
        move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
        picture = cv2.warpAffine(image, move, size, flags=cv2.INTER_AREA)
    if shot.person is not None:
        keypoints = (shot.person.keypoints - (x, y, 0)) * (scale, scale, 1)
        draw(picture, [replace(shot.person, keypoints=keypoints)], shot.layout, captions=False)
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()
