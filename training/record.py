"""
From a robot's own recordings to a sequence file that `training.train` reads.

    python -m training.record --recording anna anna.csv --recording ben ben.csv \\
        --output data/gestures.npz

Each recording is a ROS 2 bag with keypoints (``ros2 bag record /pose_node/keypoints``) or with
images, in which the people are then found as `pose_node` finds them, and a CSV file as
`act_ros.recordings.labels` describes it. ``label`` may be new; ``unknown`` is an example of none of
the classes. ``actor`` is by default the name of the recording: people, not clips, are split between
training and measurement.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from act_ros.actions.features import repaired, resample
from act_ros.core.arguments import count_from, one_line_errors
from act_ros.core.frame import Frame
from act_ros.core.person import OUT_OF_SIGHT, SEEN_SCORE
from act_ros.core.rotation import ROTATIONS, turn_person
from act_ros.core.stamps import NANOSECONDS, StampOrder
from act_ros.core.text import printable
from act_ros.evaluation.source import choose_topic, find_persons, read_frames, unused
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import DEFAULT_MODEL, MODES, create_estimator
from act_ros.recordings.bags import Bag, BagError
from act_ros.recordings.labels import UNKNOWN_LABEL, Label, LabelError, read_labels
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import LAYOUTS, UNKNOWN, Take, write_sequences
from training.progress import progress

MIN_DURATION = 0.4
"""Seconds: shorter pieces say nothing of an action."""
MAX_RATE = 60.0


@dataclass(eq=False)
class Segment(Label):
    """
    A label, and the poses of everybody seen meanwhile: by person id stamps and keypoints, a pair
    for each time that the clock was not set back.

    ``has_nameless``: somebody without an id was there, whom nobody can tell from others like that.
    """

    layout: str = ''
    has_nameless: bool = False
    tracks: dict[str, list[tuple[list[int], list[np.ndarray]]]] = field(default_factory=dict)


def read_persons(
    bag: Bag, topic: str | None, pose_model: str, num_threads: int, rotation: int = 0,
) -> tuple[int, Iterator[Frame]]:
    """
    Return the number of frames and the tracked people of a bag: its keypoints, or its images.

    :param topic: the topic to read; by default the only one of keypoints, or else of images.
    :param rotation: see ``MountOptions``; people stay in the pixels of the images as they came.
    :raises BagError: when there is nothing to read or the choice is not clear.
    """
    kind, name = choose_topic(bag, topic, ('keypoints', 'images'))
    frames = _readable(read_frames(bag, kind, name))
    if kind == 'images':
        finder = PersonFinder(create_estimator(pose_model, num_threads), rotation=rotation)
        frames = _found(finder, frames, bag.drops)
    else:
        order = StampOrder(OUT_OF_SIGHT, bag.drops)
        frames = (frame for frame in frames if order.check(
            frame.stamp, arrival=frame.time).is_taken)
    return bag.topics[name].num_messages, frames


def _readable(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames of a bag up to its damage, which is told; BagError where there are none."""
    count = 0
    try:
        for frame in frames:
            yield frame
            count += 1
    except BagError as error:
        if not count:
            raise
        # No label is lost in silence: of one without poses `choose_person` says that it has none.
        print(f'{printable(error, 1000)}. What could be read is taken: {count} frames',
              file=sys.stderr)


def _found(
    finder: PersonFinder, frames: Iterator[Frame], drops: Counter[str],
) -> Iterator[Frame]:
    """Yield the frames with who is in their images, and count those that are dropped."""
    for frame in frames:
        if find_persons(finder, frame):
            yield frame
    drops.update(finder.drops)


def collect(frames: Iterator[Frame], segments: Sequence[Segment], rotation: int = 0) -> None:
    """Hand every frame's people, turned upright by ``rotation``, to the segments it lies in."""
    for frame in frames:
        for segment in segments:
            if not segment.start <= frame.time < segment.end:
                continue
            if segment.layout not in ('', frame.layout):
                raise BagError(f'the layout changes from {segment.layout!r} to '
                               f'{frame.layout!r} within one label')
            segment.layout = frame.layout
            for person in frame.persons:
                if not person.id:
                    segment.has_nameless = True
                    continue
                parts = segment.tracks.setdefault(person.id, [])
                (pose,), (seen,) = repaired(turn_person(person, rotation).keypoints[None])
                # Of an id given twice the first counts, as live.
                if not seen or parts and frame.stamp == parts[-1][0][-1]:
                    continue
                if not parts or frame.stamp < parts[-1][0][-1]:
                    parts.append(([], []))
                parts[-1][0].append(frame.stamp)
                parts[-1][1].append(pose)


def choose_person(segment: Segment) -> str:
    """
    Return whose poses a segment means.

    :raises LabelError: nobody was seen, not the person named, or several and none named.
    """
    seconds = {name: sum(stamps[-1] - stamps[0] for stamps, _ in parts) / NANOSECONDS
               for name, parts in segment.tracks.items() if parts}
    if not seconds and segment.has_nameless:
        raise LabelError(f'line {segment.line}: only people without an id were seen then; track '
                         f'them first')
    seen = ', '.join(f'{name} for {time:.1f} s' for name, time in seconds.items()) or 'nobody'
    if segment.person:
        if segment.person not in seconds:
            raise LabelError(f'line {segment.line}: {segment.person!r} was not seen then; '
                             f'{seen} was')
        return segment.person
    if not seconds:
        raise LabelError(f'line {segment.line}: nobody was seen then')
    best = max(seconds, key=lambda name: seconds[name])
    rivals = [name for name in seconds if seconds[name] > seconds[best] / 2]
    if len(rivals) > 1:
        raise LabelError(f'line {segment.line}: several people were seen ({seen}); name one in '
                         f'the column person')
    return best


def cut(stamps: Sequence[int], keypoints: Sequence[np.ndarray]) -> list[tuple[float, np.ndarray]]:
    """
    Cut a track at its gaps and bring every piece to its own mean rate.

    :returns: rate in Hz and keypoints (T, K, 3) of each piece; scores are kept as they were.
    """
    times = (np.array(stamps) - stamps[0]) / NANOSECONDS
    pieces = []
    # As a live window begins anew.
    gaps = np.flatnonzero(np.diff(stamps) > OUT_OF_SIGHT * NANOSECONDS)
    for part in np.split(np.arange(len(times)), gaps + 1):
        if len(part) < 2 or (duration := times[part[-1]] - times[part[0]]) < MIN_DURATION:
            continue
        rate = min(float(1 / np.median(np.diff(times[part]))), MAX_RATE)
        count = int(duration * rate + 1e-6) + 1
        mine, poses = times[part], np.stack([keypoints[i] for i in part])
        queries = mine[0] + np.arange(count) / rate
        # No score is too low: what was not seen is filled in when windows are cut, as live.
        piece = resample(mine, poses, np.array([0, len(part)]), queries[None], -np.inf)[0]
        before = np.clip(np.searchsorted(mine, queries, 'right') - 1, 0, len(part) - 2)
        nearest = before + (2 * queries > mine[before] + mine[before + 1])
        seen = poses[..., 2] >= SEEN_SCORE
        # Between a place that was seen and a guess lies a guess, which would pass for seen.
        is_mixed = seen[before] != seen[before + 1]
        piece[is_mixed] = poses[nearest][is_mixed]
        pieces.append((rate, piece))
    return pieces


class Recorder:
    """Gathers sequences of one layout from recordings and writes them as one file."""

    def __init__(self, stamps: str = 'header', rotation: int = 0) -> None:
        """Take whose ``stamps`` count (`StampOptions`) and the ``rotation`` (`MountOptions`)."""
        self._stamps, self._rotation = stamps, rotation
        self.labels = list(MPOSE_LABELS)
        self.layout = ''
        self._takes: list[Take] = []

    def __len__(self) -> int:
        return len(self._takes)

    def add(self, path: Path, labels: Path, topic: str | None = None,
            pose_model: str = DEFAULT_MODEL, num_threads: int = 1) -> None:
        """
        Take the labelled parts of a recording; of a damaged one what can be read, which is told.

        :raises BagError: nothing of the bag can be read.
        :raises LabelError: the labels do not fit the bag.
        """
        name = path.stem if path.is_file() else path.resolve().name
        with Bag(path) as bag:
            bag.stamps = self._stamps
            segments = [Segment(**vars(label))
                        for label in read_labels(labels, bag.start, bag.end)]
            count, frames = read_persons(bag, topic, pose_model, num_threads, self._rotation)
            collect(progress(frames, printable(name), count, 'frame'), segments, self._rotation)
            for loss in (*bag.losses(), *([unused(bag.drops)] if bag.drops.total() else ())):
                print(f'{printable(name)}: {loss}', file=sys.stderr)
        for segment in segments:
            try:
                self._add(segment, choose_person(segment), name)
            except LabelError as error:
                raise LabelError(f'{labels} {error}') from None

    def _add(self, segment: Segment, person: str, recording: str) -> None:
        layouts = {keypoints: file for file, (keypoints, deep) in LAYOUTS.items() if not deep}
        if segment.layout not in layouts:
            raise LabelError(f'line {segment.line}: keypoints of layout {segment.layout!r} cannot '
                             f'be trained on; known: {", ".join(layouts)}')
        layout = layouts[segment.layout]
        if self.layout not in ('', layout):
            raise LabelError(f'line {segment.line}: keypoints of layout {segment.layout!r}, but '
                             f'those before are {self.layout}; one file has one layout')
        pieces = [piece for part in segment.tracks[person] for piece in cut(*part)]
        if not pieces:
            raise LabelError(f'line {segment.line}: {person} was never seen for {MIN_DURATION} s '
                             f'without a gap')
        self.layout = layout
        if segment.label != UNKNOWN_LABEL and segment.label not in self.labels:
            self.labels.append(segment.label)
        number = self.labels.index(segment.label) if segment.label != UNKNOWN_LABEL else UNKNOWN
        for i, (rate, keypoints) in enumerate(pieces):
            self._takes.append(Take(
                keypoints, rate, number, segment.label, segment.actor or recording,
                f'{recording}-{segment.line}#{i}'))

    def save(self, path: Path) -> None:
        """Write the sequence file as a whole."""
        if len({take.take for take in self._takes}) < len(self._takes):
            raise LabelError('two recordings have the same name; their names tell clips apart')
        # Who is in the recordings of several files is one person in all of them.
        write_sequences(path, self._takes, self.layout, self.labels,
                        group=np.array([f'actor:{take.actor}' for take in self._takes]))

    def summary(self) -> str:
        """Return a table of what was gathered, by label."""
        lines = [f'{"label":<16} {"sequences":>9} {"people":>6} {"seconds":>8}']
        for name in dict.fromkeys(take.source_label for take in self._takes):
            takes = [take for take in self._takes if take.source_label == name]
            seconds = sum(len(take.joints) / take.fps for take in takes)
            people = len({take.actor for take in takes})
            lines.append(
                f'{printable(name):<16} {len(takes):>9} {people:>6} {seconds:>8.1f}')
        return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="From a robot's own recordings and labels to a sequence file for training.")
    parser.add_argument('--recording', nargs=2, type=Path, action='append', required=True,
                        metavar=('BAG', 'CSV'), help='a bag and its labels; may be repeated')
    parser.add_argument('--output', type=Path, required=True, help='the sequence file, .npz')
    parser.add_argument('--topic', help='topic of keypoints or images; needed only where a bag '
                        'has several')
    parser.add_argument('--pose-model', default=DEFAULT_MODEL,
                        help='how people are found in bags with images: a mode '
                        f'({", ".join(MODES)}), or a pose network')
    parser.add_argument('--threads', type=count_from(1), default=1,
                        help='threads of the pose network')
    parser.add_argument('--stamps', choices=('header', 'arrival'), default='header',
                        help='whether frames have the time of their stamps, or of recording')
    parser.add_argument('--rotation', type=int, choices=ROTATIONS, default=0,
                        help='degrees clockwise by which the images have to be turned for people '
                        'to stand upright, as of the nodes')
    options = parser.parse_args(arguments)
    if options.output.suffix != '.npz':
        parser.error('--output must end in .npz')
    recorder = Recorder(options.stamps, options.rotation)
    with one_line_errors(parser, OSError, ValueError, ImportError):
        for bag, labels in options.recording:
            recorder.add(bag, labels, options.topic, options.pose_model, options.threads)
        recorder.save(options.output)
    print(recorder.summary())
    new = recorder.labels[len(MPOSE_LABELS):]
    print(f'wrote {len(recorder)} sequences to {printable(options.output)}'
          + (f'; new labels: {printable(", ".join(new))}' if new else ''))


if __name__ == '__main__':
    main()
