"""
Skeletons as others publish them become a sequence file.

    python -m training.datasets.foreign pyskl ntu60_hrnet.pkl --names ntu60.txt --output ntu60.npz
    python -m training.datasets.foreign ntu FOLDER --names ntu60.txt --output ntu60.npz
    python -m training.datasets.foreign kinetics FOLDER --output kinetics.npz

============  ====================================================================================
``pyskl``     annotation files (``.pkl``) of pyskl and mmaction2, with COCO's 17 key points or the
              25 joints of NTU RGB+D
``ntu``       NTU RGB+D's ``.skeleton`` text files
``kinetics``  Kinetics-Skeleton's ``.json`` files (ST-GCN), with the 18 key points of OpenPose
============  ====================================================================================

``--names`` is a text file with the name of a class in each line. What of it a model shall know is
said by the ``labels`` of a training, what it calls otherwise by its ``relabelled``. Of several
people the one is taken who is seen most, and of those seen alike who moves most.

Annotation files are pickles, which may run any program when they are opened by `pickle.load`. Here
nothing but numbers, texts, lists, tuples, dictionaries and arrays of numbers is let in.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.core.arguments import one_line_errors, positive
from act_ros.core.skeletons import get_layout
from act_ros.core.text import printable
from training.datasets.skeletons import UNKNOWN, DataError, Take, write_sequences

_NTU_JOINTS = {  # of the 25, numbered from 0: those of mpose13_openpose
    'head': 3, 'r_shoulder': 8, 'r_elbow': 9, 'r_wrist': 10, 'l_shoulder': 4, 'l_elbow': 5,
    'l_wrist': 6, 'r_hip': 16, 'r_knee': 17, 'r_foot': 18, 'l_hip': 12, 'l_knee': 13, 'l_foot': 14}
_NTU_ORDER = [_NTU_JOINTS[joint] for joint in get_layout('mpose13_openpose').joints]
_NTU_NAME = re.compile(r'S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})')
_NTU_NUMBERS = 12  # of a joint's line: x, y, z, four of pixels, four of a turn, and the state

_KINETICS_SIZE = (340, 256)
"""Pixels of the pictures, in parts of which Kinetics-Skeleton has its coordinates."""

_SHORTEST = 8
"""Frames: shorter sequences say nothing of an action."""

Read = Callable[[Path, float], Iterator[tuple[Take, str]]]


def read_pyskl(path: Path, fps: float) -> Iterator[tuple[Take, str]]:
    """
    Yield the sequences of an annotation file, each with its layout.

    :raises DataError: it holds anything but plain values and arrays, or is no annotation file.
    """
    content = load_plain(path)
    annotations = content.get('annotations') if isinstance(content, dict) else content
    if not isinstance(annotations, list):
        raise DataError(f'{path} holds no list of annotations')
    for number, annotation in enumerate(annotations):
        try:
            name, label = str(annotation['frame_dir']), int(annotation['label'])
            keypoints = np.asarray(annotation['keypoint'], np.float32)
            _, _, joints, axes = keypoints.shape
            score = annotation.get('keypoint_score', np.ones(keypoints.shape[:-1]))
            score = np.asarray(score, np.float32).reshape(*keypoints.shape[:-1], 1)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f'{path}: annotation {number} cannot be read ({error!r})') from error
        if (joints, axes) == (25, 3):
            joined, layout = _from_kinect(keypoints), 'mpose13_3d'
        elif (joints, axes) == (17, 2):
            joined, layout = np.concatenate([keypoints, score], axis=-1), 'coco17_2d'
        else:
            raise DataError(f'{path}: {joints} joints of {axes} numbers are neither COCO key '
                            f'points nor the joints of NTU RGB+D')
        if joined.any():
            yield _take(joined, fps, label, name, layout == 'mpose13_3d'), layout


def read_ntu(path: Path, fps: float) -> Iterator[tuple[Take, str]]:
    """Yield the sequence of a ``.skeleton`` file, if anybody is in it."""
    match = _NTU_NAME.search(path.stem)
    if not match:
        raise DataError(f'{path}: names of NTU RGB+D read SsssCcccPpppRrrrAaaa')
    lines = iter(path.read_text(encoding='utf-8').split('\n'))
    bodies: dict[str, np.ndarray] = {}
    try:
        count = int(next(lines))
        for frame in range(count):
            for _ in range(int(next(lines))):
                body = next(lines).split()[0]
                joints = np.array([next(lines).split() for _ in range(int(next(lines)))], float)
                if joints.shape != (25, _NTU_NUMBERS):
                    raise ValueError(f'joints of shape {joints.shape}')
                bodies.setdefault(body, np.zeros((count, 25, 3), np.float32))[frame] = joints[:, :3]
    except (StopIteration, IndexError, ValueError) as error:
        raise DataError(f'{path} is damaged or cut off ({error!r})') from error
    if bodies:
        yield _take(_from_kinect(np.stack(list(bodies.values()))), fps, int(match[5]) - 1,
                    match[0], is_deep=True), 'mpose13_3d'


def read_kinetics(path: Path, fps: float) -> Iterator[tuple[Take, str]]:
    """Yield the sequence of a ``.json`` file, if anybody is in it."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        label, name = int(content['label_index']), str(content['label'])
        frames = [[(np.reshape(person['pose'], (18, 2)), np.reshape(person['score'], (18, 1)))
                   for person in frame['skeleton']] for frame in content['data']]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path} is no file of Kinetics-Skeleton ({error!r})') from error
    # Nobody is told apart from frame to frame: who is nearest is taken to be the same.
    track = np.zeros((1, len(frames), 18, 3), np.float32)
    last = None
    for i, people in enumerate(frames):
        if not people:
            continue
        poses = [np.concatenate([pose * _KINETICS_SIZE, score], axis=-1) for pose, score in people]
        worth = [pose[:, 2].sum() if last is None else
                 -np.linalg.norm(pose[:, :2] - last[:, :2], axis=-1).mean() for pose in poses]
        last = track[0, i] = poses[int(np.argmax(worth))]
    if last is not None:
        take = _take(track, fps, label, path.stem)
        take.source_label = name
        yield take, 'coco18_2d'


READERS: dict[str, tuple[str, Read]] = {
    'pyskl': ('.pkl', read_pyskl), 'ntu': ('.skeleton', read_ntu),
    'kinetics': ('.json', read_kinetics)}
"""By format: the suffix of its files, and what reads one."""


def _from_kinect(joints: np.ndarray) -> np.ndarray:
    """Return the 13 joints of Kinect v2's 25: its x grows to the sensor's left, its y upwards."""
    return joints[..., _NTU_ORDER, :] * np.array([-1, -1, 1], np.float32)


def _take(
    people: np.ndarray, fps: float, label: int, name: str, is_deep: bool = False,
) -> Take:
    """Choose one of several people (M, T, K, 3), and the frames in which they are seen."""
    seen = (people != 0).any(axis=(-2, -1))
    moves = np.abs(np.diff(people[..., :2], axis=1)).sum(axis=(1, 2, 3))
    person = int(np.lexsort((moves, seen.sum(axis=1)))[-1])
    frames = np.flatnonzero(seen[person])
    if is_deep:  # without scores what is not seen would be taken as seen
        frames = max(np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1), key=len)
    else:
        frames = np.arange(frames[0], frames[-1] + 1)
    match = _NTU_NAME.search(name)
    return Take(people[person, frames], fps, label, '', f'p{match[3]}' if match else '', name,
                f'c{match[2]}' if match else '')


class _NumberType:
    """Stands in for NumPy's dtype in a pickle: numbers only."""

    def __init__(self, kind: str, *_: Any) -> None:
        if not re.fullmatch(r'[<>|=]?[?bifu]\d{0,2}', str(kind)):
            raise pickle.UnpicklingError(f'arrays of {kind!r} are no plain values')
        self.dtype = np.dtype(str(kind))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder('>' if state[1] == '>' else '<')


class _Array:
    """Stands in for an array in a pickle, whose state are its shape, type and bytes."""

    def __init__(self, *_: Any) -> None:
        self.values = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        self.values = _from_buffer(content, kind, shape, 'F' if is_fortran else 'C')

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype)


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _NumberType) or not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError('an array without numbers')
    return np.frombuffer(bytes(content), kind.dtype).reshape(
        tuple(map(int, shape)), order='F' if order == 'F' else 'C')


def _scalar(kind: Any, content: Any) -> Any:
    return _from_buffer(content, kind, (1,), 'C')[0]


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes, which old pickles hold as text."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'text encoded as {encoding!r}')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    return b''


_LET_IN: dict[tuple[str, str], Any] = {
    ('numpy.core.multiarray', '_reconstruct'): _Array,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy.core.numeric', '_frombuffer'): _from_buffer,
    ('numpy', 'ndarray'): _Array, ('numpy', 'dtype'): _NumberType, ('_codecs', 'encode'): _encode,
    ('__builtin__', 'bytes'): _no_bytes}
"""What stands in for the functions and classes that arrays of numbers are pickled with."""


class _PlainUnpickler(pickle.Unpickler):
    """Lets plain values and arrays of numbers in, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace('numpy._core', 'numpy.core'), name
        if place not in _LET_IN:
            raise pickle.UnpicklingError(f'{module}.{name} is no plain value')
        return _LET_IN[place]


def load_plain(path: Path) -> Any:
    """
    Return what a pickle holds, if it is nothing but plain values and arrays of numbers.

    :raises DataError: it holds, or is, anything else.
    """
    try:
        return _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # of a damaged pickle come errors of any kind
        raise DataError(f'{path} is not an annotation file of plain values and arrays ({error})'
                        ) from error


def convert(
    form: str, sources: Iterable[Path], output: Path, names: Sequence[str] = (), fps: float = 30.0,
) -> int:
    """
    Write the sequences of files, or of folders full of them; return how many there are.

    :param form: one of `READERS`.
    :param names: of the classes; by default those that the files tell, or else their numbers.
    """
    suffix, read = READERS[form]
    takes, layouts = [], set()
    for source in sources:
        files = sorted(source.rglob(f'*{suffix}')) if source.is_dir() else [source]
        for take, layout in (found for path in files for found in read(path, fps)):
            if len(take.joints) >= _SHORTEST:
                takes.append(take)
                layouts.add(layout)
    if not takes:
        raise DataError('nobody was seen long enough in any of the files')
    if len(layouts) > 1:
        raise DataError(f'one file has one layout, here are {", ".join(sorted(layouts))}')
    (layout,) = layouts
    told = {take.label: take.source_label for take in takes if take.source_label}
    first, last = (extreme(take.label for take in takes) for extreme in (min, max))
    if first < UNKNOWN:
        raise DataError(f'class {first}: classes are numbered from 0, {UNKNOWN} is none of them')
    if names and last >= len(names):
        raise DataError(f'class {last} has no name: there are {len(names)}')
    labels = list(names) or [told.get(i, str(i)) for i in range(last + 1)]
    for take in takes:
        if take.label != UNKNOWN:
            take.source_label = labels[take.label]
    write_sequences(output, takes, layout, labels)
    return len(takes)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Skeletons as others publish them become a sequence file.')
    parser.add_argument('format', choices=READERS, help='what the files are')
    parser.add_argument('source', type=Path, nargs='+', help='files, or folders full of them')
    parser.add_argument('--output', type=Path, required=True, help='the sequence file, .npz')
    parser.add_argument('--names', type=Path, help='text file: the name of a class in each line')
    parser.add_argument('--fps', type=positive, default=30.0, help='frames a second of the clips')
    options = parser.parse_args(arguments)
    if options.output.suffix != '.npz':
        parser.error('--output must end in .npz')
    with one_line_errors(parser, OSError, ValueError):
        names = options.names.read_text(encoding='utf-8').split('\n') if options.names else []
        names = [name.strip() for name in names if name.strip()]
        count = convert(options.format, options.source, options.output, names, options.fps)
    print(f'wrote {count} sequences to {printable(options.output)}')


if __name__ == '__main__':
    main()
