"""Where people are, from what a bag holds of their camera beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from act_ros.core.frame import Frame
from act_ros.core.places import PlaceOptions, Places
from act_ros.core.stamps import NANOSECONDS, to_nanoseconds
from act_ros.recordings.bags import CAMERA_INFO, Bag, BagError


class BagPlaces:
    """
    The places of the people in a bag, by the messages recorded up to a frame, as live.

    Of several topics that counts whose frame_id is that of the poses, or else whose name is most
    like theirs. ``topics`` says which.

    :param stack: closes what is opened.
    :param is_early: frames are images: their poses come later, with what comes up to then.
    :param drops, fail: as in `Places`.
    """

    def __init__(
        self, bag: Bag, topic: str, options: PlaceOptions, stack: ExitStack, is_early: bool,
        drops: Counter[str], fail: Callable[[str, Exception], None],
    ) -> None:
        self._places = Places(lambda: options, drops, fail)
        self._delay = round(options.tolerance * NANOSECONDS) if is_early else 0
        found = {'camera_info': bag.topics_of((CAMERA_INFO,)),
                 'depth': bag.depth_topics() if options.depth else []}
        own = _frame_id(bag, topic)
        self.topics = {name: max(topics, key=lambda other: (
            _frame_id(bag, other) == own, len(os.path.commonprefix((other, topic)))), default=None)
            for name, topics in found.items()}
        self._messages: Iterator[tuple[str, int, Any]] = iter(())
        if self.topics['camera_info']:  # else nothing is known of any place
            self._messages = self._read(
                stack.enter_context(Bag(bag.path)))  # with a place of its own in the files
        self._next = next(self._messages, None)

    def fill(self, frame: Frame) -> None:
        """Say of each of a frame's actions where the person is; frames in order of recording."""
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


def _frame_id(bag: Bag, topic: str) -> str | None:
    message = bag.first(topic)
    return message.header.frame_id if message else None
