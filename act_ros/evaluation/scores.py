"""
Answers against truth, counted frame by frame: memory does not grow with the recording.

A sample is one labelled person in one frame. Every one of them counts: where the answer is
missing (BUFFERING, LOST, nobody found) it is ``none``, and wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.stamps import NANOSECONDS
from act_ros.recordings.labels import NONE, UNKNOWN_LABEL, Label

BINS = 15
"""Bins of confidence, of equal width, over which calibration is measured."""
# Two frames further apart say nothing about what was answered in between.
_GAP = NANOSECONDS


def answer_of(action: Action | None) -> str:
    """Return the label answered, ``unknown``, or ``none`` without an answer."""
    return said(action.status, action.label) if action else NONE


def said(status: Status, label: str) -> str:
    """Return the answer that a status and its label stand for: see `answer_of`."""
    if status is Status.RECOGNIZED:
        return label
    return UNKNOWN_LABEL if status is Status.UNKNOWN else NONE


def right_answer(label: str, names: Container[str], alike: Sequence[str] = ()) -> str:
    """
    Return what should be answered where ``label`` is true.

    :param names: the model's labels; any other is unknown to it.
    :param alike: labels that are answered as the first of them, as `DecisionOptions` names them.
    """
    together = [name for name in alike if name]
    label = together[0] if label in together else label
    return label if label in names else UNKNOWN_LABEL


@dataclass(eq=False)
class Segment:
    """How one label fared; ``found`` is the time (nanoseconds) of the first right answer."""

    label: Label
    truth: str
    frames: int = 0
    found: int | None = None
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def right(self) -> float:
        """Share of right answers."""
        return self.answers[self.truth] / self.frames if self.frames else 0.0

    @property
    def answer(self) -> str:
        """The most frequent answer; of equals the first in the alphabet."""
        return min(self.answers, key=lambda name: (-self.answers[name], name), default=NONE)

    @property
    def delay(self) -> float | None:
        """Seconds from the beginning to the first right answer."""
        return None if self.found is None else (self.found - self.label.start) / NANOSECONDS


class Scores:
    """
    Counts answers.

    :param names: the model's labels, in their order; ValueError where one means no answer.
    :param alike: those that are answered as the first of them.
    """

    def __init__(self, names: Sequence[str], alike: Sequence[str] = ()) -> None:
        if NONE in names:
            raise ValueError(f'the model has a label {NONE!r}, which here means no answer')
        self.classes = (*(n for n in names if n != UNKNOWN_LABEL), UNKNOWN_LABEL, NONE)
        self._index = {name: i for i, name in enumerate(self.classes)}
        self._class_of = {name: i for i, name in enumerate(names)}
        self._alike = alike
        # Lists, not arrays: an element of an array takes ten times as long to count up.
        self._confusion = [[0] * len(self.classes) for _ in self.classes]
        self._bins = [[0.0] * 3 for _ in range(BINS)]  # samples, sum of confidence, right ones
        self._statuses = [0] * len(Status)
        self.segments: dict[Label, Segment] = {}
        self.changes = 0
        self.answered = 0  # nanoseconds of somebody answered about
        self.frames = 0
        self._last: dict[str, tuple[int, str]] = {}  # by person: when, and what was answered

    def add(
        self, time: int, actions: Sequence[Action], pairs: Sequence[tuple[Label, Action | None]],
    ) -> None:
        """Take a frame: its actions, and the labels that hold, each with the action it is about."""
        self.frames += 1
        for action in actions:
            self._statuses[action.status] += 1
            self._count_changes(time, action)
        for label, about in pairs:
            self._count_answer(time, label, about)

    def segment_of(self, label: Label) -> Segment:
        """Return the account of a label."""
        if label not in self.segments:
            self.segments[label] = Segment(
                label, right_answer(label.label, self._class_of, self._alike))
        return self.segments[label]

    def _count_changes(self, time: int, action: Action) -> None:
        """Count changes of the answer about a person."""
        answer = answer_of(action)
        last_time, last_answer = self._last.pop(action.person_id, (time, answer))
        if answer == NONE:
            return
        if 0 < time - last_time <= _GAP:
            self.answered += time - last_time
            self.changes += answer != last_answer
        self._last[action.person_id] = time, answer

    def _count_answer(self, time: int, label: Label, action: Action | None) -> None:
        segment, answer = self.segment_of(label), answer_of(action)
        self._confusion[self._index[segment.truth]][self._index.get(answer, -2)] += 1
        segment.frames += 1
        segment.answers[answer] += 1
        if answer == segment.truth and segment.found is None:
            segment.found = time
        truth = self._class_of.get(segment.truth)
        if action is not None and truth is not None and len(action.probabilities):
            best = int(action.probabilities.argmax())
            confidence = float(action.probabilities[best])
            row = self._bins[min(int(confidence * BINS), BINS - 1)]
            row[0] += 1
            row[1] += confidence
            row[2] += best == truth

    def merge(self, other: Scores) -> None:
        """Add the counts of another recording."""
        if other.classes != self.classes:
            raise ValueError('recordings of models with different labels cannot be scored as one; '
                             'each has a report of its own')
        self._confusion = np.add(self._confusion, other._confusion).tolist()
        self._bins = np.add(self._bins, other._bins).tolist()
        self._statuses = np.add(self._statuses, other._statuses).tolist()
        self.changes += other.changes
        self.answered += other.answered
        self.frames += other.frames
        self.segments |= other.segments

    def summary(self) -> dict[str, Any]:
        """Return every measure; those of labels only where there are any."""
        total = sum(self._statuses)
        result: dict[str, Any] = {
            'frames': self.frames,
            'person_frames': total,
            'share_of_status': {s.name: self._statuses[s] / total if total else 0.0
                                for s in Status},
            'label_changes_per_minute':
                self.changes / (self.answered / NANOSECONDS / 60) if self.answered else None,
        }
        if any(map(any, self._confusion)):
            result |= self._measures()
        if self.segments:
            result['segments'] = self._segment_measures()
        if any(map(any, self._bins)):
            result['calibration'] = self._calibration()
        return result

    def _measures(self) -> dict[str, Any]:
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        # Each kind of sample once, weighted by how often it occurred.
        confusion = np.array(self._confusion)
        truth, answer = np.nonzero(confusion)
        weight = confusion[truth, answer]
        occurs, answered = confusion.sum(axis=1), confusion.sum(axis=0)
        none = self._index[NONE]
        seen = np.flatnonzero(occurs + answered)
        involved = [i for i in seen
                    if i != none and (self.classes[i] != UNKNOWN_LABEL or occurs[i])]
        precision, recall, f1, support = precision_recall_fscore_support(
            truth, answer, labels=involved, sample_weight=weight, zero_division=0)
        given = answer != none
        return {
            'samples': int(weight.sum()),
            'accuracy': float(accuracy_score(truth, answer, sample_weight=weight)),
            # The mean recall of the classes that occur.
            'balanced_accuracy': float(np.mean(recall[support > 0])),
            'macro_f1': float(np.mean(f1)),
            'accuracy_where_answered': float(accuracy_score(
                truth[given], answer[given], sample_weight=weight[given]))
            if given.any() else None,
            'classes': {self.classes[i]: {
                'precision': float(precision[k]), 'recall': float(recall[k]),
                'f1': float(f1[k]), 'samples': int(support[k]),
            } for k, i in enumerate(involved)},
            'confusion': {
                'classes': [self.classes[i] for i in seen],
                'counts': confusion[np.ix_(seen, seen)].tolist(),
            },
        }

    def _segment_measures(self) -> dict[str, Any]:
        segments = self.segments.values()
        delays = [s.delay for s in segments if s.delay is not None]
        by_label: dict[str, list[bool]] = {}
        for s in segments:
            by_label.setdefault(s.truth, []).append(s.answer == s.truth)
        return {
            'count': len(segments),
            'recall': sum(s.answer == s.truth for s in segments) / len(segments),
            'found': len(delays) / len(segments),
            'seconds_to_first_right_answer': {
                'median': float(np.median(delays)), 'mean': float(np.mean(delays)),
                'longest': max(delays)} if delays else None,
            'recall_by_label': {name: sum(hits) / len(hits)
                                for name, hits in sorted(by_label.items())},
        }

    def _calibration(self) -> dict[str, Any]:
        return {
            'ece': calibration_error(*np.array(self._bins).T),
            'bins': [{'samples': int(n), 'confidence': float(c / n), 'accuracy': float(r / n)}
                     if n else None for n, c, r in self._bins],
        }


def calibration_error(
    samples: np.ndarray, confidence: np.ndarray, right: np.ndarray,
) -> float:
    """
    Return the expected calibration error: the mean gap between confidence and accuracy.

    :param samples: how many fall into each bin of confidence (BINS,).
    :param confidence: their confidences' sum (BINS,).
    :param right: how many of them are right (BINS,).
    """
    return float(np.abs(confidence - right).sum() / max(samples.sum(), 1))


def rounded(value: Any) -> Any:
    """Return plain JSON values, floats to six digits; what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
