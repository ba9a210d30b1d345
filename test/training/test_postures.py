"""What training adds to the sources: postures, hidden bodies, a pose network's own errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_ros.actions.features import seen_joints
from training.augmentation import (
    LAYOUT,
    Augmentation,
    WindowSampler,
    measure_bodies,
    render,
)
from training.config import TrainConfig
from training.datasets.labels import MPOSE_LABELS
from training.datasets.skeletons import (
    JOINTS,
    UNKNOWN,
    Sequences,
    assign_folds,
    concatenate,
    load_sequences,
)
from training.errors import ErrorBank
from training.hiding import hide
from training.postures import SITTING, add_postures
from training.views import VIEWS

LABELS = (*MPOSE_LABELS, SITTING)
HIPS = [JOINTS.index('l_hip'), JOINTS.index('r_hip')]
SHOULDERS = [JOINTS.index('l_shoulder'), JOINTS.index('r_shoulder')]
KNEES = [JOINTS.index('l_knee'), JOINTS.index('r_knee')]


def figure(seated: float = 0.0) -> np.ndarray:
    """Return (13, 3) metres of somebody 4 m away: standing (0), seated (1) or between."""
    points = {
        'head': (0, -0.6, 0), 'shoulder': (0.2, -0.45, 0), 'elbow': (0.25, -0.2, 0),
        'wrist': (0.25, 0.05, 0), 'hip': (0.12, 0, 0), 'knee': (0.12, 0.45, 0),
        'ankle': (0.12, 0.9, 0)}
    low = {'knee': (0.12, 0.05, -0.45), 'ankle': (0.12, 0.5, -0.45)}
    rows = []
    for joint in JOINTS:
        side = {'l': 1, 'r': -1}.get(joint[:2].rstrip('_'), 0) if joint != 'head' else 0
        name = joint if joint == 'head' else joint[2:]
        at = np.array(points[name], float)
        at += seated * (np.array(low.get(name, points[name])) - at)
        rows.append((at[0] * (side or 1), at[1] + 0.4 * seated, at[2] + 4.0))
    return np.array(rows, np.float32)


def clip(label: str, frames: np.ndarray, take: str = 'a', group: str = 'x:1') -> Sequences:
    """Return one 3D sequence (T, 13, 3) at 30 Hz."""
    joints = np.concatenate((frames, np.ones((*frames.shape[:2], 1))), axis=-1)
    number = LABELS.index(label) if label != 'unknown' else UNKNOWN
    return Sequences(
        joints.astype(np.float32), np.array([0, len(frames)]), np.array([number]),
        np.array([30.0]), np.array([False]), np.array(['x']), np.array([label]),
        np.array([group]), np.array([take]), np.array(['']), np.array([False]))


def sitting_down() -> np.ndarray:
    """Return 40 frames of somebody who sits down."""
    return np.stack([figure(t) for t in np.linspace(0, 1, 40)])


def test_who_sat_down_sits_and_who_is_about_to_stands() -> None:
    made = add_postures(clip('sit-down', sitting_down()), LABELS, seed=1)
    by_label = {LABELS[made.label[i]]: made.select(np.array([i])) for i in range(1, len(made))}
    sitting = by_label[SITTING]
    depth = sitting.joints[:, KNEES, 2].mean() - sitting.joints[:, HIPS, 2].mean()
    assert depth < -0.35, 'the knees are in front of the hips'
    assert len(sitting.joints) == 3.0 * 30
    assert len(np.unique(sitting.joints, axis=0)) == 8, 'a quarter of a second, to and fro'
    moves = np.abs(np.diff(sitting.joints[..., :3], axis=0)).max()
    assert moves < np.abs(np.diff(sitting_down(), axis=0)).max() * 1.5, 'a posture is held'
    assert set(made.group) == {'x:1'}, 'it stays with the person'
    assert len(add_postures(clip('sit-down', sitting_down()), MPOSE_LABELS)) == 1


def test_seated_people_wave_and_other_gestures_are_sitting() -> None:
    standing = np.repeat(figure()[None], 30, axis=0)
    turned = standing.copy()  # facing the other way: the legs must turn with the body
    turned[..., [0]] *= -1
    turned[..., 2] = 8.0 - turned[..., 2]
    everybody = concatenate([
        clip('sit-down', sitting_down()), clip('wave1', standing, 'b', 'x:2'),
        clip('unknown', turned, 'c', 'x:3')])
    made = add_postures(everybody, LABELS, seed=1)
    seated = {take: made.select(np.array([i])) for i, take in enumerate(made.take)
              if take.endswith('#seated')}
    assert {take: LABELS[part.label[0]] for take, part in seated.items()} == {
        'b#seated': 'wave1', 'c#seated': SITTING}
    for part, forward in ((seated['b#seated'], -1), (seated['c#seated'], 1)):
        knees = part.joints[:, KNEES, 2].mean() - part.joints[:, HIPS, 2].mean()
        assert knees * forward > 0.3
        assert np.allclose(part.joints[:, :7, :3], (standing if forward < 0 else turned)[:, :7],
                           atol=1e-5)
    lying = made.select(np.array([take.endswith('#lying') for take in made.take]))
    assert len(lying) and (lying.label == UNKNOWN).all()
    torso = lying.joints[:, HIPS, :2].mean(axis=1) - lying.joints[:, SHOULDERS, :2].mean(axis=1)
    assert (np.abs(torso[:, 0]) > np.abs(torso[:, 1])).all(), 'across the picture'


def test_seated_legs_are_as_long_as_who_waves_is_large() -> None:
    tall = np.repeat(1.5 * figure()[None], 30, axis=0)
    made = add_postures(
        concatenate([clip('sit-down', sitting_down()), clip('wave1', tall, 'b')]), LABELS)
    seated = made.select(made.take == 'b#seated').joints[..., :3]
    hips, knees, ankles = (seated[:, [JOINTS.index(f'l_{part}')]] for part in (
        'hip', 'knee', 'ankle'))
    for bone in (knees - hips, ankles - knees):
        np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), 1.5 * 0.45, rtol=0.2)


def test_only_who_stands_all_the_time_is_seated() -> None:
    """Legs of a chair under somebody who bows or sits already are no posture of anybody."""
    bowing = np.repeat(figure()[None], 30, axis=0)
    above = [i for i, joint in enumerate(JOINTS) if not joint.endswith(('hip', 'knee', 'ankle'))]
    bowing[:10][:, above] = bowing[:10][:, above][..., [0, 2, 1]] * (1, 0, 1) + (0, 0, 4)
    on_chair = np.repeat(figure(1.0)[None], 30, axis=0)
    made = add_postures(concatenate([
        clip('sit-down', sitting_down()), clip('unknown', bowing, 'b'),
        clip('wave1', on_chair, 'c')]), LABELS)
    assert not [take for take in made.take if take.endswith('#seated')]
    standing = clip('wave1', np.repeat(figure()[None], 30, axis=0))
    assert len(add_postures(standing, LABELS)) == 1, 'nobody sits, of whom the legs could be'


def windows(count: int = 400) -> np.ndarray:
    """Return windows (N, 30, 13, 4) of somebody who stands."""
    pose = np.concatenate((figure(), np.ones((13, 1), np.float32)), axis=-1)
    return np.broadcast_to(pose, (count, 30, 13, 4)).astype(np.float32)


def bodies(count: int = 400) -> np.ndarray:
    """Return their torso, thigh, head and hip width."""
    return np.tile(np.array([0.45, 0.45, 0.15, 0.24], np.float32), (count, 1))


def test_parts_of_bodies_are_hidden_in_as_many_windows_as_asked() -> None:
    nothing = render(np.random.default_rng(0), windows(), bodies(), np.zeros(400, bool),
                     VIEWS['own'])
    assert seen_joints(nothing, LAYOUT).all()
    hidden = render(np.random.default_rng(0), windows(), bodies(), np.zeros(400, bool),
                    VIEWS['hidden'])
    seen = seen_joints(hidden, LAYOUT)
    assert 0.6 < (~seen.all(axis=1)).mean() <= 1.0
    legs = [JOINTS.index(f'{side}_ankle') for side in 'lr']
    assert (~seen[:, legs]).all(axis=1).mean() > 0.3, 'most of all the feet'
    assert seen[:, 0].mean() > 0.7, 'and least the head'
    np.testing.assert_array_equal(hidden[..., 2] == 0, ~(hidden[..., 2] > 0))
    upper = [JOINTS.index(name) for name in ('head', 'l_shoulder', 'r_shoulder')]
    headless = (~seen[:, upper]).all(axis=1) & seen[:, legs].any(axis=1)
    assert 0 < headless.mean() < 0.1, 'and sometimes the picture begins at the chest'


def test_what_hides_is_the_edge_of_the_picture_furniture_or_the_body() -> None:
    """Each as often as it says, mostly for the whole window, and never anything else."""
    keypoints = windows(6000)[..., [0, 1, 3]]
    before = keypoints.copy()
    hide(np.random.default_rng(0), keypoints, 0.5)
    np.testing.assert_array_equal(keypoints[..., :2], before[..., :2])
    hidden = keypoints[..., 2] == 0
    assert (keypoints[..., 2][~hidden] == 1).all()
    some = hidden[hidden.any(axis=(1, 2))]
    assert 0.36 < len(some) / 6000 < 0.44, 'of a fifth of those chosen nothing is hidden'
    always = some[(some == some[:, :1]).all(axis=(1, 2))][:, 0]
    assert 0.45 < len(always) / len(some) < 0.75
    late, early = (~some[:, frame].any(axis=1) for frame in (0, -1))
    assert 0.2 < late.mean() < 0.4 and 0.05 < early.mean() < 0.35
    x, y = before[0, 0, :, :2].T
    parts = {  # which joints each of the reasons may hide
        'below': [y > edge for edge in np.unique(y)[:-1]],
        'above': [y < edge for edge in np.unique(y)[1:-1]],
        'right': [x > edge for edge in np.unique(x)[:-1]],
        'left': [x <= edge for edge in np.unique(x)[:-1]],
        'band': [(y > a) & (y < b) for a in np.unique(y) for b in np.unique(y)],
        'arms': [named('l_elbow', 'l_wrist'), named('r_elbow', 'r_wrist'),
                 named('l_elbow', 'l_wrist', 'r_elbow', 'r_wrist')],
        'leg': [named('l_knee', 'l_ankle'), named('l_elbow', 'l_wrist', 'l_knee', 'l_ankle')],
        'legs': [named(*[f'{side}_{part}' for side in 'lr' for part in ('hip', 'knee', 'ankle')])]}
    found = {name: np.any([(always == mask).all(axis=1) for mask in masks], axis=0)
             for name, masks in parts.items()}
    assert np.any(list(found.values()), axis=0).all()
    share = {name: rows.mean() for name, rows in found.items()}
    assert 0.35 < share['below'] < 0.65
    for name, low, high in (('above', 0.02, 0.12), ('left', 0.03, 0.2), ('right', 0.03, 0.2),
                            ('band', 0.05, 0.25), ('arms', 0.08, 0.3), ('leg', 0.01, 0.09),
                            ('legs', 0.005, 0.06)):
        assert low < share[name] < high, name


def named(*joints: str) -> np.ndarray:
    """Return which of the joints (13,) have these names."""
    return np.isin(JOINTS, joints)


def test_a_camera_that_drives_up_makes_people_larger() -> None:
    still = VIEWS['own']
    options = Augmentation(**{**vars(still), 'driven': 1.0, 'drive': 1.0})
    seen = render(np.random.default_rng(0), windows(), bodies(), np.zeros(400, bool), options)
    size = np.ptp(seen[..., 1], axis=2)
    growth = size[:, -1] / size[:, 0]
    assert growth.max() > 1.5 and growth.min() < 0.75
    fast = render(np.random.default_rng(0), windows(), bodies(), np.zeros(400, bool), options,
                  frame_rate=30.0)
    way, half = (1 / x[:, -1] - 1 / x[:, 0] for x in (size, np.ptp(fast[..., 1], axis=2)))
    np.testing.assert_allclose(half, way / 2, atol=0.02 * np.abs(way).max())
    before = render(np.random.default_rng(0), windows(), bodies(), np.zeros(400, bool), still)
    size = np.ptp(before[..., 1], axis=2)
    np.testing.assert_allclose(size[:, -1] / size[:, 0], 1, atol=0.01)


def test_a_carried_camera_moves_as_fast_at_any_frame_rate() -> None:
    def way(rate: float) -> np.ndarray:
        still = np.repeat(windows()[:, :1], round(2 * rate), axis=1)
        seen = render(np.random.default_rng(0), still, bodies(), np.zeros(400, bool),
                      replace(VIEWS['own'], moved=1), frame_rate=rate)
        middle = seen[..., :2].mean(axis=2)
        return np.abs(middle[:, -1] - middle[:, 0]).mean(axis=0)

    np.testing.assert_allclose(way(30.0), way(15.0), rtol=0.1)


def test_errors_are_put_on_those_chosen_with_their_scores() -> None:
    errors = np.zeros((20, 13, 2), np.float32)
    errors[:, 11] = 1.0  # one ankle a torso off, and the score knows
    scores = np.full((20, 13), 0.9, np.float32)
    scores[:, 11] = 0.1
    bank = ErrorBank(np.array([0, 20]), errors, scores, np.array([30.0]))
    keypoints = np.zeros((50, 30, 13, 3), np.float32)
    keypoints[..., 2] = 1.0
    keypoints[0, :, 0, 2] = 0.0
    chosen = np.arange(50) < 25
    size = np.full((50, 1, 1, 1), 100, np.float32)
    bank.add(np.random.default_rng(0), keypoints, chosen, size, 15.0)
    assert (keypoints[25:, ..., :2] == 0).all() and (keypoints[25:, ..., 2] == 1).all()
    off = keypoints[:25, :, 11, 0]
    assert (off > 29).all() and (off < 101).all() and (np.ptp(off, axis=1) < 1e-3).all()
    assert (keypoints[:25, :, 11, 2] == np.float32(0.1)).all()
    assert (keypoints[0, :, 0, 2] == 0).all(), 'what was not seen is not seen now'


def bank_of(*stretches: np.ndarray) -> ErrorBank:
    """Return stretches at 30 Hz whose x are the values (n,), with an error of 1 in y."""
    values = np.concatenate(stretches)
    errors = np.ones((len(values), 13, 2), np.float32)
    errors[..., 0] = values[:, None]
    return ErrorBank(np.cumsum([0, *map(len, stretches)]), errors, errors[..., 0] / 1000,
                     np.full(len(stretches), 30.0))


@pytest.mark.parametrize('rate', [30.0, 15.0])
def test_errors_pass_as_fast_as_they_came_to_and_fro_in_their_stretch(rate: float) -> None:
    bank = bank_of(np.arange(100, 140), np.array([500]), np.arange(700, 703))
    keypoints = np.zeros((200, 60, 13, 3), np.float32)
    keypoints[..., 2] = 1.0
    bank.add(np.random.default_rng(0), keypoints, np.ones(200, bool), np.ones((200, 1, 1, 1)),
             rate)
    value = keypoints[..., 0, 0] / keypoints[..., 0, 1]  # whatever their strength
    np.testing.assert_allclose(keypoints[..., 0, 2], value / 1000, rtol=1e-4)
    number = np.rint(value).astype(int)
    long, one, short = (number[number[:, 0] // 100 == first] for first in (1, 5, 7))
    assert len(long) + len(one) + len(short) == 200
    assert (one == 500).all()
    assert {*long.flat} == {*range(100, 140)} and {*short.flat} == {700, 701, 702}
    step = np.abs(np.diff(long, axis=1))
    assert np.median(step) == 30 / rate == step.max()


@pytest.mark.parametrize('rate', [30.0, 15.0])
def test_errors_pass_as_fast_in_the_windows_of_a_training(rate: float) -> None:
    """A network of 30 frames a second is no less used to errors that stay than one of 15."""
    options = replace(VIEWS['own'], errors=1.0)
    config = TrainConfig(name='x', files=('a.npz',), normalisation='motion-v1', frame_rate=rate,
                         augmentation=options)
    standing = clip('standing', np.repeat(figure()[None], 200, axis=0))
    waves = np.sin(np.arange(300) * 2 * np.pi / 30)  # a second each
    bank, wrist = bank_of(waves), JOINTS.index('l_wrist')
    bank.errors[:, np.arange(13) != wrist] = 0
    features, _ = WindowSampler(standing, config, errors=bank).draw(np.random.default_rng(0), 50)
    across = features.reshape(50, 30, 13, 4)[:, :, wrist, 0]
    strength = np.abs(np.fft.rfft(across, axis=1)).mean(axis=0)
    assert strength[1:].argmax() + 1 == 30 / rate, 'as many waves as a window has seconds'


def test_errors_are_smoothed_as_poses_each_stretch_by_itself() -> None:
    spike = np.zeros(41)
    spike[20] = 1.0
    bank = bank_of(spike, np.full(20, 5.0)).smoothed(0.06)
    np.testing.assert_allclose(bank.errors[41:, 0, 0], 5, rtol=1e-5)
    np.testing.assert_allclose(bank.errors[..., 1], 1, rtol=1e-5)
    np.testing.assert_allclose(bank.scores, bank.errors[..., 0] / 1000, atol=1e-6)
    weight, away = bank.errors[:41, 0, 0], np.arange(-20, 21)
    assert weight.sum() == pytest.approx(1, rel=0.02)
    assert np.sqrt(weight @ away ** 2) == pytest.approx(0.06 * 30, rel=0.1)


def test_a_file_that_is_no_bank_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / 'no.npz', other=np.zeros(1))
    with pytest.raises(ValueError, match=r'no\.npz is no bank of errors'):
        ErrorBank.load(tmp_path / 'no.npz')


def save(path: Path, **changes: Any) -> Path:
    """Write a file of ten flat clips of five films."""
    arrays: dict[str, Any] = {
        'joints': np.random.default_rng(0).uniform(0, 100, (100, 17, 3)).astype(np.float32),
        'offsets': np.arange(0, 101, 10), 'label': np.zeros(10, np.int16),
        'fps': np.full(10, 30.0), 'layout': np.array(['coco17_2d']), 'actor': np.full(10, ''),
        'take': np.array([f'{path.stem}{i}' for i in range(10)]),
        'group': np.array([f'film{i // 2}' for i in range(10)]), **changes}
    np.savez(path, **arrays)
    return path


def test_a_group_is_one_across_files_and_keeps_its_fold(tmp_path: Path) -> None:
    """A film as marks and as video is on one side of a split; another source moves nobody."""
    video, marks = save(tmp_path / 'video.npz'), save(tmp_path / 'marks.npz')
    both, alone = load_sequences([video, marks]), load_sequences([video])
    folds = assign_folds(both, 3, seed=0)
    for film in np.unique(both.group):
        assert len(set(folds[both.group == film].tolist())) == 1
    third = save(tmp_path / 'third.npz', group=np.array([f'scene{i}' for i in range(10)]))
    more = load_sequences([third, video])
    np.testing.assert_array_equal(
        assign_folds(more, 3, seed=0)[10:], assign_folds(alone, 3, seed=0))


def test_sources_can_be_told_row_by_row(tmp_path: Path) -> None:
    path = save(tmp_path / 'video.npz', source=np.array(['kth', 'arid'] * 5))
    sequences = load_sequences([path])
    assert set(sequences.source) == {'kth', 'arid'}
    assert sequences.is_detected.all()


@pytest.mark.parametrize('side', [1, -1])
def test_a_face_is_put_before_the_head(side: int) -> None:
    """Of somebody in profile, who looks to the right or left: by a share of the torso."""
    x, y, z = figure().T
    profile = np.stack((side * (4 - z), y, side * x + 4), axis=-1)
    windows = np.ones((40, 5, len(JOINTS), 4), np.float32)
    windows[..., :3] = profile
    bodies = np.repeat(measure_bodies(clip('standing', windows[0, ..., :3])), 40, axis=0)

    def head(by: float) -> float:
        seen = render(np.random.default_rng(0), windows, bodies, np.zeros(40, bool),
                      replace(VIEWS['own'], head_forward=by))
        return side * float(seen[..., JOINTS.index('head'), 0].mean() - seen[..., 1:, 0].mean())

    pixels = 0.5 * 300 / 3  # a torso, three metres away
    assert head(0.3) - head(0.0) == pytest.approx(0.15 * pixels, rel=0.25)
    assert head(-0.3) - head(0.0) == pytest.approx(-0.15 * pixels, rel=0.25)
