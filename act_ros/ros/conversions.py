"""Messages of keypoints and actions to core types and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from act_ros.core.action import Action, Status
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.msg import Action as ActionMsg
from act_ros.msg import ActionArray, BoundingBox, Keypoint, KeypointArray, PersonKeypoints

_STATUSES = {int(status): status for status in Status}


def to_time(nanoseconds: int) -> Time:
    """Return integer nanoseconds as a stamp."""
    sec, nanosec = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def _box(box: np.ndarray) -> BoundingBox:
    x_min, y_min, x_max, y_max = box.tolist()
    return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def persons_to_msg(
    persons: Sequence[Person], layout: str, header: Header, width: int, height: int,
) -> KeypointArray:
    """Return tracked persons as a message; width and height of the image in pixels."""
    return KeypointArray(
        header=header, layout=layout, image_width=width, image_height=height,
        persons=[PersonKeypoints(
            id=person.id, score=person.score, box=_box(person.box),
            keypoints=[Keypoint(x=x, y=y, score=s) for x, y, s in person.keypoints.tolist()],
        ) for person in persons])


def actions_to_msg(actions: Sequence[Action], model: str, header: Header) -> ActionArray:
    """Return actions as a message under the keypoints' own header."""
    return ActionArray(header=header, model=model, actions=[ActionMsg(
        person_id=action.person_id, status=int(action.status), label=action.label,
        label_id=action.label_id, confidence=action.confidence, duration=action.duration,
        box=_box(action.box), window_start=to_time(action.window_start),
        window_end=to_time(action.window_end), frames=action.frames,
        probabilities=action.probabilities.tolist(), attention=action.attention.tolist(),
    ) for action in actions])


def msg_to_actions(msg: ActionArray) -> list[Action]:
    """Return the actions of a message; a status of another version is UNKNOWN."""
    return [Action(
        person_id=action.person_id, status=_STATUSES.get(action.status, Status.UNKNOWN),
        label=action.label, label_id=action.label_id, confidence=action.confidence,
        probabilities=np.array(action.probabilities, np.float32), duration=action.duration,
        window_start=to_nanoseconds(action.window_start),
        window_end=to_nanoseconds(action.window_end), frames=action.frames,
        box=np.array((action.box.x_min, action.box.y_min, action.box.x_max, action.box.y_max),
                     np.float32),
        attention=np.array(action.attention, np.float32),
    ) for action in msg.actions]
