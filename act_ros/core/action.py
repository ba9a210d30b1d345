"""What one person does: the answer of a recognizer, the content of act_ros/msg/Action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from act_ros.core.place import NOWHERE, Place


class Status(IntEnum):
    """What is known of a person's action; the values are those of act_ros/msg/Action."""

    BUFFERING = 0
    RECOGNIZED = 1
    UNKNOWN = 2
    LOST = 3


@dataclass(eq=False, slots=True)
class Action:
    """
    What one person does; the content of act_ros/msg/Action.

    Stamps in nanoseconds, ``duration`` in seconds; ``probabilities`` (C,) smoothed, empty while
    BUFFERING; ``attention`` (T,) over the window's frames, or empty. ``place`` is where the person
    is or, LOST, was.
    """

    person_id: str
    status: Status
    label: str
    label_id: int
    confidence: float
    probabilities: np.ndarray
    duration: float
    window_start: int
    window_end: int
    frames: int
    box: np.ndarray
    attention: np.ndarray
    place: Place = NOWHERE
