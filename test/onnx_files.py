"""Small ONNX files of the shapes of real pose networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper


def constant(name: str, value: Any) -> Any:
    """Return a node with a fixed output."""
    return helper.make_node('Constant', [], [name], value=helper.make_tensor(
        name, TensorProto.FLOAT, np.shape(value), np.ravel(value).astype(np.float32)))


def save(
    path: Path, outputs: dict[str, tuple[int | str, ...]], nodes: list[Any],
    size: tuple[int | str, int | str] = (64, 64), kind: int = TensorProto.FLOAT,
) -> Path:
    """Write a network of one image to a file."""
    def tensor(name: str, shape: tuple[int | str, ...], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, list(shape))

    graph = helper.make_graph(
        nodes, 'pose', [tensor('image', (1, 3, *size), kind)],
        [tensor(name, shape) for name, shape in outputs.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def keypoints(x: float, y: float, score: float = 0.9) -> np.ndarray:
    """Return 17 joints (17, 3) in a row, each one pixel further right."""
    return np.array([(x + i / 4, y, score) for i in range(17)])


def moody(path: Path) -> Path:
    """
    Write a network like RTMO that sees the same person in every image of 64 x 64 pixels.

    Where all are black, it tells keypoints of a person without a box; where all are white, they are
    no numbers.
    """
    def node(kind: str, inputs: str, output: str, **options: Any) -> Any:
        return helper.make_node(kind, inputs.split(), [output], **options)

    return save(path, {'dets': (1, 'n', 5), 'keypoints': (1, 'm', 17, 3)}, [
        node('ReduceMean', 'image', 'mean', axes=[1, 2, 3], keepdims=0),
        constant('zero', [0.0]), constant('top', [255.0]),
        constant('box', [[(24, 8, 40, 56, 0.9)]]),
        constant('points', keypoints(30, 20)[None, None]),
        node('Greater', 'mean zero', 'is_lit'),
        node('Compress', 'box is_lit', 'dets', axis=1),
        node('Sub', 'top mean', 'left'), node('Div', 'left left', 'one'),
        node('Mul', 'points one', 'keypoints')])
