"""
Messages as core types, whichever library has decoded them: rclpy live, rosbags offline.

Of a message, however large, at most `MAX_PERSONS` persons or actions are read, and at most
`MAX_KEYPOINTS` of each person.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.core.place import NOWHERE, Place, PlaceKind
from act_ros.core.stamps import to_nanoseconds

MAX_PERSONS, MAX_KEYPOINTS = 1000, 256
"""What is read of a message at most: persons or actions, and keypoints of one person."""

_STATUSES = {int(status): status for status in Status}
_PLACES = {int(kind): kind for kind in PlaceKind}


def frame_of_keypoints(message: Any) -> Frame:
    """Return an act_ros/KeypointArray as a frame."""
    return Frame(
        to_nanoseconds(message.header.stamp), message.header.frame_id,
        (message.image_width, message.image_height), message.layout,
        [_person(person) for person in message.persons[:MAX_PERSONS]])


def _person(message: Any) -> Person:
    joints = message.keypoints[:MAX_KEYPOINTS]
    return Person(
        id=message.id, score=message.score, box=_box(message.box),
        keypoints=np.array([(k.x, k.y, k.score) for k in joints], np.float32).reshape(-1, 3))


def frame_of_actions(message: Any) -> Frame:
    """Return an act_ros/ActionArray as a frame; a status of another version is UNKNOWN."""
    return Frame(
        to_nanoseconds(message.header.stamp), message.header.frame_id,
        actions=[_action(action) for action in message.actions[:MAX_PERSONS]])


def _action(message: Any) -> Action:
    return Action(
        person_id=message.person_id, status=_STATUSES.get(message.status, Status.UNKNOWN),
        label=message.label, label_id=message.label_id, confidence=float(message.confidence),
        probabilities=np.asarray(message.probabilities, np.float32),
        duration=float(message.duration), window_start=to_nanoseconds(message.window_start),
        window_end=to_nanoseconds(message.window_end), frames=message.frames,
        box=_box(message.box), attention=np.asarray(message.attention, np.float32),
        place=_place(message))


def _place(message: Any) -> Place:
    """
    Return where an act_ros/Action has somebody; nowhere in a message of an older version.

    What a sender claims to know, but gives no number of, is not known.
    """
    kind = _PLACES.get(getattr(message, 'place', 0), PlaceKind.NOWHERE)
    if kind is PlaceKind.NOWHERE or not isfinite(message.bearing):
        return NOWHERE
    position = (message.position.x, message.position.y, message.position.z)
    if kind is PlaceKind.BEARING or not all(map(isfinite, (*position, message.distance))):
        return Place(PlaceKind.BEARING, bearing=float(message.bearing))
    return Place(kind, position, float(message.bearing), float(message.distance),
                 float(message.distance_error))


def _box(message: Any) -> np.ndarray:
    """Return an act_ros/BoundingBox (4,): x_min, y_min, x_max, y_max."""
    return np.array((message.x_min, message.y_min, message.x_max, message.y_max), np.float32)
