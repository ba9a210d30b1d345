"""Draw people, ids and actions into an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.skeletons import Layout, get_layout
from act_ros.core.text import printable
from act_ros.pictures.captions import caption, colour_of, is_light, label_colour

Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_DUPLEX
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_GREY = '#464646'
_FACE = ('nose', 'eye', 'ear', 'head')
# Far outside the image OpenCV's fixed-point coordinates overflow.
_FARTHEST = 16_000
_SMALLEST = 0.35  # scale of letters that can be read
_CANVAS = (640, 480)  # where nothing tells the size of the image


class _Tag(NamedTuple):
    """What is written about somebody, and where they are: x_min, y_min, x_max, y_max."""

    text: str
    box: np.ndarray
    colour: Colour
    ground: str


def draw(
    image: np.ndarray, persons: Sequence[Person], layout: str, actions: Iterable[Action] = (),
    min_score: float = SEEN_SCORE, captions: bool = True,
) -> None:
    """
    Draw skeletons and captions into ``image`` (H, W, 3) uint8 BGR, in place.

    Left out are keypoints below ``min_score`` or without a place, people whose keypoints are not of
    ``layout``, and, without ``captions``, ids and actions. Of an action whose person is not given,
    and not lost either, the box is drawn: a frame without a detection is no end. A skeleton has its
    person's colour, a caption its label's.
    """
    bones = get_layout(layout)
    thick = max(1, round(min(image.shape[:2]) / 240))
    told = {action.person_id: action for action in actions}
    tags, heads = [], []
    for person in persons:
        if len(person.keypoints) != len(bones.joints):
            continue
        colour = colour_of(person.id)
        points = _pixels(person.keypoints[:, :2])
        seen = np.isfinite(person.keypoints).all(axis=1) & (person.keypoints[:, 2] >= min_score)
        for a, b in bones.edges:
            if seen[a] and seen[b]:
                cv2.line(image, points[a].tolist(), points[b].tolist(), colour, 2 * thick,
                         cv2.LINE_AA)
        for point in points[seen].tolist():
            cv2.circle(image, point, 2 * thick, WHITE, -1, cv2.LINE_AA)
        box, head = _pixels(person.box), _head(points, seen, _pixels(person.box), bones)
        if head is not None:  # a box ends at the eyes
            box[1] = min(box[1], head[1])
            heads.append(head)
        tags.append(_tag(person.id, box, told.pop(person.id, None)))
    for action in told.values():
        if action.status is not Status.LOST:
            tag = _tag(action.person_id, _pixels(action.box), action)
            x_min, y_min, x_max, y_max = tag.box.tolist()
            cv2.rectangle(image, (x_min, y_min), (x_max, y_max), tag.colour, thick)
            tags.append(tag)
    if captions:
        _write(image, tags, heads)


def annotated(frame: Frame) -> np.ndarray:
    """Return a frame's image (H, W, 3) uint8 BGR, or a dark one, with people and actions."""
    assert frame.actions is not None
    if frame.image is not None:
        image = frame.image.copy()
    else:
        width, height = frame.size if all(frame.size) else _CANVAS
        image = np.full((height, width, 3), 24, np.uint8)
    # Of recorded actions, boxes are all there is.
    draw(image, frame.persons, frame.layout or 'coco17', frame.actions)
    return image


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values), -_FARTHEST, _FARTHEST).astype(int)


def _tag(person_id: str, box: np.ndarray, action: Action | None) -> _Tag:
    text, ground = printable(person_id, 40), _GREY
    if action is not None:
        text = caption(action)
        if action.status is Status.RECOGNIZED:
            ground = label_colour(action.label)
    return _Tag(text, box, colour_of(person_id), ground)


def bgr(colour: str) -> Colour:
    """Return a colour ``#rrggbb`` as OpenCV has it."""
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


def _head(
    points: np.ndarray, seen: np.ndarray, box: np.ndarray, layout: Layout,
) -> np.ndarray | None:
    """Return the rectangle (4,) of a head that is seen; captions keep off it."""
    face = [i for i, joint in enumerate(layout.joints)
            if seen[i] and joint.rpartition('_')[2] in _FACE]
    if not face:
        return None
    low, high = points[face].min(axis=0), points[face].max(axis=0)
    margin = max(int((high - low).max()) // 2, int(box[3] - box[1]) // 20)
    return np.concatenate((low - margin, high + margin))


def _write(image: np.ndarray, tags: Sequence[_Tag], heads: Sequence[np.ndarray]) -> None:
    """Write the captions beside their people, off the heads and each other where possible."""
    size = min(image.shape[:2])
    usual = float(np.clip(size / 800, _SMALLEST, 3.0))
    weight = 1 if usual < 0.9 else 2
    taken = list(heads)
    for tag in tags:
        (width, _), _ = cv2.getTextSize(tag.text, FONT, usual, weight)
        # How sure and how far it is stands at the end: what is too long is written smaller.
        scale = min(usual, max(_SMALLEST, usual * 0.9 * image.shape[1] / max(width, 1)))
        (width, height), base = cv2.getTextSize(tag.text, FONT, scale, weight)
        margin = max(2, height // 4)
        stripe = 2 * margin  # in the person's own colour
        chip = np.array((width + stripe + 2 * margin, height + base + margin))
        x, y = _place(chip, tag.box, np.array(taken).reshape(-1, 4), image.shape)
        taken.append(np.array((x, y, x + chip[0], y + chip[1])))
        cv2.rectangle(image, (x, y), (x + int(chip[0]) - 1, y + int(chip[1]) - 1), bgr(tag.ground),
                      -1)
        cv2.rectangle(image, (x, y), (x + stripe - 1, y + int(chip[1]) - 1), tag.colour, -1)
        ink = BLACK if is_light(tag.ground) else WHITE
        cv2.putText(image, tag.text, (x + stripe + margin, y + height + margin // 2), FONT, scale,
                    ink, weight, cv2.LINE_AA)


def _place(
    chip: np.ndarray, box: np.ndarray, taken: np.ndarray, shape: Sequence[int],
) -> tuple[int, int]:
    """
    Return where a caption of size (2,) stands, its upper left corner.

    Above its box; or higher, below, or beside it, whichever first covers nothing (N, 4) that is
    taken, or else the least.
    """
    x_min, y_min, x_max, y_max = box
    left, line = (x_min + x_max - chip[0]) // 2, chip[1] + 1
    above, below = y_min - chip[1] - 1, y_max + 2
    corners = np.array([
        (left, above), (x_min, above), (x_max - chip[0], above), (left, above - line),
        (x_max + 2, y_min), (x_min - chip[0] - 2, y_min), (left, below), (left, above - 2 * line),
        (left, below + line), (x_max + 2, y_min + line), (x_min - chip[0] - 2, y_min + line),
        (left, above - 3 * line), (left, (y_min + y_max) // 2), (left, y_max - line),
        (left, below + 2 * line), (left, below + 3 * line),
    ])
    corners = np.clip(corners, 0, np.maximum(np.array(shape[1::-1]) - chip, 0))
    low = np.maximum(corners[:, None], taken[None, :, :2])
    high = np.minimum(corners[:, None] + chip, taken[None, :, 2:])
    covered = np.prod(np.maximum(high - low, 0), axis=-1).sum(axis=-1)
    x, y = corners[int(np.argmin(covered))]
    return int(x), int(y)
