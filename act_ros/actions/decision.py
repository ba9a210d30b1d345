"""
From probabilities to an action a robot can act on: smoothed, thresholded, with hysteresis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from act_ros.actions.bundle import Bundle
from act_ros.core.action import Status
from act_ros.core.options import Options, option

TOO_LITTLE_SEEN, NOT_SURE, NOT_ALLOWED = (
    'too little of the body seen', 'no action sure enough', 'action not among the labels allowed')
CAUSES = (TOO_LITTLE_SEEN, NOT_SURE, NOT_ALLOWED)
"""Why an answer is UNKNOWN."""


@dataclass(frozen=True)
class DecisionOptions(Options):
    """Options of `ActionFilter`."""

    threshold: float = option(
        0.0, 'Probability an action needs to be recognized; below it the answer is UNKNOWN. '
        '0 takes the threshold the model was calibrated with.', low=0.0, high=1.0)
    hysteresis: float = option(
        0.1, 'By how much a recognized action may fall below the threshold before it is given '
        'up, and by how much another must lead to replace it.', low=0.0, high=0.5)
    smoothing: float = option(
        0.3, 'Time constant in seconds of the exponential mean over probabilities; more '
        'flickers less and answers later. 0 turns it off.', low=0.0, high=10.0)
    alike: tuple[str, ...] = option(
        ('',), 'Labels that are answered as one, by the name of the first, such as run and jog; '
        'their probabilities are added. An empty list (or one empty string): none.')


class Threshold(NamedTuple):
    """
    The probability an action needs, by the length of the window.

    ``full`` for windows of ``num_frames``, ``short`` for the shortest, of ``min_frames``.
    """

    full: float
    short: float
    min_frames: int
    num_frames: int

    @classmethod
    def of(cls, options: DecisionOptions, bundle: Bundle) -> Threshold:
        """Return what applies to a model: the threshold that was set, or else its own."""
        full = options.threshold or bundle.unknown_threshold
        short = options.threshold or bundle.short_threshold or full
        return cls(full, short, bundle.min_frames, bundle.num_frames)

    def at(self, frames: int) -> float:
        """Return the threshold for a window of so many frames."""
        missing = self.num_frames - frames
        return self.full + (self.short - self.full) * missing / max(
            self.num_frames - self.min_frames, 1)


class ActionFilter:
    """The decision for one person."""

    def __init__(
        self, options: DecisionOptions, threshold: Threshold, allowed: np.ndarray,
    ) -> None:
        """
        Take the ``threshold`` and which classes may be answered: ``allowed`` (C,).

        What falls on other classes counts as unknown.
        """
        self._options = options
        self._threshold = threshold
        self._allowed = None if allowed.all() else allowed
        self.probabilities: np.ndarray | None = None
        self.status = Status.BUFFERING
        self.label_id = -1
        self.cause = ''
        """One of `CAUSES` while the status is UNKNOWN."""
        self.since = self._stamp = 0

    @property
    def confidence(self) -> float:
        """Smoothed probability of the recognized action, else of the likeliest one."""
        if self.probabilities is None:
            return 0.0
        if self.label_id >= 0:
            return float(self.probabilities[self.label_id])
        return float(self._answerable(self.probabilities).max())

    def reconfigure(self, options: DecisionOptions, threshold: Threshold) -> None:
        """Go on with other options and another threshold."""
        self._options, self._threshold = options, threshold

    def reset(self, stamp: int) -> None:
        """Begin anew at ``stamp``: a new window fills."""
        self.probabilities, self.cause = None, ''
        self.status, self.label_id, self.since = Status.BUFFERING, -1, stamp

    def decide(
        self, stamp: int, probabilities: np.ndarray, frames: int, is_enough: bool = True,
    ) -> None:
        """
        Take a window's probabilities (C,), seen at ``stamp`` nanoseconds.

        :param frames: length of the window.
        :param is_enough: whether enough is seen of the person to tell an action at all.
        """
        if self.probabilities is None:
            self.probabilities = probabilities.copy()
        else:
            dt, smoothing = (stamp - self._stamp) * 1e-9, self._options.smoothing
            share = 1.0 - math.exp(-dt / smoothing) if smoothing > 0 else 1.0
            # A new array: the last one is already part of an answer given.
            self.probabilities = self.probabilities + share * (probabilities - self.probabilities)
        self._stamp = stamp
        threshold = self._threshold.at(frames)
        label_id = self._choose(self.probabilities, threshold) if is_enough else -1
        self.cause = '' if label_id >= 0 else TOO_LITTLE_SEEN if not is_enough else (
            NOT_ALLOWED if self.probabilities.max() >= threshold else NOT_SURE)
        status = Status.UNKNOWN if label_id < 0 else Status.RECOGNIZED
        if (status, label_id) != (self.status, self.label_id):
            self.status, self.label_id, self.since = status, label_id, stamp

    def _answerable(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probabilities with 0 for classes that may not be answered."""
        return probabilities if self._allowed is None else probabilities * self._allowed

    def _choose(self, probabilities: np.ndarray, threshold: float) -> int:
        """Return the class to answer, or -1 for unknown."""
        slack = self._options.hysteresis
        best = int(self._answerable(probabilities).argmax())
        is_clear = probabilities[best] >= threshold
        if self.label_id < 0:
            return best if is_clear else -1
        held = probabilities[self.label_id]
        if best != self.label_id and is_clear and probabilities[best] >= held + slack:
            return best
        return self.label_id if held >= threshold - slack else -1
