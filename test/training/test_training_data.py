"""Skeleton files, actor-disjoint splits, virtual cameras and windows."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_ros.actions.features import MOTION, extract_features
from act_ros.actions.recognizer import PoseWindow, sample_windows
from act_ros.core.skeletons import get_layout
from training import evaluate, metrics
from training.augmentation import (
    LAYOUT,
    Augmentation,
    WindowSampler,
    look,
    measure_bodies,
    render,
    sampling_weights,
    set_proportions,
)
from training.config import TrainConfig, load_config
from training.data import is_held_back, load_data, part_of_people
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import (
    JOINTS,
    UNKNOWN,
    DataError,
    assign_folds,
    check_disjoint,
    load_sequences,
)
from training.evaluate import WAIST_UP, ViewedClips
from training.views import VIEWS, clip_windows, see_clips

ROOT = Path(__file__).resolve().parents[2]
OPENPOSE = get_layout('mpose13_openpose').joints
PERSON = {  # metres: x right in the image, y down, z away
    'head': (0, -0.75, 4), 'l_shoulder': (0.2, -0.5, 4), 'l_elbow': (0.25, -0.2, 4),
    'l_wrist': (0.25, 0.05, 4), 'l_hip': (0.1, 0, 4), 'l_knee': (0.1, 0.4, 4),
    'l_foot': (0.1, 0.8, 4), 'r_shoulder': (-0.2, -0.5, 4), 'r_elbow': (-0.25, -0.2, 4),
    'r_wrist': (-0.25, 0.05, 4), 'r_hip': (-0.1, 0, 4), 'r_knee': (-0.1, 0.4, 4),
    'r_foot': (-0.1, 0.8, 4)}


def write(path: Path, seed: int = 0, layout: str = 'mpose13_3d', **changes: Any) -> Path:
    """Write twelve sequences of six people, classes 0, 1 and -1, with swinging wrists."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 90, 12)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    if layout == 'coco17_2d':
        joints = rng.uniform(10, 60, (offsets[-1], 17, 3))
        joints[..., 2] = 0.5
    else:
        joints = np.repeat(np.array([PERSON[j] for j in OPENPOSE])[None], offsets[-1], axis=0)
        joints[:, OPENPOSE.index('l_wrist'), 1] += 0.3 * np.sin(np.arange(offsets[-1]) / 5)
    values: dict[str, Any] = {
        'joints': joints.astype(np.float32), 'offsets': offsets.astype(np.int64),
        'label': np.tile([0, 1, -1], 4).astype(np.int8),
        'source_label': np.tile(['stand', 'wave', 'drink'], 4),
        'actor': np.repeat([f's{i}' for i in range(6)], 2), 'view': np.full(12, ''),
        'fps': np.full(12, 30, np.float32), 'take': np.array([f'take{i}' for i in range(12)]),
        'layout': np.array([layout])}
    np.savez_compressed(path, **{**values, **changes})
    return path


def test_a_file_is_read_by_joint_name(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz'),
                                write(tmp_path / 'b.npz', 1, 'coco17_2d')])
    assert len(sequences) == 24
    assert sequences.joints.shape == (sequences.offsets[-1], 13, 4)
    np.testing.assert_allclose(
        sequences.joints[0, JOINTS.index('r_elbow'), :3], PERSON['r_elbow'])
    np.testing.assert_allclose(sequences.joints[0, JOINTS.index('l_ankle'), :3], PERSON['l_foot'])
    assert sequences.flat.tolist() == [False] * 12 + [True] * 12
    assert (sequences.joints[sequences.offsets[12]:, :, 2] == 0).all()
    part = sequences.select(np.array([3, 14]))
    assert part.lengths.tolist() == sequences.lengths[[3, 14]].tolist()
    np.testing.assert_array_equal(
        part.joints[:part.lengths[0]],
        sequences.joints[sequences.offsets[3]:sequences.offsets[4]])



@pytest.mark.parametrize(('changes', 'message'), [
    ({'joints': np.zeros((5, 12, 3), np.float32)}, 'joints must be'),
    ({'joints': np.zeros((5, 13, 3), np.int32)}, 'floating point'),
    ({'offsets': np.arange(13, dtype=np.int64)}, 'offsets must ascend'),
    ({'offsets': np.arange(4, dtype=np.int64)}, '13 integers for 12 labels'),
    ({'label': np.full(12, 20)}, 'labels must lie'),
    ({'label': np.zeros(12, np.float32)}, 'label must be integers'),
    ({'fps': np.zeros(12, np.float32)}, 'fps must be positive'),
    ({'label': np.zeros((12, 1), np.int8)}, 'label must be .n,., not .12, 1.'),
    ({'take': np.array(['a', 'b', *'acdefghijk'])}, "take 'a' occurs more than once"),
    ({'layout': np.array(['kinect25'])}, 'kinect25.*mpose13_3d'),
    ({'actor': np.array(['a'])}, 'actor has 1 entries for 12'),
])
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, changes: dict, message: str) -> None:
    path = write(tmp_path / 'wrong.npz', **changes)
    with pytest.raises(DataError, match=f'wrong.npz.*{message}'):
        load_sequences([path])


def test_nan_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / 'nan.npz')
    values = dict(np.load(path))
    values['joints'][values['offsets'][7]] = np.nan
    np.savez(path, **values)
    with pytest.raises(DataError, match=r'sequence 7 \(take7\) holds NaN'):
        load_sequences([path])
    with pytest.raises(DataError, match='absent.npz: no such file'):
        load_sequences([tmp_path / 'absent.npz'])
    (tmp_path / 'broken.npz').write_bytes(b'PK\x03\x04 interrupted download')
    with pytest.raises(DataError, match='broken.npz: is not a readable'):
        load_sequences([tmp_path / 'broken.npz'])
    del values['actor']
    np.savez(path, **values)
    with pytest.raises(DataError, match='lacks the arrays actor'):
        load_sequences([path])


def test_nobody_is_in_two_folds(tmp_path: Path) -> None:
    nobody = write(tmp_path / 'films.npz', 1, actor=np.full(12, ''))
    sequences = load_sequences([write(tmp_path / 'a.npz'), nobody])
    folds = assign_folds(sequences, 3, seed=0)
    for group in np.unique(sequences.group):
        assert len(np.unique(folds[sequences.group == group])) == 1
    named = sequences.source == 'a'
    assert set(folds[named]) == {0, 1, 2}
    # Takes of unknown people that lie side by side may show the same person.
    stands = (sequences.source == 'films') & (sequences.source_label == 'stand')
    assert len(np.unique(sequences.group[stands])) == 1
    check_disjoint(sequences.select(folds == 0), sequences.select(folds == 1))
    with pytest.raises(DataError, match='both sides'):
        check_disjoint(sequences, sequences.select(folds == 1))


def test_proportions_become_those_asked_for(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    bodies = measure_bodies(sequences)
    np.testing.assert_allclose(bodies[0], (0.5, 0.4, 0.25, 0.2), atol=1e-4)
    points = sequences.joints[None, :5, :, :3]
    wanted = [np.array([x], np.float32) for x in (1.6, 0.42, 0.3)]
    person = set_proportions(points, bodies[:1], *wanted)[0, 0]
    joint = {name: person[i] for i, name in enumerate(JOINTS)}
    neck, hips = ((joint[f'l_{j}'] + joint[f'r_{j}']) / 2 for j in ('shoulder', 'hip'))
    torso = np.linalg.norm(neck - hips)
    assert torso / abs(hips[1] - joint['l_knee'][1]) == pytest.approx(1.6, rel=1e-3)
    assert np.linalg.norm(joint['head'] - neck) / torso == pytest.approx(0.42, rel=1e-3)
    assert np.linalg.norm(joint['l_hip'] - joint['r_hip']) / torso == pytest.approx(0.3, rel=1e-3)


def test_cameras_turn_look_down_and_keep_their_distance() -> None:
    points = np.array([PERSON[j.replace('ankle', 'foot')] for j in JOINTS], np.float32)
    points = np.tile(points, (4, 2, 1, 1))
    zero = np.zeros(4)
    position = np.tile([0, 0, 4.0], (4, 1))
    yaw = np.deg2rad([0, 180, 90, 0])
    pitch = np.deg2rad([0, 0, 0, 30])
    position[0, 2] = 0.0  # inside the person
    pixels = look(points, yaw, pitch, position, zero + 400)
    left, right = JOINTS.index('l_wrist'), JOINTS.index('r_wrist')
    assert np.isfinite(pixels).all()
    assert (pixels[0, :, left, 0] > pixels[0, :, right, 0]).all()
    assert (pixels[1, :, left, 0] < pixels[1, :, right, 0]).all()  # seen from behind
    np.testing.assert_allclose(pixels[2, :, left, 0], pixels[2, :, right, 0], atol=0.5)
    # From above the head is nearer than the feet: shoulders look wider beside the knees.
    widths = [np.ptp(pixels[i, 0, [JOINTS.index('l_shoulder'), JOINTS.index('r_shoulder')], 0])
              for i in (1, 3)]
    assert widths[1] > widths[0] * 1.02


def test_drawn_windows_are_finite_labelled_and_repeatable(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz'),
                                write(tmp_path / 'b.npz', 1, 'coco17_2d')])
    before = sequences.joints.copy()
    sampler = WindowSampler(
        sequences, TrainConfig(name='x', files=('a.npz',)),
        sampling_weights(sequences, unknown_share=0.5))
    features, label = sampler.draw(np.random.default_rng(3), 400)
    assert features.shape == (400, 30, 52)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert 0.4 < (label == -1).mean() < 0.6
    assert set(label) == {-1, 0, 1}
    again, _ = sampler.draw(np.random.default_rng(3), 400)
    np.testing.assert_array_equal(features, again)
    assert sampler.draw(np.random.default_rng(3), 5, 12)[0].shape == (5, 12, 52)
    np.testing.assert_array_equal(sequences.joints, before)


def test_limbs_are_stretched_alike_on_both_sides_and_flat_people_narrowed(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    still = replace(VIEWS['own'], limbs=0.2, flat_turn=60.0)
    points = np.repeat(sequences.joints[None, :4], 50, axis=0)
    bodies, deep = np.repeat(measure_bodies(sequences)[:1], 50, axis=0), np.zeros(50, bool)
    seen = render(np.random.default_rng(0), points, bodies, deep, still)
    place = {name: seen[:, 0, i, :2] for i, name in enumerate(JOINTS)}
    length = {bone: np.linalg.norm(place[bone] - place[f'{bone[0]}_{end}'], axis=-1)
              for bone, end in (('l_knee', 'ankle'), ('r_knee', 'ankle'), ('l_hip', 'knee'))}
    np.testing.assert_allclose(length['l_knee'], length['r_knee'], rtol=1e-2)
    assert 0.1 < np.log(length['l_knee']).std() < 0.3
    assert abs(np.corrcoef(length['l_knee'], length['l_hip'])[0, 1]) < 0.5
    flat = render(np.random.default_rng(0), points, bodies, ~deep, still)
    width, height = np.ptp(flat[:, 0, :, 0], axis=1), np.ptp(flat[:, 0, :, 1], axis=1)
    assert (width / height).min() < 0.75 * (width / height).max()


def test_cameras_follow_people_or_are_carried_by(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    points = np.repeat(sequences.joints[None, :20], 30, axis=0)
    points[..., 0] += np.linspace(0, 1, 20)[:, None]  # they walk a metre to the right
    bodies, deep = np.repeat(measure_bodies(sequences)[:1], 30, axis=0), np.zeros(30, bool)
    hips = [JOINTS.index('l_hip'), JOINTS.index('r_hip')]

    def way(**options: Any) -> np.ndarray:
        seen = render(np.random.default_rng(0), points, bodies, deep,
                      replace(VIEWS['own'], **options))
        assert np.isfinite(seen).all()
        middle = seen[:, :, hips, :2].mean(axis=2)
        return (middle[:, -1] - middle[:, 0]) / np.ptp(seen[..., 1], axis=(1, 2))[:, None]

    assert (way()[:, 0] > 0.4).all()
    np.testing.assert_allclose(way(followed=1), 0, atol=0.02)
    still = way(followed=1, moved=1)
    assert still[:, 0].std() > 3 * still[:, 1].std() > 0.1  # turning more than nodding
    bouncing = way(followed=1, moved=1, bounce=1.0)
    assert np.abs(bouncing).max() > 1.5 * np.abs(still).max(), 'some cameras shake a lot more'
    assert np.median(np.abs(bouncing)) < 2 * np.median(np.abs(still))
    assert abs(way(followed=0.5)[:, 0]).min() < 0.02 < 0.4 < way(followed=0.5)[:, 0].max()


def test_the_sampler_makes_the_features_that_the_bundle_will_name(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    paper, motion = (
        WindowSampler(sequences, TrainConfig(name='x', files=('a.npz',), normalisation=name)).draw(
            np.random.default_rng(0), 50)[0].reshape(50, 30, 13, 4)
        for name in ('mpose-v1', MOTION))
    np.testing.assert_array_equal(paper[..., :2], motion[..., :2])
    assert abs(paper - motion)[..., 2:].max() > 0.01


def test_who_legs_alone_are_seen_of_does_nothing_that_can_be_told(tmp_path: Path) -> None:
    sequences = replace(load_sequences([write(tmp_path / 'a.npz')]), label=np.zeros(12, int))
    options = replace(VIEWS['own'], hidden=1.0)
    sampler = WindowSampler(
        sequences, TrainConfig(name='x', files=('a.npz',), normalisation='seen-v1',
                               augmentation=options))
    features, label = sampler.draw(np.random.default_rng(0), 1500)
    shoulders = [JOINTS.index(f'{side}_shoulder') for side in 'lr']
    joints = np.abs(features.reshape(1500, 30, 13, 4)).max(axis=(1, 3)) > 0
    seen = joints[:, shoulders].any(axis=1)
    assert (label[~seen] == UNKNOWN).all() and (~seen).any()
    assert (label[seen] == 0).mean() > 0.8
    one_shoulder = (joints[:, shoulders].sum(axis=1) == 1) & (joints.sum(axis=1) >= 7)
    assert one_shoulder.any() and (label[one_shoulder] == 0).all(), 'which is enough'


def test_names_decide_which_class_is_which(tmp_path: Path) -> None:
    """Numbers without names are refused, or are said to be those of MPOSE2021."""
    labels = ('standing', 'walk', 'salute')
    nameless = write(tmp_path / 'shipped.npz', label=np.tile([0, 7, 2], 4))
    with pytest.raises(DataError, match=r'shipped.npz: names no classes.*mpose_order'):
        load_sequences([nameless], labels)
    with pytest.raises(DataError, match='first.npz: names no classes'):
        load_sequences([write(tmp_path / 'first.npz', label=np.zeros(12, int))], labels)
    shipped = load_sequences([nameless], labels, mpose_order=True)
    assert shipped.label.tolist() == [0, 1, UNKNOWN] * 4  # cross-arms is no salute
    own = write(tmp_path / 'own.npz', label=np.tile([1, 0, -1], 4),
                labels=np.array(['salute', 'walk']), layout='coco17_2d')
    mixed = load_sequences([nameless, own], labels, mpose_order=True)
    assert mixed.label.tolist() == [0, 1, UNKNOWN] * 4 + [1, 2, UNKNOWN] * 4
    assert load_sequences([own]).label.tolist() == [7, UNKNOWN, UNKNOWN] * 4


def test_a_bundle_is_measured_on_actions_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(tmp_path / 'own.npz', labels=np.array(['moonwalk', 'salute']))
    with pytest.raises(SystemExit) as caught:
        evaluate.main(['--bundle', str(ROOT / 'models/act_mu.tflite'), '--files', str(file)])
    assert caught.value.code == 2
    assert 'no clip is of an action that' in capsys.readouterr().err


def test_a_bundle_is_measured_on_any_number_of_windows(tmp_path: Path) -> None:
    """It answers 64 at once."""
    for count in (63, 64):
        file = write(
            tmp_path / f'{count}.npz', layout='coco17_2d', label=np.zeros(count, np.int8),
            joints=np.random.default_rng(0).uniform(10, 60, (20 * count, 17, 3)),
            offsets=np.arange(count + 1) * 20, fps=np.full(count, 30.0),
            take=np.array([f't{i}' for i in range(count)]), actor=np.full(count, 'a'),
            view=np.full(count, ''), source_label=np.full(count, 'walk'),
            labels=np.array(['walk']))
        measures = evaluate.evaluate_bundle(
            ROOT / 'models/act_mu.tflite', load_sequences([file], MPOSE_LABELS))
        assert measures['own']['clips'] == count


def test_errors_of_a_source_are_mended_by_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / 'a.npz', labels=np.array(['still', 'wave']))
    take = [str(x) for x in load_sequences([tmp_path / 'a.npz']).take]
    config = TrainConfig(name='x', files=('a.npz',), labels=('still', 'wave', 'more'), folds=2,
                         members=(0,))
    before, folds = load_data(config, tmp_path)
    after, same = load_data(replace(config, relabelled={f'a/{take[4]}': 'more'}), tmp_path)
    np.testing.assert_array_equal(same, folds)
    assert after.label[4] == 2
    np.testing.assert_array_equal(np.delete(after.label, 4), np.delete(before.label, 4))
    named, _ = load_data(replace(config, relabelled={'a/dr?nk': 'more'}), tmp_path)
    np.testing.assert_array_equal(named.label == 2, before.label == -1)
    with pytest.raises(DataError, match="no clip is called 'b/\\*'"):
        load_data(replace(config, relabelled={'b/*': 'more'}), tmp_path)
    with pytest.raises(ValueError, match='relabelled must give labels'):
        replace(config, relabelled={'a/*': 'fly'})
    fewer, _ = load_data(replace(config, ignored_actions=('drink',)), tmp_path)
    assert fewer.label.tolist() == [0, 1] * 4
    for name in ('drnk', 'stand'):  # nobody does it, or it is a label
        with pytest.raises(DataError, match=f'ignored_actions: no clip .* is called {name}$'):
            load_data(replace(config, ignored_actions=('drink', name)), tmp_path)


def test_a_label_that_looks_like_a_class_of_the_files_is_a_slip(
    tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:
    """Else the recordings of that class would be learned as other actions, without a word."""
    write(tmp_path / 'a.npz', labels=np.array(['still', 'salute']))
    config = TrainConfig(name='x', files=('a.npz',), labels=('still', 'salut'), folds=2)
    with pytest.raises(DataError, match='no clip of salut, but of salute; did you mean salute?'):
        load_data(config, tmp_path)
    write(tmp_path / 'b.npz', labels=np.array(['still', 'salutte']))
    sequences, _ = load_data(
        replace(config, files=('a.npz', 'b.npz'), labels=('still', 'salute')), tmp_path)
    assert capsys.readouterr().err == (
        'warning: the class salutte of the files is none of the labels and learned as another '
        'action; did you mean salute?\n')
    assert (sequences.label[sequences.source == 'b'] != 1).all()


def test_a_label_without_a_clip_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """It may be meant: the network that is fine-tuned may know it, or more will be recorded."""
    write(tmp_path / 'a.npz', labels=np.array(['still', 'salute']))
    config = TrainConfig(name='x', files=('a.npz',), labels=('still', 'salute'), folds=2)
    load_data(config, tmp_path)
    assert not capsys.readouterr().err
    load_data(replace(config, labels=('still', 'salute', 'bow', 'nod')), tmp_path)
    assert capsys.readouterr().err == 'warning: the files have no clip of bow, nod\n'
    with pytest.raises(DataError, match='no clip of any of bow, nod'):
        load_data(replace(config, labels=('bow', 'nod')), tmp_path)


def test_every_fold_has_people_though_each_file_has_one(tmp_path: Path) -> None:
    """As who records a file for each person has them."""
    names = ('anna', 'ben', 'carl', 'dora', 'emil', 'fay')
    for name in names:
        write(tmp_path / f'{name}.npz', labels=np.array(['still', 'wave']), actor=np.full(12, name))
    for files in combinations(names, 2):
        config = TrainConfig(name='x', files=tuple(f'{name}.npz' for name in files),
                             labels=('still', 'wave'), folds=2)
        _, folds = load_data(config, tmp_path)
        assert set(folds.tolist()) == {0, 1}
        with pytest.raises(DataError, match='2 folds need as many people, the data hold 1'):
            load_data(replace(config, training_only=files[:1]), tmp_path)


def test_a_label_that_means_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match='labels: none means no answer'):
        TrainConfig(name='x', files=('a.npz',), labels=('walk', 'none'))


def test_strangers_are_folds_after_those_of_the_people(tmp_path: Path) -> None:
    for i, name in enumerate('ab'):
        write(tmp_path / f'{name}.npz', i, labels=np.array(['still', 'wave']))
    config = TrainConfig(name='x', files=('a.npz', 'b.npz'), labels=('still', 'wave'), folds=2,
                         strangers=(('b',),), final=True)
    assert config.held_back_folds == (0, 1, 2, -1)
    sequences, folds = load_data(config, tmp_path)
    first, second, strange, none = (
        is_held_back(config, sequences, folds, fold) for fold in config.held_back_folds)
    assert (first ^ second).all() and {*sequences.source[first]} == {'a', 'b'}
    np.testing.assert_array_equal(strange, sequences.source == 'b')
    assert not none.any()
    with pytest.raises(DataError, match='strangers: no source is called c'):
        load_data(replace(config, strangers=(('c',),)), tmp_path)
    with pytest.raises(DataError, match='training_only: no source is called c'):
        load_data(replace(config, training_only=('c',)), tmp_path)
    for member, mine in enumerate((first, second, strange)):
        (tmp_path / f'member_{member}').mkdir()
        np.savez(tmp_path / f'member_{member}' / 'held_back.npz', own_clip=np.arange(mine.sum()),
                 own_logits=np.zeros((mine.sum(), 2)), label=sequences.label[mine],
                 source=sequences.source[mine], group=sequences.group[mine])
    held = evaluate.load_held_back(tmp_path, config, 'own')
    assert held.is_stranger.sum() == strange.sum() and {*held.source[held.is_stranger]} == {'b'}
    assert len(held.label) == len(sequences) + strange.sum()
    # Strangers count as much as the others, and who waves twice as much as who is still.
    mix = evaluate.RobotMix.of([held], np.array([1.0, 2.0]))
    assert mix.weight.sum() == pytest.approx(1)
    for is_stranger in (False, True):
        theirs = held.is_stranger[held.clip] == is_stranger
        assert mix.weight[theirs].sum() == pytest.approx(0.5)
        still, wave = ({*mix.weight[theirs & (mix.label == label)]} for label in (0, 1))
        assert len(still) == 1 and wave == {2 * weight for weight in still}


def test_a_source_for_training_only_is_never_held_back(tmp_path: Path) -> None:
    for i, name in enumerate('ab'):
        write(tmp_path / f'{name}.npz', i, labels=np.array(['still', 'wave']))
    config = TrainConfig(name='x', files=('a.npz', 'b.npz'), labels=('still', 'wave'), folds=3,
                         training_only=('b',), final=True)
    sequences, folds = load_data(config, tmp_path)
    held_back = [is_held_back(config, sequences, folds, fold) for fold in config.held_back_folds]
    np.testing.assert_array_equal(np.sum(held_back, axis=0), sequences.source == 'a')


def test_a_part_of_the_people_is_of_every_source(tmp_path: Path) -> None:
    for i, name in enumerate('ab'):
        write(tmp_path / f'{name}.npz', i, labels=np.array(['still', 'wave']))
    sequences = load_sequences([tmp_path / 'a.npz', tmp_path / 'b.npz'])
    part = part_of_people(sequences, 0.5, 0)
    for source in 'ab':
        everybody, some = (np.unique(x.group[x.source == source]) for x in (sequences, part))
        assert len(some) == round(len(everybody) / 2) < len(everybody)
        theirs = np.isin(sequences.group, some)
        assert (part.source == source).sum() == theirs.sum()  # all that they do
    assert len(part_of_people(sequences, 1.0, 0)) == len(sequences)
    few = part_of_people(sequences, 0.001, 0)
    assert [len(np.unique(few.group[few.source == x])) for x in 'ab'] == [1, 1]


def test_sampling_is_balanced_within_every_source(tmp_path: Path) -> None:
    """Also a class that one source alone has is as likely there as the others are."""
    sequences = replace(
        load_sequences([write(tmp_path / 'a.npz')]),
        label=np.array([0] * 4 + [1, -1, -1] + [0] * 3 + [2] * 2),
        source=np.array(['film'] * 7 + ['depth'] * 5))
    weights = sampling_weights(sequences, unknown_share=0.2, balance=1.0)
    assert weights.sum() == pytest.approx(1)
    assert weights[5:7].sum() == pytest.approx(0.2)
    for cell in (slice(4), slice(4, 5), slice(7, 10), slice(10, 12)):
        assert weights[cell].sum() == pytest.approx(0.2)
    known = np.delete(sampling_weights(sequences, 0.2, 0.0), [5, 6])
    np.testing.assert_allclose(known, 0.08)
    half = sampling_weights(sequences, 0.2, 0.5)
    assert half[:4].sum() == pytest.approx(2 * half[4])
    more = sampling_weights(sequences, 0.2, 1.0, emphasis=np.array([1.0, 1.0, 3.0]))
    assert more[5:7].sum() == pytest.approx(0.2)
    assert more[10:12].sum() == pytest.approx(3 * more[4]) == pytest.approx(0.4)


def test_clips_are_cut_as_the_live_window_cuts(tmp_path: Path) -> None:
    """A node that is fed the clip's frames sees, at each window's end, the same window."""
    sequences = see_clips(load_sequences([write(tmp_path / 'a.npz')]), 'own')
    windows, clip = clip_windows(
        sequences, num_frames=10, frame_rate=15.0, stride=1 / 15, pose_smoothing=0.06)
    assert set(clip) == set(range(12))
    for i in (0, 5):
        begin, end = sequences.offsets[i:i + 2]
        live = PoseWindow(10, 15.0, 13, max_gap=1.0)
        seen = []
        for frame in range(begin, end):
            live.append(round((frame - begin) / 30 * 1e9),
                        sequences.joints[frame][:, [0, 1, 3]])
            if live.span >= round(9 / 15 * 1e9):
                seen.append(sample_windows([live], 10, 15.0, 0.2, 0.06)[0])
        expected = np.stack(seen)[::2]
        mine = windows[clip == i]
        assert len(mine) == len(expected)
        np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=0.05)


def test_a_clip_is_seen_by_one_camera(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    for view in VIEWS:
        seen = see_clips(sequences, view)
        assert seen.flat.all()
        assert np.isfinite(extract_features(seen.joints[None, :, :, :2], LAYOUT)).all()
        np.testing.assert_array_equal(see_clips(sequences, view).joints, seen.joints)
    own = see_clips(sequences, 'own').joints
    still = JOINTS.index('r_knee')
    a, b = sequences.offsets[:2]
    assert np.ptp(own[a:b, still, :2], axis=0).max() < 1.0


def test_from_the_waist_up_no_leg_is_seen(tmp_path: Path) -> None:
    sequences = load_sequences([write(tmp_path / 'a.npz')])
    config = TrainConfig(name='x', files=('a.npz',), normalisation='seen-v1')
    turned, upper = (ViewedClips(sequences, view, config).features.reshape(-1, 30, 13, 4)
                     for view in ('turned', WAIST_UP))
    legs = [JOINTS.index(f'{side}_{part}') for side in 'lr' for part in ('knee', 'ankle')]
    assert not upper[:, :, legs].any() and turned[:, :, legs].any(axis=(1, 2, 3)).all()
    arms = [JOINTS.index(f'{side}_wrist') for side in 'lr']
    assert upper[:, :, arms].any(axis=(1, 2, 3)).all()


def test_metrics_of_a_known_case() -> None:
    label = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.2, 0.8, 0]])
    result = metrics.summary(label, probabilities)
    assert result['accuracy'] == pytest.approx(0.75)
    assert result['balanced_accuracy'] == pytest.approx((2 / 3 + 1) / 2)
    assert result['macro_f1'] == pytest.approx((0.8 + 2 / 3) / 2)
    # Each answer has a bin of its own, but for the two of 0.8, both right.
    assert result['ece'] == pytest.approx((0.1 + 0.4 + 0.7) / 4)
    clips = metrics.clip_mean(np.array([[1., 0], [0, 1], [1, 0]]), np.array([0, 0, 1]))
    np.testing.assert_allclose(clips, [[0.5, 0.5], [1.0, 0.0]])
    assert metrics.unknown_threshold(np.linspace(0, 1, 10_001)) == pytest.approx(0.05, abs=1e-3)
    # Of a few clips all as sure the next may well be less so, and is no unknown for that.
    assert 0 < metrics.unknown_threshold(np.full(12, 0.8)) < 0.6


def test_temperature_is_recovered() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    label = np.array([rng.choice(5, p=p) for p in metrics.softmax(logits)])
    assert metrics.fit_temperature(3 * logits, label) == pytest.approx(3, rel=0.1)
    calibrated = metrics.softmax(3 * logits, metrics.fit_temperature(3 * logits, label))
    assert metrics.expected_calibration_error(label, calibrated) < 0.03


def test_confidence_is_the_chance_of_being_right_among_other_actions() -> None:
    """Of what is half other actions, no more than half can be right, however sure the network."""
    rng = np.random.default_rng(0)
    label = np.repeat((0, 1, 2, UNKNOWN, UNKNOWN, UNKNOWN), 400)
    logits = rng.normal(0, 1, (len(label), 3))
    logits[np.arange(1200), label[:1200]] += 1.5
    weight = np.full(len(label), 1 / len(label))
    temperature = metrics.fit_confidence(4 * logits, label, weight)
    of_known = metrics.fit_temperature(4 * logits[:1200], label[:1200])
    honest, sure = (metrics.expected_calibration_error(
        label, metrics.softmax(4 * logits, t), weight) for t in (temperature, of_known))
    assert honest < sure / 1.5
    among_known = metrics.fit_confidence(4 * logits, label, np.where(label < 0, 0, 1 / 1200))
    assert among_known < temperature, 'where others are never met it may be surer'


@pytest.mark.parametrize('wrong', [0, 3, 8])
def test_no_more_than_eleven_in_a_hundred_are_answered_wrongly(wrong: int) -> None:
    """Nor of few windows, of which one is more than that."""
    logits = np.outer(np.linspace(4, 1, 9), (1, 0))
    label = np.where(np.arange(9) == wrong, 1, 0)
    robot = evaluate.RobotMix(logits, label, np.full(9, 1 / 9))
    is_answered = metrics.softmax(logits).max(axis=-1) >= evaluate.threshold_of(robot, 1.0)
    assert is_answered.tolist() == (np.arange(9) < wrong).tolist()


def test_a_few_right_answers_leave_more_doubt_than_many() -> None:
    logits = np.eye(3) * 4
    many = np.repeat(logits, 25, axis=0), np.repeat(np.arange(3), 25)
    # As sure as (n + 1/3) / (n + 1): one more is as likely of each of the three.
    assert metrics.fit_temperature(logits, np.arange(3)) == pytest.approx(4 / np.log(10))
    assert metrics.fit_temperature(*many) == pytest.approx(4 / np.log(226))


def test_shared_background_keeps_the_order_and_lowers_the_confidence() -> None:
    logits = np.array([[2.0, 1.0, 0.0, 5.0], [2.0, 1.0, 0.0, -5.0]])
    shared = metrics.softmax(metrics.share_background(logits, 3))
    assert (shared.argmax(-1) == 0).all()
    assert shared[0].max() < 0.4 < shared[1].max()
    likely = metrics.softmax(logits)
    np.testing.assert_allclose(shared, likely[:, :3] + likely[:, 3:] / 3)
    np.testing.assert_array_equal(metrics.share_background(logits, 4), logits)


@pytest.mark.parametrize(('settings', 'problem'), [
    ('epoch: 3', 'run.yaml.*unknown settings epoch'),
    ('folds: 2\nmembers: [2]', 'members must be folds'),
    ('emphasis: {fly: 2}', 'emphasis must give labels'),
    ('prior: {fly: 2}', 'prior must give labels'),
    ('prior: {walk: 0}', 'prior must be positive'),
    ('by_legs: [walk]', 'by_legs needs features as seen-v1'),
    ('needs_legs: [fly]', 'needs_legs must give labels; needs_legs needs features as seen-v1'),
    ('steady_view: [fly]', 'steady_view must be labels'),
    ('steady_size: true', 'steady_size needs the normalisation seen-v1'),
    ('needs_legs: [walk]\nnormalisation: seen-v1\nbackground: false',
     'needs_legs needs a background'),
    ('epochs: four', "run.yaml: epochs must be a whole number, not the text 'four'"),
    ('epochs: 4.5', 'epochs must be a whole number, not 4.5'),
    ('epochs: true', 'epochs must be a whole number, not True'),
    ('weight_decay: 1e-4', "weight_decay must be a number, not the text '1e-4'"),
    ('dropout: a', 'dropout must be a number or null'),
    ('labels: walk', "labels must be a list: each text, not the text 'walk'"),
    ('labels: [on, off]', r'labels must be a list: each text, not \(True, False\)'),
    ('strangers: [a, b]', 'strangers must be a list: each a list: each text'),
    ('strangers:', 'strangers must be a list: each a list: each text, not None'),
    ('prior: {walk: much}', 'prior must be a mapping: each a number'),
    ('augmentation: 5', 'augmentation: must be a mapping, not 5'),
    ('augmentation: {noise: 0.1}', 'augmentation: noise must be a list: a number, a number'),
    ('augmentation: {pitch: [0, 1, 2]}', 'augmentation: pitch must be a list: a number, a number'),
    ('augmentation: {noise: [0, 0.05]}', r'augmentation: noise must lie in \[1e-06, 1e\+06\]'),
    ('augmentation: {distance: [8, 2]}', 'distance must lie in .*, the lower first'),
    ('augmentation: {flip: 50}', r'augmentation: flip must lie in \[0, 1\]$'),
    ('augmentation: {roll: -4.0}', 'augmentation: roll must lie in'),
    ('augmentation: {roll: .nan}', 'augmentation: roll must lie in'),
    ('augmentation: {playback: 0.8}', 'augmentation: playback must lie in'),
    ('short_windows: 25', r'short_windows must lie in \[0, 1\]'),
    ('dropout: 30', r'dropout must lie in \[0, 1\)'), ('seed: -1', 'seed must not be neg'),
    ('frame_rate: 0', 'frame_rate must lie'),
    ('name: ../up', 'name must be that of a folder'), ('name: ""', 'name must be that of a folder'),
    ('labels: []', 'labels must be two'), ('labels: [walk]', 'labels must be two'),
    ('labels: [walk, walk]', 'labels must differ'),
    ('precision: half', 'precision must be one of float32, bfloat16'),
    ('keep: first', "keep must be 'best' or 'last'"),
    ('keep: best\nfinal: true', 'needs keep: last'),
    ('drops: [0.8, 0.6]', 'drops must rise'), ('schedule: linear', 'schedule must be one of'),
    ('old_layers: 0', r'old_layers must lie in \(0, 1\]'), ('people: 0', 'people must lie in'),
    ('folds: 1', 'folds must be at least 2'), ('files: []', 'files must name at least one'),
    ('validate_every: 0', 'validate_every and checkpoint_every must be positive'),
    ('unknown_share: 1', 'unknown_share must lie in'),
    ('windows_per_epoch: 100', 'an epoch must have at least one batch'),
    ('labels: [walk, unknown]', 'unknown is what recordings call anything'),
    ('labels: [walk, "\\e[31mred"]', 'labels must be printable'),
    ('frame_rate: .inf', 'frame_rate must lie'), ('num_frames: 2000', 'num_frames <= 1000'),
    ('peak_rate: -1.0', 'peak_rate must be finite, and not negative'),
    ('peak_rate: .nan', 'peak_rate must be finite, and not negative'),
    ('final_rate: -1.0', 'final_rate must be finite'),
    ('weight_decay: -1.0', 'weight_decay must lie in'),
    ('schedule_width: 0', 'schedule_width must be positive'),
    ('emphasis: {walk: .inf}', 'emphasis must be positive'),
    ('files: [a.npz, a.npz]', 'files must not name anything twice')])
def test_a_wrong_configuration_is_refused(tmp_path: Path, settings: str, problem: str) -> None:
    path = tmp_path / 'run.yaml'
    given = settings.partition(':')[0]
    rest = {'name': 'x', 'files': '[a.npz]'}
    path.write_text(''.join(f'{key}: {value}\n' for key, value in rest.items() if key != given)
                    + settings)
    with pytest.raises(ValueError, match=problem):
        load_config(path)


def test_a_configuration_without_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'run.yaml'
    path.write_text('files: [a.npz]')
    with pytest.raises(ValueError, match='run.yaml: lacks name$'):
        load_config(path)


def test_the_ends_of_what_settings_may_be_are_taken() -> None:
    labels = ('walk', 'wave')
    TrainConfig(
        name='x', files=('a.npz',), labels=labels, normalisation='seen-v1', by_legs=labels,
        needs_legs=labels, steady_view=labels, steady_size=True, upright=True,
        prior=dict.fromkeys(labels, 2.0), emphasis=dict.fromkeys(labels, 2.0), old_layers=1.0,
        people=1.0, folds=2, short_windows=0.0, remember=1.0, unknown_share=0.0, batch_size=64,
        windows_per_epoch=64, weight_decay=0.0, dropout=0.0, final=True)


def test_a_configuration_may_change_one_setting_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / 'run.yaml'
    path.write_text('name: x\nfiles: [a.npz]\naugmentation: {pitch: [0, 5]}\n')
    assert load_config(path).augmentation == Augmentation(pitch=(0.0, 5.0))


def test_a_configuration_survives_its_json(tmp_path: Path) -> None:
    path = tmp_path / 'run.yaml'
    path.write_text('name: x\nfiles: [a.npz]\naugmentation: {limbs: 0.1, pitch: [0, 5]}\n'
                    'relabelled: {a/x*: walk}\n')
    config = load_config(path)
    assert config.augmentation == Augmentation(limbs=0.1, pitch=(0.0, 5.0))
    assert TrainConfig.parse(json.loads(json.dumps(asdict(config)))) == config
