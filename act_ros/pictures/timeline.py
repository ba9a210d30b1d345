"""What people did over time: a JSON line for every frame, and a picture of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, groupby, pairwise
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.stamps import NANOSECONDS

_FRAME = 1 / 30  # drawn length in seconds of a segment's last frame


class Moment(NamedTuple):
    """One person in one frame: seconds, and what to call it."""

    time: float
    person_id: str
    status: Status
    label: str
    confidence: float


@cache
def _shares() -> tuple[str, ...]:
    """Return every share that is written, 0 to 1 by four digits: to look up is to round."""
    return tuple(repr(i / 10_000) for i in range(10_001))


def frame_line(
    stamp: int, actions: Sequence[Action], truths: Sequence[str] = (), more: str = '',
) -> str:
    """
    Return the JSON line of the frame at ``stamp`` nanoseconds: stamps in seconds, status by name.

    Put together by hand: an encoder would take ten times as long for some hundred numbers.

    :param actions: probabilities in [0, 1], boxes finite.
    :param truths: JSON of what each of them should be, as ``truth``; none: not written.
    :param more: JSON of further members of the object, with a comma before each.
    """
    shares = _shares()
    ends = [0, *accumulate(len(action.probabilities) for action in actions)]
    rounded = np.rint(1e4 * np.concatenate(
        [np.zeros(0), *(a.probabilities for a in actions)])).astype(int).tolist()
    entries = []
    for action, (begin, end) in zip(actions, pairwise(ends), strict=True):
        x_min, y_min, x_max, y_max = action.box.tolist()
        entries.append(
            f'{{"person_id": {quoted(action.person_id)}, "label": {quoted(action.label)}, '
            f'"label_id": {action.label_id}, "confidence": {round(action.confidence, 4)}, '
            f'"status": "{action.status.name}", "duration": {action.duration:.3f}, '
            f'"window_start": {action.window_start / NANOSECONDS}, '
            f'"window_end": {action.window_end / NANOSECONDS}, "frames": {action.frames}, '
            f'"box": [{x_min:.1f}, {y_min:.1f}, {x_max:.1f}, {y_max:.1f}], '
            f'"probabilities": [{", ".join([shares[i] for i in rounded[begin:end]])}]')
    if truths:
        entries = [f'{entry}, "truth": {truth}'
                   for entry, truth in zip(entries, truths, strict=True)]
    listed = ''.join([f'{entry}}}, ' for entry in entries])[:-2]
    return f'{{"stamp": {stamp / NANOSECONDS}, "actions": [{listed}]{more}}}\n'


class Timeline:
    """Collects the actions of every frame; writes them down as they come."""

    def __init__(self, file: IO[str] | None = None) -> None:
        """Take an open text file for JSON lines, or None."""
        self._file = file
        self._start: int | None = None
        self.frames = 0
        self.moments: list[Moment] = []

    def add(self, stamp: int, actions: Sequence[Action]) -> None:
        """Take the actions of the frame at ``stamp`` nanoseconds."""
        self._start = stamp if self._start is None else self._start
        self.frames += 1
        if self._file:
            self._file.write(frame_line(stamp, actions))
        time = (stamp - self._start) / NANOSECONDS
        self.moments += [Moment(time, a.person_id, a.status, a.label, a.confidence)
                         for a in actions]

    def plot(self, path: Path, title: str) -> None:
        """Draw a row for every person: grey where unsure, a colour for each action."""
        import matplotlib

        matplotlib.use('Agg')
        from matplotlib import pyplot as plt

        people = list(dict.fromkeys(m.person_id for m in self.moments))
        labels = sorted({m.label for m in self.moments if m.status is Status.RECOGNIZED})
        colours = {label: plt.get_cmap('tab20')(i % 20) for i, label in enumerate(labels)}
        figure, axes = plt.subplots(figsize=(11, 1.6 + 0.7 * max(len(people), 1)))
        for row, person in enumerate(people):
            moments = [m for m in self.moments if m.person_id == person]
            for (status, label), group in groupby(moments, lambda m: (m.status, m.label)):
                _draw_segment(axes, row, list(group), status, label, colours)
        axes.set_yticks(range(len(people)), people)
        axes.set_ylim(len(people) - 0.5, -0.5)
        axes.set_xlabel('time (s)')
        axes.set_title(title)
        for side in ('top', 'right', 'left'):
            axes.spines[side].set_visible(False)
        marks = [(name, colours[name]) for name in labels] + list(_GREYS.values())
        axes.legend(
            [plt.Rectangle((0, 0), 1, 1, color=colour) for _, colour in marks],
            [name for name, _ in marks], ncols=6, frameon=False, fontsize=9,
            loc='upper center', bbox_to_anchor=(0.5, -0.22 - 0.25 / max(len(people), 1)))
        figure.savefig(path, dpi=120, bbox_inches='tight')
        plt.close(figure)


_GREYS = {
    Status.BUFFERING: ('buffering', '#e8e8e8'),
    Status.UNKNOWN: ('unknown', '#bdbdbd'),
    Status.LOST: ('lost', '#f7f7f7'),
}


def _draw_segment(
    axes: Any, row: int, moments: list[Moment], status: Status, label: str,
    colours: dict[str, Any],
) -> None:
    colour = colours[label] if status is Status.RECOGNIZED else _GREYS[status][1]
    start, length = moments[0].time, moments[-1].time - moments[0].time + _FRAME
    axes.broken_barh([(start, length)], (row - 0.36, 0.72), facecolors=[colour])
    if status is Status.RECOGNIZED and length > 0.5:
        mean = sum(m.confidence for m in moments) / len(moments)
        axes.text(start + length / 2, row, f'{label}\n{mean:.0%}', ha='center', va='center',
                  fontsize=9, clip_on=True)


def table(actions: Sequence[Action]) -> str:
    """Return people and their actions as lines of text."""
    lines = [f'{"person":<8} {"action":<13} {"confidence":>10}  {"status":<11} {"held":>7}']
    for action in actions:
        lines.append(
            f'{action.person_id:<8} {action.label or "-":<13} {action.confidence:>10.0%}  '
            f'{action.status.name:<11} {action.duration:>5.1f} s')
    return '\n'.join(lines)
