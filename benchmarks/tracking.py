"""
Who is who: MOTA, IDF1 and HOTA of the tracker on scenes composed of real skeleton sequences.

In each scene two to eight people of one size walk through an image of 1280 x 720: they cross, stop
beside one another, leave and come back. Their poses are those of a file of sequences (format of
``training.datasets``); what a pose network makes of them is imitated: joints shake by 3 % of the
torso, one detection in fifty is missed (``--missed``; of people alone in a picture the finder
misses fewer: ``benchmarks.pose --clips``), who is more than half behind somebody else is mostly not
seen and else mixed up with the one in front, and there are ghosts. What perfect ids would get is
told beside: nobody follows what is missed. The tracker alone gives an id after three frames; the
default mode finds somebody new in every third image only, and needs no second look at who is surely
seen. The measures are TrackEval's, MOTA and IDF1 at an overlap of boxes of one half. It asks for a
second OpenCV, which would break the first, and needs none here:

    pip install --no-deps trackeval tabulate pycocotools
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from tqdm import tqdm

from act_ros.core.arguments import count_from, share
from act_ros.core.person import Person
from act_ros.core.stamps import NANOSECONDS
from act_ros.persons.follow import hits
from act_ros.persons.models import DEFAULT_MODEL, MODES
from act_ros.persons.tracker import PoseTracker, overlap
from benchmarks.report import Row, one_line, parser, save, show
from training.checkpoint import read_arrays
from training.datasets.labels import MPOSE_LABELS

WIDTH, HEIGHT, SECONDS = 1280.0, 720.0, 8.0
PIXELS_A_METRE, WALK = 170.0, 1.2
NOISE, HIDDEN, GHOSTS = 0.03, 0.5, 0.02
RATES = (5.0, 15.0, 30.0)
WALKING = MPOSE_LABELS.index('walk')  # class index of the sequences
# Where somebody's hips are at a time in seconds (px), and None while out of sight.
Path2D = Callable[[float], 'tuple[float, float] | None']


def crossing(count: int, random: np.random.Generator) -> list[Path2D]:
    """People of one size cross in both directions."""
    def path(i: int) -> Path2D:
        speed = PIXELS_A_METRE * WALK * random.uniform(0.7, 1.2) * (1 if i % 2 else -1)
        meet, y = random.uniform(3.0, 5.0), random.uniform(330, 360)
        return lambda time: (WIDTH / 2 + speed * (time - meet), y)

    return [path(i) for i in range(count)]


def stopping(count: int, random: np.random.Generator) -> list[Path2D]:
    """They come together, stand side by side for two seconds, and go on or turn back."""
    def path(i: int) -> Path2D:
        speed = PIXELS_A_METRE * WALK * random.uniform(0.8, 1.1) * (1 if i % 2 else -1)
        place, back = WIDTH / 2 + 90 * (i - count / 2), random.choice([-1, 1])
        return lambda time: (
            place + speed * min(time - 3, 0) + back * speed * max(time - 5, 0), 345.0)

    return [path(i) for i in range(count)]


def returning(count: int, random: np.random.Generator) -> list[Path2D]:
    """They cross, and each is out of sight for 0.7 seconds once."""
    def path(seen: Path2D) -> Path2D:
        begin = random.uniform(1.5, 6.0)
        return lambda time: None if begin < time < begin + 0.7 else seen(time)

    return [path(seen) for seen in crossing(count, random)]


SCENES = {'cross, 2': (crossing, 2), 'cross, 4': (crossing, 4), 'cross, 8': (crossing, 8),
          'stop, 4': (stopping, 4), 'return, 3': (returning, 3)}


@dataclass
class Frame:
    """What is there, and what is seen of it."""

    stamp: int
    truth: dict[int, np.ndarray]
    persons: list[Person]
    clothes: list[np.ndarray | None]
    who: list[int | None]
    """Whose the persons are; nobody's is a ghost."""


# Gives the persons of a scene's frames their ids, frame by frame.
Namer = Callable[[Frame], list[Person]]


def read_walks(path: Path) -> tuple[list[np.ndarray], float]:
    """Return walking people, joints (T, J, 2) in metres about the hips' middle, and their rate."""
    data = read_arrays(path)
    joints, offsets, hips = data['joints'], data['offsets'], [7, 10]
    walks = []
    for i in np.flatnonzero(data['label'] == WALKING):
        part = joints[offsets[i]:offsets[i + 1], :, :2]
        walks.append(part - part[:, hips].mean(axis=1, keepdims=True))
    if not walks:
        raise ValueError(f'nobody walks in {path}')
    return walks, float(data['fps'][0])


def play(
    scene: tuple[Callable[[int, np.random.Generator], list[Path2D]], int], rate: float, seed: int,
    walks: list[np.ndarray], walk_rate: float, missed: float,
) -> Iterator[Frame]:
    """Yield the frames of a scene, in which a share of the detections is missed."""
    random = np.random.default_rng(seed)
    paths = scene[0](scene[1], random)
    bodies = [walks[random.integers(len(walks))] for _ in paths]
    depths = random.permutation(len(paths))  # who is in front of whom
    wear = [np.sqrt(random.dirichlet(np.full(12, 0.4))) for _ in paths]
    for n in range(round(SECONDS * rate)):
        time, poses = n / rate, dict[int, np.ndarray]()
        for i, path in enumerate(paths):
            if (at := path(time)) is None or not 60 < at[0] < WIDTH - 60:
                continue
            frame = round(time * walk_rate) % (2 * len(bodies[i]) - 2)
            frame = min(frame, 2 * len(bodies[i]) - 2 - frame)  # there and back again
            poses[i] = bodies[i][frame] * PIXELS_A_METRE + at
        boxes = {i: _box(pose) for i, pose in poses.items()}
        seen: list[tuple[Person, np.ndarray, int | None]] = []
        truth = {}
        for i, pose in poses.items():
            front = max((j for j in poses if depths[j] < depths[i]),
                        key=lambda j: float(overlap(boxes[i], boxes[j])), default=None)
            hidden = 0.0 if front is None else float(overlap(boxes[i], boxes[front]))
            if hidden > HIDDEN and random.random() < 0.8:
                continue
            truth[i] = boxes[i]
            if random.random() < missed:
                continue
            torso = 0.5 * PIXELS_A_METRE
            points = pose + random.normal(0, NOISE * torso, pose.shape)
            score = random.uniform(0.4, 0.8, len(pose))
            colours: np.ndarray = wear[i]
            if front is not None and hidden > 0.2:  # some joints are those of the one in front
                wrong = random.random(len(pose)) < hidden
                points[wrong] = poses[front][wrong]
                score[wrong] *= 0.7
                colours = (1 - hidden) * colours + hidden * wear[front]
            look = np.abs(colours + random.normal(0, 0.08, 12)).astype(np.float32)
            keypoints = np.column_stack((points, score)).astype(np.float32)
            seen.append((Person(keypoints, float(score.mean()), _box(points)),
                         look * np.float32(np.sqrt(3) / np.linalg.norm(look)), i))
        if random.random() < GHOSTS:
            ghost = random.uniform((0, 0, 0.2), (WIDTH, HEIGHT, 0.5), (13, 3))
            seen.append((Person(ghost.astype(np.float32), 0.35, _box(ghost[:, :2])),
                         np.sqrt(np.full(12, 0.25, np.float32)), None))
        order = random.permutation(len(seen))
        yield Frame(round((1 + time) * NANOSECONDS), truth, [seen[k][0] for k in order],
                    [seen[k][1] for k in order], [seen[k][2] for k in order])


def _box(points: np.ndarray) -> np.ndarray:
    return np.concatenate((points.min(axis=0), points.max(axis=0))).astype(np.float32)


def measures_of(frames: list[tuple[dict[int, np.ndarray], list[Person]]]) -> Row:
    """Return the measures of tracked persons against the truth."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    names = {name: k for k, name in enumerate(sorted({p.id for _, found in frames for p in found}))}
    people = {i: k for k, i in enumerate(sorted({i for truth, _ in frames for i in truth}))}
    likeness = [overlap(np.array(list(truth.values())).reshape(-1, 1, 4),
                        np.array([p.box for p in found]).reshape(1, -1, 4))
                for truth, found in frames]
    data = {
        'num_timesteps': len(frames), 'num_gt_ids': len(people), 'num_tracker_ids': len(names),
        'num_gt_dets': sum(len(truth) for truth, _ in frames),
        'num_tracker_dets': sum(len(found) for _, found in frames),
        'gt_ids': [np.array([people[i] for i in truth], int) for truth, _ in frames],
        'tracker_ids': [np.array([names[p.id] for p in found], int) for _, found in frames],
        'similarity_scores': likeness}
    with contextlib.redirect_stdout(io.StringIO()):
        clear, identity, hota = (
            kind().eval_sequence(data) for kind in (CLEAR, Identity, HOTA))
    return {'MOTA': float(clear['MOTA']), 'IDF1': float(identity['IDF1']),
            'HOTA': float(np.mean(hota['HOTA'])), 'switches': int(clear['IDSW'])}


def perfect(frame: Frame) -> list[Person]:
    """Return the persons of a frame by the names of who they are: the most a tracker can do."""
    return [dataclasses.replace(person, id=f'p{who}')
            for person, who in zip(frame.persons, frame.who, strict=True) if who is not None]


def alone() -> Namer:
    """Return the package's tracker, a new one, which sees clothes."""
    tracker = PoseTracker()

    def name(frame: Frame) -> list[Person]:
        tracker.assign(frame.stamp, frame.persons, frame.clothes)
        return tracker.seen(frame.stamp)

    return name


def following() -> Namer:
    """Return it as the default mode asks it: somebody new is found in a search, by two networks."""
    tracker, numbers = PoseTracker(), count()
    find_every = MODES[DEFAULT_MODEL].schedule.find_every

    def name(frame: Frame) -> list[Person]:
        is_find = next(numbers) % find_every == 0
        known = tracker.match(frame.stamp, frame.persons)
        seen = [i for i, track in enumerate(known) if track or is_find]
        persons = [frame.persons[i] for i in seen]
        tracker.assign(frame.stamp, persons, [frame.clothes[i] for i in seen],
                       hits=[hits(person.score, is_tall=True) for person in persons])
        return tracker.seen(frame.stamp)

    return name


def other(path: Path) -> Callable[[], Namer]:
    """Return how to make the ``PoseTracker`` of a Python file, such as of an older version."""
    made = runpy.run_path(str(path))['PoseTracker']

    def make() -> Namer:
        tracker = made()
        return lambda frame: tracker.update(frame.stamp, frame.persons)

    return make


@one_line
def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('sequences', type=Path,
                           help='a .npz of labelled skeleton sequences of 13 joints')
    arguments.add_argument('--seeds', type=count_from(1), default=10)
    arguments.add_argument('--missed', type=share, default=0.02,
                           help='share of the detections that is missed though nobody is in front')
    arguments.add_argument('--beside', type=Path,
                           help='Python file with another PoseTracker to measure beside')
    options = arguments.parse_args()
    walks, walk_rate = read_walks(options.sequences)
    ways: dict[str, Callable[[], Namer]] = {
        'tracker': alone, DEFAULT_MODEL: following, 'perfect ids': lambda: perfect}
    if options.beside:
        ways[options.beside.stem] = other(options.beside)
    rows: list[Row] = []
    for (name, scene), rate in tqdm([(s, r) for s in SCENES.items() for r in RATES], leave=False):
        scenes = [list(play(scene, rate, seed, walks, walk_rate, options.missed))
                  for seed in range(options.seeds)]
        for way, make in ways.items():
            results = []
            for frames in scenes:
                give = make()
                results.append(measures_of([(frame.truth, give(frame)) for frame in frames]))
            rows.append({'scene': name, 'fps': rate, 'ids by': way, **{
                key: float(np.mean([result[key] for result in results])) for key in results[0]}})
    show(f'Tracking, mean of {options.seeds} scenes each', rows)
    save(options.json, tracking=rows)


if __name__ == '__main__':
    main()
