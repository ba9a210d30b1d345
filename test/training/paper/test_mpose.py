"""The released MPOSE2021 arrays: features of the mpose package, and all that can be wrong."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from released import write_split

from act_ros.actions.features import SCORED
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import DataError
from training.paper import mpose
from training.paper.mpose import SEEDS, load_mpose, sample_actor, split_validation


@pytest.mark.parametrize(('extractor', 'layout', 'features'), [
    ('openpose', 'mpose13_openpose', 52), ('posenet', 'coco17', 68),
    ('movenet', 'mpose13_coco', 52)])
def test_every_extractor_has_the_papers_features(
    tmp_path: Path, extractor: str, layout: str, features: int,
) -> None:
    write_split(tmp_path, extractor, 2)
    data = load_mpose(extractor, 2, tmp_path)
    assert (data.split, data.layout) == (2, layout)
    assert data.x_train.shape == (200, 30, features)
    assert data.x_test.shape == (60, 30, features)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    np.testing.assert_array_equal(np.bincount(data.y_train), np.full(20, 10))
    np.testing.assert_array_equal(np.bincount(data.y_test), np.full(20, 3))


@pytest.mark.parametrize('extractor', ['openpose', 'posenet', 'movenet'])
def test_equal_to_the_mpose_package_reading_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extractor: str,
) -> None:
    """The package reads, reduces, centres, scales and flattens the same files itself."""
    package = pytest.importorskip('mpose', reason='the mpose package gives the reference')
    monkeypatch.setenv('HOME', str(tmp_path))
    write_split(tmp_path / '.mpose', extractor, 1, train=2, test=1)
    (tmp_path / '.mpose' / f'{extractor}.zip').touch()  # downloaded and unpacked already
    theirs = package.MPOSE(extractor, 1, preprocess=None, velocities=True, verbose=False)
    theirs.reduce_keypoints()
    theirs.scale_and_center()
    theirs.remove_confidence()
    theirs.flatten_features()
    x_train, y_train, x_test, y_test = theirs.get_data()
    ours = load_mpose(extractor, 1, output_layout=mpose.PAPER_LAYOUTS['movenet']
                      if extractor == 'posenet' else None)
    np.testing.assert_allclose(ours.x_train, x_train, atol=1e-5)
    np.testing.assert_allclose(ours.x_test, x_test, atol=1e-5)
    np.testing.assert_array_equal(ours.y_train, y_train)
    np.testing.assert_array_equal(ours.y_test, y_test)


def test_validation_is_stratified_and_fixed() -> None:
    pytest.importorskip('sklearn')
    labels = np.repeat(np.arange(20), 30)
    assert len(SEEDS) == 10
    chosen = []
    for fold in range(10):
        train, validation = split_validation(labels, fold)
        np.testing.assert_array_equal(np.sort(np.r_[train, validation]), np.arange(600))
        np.testing.assert_array_equal(np.bincount(labels[validation]), np.full(20, 3))
        np.testing.assert_array_equal(validation, split_validation(labels, fold)[1])
        chosen.append(frozenset(validation.tolist()))
    assert len(set(chosen)) == 10
    with pytest.raises(ValueError, match='fold'):
        split_validation(labels, 10)
    with pytest.raises(DataError, match='too few'):
        split_validation(np.arange(20), 0)


def test_the_validation_is_that_of_the_authors_call() -> None:
    """`train_test_split` of the samples themselves, with the fold's seed."""
    selection = pytest.importorskip('sklearn.model_selection')
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(20), 12))
    samples = np.arange(len(labels)) * 10
    train, validation = split_validation(labels, 3)
    theirs = selection.train_test_split(
        samples, labels, test_size=0.1, random_state=53453, stratify=labels)
    np.testing.assert_array_equal(samples[train], theirs[0])
    np.testing.assert_array_equal(samples[validation], theirs[1])


def test_actors_are_read_from_names() -> None:
    assert sample_actor('kth_person23_run_361-48-113') == 'kth_person23'
    assert sample_actor('ixmas_andreas3_check-watch_1085-30-59') == 'ixmas_andreas3'
    assert sample_actor('walking') is None
    assert sample_actor('a__b_c') is None


def _save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        np.save(place / name, change(np.load(place / name)))
    return damage


def _with(value: float, *where: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[where] = value
        return array
    return change


def _cut(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).write_bytes((place / name).read_bytes()[:-100])
    return damage


def _rewrite(old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        text = (place / '1.txt').read_text()
        assert old in text
        (place / '1.txt').write_text(text.replace(old, new, count))
    return damage


@pytest.mark.parametrize(('damage', 'message'), [
    (_save('X_train.npy', lambda x: x[:, :29]), r'X_train\.npy must be \(n, 30, 25, 3\), not'),
    (_save('X_test.npy', lambda x: x[:, :, :17]), r'X_test\.npy must be'),
    (_save('X_train.npy', lambda x: x[..., :2]), r'X_train\.npy must be'),
    (_save('X_train.npy', lambda x: x.astype(np.int32)), r'X_train\.npy must hold floating'),
    (_save('X_test.npy', _with(np.nan, 5, 3, 2, 1)), r'X_test\.npy: sample 5 holds NaN'),
    (_save('X_train.npy', _with(np.inf, 0, 0, 0, 2)), r'X_train\.npy: sample 0 holds NaN or inf'),
    (_save('y_train.npy', lambda y: y.astype(float)), r'y_train\.npy must be a row of integers'),
    (_save('y_train.npy', lambda y: y[:, None]), r'y_train\.npy must be a row of integers'),
    (_save('y_test.npy', lambda y: y[1:]), r'y_test\.npy has 59 labels for 60 samples of X_test'),
    (_save('y_train.npy', lambda y: y + 1), r'y_train\.npy: labels .* \[0, 19\], found 1 to 20'),
    (_save('y_train.npy', _with(-1, 0)), r'y_train\.npy: labels .* found -1'),
    (_save('y_train.npy', lambda y: np.where(y == 3, 4, y)), r'y_train\.npy .*scratch-head'),
    (_save('y_test.npy', lambda y: np.where(y == 19, 4, y)), r'y_test\.npy has no sample of run'),
    (_cut('X_train.npy'), r'X_train\.npy is damaged or incomplete .*unpack'),
    (_cut('y_test.npy'), r'y_test\.npy is damaged'),
    (lambda place: (place / 'X_test.npy').write_bytes(b''), r'X_test\.npy is damaged'),
    (lambda place: np.save(place / 'y_train.npy', np.array([{}]), allow_pickle=True),
     r'y_train\.npy is damaged'),
    (_rewrite('person02', 'person01'), r'1\.txt: kth_person01 appear both in train and test'),
    (_rewrite('\ttest\n', '\n', 1), r'1\.txt:1 must be a name, a tab'),
    (_rewrite('\ttest\n', '\tvalidation\n', 1), r'1\.txt:1 must be'),
    (_rewrite('\ttest\n', '\ttrain\n', 1), r'1\.txt lists 201 train samples, X_train.npy has 200'),
])
def test_whatever_is_wrong_is_named(
    tmp_path: Path, damage: Callable[[Path], object], message: str,
) -> None:
    damage(write_split(tmp_path))
    with pytest.raises(DataError, match=message):
        load_mpose(folder=tmp_path)


def test_names_without_actors_are_allowed(tmp_path: Path) -> None:
    place = write_split(tmp_path)
    sides = [line.split('\t')[1] for line in (place / '1.txt').read_text().splitlines()]
    (place / '1.txt').write_text(''.join(f'{i}\t{side}\n' for i, side in enumerate(sides)))
    assert len(load_mpose(folder=tmp_path).y_train) == 200


def test_what_is_missing_and_where_it_goes(tmp_path: Path) -> None:
    place = write_split(tmp_path / 'own')
    (place / 'y_train.npy').unlink()
    with pytest.raises(DataError) as caught:
        load_mpose(folder=tmp_path / 'own')
    assert f'{place} lacks y_train.npy.' in str(caught.value)
    assert str(place / '1.txt') in str(caught.value)
    assert 'openpose.zip' in str(caught.value)
    with pytest.raises(DataError, match='unknown pose extractor'):
        load_mpose('alphapose', 1, tmp_path)
    with pytest.raises(DataError, match='unknown split'):
        load_mpose('openpose', 4, tmp_path)


def test_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted, without a network, and then whole: the package's own download and cache."""
    pytest.importorskip('mpose', reason='the mpose package downloads')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')  # nobody is there
    monkeypatch.delenv('no_proxy', raising=False)
    cache = tmp_path / '.mpose'
    with pytest.raises(DataError, match=r'lacks X_train.*the download failed.*unpack it into'):
        load_mpose()
    (cache / 'openpose.zip').write_bytes(b'PK\x03\x04 the rest never came')
    with pytest.raises(DataError, match=r'openpose\.zip is the rest of an interrupted download'):
        load_mpose()
    place = write_split(tmp_path / 'server')
    with zipfile.ZipFile(cache / 'openpose.zip', 'w') as archive:
        for file in place.iterdir():
            archive.write(file, f'openpose/1/{file.name}')
    assert len(load_mpose().y_test) == 3 * len(MPOSE_LABELS)


def test_coordinates_in_parts_of_the_image_are_refused(tmp_path: Path) -> None:
    """Their torsos count as one pixel long, so that the features are far too small."""
    write_split(tmp_path, 'openpose', 1)
    path = tmp_path / 'openpose' / '1' / 'X_test.npy'
    poses = np.load(path)
    poses[..., :2] /= 1000
    np.save(path, poses)
    with pytest.raises(DataError, match=r'X_test.npy holds coordinates up to .* in pixels'):
        load_mpose('openpose', 1, tmp_path)


def test_arrays_that_are_not_the_released_ones_are_told(
    tmp_path: Path, recwarn: pytest.WarningsRecorder,
) -> None:
    for split in (1, 2):
        write_split(tmp_path, 'openpose', split)
    with pytest.warns(UserWarning, match='holds 200 training and 60 test samples, MPOSE2021 as '
                                         'released 12,562 and 2,867'):
        load_mpose('openpose', 1, tmp_path)
    with pytest.warns(UserWarning, match='as released 15,429 together'):
        load_mpose('openpose', 2, tmp_path)
    recwarn.clear()
    for split, train, test in ((1, 12_562, 2_867), (2, 12_000, 3_429)):
        mpose._check_counts(tmp_path, 'openpose', split, train, test)
    write_split(tmp_path, 'posenet', 1)
    load_mpose('posenet', 1, tmp_path)  # whose numbers are not known for certain
    assert not recwarn.list


def test_graph_networks_read_the_scores(tmp_path: Path) -> None:
    place = write_split(tmp_path, 'posenet', 1)
    data = load_mpose('posenet', 1, tmp_path, normalisation=SCORED)
    assert data.x_test.shape == (60, 30, 51)
    np.testing.assert_allclose(data.x_test[..., 2::3], np.load(place / 'X_test.npy')[..., 2],
                               atol=1e-6)
