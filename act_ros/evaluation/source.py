"""
What a bag is evaluated from: its keypoints, its images, or the actions a robot answered.

Beside them, what it holds of the camera: where people are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from act_ros.actions.bundle import BundleError, load_bundle
from act_ros.core.frame import Frame
from act_ros.core.places import PlaceOptions, Places
from act_ros.core.resources import find_model
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.persons.decoding import decode
from act_ros.persons.finder import PersonFinder
from act_ros.persons.images import ImageError
from act_ros.recordings.bags import ACTIONS, CAMERA_INFO, IMAGES, POSES, Bag, BagError

LABELS = 'act_ros/msg/ActionLabels'
KINDS: dict[str, tuple[tuple[str, ...], ...]] = {
    'keypoints': tuple((name,) for name in POSES), 'images': (IMAGES,), 'actions': ((ACTIONS,),)}
"""What can be evaluated: types, in the order of preference where a bag holds several."""
# So many images wait for the keypoints that were found in them; keypoints wait so many nanoseconds
# for an image that was recorded later, since large messages take longer on their way.
_MEMORY = 30
_LATENESS = NANOSECONDS // 2


def choose_topic(
    bag: Bag, topic: str | None, kinds: Sequence[str] = tuple(KINDS),
) -> tuple[str, str]:
    """
    Return kind and name of the topic to read.

    :param topic: the one to take; by default the only one of the first kind that the bag has
        messages of.
    :param kinds: those of `KINDS` that will do, by preference.
    :raises BagError: there is none, or it is not clear which; the message lists what there is.
    """
    wanted = [(kind, types) for kind in kinds for types in KINDS[kind]]
    for kind, types in wanted:
        held = bag.topics_of(types)
        said = [name for name in held if bag.topics[name].num_messages]
        if topic in held or topic is None and said:
            only = said[0] if len(said) == 1 and said[0] not in bag.depth_topics() else None
            return kind, bag.find_topic(types, topic or only)
    for kind, types in wanted:
        if topic is None and bag.topics_of(types):
            return kind, bag.find_topic(types)
    bag.find_topic([name for _, types in wanted for name in types], topic)
    raise AssertionError('find_topic has refused what is of no kind')


def find_images(bag: Bag, topic: str) -> str | None:
    """
    Return the topic of the images that ``topic``, of any kind, is about; None if there is none.

    Of several, the one with the same frame_id as ``topic`` counts, or else with the most similar
    name; images that nodes have drawn into count only where there are no others.
    """
    images, depth = bag.topics_of(IMAGES), bag.depth_topics()
    if topic in images:
        return topic
    said = [name for name in images if name not in depth and bag.topics[name].num_messages]
    plain = [name for name in said if 'annotated' not in name.split('/')]
    return _nearest(bag, topic, plain or said)


def read_frames(bag: Bag, kind: str, topic: str, images: str | None = None) -> Iterator[Frame]:
    """
    Yield the frames of a topic, of the kind `choose_topic` found.

    :param images: a topic of images to go with keypoints or actions, matched by stamp; the bag
        counts those that are wanted and cannot be decoded.
    :raises BagError: where the bag is cut off or damaged, after what could be read.
    """
    readers: dict[str, Callable[[Bag, str], Iterator[Frame]]] = {
        'keypoints': Bag.keypoints, 'images': read_images, 'actions': Bag.actions}
    read = readers[kind]
    if kind == 'images' or images is None:
        yield from read(bag, topic)
        return
    with Bag(bag.path) as other:  # with a place of its own in the files
        other.stamps = bag.stamps
        pictures = _Pictures(other.images(images))
        for frame in read(bag, topic):
            if found := pictures.find(frame):
                image, message = found
                try:
                    frame.image = decode(message)
                except ImageError as error:
                    bag.note_unreadable(images, image.time, error)
            yield frame
        if pictures.damage:
            raise pictures.damage


class _Pictures:
    """
    Finds the image of a frame, both in the order of recording.

    ``damage`` is why no more images can be read; it costs no frame.
    """

    def __init__(self, images: Iterator[tuple[Frame, Any]]) -> None:
        self._images = images
        self._waiting: dict[int, tuple[Frame, Any]] = {}
        self.damage: BagError | None = None
        self._next = self._read()

    def find(self, frame: Frame) -> tuple[Frame, Any] | None:
        """Return the image of a frame's stamp, recorded before it or a little later."""
        waiting = self._waiting
        while self._next and (self._next[0].time <= frame.time or (
                frame.stamp not in waiting and len(waiting) < _MEMORY
                and self._next[0].time <= frame.time + _LATENESS)):
            stamp = self._next[0].stamp
            waiting.pop(stamp, None)  # a stamp that comes again goes to the end
            waiting[stamp] = self._next
            if len(waiting) > _MEMORY:
                del waiting[next(iter(waiting))]
            self._next = self._read()
        found = waiting.get(frame.stamp)
        while found and next(iter(waiting)) != frame.stamp:  # of earlier frames: they are done
            del waiting[next(iter(waiting))]
        return found

    def _read(self) -> tuple[Frame, Any] | None:
        try:
            return next(self._images, None)
        except BagError as error:
            self.damage = error
            return None


def read_images(bag: Bag, topic: str) -> Iterator[Frame]:
    """
    Yield the decoded images of a topic; the bag counts those that cannot be decoded.

    :raises BagError: where the bag is cut off or damaged.
    """
    for frame, message in bag.images(topic):
        try:
            frame.image = decode(message)
        except ImageError as error:
            bag.note_unreadable(topic, frame.time, error)
            continue
        frame.size = frame.image.shape[1::-1]
        yield frame


def find_persons(finder: PersonFinder, frame: Frame) -> bool:
    """Fill in who is in a frame's image; False where it is dropped for its stamp."""
    assert frame.image is not None
    persons = finder.update(frame.stamp, frame.image, frame.time)
    if persons is None:
        return False
    frame.persons, frame.layout = persons, finder.layout
    return True


def unused(drops: Counter[str]) -> str:
    """Return what to say of input that was not used, by cause."""
    causes = ', '.join(f'{cause}: {n}' for cause, n in sorted(drops.items()))
    return f'{drops.total()} pieces of input were not used ({causes})'


def read_label_names(
    bag: Bag, topic: str, bundle: str, warnings: list[str],
) -> tuple[str, tuple[str, ...]]:
    """
    Return model and label names behind a topic of actions.

    They are the recorded ActionLabels; without those, what the actions themselves name, or where
    that leaves any out, the labels of the ``bundle`` if it is the model's own.

    :param warnings: where to note that not every label is known.
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
    if len(named) < count:
        try:
            known = load_bundle(find_model(bundle, is_bundle=True))[0]
            if known.name == model and len(known.labels) == count and (
                    named.items() <= dict(enumerate(known.labels)).items()):
                return model, known.labels
            why = f'{known.name} is another model'
        except (FileNotFoundError, BundleError) as error:
            why = str(error)
        warnings.append(
            f'{count - len(named)} of {count} labels of the model {model!r} were neither recorded '
            'nor answered, and are taken for labels that it does not have: record '
            f'/act_node/labels, too, or name its bundle with --bundle ({why})')
    return model, tuple(named.get(i, f'#{i}') for i in range(count))


class BagPlaces:
    """
    The places of the people in a bag, by the messages recorded up to a frame, as live.

    Of several topics, the one with the same frame_id as the poses counts, or else with the most
    similar name. ``topics`` says which.

    :param stack: closes what is opened.
    :param is_early: frames are images: live, their poses come later, when more has arrived.
    :param drops, fail: as in `Places`.
    """

    def __init__(
        self, bag: Bag, topic: str, options: PlaceOptions, stack: ExitStack, is_early: bool,
        drops: Counter[str], fail: Callable[[str, Exception], None],
    ) -> None:
        self._places = Places(lambda: options, drops, fail)
        self._delay = round(options.tolerance * NANOSECONDS) if is_early else 0
        found = {'camera_info': bag.topics_of((CAMERA_INFO,)),
                 'depth': bag.depth_topics(IMAGES[:1]) if options.depth else []}
        self.topics = {name: _nearest(bag, topic, topics) for name, topics in found.items()}
        self._messages: Iterator[tuple[str, int, Any]] = iter(())
        if self.topics['camera_info']:  # else nothing is known of any place
            self._messages = self._read(
                stack.enter_context(Bag(bag.path)))  # with a place of its own in the files
        self._next = next(self._messages, None)

    def fill(self, frame: Frame) -> None:
        """Set the place of each action's person; frames come in order of recording."""
        while self._next and self._next[1] <= frame.time + self._delay:
            topic, _, message = self._next
            if topic == self.topics['depth']:
                self._places.add_depth(to_nanoseconds(message.header.stamp), message)
            else:
                self._places.info = message
            self._next = next(self._messages, None)
        if frame.actions is not None:
            self._places.fill(frame)

    def _read(self, bag: Bag) -> Iterator[tuple[str, int, Any]]:
        try:
            yield from bag.messages([topic for topic in self.topics.values() if topic])
        except BagError:
            pass  # what is cut off is told when the frames are read


def _nearest(bag: Bag, topic: str, others: Sequence[str]) -> str | None:
    """Return of ``others`` the topic that goes with ``topic``, by frame_id, then by name."""
    own = _frame_id(bag, topic)
    return max(others, key=lambda other: (
        _frame_id(bag, other) == own, len(os.path.commonprefix((other, topic)))), default=None)


def _frame_id(bag: Bag, topic: str) -> str | None:
    message = bag.first(topic)
    return getattr(getattr(message, 'header', None), 'frame_id', None)
