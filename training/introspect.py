"""
What a network looks at: the paper's Figures 6 to 9, from any AcT and sequence files.

    python -m training.introspect --run runs/act_mu --data FOLDER --output figures
    python -m training.introspect --weights models/act_mu.weights.h5 --data x.npz --output figures
    python -m training.introspect --weights runs/mpose/openpose/split_1/act_m/fold_3.npz \\
        --data ~/.mpose --output figures

==========================  =======================================================================
``attention_maps_*.png``    Figure 6: self-attention of every head and layer, for some windows, of
                            which the last are answered wrongly
``class_attention.png``     Figure 7: the class token's attention as opacity of the skeletons
``video_attention.png``     the same of videos (``--video``), with the pictures below the skeletons
``frame_dropping.png``      Figure 8: balanced accuracy without the first or the last frames
``position_similarity.png`` Figure 9: cosine similarity of the position embedding
==========================  =======================================================================

A run's folder gives them of the people its member never saw. Without ``--run`` a folder of
``--data`` holds MPOSE2021 as released, of which the test samples are taken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from keras import ops

from act_ros.actions.features import resample
from act_ros.core.arguments import count_from, goes_with, one_line_errors
from act_ros.core.files import replacing
from act_ros.core.person import SEEN_SCORE
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.persons.video import VideoError, VideoSource
from training.augmentation import LAYOUT
from training.config import read_run
from training.data import is_held_back, load_data
from training.datasets.skeletons import MPOSE_ORDER, UNKNOWN, Sequences, load_sequences
from training.figures import (
    Example,
    draw_attention_maps,
    draw_class_attention,
    draw_frame_dropping,
    draw_position_similarity,
)
from training.metrics import summary
from training.models.act import forward_with_attention
from training.networks import WEIGHTS, Network, load_network
from training.paper.mpose import LAYOUTS, SPLITS, load_test_poses
from training.progress import progress
from training.views import clip_windows, see_clips

MAPS = 3
"""Windows that attention maps are drawn of: so many answered rightly, and so many wrongly."""
SKELETONS = 6
"""Classes that the class token's attention is drawn of."""


def load_act(path: Path, member: int = 0) -> Network:
    """
    Load what `load_network` can, if it is an AcT.

    :raises ValueError: it cannot be loaded, or is no AcT.
    """
    network = load_network(path, member)
    if not network.kind.startswith('act'):
        raise ValueError(f'{path} is a {network.kind}: only an AcT has attention to look at')
    return network


def class_attention(network: Network, features: np.ndarray) -> np.ndarray:
    """Return how much the class token attends to each frame of windows, (N, T), summing to 1."""
    last = ops.convert_to_numpy(forward_with_attention(network.model, features)[1][-1])
    look = last[:, :, 0, 1:].mean(axis=1)
    return look / look.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows to look at: keypoints (N, T, K, 3) of a layout, class (N,)."""

    keypoints: np.ndarray
    label: np.ndarray
    layout: str = LAYOUT

    def features(self, network: Network, frames: slice = slice(None)) -> np.ndarray:
        """Return features (N, t, F) of some of the frames, as a shorter live window has them."""
        return network.features(self.keypoints[:, frames], self.layout)


def cut_windows(sequences: Sequences, network: Network, limit: int) -> Windows:
    """
    Cut the clips of known classes into at most ``limit`` windows, evenly taken.

    :raises ValueError: there are none.
    """
    known = sequences.select(sequences.label != UNKNOWN)
    if len(known) == 0:
        raise ValueError('the data hold no clip of a class that the network knows')
    keypoints, clip = clip_windows(see_clips(known, 'own'), network.num_frames, network.frame_rate,
                                   pose_smoothing=network.pose_smoothing)
    chosen = _evenly(len(clip), limit)
    return Windows(keypoints[chosen], known.label[clip[chosen]])


def released_windows(
    network: Network, folder: Path, extractor: str, split: int, limit: int,
) -> Windows:
    """Return at most ``limit`` test samples of MPOSE2021, evenly taken, at the network's rate."""
    poses, label = load_test_poses(extractor, split, folder)
    chosen = _evenly(len(label), limit)
    step = -(-poses.shape[1] // network.num_frames)
    return Windows(poses[chosen][:, ::step].astype(np.float32), label[chosen], LAYOUTS[extractor])


def _evenly(count: int, limit: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int))


def watched(network: Network, video: Path) -> Example:
    """
    Return the window of a video that the network is surest of, with its pictures.

    :raises ValueError: nobody is found in it.
    """
    from training.videos import LOOKS, follow

    stamps, keypoints = follow(video, LOOKS[0])
    if not stamps:
        raise ValueError(f'nobody is found in {video}')
    times = np.array(stamps) / NANOSECONDS - 1
    span = (network.num_frames - 1) / network.frame_rate
    ends = np.arange(min(times[0] + span, times[-1]), times[-1] + 1e-6, 0.25)
    queries = ends[:, None] + np.arange(1 - network.num_frames, 1) / network.frame_rate
    poses = np.concatenate([resample(times, np.stack(keypoints), np.array([0, len(times)]),
                                     query[None], SEEN_SCORE, network.pose_smoothing)
                            for query in queries])
    features = network.features(poses, 'coco17')
    answers = network.probabilities(features)
    best = int(answers.max(axis=-1).argmax())
    points = poses[best, ..., :2]
    pictures = [np.empty(0)] * network.num_frames
    for seconds, image in VideoSource(str(video)).play(realtime=False):
        for frame in np.flatnonzero((queries[best] >= seconds - 1e-6) | (seconds == 0)):
            pictures[frame] = image
    answer = f'{video.name}: {network.labels[answers[best].argmax()]}'
    return Example(
        points, 'coco17', answer, answer, float(answers[best].max()),
        class_attention(network, features[best:best + 1])[0],
        [_around(image, points) for image in pictures])


def _around(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the part of an image around points (..., 2), RGB (240, 160, 3)."""
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    half = 0.6 * max((high - low)[1], 1.5 * (high - low)[0]) * np.array([2 / 3, 1])
    (left, top), (right, bottom) = (low + high) / 2 - half, (low + high) / 2 + half
    rows = np.linspace(top, bottom, 240).round().astype(int).clip(0, image.shape[0] - 1)
    columns = np.linspace(left, right, 160).round().astype(int).clip(0, image.shape[1] - 1)
    return image[rows[:, None], columns, ::-1]


def worst_examples(
    probabilities: np.ndarray, label: np.ndarray, others: Sequence[int],
) -> list[int]:
    """Return the `MAPS` windows, but ``others``, whose answer (N, C) is wrong, and surest."""
    wrong = np.setdiff1d(np.flatnonzero(probabilities.argmax(axis=-1) != label), others)
    return wrong[np.argsort(-probabilities[wrong].max(axis=-1))][:MAPS].tolist()


def best_examples(
    probabilities: np.ndarray, label: np.ndarray, classes: Sequence[int] = (),
) -> list[int]:
    """
    Return the window of each class, of probabilities (N, C), that is surest of it.

    By default of all classes, the surest first.
    """
    right = probabilities[np.arange(len(label)), label]
    best = [int(np.argmax(np.where(label == c, right, -1)))
            for c in classes or np.unique(label).tolist()]
    return best if classes else sorted(best, key=lambda i: -right[i])


def frame_dropping(
    network: Network, windows: Windows, step: int = 1,
) -> tuple[dict[int, float], dict[int, float]]:
    """Return balanced accuracy by the number of frames dropped from the start, and from the end."""
    start: dict[int, float] = {}
    end: dict[int, float] = {}
    for dropped in progress(range(0, network.num_frames, step), 'frames'):
        left = network.num_frames - dropped
        for values, frames in ((start, slice(dropped, None)), (end, slice(0, left))):
            answer = network.probabilities(windows.features(network, frames))
            values[dropped] = summary(windows.label, answer)['balanced_accuracy']
    return start, end


def position_similarity(positions: np.ndarray) -> np.ndarray:
    """Return the cosine similarity (T + 1, T + 1) of a position embedding (T + 1, d)."""
    unit = positions / np.linalg.norm(positions, axis=-1, keepdims=True)
    return unit @ unit.T


def introspect(
    network: Network, windows: Windows, output: Path, name: str, labels: Sequence[str] = (),
    step: int = 1,
) -> None:
    """Draw every figure into the folder ``output``; ``name`` is in their titles."""
    features = windows.features(network)
    probabilities = network.probabilities(features)
    right = best_examples(probabilities, windows.label, [network.labels.index(x) for x in labels])
    wrong = worst_examples(probabilities, windows.label, right)

    def example(i: int) -> Example:
        answer = probabilities[i]
        return Example(windows.keypoints[i][..., :2], windows.layout,
                       network.labels[windows.label[i]], network.labels[answer.argmax()],
                       float(answer.max()), class_attention(network, features[i:i + 1])[0])

    for place, i in enumerate([*right[:MAPS], *wrong], 1):
        layers = forward_with_attention(network.model, features[i:i + 1])[1]
        draw_attention_maps(output / f'attention_maps_{place}.png',
                            [ops.convert_to_numpy(layer[0]) for layer in layers],
                            f'{name}: {example(i).title}')
    draw_class_attention(output / 'class_attention.png', [example(i) for i in right[:SKELETONS]],
                         name)
    start, end = frame_dropping(network, windows, step)
    draw_frame_dropping(output / 'frame_dropping.png', start, end,
                        1 / len(np.unique(windows.label)),
                        f'{name}: {len(windows.label)} windows of {network.num_frames} frames')
    with replacing(output / 'frame_dropping.json') as file:
        file.write_text(json.dumps({'start': start, 'end': end}, indent=1), encoding='utf-8')
    draw_position_similarity(
        output / 'position_similarity.png',
        position_similarity(network.model.get_layer('embedding').position.numpy()),
        f'{name}: position embedding')


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The paper's Figures 6 to 9 of a network.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--run', type=Path, help='folder of a training run')
    source.add_argument('--weights', type=Path, help='.weights.h5 file with its bundle beside it, '
                        'or fold_<i>.npz of a benchmark')
    parser.add_argument('--member', type=count_from(0), default=0, help='which member of the run')
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
    parser.add_argument('--limit', type=count_from(1), default=2000,
                        help='most windows to look at')
    parser.add_argument('--step', type=count_from(1), default=1,
                        help='frames dropped at a time')
    options = parser.parse_args(arguments)
    goes_with(parser, options, 'run', 'member')
    path: Path = options.run or options.weights
    with one_line_errors(parser, OSError, ValueError, IndexError, VideoError):
        network = load_act(path, options.member)
        if unknown := sorted(set(options.labels) - set(network.labels)):
            raise ValueError(f'the network does not know the labels {", ".join(unknown)}; it knows '
                             f'{", ".join(network.labels)}')
        name, extractor, split = path.name.removesuffix(WEIGHTS), 'openpose', 1
        if path.suffix == '.npz':  # <extractor>/split_<s>/<model>/fold_<i>.npz
            extractor, folder, model, _ = path.absolute().parts[-4:]
            split, fold = int(folder.removeprefix('split_')), path.stem.removeprefix('fold_')
            name = f'{model}, {extractor} split {split}, fold {fold}'
        if len(options.data) > 1 and any(data.is_dir() for data in options.data):
            raise ValueError('--data names one folder, or sequence files')
        released = bool(options.weights) and options.data[0].is_dir()
        if (options.extractor or options.split) and not released:
            raise ValueError('--extractor and --split go with --weights and a folder of MPOSE2021')
        if options.mpose_order and options.data[0].is_dir():
            raise ValueError('--mpose-order goes with sequence files')
        if not options.data[0].is_dir():
            windows = cut_windows(load_sequences(
                options.data, network.labels, options.mpose_order), network, options.limit)
        elif options.run:
            config = read_run(options.run)
            sequences, folds = load_data(config, options.data[0], options.run)
            fold = config.held_back_folds[options.member]
            if fold >= 0:  # the final network has seen everybody
                sequences = sequences.select(is_held_back(config, sequences, folds, fold))
            windows = cut_windows(sequences, network, options.limit)
        else:
            windows = released_windows(
                network, options.data[0], options.extractor or extractor, options.split or split,
                options.limit)
        if absent := [x for x in options.labels
                      if network.labels.index(x) not in windows.label]:
            raise ValueError(f'the data hold no clip of {", ".join(absent)}')
        options.output.mkdir(parents=True, exist_ok=True)
        introspect(network, windows, options.output, name, options.labels, options.step)
        if options.video:
            draw_class_attention(options.output / 'video_attention.png',
                                 [watched(network, video) for video in options.video], name)
    pictures = ', '.join(sorted(path.name for path in options.output.glob('*.png')))
    print(f'wrote {printable(pictures, 1000)} to '
          f'{printable(options.output)}')


if __name__ == '__main__':
    main()
