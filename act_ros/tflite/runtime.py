"""
TensorFlow Lite runtimes, and ONNX Runtime, behind one door.

A robot rarely carries TensorFlow, but it carries one of the small interpreters. All of them have
the same Python interface, so the project asks here for an interpreter and never imports one itself.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import operator
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from act_ros.core.stderr import collecting
from act_ros.core.text import printable
from act_ros.tflite.errors import ModelError
from act_ros.tflite.flatbuffer import check_offsets
from act_ros.tflite.onnx import OnnxInterpreter

RUNTIME_VARIABLE = 'ACT_ROS_RUNTIME'
"""Environment variable that forces one of ``RUNTIMES``."""

CHECKSUMS = 'SHA256SUMS'
"""File beside models that lists checksums, as ``sha256sum`` writes and checks it."""

RUNTIMES = {
    'ai_edge_litert': ('ai_edge_litert.interpreter', 'Interpreter'),
    'tflite_runtime': ('tflite_runtime.interpreter', 'Interpreter'),
    'tensorflow.lite': ('tensorflow', 'lite.Interpreter'),  # its own module hides the class
}
"""Module and class of each runtime, by preference: the small one, its ancestor, the big one."""

LARGEST = 1 << 28
"""Bytes of the largest model that is opened: twenty times the largest that ships."""

_INFO = re.compile('INFO: ')
_log = logging.getLogger(__name__)
_has_spoken = False
_IDENTIFIER = b'TFL3'  # bytes 4..8 of every TFLite flatbuffer
_ONNX = b'\x08'  # the first byte of an ONNX file: its version comes first


class Interpreter(Protocol):
    """The part of the TFLite interpreter that this project uses."""

    def allocate_tensors(self) -> None: ...
    def resize_tensor_input(self, input_index: int, tensor_size: Any) -> None: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def set_tensor(self, tensor_index: int, value: np.ndarray) -> None: ...
    def get_tensor(self, tensor_index: int) -> np.ndarray: ...
    def invoke(self) -> None: ...


def find_runtime() -> tuple[str, Callable[..., Interpreter]]:
    """
    Return name and interpreter class of the first TFLite runtime that imports.

    :raises ModelError: there is none, or not the one that ``RUNTIME_VARIABLE`` forces.
    """
    wanted = os.environ.get(RUNTIME_VARIABLE)
    if wanted and wanted not in RUNTIMES:
        raise ModelError(
            f'unknown TFLite runtime {wanted!r}: the environment variable {RUNTIME_VARIABLE} takes '
            f'one of {", ".join(RUNTIMES)}')
    reasons = []
    for name in (wanted,) if wanted else RUNTIMES:
        try:
            module, attribute = RUNTIMES[name]
            return name, operator.attrgetter(attribute)(importlib.import_module(module))
        # A runtime built against another NumPy or libstdc++ fails with other errors than
        # ImportError: it is as good as absent, but the user must see why.
        except (ImportError, AttributeError, OSError) as error:
            reasons.append(f'{name}: {error}')
    if wanted:
        raise ModelError(
            f'the TFLite runtime that the environment variable {RUNTIME_VARIABLE} forces cannot be '
            f'imported; install it, or unset the variable ({reasons[0]})')
    raise ModelError(
        'no TensorFlow Lite runtime can be imported; install one with '
        f'`pip install ai-edge-litert` ({"; ".join(reasons)})'
    )


def runtime_name() -> str:
    """Name of the runtime ``load_interpreter`` uses; errors as ``find_runtime``."""
    return find_runtime()[0]


def load_interpreter(model: str | Path | bytes, num_threads: int = 1) -> Interpreter:
    """
    Open a TFLite model and allocate its tensors; an ONNX model is opened by ONNX Runtime.

    :param model: path of a ``.tflite`` or ``.onnx`` file, or its bytes: the content tells which.
    :param num_threads: CPU threads of one inference, at least 1.
    :raises ModelError: file missing, empty, not a valid model or not the one that a list
        of checksums beside it names, or no runtime installed.
    :raises ValueError: ``num_threads`` is less than 1.
    """
    if num_threads < 1:
        raise ValueError(f'num_threads must be at least 1, not {num_threads}')
    label = 'model' if isinstance(model, bytes) else f'model {model}'
    # Always by content: several runtimes verify bytes, but trust a file and crash on damage.
    content = model if isinstance(model, bytes) else _read(model)
    if content[:1] == _ONNX and content[4:8] != _IDENTIFIER:
        return OnnxInterpreter(content, label, num_threads)
    _check_content(content, label)
    name, interpreter_class = find_runtime()
    try:
        with _first_words():
            interpreter = interpreter_class(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
        interpreter.get_input_details()  # fails where names are not text
        interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f'{label} cannot be opened with {name} ({str(error).strip()}): either the file is '
            'damaged, then fetch it again and compare its checksum; or the runtime is too old, '
            'then `pip install --upgrade ai-edge-litert`'
        ) from error
    return interpreter


@contextmanager
def _first_words() -> Iterator[None]:
    """Keep off the terminal what a runtime says of itself, once, when it opens its first model."""
    global _has_spoken
    if _has_spoken:
        yield
        return
    _has_spoken = True
    with collecting(_INFO) as words:
        yield
    for word in words:
        _log.debug(printable(word))


def _read(path: str | Path) -> bytes:
    """Return a file's content; where ``SHA256SUMS`` beside it lists the file, that must agree."""
    path = Path(path)
    sums = path.with_name(CHECKSUMS)
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f'model {path} is larger than {LARGEST >> 20} MiB')
        content = path.read_bytes()
        listed = sums.read_text(encoding='utf-8').splitlines() if sums.is_file() else []
    except FileNotFoundError as error:
        raise ModelError(f'model {path} does not exist') from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f'model {path} or {sums.name} cannot be read: {error}') from error
    digest = hashlib.sha256(content).hexdigest()
    for line in listed:
        wanted, _, name = line.partition(' ')
        if name.lstrip(' *') == path.name and wanted != digest:
            raise ModelError(
                f'model {path} is not the one that {sums} lists: its SHA-256 is {digest}; fetch '
                'it again, or correct the list if the file was replaced on purpose')
    return content


def _check_content(content: bytes, label: str) -> None:
    """Refuse what is not TFLite, or not whole, before native code gets to see it."""
    if not content:
        raise ModelError(f'{label} is empty; fetch it again')
    if content[4:8] != _IDENTIFIER:
        raise ModelError(
            f'{label} is not a TensorFlow Lite model: it lacks the identifier TFL3 '
            '(a text file in its place is often an unfetched Git LFS pointer)'
        )
    try:
        check_offsets(content)
    except ValueError as error:
        raise ModelError(
            f'{label} is damaged ({error}); fetch it again and compare its checksum'
        ) from error
