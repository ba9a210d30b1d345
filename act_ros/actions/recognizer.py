"""
`ActionRecognizer`: stamped persons in, actions out.

Nodes, bag evaluation and demo all call this; it is deterministic and knows no clock but stamps
(integer nanoseconds). A model sees T frames at the bundle's rate, a robot's poses come at 5 to 60
fps with jitter: everybody's window is therefore cut by stamp, never by the number of frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite

import numpy as np

from act_ros.actions.classifier import (
    LIES,
    MIN_SCORE,
    POSE_NOT_SURE,
    TOO_LITTLE_SEEN,
    ActClassifier,
    ActionFilter,
    DecisionOptions,
    indices_of,
)
from act_ros.actions.features import MIN_SEEN, extract_features, lies, repaired, resample
from act_ros.core.action import Action, Status
from act_ros.core.options import Options, option
from act_ros.core.person import OUT_OF_SIGHT, Person
from act_ros.core.rotation import MountOptions, turn_box, turn_person
from act_ros.core.skeletons import get_layout
from act_ros.core.stamps import NANOSECONDS, Order, RateLimit, StampOrder


@dataclass(frozen=True)
class WindowOptions(Options):
    """Options of the windows that are classified."""

    max_gap: float = option(
        OUT_OF_SIGHT, 'Longest gap in seconds within a window; a person unseen for longer starts a '
        'new one. Also how far back in time a message may lie and still be merely late.',
        low=0.05, high=10.0)
    min_score: float = option(
        MIN_SCORE,
        'Keypoints below this score count as not seen and are interpolated in time. Legs that '
        'MoveNet guesses, behind a table say, score up to 0.3; other pose networks may need '
        'another value.',
        low=0.0, high=1.0)
    min_seen: float = option(
        MIN_SEEN, "Share of the model's joints that must be seen in a window for an action to be "
        'told; where less is seen the answer is UNKNOWN.',
        low=0.0, high=1.0)
    min_pose_score: float = option(
        0.4, 'Mean score of the keypoints seen in a window below which the answer is UNKNOWN: '
        'such a pose may be that of a thing, or of somebody half hidden. Other pose networks than '
        'MoveNet may need another value; 0 turns it off.', low=0.0, high=1.0)
    forget_after: float = option(
        2.0, 'Seconds a person who is out of sight is still reported, as LOST from max_gap on.',
        low=0.0, high=60.0)
    max_rate: float = option(
        10.0, 'How often a second each person is classified at most; in the frames between, the '
        'last answer stands. 0 classifies in every frame.', low=0.0, high=1000.0, least=0.01)
    max_persons: int = option(
        64, 'Most persons handled at once; further ones are dropped, lowest score first.',
        low=1, high=1000)


# Frames closer together than this share of the model's period add nothing and are merged, which
# bounds the buffer whatever the input rate.
_MERGE = 0.25
_NOTHING = np.zeros(0, np.float32)


class PoseWindow:
    """
    The recent poses of one person: long enough for one window, contiguous in time.

    ``append`` starts afresh after a gap longer than ``max_gap`` seconds. Keypoints stay in source
    pixels and in the source layout; not one allocation per frame.
    """

    def __init__(
        self, num_frames: int, frame_rate: float, num_joints: int, max_gap: float,
    ) -> None:
        self._duration = round((num_frames - 1) / frame_rate * NANOSECONDS)
        self._max_gap = round(max_gap * NANOSECONDS)
        self._spacing = round(_MERGE / frame_rate * NANOSECONDS)
        # A window at the merge rate, one frame before it, and the gap that may precede it.
        self._capacity = int(num_frames / _MERGE) + 8
        # Twice the capacity: frames are appended, and moved to the front once the end is reached,
        # so that the window is always one contiguous view.
        self._stamps = np.zeros(2 * self._capacity, np.int64)
        self._keypoints = np.zeros((2 * self._capacity, num_joints, 3), np.float32)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def stamps(self) -> np.ndarray:
        """Stamps (M,) int64, nanoseconds, ascending."""
        return self._stamps[self._begin:self._end]

    @property
    def keypoints(self) -> np.ndarray:
        """Keypoints (M, K, 3): x px, y px, score."""
        return self._keypoints[self._begin:self._end]

    @property
    def newest(self) -> int:
        """Stamp of the last pose, nanoseconds; 0 where there is none."""
        return int(self._stamps[self._end - 1]) if self._end > self._begin else 0

    @property
    def span(self) -> int:
        """Nanoseconds from the first to the last pose, at most a window."""
        if self._end == self._begin:
            return 0
        return min(self.newest - int(self._stamps[self._begin]), self._duration)

    def append(self, stamp: int, keypoints: np.ndarray) -> bool:
        """
        Add a pose (K, 3) seen at ``stamp``; tell whether it continues the window.

        Returns False where the pose starts a new window: the first one, one after a gap, or one
        that lies before the last (a bag that loops, a simulation reset).
        """
        continues = self._end > self._begin and 0 < stamp - self.newest <= self._max_gap
        if not continues:
            self._begin = self._end = 0
        elif self._end - self._begin > 1 and stamp - self._stamps[self._end - 2] < self._spacing:
            self._end -= 1
        if self._end == 2 * self._capacity:
            count = len(self)
            for buffer in (self._stamps, self._keypoints):
                buffer[:count] = buffer[self._begin:self._end]
            self._begin, self._end = 0, count
        self._stamps[self._end] = stamp
        self._keypoints[self._end] = keypoints
        self._end += 1
        # Keep one pose at or before the window's start to interpolate from.
        while self._begin + 1 < self._end and (
                self._stamps[self._begin + 1] <= stamp - self._duration):
            self._begin += 1
        return continues

    def refilled(self, num_frames: int, frame_rate: float, max_gap: float) -> PoseWindow:
        """Return a window of another length, rate or gap with the poses of this one."""
        window = PoseWindow(num_frames, frame_rate, self._keypoints.shape[1], max_gap)
        for stamp, keypoints in zip(self.stamps.tolist(), self.keypoints, strict=True):
            window.append(stamp, keypoints)
        return window


def sample_windows(
    windows: Sequence[PoseWindow], num_frames: int, frame_rate: float, min_score: float,
    pose_smoothing: float = 0.0,
) -> np.ndarray:
    """
    Return the last ``num_frames`` poses of each window at ``frame_rate``: (N, T, K, 3) float32.

    Each window ends at its own newest stamp. Where a window is a little shorter than asked, its
    first pose is held. ``pose_smoothing`` as for `resample`.
    """
    offsets = np.cumsum([0, *map(len, windows)])
    # Relative to each window's end: nanoseconds since the epoch are too many for a float.
    times = np.concatenate([window.stamps - window.newest for window in windows]) / NANOSECONDS
    keypoints = np.concatenate([window.keypoints for window in windows])
    return resample(
        times, keypoints, offsets, _ages(num_frames, frame_rate), min_score, pose_smoothing)


@cache
def _ages(num_frames: int, frame_rate: float) -> np.ndarray:
    """Return the times (1, T) of a window's frames before its end, in seconds."""
    return np.arange(1 - num_frames, 1)[None] / frame_rate


@dataclass(eq=False)
class _Subject:
    """
    A person being watched.

    ``seen`` is the stamp of the newest pose; the rest is reported as in `Action`.
    """

    window: PoseWindow
    filter: ActionFilter
    limit: RateLimit
    seen: int = 0
    frames: int = 0
    start: int = 0
    end: int = 0
    box: np.ndarray = field(default_factory=lambda: np.zeros(4, np.float32))
    attention: np.ndarray = field(default_factory=lambda: _NOTHING)

    def show_window(self, frames: int) -> None:
        """Report the window as it is now: the one that is classified, or the one that fills."""
        self.frames, self.end = frames, self.window.newest
        self.start = self.end - self.window.span


class ActionRecognizer:
    """
    Watches people and says what each of them does.

    ``drops`` counts input that could not be used, by cause.
    """

    def __init__(
        self, classifier: ActClassifier, window: WindowOptions | None = None,
        decision: DecisionOptions | None = None, labels: Sequence[str] = (), rotation: int = 0,
    ) -> None:
        """
        Take the classifier, the options, and the ``labels`` that may be answered (default: all).

        :param rotation: degrees clockwise (0, 90, 180, 270) by which poses have to be turned to
            stand upright; boxes stay in pixels of the images as they come.
        :raises ValueError: on another rotation, or a label that the model does not have.
        """
        self._rotation = MountOptions(rotation).rotation
        self.drops: Counter[str] = Counter()
        self._order = StampOrder(0.0, self.drops)
        self._subjects: dict[str, _Subject] = {}
        self._layout, self._joints, self._size = '', 0, (0, 0)
        self._answers: list[tuple[str, bool]] = []  # the labels, and whether each may be answered
        self.classifier = classifier
        self._window, self._decision = window or WindowOptions(), decision or DecisionOptions()
        self.reconfigure(classifier, window, decision, labels)

    @property
    def unknown(self) -> Counter[str]:
        """How many people's answer is UNKNOWN now, by cause: see `classifier.CAUSES`."""
        return Counter(s.filter.cause for s in self._subjects.values() if s.filter.cause)

    def reset(self) -> None:
        """Forget everybody."""
        self._subjects.clear()

    def update(
        self, stamp: int, persons: Sequence[Person], layout: str, arrival: int = 0,
        size: tuple[int, int] = (0, 0),
    ) -> list[Action] | None:
        """
        Take one frame of tracked persons; call it for every frame, also an empty one.

        :param stamp: the frame's stamp in nanoseconds.
        :param persons: their poses in pixels, each with its own id.
        :param layout: the keypoints' layout.
        :param arrival: when the frame came in, nanoseconds, if that is known: see `StampOrder`.
        :param size: width and height of the image in pixels, 0 where they are not known; with
            another one everybody begins anew.
        :returns: an action for every person seen or lately lost, in the order of first sight;
            None for a frame that was dropped for its stamp, see `StampOrder`.
        :raises ValueError: on a layout that is unknown or that the model cannot read.
        """
        joints = self._joints
        if not layout or layout != self._layout:  # refuse it now, not once a window is full
            joints = _joints_of(layout, self.classifier)
        order = self._order.check(stamp, not self._subjects, arrival)
        if not order.is_taken:
            return None
        if order is Order.JUMP or layout != self._layout:
            self.reset()
            self._layout, self._joints = layout, joints
        if all(size) and size != self._size:
            if all(self._size) and self._subjects:  # between their pixels nothing compares
                self._count('everything before another image size')
                self.reset()
            self._size = size
        self._take(stamp, persons)
        self._forget(stamp)
        self._classify(stamp)
        return [self._report(name, subject, stamp) for name, subject in self._subjects.items()]

    def _take(self, stamp: int, persons: Sequence[Person]) -> None:
        """Add each usable person's pose to the person's window, and count the unusable."""
        persons = self._well_formed(persons)
        if self._rotation:
            persons = [turn_person(person, self._rotation) for person in persons]
        if not persons:
            return
        poses, seen = repaired(
            np.array([person.keypoints for person in persons]), self._window.min_score)
        usable = [i for i, count in enumerate(seen.tolist()) if count]
        self._count('no keypoint seen', len(persons) - len(usable))
        surplus = len(usable) - self._window.max_persons
        if surplus > 0:
            self._count('too many persons', surplus)
            surest = np.argsort(np.nan_to_num([-persons[i].score for i in usable]), kind='stable')
            usable = [usable[k] for k in sorted(surest[:-surplus].tolist())]
        for i in usable:
            person, pose = persons[i], poses[i]
            subject = self._subjects.get(person.id) or self._add(person.id)
            if not subject.window.append(stamp, pose):
                subject.filter.reset(stamp)
                subject.attention = _NOTHING
            subject.seen = stamp
            has_box = isfinite(sum(person.box.tolist()))
            subject.box = person.box if has_box else _box_around(pose)

    def _well_formed(self, persons: Sequence[Person]) -> list[Person]:
        """Return the persons with an id of their own and the layout's keypoints."""
        known: dict[str, Person] = {}
        for person in persons:
            if not person.id:
                self._count('person without an id')
            elif person.id in known:
                self._count('id given twice in a frame')
            elif person.keypoints.shape != (self._joints, 3):
                self._count('wrong number of keypoints')
            else:
                known[person.id] = person
        return list(known.values())

    def _count(self, cause: str, number: int = 1) -> None:
        if number:
            self.drops[cause] += number

    def _add(self, person_id: str) -> _Subject:
        """Begin to watch somebody."""
        if len(self._subjects) >= 2 * self._window.max_persons:
            # Ids that change with every frame must not pile up until they are forgotten.
            del self._subjects[min(self._subjects, key=lambda name: self._subjects[name].seen)]
        bundle = self.classifier.bundle
        subject = self._subjects[person_id] = _Subject(
            PoseWindow(bundle.num_frames, bundle.frame_rate, self._joints, self._window.max_gap),
            ActionFilter(self._decision, bundle, self._allowed),
            RateLimit(self._window.max_rate))
        return subject

    def _forget(self, stamp: int) -> None:
        """Drop those out of sight for long; the others keep their place."""
        limit = max(self._window.forget_after, self._window.max_gap) * NANOSECONDS
        self._subjects = {
            name: s for name, s in self._subjects.items() if stamp - s.seen <= limit}

    def _classify(self, stamp: int) -> None:
        """Classify everybody seen in this frame, all windows of a length in one batch."""
        bundle = self.classifier.bundle
        batches: dict[int, list[_Subject]] = {}
        for subject in self._subjects.values():
            if subject.seen != stamp:
                continue
            # Half a period of grace: jitter must not cost a whole frame.
            frames = min(int(subject.window.span / NANOSECONDS * bundle.frame_rate + 0.5) + 1,
                         bundle.num_frames)
            if subject.filter.probabilities is None:
                subject.show_window(frames)
            if frames >= bundle.min_frames and subject.limit.allows(stamp):
                batches.setdefault(frames, []).append(subject)
        for frames, subjects in batches.items():
            keypoints = sample_windows([s.window for s in subjects], frames, bundle.frame_rate,
                                       self._window.min_score, bundle.pose_smoothing)
            probabilities, attention, seen = self.classifier.predict(
                keypoints, self._layout, self._window.min_score)
            assert seen is not None
            lacks = self._lacks(keypoints, seen)
            if self._alike:
                first, *others = self._alike
                probabilities[:, first] += probabilities[:, others].sum(axis=-1)
                np.minimum(probabilities, 1.0, out=probabilities)  # more by rounding
                probabilities[:, others] = 0.0
            for i, subject in enumerate(subjects):
                if not isfinite(probabilities[i].sum()):
                    self._count('answer of the model that is no number')
                    continue
                subject.show_window(frames)
                subject.filter.decide(stamp, probabilities[i], frames, lacks[i])
                subject.attention = _NOTHING if attention is None else attention[i]

    def _lacks(self, keypoints: np.ndarray, seen: np.ndarray) -> list[str]:
        """
        Return why windows allow no answer: for each one of `classifier.CAUSES`, or ''.

        :param keypoints: (N, T, K, 3).
        :param seen: (N, J) which of the model's joints are seen.
        """
        options, scores = self._window, keypoints[..., 2]
        is_seen = scores >= options.min_score
        count = is_seen.sum(axis=(1, 2))
        is_sure = (scores * is_seen).sum(axis=(1, 2)) >= options.min_pose_score * count
        is_enough = seen.sum(axis=-1) >= options.min_seen * seen.shape[-1]
        lying = (lies(keypoints, self._layout, options.min_score)
                 if self.classifier.bundle.upright else np.zeros(len(seen), bool))
        return [TOO_LITTLE_SEEN if not enough else POSE_NOT_SURE if not sure else LIES if lain
                else '' for enough, sure, lain in zip(
                    is_enough.tolist(), is_sure.tolist(), lying.tolist(), strict=True)]

    def _report(self, name: str, subject: _Subject, stamp: int) -> Action:
        decision, gap = subject.filter, (stamp - subject.seen) / NANOSECONDS
        is_lost = gap > self._window.max_gap
        since = subject.seen if is_lost else decision.since
        label_id = decision.label_id
        return Action(
            person_id=name,
            status=Status.LOST if is_lost else decision.status,
            label=self.classifier.labels[label_id] if label_id >= 0 else '',
            label_id=label_id,
            confidence=decision.confidence,
            probabilities=_NOTHING if decision.probabilities is None else decision.probabilities,
            duration=(stamp - since) / NANOSECONDS,
            window_start=subject.start,
            window_end=subject.end,
            frames=subject.frames,
            box=turn_box(subject.box, -self._rotation % 360) if self._rotation else subject.box,
            attention=subject.attention,
        )

    def reconfigure(
        self, classifier: ActClassifier, window: WindowOptions | None = None,
        decision: DecisionOptions | None = None, labels: Sequence[str] = (),
    ) -> None:
        """
        Go on with another classifier or other options; arguments as those of the constructor.

        Nobody's poses are forgotten: the window of a model of another length or rate is filled from
        those at hand, and the last answer stands until it is full enough. Where the labels are not
        the same ones, answers begin anew.

        :raises ValueError: the model lacks a label or cannot read the layout; nothing is changed.
        """
        bundle, window, decision = (
            classifier.bundle, window or WindowOptions(), decision or DecisionOptions())
        alike = decision.alike_of(bundle, labels)
        indices_of('labels', labels, bundle)
        if self._layout:
            _joints_of(self._layout, classifier)
        answers = [(label, not labels or label in labels) for label in classifier.labels]
        is_other = answers != self._answers
        is_changed = (window, decision, answers, bundle) != (
            self._window, self._decision, self._answers, self.classifier.bundle)
        self.classifier, self._window, self._decision = classifier, window, decision
        self._answers, self._allowed = answers, np.array([allowed for _, allowed in answers])
        self._alike = alike
        self._order.tolerance = window.max_gap
        for subject in self._subjects.values():
            if is_changed:  # shows in the next frame
                subject.limit = RateLimit(window.max_rate)
            subject.window = subject.window.refilled(
                bundle.num_frames, bundle.frame_rate, window.max_gap)
            if is_other:
                subject.filter = ActionFilter(decision, bundle, self._allowed)
                subject.filter.reset(subject.seen)
                subject.attention = _NOTHING
            else:
                subject.filter.reconfigure(decision, bundle)


def _joints_of(layout: str, classifier: ActClassifier) -> int:
    """Return how many joints a layout has; ValueError if it is unknown or of no use to a model."""
    joints = len(get_layout(layout).joints)
    extract_features(np.zeros((1, joints, 2)), layout, classifier.bundle.layout)
    return joints


def _box_around(keypoints: np.ndarray) -> np.ndarray:
    """Return the box (4,) around keypoints (K, 3)."""
    return np.concatenate((keypoints[:, :2].min(axis=0), keypoints[:, :2].max(axis=0)))
