"""
MPOSE2021 as released: https://zenodo.org/record/5906977, https://arxiv.org/abs/2107.00606.

``<folder>/<extractor>/<split>/`` holds ``X_train.npy`` (n, 30, K, 3: x, y, score), ``y_train.npy``
(n,), ``X_test.npy``, ``y_test.npy`` and ``<split>.txt``, a line ``name<TAB>train|test`` a sample.
Names read ``source_actor_action_video-first-last``. The ``mpose`` package keeps them below
``~/.mpose``.
"""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from act_ros.actions.features import MPOSE, extract_features
from act_ros.core.skeletons import get_layout
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import DataError

NUM_FRAMES, FRAME_RATE = 30, 30.0
"""Of every clip: its frames, and frames a second."""
SPLITS = (1, 2, 3)
LAYOUTS = {'openpose': 'body25', 'posenet': 'coco17', 'movenet': 'coco17'}
"""Pose extractor: the layout of its arrays."""

PAPER_LAYOUTS = {'openpose': 'mpose13_openpose', 'posenet': 'coco17', 'movenet': 'mpose13_coco'}
"""Pose extractor: the layout of the paper's features (PoseNet kept its 17 joints)."""

SEEDS = (11331, 11435, 12123, 53453, 42344, 24234, 65747, 84443, 29345, 99543)
"""Seeds of the validation sets of the ten folds, as the authors' configuration has them."""

NUM_SAMPLES, NUM_TEST_1 = 15_429, 2_867
"""Samples of MPOSE2021 (OpenPose) in every split together, and those of split 1's test."""

ARRAYS = ('X_train.npy', 'y_train.npy', 'X_test.npy', 'y_test.npy')
"""Files of a split: its poses and labels."""

CACHE = Path('~/.mpose')
_URL = 'https://zenodo.org/record/5906977/files/{}.zip'


@dataclass(frozen=True, eq=False)
class MposeSplit:
    """
    A split as the networks see it.

    ``x_train`` (n, 30, F) and ``x_test`` are float32 features in the layout ``layout``, ``y_train``
    (n,) and ``y_test`` class numbers.
    """

    split: int
    layout: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    normalisation: str = MPOSE


def load_mpose(
    extractor: str = 'openpose', split: int = 1, folder: str | Path | None = None,
    output_layout: str | None = None, normalisation: str = MPOSE,
) -> MposeSplit:
    """
    Read a split, check it and make features of it.

    :param folder: where ``<extractor>/<split>/`` is; by default the cache of the ``mpose``
        package, which downloads what is missing there.
    :param output_layout: layout of the features; by default the paper's (`PAPER_LAYOUTS`).
    :param normalisation: what the features are, see `training.models.normalisation_of`.
    :raises DataError: for a file that is missing or broken, arrays of a wrong shape or type, values
        that are not finite, labels out of range, a class without samples, lists that do not fit,
        or an actor both in training and test.
    """
    place = _locate(extractor, split, folder)
    arrays = {}
    for part in ('train', 'test'):
        arrays[f'x_{part}'] = _load_poses(place / f'X_{part}.npy', extractor)
        arrays[f'y_{part}'] = _load_labels(place / f'y_{part}.npy', len(arrays[f'x_{part}']))
    _check_names(place / f'{split}.txt', len(arrays['x_train']), len(arrays['x_test']))
    _check_counts(place, extractor, split, len(arrays['x_train']), len(arrays['x_test']))
    layout = output_layout or PAPER_LAYOUTS[extractor]
    try:
        for part in ('x_train', 'x_test'):
            arrays[part] = extract_features(
                arrays[part], LAYOUTS[extractor], layout,
                normalisation).astype(np.float32, copy=False)
    except ValueError as error:
        raise DataError(f'{place}: {error}') from error
    return MposeSplit(split, layout, **arrays, normalisation=normalisation)


def files_of(
    extractor: str, split: int, folder: str | Path | None = None,
) -> dict[str, Path]:
    """Return the files of a split that are learned from and measured on, by name."""
    place = _locate(extractor, split, folder)
    return {name: place / name for name in ARRAYS}


def load_test_poses(
    extractor: str, split: int, folder: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the poses (n, 30, K, 3) of a split's test samples in pixels, and their labels (n,).

    :param folder: as for `load_mpose`, of whose errors those of these two files are raised.
    """
    place = _locate(extractor, split, folder)
    poses = _load_poses(place / 'X_test.npy', extractor)
    return poses, _load_labels(place / 'y_test.npy', len(poses))


def split_validation(
    labels: np.ndarray, fold: int, share: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the indices of a fold's training and validation samples, stratified by labels (N,).

    The protocol's fold is a random ``share`` of the training samples drawn with ``SEEDS[fold]``.
    """
    from sklearn.model_selection import train_test_split

    if not 0 <= fold < len(SEEDS):
        raise ValueError(f'fold must lie in [0, {len(SEEDS) - 1}], not {fold}')
    try:
        train, validation = train_test_split(
            np.arange(len(labels)), test_size=share, random_state=SEEDS[fold], stratify=labels)
    except ValueError as error:
        raise DataError(f'{len(labels)} training samples are too few for {share:.0%} of validation '
                        f'samples of every class ({error})') from error
    return train, validation


def sample_actor(name: str) -> str | None:
    """Return ``source_actor`` of a sample's name, or None if the name does not say."""
    parts = name.split('_')
    return '_'.join(parts[:2]) if len(parts) >= 4 and all(parts[:3]) else None


def _locate(extractor: str, split: int, folder: str | Path | None) -> Path:
    """Return the folder of a split that has all its files, downloading it if none is named."""
    if extractor not in LAYOUTS:
        raise DataError(f'unknown pose extractor {extractor!r}; known: {", ".join(LAYOUTS)}')
    if split not in SPLITS:
        raise DataError(f'unknown split {split!r}; known: 1, 2 and 3')
    root = Path(folder or CACHE).expanduser()
    place = root / extractor / str(split)
    files = [place / name for name in (*ARRAYS, f'{split}.txt')]
    reason = ''
    if folder is None and not all(file.is_file() for file in files):
        reason = _download(extractor, split, root)
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(
            f'{place} lacks {", ".join(missing)}{reason}. Download {_URL.format(extractor)} and '
            f'unpack it into {root}, so that these files lie there: {", ".join(map(str, files))}')
    return place


def _download(extractor: str, split: int, root: Path) -> str:
    """Let the ``mpose`` package download; return why that did not work, for a message."""
    archive = root / f'{extractor}.zip'
    if archive.is_file() and not zipfile.is_zipfile(archive):
        return f' and {archive} is the rest of an interrupted download: remove it'
    try:
        from mpose import MPOSE
    except ImportError:
        return ' (with `pip install mpose` they are downloaded)'
    try:
        MPOSE(pose_extractor=extractor, split=split, preprocess=None, verbose=False)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        return f' and the download failed ({error})'
    return ''


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f'{path} is damaged or incomplete ({error}): remove it and unpack the '
                        f'download again') from error


def _load_poses(path: Path, extractor: str) -> np.ndarray:
    poses, joints = _load(path), len(get_layout(LAYOUTS[extractor]).joints)
    if poses.ndim != 4 or poses.shape[1:] != (NUM_FRAMES, joints, 3):
        raise DataError(f'{path} must be (n, {NUM_FRAMES}, {joints}, 3), not {poses.shape}')
    if not np.issubdtype(poses.dtype, np.floating):
        raise DataError(f'{path} must hold floating point numbers, not {poses.dtype}')
    finite = np.isfinite(poses).all(axis=(1, 2, 3))
    if not finite.all():
        raise DataError(f'{path}: sample {int(np.argmin(finite))} holds NaN or infinite values')
    if poses.size and np.abs(poses[..., :2]).max() <= 2:
        raise DataError(f'{path} holds coordinates up to {np.abs(poses[..., :2]).max():.3g}: they '
                        f'must be in pixels, not in parts of the image')
    return poses


def _load_labels(path: Path, count: int) -> np.ndarray:
    labels, classes = _load(path), len(MPOSE_LABELS)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f'{path} must be a row of integers, not {labels.dtype} {labels.shape}')
    if len(labels) != count:
        raise DataError(f'{path} has {len(labels)} labels for {count} samples of '
                        f'{path.name.replace("y_", "X_")}')
    labels = labels.astype(np.int64)
    if count and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f'{path}: labels must lie in [0, {classes - 1}], found '
                        f'{labels.min()} to {labels.max()}')
    if absent := [name for i, name in enumerate(MPOSE_LABELS) if i not in labels]:
        raise DataError(f'{path} has no sample of {", ".join(absent)}')
    return labels


def _check_counts(place: Path, extractor: str, split: int, num_train: int, num_test: int) -> None:
    """Warn of arrays that are not the released ones, as far as their numbers are known."""
    if extractor != 'openpose':
        return
    if num_train + num_test != NUM_SAMPLES or (split == 1 and num_test != NUM_TEST_1):
        text = f'{NUM_SAMPLES - NUM_TEST_1:,} and {NUM_TEST_1:,}' if split == 1 else (
            f'{NUM_SAMPLES:,} together')
        warnings.warn(
            f'{place} holds {num_train:,} training and {num_test:,} test samples, MPOSE2021 as '
            f'released {text}: results do not compare with the paper', stacklevel=3)


def _check_names(path: Path, num_train: int, num_test: int) -> None:
    """Check the list of samples against the arrays, and that no actor is on both sides."""
    names: dict[str, list[str]] = {'train': [], 'test': []}
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} cannot be read ({error})') from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, side = line.partition('\t')
        if side.strip() not in names:
            raise DataError(f'{path}:{number} must be a name, a tab and "train" or "test", not '
                            f'{line!r}')
        names[side.strip()].append(name)
    for side, count in (('train', num_train), ('test', num_test)):
        if len(names[side]) != count:
            raise DataError(f'{path} lists {len(names[side])} {side} samples, X_{side}.npy has '
                            f'{count}')
    actors = [{a for n in names[side] if (a := sample_actor(n))} for side in ('train', 'test')]
    if both := sorted(actors[0] & actors[1]):
        raise DataError(f'{path}: {", ".join(both)} appear both in train and test')
