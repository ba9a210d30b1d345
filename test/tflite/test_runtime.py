"""TFLite runtimes: which one is taken, and what the user reads when a model cannot be opened."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_ros.core.resources import find_model, find_resource
from act_ros.tflite import runtime
from act_ros.tflite.errors import ModelError
from act_ros.tflite.flatbuffer import check_offsets
from act_ros.tflite.runtime import load_interpreter, runtime_name

MODEL = find_model('movenet_lightning')


def test_installed_runtime_is_found_and_runs() -> None:
    assert runtime_name() in runtime.RUNTIMES
    interpreter = load_interpreter(MODEL)
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details['index'], np.zeros(details['shape'], details['dtype']))
    interpreter.invoke()
    keypoints = interpreter.get_tensor(interpreter.get_output_details()[0]['index'])
    assert keypoints.shape == (1, 1, 17, 3)
    assert np.isfinite(keypoints).all()


def test_the_runtime_keeps_what_it_is_made_of_to_itself() -> None:
    """Whoever wants to know turns on Python's debug log."""
    code = ('import logging, sys; logging.basicConfig(level=sys.argv[1]); '
            'from act_ros.tflite.runtime import load_interpreter; load_interpreter(sys.argv[2])')
    plain, debug = [subprocess.run(
        [sys.executable, '-c', code, level, str(MODEL)], stderr=subprocess.PIPE, text=True,
        check=True).stderr for level in ('INFO', 'DEBUG')]
    assert plain == ''
    assert all(line.startswith('DEBUG:') for line in debug.splitlines())


@pytest.mark.parametrize('name', runtime.RUNTIMES)
def test_every_installed_runtime_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str,
) -> None:
    monkeypatch.setenv(runtime.RUNTIME_VARIABLE, name)
    try:
        forced = load_interpreter(MODEL)
    except ModelError as error:
        pytest.skip(str(error))
    monkeypatch.delenv(runtime.RUNTIME_VARIABLE)
    image = np.random.default_rng(3).integers(0, 256, (1, 192, 192, 3), dtype=np.int32)
    answers = []
    for interpreter in (forced, load_interpreter(MODEL)):
        interpreter.set_tensor(interpreter.get_input_details()[0]['index'], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]['index']))
    np.testing.assert_allclose(answers[0], answers[1], atol=2e-3)


def test_bytes_and_path_are_the_same_model() -> None:
    by_path, by_bytes = load_interpreter(MODEL), load_interpreter(MODEL.read_bytes())
    assert by_path.get_output_details()[0]['name'] == by_bytes.get_output_details()[0]['name']


def _block(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make the import of runtimes fail as if they were not installed, and none be preferred."""
    monkeypatch.delenv(runtime.RUNTIME_VARIABLE, raising=False)
    for name in names:
        monkeypatch.setitem(sys.modules, runtime.RUNTIMES[name][0], None)


def test_next_runtime_is_taken_if_the_first_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    ancestor = types.ModuleType('tflite_runtime.interpreter')
    ancestor.Interpreter = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'tflite_runtime', types.ModuleType('tflite_runtime'))
    monkeypatch.setitem(sys.modules, 'tflite_runtime.interpreter', ancestor)
    _block(monkeypatch, 'ai_edge_litert')
    name, interpreter_class = runtime.find_runtime()
    assert name == 'tflite_runtime'
    assert interpreter_class is ancestor.Interpreter


def test_without_any_runtime_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _block(monkeypatch, *runtime.RUNTIMES)
    with pytest.raises(ModelError, match='pip install ai-edge-litert') as caught:
        load_interpreter(MODEL)
    for name in runtime.RUNTIMES:
        assert name in str(caught.value)


def test_forced_runtime_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _block(monkeypatch, 'tflite_runtime')
    monkeypatch.setenv(runtime.RUNTIME_VARIABLE, 'tflite_runtime')
    with pytest.raises(ModelError, match=r'ACT_ROS_RUNTIME forces .* unset .*tflite_runtime: '):
        load_interpreter(MODEL)


def test_unknown_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.RUNTIME_VARIABLE, 'onnx')
    with pytest.raises(ModelError, match=r"'onnx'.*ai_edge_litert"):
        runtime_name()


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'absent\.tflite does not exist'):
        load_interpreter(tmp_path / 'absent.tflite')
    with pytest.raises(ModelError, match='cannot be read'):
        load_interpreter(tmp_path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'TFL3', 'is not a TensorFlow Lite model'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'unfetched Git LFS pointer'),
        (b'\x1c\0\0\0TFL3', 'is damaged'),
        (b'\x1c\0\0\0TFL3' + bytes(range(256)) * 64, 'is damaged'),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / 'broken.tflite'
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_interpreter(path)
    assert 'broken.tflite' in str(caught.value)
    with pytest.raises(ModelError, match=message):
        load_interpreter(content)


@pytest.mark.parametrize('share', [0.001, 0.3, 0.98, 0.9999])
def test_truncated_model_is_refused(tmp_path: Path, share: float) -> None:
    content = MODEL.read_bytes()
    path = tmp_path / 'truncated.tflite'
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r'truncated\.tflite is damaged.*checksum'):
        load_interpreter(path)


@given(share=st.floats(0, 0.9999))
@settings(max_examples=50)
def test_every_truncation_is_noticed_before_native_code(share: float) -> None:
    content = MODEL.read_bytes()
    with pytest.raises(ValueError, match=r'offset|cut off|layout'):
        check_offsets(content[: int(len(content) * share)])


@given(place=st.integers(0, 4000), value=st.binary(min_size=1, max_size=8))
@settings(max_examples=50)
def test_overwritten_bytes_never_raise_anything_else(place: int, value: bytes) -> None:
    content = bytearray(MODEL.read_bytes())
    content[place : place + len(value)] = value
    with contextlib.suppress(ValueError):
        check_offsets(bytes(content))


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    """As large as the disk, or, with holes, larger."""
    with (tmp_path / 'huge.tflite').open('wb') as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match='huge.tflite is larger than 256 MiB'):
        load_interpreter(tmp_path / 'huge.tflite')


def test_whole_models_pass() -> None:
    for path in MODEL.parent.glob('*.tflite'):
        check_offsets(path.read_bytes())


@pytest.mark.parametrize('threads', [0, -1])
def test_threads_must_be_positive(threads: int) -> None:
    with pytest.raises(ValueError, match=f'num_threads must be at least 1, not {threads}'):
        load_interpreter(MODEL, threads)


def test_what_is_no_model() -> None:
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_model('./no/such.tflite')
    with pytest.raises(FileNotFoundError, match='empty'):
        find_model('')


def test_model_is_found_by_name_file_name_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the folder of the user does not matter
    assert find_model('movenet_lightning') == find_model('movenet_lightning.tflite') == MODEL
    assert find_model(MODEL) == MODEL
    mine = tmp_path / MODEL.name
    mine.write_bytes(b'')
    assert find_model(MODEL.name) == MODEL
    assert find_model(f'./{MODEL.name}').samefile(mine)
    (tmp_path / 'mine.tflite').write_bytes(b'')
    assert find_model('mine.tflite').samefile(tmp_path / 'mine.tflite')


def test_resource_that_is_absent_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=re.escape('media/absent.mp4')):
        find_resource('media/absent.mp4')


def test_checksums_of_all_models() -> None:
    # A bundle's checksum is in its own .yaml, and is checked whenever it is loaded.
    manifest = find_resource('models/SHA256SUMS')
    expected = {}
    for line in manifest.read_text().splitlines():
        checksum, name = line.split(maxsplit=1)
        expected[name] = checksum
    files = {path.name: path for path in manifest.parent.glob('*.tflite')
             if not path.with_suffix('.yaml').exists()}
    assert files.keys() == expected.keys()
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == expected[name], name


def test_a_model_that_is_not_the_one_listed_is_refused(tmp_path: Path) -> None:
    model = tmp_path / MODEL.name
    shutil.copy(MODEL, model)
    sums = tmp_path / 'SHA256SUMS'
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    sums.write_text(f'{"0" * 64}  other.tflite\n{digest} *{model.name}\n')
    load_interpreter(model)
    sums.write_text(f'{"0" * 64}  {model.name}\n')
    with pytest.raises(ModelError, match=rf'{model} is not the one .*SHA256SUMS lists: .*{digest}'):
        load_interpreter(model)
    sums.write_bytes(b'\xff\xfe')
    with pytest.raises(ModelError, match='SHA256SUMS cannot be read'):
        load_interpreter(model)
