"""
Frames as the bytes of messages: OMG CDR, version 1, as DDS and bags carry them.

Read and written without a Python object for every joint and number, they cost little;
`act_ros.core.messages` reads the same from a message that a library has decoded.
"""

from __future__ import annotations

import struct

import numpy as np

from act_ros.core.frame import Frame
from act_ros.core.messages import MAX_KEYPOINTS, MAX_PERSONS
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS, cut_stamp

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

    Four bytes of encapsulation; every field of these types is of four bytes, or a string, and
    begins at a multiple of four.

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


class _Writer(bytearray):
    """A message of little-endian CDR as it grows; numbers begin at a multiple of their size."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(b'\x00\x01\x00\x00')
        self.stamp(frame.stamp)
        self.text(frame.frame_id)

    def put(self, kind: str, *values: float) -> None:
        """Append numbers of one kind, as `struct` calls it."""
        self += bytes((4 - len(self)) % struct.calcsize(f'<{kind}'))
        self += struct.pack(f'<{len(values)}{kind}', *values)

    def stamp(self, nanoseconds: int) -> None:
        sec, nanosec = cut_stamp(nanoseconds)
        self.put('i', sec)
        self.put('I', nanosec)

    def text(self, text: str) -> None:
        data = text.encode(errors='replace') + b'\0'
        self.put('I', len(data))
        self += data

    def numbers(self, values: np.ndarray) -> None:
        self.put('f')  # where the first of them begins
        self += values.astype('<f4').tobytes()


def write_keypoints(frame: Frame) -> bytes:
    """Return the tracked persons of a frame as a serialized act_ros/KeypointArray."""
    out = _Writer(frame)
    out.text(frame.layout)
    out.put('I', *frame.size, len(frame.persons))
    for person in frame.persons:
        out.text(person.id)
        out.put('f', person.score)
        out.numbers(person.box)
        out.put('I', len(person.keypoints))
        out.numbers(person.keypoints)
    return bytes(out)


def write_actions(frame: Frame, model: str) -> bytes:
    """Return the actions of a frame, none where there are none, as a serialized ActionArray."""
    out, actions = _Writer(frame), frame.actions or ()
    out.text(model)
    out.put('I', len(actions))
    for action in actions:
        out.text(action.person_id)
        out.put('B', action.status)
        out.text(action.label)
        out.put('h', action.label_id)
        out.put('f', action.confidence, action.duration)
        out.numbers(action.box)
        out.stamp(action.window_start)
        out.stamp(action.window_end)
        out.put('H', action.frames)
        for values in (action.probabilities, action.attention):
            out.put('I', len(values))
            out.numbers(values)
        place = action.place
        out.put('B', place.kind)
        out.put('d', *place.position)
        out.put('f', place.bearing, place.distance, place.distance_error)
    return bytes(out)
