"""Draw people, ids and actions into an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from act_ros.core.action import Action
from act_ros.core.person import Person
from act_ros.core.skeletons import get_layout
from act_ros.pictures.captions import caption, colour_of

_FADED = 0.55
_FONT = cv2.FONT_HERSHEY_DUPLEX


def draw(
    image: np.ndarray, persons: Sequence[Person], layout: str, actions: Iterable[Action] = (),
    min_score: float = 0.2, captions: bool = True,
) -> None:
    """
    Draw skeletons and captions into ``image`` (H, W, 3) uint8 BGR, in place.

    Keypoints below ``min_score`` are left out, and ids and actions without ``captions``. Actions of
    persons not given are not drawn.
    """
    edges = get_layout(layout).edges
    thick = max(1, round(min(image.shape[:2]) / 240))
    texts = {action.person_id: caption(action) for action in actions}
    for person in persons:
        colour = colour_of(person.id)
        # Far outside the image OpenCV's fixed-point coordinates overflow.
        points = np.clip(np.nan_to_num(person.keypoints[:, :2]), -16_000, 16_000).astype(int)
        seen = person.keypoints[:, 2] >= min_score
        for a, b in edges:
            if seen[a] and seen[b]:
                cv2.line(image, points[a].tolist(), points[b].tolist(), colour, 2 * thick,
                         cv2.LINE_AA)
        for point in points[seen].tolist():
            cv2.circle(image, point, 2 * thick, (255, 255, 255), -1, cv2.LINE_AA)
        if captions:
            _write(image, texts.get(person.id, person.id), person.box, colour, thick)


def _write(
    image: np.ndarray, text: str, box: np.ndarray, colour: tuple[int, int, int], thick: int,
) -> None:
    """Write a caption above the box, inside the image."""
    scale = 0.45 * thick if thick > 1 else 0.5
    (width, height), base = cv2.getTextSize(text, _FONT, scale, thick)
    x = int(np.clip(np.nan_to_num(box[0]), 0, max(image.shape[1] - width, 0)))
    y = int(np.clip(np.nan_to_num(box[1]) - base - 2 * thick, height + base, image.shape[0] - base))
    region = image[y - height - base:y + base, x:x + width + 2 * thick]
    region[:] = (region * _FADED * 0.6).astype(np.uint8)
    cv2.putText(image, text, (x + thick, y), _FONT, scale, colour, thick, cv2.LINE_AA)
