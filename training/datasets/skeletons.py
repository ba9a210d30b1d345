"""
Skeleton sequences with labels and actors, and how they are split between training and test.

The file format is a compressed ``.npz`` without pickled objects:

================  ====================  ==========================================================
``joints``        float (frames, J, 3)  all sequences one after another: x, y, z or x, y, score
``offsets``       int64 (n + 1,)        sequence i is ``joints[offsets[i]:offsets[i + 1]]``
``label``         int (n,)              class index, -1 = another action (to reject the unknown)
``fps``           float32 (n,)          frames a second
``layout``        str (1,)              one of ``LAYOUTS`` below
``actor``         str (n,)              person, '' where unknown
``take``          str (n,)              clip; parts of one clip share the text before ``#``
``view``          str (n,), optional    camera, style or ''
``source_label``  str (n,), optional    the source's own name of the action
``labels``        str (C,), optional    names of the classes, where they are not those of MPOSE2021
``source``        str (n,), optional    source of each clip; by default the file's name
``group``         str (n,), optional    what no split may cross, in all files: by default the person
================  ====================  ==========================================================
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.actions.features import reduce_joints
from act_ros.core.files import replacing
from act_ros.core.skeletons import LAYOUTS as KEYPOINT_LAYOUTS
from act_ros.core.skeletons import get_layout
from training.checkpoint import UNREADABLE
from training.datasets.labels import MPOSE_LABELS

JOINTS = get_layout('mpose13_coco').joints
"""The 13 joints of `Sequences.joints`, in order."""


def joints_of(*parts: str) -> list[int]:
    """Return the numbers of parts of the body: the left one of each, then the right one."""
    return [JOINTS.index(f'{side}_{part}') for part in parts for side in 'lr']


LAYOUTS = {
    'mpose13_3d': ('mpose13_openpose', True),
    'mpose13_2d': ('mpose13_openpose', False),
    **{f'{layout}_2d': (layout, False) for layout in KEYPOINT_LAYOUTS
       if layout != 'mpose13_openpose'},
}
"""Layout in a file: the keypoint layout whose joint order it has, and whether z is a depth."""

MPOSE_ORDER = 'files that do not name their classes have those of MPOSE2021, in its order'
"""What the option of that name means."""

UNKNOWN = -1
"""Label of an action that is none of the classes."""

# Takes of unknown people whose numbers are near are often cut from one film: they stay together.
_NEIGHBOURS = 8


class DataError(ValueError):
    """A sequence file that cannot be used; the message says which, why and what to do."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """
    N skeleton sequences, one after another in ``joints``.

    ``joints`` (frames, 13, 4) float32 holds x, y, z, score in the order of ``JOINTS``; metres for
    3D sequences, any unit and z = 0 for flat ones. ``group`` names what must not be split: a
    person, or for unknown people a film. ``is_detected`` (N,) bool tells which are answers of a
    pose network, with its errors, and not marks or measurements.
    """

    joints: np.ndarray
    offsets: np.ndarray
    label: np.ndarray
    fps: np.ndarray
    flat: np.ndarray
    source: np.ndarray
    source_label: np.ndarray
    group: np.ndarray
    take: np.ndarray
    view: np.ndarray
    is_detected: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    @property
    def lengths(self) -> np.ndarray:
        """Frames (N,) of each sequence."""
        return np.diff(self.offsets)

    @property
    def duration(self) -> np.ndarray:
        """Seconds (N,) from the first to the last frame."""
        return (self.lengths - 1) / self.fps

    def select(self, chosen: np.ndarray) -> Sequences:
        """Return the sequences at the given indices (n,), or where a mask (N,) is true."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        frames, offsets = gather(self.offsets[index], self.lengths[index])
        rest = {f.name: getattr(self, f.name)[index] for f in fields(self)
                if f.name not in ('joints', 'offsets')}
        return Sequences(joints=self.joints[frames], offsets=offsets, **rest)


def gather(first: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (M,) of stretches, by first frame and length (n,), and offsets (n + 1,)."""
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths), offsets


def concatenate(parts: Sequence[Sequences]) -> Sequences:
    """Join several sets of sequences."""
    lengths = np.concatenate([part.lengths for part in parts])
    rest = {f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(Sequences) if f.name != 'offsets'}
    return Sequences(offsets=np.concatenate(([0], np.cumsum(lengths))), **rest)


def load_sequences(
    paths: Iterable[str | Path], labels: Sequence[str] = MPOSE_LABELS, mpose_order: bool = False,
) -> Sequences:
    """
    Read and check sequence files.

    :param labels: the classes of the model. Names decide: the classes of each file are renumbered,
        and what is none of the model's becomes `UNKNOWN`.
    :param mpose_order: files without names are numbered as MPOSE2021 is. Where the model's classes
        are MPOSE2021's that goes without saying.
    :raises DataError: for a missing or broken file, wrong shapes, values that are not finite,
        labels without names or out of range, an empty sequence, or a take that occurs twice.
    """
    parts = [_load(Path(path), tuple(labels), mpose_order) for path in paths]
    if not parts:
        raise DataError('no sequence file given')
    return concatenate(parts)


def classes_in(paths: Iterable[str | Path]) -> set[str]:
    """Return the names of the classes that sequence files, which can be loaded, have clips of."""
    found: set[str] = set()
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            names = file['labels'] if 'labels' in file else MPOSE_LABELS
            found |= {str(names[i]) for i in np.unique(file['label']) if i != UNKNOWN}
    return found


def _load(path: Path, labels: tuple[str, ...], mpose_order: bool) -> Sequences:
    try:
        data = _read(path)
        layout = str(np.ravel(data['layout'])[0])
        if layout not in LAYOUTS:
            raise DataError(f'has layout {layout!r}; known: {", ".join(LAYOUTS)}')
        keypoint_layout, deep = LAYOUTS[layout]
        _check_joints(data, layout, len(get_layout(keypoint_layout).joints))
        label = _numbered(data, labels, mpose_order)
        count = len(label)
        data = {'view': np.full(count, ''), 'source_label': np.full(count, ''),
                'source': np.full(count, path.stem), **data}
        fps = data['fps'].astype(np.float64)
        _check_clips(data, fps)
    except DataError as error:
        raise DataError(f'{path}: {error}') from error
    return Sequences(
        joints=_reduce(data['joints'].astype(np.float32), keypoint_layout, deep),
        offsets=data['offsets'].astype(np.int64), label=label.astype(np.int64), fps=fps,
        flat=np.full(count, not deep), source=data['source'],
        source_label=data['source_label'],
        group=data['group'] if 'group' in data else _groups(
            path.stem, data['actor'], data['take'], data['source_label']),
        take=data['take'], view=data['view'],
        # Flat joints are a pose network's, but for the 13 of sources that marked them by hand.
        is_detected=np.full(count, not deep and layout != 'mpose13_2d'))


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, if all that are needed are there."""
    if not path.is_file():
        raise DataError('no such file')
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {key: np.atleast_1d(archive[key]) for key in archive.files}
    except UNREADABLE as error:
        raise DataError(f'is not a readable .npz file ({error})') from error
    needed = ('joints', 'offsets', 'label', 'fps', 'layout', 'actor', 'take')
    if missing := [key for key in needed if key not in data]:
        raise DataError(f'lacks the arrays {", ".join(missing)}')
    return data


def _check_joints(data: dict[str, np.ndarray], layout: str, expected: int) -> None:
    """Check the joints, of which a layout has so many, and how they are cut into sequences."""
    joints, offsets, label = data['joints'], data['offsets'], data['label']
    if joints.ndim != 3 or joints.shape[1:] != (expected, 3):
        raise DataError(f'joints must be (frames, {expected}, 3) for {layout}, not {joints.shape}')
    if not np.issubdtype(joints.dtype, np.floating):
        raise DataError(f'joints must be floating point, not {joints.dtype}')
    if label.ndim != 1:
        raise DataError(f'label must be (n,), not {label.shape}')
    if offsets.shape != (len(label) + 1,) or not np.issubdtype(offsets.dtype, np.integer):
        raise DataError(f'offsets must be {len(label) + 1} integers for {len(label)} labels, not '
                        f'{offsets.dtype} {offsets.shape}')
    if offsets[0] != 0 or offsets[-1] != len(joints) or (np.diff(offsets) < 1).any():
        raise DataError('offsets must ascend from 0 to the number of frames; no sequence may be '
                        'empty')
    bad = ~np.isfinite(joints).all(axis=(1, 2))
    if bad.any():
        first = int(np.searchsorted(offsets, np.argmax(bad), side='right') - 1)
        raise DataError(f'sequence {first} ({data["take"][first]}) holds NaN or infinite joints')


def _numbered(
    data: dict[str, np.ndarray], labels: tuple[str, ...], mpose_order: bool,
) -> np.ndarray:
    """Return the label (n,) of each sequence, numbered as in ``labels``."""
    label = data['label']
    if not np.issubdtype(label.dtype, np.integer):
        raise DataError(f'label must be integers, not {label.dtype}')
    names = tuple(map(str, data['labels'])) if 'labels' in data else ()
    if not names and (mpose_order or labels == MPOSE_LABELS or not len(label) or label.max() < 0):
        names = MPOSE_LABELS
    if not names:
        raise DataError(
            'names no classes, and those of the model are not those of MPOSE2021: add the array '
            'labels, or say that they are numbered as there (mpose_order: true in a '
            'configuration, --mpose-order of a command)')
    if len(label) and (label.min() < UNKNOWN or label.max() >= len(names)):
        raise DataError(f'labels must lie in [-1, {len(names) - 1}], found '
                        f'{label.min()} to {label.max()}')
    # UNKNOWN is -1: the last entry.
    return np.array([labels.index(name) if name in labels else UNKNOWN for name in names]
                    + [UNKNOWN])[label]


def _check_clips(data: dict[str, np.ndarray], fps: np.ndarray) -> None:
    """Check what is said of each sequence, and that none is there twice."""
    count = len(data['label'])
    for key in ('fps', 'actor', 'take', 'view', 'source_label', 'source'):
        if len(data[key]) != count:
            raise DataError(f'{key} has {len(data[key])} entries for {count} sequences')
    if not (np.isfinite(fps) & (fps > 0)).all():
        raise DataError('fps must be positive')
    takes, times = np.unique(data['take'], return_counts=True)
    if (times > 1).any():
        raise DataError(f'take {str(takes[times > 1][0])!r} occurs more than once; the same clip '
                        f'twice? Parts of one clip are told apart after a "#"')


@dataclass(eq=False)
class Take:
    """A sequence on its way into a file: joints (T, K, 3) and what the file says of it."""

    joints: np.ndarray
    fps: float
    label: int
    source_label: str
    actor: str
    take: str
    view: str = ''


def write_sequences(
    path: Path, takes: Sequence[Take], layout: str, labels: Sequence[str], **arrays: Any,
) -> None:
    """
    Write a sequence file as a whole.

    :param layout: one of `LAYOUTS`.
    :param labels: names of the classes that ``Take.label`` numbers.
    :param arrays: optional ones of the format, such as ``group`` (n,).
    """
    texts: dict[str, Any] = {name: np.array([str(getattr(take, name)) for take in takes])
                             for name in ('source_label', 'actor', 'take', 'view')}
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary, joints=np.concatenate([take.joints for take in takes]).astype(np.float32),
            offsets=np.cumsum([0, *(len(take.joints) for take in takes)]),
            label=np.array([take.label for take in takes], np.int16), labels=np.array(labels),
            fps=np.array([take.fps for take in takes], np.float32), layout=np.array([layout]),
            **texts, **arrays)


def _reduce(joints: np.ndarray, layout: str, deep: bool) -> np.ndarray:
    """Bring joints (frames, J, 3) to (frames, 13, 4): x, y, z, score."""
    out = np.zeros((len(joints), len(JOINTS), 4), np.float32)
    flat = reduce_joints(joints[..., :2] if deep else joints, layout, JOINTS)
    out[..., :2], out[..., 3] = flat[..., :2], flat[..., 2]
    if deep:
        out[..., 2] = reduce_joints(joints[..., [2, 2]], layout, JOINTS)[..., 0]
    return out


def _groups(
    source: str, actor: np.ndarray, take: np.ndarray, source_label: np.ndarray,
) -> np.ndarray:
    """
    Name what a split must keep together: ``source:actor``.

    Where the actor is unknown, neighbouring takes of one action count as one person.
    """
    groups = np.char.add(f'{source}:', actor.astype(str)).astype(object)
    for action in np.unique(source_label):
        nameless = np.flatnonzero((actor == '') & (source_label == action))
        clips = np.array([str(t).split('#')[0] for t in take[nameless]])
        number = np.unique(clips, return_inverse=True)[1]
        for i, block in zip(nameless, number // _NEIGHBOURS, strict=True):
            groups[i] = f'{source}:?{action.split("/")[0]}-{block}'
    return groups.astype(str)


def assign_folds(sequences: Sequences, num_folds: int, seed: int) -> np.ndarray:
    """
    Give every sequence a fold (N,) so that no person is in two.

    Each source's people are dealt out in turn, so every fold sees every source; where that leaves
    a fold without people, as of sources of one person each, all are dealt out in one turn. Raises
    DataError where there are fewer people than folds.
    """
    dealt: dict[str, int] = {}
    for source in np.unique(sequences.source):
        # Of its own chance: another source more or less leaves the folds of this one alone.
        rng = np.random.default_rng([seed, zlib.crc32(str(source).encode())])
        start = int(rng.integers(num_folds))
        people = np.unique(sequences.group[sequences.source == source])
        for place, person in enumerate(rng.permutation(people)):
            dealt.setdefault(str(person), (start + place) % num_folds)
    if len(set(dealt.values())) < num_folds:
        dealt = {person: place % num_folds for place, person in enumerate(dealt)}
    folds = np.array([dealt[str(person)] for person in sequences.group], np.int64)
    if len(dealt) < num_folds:
        raise DataError(
            f'{num_folds} folds need as many people, the data hold {len(dealt)}: each is held '
            f'back once to measure on people never seen. Add recordings of others, or lower folds '
            f'(2 are the least)')
    return folds


def check_disjoint(train: Sequences, test: Sequences) -> None:
    """Raise DataError when a person is on both sides of a split."""
    both = np.intersect1d(train.group, test.group)
    if len(both):
        raise DataError(f'{len(both)} people are on both sides of the split, e.g. {both[0]}')
