"""Two runs side by side: which model or parameter is better, and where."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from act_ros.core.action import Status
from act_ros.core.files import replacing_in
from act_ros.core.text import PrintableError
from act_ros.evaluation.report import write_json, write_page
from act_ros.evaluation.scores import right_answer, said
from act_ros.evaluation.settings import flat
from act_ros.persons.tracker import overlap
from act_ros.recordings.labels import NONE

# Moments of difference closer together than this (seconds) are one.
_GAP = 0.5
_MOST = 20
_SAME_PLACE = 0.5  # intersection over union of the boxes in which two runs see one person


class CompareError(PrintableError):
    """Two runs that cannot be compared; the message says which, and why."""


class _Run(NamedTuple):
    """What an earlier run left behind."""

    path: Path
    summary: dict[str, Any]
    trace: dict[str, Any]
    labels: set[str]
    alike: list[str]


def compare(first: Path, second: Path, output: Path) -> Path:
    """
    Write ``comparison.html`` and ``comparison.json`` and return the former's path.

    :param first, second: output folders of `run.evaluate`.
    :raises CompareError: a folder that is none or holds files of different runs, or runs of
        different bags or labels.
    """
    a, b = _load(first), _load(second)
    for what in ('bag', 'labels'):
        if len({str((run.summary[what] or {}).get('sha256')) for run in (a, b)}) > 1:
            raise CompareError(f'{first} and {second} cannot be compared: they are of different '
                               f'{what if what == "labels" else "bags"}')
    names = _names(a, b)
    agreement, disputes = _differences(a, b)
    figures = _figures(a.summary, b.summary)
    duration = max(run.summary['bag']['duration'] for run in (a, b))
    with replacing_in(output, last='comparison.html') as folder:
        write_json(folder / 'comparison.json', {
            'a': names[0], 'b': names[1],
            'figures': {figure.name: {'a': figure.a, 'b': figure.b, 'difference': figure.change}
                        for figure in figures},
            'agreement': agreement,
            'only_one_right': [dispute._asdict() for dispute in disputes],
        })
        write_page(
            folder / 'comparison.html', 'comparison.html', f'{names[0]} and {names[1]}',
            [a.trace, b.trace], duration, names=names, paths=(first, second), figures=figures,
            agreement=agreement, disputes=disputes, classes=_classes(a.summary, b.summary),
            changes=_changed_settings(a.summary, b.summary))
    return output / 'comparison.html'


def _load(path: Path) -> _Run:
    name = 'summary.json'
    try:
        summary = json.loads((path / name).read_text(encoding='utf-8'))
        told, labels = summary['frames'], set(summary['model']['labels'])
        alike = list(flat(summary).get('settings.decision.alike', ()))
        float(summary['bag']['duration'])
        name = 'trace.json'
        run = _Run(path, summary, json.loads((path / name).read_text(encoding='utf-8')),
                   labels, alike)
        name = 'results.jsonl'
        frames = sum(1 for _ in _answers(run))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CompareError(f'{path / name} is not of an evaluated bag: {error!r}') from None
    if frames != told:
        raise CompareError(f'{path} holds files of different runs: summary.json tells of '
                           f'{told} frames, results.jsonl has {frames}')
    return run


def _names(a: _Run, b: _Run) -> tuple[str, str]:
    """Call the runs by their models, or where these are the same by their folders."""
    models = tuple(run.summary['model']['name'] or 'unknown' for run in (a, b))
    if models[0] != models[1]:
        return models[0], models[1]
    return (f'{models[0]} ({a.path.resolve().name})', f'{models[1]} ({b.path.resolve().name})')


class Figure(NamedTuple):
    """A figure of both runs; ``better`` says which way: 1 up, -1 down, 0 neither."""

    name: str
    a: float | None
    b: float | None
    form: str
    better: int

    @property
    def change(self) -> float | None:
        """B less A."""
        return None if self.a is None or self.b is None else round(self.b - self.a, 6)

    def text(self, value: float | None, sign: str = '') -> str:
        """Return a value as text; with ``+`` as a difference."""
        return '–' if value is None else f'{value:{sign}{self.form}}'.replace('%', ' %')

    @property
    def kind(self) -> str:
        """Whether the change is ``good``, ``bad`` or neither."""
        if not self.change or not self.better:
            return ''
        return 'good' if self.change * self.better > 0 else 'bad'


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Figure]:
    """Return the figures that at least one run has."""
    left, right = flat(a), flat(b)
    found = [Figure(name, left.get(name), right.get(name), form, better)
             for name, form, better in (
        ('balanced_accuracy', '.1%', 1), ('accuracy', '.1%', 1), ('macro_f1', '.3f', 1),
        ('accuracy_where_answered', '.1%', 1), ('segments.recall', '.1%', 1),
        ('segments.found', '.1%', 1),
        ('segments.seconds_to_first_right_answer.median', '.2f', -1),
        ('calibration.ece', '.3f', -1), ('label_changes_per_minute', '.1f', -1),
        ('share_of_status.RECOGNIZED', '.1%', 0), ('share_of_status.UNKNOWN', '.1%', 0),
        ('share_of_status.BUFFERING', '.1%', 0), ('share_of_status.LOST', '.1%', 0),
        ('id_switches', '.0f', -1), ('people', '.0f', 0))]
    return [figure for figure in found if figure.a is not None or figure.b is not None]


def _classes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Figure]:
    """Return the recall of every class that occurs."""
    x, y = ({name: entry.get('recall') for name, entry in summary.get('classes', {}).items()
             if entry.get('samples')} for summary in (a, b))
    return [Figure(name, x.get(name), y.get(name), '.1%', 1)
            for name in dict.fromkeys([*x, *y])]


class Dispute(NamedTuple):
    """A time (seconds from the bag's start) in which only one run was right about a person."""

    start: float
    end: float
    person: str
    truth: str
    right: str
    other: str


class _Told(NamedTuple):
    """
    What a run tells of a person in a frame, and the label that holds, '' for none.

    Whether that is right is told by the run's own model: what it does not know is unknown to it.
    Whoever is not in sight has no box.
    """

    answer: str
    label: str
    is_right: bool
    box: np.ndarray | None = None


def _answers(run: _Run) -> Iterator[tuple[float, _Run, dict[str, _Told]]]:
    """
    Yield time, the run itself, and what is told by person, frame by frame.

    Who was not found has no answer; of a label without a person that is everybody, called ''.
    """
    with open(run.path / 'results.jsonl', encoding='utf-8') as file:
        for line in file:
            record = json.loads(line)
            people = {}
            for action in record['actions']:
                people[action['person_id']] = _told(
                    run, said(Status[action['status']], action['label']), action['truth'],
                    np.array(action['box'], float))
            for missed in record.get('missed', ()):
                if not missed['person']:  # nobody is in sight
                    people.clear()
                people[missed['person']] = _told(run, NONE, missed['truth'])
            yield record['time'], run, people


def _told(run: _Run, answer: str, label: str | None, box: np.ndarray | None = None) -> _Told:
    return _Told(answer, label or '', answer == right_answer(label or '', run.labels, run.alike),
                 box)


def _pairs(
    left: Mapping[str, _Told], right: Mapping[str, _Told],
) -> Iterator[tuple[str, _Told | None, _Told | None]]:
    """
    Yield everybody of two runs' frame: the name, and what each run tells.

    Who is who is told by the place, for another run may have given other ids; by the id where
    nobody of the other run is there. ``''`` stands for all that the other run has.
    """
    near = sorted(
        (-share, a != b, a, b)
        for a, mine in left.items() for b, its in right.items()
        if mine.box is not None and its.box is not None
        and (share := float(overlap(mine.box, its.box))) >= _SAME_PLACE)
    other: dict[str, str] = {}
    for _, _, a, b in near:
        if a not in other and b not in other.values():
            other[a] = b
    taken = {*other.values()}
    other |= {a: a for a in left if a not in other and a in right and a not in taken}
    for a, mine in left.items():
        b = other.get(a, '')
        yield a if b in (a, '') else f'{a} = {b}', mine, right.get(b)
    for b in sorted(right.keys() - {*other.values()}):
        yield b, left.get(''), right[b]


def _differences(a: _Run, b: _Run) -> tuple[dict[str, int], list[Dispute]]:
    """Count who was right, and return the longest times in which only one was."""
    counts: Counter[str] = Counter()
    open_: dict[str, Dispute] = {}
    done: list[Dispute] = []
    both = heapq.merge(_answers(a), _answers(b), key=lambda frame: frame[0])
    for (time, one, left), (next_time, other, right) in pairwise(both):
        if time != next_time or one is other:  # only one of the runs has the frame
            continue
        for person, mine, its in _pairs(left, right):
            if mine is None or its is None:
                counts['only A has the person' if mine else 'only B has the person'] += 1
                continue
            if not mine.label or not its.label:
                counts['same answer' if mine.answer == its.answer else 'different answer'] += 1
                continue
            hits = (mine.is_right, its.is_right)
            counts[{(True, True): 'both right', (True, False): 'only A right',
                    (False, True): 'only B right', (False, False): 'both wrong'}[hits]] += 1
            if hits[0] == hits[1]:
                continue
            name, hit, miss = ('A', mine, its) if mine.is_right else ('B', its, mine)
            now = Dispute(time, time, person, hit.label, name, miss.answer)
            last = open_.get(person)
            if last and last[2:] == now[2:] and time - last.end < _GAP:
                open_[person] = last._replace(end=time)
            else:
                done += [last] if last else []
                open_[person] = now
    done += open_.values()
    done.sort(key=lambda s: (s.start - s.end, s.start, s.person))
    return dict(sorted(counts.items())), done[:_MOST]


def _changed_settings(
    a: Mapping[str, Any], b: Mapping[str, Any],
) -> list[tuple[str, Any, Any]]:
    """Return the settings that differ: name, and the value of both runs."""
    left, right = (flat({'model': s['model'], 'settings': s['settings'] or {}}) for s in (a, b))
    return [(name, left.get(name), right.get(name))
            for name in dict.fromkeys([*left, *right]) if left.get(name) != right.get(name)]
