"""What the report's timelines show, gathered frame by frame in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.stamps import NANOSECONDS
from act_ros.recordings.labels import Label

_COLUMNS = 1500
_SHORTEST = 0.04  # seconds of a column of probabilities
_MOST_PEOPLE = 40
_BANDS = 6


@dataclass(eq=False)
class _Person:
    """One person's runs of answers and of truth, and the columns of probabilities."""

    frames: int = 0
    answers: list[list[Any]] = field(default_factory=list)
    truth: list[list[Any]] = field(default_factory=list)
    columns: dict[int, np.ndarray] = field(default_factory=dict)  # sums (C + 1), then the number


class Trace:
    """
    Collects timelines.

    :param start: time of recording of the bag's first message, nanoseconds.
    :param duration: of the bag, seconds.
    :param frame: seconds from one frame to the next.
    :param max_gap: seconds out of sight that end a run.
    """

    def __init__(
        self, names: Sequence[str], start: int, duration: float, frame: float, max_gap: float,
    ) -> None:
        self._names, self._start, self._frame = tuple(names), start, frame
        self._max_gap = max_gap
        self._width = max(duration / _COLUMNS, _SHORTEST)
        self._persons: dict[str, _Person] = {}

    def add(
        self, time: int, actions: Sequence[Action], pairs: Sequence[tuple[Label, Action | None]],
    ) -> None:
        """Take a frame as `Scores.add` does."""
        second = (time - self._start) / NANOSECONDS
        column = int(second / self._width)
        for action in actions:
            person = self._persons.setdefault(action.person_id, _Person())
            person.frames += 1
            status = action.status
            name = action.label if status is Status.RECOGNIZED else status.name
            self._extend(person.answers, second, name)
            if status is not Status.LOST and len(action.probabilities) == len(self._names):
                total = person.columns.setdefault(
                    column, np.zeros(len(self._names) + 1, np.float32))
                total += (*action.probabilities, 1)
        for label, about in pairs:
            name = about.person_id if about else label.person
            person = self._persons.setdefault(name, _Person())
            self._extend(person.truth, second, label.label)

    def _extend(self, runs: list[list[Any]], second: float, name: str) -> None:
        """Lengthen the last run [start, end, name], or begin another."""
        if runs and runs[-1][2] == name and second - runs[-1][1] < self._max_gap:
            runs[-1][1] = second + self._frame
            return
        if runs and second < runs[-1][1]:
            runs[-1][1] = second
        runs.append([second, second + self._frame, name])

    def to_dict(self) -> dict[str, Any]:
        """Return the timelines for JSON: seconds from the bag's start; the people seen longest."""
        longest = sorted(self._persons, key=lambda n: -self._persons[n].frames)[:_MOST_PEOPLE]
        return {
            'column': round(self._width, 6),
            'people': [{'id': name, **self._timeline(person)}
                       for name, person in self._persons.items() if name in longest],
            'left_out': max(len(self._persons) - _MOST_PEOPLE, 0),
        }

    def _timeline(self, person: _Person) -> dict[str, Any]:
        def tidy(runs: list[list[Any]]) -> list[list[Any]]:
            return [[round(start, 3), round(end, 3), name] for start, end, name in runs]

        index = sorted(person.columns)
        bands: list[dict[str, Any]] = []
        if index:
            totals = np.stack([person.columns[i] for i in index])
            values = totals[:, :-1] / totals[:, -1:]
            # The classes that were ever likely, the most likely ones first.
            order = np.argsort(-values.mean(axis=0), kind='stable')
            likely = [c for c in order.tolist() if values[:, c].max() > 0.2][:_BANDS]
            bands = [{'label': self._names[c],
                      'values': [round(float(v), 3) for v in values[:, c]]} for c in likely]
        return {'answers': tidy(person.answers), 'truth': tidy(person.truth),
                'columns': index, 'bands': bands}
