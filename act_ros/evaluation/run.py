"""
One bag from beginning to end: recognize, compare with the labels, write the results.

Frames pass through one after another: of each only its age and times are kept, a few bytes.
"""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from act_ros.actions.bundle import Bundle
from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.action import Action
from act_ros.core.files import replacing_in
from act_ros.core.frame import Frame
from act_ros.core.resources import file_checksum
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.evaluation.report import write_json, write_report
from act_ros.evaluation.scores import Scores, rounded
from act_ros.evaluation.settings import Settings
from act_ros.evaluation.source import (
    BagPlaces,
    choose_topic,
    find_images,
    find_persons,
    read_frames,
    read_label_names,
    unused,
)
from act_ros.evaluation.thumbnails import Gallery
from act_ros.evaluation.trace import Trace
from act_ros.evaluation.truth import Truth
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import checksum as pose_checksum
from act_ros.persons.models import create_estimator
from act_ros.pictures.drawing import annotated
from act_ros.pictures.timeline import frame_line
from act_ros.pictures.video import AnnotatedVideo
from act_ros.recordings.bags import Bag, BagError
from act_ros.recordings.labels import UNKNOWN_LABEL, Label, read_labels
from act_ros.tflite.errors import ModelError
from act_ros.tflite.runtime import runtime_name


@dataclass(frozen=True)
class Job:
    """What to evaluate: a bag, perhaps its labels, and where the results go."""

    bag: Path
    output: Path
    labels: Path | None = None
    topic: str | None = None
    settings: Settings = field(default_factory=Settings)
    annotated: Path | None = None

    @property
    def name(self) -> str:
        """What the bag is called."""
        return self.bag.stem if self.bag.is_file() else self.bag.resolve().name


@dataclass(eq=False)
class Result:
    """The scores, and what ``summary.json`` says."""

    scores: Scores
    summary: dict[str, Any]


class _Stopwatch:
    """Seconds a frame takes, by stage."""

    def __init__(self) -> None:
        self._stages: dict[str, array[float]] = {}

    def lap(self, stage: str, begin: float) -> float:
        """Note the time since ``begin``, and return the time now."""
        now = time.perf_counter()
        self._stages.setdefault(stage, array('f')).append(now - begin)
        return now

    def summary(self) -> dict[str, Any]:
        """Return mean, median and 99th percentile in milliseconds."""
        return {stage: {'mean_ms': float(np.mean(seconds) * 1e3),
                        'p50_ms': float(np.percentile(seconds, 50) * 1e3),
                        'p99_ms': float(np.percentile(seconds, 99) * 1e3)}
                for stage, seconds in self._stages.items()}


def evaluate(job: Job, has_bar: bool = False) -> Result:
    """
    Evaluate a bag and write ``results.jsonl``, ``summary.json``, ``report.html``, ``timing.json``.

    All but the last are the same bytes on every run. They replace former ones all together, and
    stand there only if everything went well.

    :param has_bar: show a progress bar.
    :raises BagError: the bag holds nothing to evaluate, or nothing of it can be read.
    :raises LabelError: the labels cannot be used.
    :raises ModuleNotFoundError: a package is not installed.
    """
    if missing := [name for name in ('rosbags', 'sklearn') if find_spec(name) is None]:
        raise ModuleNotFoundError(f'evaluation needs {" and ".join(missing)}: '
                                  'pip install rosbags scikit-learn')
    with ExitStack() as stack:
        evaluation = _Evaluation(job, stack.enter_context(Bag(job.bag)), stack)
        output = stack.enter_context(replacing_in(job.output, last='summary.json'))
        video = stack.enter_context(
            AnnotatedVideo(job.annotated, evaluation.rate)) if job.annotated else None
        evaluation.take_all(output / 'results.jsonl', video, has_bar)
        evaluation.warn_of_gaps()
        evaluation.gallery.draw(evaluation.bag, evaluation.images, evaluation.scores)
        summary, timelines = evaluation.summary(), evaluation.trace.to_dict()
        write_json(output / 'summary.json', summary)
        write_json(output / 'timing.json', evaluation.engine.watch.summary())
        (output / 'trace.json').write_text(json.dumps(timelines) + '\n', encoding='utf-8')
        write_report(output / 'report.html', summary, timelines, evaluation.gallery,
                     evaluation.gallery.worst(evaluation.scores))
    return Result(evaluation.scores, summary)


class _Evaluation:
    """
    One bag under evaluation: what is read of it, and what has been found so far.

    ``rate`` is how many frames a second it has, for a video of them.
    """

    def __init__(self, job: Job, bag: Bag, stack: ExitStack) -> None:
        self.job, self.bag = job, bag
        self.kind, self.topic = choose_topic(bag, job.topic)
        if self.kind != 'actions':
            bag.stamps = job.settings.stamps_of(self.kind)
        self.warnings = list(job.settings.warnings)
        self.labels = (
            read_labels(job.labels, bag.start, bag.end, self.warnings) if job.labels else [])
        self.images = find_images(bag, self.topic)
        self.engine = _Engine(bag, self.kind, self.topic, job.settings, self.warnings, stack)
        names = self.engine.names
        _warn_of_strange_labels(self.labels, names, self.warnings)
        max_gap, messages = job.settings.window.max_gap, bag.topics[self.topic].num_messages
        # What was recorded does not say which labels were answered as one.
        alike = () if self.kind == 'actions' else job.settings.decision.alike
        self.scores, self.gallery = Scores(names, alike), Gallery()
        self.truth = Truth(self.labels, max_gap)
        self.trace = Trace(names, bag.start, bag.duration,
                           min(bag.duration / max(messages - 1, 1), 0.5), max_gap)
        self.rate = min(max(round((messages - 1) / max(bag.duration, 1e-3)), 1), 120)
        self._read, self._dark, self._ages = 0, 0, array('d')

    def take_all(self, results: Path, video: AnnotatedVideo | None, has_bar: bool) -> None:
        """Answer and score every frame that can be read, and write it down."""
        frames = self.engine.process(read_frames(
            self.bag, self.kind, self.topic, self.images if video else None))
        info = self.bag.topics[self.topic]
        with open(results, 'w', encoding='utf-8') as file:
            try:
                for frame in tqdm(frames, printable(self.job.name), info.num_messages,
                                  unit=' frames', disable=not has_bar):
                    self._read += 1
                    if frame.actions is not None:
                        self._take(frame, frame.actions, file, video)
            except BagError as error:
                if not self.scores.frames:
                    raise
                self.warnings.append(f'{error}. What could be read was evaluated: '
                                     f'{self.scores.frames} frames')
        for label in self.labels:  # also those during which there was no frame at all
            self.scores.segment_of(label)

    def _take(
        self, frame: Frame, actions: Sequence[Action], file: IO[str], video: AnnotatedVideo | None,
    ) -> None:
        begin = time.perf_counter()
        self._ages.append((frame.time - frame.stamp) / NANOSECONDS)
        pairs = self.truth.match(frame.time, actions)
        self.scores.add(frame.time, actions, pairs)
        self.trace.add(frame.time, actions, pairs)
        self.gallery.add(frame, pairs)
        file.write(_result(frame, pairs, self.bag.start))
        if video:
            self._dark += frame.image is None
            video.add(frame.stamp, annotated(frame))
        self.engine.watch.lap('score and write', begin)

    def warn_of_gaps(self) -> None:
        """
        Warn about what makes the figures less than they seem.

        :raises BagError: there are no figures, since nothing could be used.
        """
        warnings, drops, seen = self.warnings, self.engine.drops, self.truth.seen
        warnings += self.bag.losses()
        if self.images and self._dark:
            warnings.append(f'in the video {self._dark} of {self._read} frames are dark: on '
                            f'{self.images} there is no image of their stamp that can be decoded')
        if drops.total():
            warnings.append(unused(drops))
        if empty := [x.line for x in self.labels if not self.scores.segment_of(x).frames]:
            warnings.append(f'there is no frame within {len(empty)} of {len(self.labels)} labels; '
                            f'the first is in line {empty[0]}')
        if missing := sorted({x.person for x in self.labels if x.person} - set(seen)):
            names = ', '.join(f'{name} ({n} frames)' for name, n in seen.most_common(20))
            warnings.append(
                f'labelled but never seen: {", ".join(missing)}; seen: {names or "nobody"}')
        if self.kind == 'keypoints' and drops['person without an id']:
            warnings.append('people without an id cannot be followed; track them first')
        if not self.scores.frames:
            raise BagError(f'{self.bag.path}: none of {self._read} messages could be used; '
                           + ('; '.join(warnings) or 'the topic is empty'))

    def summary(self) -> dict[str, Any]:
        """Return what ``summary.json`` says."""
        job, bag, engine = self.job, self.bag, self.engine
        info = bag.topics[self.topic]
        has_ids = any(label.person for label in self.labels)
        summary: dict[str, Any] = rounded({
            'bag': {'name': job.name, 'topic': self.topic, 'type': info.type, 'kind': self.kind,
                    'messages': info.num_messages, 'duration': bag.duration,
                    'sha256': bag.checksums()},
            'labels': {'name': job.labels.name, 'sha256': file_checksum(job.labels)}
            if job.labels else None,
            'places': engine.places.topics if engine.places else None,
            'model': engine.description,
            'settings': job.settings.to_dict() if self.kind != 'actions' else None,
            'warnings': self.warnings,
            'dropped': dict(sorted(engine.drops.items())),
            'people': len(self.truth.seen),
            'id_switches': self.truth.switches if has_ids else None,
            'age_seconds': {'median': float(np.median(self._ages)),
                            'p99': float(np.percentile(self._ages, 99))} if self._ages else None,
            **self.scores.summary(),
        })
        return summary


class _Engine:
    """Fills in what is missing of a frame: people, actions, places."""

    def __init__(
        self, bag: Bag, kind: str, topic: str, settings: Settings, warnings: list[str],
        stack: ExitStack,
    ) -> None:
        self.watch, self.drops, self._warnings = _Stopwatch(), Counter[str](), warnings
        self._bag = bag
        bag.image_size = settings.poses.image_size
        self._finder: PersonFinder | None = None
        self._recognizer: ActionRecognizer | None = None
        self.places: BagPlaces | None = None
        self.names: tuple[str, ...]
        self.description: dict[str, Any]
        if kind == 'actions':
            model, self.names = read_label_names(
                bag, topic, settings.act.bundle, self._warnings)
            self.description = {'name': model, 'labels': list(self.names)}
            return
        act = settings.act
        classifier = ActClassifier(act.bundle, act.act_threads)
        self.names = classifier.labels
        self._recognizer = ActionRecognizer(
            classifier, settings.window, settings.decision, act.allowed(classifier.bundle),
            settings.pose_mount.rotation)
        self.description = _describe(classifier.bundle)
        self.places = BagPlaces(
            bag, topic, settings.place, stack, kind == 'images', self.drops, self._fail)
        if kind == 'images':
            pose = settings.pose
            self._finder = PersonFinder(
                create_estimator(
                    pose.model, pose.num_threads, pose.score_threshold, pose.providers),
                settings.tracker, settings.image_mount.rotation)
            self.description |= {'pose_model': self._finder.estimator.name,
                                 'pose_sha256': pose_checksum(pose.model)}

    def process(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames with their people and actions."""
        begin = time.perf_counter()
        try:
            for frame in frames:
                begin = self.watch.lap('read', begin)
                is_usable = True
                if self._finder:
                    try:
                        is_usable = find_persons(self._finder, frame)
                    except ModelError as error:
                        self._fail('unusable answer of the pose network', error)
                        is_usable = False
                    begin = self.watch.lap('find people', begin)
                if self._recognizer:
                    if is_usable:
                        self._recognize(self._recognizer, frame)
                    self.watch.lap('recognize', begin)
                yield frame
                begin = time.perf_counter()
        finally:
            for part in (self._bag, self._finder, self._recognizer):
                self.drops += part.drops if part else Counter()

    def _recognize(self, recognizer: ActionRecognizer, frame: Frame) -> None:
        try:
            frame.actions = recognizer.update(
                frame.stamp, frame.persons, frame.layout, frame.time, frame.size)
        except ValueError as error:  # as act_node: such a message is told and left out
            self._fail('unusable keypoints', error)
        if self.places:
            self.places.fill(frame)

    def _fail(self, cause: str, error: Exception) -> None:
        """Count what cannot be used, and tell why of the first."""
        if not self.drops[cause]:
            self._warnings.append(f'{cause}: {error}')
        self.drops[cause] += 1


def _result(frame: Frame, pairs: list[tuple[Label, Action | None]], start: int) -> str:
    """Return a line of ``results.jsonl``: as in ``actions.jsonl``, plus time and truth."""
    assert frame.actions is not None
    truth = {id(action): quoted(label.label) for label, action in pairs if action}
    more = f', "time": {(frame.time - start) / NANOSECONDS:.6f}'
    if missed := [{'person': label.person, 'truth': label.label}
                  for label, action in pairs if action is None]:
        more += f', "missed": {json.dumps(missed)}'
    return frame_line(frame.stamp, frame.actions,
                      [truth.get(id(action), 'null') for action in frame.actions], more)


def _describe(bundle: Bundle) -> dict[str, Any]:
    return {'name': bundle.name, 'sha256': bundle.sha256, 'labels': list(bundle.labels),
            'layout': bundle.layout, 'num_frames': bundle.num_frames,
            'frame_rate': bundle.frame_rate, 'temperature': bundle.temperature,
            'unknown_threshold': bundle.unknown_threshold, 'members': bundle.members,
            'runtime': 'onnxruntime' if bundle.sha256 == bundle.sha256_onnx else runtime_name()}


def _warn_of_strange_labels(
    labels: list[Label], names: tuple[str, ...], warnings: list[str],
) -> None:
    """Warn about labels that the model does not have."""
    strange = sorted({label.label for label in labels} - set(names) - {UNKNOWN_LABEL})
    if strange:
        warnings.append(
            f'the model has no label {", ".join(strange)}: the right answer to them is '
            f'{UNKNOWN_LABEL!r}. It has: {", ".join(names)}')
