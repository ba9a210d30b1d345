"""
What a network looks at: the paper's Figures 6 to 9, from any network and sequence files.

    python -m training.introspect --run runs/act_mu --data FOLDER --output figures
    python -m training.introspect --bundle models/act_mu.tflite --data kard.npz --output figures
    python -m training.introspect --weights runs/mpose/openpose/split_1/act_m/fold_3.npz \\
        --data ~/.mpose --output figures

==========================  =======================================================================
``attention_maps_*.png``    Figure 6: self-attention of every head and layer, for some windows, of
                            which the last are answered wrongly
``class_attention.png``     Figure 7: the class token's attention as opacity of the skeletons
``video_attention.png``     the same of videos (``--video``), with the pictures below the skeletons
``frame_dropping.png``      Figure 8: balanced accuracy without the first or the last frames
``position_similarity.png`` Figure 9: cosine similarity of the position embeddings
==========================  =======================================================================

A run's folder gives all of them, of the people its member never saw. So does a ``.weights.h5``
file with its bundle beside it, or a fold of `training.paper.benchmark`. Without ``--run`` a folder
of ``--data`` holds MPOSE2021 as released, of which the test samples are taken. A bundle alone hides
its inner layers: no Figure 6, Figure 7 only if it has the attention output, Figure 8 down to its
shortest window.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
from tqdm import tqdm

from act_ros.actions.bundle import load_bundle
from act_ros.actions.classifier import ActClassifier
from act_ros.actions.features import extract_features, resample
from act_ros.core.resources import find_model
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.persons.video import VideoSource
from act_ros.tflite.runtime import load_interpreter
from training.augmentation import LAYOUT
from training.config import read_run
from training.data import load_data
from training.datasets.skeletons import MPOSE_ORDER, UNKNOWN, Sequences, load_sequences
from training.figures import (
    Example,
    draw_attention_maps,
    draw_class_attention,
    draw_frame_dropping,
    draw_position_similarity,
)
from training.metrics import summary
from training.paper.mpose import LAYOUTS, SPLITS, load_test_poses
from training.views import clip_windows, see_clips

MAPS = 3
"""Windows that attention maps are drawn of: so many answered rightly, and so many wrongly."""


@dataclass(frozen=True, eq=False)
class Subject:
    """
    A network under the lens.

    ``probabilities`` maps features (N, T, F) to (N, C); ``attention``, if it can be had, to every
    layer's (N, heads, T + 1, T + 1); ``class_attention`` to (N, T); ``positions`` are the members'
    position embeddings, each (T + 1, d). Poses are smoothed by ``pose_smoothing`` seconds.
    """

    name: str
    labels: tuple[str, ...]
    layout: str
    normalisation: str
    num_frames: int
    min_frames: int
    frame_rate: float
    probabilities: Callable[[np.ndarray], np.ndarray]
    attention: Callable[[np.ndarray], list[np.ndarray]] | None
    class_attention: Callable[[np.ndarray], np.ndarray] | None
    positions: list[np.ndarray]
    pose_smoothing: float = 0.0


def of_weights(path: Path, member: int = 0) -> Subject:
    """
    Look into a member of a run, or a ``.weights.h5`` file.

    :raises ValueError: it cannot be loaded, or is no AcT.
    """
    from training.models.act import forward_with_attention
    from training.networks import load_network

    network = load_network(path, member)
    if not network.kind.startswith('act'):
        raise ValueError(f'{path} is a {network.kind}: only an AcT has attention to look at')

    def attention(features: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(x) for x in forward_with_attention(network.model, features)[1]]

    def class_attention(features: np.ndarray) -> np.ndarray:
        look = attention(features)[-1][:, :, 0, 1:].mean(axis=1)
        return look / look.sum(axis=-1, keepdims=True)

    position = network.model.get_layer('embedding').position.numpy()
    return Subject(path.name.removesuffix('.weights.h5'), network.labels, network.layout,
                   network.normalisation, network.num_frames, 1, network.frame_rate,
                   network.probabilities, attention, class_attention, [position],
                   network.pose_smoothing)


def of_bundle(path: str | Path) -> Subject:
    """
    Look into a bundle, as far as it lets.

    :raises FileNotFoundError, BundleError: as `ActClassifier`.
    """
    classifier = ActClassifier(path)
    bundle = classifier.bundle

    def class_attention(features: np.ndarray) -> np.ndarray:
        look = classifier.invoke(features).attention
        assert look is not None
        return look

    return Subject(
        bundle.name, bundle.labels, bundle.layout, bundle.normalisation, bundle.num_frames,
        bundle.min_frames, bundle.frame_rate, lambda features: np.concatenate([
            classifier.invoke(np.ascontiguousarray(features[i:i + 256])).probabilities
            for i in range(0, len(features), 256)]),
        None, class_attention if bundle.attention else None, find_positions(path),
        bundle.pose_smoothing)


def find_positions(path: str | Path) -> list[np.ndarray]:
    """Return the position embeddings (T + 1, d) in a bundle: its tables of that length."""
    bundle, data = load_bundle(find_model(path).with_suffix('.tflite'))
    interpreter: Any = load_interpreter(data, 1)
    tables = []
    for tensor in interpreter.get_tensor_details():
        shape = tuple(tensor['shape'])
        if len(shape) == 2 and shape[0] == bundle.num_frames + 1 and shape[1] > 1 \
                and tensor['dtype'] in (np.float32, np.float16):
            try:
                tables.append(interpreter.get_tensor(tensor['index']).astype(np.float32))
            except (ValueError, RuntimeError):  # not a constant
                continue
    return tables


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows to look at: keypoints (N, T, K, 3) of a layout, class (N,)."""

    keypoints: np.ndarray
    label: np.ndarray
    layout: str = LAYOUT

    def features(self, subject: Subject, frames: slice = slice(None)) -> np.ndarray:
        """Return the features of some of the frames, as a shorter live window would have them."""
        return extract_features(
            self.keypoints[:, frames], self.layout, subject.layout, subject.normalisation)


def cut_windows(sequences: Sequences, subject: Subject, limit: int) -> Windows:
    """
    Cut the clips of known classes into at most ``limit`` windows, evenly taken.

    :raises ValueError: there are none.
    """
    known = sequences.select(sequences.label != UNKNOWN)
    if len(known) == 0:
        raise ValueError('the data hold no clip of a class that the network knows')
    windows, clip = clip_windows(see_clips(known, 'own'), subject.num_frames, subject.frame_rate,
                                 pose_smoothing=subject.pose_smoothing)
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(limit, len(clip))).round().astype(int))
    return Windows(windows[chosen][..., [0, 1, 3]], known.label[clip[chosen]])


def released_windows(
    subject: Subject, folder: Path, extractor: str, split: int, limit: int,
) -> Windows:
    """Return at most ``limit`` test samples of MPOSE2021, evenly taken, at the network's rate."""
    poses, label = load_test_poses(extractor, split, folder)
    chosen = np.unique(np.linspace(0, len(label) - 1, min(limit, len(label))).round().astype(int))
    step = -(-poses.shape[1] // subject.num_frames)
    return Windows(poses[chosen][:, ::step].astype(np.float32), label[chosen], LAYOUTS[extractor])


def of_fold(path: Path) -> tuple[str, int, int]:
    """Return extractor, split and number of ``<extractor>/split_<s>/<model>/fold_<i>.npz``."""
    try:
        return (path.absolute().parents[2].name, int(path.absolute().parents[1].name[6:]),
                int(path.stem[5:]))
    except (IndexError, ValueError) as error:
        raise ValueError(f'{path} is not <extractor>/split_<s>/<model>/fold_<i>.npz') from error


def watched(subject: Subject, video: Path) -> Example:
    """
    Return the window of a video that the network is surest of, with its pictures.

    :raises ValueError: nobody is found in it, or the network's attention cannot be had.
    """
    from training.videos import LOOKS, follow

    if subject.class_attention is None:
        raise ValueError('the bundle was exported without --attention')
    stamps, keypoints = follow(video, LOOKS[0])
    if not stamps:
        raise ValueError(f'nobody is found in {video}')
    times = np.array(stamps) / NANOSECONDS - 1
    span = (subject.num_frames - 1) / subject.frame_rate
    ends = np.arange(min(times[0] + span, times[-1]), times[-1] + 1e-6, 0.25)
    queries = ends[:, None] + np.arange(1 - subject.num_frames, 1) / subject.frame_rate
    poses = np.concatenate([resample(times, np.stack(keypoints), np.array([0, len(times)]),
                                     query[None], 0.2, subject.pose_smoothing)
                            for query in queries])
    windows = Windows(poses, np.zeros(len(poses)), 'coco17')
    answers = subject.probabilities(windows.features(subject))
    best = int(answers.max(axis=-1).argmax())
    points = poses[best, ..., :2]
    pictures = [np.empty(0)] * subject.num_frames
    for seconds, image in VideoSource(str(video)).play(realtime=False):
        for frame in np.flatnonzero((queries[best] >= seconds - 1e-6) | (seconds == 0)):
            pictures[frame] = image
    answer = f'{video.name}: {subject.labels[answers[best].argmax()]}'
    return Example(
        points, 'coco17', answer, answer, float(answers[best].max()),
        subject.class_attention(windows.features(subject)[best:best + 1])[0],
        [_around(image, points) for image in pictures])


def _around(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the part of an image around points (..., 2), RGB (240, 160, 3)."""
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    half = 0.6 * max((high - low)[1], 1.5 * (high - low)[0]) * np.array([2 / 3, 1])
    (left, top), (right, bottom) = (low + high) / 2 - half, (low + high) / 2 + half
    rows = np.linspace(top, bottom, 240).round().astype(int).clip(0, image.shape[0] - 1)
    columns = np.linspace(left, right, 160).round().astype(int).clip(0, image.shape[1] - 1)
    return image[rows[:, None], columns, ::-1]


def worst_examples(subject: Subject, windows: Windows, others: Sequence[int]) -> list[int]:
    """Return the `MAPS` windows that the network is surest of, wrongly, beside ``others``."""
    probabilities = subject.probabilities(windows.features(subject))
    wrong = np.setdiff1d(np.flatnonzero(probabilities.argmax(axis=-1) != windows.label), others)
    return wrong[np.argsort(-probabilities[wrong].max(axis=-1))][:MAPS].tolist()


def best_examples(subject: Subject, windows: Windows, labels: Sequence[str] = ()) -> list[int]:
    """Return the window of each class that the network is surest of, rightly if there is one."""
    probabilities = subject.probabilities(windows.features(subject))
    right = probabilities[np.arange(len(windows.label)), windows.label]
    classes = [subject.labels.index(label) for label in labels] or np.unique(windows.label)
    return [int(np.argmax(np.where(windows.label == c, right, -1))) for c in classes]


def frame_dropping(
    subject: Subject, windows: Windows, step: int = 1,
) -> tuple[dict[int, float], dict[int, float]]:
    """Return balanced accuracy by the number of frames dropped from the start, and from the end."""
    start: dict[int, float] = {}
    end: dict[int, float] = {}
    for dropped in tqdm(range(0, subject.num_frames - subject.min_frames + 1, step), 'frames',
                        disable=not sys.stderr.isatty()):
        left = subject.num_frames - dropped
        for values, frames in ((start, slice(dropped, None)), (end, slice(0, left))):
            answer = subject.probabilities(windows.features(subject, frames))
            values[dropped] = summary(windows.label, answer)['balanced_accuracy']
    return start, end


def position_similarity(positions: Sequence[np.ndarray]) -> np.ndarray:
    """Return the cosine similarity (T + 1, T + 1) of position embeddings, mean over members."""
    unit = [p / np.linalg.norm(p, axis=-1, keepdims=True) for p in positions]
    return np.mean([u @ u.T for u in unit], axis=0)


def introspect(
    subject: Subject, windows: Windows, output: Path, labels: Sequence[str] = (), step: int = 1,
) -> list[str]:
    """Draw every figure that can be had into ``output``; return what cannot, and why."""
    missing = []
    right = best_examples(subject, windows, labels)
    chosen = right + worst_examples(subject, windows, right)
    features = windows.features(subject)[chosen]
    answers = subject.probabilities(features)
    titles = [f'{subject.labels[windows.label[i]]}, answered '
              f'{subject.labels[answer.argmax()]} ({answer.max():.0%})'
              for i, answer in zip(chosen, answers, strict=True)]
    if subject.attention is not None:
        surest = np.argsort(-answers[:len(right)].max(axis=-1)) if not labels else range(len(right))
        for place, i in enumerate([*surest[:MAPS], *range(len(right), len(chosen))], 1):
            draw_attention_maps(output / f'attention_maps_{place}.png', [
                layer[0] for layer in subject.attention(features[i:i + 1])],
                f'{subject.name}: {titles[i]}')
    else:
        missing.append('attention_maps: a bundle hides its inner layers; give --run or --weights')
    if subject.class_attention is not None:
        looks = subject.class_attention(features)
        picked = np.sort(np.argsort(-answers[:len(right)].max(axis=-1))[:6])
        draw_class_attention(output / 'class_attention.png', [
            Example(windows.keypoints[chosen[i]][..., :2], windows.layout,
                    subject.labels[windows.label[chosen[i]]],
                    subject.labels[answers[i].argmax()], float(answers[i].max()), looks[i])
            for i in picked])
    else:
        missing.append('class_attention: the bundle was exported without --attention')
    start, end = frame_dropping(subject, windows, step)
    draw_frame_dropping(output / 'frame_dropping.png', start, end,
                        1 / len(np.unique(windows.label)),
                        f'{subject.name}: {len(windows.label)} windows of {subject.num_frames} '
                        f'frames')
    (output / 'frame_dropping.json').write_text(json.dumps({'start': start, 'end': end}, indent=1),
                                                encoding='utf-8')
    if subject.positions:
        draw_position_similarity(output / 'position_similarity.png',
                                 position_similarity(subject.positions),
                                 f'{subject.name}: position embeddings')
    else:
        missing.append('position_similarity: no position embedding found in the network')
    return missing


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The paper's Figures 6 to 9 of a network.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--run', type=Path, help='folder of a training run')
    source.add_argument('--weights', type=Path, help='.weights.h5 file with its bundle beside it, '
                        'or fold_<i>.npz of a benchmark')
    source.add_argument('--bundle', help='model bundle: a name in models/, or a path')
    parser.add_argument('--member', type=int, default=0, help='which member of the run')
    parser.add_argument('--data', type=Path, nargs='+', required=True,
                        help='sequence files; with --run also the folder of its training data, of '
                        'which only the people it never saw are taken; otherwise a folder of '
                        'MPOSE2021 as released')
    parser.add_argument('--extractor', choices=LAYOUTS, help='of released arrays; default: that of '
                        'the fold, or openpose')
    parser.add_argument('--split', type=int, choices=SPLITS, help='likewise; default: of the fold, '
                        'or 1')
    parser.add_argument('--output', type=Path, required=True, help='folder of the pictures')
    parser.add_argument('--labels', nargs='+', default=(), help='classes to show, first one in '
                        'attention_maps; default: those the network is surest of')
    parser.add_argument('--video', type=Path, nargs='+', default=(), help='files in which people '
                        'are found, for Figure 7 with the picture beside the skeleton')
    parser.add_argument('--mpose-order', action='store_true', help=MPOSE_ORDER)
    parser.add_argument('--limit', type=int, default=2000, help='most windows to look at')
    parser.add_argument('--step', type=int, default=1, help='frames dropped at a time')
    options = parser.parse_args(arguments)
    try:
        subject = of_bundle(options.bundle) if options.bundle else of_weights(
            options.run or options.weights, options.member)
        if unknown := sorted(set(options.labels) - set(subject.labels)):
            raise ValueError(f'the network does not know the labels {", ".join(unknown)}; it knows '
                             f'{", ".join(subject.labels)}')
        windows = None
        if options.data[0].is_dir() and not options.run:
            extractor, split = options.extractor or 'openpose', options.split or 1
            if options.weights and options.weights.suffix == '.npz':
                own, number, fold = of_fold(options.weights)
                extractor, split = options.extractor or own, options.split or number
                subject = replace(subject, name=f'{options.weights.parent.name}, {own} split '
                                                f'{number}, fold {fold}')
            windows = released_windows(subject, options.data[0], extractor, split, options.limit)
        elif options.run and options.data[0].is_dir():
            config = read_run(options.run)
            sequences, folds = load_data(config, options.data[0])
            fold = config.held_back_folds[options.member]
            if fold >= 0:  # the final network has seen everybody
                sequences = sequences.select(folds == fold)
        else:
            sequences = load_sequences(options.data, subject.labels, options.mpose_order)
        if windows is None:
            windows = cut_windows(sequences, subject, options.limit)
        if absent := [x for x in options.labels
                      if subject.labels.index(x) not in windows.label]:
            raise ValueError(f'the data hold no clip of {", ".join(absent)}')
        options.output.mkdir(parents=True, exist_ok=True)
        missing = introspect(subject, windows, options.output, options.labels, options.step)
        if options.video:
            draw_class_attention(options.output / 'video_attention.png',
                                 [watched(subject, video) for video in options.video])
    except (OSError, ValueError, IndexError) as error:
        parser.error(printable(error, 1000))
    for reason in missing:
        print(f'left out {reason}')
    print(f'wrote {", ".join(sorted(p.name for p in options.output.glob("*.png")))} to '
          f'{options.output}')


if __name__ == '__main__':
    main()
