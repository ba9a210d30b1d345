"""ONNX pose networks: small files of the real shapes, decoded against values worked out by hand."""

from __future__ import annotations

import sys
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from onnx import TensorProto, helper
from onnx_files import constant, keypoints, moody, save

from act_ros.persons.letterbox import Region
from act_ros.persons.models import PoseOptions, checksum, create_estimator
from act_ros.persons.onnx_networks import SimCC, WholeImage, open_onnx
from act_ros.tflite.errors import ModelError
from act_ros.tflite.runtime import load_interpreter

# 320 x 160 pixels in 64 x 64: a fifth of the size, 16 rows from above.
IMAGE = np.zeros((160, 320, 3), np.uint8)
# Brighter than the mean of RTMPose's training; different enough to be shown as they are.
RED, GREEN, BLUE = 200, 160, 110


def yolo_row(x: float, y: float, score: float) -> np.ndarray:
    """Return somebody of 16 x 8 pixels around x, y as YOLO-pose tells it (56,)."""
    return np.concatenate(([x, y, 16, 8, score], keypoints(x, y).ravel()))


def check_two(estimator: Any) -> None:
    """The network sees two people around 40, 32 and 20, 24 of its input."""
    first, second = estimator.estimate(IMAGE)
    assert first.score == pytest.approx(0.8) and second.score == pytest.approx(0.6)
    # (40 - 8) * 5 = 160, (32 - 4 - 16) * 5 = 60
    assert np.allclose(first.box, (160, 60, 240, 100)) and first.keypoints.shape == (17, 3)
    assert np.allclose(first.keypoints[0], (200, 80, 0.9))
    assert np.allclose(first.keypoints[16], (220, 80, 0.9))
    assert np.allclose(second.box, (60, 20, 140, 60))
    assert np.allclose(second.keypoints[4], (105, 40, 0.9))


@pytest.mark.parametrize('is_transposed', [False, True])
def test_yolo_pose(tmp_path: Path, is_transposed: bool) -> None:
    """Many boxes of each person, of which the surest counts; and a network that knows no NMS."""
    rows = np.stack([yolo_row(20, 24, 0.6), yolo_row(40, 32, 0.8), yolo_row(41, 32, 0.7),
                     yolo_row(20, 24, 0.1), yolo_row(np.nan, 24, 0.9)])
    value = rows[None] if is_transposed else rows.T[None]
    path = save(tmp_path / 'any.onnx', {'out': value.shape}, [constant('out', value)])
    estimator = create_estimator(path)
    assert isinstance(estimator, WholeImage)
    assert (estimator.name, estimator.layout) == ('any', 'coco17') and len(checksum(path)) == 64
    check_two(estimator)
    assert estimator.drops == {'no numbers in an answer of the pose network': 1}
    estimator.score_threshold = 0.65
    assert len(copy(estimator).estimate(IMAGE)) == 1


def test_two_small_people_side_by_side_are_two_and_nobody_is_surer_than_sure(
    tmp_path: Path,
) -> None:
    rows = np.stack([yolo_row(60, 44, 1.25), yolo_row(63, 44, 0.8)])
    rows[:, 2:4], rows[:, 7::3] = (2, 4), 1.25
    first, second = create_estimator(save(
        tmp_path / 'net.onnx', {'out': (1, 2, 56)}, [constant('out', rows[None])])).estimate(IMAGE)
    assert np.allclose(first.box, (295, 130, 305, 150))
    assert np.allclose(second.box, (310, 130, 320, 150))
    assert first.score == 1.0 and (first.keypoints[:, 2] == 1.0).all()


def test_yolo_pose_end_to_end(tmp_path: Path) -> None:
    """Corners, score, class; empty rows below."""
    rows = np.zeros((300, 57))
    for i, (x, y, score) in enumerate([(40, 32, 0.8), (20, 24, 0.6)]):
        rows[i] = [x - 8, y - 4, x + 8, y + 4, score, 0, *keypoints(x, y).ravel()]
    check_two(create_estimator(save(
        tmp_path / 'net.onnx', {'out': (1, 300, 57)}, [constant('out', rows[None])])))


def test_rtmo(tmp_path: Path) -> None:
    """Boxes and keypoints apart, as many as there are people."""
    people = [(20, 24, 0.6), (40, 32, 0.8)]
    boxes = np.array([[(x - 8, y - 4, x + 8, y + 4, score) for x, y, score in people]])
    points = np.array([[keypoints(x, y) for x, y, _ in people]])
    check_two(create_estimator(save(
        tmp_path / 'net.onnx', {'dets': (1, 'n', 5), 'keypoints': (1, 'n', 17, 3)},
        [constant('dets', boxes), constant('keypoints', points)])))


@pytest.mark.parametrize(('joints', 'layout'), [(17, 'coco17'), (26, 'halpe26')])
def test_rtmpose(tmp_path: Path, joints: int, layout: str) -> None:
    """The place of the largest value, in halves of pixels; as sure as the less sure of both."""
    x, y = np.zeros((1, joints, 96)), np.zeros((1, joints, 128))
    for i in range(joints):
        x[0, i, 10 + i], y[0, i, 20 + i] = 0.9, 0.7
    path = save(tmp_path / 'net.onnx', {'x': ('n', joints, 96), 'y': ('n', joints, 128)},
                [constant('x', x), constant('y', y)], (64, 48))
    network = open_onnx(path, 1, 0.2, ())
    assert isinstance(network, SimCC)
    # A square of 96 pixels in 48 x 64: half the size, 8 rows from above.
    person = network.look(IMAGE, Region(100, 20, 196, 116))
    assert np.allclose(person.keypoints[0], (100 + 10, 20 + (10 - 8) * 2, 0.7))
    assert np.allclose(person.keypoints[5], (100 + 15, 20 + (12.5 - 8) * 2, 0.7))
    assert person.score == pytest.approx(0.7)
    assert np.allclose(person.box[:2], (110, 24))
    # It looks at those whom another network finds.
    estimator = create_estimator(path)
    assert (estimator.name, estimator.layout) == ('net', layout)
    assert copy(estimator).estimate(IMAGE) == []


@pytest.mark.parametrize('kind', ['yolo', 'rtmo', 'rtmpose'])
def test_colours_come_as_each_network_was_trained(tmp_path: Path, kind: str) -> None:
    """The mean of each channel comes out as the scores of three joints."""
    image = np.empty((64, 64, 3), np.uint8)
    image[:] = BLUE, GREEN, RED
    mean = helper.make_node('ReduceMean', ['image'], ['mean'], axes=[2, 3], keepdims=0)
    if kind == 'rtmpose':
        one = helper.make_node('Concat', ['mean', 'rest'], ['scores'], axis=1)
        nodes = [mean, constant('rest', np.zeros((1, 14))), one]
        for name in 'xy':
            hot = np.zeros((1, 17, 128))
            hot[..., 7] = 0.3  # keeps the standardised values below one
            nodes += [constant(f'hot_{name}', hot),
                      helper.make_node('Unsqueeze', ['scores', 'axis'], [f's_{name}'])
                      if name == 'x' else helper.make_node('Identity', ['s_x'], ['s_y']),
                      helper.make_node('Mul', [f'hot_{name}', f's_{name}'], [name])]
        nodes.insert(0, helper.make_node('Constant', [], ['axis'], value=helper.make_tensor(
            'axis', TensorProto.INT64, [1], [2])))
        path = save(tmp_path / 'net.onnx', {'x': (1, 17, 128), 'y': (1, 17, 128)}, nodes)
        network = open_onnx(path, 1, 0.2, ())
        assert isinstance(network, SimCC)
        scores = network.look(image, Region(0, 0, 64, 64)).keypoints[:3, 2]
        expected = 0.3 * (np.array([RED, GREEN, BLUE]) - (123.675, 116.28, 103.53)) / (
            58.395, 57.12, 57.375)
        assert np.allclose(scores, np.clip(expected, 0, 1), atol=1e-4)
        return
    scale = constant('scale', [1.0 if kind == 'yolo' else 1 / 255])
    parts = [constant('before', yolo_row(32, 32, 0.9)[None, :53]), scale,
             helper.make_node('Mul', ['mean', 'scale'], ['last'])]
    joint = helper.make_node('Concat', ['before', 'last'], ['row'], axis=1)
    axis = helper.make_node('Constant', [], ['axis'], value=helper.make_tensor(
        'axis', TensorProto.INT64, [1], [2]))
    nodes = [mean, *parts, joint, axis]
    if kind == 'yolo':
        nodes.append(helper.make_node('Unsqueeze', ['row', 'axis'], ['out']))
        path = save(tmp_path / 'net.onnx', {'out': (1, 56, 1)}, nodes)
        channels = np.array([RED, GREEN, BLUE]) / 255
    else:
        nodes[1] = constant('before', keypoints(32, 32).reshape(1, -1)[:, :48])
        nodes += [constant('dets', [[(24, 28, 40, 36, 0.9)]]),
                  helper.make_node('Constant', [], ['shape'], value=helper.make_tensor(
                      'shape', TensorProto.INT64, [4], [1, 1, 17, 3])),
                  helper.make_node('Reshape', ['row', 'shape'], ['keypoints'])]
        path = save(tmp_path / 'net.onnx', {'dets': (1, 1, 5), 'keypoints': (1, 1, 17, 3)}, nodes)
        channels = np.array([BLUE, GREEN, RED]) / 255
    (person,) = create_estimator(path).estimate(image)
    assert np.allclose(person.keypoints[16], channels, atol=1e-3)


def test_what_makes_no_sense_is_counted_or_named(tmp_path: Path) -> None:
    """No numbers are nobody; an answer of other shapes than were promised, and none, are errors."""
    estimator = create_estimator(moody(tmp_path / 'net.onnx'))
    grey, white, black = (np.full((64, 64, 3), value, np.uint8) for value in (127, 255, 0))
    assert len(estimator.estimate(grey)) == 1 and not +estimator.drops
    assert estimator.estimate(white) == []
    assert +estimator.drops == {'no numbers in an answer of the pose network': 1}
    with pytest.raises(ModelError, match=r'net.onnx answers .*\(1, 0, 5\).* not .*17, 3'):
        estimator.estimate(black)
    assert len(estimator.estimate(grey)) == 1
    # Fewer pixels than it reshapes to, which shows only when it runs.
    shape = helper.make_node('Constant', [], ['shape'], value=helper.make_tensor(
        'shape', TensorProto.INT64, [3], [1, 7, 57]))
    path = save(tmp_path / 'other.onnx', {'out': (1, 'n', 57)}, [
        shape, helper.make_node('Reshape', ['image', 'shape'], ['out'])], ('h', 'w'))
    with pytest.raises(ModelError, match=r'other.onnx does not run: '):
        create_estimator(path).estimate(IMAGE)


def test_rtmpose_without_numbers(tmp_path: Path) -> None:
    """Nobody, and counted."""
    path = save(tmp_path / 'net.onnx', {'x': (1, 17, 96), 'y': (1, 17, 128)}, [
        constant('x', np.full((1, 17, 96), np.nan)), constant('y', np.zeros((1, 17, 128)))],
        (64, 48))
    network = open_onnx(path, 1, 0.2, ())
    assert isinstance(network, SimCC)
    assert network.look(IMAGE, Region(100, 20, 196, 116)).score == 0.0
    assert network.drops == {'no numbers in an answer of the pose network': 1}


def test_a_size_left_open_and_half_precision(tmp_path: Path) -> None:
    """640 pixels then; and an input of 16-bit floats."""
    row = np.stack([yolo_row(320, 320, 0.9)]).T[None]
    path = save(tmp_path / 'net.onnx', {'out': (1, 56, 'n')}, [constant('out', row)],
                ('h', 'w'), TensorProto.FLOAT16)
    (person,) = create_estimator(path).estimate(np.zeros((640, 640, 3), np.uint8))
    assert np.allclose(person.box, (312, 316, 328, 324))


@pytest.mark.parametrize(('outputs', 'size'), [
    ({'a': (1, 1000)}, (64, 64)), ({'a': (1, 84, 8400)}, (64, 64)),
    ({'a': (1, 133, 96), 'b': (1, 133, 128)}, (64, 48)),
    ({'a': (1, 17, 96), 'b': (1, 17, 96)}, (64, 48)),
    ({'a': (1, 5, 5), 'b': (1, 5, 21, 3)}, (64, 64)),
])
def test_a_file_of_another_kind_gets_one_clear_error(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]], size: tuple[int, int],
) -> None:
    """That says what it is, and what is known."""
    path = save(tmp_path / 'net.onnx', dict(outputs),
                [constant(name, np.zeros(shape)) for name, shape in outputs.items()], size)
    with pytest.raises(ModelError, match=r'net.onnx is no known pose network: it maps .*RTMO'):
        create_estimator(path)


def test_damaged_files_missing_providers_and_no_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each says what to do."""
    path = tmp_path / 'net.onnx'
    path.write_bytes(b'no network')
    with pytest.raises(ModelError, match='cannot load the model .*net.onnx'):
        create_estimator(path)
    with pytest.raises(ModelError, match='no NoProvider; it has .*CPUExecutionProvider'):
        create_estimator(path, providers=PoseOptions(providers=('NoProvider', 'cpu')).providers)
    with pytest.raises(FileNotFoundError):
        create_estimator(tmp_path / 'absent.onnx')
    for model in ('balanced', 'movenet_lightning'):
        with pytest.raises(ModelError, match=f'cuda may run an ONNX file, but {model} is none'):
            create_estimator(model, providers=('cuda', 'cpu'))
        assert create_estimator(model, providers=('', 'cpu', 'CPUExecutionProvider')).name == model
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ModelError, match='needs ONNX Runtime: pip install onnxruntime'):
        create_estimator(path)


def test_an_onnx_file_is_opened_as_an_interpreter(tmp_path: Path) -> None:
    interpreter = load_interpreter(moody(tmp_path / 'moody.onnx'))
    (image,) = interpreter.get_input_details()
    assert (image['name'], image['index'], image['dtype']) == ('image', 0, np.float32)
    assert image['shape'].tolist() == [1, 3, 64, 64]
    assert [(each['name'], each['index'], each['shape'].tolist())  # 1 where it is left open
            for each in interpreter.get_output_details()] == [
        ('dets', 0, [1, 1, 5]), ('keypoints', 1, [1, 1, 17, 3])]
    interpreter.set_tensor(0, np.full((1, 3, 64, 64), 9, np.float32))
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(0), [[(24, 8, 40, 56, 0.9)]])
    np.testing.assert_allclose(interpreter.get_tensor(1)[0, 0], keypoints(30, 20))
    interpreter.set_tensor(0, np.zeros((1, 3, 32, 64), np.float32))
    with pytest.raises(RuntimeError, match='dimension'):
        interpreter.invoke()
