"""One frame on its way from a camera to actions: what nodes, bags and evaluation hand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from act_ros.core.action import Action
from act_ros.core.person import Person

MAX_PIXELS = 25_000_000
"""Images of more are refused unless asked for: people are found in far smaller ones."""


@dataclass(eq=False, slots=True)
class Frame:
    """
    What is known of one image, filled in leg by leg.

    ``stamp`` (nanoseconds) and ``frame_id`` are the image's own and never change. ``image`` is
    uint8 (H, W, 3) BGR, ``size`` its width and height in pixels, 0 where a message did not say.
    ``persons`` have keypoints of ``layout``, which is empty until somebody has looked for them.
    ``actions`` stay None until they are recognized, and where the frame was dropped. ``time``
    (nanoseconds) is when it came in, or a bag recorded it; 0 where that is not known.
    """

    stamp: int
    frame_id: str = ''
    size: tuple[int, int] = (0, 0)
    layout: str = ''
    persons: Sequence[Person] = ()
    actions: Sequence[Action] | None = None
    image: np.ndarray | None = None
    time: int = 0
