"""
How right the package is in daily life: what it answers, beside what a person saw.

    python -m benchmarks.everyday CLIPS TRUTH [--groups GROUPS] [--bundle act_mu]

``TRUTH`` is JSON: clip -> moments ``{"t": seconds, "persons": [{"box": [x_min, y_min, x_max, y_max]
or null, "accepted": [labels]}]}``; ``unknown`` is accepted where the action is none of the model's.
``GROUPS`` is JSON: name -> clips. Each clip of the folder ``CLIPS`` goes through `PersonFinder` and
`ActionRecognizer` with their defaults, as it would through the nodes. At every moment each judged
person is matched to an answer by place (an overlap of 0.3 at least; who was judged without a place
takes any answer that is left). The table gives shares of judged person-moments; below it stands how
many answers of each label were right.

``--persons`` keeps who was found, so that another model is measured in a fraction of the time.
``--ways`` plays the clips in other ways, too, and the table tells of all of them together: mirror
images and images in a frame are as hard for everybody, and yet the figures differ, which tells how
far a single one can be trusted; at half the rate everybody moves twice as far between two images;
a camera that is driven comes nearer and goes away again; in the dark there is a fifth of the light,
and the noise of a camera; in haze a quarter of the contrast.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.action import Action, Status
from act_ros.core.files import replacing
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.demo import TREE
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import DEFAULT_MODEL, create_estimator
from act_ros.persons.tracker import overlap
from act_ros.persons.video import VideoSource
from benchmarks.report import one_line
from training.checkpoint import read_arrays

SHARES = ('right', 'rightly unknown', 'wrong', 'wrong, surer than .7', 'unknown though known',
          'buffering', 'not found', 'recognized where nobody was judged')
SURE = 0.7
OVERLAP = 0.3
# Postures that the truth has no label for: they are none of the 20 actions.
POSTURES = {'sitting', 'lying'}
_ANSWERED, _RIGHTLY = 'answered ', 'rightly '

WAYS = ('as-is', 'mirrored', 'framed', 'half-rate', 'driven', 'dark', 'hazy')
# Pixels that the frame adds above, below, left and right.
_BORDER = (6, 10, 14, 6)
# How much larger people get in a second before a camera that is driven to them, and for how long.
_NEARER, _WAY = 0.12, 10 / 3
# Share of the light that is left, and standard deviation of the noise.
_LIGHT, _NOISE = 0.2, 2.0
# Share of the contrast that is left, and the light that is added.
_CLEAR, _HAZE = 0.25, 130.0

Frame = tuple[float, list[Person]]


def find(path: Path, model: str, way: str) -> Iterator[Frame]:
    """
    Yield the seconds and the persons of every frame of a clip played in one of the ``WAYS``.

    The boxes are where they are in the clip as it is.
    """
    source, finder = VideoSource(str(path)), PersonFinder(create_estimator(model))
    random = np.random.default_rng(0)
    for number, (_, image) in enumerate(source.play(realtime=False)):
        if way == 'half-rate' and number % 2:
            continue
        seconds = number / source.fps  # as the truth counts them
        if way == 'framed':
            image = cv2.copyMakeBorder(image, *_BORDER, cv2.BORDER_REPLICATE)
        elif way == 'mirrored':
            image = cv2.flip(image, 1)
        size, scale = image.shape[1::-1], 1.0
        if way == 'driven':
            scale = _scale(seconds)
            move = np.diag((scale, scale, 1.0))[:2]
            move[:, 2] = (1 - scale) / 2 * np.array(size)
            image = cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE)
        elif way == 'dark':
            noise = random.normal(0, _NOISE, image.shape)
            image = np.clip(image * _LIGHT + noise, 0, 255).astype(np.uint8)
        elif way == 'hazy':
            image = (image * _CLEAR + _HAZE).astype(np.uint8)
        persons = finder.update(_stamp(seconds), image) or []
        yield seconds, [replace(person, box=_as_it_is(person.box, way, size, scale))
                        for person in persons]


def _scale(seconds: float) -> float:
    """Return how large everything is before a camera that is driven to and fro, at most 1."""
    driven = abs((seconds + _WAY) % (2 * _WAY) - _WAY)
    return float(np.exp(_NEARER * (driven - _WAY)))


def _as_it_is(box: np.ndarray, way: str, size: Sequence[int], scale: float) -> np.ndarray:
    """Return where the box (4,) of an image, width and height, is in the clip as it is."""
    if way == 'framed':
        box = box - np.array([_BORDER[2], _BORDER[0]] * 2, np.float32)
    elif way == 'mirrored':
        box = box[[2, 1, 0, 3]] * (-1, 1, -1, 1) + np.array((size[0], 0, size[0], 0), np.float32)
    elif way == 'driven':
        middle = np.array([*size, *size], np.float32) / 2
        box = (box - middle) / np.float32(scale) + middle
    return box


def _stamp(seconds: float) -> int:
    return round((seconds + 1) * NANOSECONDS)


def found_before(path: Path, folder: Path | None, model: str, way: str) -> list[Frame]:
    """Return the frames of a clip, from the folder if they were kept there."""
    kept = folder / f'{Path(model).name}-{way}' / f'{path.stem}.npz' if folder else None
    if kept is None or not kept.is_file():
        frames = list(find(path, model, way))
        if kept:
            persons = [person for _, persons in frames for person in persons]
            points = np.array([p.keypoints for p in persons], np.float32)
            with replacing(kept) as temporary:
                np.savez_compressed(
                    temporary, seconds=[seconds for seconds, _ in frames],
                    counts=[len(persons) for _, persons in frames],
                    ids=np.array([p.id for p in persons], str),
                    scores=np.array([p.score for p in persons], np.float32),
                    boxes=np.array([p.box for p in persons], np.float32).reshape(-1, 4),
                    keypoints=points.reshape(-1, 17, 3))
        return frames
    file = read_arrays(kept)
    everybody = [Person(points, float(score), box, str(name)) for points, score, box, name
                 in zip(file['keypoints'], file['scores'], file['boxes'], file['ids'],
                        strict=True)]
    ends = np.cumsum(file['counts'])
    return [(float(seconds), everybody[end - count:end]) for seconds, count, end in zip(
        file['seconds'], file['counts'], ends, strict=True)]


def answer(
    frames: Sequence[Frame], recognizer: ActionRecognizer,
) -> list[tuple[float, list[Action]]]:
    """Return what is answered in every frame."""
    return [(seconds, recognizer.update(_stamp(seconds), persons, 'coco17') or [])
            for seconds, persons in frames]


def judge(answers: Sequence[tuple[float, list[Action]]], moments: Sequence[Any]) -> Counter[str]:
    """Count what became of every judged person-moment of a clip."""
    count: Counter[str] = Counter()
    times = np.array([seconds for seconds, _ in answers])
    for moment in moments:
        _, actions = answers[int(np.abs(times - moment['t']).argmin())]
        actions = [action for action in actions if action.status is not Status.LOST]
        matched, left = match(moment['persons'], actions)
        count['recognized where nobody was judged'] += sum(
            action.status is Status.RECOGNIZED for action in left)
        for person, action in zip(moment['persons'], matched, strict=True):
            count['moments'] += 1
            count['with a place'] += bool(person['box'])
            if action is None:
                count['not found'] += 1
                count['with a place, not found'] += bool(person['box'])
                continue
            _judge(count, action, set(person['accepted']))
    return count


def match(
    persons: Sequence[Any], actions: Sequence[Action],
) -> tuple[list[Action | None], list[Action]]:
    """Return the action of each judged person, or None, and the actions that are left."""
    matched: list[Action | None] = [None] * len(persons)
    left = list(range(len(actions)))
    placed = [i for i, person in enumerate(persons) if person['box']]
    if placed and actions:
        boxes = np.array([persons[i]['box'] for i in placed], float)
        alike = overlap(boxes[:, None], np.stack([action.box for action in actions]))
        for row, column in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
            if alike[row, column] >= OVERLAP:
                matched[placed[row]] = actions[column]
                left.remove(int(column))
    for i, person in enumerate(persons):
        if not person['box'] and left:
            matched[i] = actions[left.pop(0)]
    return matched, [actions[i] for i in left]


def _judge(count: Counter[str], action: Action, accepted: set[str]) -> None:
    is_right = action.label in accepted or (
        action.label in POSTURES and 'unknown' in accepted)
    if action.status is Status.BUFFERING:
        count['buffering'] += 1
    elif action.status is Status.UNKNOWN:
        count['rightly unknown' if 'unknown' in accepted else 'unknown though known'] += 1
    elif is_right:
        count['right'] += 1
    else:
        count['wrong'] += 1
        count['wrong, surer than .7'] += action.confidence > SURE
    if action.status is Status.RECOGNIZED:
        count[_ANSWERED + action.label] += 1
        count[_RIGHTLY + action.label] += is_right
    if action.status is Status.RECOGNIZED and any(
            action.label in labels and action.duration >= seconds
            for labels, seconds in TREE.values()):
        count['tree acts'] += 1
        # Who may as well stand or walk is not surely one who sits.
        count['tree acts rightly'] += is_right and (
            action.label not in POSTURES or accepted == {'unknown'})


def _measure(
    frames: Sequence[Frame], recognizer: ActionRecognizer, moments: Sequence[Any],
) -> Counter[str]:
    """Judge a clip, and count its milliseconds, and its answers: actions that begin."""
    answers = answer(frames, recognizer)
    count = judge(answers, moments)
    count['milliseconds'] = round(1000 * answers[-1][0])
    last: dict[str, str] = {}
    for _, actions in answers:
        for action in actions:
            label = action.label if action.status is Status.RECOGNIZED else ''
            count['answers'] += bool(label) and last.get(action.person_id) != label
            last[action.person_id] = label
    return count


def row(name: str, count: Counter[str]) -> str:
    """Return a line of the table."""
    moments = max(count['moments'], 1)
    cells = [f'{100 * count[share] / moments:.0f}' for share in SHARES]
    lost = 100 * count['with a place, not found'] / max(count['with a place'], 1)
    acts = count['tree acts']
    tree = f'{count["tree acts rightly"]} of {acts}' if acts else '-'
    rate = 60_000 * count['answers'] / max(count['milliseconds'], 1)
    return (f'| {name} | {count["moments"]} | ' + ' | '.join(cells)
            + f' | {lost:.1f} | {rate:.0f} | {tree} |')


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if not isinstance(values, dict) or not all(isinstance(x, list) for x in values.values()):
        raise ValueError(f'{path} must map names to lists')
    return values


def _read_truth(path: Path) -> dict[str, list[Any]]:
    truth = _read(path)
    for clip, moments in truth.items():
        for i, moment in enumerate(moments):
            try:
                float(moment['t'])
                for person in moment['persons']:
                    np.array(person['box'] or [0] * 4, float).reshape(4)
                    set(person['accepted'])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f'{path}: moment {i} of {clip} must have t in seconds, and persons who have '
                    f'a box of four numbers or null, and accepted labels') from error
    return truth


@one_line
def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='How right the package is in daily life, beside what a person saw.')
    parser.add_argument('clips', type=Path, help='folder of the clips')
    parser.add_argument('truth', type=Path, help='JSON of what a person saw in them')
    parser.add_argument('--groups', type=Path, help='JSON of groups of clips')
    parser.add_argument('--bundle', default='act_mu', help='action model')
    parser.add_argument('--pose-model', default=DEFAULT_MODEL, help='how people are found')
    parser.add_argument('--persons', type=Path, help='folder to keep in who was found')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=WAYS[:1],
                        help='how the clips are played')
    options = parser.parse_args(arguments)
    truth = _read_truth(options.truth)
    groups = _read(options.groups) if options.groups else {}
    files = {path.stem: path for path in sorted(options.clips.iterdir())}
    named = {*truth, *(str(clip) for clips in groups.values() for clip in clips)}
    missing = sorted(named - files.keys())
    said = f'no clip in {options.clips}: {", ".join(missing) or f"{options.truth} names none"}'
    if not truth.keys() & files.keys():
        raise ValueError(said)
    if missing:
        print(printable(said, 1000), file=sys.stderr)
    classifier = ActClassifier(options.bundle)
    counts: dict[str, Counter[str]] = {}
    for clip in tqdm([name for name in truth if name in files], unit='clip'):
        counts[clip] = sum((_measure(
            found_before(files[clip], options.persons, options.pose_model, way),
            ActionRecognizer(classifier), truth[clip]) for way in options.ways), Counter())
    print('| percent of person-moments | n | ' + ' | '.join(SHARES)
          + ' | not found of those with a place | answers a minute | tree acts rightly |')
    print('|---|' + '---|' * (len(SHARES) + 4))
    for name, clips in [('all', list(counts)), *groups.items()]:
        print(row(name, sum((counts[clip] for clip in clips if clip in counts), Counter())))
    everything = sum(counts.values(), Counter())
    print('\nanswers that were right: ' + ', '.join(
        f'{label} {everything[_RIGHTLY + label]} of {number}'
        for key, number in everything.most_common()
        if (label := key.removeprefix(_ANSWERED)) != key))


if __name__ == '__main__':
    main()
