"""Hostile messages: whatever a publisher sends, there is an answer, or the error of its kind."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message, serialize_message
from robot import frame, to_actions, to_keypoints, walker
from test_fuzz import effort, mutated

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.cdr import read_keypoints, write_actions, write_keypoints
from act_ros.core.messages import (
    MAX_KEYPOINTS,
    MAX_PERSONS,
    frame_of_actions,
    frame_of_keypoints,
)
from act_ros.core.skeletons import LAYOUTS
from act_ros.core.stamps import to_nanoseconds
from act_ros.msg import Action, ActionArray, KeypointArray
from act_ros.pictures.captions import caption, colour_of
from act_ros.pictures.drawing import draw
from act_ros.pictures.terminal import table

_INTEGER = re.compile(r'(u?)int(\d+)')
_FLOATS = st.sampled_from(
    [0.0, -1.0, 0.5, 320.0, 1e30, -3.4e38, float('nan'), float('inf')]) | st.floats(width=32)
_IDS = st.sampled_from(['p1', 'p2', '', 'p' + '9' * 5000, '\0', 'p\u0663']) | st.text()
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    'layout': st.sampled_from([*LAYOUTS, 'octopus', '']),
    'id': _IDS, 'person_id': _IDS,
    'sec': st.sampled_from([-2 ** 31, 0, 2 ** 31 - 1]) | st.integers(-2 ** 31, 2 ** 31 - 1),
    'nanosec': st.sampled_from([0, 999_999_999, 2 ** 32 - 1]) | st.integers(0, 2 ** 32 - 1),
}
"""Fields of which a value taken at random is seldom of interest."""


@cache
def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Return messages of a type: every value its fields can carry."""
    fields = {name: SPECIAL.get(name, _field(text))
              for name, text in kind.get_fields_and_field_types().items()}
    return st.builds(kind, **fields)


def _field(text: str) -> st.SearchStrategy[Any]:
    if inner := re.fullmatch(r'sequence<(.+)>', text):
        return st.lists(_field(inner[1]), max_size=18 if 'Keypoint' in text else 4)
    if number := _INTEGER.fullmatch(text):
        bits, low = int(number[2]), 0 if number[1] else -(2 ** (int(number[2]) - 1))
        return st.integers(low, low + 2 ** bits - 1)
    if text in ('float', 'double'):
        return _FLOATS
    if text == 'string':
        return st.text(max_size=9)
    package, name = text.split('/')
    return messages(getattr(import_module(f'{package}.msg'), name))


@st.composite
def spoiled(draw_: st.DrawFn) -> KeypointArray:
    """Return a frame with the right number of keypoints, some of their values odd."""
    msg = frame(12, [walker(12, draw_(SPECIAL['id'])) for _ in range(draw_(st.integers(0, 3)))])
    msg.header.stamp = draw_(st.just(msg.header.stamp) | messages(msg.header.stamp.__class__))
    for person in msg.persons:
        for place in draw_(st.lists(st.integers(0, 16), max_size=17)):
            name = draw_(st.sampled_from(['x', 'y', 'score']))
            setattr(person.keypoints[place], name, draw_(_FLOATS))
        if draw_(st.booleans()):
            person.box, person.score = draw_(messages(person.box.__class__)), draw_(_FLOATS)
    return msg


def answer(recognizer: ActionRecognizer, msg: KeypointArray) -> ActionArray | None:
    """Return what act_node publishes about a message, come through its bytes."""
    return answer_to_bytes(recognizer, bytes(serialize_message(msg)))


def answer_to_bytes(recognizer: ActionRecognizer, data: bytes) -> ActionArray | None:
    """Return what act_node publishes about the bytes of a message."""
    try:
        frame = read_keypoints(data)
        frame.actions = recognizer.update(frame.stamp, frame.persons, frame.layout)
    except ValueError:  # act_node logs it
        return None
    if frame.actions is None:
        return None
    return sent(write_actions(frame, 'tiny'), to_actions(frame, 'tiny'))


def sent(written: bytes, message: Any) -> Any:
    """Return a message from the bytes we write, which say what rclpy's own bytes say."""
    theirs = bytes(serialize_message(message))
    read, expected = (deserialize_message(data, type(message)) for data in (written, theirs))
    assert len(written) == len(theirs) and repr(read) == repr(expected)  # NaN is not NaN
    return read


def is_sound(action: Action) -> bool:
    """Whether a robot can rely on an answer, whatever it was made of."""
    probabilities = np.array(action.probabilities)
    return bool(
        0 <= action.confidence <= 1 + 1e-6 and action.duration >= 0 and action.frames <= 30
        and np.isfinite([action.box.x_min, action.box.y_min, action.box.x_max,
                         action.box.y_max]).all()
        and (not len(probabilities) or abs(probabilities.sum() - 1) < 1e-3))


@given(strange=st.lists(messages(KeypointArray) | spoiled(), max_size=5))
@effort(0.5)
def test_any_keypoints(classifier: ActClassifier, strange: list[KeypointArray]) -> None:
    """Strange messages amid a good stream are answered soundly or not at all."""
    recognizer = ActionRecognizer(classifier)
    for i in range(12):
        assert answer(recognizer, frame(i, [walker(i)])) is not None
    for msg in strange:
        reply = answer(recognizer, msg)
        assert reply is None or all(is_sound(action) for action in reply.actions)


GOOD = bytes(serialize_message(frame(12, [walker(12), walker(12, 'p2', 'wave', 120.0)])))


@given(content=mutated(GOOD))
@effort(1.0)
def test_any_bytes_of_keypoints(classifier: ActClassifier, content: bytes) -> None:
    """What the middleware lets through does not disturb the core."""
    recognizer = ActionRecognizer(classifier)
    for i in range(12):
        answer(recognizer, frame(i, [walker(i)]))
    reply = answer_to_bytes(recognizer, content)
    assert reply is None or all(is_sound(action) for action in reply.actions)


@given(msg=messages(KeypointArray))
@effort(1.0)
def test_bytes_say_what_the_message_says(msg: KeypointArray) -> None:
    """Read without rclpy's help, nothing is lost or moved."""
    data = bytes(serialize_message(msg))
    msg = deserialize_message(data, KeypointArray)  # which ends strings at the first zero
    read, decoded = read_keypoints(data), frame_of_keypoints(msg)
    sent(write_keypoints(read), to_keypoints(read))
    assert read.stamp == decoded.stamp == to_nanoseconds(msg.header.stamp)
    assert read.frame_id == decoded.frame_id == msg.header.frame_id
    assert read.layout == decoded.layout == msg.layout
    assert read.size == decoded.size == (msg.image_width, msg.image_height)
    assert [p.id for p in read.persons] == [p.id for p in decoded.persons]
    for mine, theirs in zip(read.persons, decoded.persons, strict=True):
        np.testing.assert_array_equal(mine.keypoints, theirs.keypoints)
        np.testing.assert_array_equal(mine.box, theirs.box)
        np.testing.assert_equal(mine.score, theirs.score)


@given(content=mutated(GOOD))
@effort(0.5)
def test_what_rclpy_reads_is_read_alike(content: bytes) -> None:
    """Spoiled bytes are refused or read, never as something else."""
    try:
        read = read_keypoints(content)
    except ValueError:
        return
    try:
        msg = deserialize_message(content, KeypointArray)
    except Exception as error:  # such as a string without its last zero
        assert type(error).__name__ == 'RMWError'
        return
    assert (read.stamp, read.layout) == (to_nanoseconds(msg.header.stamp), msg.layout)
    assert [p.id for p in read.persons] == [p.id for p in msg.persons]


@given(msg=messages(ActionArray), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@effort(1.0)
def test_any_actions_are_drawn(msg: ActionArray, size: tuple[int, int]) -> None:
    """pose_node draws what comes on `actions`, markers_node shows it, watch tells it."""
    image = np.zeros((*size, 3), np.uint8)
    actions = frame_of_actions(msg).actions or ()
    persons = [walker(0, action.person_id) for action in actions]
    draw(image, persons, 'coco17', actions)
    for action in actions:
        assert isinstance(caption(action), str) and len(colour_of(action.person_id)) == 3
    assert table(actions).startswith('person')


@pytest.mark.parametrize('number', [float('nan'), float('inf')])
def test_a_place_that_is_no_number_is_not_known(number: float) -> None:
    """Whatever its sender calls it; what is a number of it stays known."""
    known = {'place': Action.MEASURED, 'bearing': 0.5, 'distance': 2.0, 'distance_error': 0.1}
    kinds = []
    for odd in ({}, {'distance': number}, {'bearing': number}):
        (action,) = frame_of_actions(ActionArray(actions=[Action(**known | odd)])).actions or ()
        kinds.append(action.place.kind.name)
    assert kinds == ['MEASURED', 'BEARING', 'NOWHERE']


def test_a_flood_is_not_looked_at() -> None:
    """Of too many persons, keypoints and actions only so many reach the core."""
    many = ActionArray(actions=[Action(person_id='p1')] * 1500)
    assert len(frame_of_actions(many).actions or ()) == MAX_PERSONS
    msg = frame(0, [walker(0)])
    msg.persons[0].keypoints = list(msg.persons[0].keypoints) * 50
    msg.persons = list(msg.persons) * 1500
    for read in (frame_of_keypoints(msg), read_keypoints(bytes(serialize_message(msg)))):
        assert len(read.persons) == MAX_PERSONS
        assert {len(person.keypoints) for person in read.persons} == {MAX_KEYPOINTS}
