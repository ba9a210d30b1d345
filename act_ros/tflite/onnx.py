"""
ONNX Runtime (the extra ``onnx``), on whatever execution provider is installed.

Pose networks use its session; a model bundle's network is served through the interface of a TFLite
interpreter, so that nobody above has to know which of the two it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.core.text import printable
from act_ros.tflite.errors import ModelError

PROVIDERS = {
    'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider', 'openvino': 'OpenVINOExecutionProvider'}
"""Execution providers by the names that users give them."""
CPU = ('cpu', PROVIDERS['cpu'])
"""Both names of the one that is always there."""

DTYPES = {'tensor(float)': np.float32, 'tensor(float16)': np.float16}


def open_session(
    model: Path | bytes, label: str, num_threads: int, providers: Sequence[str] = (),
) -> Any:
    """
    Return an ONNX Runtime session.

    :param label: what to call the model in errors.
    :param providers: names of `PROVIDERS`, or ONNX Runtime's own, by preference; none: the CPU.
    :raises ModelError: no runtime or provider, or a damaged file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModelError(f'{label} needs ONNX Runtime: pip install onnxruntime') from error
    asked = [PROVIDERS.get(name, name) for name in providers or ['cpu']]
    missing = sorted(set(asked) - set(onnxruntime.get_available_providers()))
    if missing:
        raise ModelError(
            f'this ONNX Runtime has no {", ".join(map(printable, missing))}; it has '
            f'{", ".join(onnxruntime.get_available_providers())}')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=asked)
    except Exception as error:  # ONNX Runtime has an error class for each of its codes
        raise ModelError(f'cannot load the {label}: {printable(error)}') from error


class OnnxInterpreter:
    """An ONNX model as an `act_ros.tflite.runtime.Interpreter`, on the CPU."""

    def __init__(self, content: bytes, label: str, num_threads: int) -> None:
        self._session = open_session(content, label, num_threads)
        self._inputs, self._outputs = self._session.get_inputs(), self._session.get_outputs()
        self._values: dict[str, np.ndarray] = {}
        self._results: list[np.ndarray] = []

    def get_input_details(self) -> list[dict[str, Any]]:
        """Return name, index, shape (1 where it is left open) and dtype of each input."""
        return [_details(i, tensor) for i, tensor in enumerate(self._inputs)]

    def get_output_details(self) -> list[dict[str, Any]]:
        """Return the same of each output."""
        return [_details(i, tensor) for i, tensor in enumerate(self._outputs)]

    def allocate_tensors(self) -> None:
        """Do nothing: a session takes inputs of any size that the model allows."""

    def resize_tensor_input(self, input_index: int, tensor_size: Any) -> None:
        """Do nothing, for the same reason."""

    def set_tensor(self, tensor_index: int, value: np.ndarray) -> None:
        """Set an input."""
        self._values[self._inputs[tensor_index].name] = value

    def invoke(self) -> None:
        """Run the network; RuntimeError where it does not run."""
        try:
            self._results = self._session.run(None, self._values)
        except Exception as error:  # as above
            raise RuntimeError(printable(error)) from error

    def get_tensor(self, tensor_index: int) -> np.ndarray:
        """Return an output."""
        return self._results[tensor_index]


def _details(index: int, tensor: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
    return {'name': tensor.name, 'index': index, 'shape': np.array(shape, np.int32),
            'dtype': DTYPES.get(tensor.type, object)}
