"""Skeletons as others publish them: what is read of them, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.datasets import foreign
from training.datasets.foreign import convert, load_plain
from training.datasets.skeletons import JOINTS, DataError, load_sequences

NAMES = ('drink', 'wave1')


def annotation(name: str, label: Any, people: int = 1, frames: int = 12) -> dict[str, Any]:
    """Return two-dimensional key points as pyskl writes them; the last person is seen longest."""
    rng = np.random.default_rng(int(label))
    keypoint = rng.uniform(10, 200, (people, frames, 17, 2)).astype(np.float16)
    score = np.full((people, frames, 17), 0.9, np.float16)
    for person in range(people - 1):
        keypoint[person, frames // 2:], score[person, frames // 2:] = 0, 0
    return {'frame_dir': name, 'label': label, 'img_shape': (240, 320), 'total_frames': frames,
            'original_shape': (240, 320), 'keypoint': keypoint, 'keypoint_score': score}


@pytest.mark.parametrize('protocol', range(2, 6))
def test_annotations_of_pyskl(tmp_path: Path, protocol: int) -> None:
    rows = [annotation('S001C002P003R001A001', 0, people=2), annotation('video', np.int64(1))]
    path = tmp_path / 'ntu.pkl'
    path.write_bytes(pickle.dumps({'split': {'train': ['video']}, 'annotations': rows}, protocol))
    assert convert('pyskl', [path], tmp_path / 'out.npz', NAMES, 25.0) == 2
    found = load_sequences([tmp_path / 'out.npz'], ('wave1', 'drink'))
    assert found.label.tolist() == [1, 0]
    assert found.lengths.tolist() == [12, 12] and found.fps.tolist() == [25, 25]
    assert found.group.tolist() == ['out:p003', 'out:?wave1-0'] and found.is_detected.all()
    assert found.view.tolist() == ['c002', '']
    wrist = JOINTS.index('l_wrist')
    np.testing.assert_allclose(found.joints[:12, wrist, :2], rows[0]['keypoint'][1, :, 9])
    np.testing.assert_allclose(found.joints[:12, wrist, 3], 0.9, atol=1e-3)


def test_annotations_in_depth_turn_to_the_camera(tmp_path: Path) -> None:
    keypoint = np.zeros((2, 14, 25, 3))
    keypoint[0] = np.arange(25)[:, None] * (0.1, 0.2, 0.3)
    keypoint[0, :, 4, 2] = 3.0  # the left shoulder
    keypoint[0, 3] = 0.0  # nobody: what comes before is too short
    rows = [{'frame_dir': 'S001C001P002R001A002', 'label': 1, 'keypoint': keypoint}]
    path = tmp_path / 'ntu.pkl'
    path.write_bytes(pickle.dumps(rows))
    convert('pyskl', [path], tmp_path / 'out.npz', NAMES)
    found = load_sequences([tmp_path / 'out.npz'], NAMES)
    assert not found.flat[0] and found.lengths.tolist() == [10]
    np.testing.assert_allclose(
        found.joints[5, JOINTS.index('l_shoulder'), :3], (-0.4, -0.8, 3.0), atol=1e-6)
    assert dict(zip(JOINTS, np.rint(found.joints[5, :, 0] / -0.1), strict=True)) == {
        'head': 3, 'l_shoulder': 4, 'l_elbow': 5, 'l_wrist': 6, 'r_shoulder': 8, 'r_elbow': 9,
        'r_wrist': 10, 'l_hip': 12, 'l_knee': 13, 'l_ankle': 14, 'r_hip': 16, 'r_knee': 17,
        'r_ankle': 18}, 'as Kinect v2 numbers them'


class Malicious:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ('touch was-here',)


@pytest.mark.parametrize('content', [
    Malicious(), [Malicious()], {'annotations': [{'keypoint': Malicious()}]},
    np.array([Malicious()], object), Path('x'), print, np.random.default_rng(0),
    np.zeros(3, 'M8[s]'), {1: 'a', 2: b'b'}.keys, np.ma.masked_array([1, 2])])
def test_nothing_but_plain_values_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('evil.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match='not an annotation file of plain values and arrays'):
        load_plain(Path('evil.pkl'))
    assert not Path('was-here').exists()


@pytest.mark.parametrize('content', [
    b'', b'\x80\x04', b'cos\nsystem\n(S"touch was-here"\ntR.', b'c__builtin__\neval\n(S"1"\ntR.',
    # An array that claims more numbers than it has bytes, and one whose type is an object's.
    pickle.dumps(np.zeros(100))[:-200] + b'.',
    pickle.dumps(np.zeros(3, np.float64), 2).replace(b'f8', b'O8')])
def test_damaged_and_handmade_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('evil.pkl').write_bytes(content)
    with pytest.raises(DataError, match='not an annotation file'):
        load_plain(Path('evil.pkl'))
    assert not Path('was-here').exists()


@pytest.mark.parametrize('values', [
    np.arange(6, dtype='>i2').reshape(2, 3), np.asfortranarray(np.ones((2, 3), np.float16)),
    np.float32(2.5), np.bool_(True), [1, 'a', None, 2.5, (True, b'x')], np.zeros((0, 3))])
@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_plain_values_come_through_unharmed(tmp_path: Path, values: Any, protocol: int) -> None:
    (tmp_path / 'plain.pkl').write_bytes(pickle.dumps(values, protocol))
    found = load_plain(tmp_path / 'plain.pkl')
    if isinstance(values, list):
        assert found == values
    else:
        np.testing.assert_array_equal(np.asarray(found), values)
        assert np.asarray(found).dtype == values.dtype


def skeleton_file(path: Path, bodies: int, frames: int = 9) -> np.ndarray:
    """Write a file as NTU RGB+D has them; return the joints (frames, 25, 3) of the last body."""
    rng = np.random.default_rng(0)
    joints = rng.uniform(-1, 1, (bodies, frames, 25, 3)).round(4)
    lines = [str(frames)]
    for frame in range(frames):
        there = [body for body in range(bodies) if body == bodies - 1 or frame < 3]
        lines.append(str(len(there)))
        for body in there:
            lines += [f'7205759403793110{body} 0 1 1 1 1 0 0.02 0.05 2', '25']
            lines += [' '.join(map(str, (*xyz, *range(8), 2))) for xyz in joints[body, frame]]
    path.write_text('\n'.join(lines) + '\n')
    return joints[-1]


def test_skeleton_files_of_ntu(tmp_path: Path) -> None:
    (tmp_path / 'deep').mkdir()
    joints = skeleton_file(tmp_path / 'deep' / 'S001C002P003R002A002.skeleton', bodies=2)
    (tmp_path / 'deep' / 'S001C002P003R002A001.skeleton').write_text('3\n0\n0\n0\n')  # nobody
    assert convert('ntu', [tmp_path / 'deep'], tmp_path / 'out.npz', NAMES) == 1
    found = load_sequences([tmp_path / 'out.npz'], NAMES)
    assert found.label.tolist() == [1] and found.source_label.tolist() == ['wave1']
    assert found.group.tolist() == ['out:p003'] and not found.flat[0]
    for joint, number in (('head', 3), ('r_wrist', 10), ('l_ankle', 14), ('r_hip', 16)):
        np.testing.assert_allclose(found.joints[:, JOINTS.index(joint), :3],
                                   joints[:, number] * (-1, -1, 1), atol=1e-6)


def test_files_of_kinetics_skeleton_follow_who_is_nearest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pose = rng.uniform(0.4, 0.5, (18, 2))

    def person(shift: float, score: float) -> dict[str, Any]:
        return {'pose': (pose + shift).ravel().tolist(), 'score': [score] * 18}

    frames = [{'frame_index': i + 1, 'skeleton': [
        person(-0.3, 0.9 if i else 0.2), person(0.01 * i, 0.5)] if i != 4 else []}
        for i in range(10)]
    (tmp_path / 'abc.json').write_text(json.dumps(
        {'data': frames, 'label': 'drinking', 'label_index': 1}))
    assert convert('kinetics', [tmp_path], tmp_path / 'out.npz') == 1
    found = load_sequences([tmp_path / 'out.npz'], ('drinking',))
    assert found.label.tolist() == [0] and found.lengths.tolist() == [10]
    wrist, there = found.joints[:, JOINTS.index('r_wrist')], np.arange(10) != 4
    shift = 0.01 * np.arange(10)[there]
    assert wrist[4, 3] == 0
    wrist = wrist[there]
    np.testing.assert_allclose(wrist[:, 0], 340 * (pose[4, 0] + shift), rtol=1e-5)
    np.testing.assert_allclose(wrist[:, 1], 256 * (pose[4, 1] + shift), rtol=1e-5)
    np.testing.assert_allclose(wrist[:, 3], 0.5)


def test_what_is_of_no_class_gets_no_name_of_one(tmp_path: Path) -> None:
    path = tmp_path / 'own.pkl'
    path.write_bytes(pickle.dumps([
        annotation('none', 0) | {'label': -1}, annotation('first', 0), annotation('last', 1)]))
    convert('pyskl', [path], tmp_path / 'out.npz', NAMES)
    found = load_sequences([tmp_path / 'out.npz'], NAMES)
    assert found.label.tolist() == [-1, 0, 1]
    assert found.source_label.tolist() == ['', *NAMES]


def test_what_cannot_be_used_says_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good = tmp_path / 'S001C001P001R001A001.skeleton'
    skeleton_file(good, bodies=1)
    cut_off = tmp_path / 'S001C001P001R001A002.skeleton'
    cut_off.write_text(good.read_text()[:3000])
    (tmp_path / 'x.skeleton').write_text(good.read_text())
    (tmp_path / 'bad.json').write_text('{"data": []}')
    (tmp_path / 'bad.pkl').write_bytes(pickle.dumps([{'frame_dir': 'x', 'label': 0}]))
    wide = {'frame_dir': 'x', 'label': 0, 'keypoint': np.zeros((1, 9, 5, 2))}
    (tmp_path / 'wide.pkl').write_bytes(pickle.dumps([wide]))
    (tmp_path / 'few.txt').write_text('drink\n')
    (tmp_path / 'three.pkl').write_bytes(pickle.dumps([annotation('x', 2)]))
    (tmp_path / 'minus.pkl').write_bytes(pickle.dumps([annotation('x', 0) | {'label': -2}]))
    for arguments, message in (
            (['ntu', str(cut_off)], 'A002.skeleton is damaged or cut off'),
            (['ntu', str(tmp_path / 'x.skeleton')], 'SsssCccc'),
            (['kinetics', str(tmp_path / 'bad.json')], 'no file of Kinetics-Skeleton'),
            (['pyskl', str(tmp_path / 'bad.pkl')], "annotation 0 cannot be read .KeyError.'keypo"),
            (['pyskl', str(tmp_path / 'wide.pkl')], '5 joints of 2 numbers are neither'),
            (['pyskl', str(tmp_path / 'three.pkl'), '--names', str(tmp_path / 'few.txt')],
             'class 2 has no name'),
            (['pyskl', str(tmp_path / 'minus.pkl')], 'class -2: classes are numbered from 0'),
            (['ntu', str(good), '--fps', '0'], '--fps: must be more than 0, not 0'),
            (['pyskl', str(tmp_path / 'none.pkl')], 'not an annotation file')):
        with pytest.raises(SystemExit):
            foreign.main([*arguments, '--output', str(tmp_path / 'out.npz')])
        error = capsys.readouterr().err
        assert re.search(message, error), error
    assert not (tmp_path / 'out.npz').exists()
