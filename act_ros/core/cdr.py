"""
Messages of keypoints to core types: of what library decoded them, or straight from their bytes.

DDS and bags carry the same bytes. Read without a Python object for every joint, they cost little,
and nobody who floods the topic makes more work than `MAX_PERSONS` times `MAX_KEYPOINTS`.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds

MAX_PERSONS, MAX_KEYPOINTS = 1000, 256
"""What is read of a message at most: persons, and keypoints of one."""

_ORDERS = {b'\x00\x00': '>', b'\x00\x01': '<'}
_JOINT_BYTES = 12


class Poses(NamedTuple):
    """
    The content of an act_ros/KeypointArray.

    ``stamp`` in nanoseconds; ``size`` is the image's width and height, 0 where nobody said.
    """

    stamp: int
    frame_id: str
    layout: str
    size: tuple[int, int]
    persons: list[Person]


def poses_of(message: Any) -> Poses:
    """Return the content of an act_ros/KeypointArray that rclpy or rosbags has decoded."""
    return Poses(to_nanoseconds(message.header.stamp), message.header.frame_id, message.layout,
                 (message.image_width, message.image_height),
                 [_person(person) for person in message.persons[:MAX_PERSONS]])


def _person(message: Any) -> Person:
    joints, box = message.keypoints[:MAX_KEYPOINTS], message.box
    return Person(
        id=message.id, score=message.score,
        keypoints=np.array([(k.x, k.y, k.score) for k in joints], np.float32).reshape(-1, 3),
        box=np.array((box.x_min, box.y_min, box.x_max, box.y_max), np.float32))


def read_poses(data: bytes) -> Poses:
    """
    Return the content of a serialized act_ros/KeypointArray; its arrays are views of ``data``.

    OMG CDR, version 1: four bytes of encapsulation; every field of these types is of four bytes,
    or a string, and begins at a multiple of four.

    :raises ValueError: the bytes are not such a message, or not the whole of one.
    """
    order = _ORDERS.get(bytes(data[:2]))
    if order is None:
        raise ValueError(f'bytes that begin with 0x{bytes(data[:2]).hex()} are no CDR')
    try:
        return _read(data, order)
    except (struct.error, ValueError) as error:
        raise ValueError(f'{len(data)} bytes are no whole KeypointArray: {error}') from error


def _read(data: bytes, order: str) -> Poses:
    numbers = np.frombuffer(data, f'{order}f4', len(data) // 4 - 1, 4).astype('f4', copy=False)
    sec, nanosec = struct.unpack_from(f'{order}iI', data, 4)
    frame_id, at = _string(data, 12, order)
    layout, at = _string(data, at, order)
    width, height, count = struct.unpack_from(f'{order}III', data, at)
    at += 12
    score_and_joints = struct.Struct(f'{order}f16xI')
    persons = []
    for _ in range(min(count, MAX_PERSONS)):
        name, at = _string(data, at, order)
        score, joints = score_and_joints.unpack_from(data, at)
        first = at // 4  # of the box's numbers
        at += 24 + _JOINT_BYTES * joints
        if at > len(data):
            raise ValueError('keypoints go beyond its end')
        keypoints = numbers[first + 5:at // 4 - 1].reshape(joints, 3)
        persons.append(Person(keypoints[:MAX_KEYPOINTS], score, numbers[first:first + 4], name))
    return Poses(sec * NANOSECONDS + nanosec, frame_id, layout, (width, height), persons)


def _string(data: bytes, at: int, order: str) -> tuple[str, int]:
    """Return the string at a place, and the place of what follows it."""
    (size,) = struct.unpack_from(f'{order}I', data, at)
    end = at + 4 + size
    if end > len(data) or (size and data[end - 1]):
        raise ValueError('a string does not end within it')
    text = bytes(data[at + 4:end]).partition(b'\0')[0]
    return text.decode(errors='replace'), (end + 3) & ~3
