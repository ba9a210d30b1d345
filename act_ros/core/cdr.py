"""
The reader of serialized messages: stamps, and an act_ros/KeypointArray straight from its bytes.

DDS and bags carry the same bytes. Read without a Python object for every joint, they cost little;
`act_ros.core.messages` does the same with a message that a library has decoded.
"""

from __future__ import annotations

import struct

import numpy as np

from act_ros.core.frame import Frame
from act_ros.core.messages import MAX_KEYPOINTS, MAX_PERSONS
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS

_ORDERS = {b'\x00\x00': '>', b'\x00\x01': '<'}
_JOINT_BYTES = 12


def read_stamp(data: bytes) -> int:
    """
    Return the stamp, in nanoseconds, of a serialized message that begins with a Header.

    :raises ValueError: the bytes are no message, or too few.
    """
    if len(data) < 12:
        raise ValueError(f'{len(data)} bytes are no message with a header')
    sec, nanosec = struct.unpack_from(f'{_order(data)}iI', data, 4)
    return int(sec) * NANOSECONDS + int(nanosec)


def read_keypoints(data: bytes) -> Frame:
    """
    Return a serialized act_ros/KeypointArray as a frame; its arrays are views of ``data``.

    OMG CDR, version 1: four bytes of encapsulation; every field of these types is of four bytes,
    or a string, and begins at a multiple of four.

    :raises ValueError: the bytes are not such a message, or not the whole of one.
    """
    order = _order(data)
    try:
        return _read(data, order)
    except (struct.error, ValueError) as error:
        raise ValueError(f'{len(data)} bytes are no whole KeypointArray: {error}') from error


def _order(data: bytes) -> str:
    """Return the order of bytes, as `struct` writes it."""
    order = _ORDERS.get(bytes(data[:2]))
    if order is None:
        raise ValueError(f'bytes that begin with 0x{bytes(data[:2]).hex()} are no CDR')
    return order


def _read(data: bytes, order: str) -> Frame:
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
    return Frame(sec * NANOSECONDS + nanosec, frame_id, (width, height), layout, persons)


def _string(data: bytes, at: int, order: str) -> tuple[str, int]:
    """Return the string at a place, and the place of what follows it."""
    (size,) = struct.unpack_from(f'{order}I', data, at)
    end = at + 4 + size
    if end > len(data) or (size and data[end - 1]):
        raise ValueError('a string does not end within it')
    text = bytes(data[at + 4:end]).partition(b'\0')[0]
    return text.decode(errors='replace'), (end + 3) & ~3
