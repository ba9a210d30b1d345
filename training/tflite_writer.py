"""Build a TensorFlow Lite file of one graph, tensor by tensor and operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TENSOR_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
"""TFLite's number for an element type."""

_VERSIONS = {'RESIZE_BILINEAR': 3, 'DEQUANTIZE': 3}  # with half pixels, of float16; others are 1
_ALIGNMENT = 16  # of constants, bytes: kernels read them in place


class TfliteWriter:
    """
    A model under construction.

    Tensors are known by their number. ``inputs`` lists those that the model's user fills.
    """

    def __init__(self) -> None:
        self.inputs: list[int] = []
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._buffers: list[Any] = [_Buffer()]  # the first one is empty by definition
        self._codes: list[Any] = []
        self._code_numbers: dict[str, int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bool, bytes], int] = {}

    def tensor(
        self, name: str, shape: Sequence[int], dtype: np.dtype | type[np.generic],
        content: np.ndarray | None = None,
    ) -> int:
        """Add a tensor; with content it is a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, [int(axis) for axis in shape]
        tensor.type, tensor.buffer = TENSOR_TYPES[np.dtype(dtype)], 0
        if content is not None:
            tensor.buffer = len(self._buffers)
            self._buffers.append(_Buffer(np.ascontiguousarray(content).tobytes()))
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, value: np.ndarray, name: str = 'c', half_precision: bool = False) -> int:
        """
        Add a constant tensor, or find the one that holds the same.

        :param half_precision: store float32 as float16, to be widened when the model is loaded.
        """
        key = (value.dtype.str, value.shape, half_precision, value.tobytes())
        if key not in self._constants:
            if half_precision:
                stored = self.tensor(
                    name + '_f16', value.shape, np.float16, value.astype(np.float16)
                )
                self._constants[key] = self.tensor(name, value.shape, np.float32)
                self.operator('DEQUANTIZE', [stored], [self._constants[key]])
            else:
                self._constants[key] = self.tensor(name, value.shape, value.dtype, value)
        return self._constants[key]

    def operator(
        self, code: str, inputs: list[int], outputs: list[int], kind: str | None = None,
        **options: Any,
    ) -> None:
        """
        Add an operator.

        :param code: name in the schema's ``BuiltinOperator``.
        :param kind: name of its options in the schema's ``BuiltinOptions``, without the ending.
        :param options: fields of these options.
        :raises AttributeError: the schema does not know a name.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_number(code)
        operator.inputs, operator.outputs = inputs, outputs
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind + 'Options')
            operator.builtinOptions = getattr(schema, kind + 'OptionsT')()
            for name, value in options.items():
                getattr(operator.builtinOptions, name)  # a misspelt field must not pass
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)

    def _code_number(self, name: str) -> int:
        if name not in self._code_numbers:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # for readers before 2021
            code.version = _VERSIONS.get(name, 1)
            self._code_numbers[name] = len(self._codes)
            self._codes.append(code)
        return self._code_numbers[name]

    def finish(self, outputs: list[int]) -> bytes:
        """Return the content of the file, with these tensors as the model's outputs."""
        graph = schema.SubGraphT()
        graph.name, graph.inputs, graph.outputs = 'main', self.inputs, outputs
        graph.tensors, graph.operators = self._tensors, self._operators
        model = schema.ModelT()
        model.version, model.description = 3, 'tfjs2tflite'
        model.buffers, model.operatorCodes, model.subgraphs = self._buffers, self._codes, [graph]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b'TFL3')
        return bytes(builder.Output())


class _Buffer(schema.BufferT):
    """
    Content of a constant.

    The generated class writes it byte by byte, without alignment; this one copies it as a block.
    """

    def __init__(self, content: bytes | None = None) -> None:
        super().__init__()
        self._content = content

    def Pack(self, builder: flatbuffers.Builder) -> int:
        if self._content is None:
            schema.BufferStart(builder)
            return schema.BufferEnd(builder)
        size = len(self._content)
        builder.StartVector(1, size, _ALIGNMENT)
        builder.head = builder.head - size
        builder.Bytes[builder.head : builder.head + size] = self._content
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
