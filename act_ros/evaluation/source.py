"""What a bag is evaluated from: its keypoints, its images, or the actions a robot answered."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.person import Person
from act_ros.core.stamps import to_nanoseconds
from act_ros.recordings.bags import IMAGES, POSES, Bag, BagError, ImageFrame

ACTIONS, LABELS = 'act_ros/msg/ActionArray', 'act_ros/msg/ActionLabels'
KINDS: dict[str, tuple[str, ...]] = {
    'keypoints': (POSES,), 'images': IMAGES, 'actions': (ACTIONS,)}
"""What can be evaluated, in the order of preference where a bag holds several."""
# So many images wait for the keypoints that were found in them.
_MEMORY = 30


@dataclass(eq=False, slots=True)
class Frame:
    """
    One frame on its way through the evaluation; nanoseconds as in `PoseFrame`.

    ``persons`` is None until somebody has looked at the image; ``actions`` until they are known,
    and stays so where the frame came too late and was dropped.
    """

    time: int
    stamp: int
    layout: str = ''
    persons: list[Person] | None = None
    size: tuple[int, int] = (0, 0)
    image: np.ndarray | None = None
    actions: list[Action] | None = None


def choose_topic(bag: Bag, topic: str | None) -> tuple[str, str]:
    """
    Return kind and name of the topic to evaluate.

    :param topic: the one to take; by default the only one of keypoints, else of images, else of
        actions.
    :raises BagError: there is none, or it is not clear which; the message lists what there is.
    """
    held = {info.type for info in bag.topics.values()}
    if topic is not None:
        held = {bag.topics[topic].type} if topic in bag.topics else set()
    for kind, types in KINDS.items():
        if held & set(types):
            return kind, bag.find_topic(types, topic)
    bag.find_topic([name for types in KINDS.values() for name in types], topic)
    raise AssertionError('find_topic has refused what is of no kind')


def find_images(bag: Bag) -> str | None:
    """Return the only topic of images, or None."""
    try:
        return bag.find_topic(IMAGES)
    except BagError:
        return None


def read_frames(bag: Bag, kind: str, topic: str, images: str | None = None) -> Iterator[Frame]:
    """
    Yield the frames of a topic, of the kind `choose_topic` found.

    :param images: a topic of images to go with keypoints or actions, matched by stamp.
    :raises BagError: where the bag is cut off or damaged, after what could be read.
    """
    read = {'keypoints': _keypoints, 'images': _images, 'actions': _actions}[kind]
    if kind == 'images' or images is None:
        yield from read(bag, topic)
        return
    recent: dict[int, np.ndarray] = {}
    with Bag(bag.path) as other:  # with a place of its own in the files
        pictures = other.images(images)
        both: Iterator[ImageFrame | Frame] = heapq.merge(
            pictures, read(bag, topic), key=lambda item: item.time)
        for item in both:
            if isinstance(item, ImageFrame):
                recent[item.stamp] = item.image
                if len(recent) > _MEMORY:
                    del recent[next(iter(recent))]
            else:
                item.image = recent.get(item.stamp)
                yield item


def _keypoints(bag: Bag, topic: str) -> Iterator[Frame]:
    for pose in bag.poses(topic):
        yield Frame(pose.time, pose.stamp, pose.layout, pose.persons, pose.size)


def _images(bag: Bag, topic: str) -> Iterator[Frame]:
    for time, stamp, image in bag.images(topic):
        yield Frame(time, stamp, size=(image.shape[1], image.shape[0]), image=image)


def _actions(bag: Bag, topic: str) -> Iterator[Frame]:
    for _, time, message in bag.messages([topic]):
        yield Frame(time, bag.stamp_of(message, time),
                    actions=[_action(action) for action in message.actions])


def _action(message: Any) -> Action:
    box = message.box
    try:
        status = Status(message.status)
    except ValueError:
        raise BagError(f'an action of {message.person_id!r} has the status {message.status}, '
                       f'which no version knows') from None
    probabilities = np.asarray(message.probabilities, np.float32)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise BagError(f'an action of {message.person_id!r} has probabilities outside of [0, 1]')
    return Action(
        person_id=message.person_id, status=status, label=message.label,
        label_id=message.label_id, confidence=float(message.confidence),
        probabilities=probabilities,
        duration=float(message.duration), window_start=to_nanoseconds(message.window_start),
        window_end=to_nanoseconds(message.window_end), frames=message.frames,
        box=np.array((box.x_min, box.y_min, box.x_max, box.y_max), np.float32),
        attention=np.asarray(message.attention, np.float32))


def read_label_names(bag: Bag, topic: str) -> tuple[str, tuple[str, ...]]:
    """
    Return model and label names behind a topic of actions.

    They are the recorded ActionLabels; without those, what the actions themselves name.
    """
    named: dict[int, str] = {}
    model = ''
    count = 0
    latched = [name for name, info in bag.topics.items() if info.type == LABELS]
    listed: dict[str, tuple[str, ...]] = {}
    try:
        for _, _, message in bag.messages(latched) if latched else ():
            listed[message.model] = tuple(message.labels)
        for _, _, message in bag.messages([topic]):
            model = message.model
            if model in listed:
                return model, listed[model]
            for action in message.actions:
                count = max(count, len(action.probabilities))
                if action.label_id >= 0:
                    named[action.label_id] = action.label
    except BagError:
        pass  # what is cut off is told when the frames are read
    count = max([count, *(i + 1 for i in named)])
    return model, tuple(named.get(i, f'#{i}') for i in range(count))
