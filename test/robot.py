"""Somebody's poses sent to a running act_node, frame by frame, and its answers."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from rclpy.serialization import deserialize_message, serialize_message
from ros_harness import Bench, Process
from std_msgs.msg import Header
from synthetic import person, pose

from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.msg import Action, ActionArray, BoundingBox, Keypoint, KeypointArray, PersonKeypoints
from act_ros.ros.topics import to_header, to_time

FRAME = 33_333_333
START = 1_700_000_000_000_000_000


def frame(
    index: int, persons: list[Person], layout: str = 'coco17', start: int = START,
) -> KeypointArray:
    """Return the keypoints of a frame at 30 Hz."""
    return to_keypoints(Frame(start + index * FRAME, 'eye', (640, 480), layout, persons))


def walker(index: int, id: str = 'p1', motion: str = 'walk', x: float = 320.0) -> Person:
    """Return somebody moving, at a frame."""
    return person(pose(index / 30, motion, x=x), id=id)


class Robot:
    """A running act_node and what it says."""

    def __init__(self, made: Bench, node: Process) -> None:
        self.bench, self.node = made, node
        self.peer = made.peer
        self.heard: list[ActionArray] = self.peer.listen(ActionArray, '/actions')
        self.keypoints = self.peer.publisher(KeypointArray, '/keypoints')
        self.peer.greet(self._greet, self.heard)
        self.settle(START)

    def _greet(self, number: int) -> Header:
        """Send a frame without people, from long before all others."""
        msg = frame(number, [], start=FRAME)
        self.keypoints.publish(msg)
        return msg.header

    def settle(self, stamp: int) -> None:
        """Let time leap to just before a stamp: the last of three empty frames is believed."""
        for i in (-3, -2):
            self.keypoints.publish(frame(i, [], start=stamp))
        self.ask(frame(-1, [], start=stamp))
        self.heard.clear()

    def ask(self, msg: KeypointArray) -> ActionArray:
        """Publish a frame and return the answer to it."""
        self.keypoints.publish(msg)
        self.peer.wait(lambda: any(m.header == msg.header for m in self.heard), 'actions')
        return next(m for m in self.heard if m.header == msg.header)


def same(answers: list[ActionArray], expected: list[ActionArray]) -> bool:
    """Return whether two runs are equal to the last digit; serialized, their padding is random."""
    run, other = ([repr(deserialize_message(serialize_message(msg), ActionArray)) for msg in msgs]
                  for msgs in (answers, expected))
    return run == other


def to_keypoints(frame: Frame) -> KeypointArray:
    """Return the tracked persons of a frame as a message, made field by field."""
    width, height = frame.size
    return KeypointArray(
        header=to_header(frame), layout=frame.layout, image_width=width, image_height=height,
        persons=[PersonKeypoints(
            id=person.id, score=person.score, box=_to_box(person.box),
            keypoints=[Keypoint(x=x, y=y, score=s) for x, y, s in person.keypoints.tolist()],
        ) for person in frame.persons])


def to_actions(frame: Frame, model: str) -> ActionArray:
    """Return the actions of a frame as a message, made field by field."""
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
