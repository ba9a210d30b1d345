"""Pictures of labelled moments: skeletons, and the images behind them where the bag has any."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS
from act_ros.evaluation.scores import Scores, Segment, answer_of
from act_ros.evaluation.source import read_images
from act_ros.pictures.drawing import draw
from act_ros.recordings.bags import Bag, BagError
from act_ros.recordings.labels import Label

SHOTS = 4
WORST = 8
# Width and height of a picture.
SHAPE = (150, 200)
_MARGIN = 1.25
_CANVAS = (640, 480)


@dataclass(eq=False)
class Shot:
    """A labelled person at a moment; ``crop`` is x, y, width, height in the image."""

    stamp: int
    second: float
    answer: str
    confidence: float
    crop: tuple[float, float, float, float]
    layout: str = ''
    keypoints: np.ndarray | None = None
    jpeg: str = ''


@dataclass(eq=False)
class Gallery:
    """Takes a few shots of every label's time; shows those of the worst segments."""

    shots: dict[int, list[Shot]] = field(default_factory=dict)
    _due: dict[int, int] = field(default_factory=dict)

    def add(self, frame: Frame, pairs: Sequence[tuple[Label, Action | None]]) -> None:
        """Take a shot of whoever is labelled, where one is due."""
        for label, action in pairs:
            # In the middle of each quarter; where people come late into sight, no two at once.
            eighths = 2 * SHOTS * (frame.time - label.start) // (label.end - label.start)
            due = (eighths + 1) // 2
            if action is not None and due > self._due.get(label.line, 0):
                self._due[label.line] = due
                self.shots.setdefault(label.line, []).append(_shoot(frame, label, action))

    def worst(self, scores: Scores) -> list[Segment]:
        """Return the segments with the fewest right answers, worst first."""
        return sorted((s for s in scores.segments.values() if s.frames),
                      key=lambda s: (s.right, s.label.line))[:WORST]

    def fetch_images(self, bag: Bag, topic: str, scores: Scores) -> None:
        """Put the images behind the shots of the worst segments; passes over the bag once more."""
        wanted: dict[int, list[Shot]] = {}
        for segment in self.worst(scores):
            for shot in self.shots.get(segment.label.line, []):
                wanted.setdefault(shot.stamp, []).append(shot)
        try:
            with Bag(bag.path) as again:
                again.stamps = bag.stamps
                for frame in read_images(again, topic) if wanted else ():
                    for shot in wanted.pop(frame.stamp, []):
                        assert frame.image is not None
                        shot.jpeg = _cut(frame.image, shot.crop)
                    if not wanted:
                        break
        except BagError:
            pass  # a bag that is cut off is told when its frames are read


def _shoot(frame: Frame, label: Label, action: Action) -> Shot:
    person = next((p for p in frame.persons if p.id == action.person_id), None)
    x_min, y_min, x_max, y_max = (float(v) for v in action.box)
    height = max(y_max - y_min, (x_max - x_min) * SHAPE[1] / SHAPE[0], 16.0) * _MARGIN
    width = height * SHAPE[0] / SHAPE[1]
    crop = ((x_min + x_max - width) / 2, (y_min + y_max - height) / 2, width, height)
    return Shot(frame.stamp, (frame.time - label.start) / NANOSECONDS, answer_of(action),
                action.confidence, crop, frame.layout, person.keypoints if person else None)


def _cut(image: np.ndarray, crop: tuple[float, float, float, float]) -> str:
    """Return a part of an image, of `SHAPE`, as a base64 JPEG; black beyond the edges."""
    x, y, width, _ = crop
    scale = SHAPE[0] * 2 / width
    move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    picture = cv2.warpAffine(image, move, (SHAPE[0] * 2, SHAPE[1] * 2), flags=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()


def annotated(frame: Frame) -> np.ndarray:
    """Return a frame's image, or a dark canvas, with people and actions drawn in."""
    assert frame.actions is not None
    if frame.image is not None:
        image = frame.image.copy()
    else:
        width, height = frame.size if all(frame.size) else _CANVAS
        image = np.full((height, width, 3), 24, np.uint8)
    persons, layout = frame.persons, frame.layout
    if not layout:  # recorded actions: boxes are all there is
        layout = 'coco17'
        persons = [Person(np.zeros((17, 3), np.float32), 1.0, a.box, a.person_id)
                   for a in frame.actions if a.status is not Status.LOST]
    draw(image, persons, layout, frame.actions)
    return image
