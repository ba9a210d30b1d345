"""
From labelled videos to a sequence file, seen as the robot sees.

    python -m training.videos --labels labels.csv --output data/video.npz
    python -m training.videos --pair data/video.npz marks.npz --errors data/errors.npz

The CSV has the columns ``file`` (relative to it), ``source``, ``group``, ``source_label`` and
``label`` (empty: another action). `PersonFinder` looks at every clip in several ways (as it is,
small and mirrored at half the rate, cut off at the edge), and the person who fills most of the
picture for longest is taken. What has a group in common is never split between training and
measurement.

The second command finds which of the clips a file of joints marked by hand shows, and writes what
the pose network errs by, for `training.errors`; and the marks, under the clips' groups.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from act_ros.actions.features import resample
from act_ros.core.arguments import count_from, goes_with, one_line_errors
from act_ros.core.files import replacing
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import create_estimator
from act_ros.persons.tracker import TrackerOptions
from act_ros.persons.video import VideoError, VideoSource
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import (
    UNKNOWN,
    Sequences,
    Take,
    joints_of,
    load_sequences,
    write_sequences,
)
from training.progress import progress
from training.record import cut

Pieces = list[tuple[float, np.ndarray]]
"""Of a track: rate in Hz and keypoints (T, 17, 3) of each stretch in which a person was seen."""

# Most frames that the finder sees somebody late, and how far two clocks of a clip may differ.
_LATE, _STRETCH = 8, 1.25


class Clip(NamedTuple):
    """A row of the CSV."""

    path: Path
    source: str
    group: str
    source_label: str
    label: str


@dataclass(frozen=True)
class Look:
    """A way to look at a clip: every ``stride``-th frame, after ``change`` (image, chance)."""

    name: str
    stride: int
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _small(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image mirrored, 110 to 199 rows high, above it grey up to 240, through JPEG."""
    rows = int(rng.integers(110, 200))
    small = cv2.resize(image, (max(round(image.shape[1] * rows / image.shape[0]), 8), rows),
                       interpolation=cv2.INTER_AREA)[:, ::-1]
    canvas = np.full((240, max(320, small.shape[1]), 3), 127, np.uint8)
    canvas[240 - rows:, :small.shape[1]] = small
    _, data = cv2.imencode('.jpg', canvas, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 80))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _cut_off(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image without 25 to 55 % of its rows, at the bottom."""
    keep = 1 - rng.uniform(0.25, 0.55)
    return np.ascontiguousarray(image[:max(round(image.shape[0] * keep), 16)])


LOOKS = (
    Look('as it is', 1, lambda image, rng: image),
    Look('cut off', 1, _cut_off),
    Look('small', 2, _small),
)


def read_clips(labels: Path) -> list[Clip]:
    """
    Read the CSV.

    :raises ValueError: it cannot be read, lacks a column or a cell, or names a video that does not
        exist, or two that would have one name in a sequence file.
    """
    columns, clips = ('file', *Clip._fields[1:]), list[Clip]()
    try:
        with open(labels, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file)
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise ValueError(f'{labels} lacks the columns {", ".join(sorted(missing))}')
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f'{labels} line {reader.line_num} has not as many cells as '
                                     f'the first line has columns')
                clips.append(Clip(labels.parent / row['file'], *(row[x] for x in columns[1:])))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'cannot read the labels {labels}: {error}') from error
    known: dict[str, Path] = {}
    for clip in clips:
        if not clip.path.is_file():
            raise ValueError(f'{labels} names {clip.path}, which does not exist')
        name = _name(clip.path)
        if name in known:
            raise ValueError(f'{labels} names {known[name]} and {clip.path}, which would both be '
                             f'{name}: rename one, or its folder, or name it once')
        known[name] = clip.path
    return clips


def _name(path: Path) -> str:
    """Return what takes of a clip begin with."""
    return f'{path.parent.name}/{path.stem}'


def follow(path: Path, look: Look) -> tuple[list[int], list[np.ndarray]]:
    """
    Find who fills most of a video's picture for longest.

    :returns: a second after the start of the video, in ns, and keypoints (17, 3) of each frame in
        which they were seen; scores as the pose network gives them.
    """
    finder = PersonFinder(create_estimator(), TrackerOptions(min_hits=1))
    tracks: dict[str, tuple[list[int], list[np.ndarray], list[float]]] = {}
    seed = zlib.crc32(f'{path.name}/{look.name}'.encode())
    for number, (seconds, image) in enumerate(VideoSource(str(path)).play(realtime=False)):
        if number % look.stride:
            continue
        stamp = round((seconds + 1.0) * NANOSECONDS)
        persons = finder.update(stamp, look.change(image, np.random.default_rng(seed)))
        for person in persons or ():
            stamps, keypoints, areas = tracks.setdefault(person.id, ([], [], []))
            stamps.append(stamp)
            keypoints.append(person.keypoints)
            areas.append(float(np.prod(person.box[2:] - person.box[:2])))
    longest = max(tracks.values(), key=lambda track: sum(np.sqrt(track[2])), default=([], [], []))
    return longest[0], longest[1]


def _watch(job: tuple[Clip, int]) -> Pieces | str:
    """Return the pieces of a clip, seen in one of the `LOOKS`, or why it cannot be read."""
    cv2.setNumThreads(1)
    try:
        stamps, keypoints = follow(job[0].path, LOOKS[job[1]])
    except VideoError as error:
        return str(error)
    return cut(stamps, keypoints) if stamps else []


def _watch_all(jobs: Sequence[tuple[Clip, int]], processes: int) -> Iterator[Pieces | str]:
    """Yield what `_watch` makes of each job, in order; ChildProcessError if a process dies."""
    # A forked child of a parent that has threads, as OpenCV makes them, may wait for ever. Ctrl-C
    # reaches all processes, and one that ends is enough.
    pool = ProcessPoolExecutor(processes, get_context('spawn'), signal, (SIGINT, SIG_IGN))
    try:
        yield from pool.map(_watch, jobs)
    except BrokenProcessPool as error:
        raise ChildProcessError('a process that looks at clips has died, as it does when memory '
                                'runs out; try --processes 1') from error
    finally:
        pool.shutdown(cancel_futures=True)


def record(
    clips: Sequence[Clip], output: Path, processes: int, looks: Sequence[str] = (),
) -> int:
    """
    Look at all clips, and write the sequences; return how many there are.

    Clips that cannot be read are left out with a warning: looking at the others may take hours.

    :param looks: names of the ways to look at them; by default all.
    :raises ValueError: nobody was found, or no clip can be read.
    :raises ChildProcessError: a process has died.
    """
    labels = list(MPOSE_LABELS) + sorted({c.label for c in clips if c.label} - set(MPOSE_LABELS))
    jobs = [(clip, i) for i, look in enumerate(LOOKS) if not looks or look.name in looks
            for clip in clips]
    takes, origin, unread = [], [], dict[Path, str]()
    for (clip, look), pieces in zip(jobs, progress(
            _watch_all(jobs, processes), 'clips', len(jobs), 'clip'), strict=True):
        if isinstance(pieces, str):
            unread[clip.path] = pieces
            continue
        for i, (rate, keypoints) in enumerate(pieces):
            number = labels.index(clip.label) if clip.label else UNKNOWN
            takes.append(Take(
                keypoints, rate, number, clip.source_label, '',
                f'{_name(clip.path)}#{LOOKS[look].name} {i}', LOOKS[look].name))
            origin.append(clip)
    told = f'{len(unread)} of {len(clips)} clips cannot be read: {"; ".join(unread.values())}'
    if not takes:
        raise ValueError(told if unread else 'nobody was found in any clip')
    if unread:
        print(f'warning: {printable(told, 1000)}', file=sys.stderr)
    write_sequences(output, takes, 'coco17_2d', labels,
                    source=np.array([f'video_{clip.source}' for clip in origin]),
                    group=np.array([f'{clip.source}:{clip.group}' for clip in origin]))
    return len(takes)


def pair(video: Sequences, marks: Sequences) -> Iterator[tuple[int, int]]:
    """
    Yield (video, marks): the same clip as found by the pose network and as marked by hand.

    Of the clips of one action with about as many frames those belong together whose poses are alike
    once each is moved and sized to fit the other.
    """
    whole = np.flatnonzero(video.view == 'as it is')
    for action in np.unique(marks.source_label):
        of_marks = np.flatnonzero(marks.source_label == action)
        of_video = whole[video.source_label[whole] == action]
        if not len(of_video):
            continue
        cost = np.full((len(of_video), len(of_marks)), 1e3)
        for a, i in enumerate(of_video):
            for b, j in enumerate(of_marks):
                cost[a, b] = _fit(_frames(video, int(i)), _frames(marks, int(j)))[1]
        for a, b in zip(*linear_sum_assignment(cost), strict=True):
            if cost[a, b] < 0.35:
                yield int(of_video[a]), int(of_marks[b])


def _frames(sequences: Sequences, index: int) -> np.ndarray:
    joints: np.ndarray = sequences.joints[sequences.offsets[index]:sequences.offsets[index + 1]]
    return joints


def _fit(found: np.ndarray, marked: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the errors (T, 13, 2) against the marks that fit best, and how unlike both are."""
    best = np.zeros((len(found), 13, 2), np.float32), 1e3
    for marks in _alignments(marked, len(found)):
        error = errors_of(found, marks)
        unlike = float(np.median(np.hypot(error[..., 0], error[..., 1])))
        best = min(best, (error, unlike), key=lambda item: item[1])
    return best


def _alignments(marked: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """
    Yield the parts of marks (T, 13, C) that so many found frames may show.

    The finder may see the person up to eight frames late. Marks are counted in pictures, found
    frames by the file's clock, which in J-HMDB's files shows 40 pictures in 47 periods.
    """
    late = len(marked) - length
    for shift in range(late + 1 if late <= _LATE else 0):
        yield marked[shift:shift + length]
    if late and max(len(marked), length) <= _STRETCH * min(len(marked), length):
        times = np.linspace(0, length - 1, len(marked))
        yield resample(times, marked, np.array([0, len(marked)]), np.arange(length)[None],
                       -np.inf)[0]


def errors_of(found: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """
    Return the errors (T, 13, 2) of found joints (T, 13, 4) in the marked person's torso lengths.

    Marks have units of their own: in each frame they are moved and sized to fit what was found,
    by the joints that fit best.
    """
    shoulders, hips = joints_of('shoulder'), joints_of('hip')
    a, b = marked[..., :2].astype(np.float64), found[..., :2].astype(np.float64)
    weight = found[..., 3:] + 1e-3
    for _ in range(6):  # iteratively reweighted least squares
        total = weight.sum(axis=1, keepdims=True)
        am = (a * weight).sum(axis=1, keepdims=True) / total
        bm = (b * weight).sum(axis=1, keepdims=True) / total
        scale = ((a - am) * (b - bm) * weight).sum((1, 2)) / np.maximum(
            ((a - am) ** 2 * weight).sum((1, 2)), 1e-9)
        scale = np.maximum(scale, 1e-9)[:, None, None]
        torso = np.maximum(np.linalg.norm(
            a[:, shoulders].mean(1) - a[:, hips].mean(1), axis=-1)[:, None, None] * scale, 1e-6)
        error = (b - bm - (a - am) * scale) / torso
        weight = (found[..., 3:] + 1e-3) / (1 + (np.linalg.norm(
            error, axis=-1, keepdims=True) / 0.15) ** 2)
    return error.astype(np.float32)


def write_errors(video_path: Path, marks_path: Path, errors_path: Path) -> tuple[int, int]:
    """
    Write the errors in ``video_path`` against ``marks_path``, and the marks under clips' groups.

    :returns: how many marked clips were found again, of how many.
    """
    video, marks = load_sequences([video_path]), load_sequences([marks_path])
    pairs = list(pair(video, marks))
    if not pairs:
        raise ValueError(f'none of the clips of {marks_path} is found again in {video_path}')
    stretches = []
    group = np.array([f'{marks_path.stem}:{take}' for take in marks.take], object)
    for i, j in pairs:
        found = _frames(video, i)
        error, _ = _fit(found, _frames(marks, j))
        stretches.append((np.clip(error, -3, 3), found[..., 3], video.fps[i]))
        group[j] = str(video.group[i])
    errors, scores, fps = zip(*stretches, strict=True)
    with replacing(errors_path) as temporary:
        np.savez_compressed(
            temporary, offsets=np.cumsum([0, *map(len, errors)]), errors=np.concatenate(errors),
            scores=np.concatenate(scores).astype(np.float32), fps=np.array(fps, np.float32))
    with np.load(marks_path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    with replacing(errors_path.with_name(f'{marks_path.stem}_grouped.npz')) as temporary:
        np.savez_compressed(temporary, **{**arrays, 'group': group.astype(str),
                                          'source': np.full(len(group), marks_path.stem)})
    return len(pairs), len(marks)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description='Labelled videos to sequences for training.')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--labels', type=Path, help='CSV of the clips')
    what.add_argument('--pair', type=Path, nargs=2, metavar=('VIDEO', 'MARKS'),
                      help='sequence files of the same clips, found and marked')
    parser.add_argument('--output', type=Path, help='sequence file of --labels')
    parser.add_argument('--look', action='append', choices=[look.name for look in LOOKS],
                        help='look at the clips in this way alone; may be repeated')
    parser.add_argument('--every', type=count_from(1), default=1,
                        help='look at every N-th clip only')
    parser.add_argument('--errors', type=Path, help='file of errors of --pair')
    parser.add_argument('--processes', type=count_from(1), default=2,
                        help='that look at clips at once')
    options = parser.parse_args(arguments)
    goes_with(parser, options, 'labels', 'output', 'look', 'every', 'processes')
    goes_with(parser, options, 'pair', 'errors')
    for path in (options.output, options.errors):
        if path and path.suffix != '.npz':
            parser.error(f'--output and --errors must end in .npz, as {printable(path)} does not')
    with one_line_errors(parser, OSError, ValueError):
        if options.labels:
            if not options.output:
                parser.error('--labels needs --output')
            clips = read_clips(options.labels)[::options.every]
            count = record(clips, options.output, options.processes, options.look or ())
            print(f'wrote {count} sequences to {printable(options.output)}')
            return
        if not options.errors:
            parser.error('--pair needs --errors')
        video, marks = options.pair
        found, total = write_errors(video, marks, options.errors)
        print(f'{found} of {total} marked clips were found again; wrote '
              f'{printable(options.errors)}')


if __name__ == '__main__':
    main()
