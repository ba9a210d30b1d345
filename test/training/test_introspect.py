"""The figures of the paper come from real networks and data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from released import write_split
from synthetic import pose

keras = pytest.importorskip('keras', reason='training needs TensorFlow')
pytest.importorskip('tensorflow', reason='training needs TensorFlow')
import cv2  # noqa: E402

from act_ros.actions.classifier import ActClassifier  # noqa: E402
from act_ros.actions.features import extract_features  # noqa: E402
from act_ros.core.resources import find_resource  # noqa: E402
from act_ros.core.skeletons import get_layout  # noqa: E402
from training import figures, introspect  # noqa: E402
from training.config import TrainConfig  # noqa: E402
from training.export import export_bundle  # noqa: E402
from training.models import build  # noqa: E402
from training.models.act import forward_with_attention  # noqa: E402
from training.networks import Network, load_network, save_weights  # noqa: E402

LABELS = ('standing', 'walk', 'wave')
CONFIG = TrainConfig(name='tiny', files=('people.npz',), labels=LABELS, num_frames=10,
                     min_frames=6, frame_rate=15.0, folds=2, members=(0,), background=True)
FIGURES = ('attention_maps', 'class_attention', 'frame_dropping', 'position_similarity')


def write_people(folder: Path) -> Path:
    """Write clips of two people who do three things, and one that is none of the classes."""
    clips = [(actor, label) for actor in range(2) for label in (0, 1, 2, -1)]
    joints = np.concatenate([
        [pose(i / 30 + actor, LABELS[label], torso=80 + 20 * actor) for i in range(45)]
        for actor, label in clips])
    path = folder / 'people.npz'
    np.savez(path, joints=joints, offsets=45 * np.arange(len(clips) + 1),
             label=np.array([label for _, label in clips]), fps=np.full(len(clips), 30.0),
             layout=np.array(['coco17_2d']), actor=np.array([f'a{actor}' for actor, _ in clips]),
             take=np.array([f't{i}' for i in range(len(clips))]), labels=np.array(LABELS))
    return path


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run whose network has random weights."""
    folder = tmp_path_factory.mktemp('run')
    (folder / 'member_0').mkdir()
    (folder / 'config.json').write_text(json.dumps(asdict(CONFIG)))
    keras.utils.set_random_seed(0)
    model = build('act_mu', CONFIG.num_frames, num_classes=CONFIG.num_outputs)
    model.save_weights(folder / 'member_0' / 'member.weights.h5')
    return folder


@pytest.fixture(scope='module')
def bundle(run: Path) -> Path:
    """Return a bundle of the same network, with its attention."""
    model = build('act_mu', CONFIG.num_frames, num_classes=CONFIG.num_outputs)
    model.load_weights(run / 'member_0' / 'member.weights.h5')
    features = np.random.default_rng(0).normal(0, 0.5, (8, 10, 52))
    bundle = CONFIG.bundle(attention=True, pose_smoothing=0.05,
                      training={'config': json.loads(json.dumps(asdict(CONFIG)))})
    path = export_bundle([model], bundle, run, features, background=CONFIG.background)
    save_weights(model, path)
    return path


def pictures(folder: Path) -> set[str]:
    """Return the names of the pictures, each of which really shows something."""
    for path in folder.glob('*.png'):
        image = cv2.imread(str(path))
        assert image is not None and min(image.shape[:2]) > 300, path
        assert image.std() > 5, path
    return {re.sub(r'_\d+$', '', path.stem) for path in folder.glob('*.png')}


def test_a_run_gives_every_figure_of_people_it_never_saw(run: Path, tmp_path: Path) -> None:
    write_people(tmp_path)
    introspect.main(['--run', str(run), '--data', str(tmp_path), '--output',
                     str(tmp_path / 'out'), '--labels', 'walk', 'standing', '--step', '3'])
    assert pictures(tmp_path / 'out') == set(FIGURES)
    curves = json.loads((tmp_path / 'out' / 'frame_dropping.json').read_text())
    assert list(curves['start']) == list(curves['end']) == ['0', '3', '6', '9']
    assert curves['start']['0'] == curves['end']['0']


@pytest.mark.parametrize(('extractor', 'width'), [('openpose', 52), ('posenet', 68)])
def test_a_fold_of_the_benchmark_is_looked_into_on_the_released_arrays(
    tmp_path: Path, extractor: str, width: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = write_split(tmp_path / 'mpose', extractor, 2)
    fold = tmp_path / 'runs' / extractor / 'split_2' / 'act_mu' / 'fold_3.npz'
    fold.parent.mkdir(parents=True)
    (tmp_path / 'runs' / 'config.json').write_text(
        json.dumps({'output_layout': None, 'frame_step': 3}))
    keras.utils.set_random_seed(0)
    model = build('act_mu', 10, width)
    np.savez(fold, logits=np.zeros((60, 20)),
             **{f'weight_{i}': weight for i, weight in enumerate(model.get_weights())})
    titles = []
    save = figures._save

    def note(figure: Figure, path: Path) -> None:
        titles.append(figure.get_suptitle() or figure.axes[0].get_title())
        save(figure, path)

    monkeypatch.setattr(figures, '_save', note)
    introspect.main(['--weights', str(fold), '--data', str(tmp_path / 'mpose'), '--step', '5',
                     '--output', str(tmp_path / 'out')])
    assert pictures(tmp_path / 'out') == set(FIGURES)
    assert len(titles) == 2 * introspect.MAPS + 3
    assert all(f'act_mu, {extractor} split 2, fold 3' in title for title in titles)
    curves = json.loads((tmp_path / 'out' / 'frame_dropping.json').read_text())
    poses, label = np.load(place / 'X_test.npy'), np.load(place / 'y_test.npy')
    features = extract_features(
        poses[:, ::3].astype(np.float32), {'openpose': 'body25', 'posenet': 'coco17'}[extractor],
        {'openpose': 'mpose13_openpose', 'posenet': 'coco17'}[extractor])
    answer = model(features).numpy().argmax(axis=1)
    assert curves['start']['0'] == pytest.approx(
        np.mean([(answer[label == c] == c).mean() for c in range(20)]))


def test_the_final_network_is_looked_at_on_everybody(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_people(tmp_path)
    folder = tmp_path / 'run'
    for member in ('member_0', 'member_1'):
        shutil.copytree(run / 'member_0', folder / member)
    (folder / 'config.json').write_text(json.dumps(asdict(replace(CONFIG, final=True))))
    looked_at: list[int] = []

    def count(_: object, windows: introspect.Windows, *__: object) -> None:
        looked_at.append(len(windows.label))

    monkeypatch.setattr(introspect, 'introspect', count)
    for member in ('0', '1'):
        introspect.main(['--run', str(folder), '--data', str(tmp_path), '--output',
                         str(tmp_path / 'out'), '--member', member])
    assert looked_at[1] == 2 * looked_at[0] > 0  # one held back of two people, or both


def test_a_video_shows_the_picture_of_each_pose(run: Path, tmp_path: Path) -> None:
    """While it gets brighter: a second after the first pose the picture is that much brighter."""
    film = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    path = tmp_path / 'short.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 15.0, (640, 360))
    for i in range(18):
        image = cv2.resize(film.read()[1], (640, 360))
        writer.write((0.6 * image + 5 * i).astype(np.uint8))
    writer.release()
    example = introspect.watched(introspect.load_act(run), path)
    assert example.title.startswith('short.mp4: ') and example.keypoints.shape == (10, 17, 2)
    assert len(example.pictures) == len(example.attention) == 10
    assert {picture.shape for picture in example.pictures} == {(240, 160, 3)}
    assert np.mean(example.pictures[-1]) - np.mean(example.pictures[0]) == pytest.approx(45, abs=10)
    figures.draw_class_attention(tmp_path / 'out' / 'video.png', [example], 'act_mu')
    assert pictures(tmp_path / 'out') == {'video'}
    walls = np.zeros((4, 6, 3), np.uint8)
    walls[:, 3:] = (1, 2, 3)
    seen = introspect._around(walls, np.array([[3.0, 0.0], [3.0, 3.0]]))
    np.testing.assert_array_equal(seen[120, [0, -1]], [(0, 0, 0), (3, 2, 1)])


def test_bundle_and_run_agree(run: Path, bundle: Path) -> None:
    network, classifier = introspect.load_act(run), ActClassifier(bundle)
    features = np.random.default_rng(1).normal(0, 0.5, (5, 10, 52)).astype(np.float32)
    served = classifier.invoke(features)
    assert served.attention is not None
    np.testing.assert_allclose(served.probabilities, network.probabilities(features), atol=1e-4)
    np.testing.assert_allclose(
        served.attention, introspect.class_attention(network, features), atol=1e-4)
    beside = introspect.load_act(bundle.with_name('tiny.weights.h5'))
    np.testing.assert_array_equal(beside.probabilities(features), network.probabilities(features))
    assert (beside.labels, beside.layout) == (network.labels, network.layout)
    assert (network.pose_smoothing, beside.pose_smoothing) == (0, 0.05)
    layers = forward_with_attention(network.model, features)[1]
    assert [tuple(layer.shape) for layer in layers] == [(5, 1, 11, 11)] * 4
    np.testing.assert_allclose(np.sum(layers, axis=-1), 1, atol=1e-5)


def test_frames_are_dropped_at_the_right_end() -> None:
    """A network that tells classes by the first frame alone fails once that is gone."""
    keypoints = np.tile(pose(0, 'standing')[[0, *range(5, 17)], :2], (30, 6, 1, 1))
    keypoints[10:20, 0, 0, 1] -= 50
    keypoints[20:, 0, 0, 1] -= 100
    windows = introspect.Windows(keypoints, np.repeat([0, 1, 2], 10))

    class ByFirstFrame(Network):
        def probabilities(self, features: np.ndarray) -> np.ndarray:
            head = features[:, 0, 1]
            return np.eye(3)[np.searchsorted([-1.3, -0.8], head, side='right')][:, ::-1]

    network = ByFirstFrame(None, 'act_mu', LABELS, False, 'mpose13_coco', 4, 15.0, 'mpose-v1')
    start, end = introspect.frame_dropping(network, windows)
    assert end == dict.fromkeys(range(4), 1.0)
    assert start == {0: 1.0, **dict.fromkeys((1, 2, 3), pytest.approx(1 / 3))}


def test_examples_are_the_surest_answers_right_and_wrong() -> None:
    label = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.array([[.6, .3, .1], [.2, .8, 0], [.1, .9, 0], [.7, .2, .1], [.5, .1, .4],
                              [.3, .4, .3]])
    assert introspect.best_examples(probabilities, label) == [2, 0, 4]
    assert introspect.best_examples(probabilities, label, [2, 1]) == [4, 2]
    assert introspect.worst_examples(probabilities, label, [4]) == [1, 3, 5]


def test_similar_positions_are_similar() -> None:
    angles = np.linspace(0, np.pi, 5)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * [[1], [2], [3], [4], [5]]
    np.testing.assert_allclose(introspect.position_similarity(circle),
                               np.cos(angles[:, None] - angles), atol=1e-9)


def test_a_training_can_start_from_a_run(run: Path, tmp_path: Path) -> None:
    from training.data import is_held_back, load_data
    from training.train import People, make_trainer

    write_people(tmp_path)
    config = replace(CONFIG, start_from=str(run))
    sequences, folds = load_data(config, tmp_path)
    held_back = is_held_back(config, sequences, folds, 0)
    people = People(config, sequences, held_back)
    trainer = make_trainer(config, people, 0)
    features = np.random.default_rng(1).normal(0, 0.5, (5, 10, 52)).astype(np.float32)
    np.testing.assert_array_equal(trainer.model(features),
                                  load_network(run).model(features))
    for other, message in (
            (replace(config, normalisation='motion-v1'), 'as mpose-v1, .* wants .* as motion-v1'),
            (replace(config, pose_smoothing=0.06), 'by 0.0 s, the .* wants .* by 0.06 s')):
        with pytest.raises(ValueError, match=message):
            People(other, sequences, held_back)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--labels', 'fly'], 'does not know the labels fly; it knows standing, walk, wave'),
    (['--member', '3'], 'member_3'),
    (['--data', 'nothing.npz'], 'nothing.npz: no such file'),
    (['--data', '.', 'more.npz'], '--data names one folder, or sequence files'),
])
def test_wrong_requests_are_refused(
    run: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture,
) -> None:
    write_people(tmp_path)
    with pytest.raises(SystemExit):
        introspect.main(['--run', str(run), '--data', str(tmp_path), '--output',
                         str(tmp_path / 'out'), *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
def test_a_network_is_looked_into_by_jax(
    run: Path, tmp_path: Path, on_jax: dict[str, str],
) -> None:
    write_people(tmp_path)
    subprocess.run(
        [sys.executable, '-m', 'training.introspect', '--run', run, '--data', tmp_path,
         '--output', tmp_path / 'out', '--step', '9'], check=True, env=on_jax)
    assert pictures(tmp_path / 'out') == set(FIGURES)


def test_only_an_act_can_be_looked_into(tmp_path: Path) -> None:
    (tmp_path / 'member_0').mkdir()
    (tmp_path / 'config.json').write_text(json.dumps({**asdict(CONFIG), 'model': 'mlp'}))
    build('mlp', 10, num_classes=CONFIG.num_outputs).save_weights(
        tmp_path / 'member_0' / 'member.weights.h5')
    with pytest.raises(ValueError, match='is a mlp: only an AcT has attention'):
        introspect.load_act(tmp_path)


def test_joints_that_were_not_seen_are_not_drawn() -> None:
    """They are at (0, 0) in MPOSE, which shrank all others and drew bones to the corner."""
    names = get_layout('mpose13_coco').joints
    pose = np.random.default_rng(0).uniform((300, 100), (340, 300), (len(names), 2))
    pose[names.index('l_wrist')] = (320, 200)
    hidden = pose.copy()
    hidden[names.index('l_wrist')] = 0
    axis = Figure().add_subplot()
    for keypoints in (pose, hidden, np.zeros_like(pose)):
        figures._draw_skeleton(axis, figures.Example(
            keypoints[None], 'mpose13_coco', 'walk', 'walk', 1.0, np.ones(1)), 0, 1.0)
    whole, part = (np.array([path.vertices for path in collection.get_paths()])
                   for collection in axis.collections if isinstance(collection, LineCollection))
    is_seen = np.isfinite(part).all(axis=(1, 2))
    assert np.count_nonzero(~is_seen) == 1  # and nothing of whom nothing was seen
    np.testing.assert_allclose(part[is_seen], whole[is_seen])


def test_people_of_other_data_are_not_shown_as_never_seen(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:
    write_people(tmp_path)
    other = shutil.copytree(run, tmp_path / 'other')
    (other / 'data.json').write_text(json.dumps(dict.fromkeys(CONFIG.files, 'another checksum')))
    with pytest.raises(SystemExit):
        introspect.main(['--run', str(other), '--data', str(tmp_path), '--output',
                         str(tmp_path / 'out')])
    assert f'other holds results of other data ({CONFIG.files[0]}' in capsys.readouterr().err
