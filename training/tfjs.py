"""
TensorFlow.js graph models: load one, and evaluate its nodes with NumPy.

The operations are those of MoveNet around its convolutions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Key = tuple[str, int]
"""One output of a node: the node's name and the output's number."""

_DTYPES: dict[str, type[np.generic]] = {
    'DT_FLOAT': np.float32, 'DT_INT32': np.int32, 'DT_BOOL': np.bool_, 'DT_INT64': np.int64,
    'float32': np.float32, 'int32': np.int32, 'bool': np.bool_, 'float16': np.float16,
}


class ConversionError(ValueError):
    """A graph or its package cannot be converted."""


class Node:
    """An operation of the graph, with its attributes decoded."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.name: str = spec['name']
        self.operation: str = spec['op']
        # '^name' orders two nodes without handing over a value.
        self.inputs = [parse_key(i) for i in spec.get('input', []) if not i.startswith('^')]
        self._attributes: dict[str, Any] = spec.get('attr') or {}

    def number(self, key: str) -> int:
        """Integer attribute, 0 if absent."""
        return int(self._attributes.get(key, {}).get('i', 0))

    def flag(self, key: str) -> bool:
        """Boolean attribute, false if absent."""
        return bool(self._attributes.get(key, {}).get('b', False))

    def text(self, key: str) -> str:
        """Text attribute."""
        return base64.b64decode(self._attributes[key]['s']).decode()

    def numbers(self, key: str) -> list[int]:
        """List of integers, empty if absent."""
        return [int(i) for i in self._attributes.get(key, {}).get('list', {}).get('i', [])]

    def texts(self, key: str) -> list[str]:
        """List of texts, empty if absent."""
        values = self._attributes.get(key, {}).get('list', {}).get('s', [])
        return [base64.b64decode(value).decode() for value in values]

    def dtype(self, key: str) -> type[np.generic]:
        """Element type."""
        return _DTYPES[self._attributes[key]['type']]

    def shape(self) -> list[int]:
        """Shape of a placeholder, -1 where it is open."""
        return [int(axis['size']) for axis in self._attributes['shape']['shape'].get('dim', [])]

    def sliced_axes(self, mask: str, axis: int) -> bool:
        """Whether the bit of an axis is set in a mask of ``StridedSlice``."""
        return bool(self.number(mask) >> axis & 1)


@dataclass(frozen=True)
class Graph:
    """A TensorFlow.js graph: nodes by name, output keys, constants, and which are float16."""

    nodes: dict[str, Node]
    outputs: list[Key]
    weights: dict[str, np.ndarray]
    half_precision: frozenset[str]


def parse_key(text: str) -> Key:
    """``'node:1'`` -> ``('node', 1)``."""
    name, _, number = text.partition(':')
    return name, int(number or 0)


def load_graph(model_json: bytes, read: Callable[[str], bytes]) -> Graph:
    """
    Load a TensorFlow.js graph model.

    :param model_json: the model's JSON file.
    :param read: gives the content of a weight file that the JSON names.
    :raises ConversionError: weights and manifest do not agree.
    """
    model = json.loads(model_json)
    weights: dict[str, np.ndarray] = {}
    half_precision = set()
    for group in model['weightsManifest']:
        content = b''.join(read(path) for path in group['paths'])
        offset = 0
        for spec in group['weights']:
            stored = np.dtype(_DTYPES[spec.get('quantization', spec)['dtype']])
            count = int(np.prod(spec['shape'], dtype=int))
            if offset + count * stored.itemsize > len(content):
                raise ConversionError(f'weights end before {spec["name"]}; fetch them again')
            array = np.frombuffer(content, stored, count, offset).reshape(spec['shape'])
            offset += array.nbytes
            if stored == np.float16:
                half_precision.add(spec['name'])
            weights[spec['name']] = array.astype(_DTYPES[spec['dtype']])
        if offset != len(content):
            raise ConversionError(f'weights hold {len(content) - offset} bytes too many')
    nodes = [Node(spec) for spec in model['modelTopology']['node']]
    outputs = [parse_key(output['name']) for output in model['signature']['outputs'].values()]
    return Graph({n.name: n for n in nodes}, outputs, weights, frozenset(half_precision))


def _strided_slice(node: Node, x: np.ndarray, *bounds: np.ndarray) -> np.ndarray:
    begin, end, step = bounds
    if node.number('ellipsis_mask'):
        raise ConversionError(f'{node.name}: slices with an ellipsis are not supported')
    index: list[int | slice | None] = []
    for axis in range(len(begin)):
        start = None if node.sliced_axes('begin_mask', axis) else int(begin[axis])
        stop = None if node.sliced_axes('end_mask', axis) else int(end[axis])
        if node.sliced_axes('new_axis_mask', axis):
            index.append(None)
        elif node.sliced_axes('shrink_axis_mask', axis):
            index.append(int(begin[axis]))
        else:
            index.append(slice(start, stop, int(step[axis])))
    return x[tuple(index)]


def _top_k(node: Node, x: np.ndarray, k: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(-x, -1, kind='stable')[..., : int(k)]
    return [np.take_along_axis(x, order, -1), order.astype(np.int32)]


def _not_zero(x: np.ndarray) -> np.ndarray:
    """Divisors that stand for the image are zeros here: only their shape counts."""
    return np.where(x == 0, 1, x).astype(x.dtype)


_Evaluate = Callable[..., Any]

ELEMENTWISE: dict[str, tuple[_Evaluate, str, str | None]] = {
    # operation: NumPy's function, TFLite's operator and the name of its options
    'Abs': (np.abs, 'ABS', 'Abs'),
    'AddN': (lambda *x: sum(x[1:], x[0]), 'ADD_N', 'AddN'),
    'AddV2': (np.add, 'ADD', 'Add'),
    'Equal': (np.equal, 'EQUAL', 'Equal'),
    'Exp': (np.exp, 'EXP', 'Exp'),
    'FloorDiv': (lambda x, y: x // _not_zero(y), 'FLOOR_DIV', 'FloorDiv'),
    'Greater': (np.greater, 'GREATER', 'Greater'),
    'GreaterEqual': (np.greater_equal, 'GREATER_EQUAL', 'GreaterEqual'),
    'Less': (np.less, 'LESS', 'Less'),
    'LogicalAnd': (np.logical_and, 'LOGICAL_AND', 'LogicalAnd'),
    'Maximum': (np.maximum, 'MAXIMUM', 'MaximumMinimum'),
    'Minimum': (np.minimum, 'MINIMUM', 'MaximumMinimum'),
    'Mul': (np.multiply, 'MUL', 'Mul'),
    'RealDiv': (lambda x, y: x / _not_zero(y), 'DIV', 'Div'),
    'Sigmoid': (lambda x: (1 / (1 + np.exp(-x))).astype(x.dtype), 'LOGISTIC', None),
    'Sqrt': (np.sqrt, 'SQRT', None),
    'SquaredDifference': (lambda x, y: (x - y) ** 2, 'SQUARED_DIFFERENCE', 'SquaredDifference'),
    'Sub': (np.subtract, 'SUB', 'Sub'),
    # not by element, but as plain to write
    'GatherNd': (lambda x, i: x[tuple(np.moveaxis(i, -1, 0))], 'GATHER_ND', 'GatherNd'),
    'Select': (
        lambda c, x, y: np.where(c.reshape(c.shape + (1,) * (x.ndim - c.ndim)), x, y),
        'SELECT', 'Select',
    ),
    'Tile': (np.tile, 'TILE', 'Tile'),
}
"""Operations without attributes, alike in NumPy and TFLite."""

_EVALUATE: dict[str, _Evaluate] = {
    'ArgMax': lambda n, x, axis: np.argmax(x, int(axis)).astype(n.dtype('output_type')),
    'Cast': lambda n, x: x.astype(n.dtype('DstT')),
    'ConcatV2': lambda n, *x: np.concatenate(x[:-1], int(x[-1])),
    'ExpandDims': lambda n, x, axis: np.expand_dims(x, int(axis)),
    'Fill': lambda n, shape, value: np.full(shape, value, value.dtype),
    'Identity': lambda n, x: x,
    'Max': lambda n, x, axes: np.max(x, tuple(np.atleast_1d(axes)), keepdims=n.flag('keep_dims')),
    'Pack': lambda n, *x: np.stack(x, n.number('axis')),
    'Range': lambda n, start, stop, step: np.arange(start, stop, step, dtype=start.dtype),
    'Reciprocal': lambda n, x: (1 / _not_zero(x)).astype(x.dtype),
    'Reshape': lambda n, x, shape: x.reshape(shape),
    'Shape': lambda n, x: np.array(x.shape, np.int32),
    'Size': lambda n, x: np.array(x.size, np.int32),
    'Split': lambda n, axis, x: np.split(x, n.number('num_split'), int(axis)),
    'Squeeze': lambda n, x: np.squeeze(x, tuple(n.numbers('squeeze_dims')) or None),
    'StridedSlice': _strided_slice,
    'Sum': lambda n, x, axes: np.sum(
        x, tuple(np.atleast_1d(axes)), x.dtype, keepdims=n.flag('keep_dims')
    ),
    'TopKV2': _top_k,
    'Unpack': lambda n, x: [np.take(x, i, n.number('axis')) for i in range(n.number('num'))],
}
_MANY_OUTPUTS = ('Split', 'TopKV2', 'Unpack')


def evaluate(node: Node, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """
    Compute the outputs of a node with NumPy.

    :raises ConversionError: the operation is not supported.
    """
    with np.errstate(all='ignore'):
        if node.operation in ELEMENTWISE:
            result = ELEMENTWISE[node.operation][0](*values)
        elif node.operation in _EVALUATE:
            result = _EVALUATE[node.operation](node, *values)
        else:
            raise ConversionError(f'{node.name}: {node.operation} is not supported')
    results = result if node.operation in _MANY_OUTPUTS else [result]
    return [np.asarray(value) for value in results]
