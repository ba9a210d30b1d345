"""Frames to messages; `act_ros.core.messages` has the way back."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_msgs.msg import Header

from act_ros.core.frame import Frame
from act_ros.core.stamps import NANOSECONDS
from act_ros.msg import Action, ActionArray, BoundingBox, Keypoint, KeypointArray, PersonKeypoints

_FIRST, _LAST = -(1 << 31), (1 << 31) - 1  # seconds that a stamp can say


def to_time(nanoseconds: int) -> Time:
    """Return integer nanoseconds as a stamp, cut to what a stamp can say (1901 to 2038)."""
    sec, nanosec = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=min(max(sec, _FIRST), _LAST), nanosec=nanosec)


def to_header(frame: Frame) -> Header:
    """Return stamp and frame_id, which all messages about a frame share."""
    return Header(stamp=to_time(frame.stamp), frame_id=frame.frame_id)


def to_keypoints(frame: Frame) -> KeypointArray:
    """Return the tracked persons of a frame as a message."""
    width, height = frame.size
    return KeypointArray(
        header=to_header(frame), layout=frame.layout, image_width=width, image_height=height,
        persons=[PersonKeypoints(
            id=person.id, score=person.score, box=_to_box(person.box),
            keypoints=[Keypoint(x=x, y=y, score=s) for x, y, s in person.keypoints.tolist()],
        ) for person in frame.persons])


def to_actions(frame: Frame, model: str) -> ActionArray:
    """Return the actions of a frame, none where there are none, as a message."""
    return ActionArray(header=to_header(frame), model=model, actions=[Action(
        person_id=action.person_id, status=int(action.status), label=action.label,
        label_id=action.label_id, confidence=action.confidence, duration=action.duration,
        box=_to_box(action.box), window_start=to_time(action.window_start),
        window_end=to_time(action.window_end), frames=action.frames,
        probabilities=action.probabilities.tolist(), attention=action.attention.tolist(),
        place=int(action.place.kind), position=_to_point(action.place.position),
        bearing=action.place.bearing, distance=action.place.distance,
        distance_error=action.place.distance_error,
    ) for action in frame.actions or ()])


def _to_point(position: tuple[float, float, float]) -> Point:
    x, y, z = position
    return Point(x=x, y=y, z=z)


def _to_box(box: np.ndarray) -> BoundingBox:
    x_min, y_min, x_max, y_max = box.tolist()
    return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
