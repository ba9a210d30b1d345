"""A bundle that does not fit is refused at load: one error, with the file and the cause."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from synthetic import LABELS, bundle_of, motion_weights, tiny_model

from act_ros.actions.bundle import Bundle, BundleError, load_bundle, save_bundle
from act_ros.actions.classifier import ActClassifier


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny bundle to spoil."""
    for suffix in ('.tflite', '.yaml'):
        shutil.copy(tiny_bundle.with_suffix(suffix), tmp_path)
    return tmp_path / 'tiny.tflite'


def refusal(path: Path, about: Path, *words: str, error: type[Exception] = BundleError) -> None:
    """Check that the bundle is refused with a message naming the file and the words."""
    with pytest.raises(error) as caught:
        ActClassifier(path)
    message = str(caught.value)
    assert message.startswith((str(about), 'model'))
    for word in (about.name, *words):
        assert word in message
    assert 'Traceback' not in message


def change_card(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change the .yaml in place and return its path."""
    card = path.with_suffix('.yaml')
    values = yaml.safe_load(card.read_text())
    change(values)
    card.write_text(yaml.safe_dump(values))
    return card


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    bundle = bundle_of(
        labels=('eins', 'zwei', 'händeklatschen'), trusted_labels=('zwei',), members=3,
        min_frames=2, training={'data': ['a', 'b'], 'epochs': 3}, metrics={'accuracy': 0.5})
    path = save_bundle(tmp_path / 'new' / 'folder', bundle, tiny_model())
    assert path == tmp_path / 'new' / 'folder' / 'tiny.tflite'
    for name in (path, path.with_suffix('.yaml')):
        loaded, model = load_bundle(name)
        assert model == tiny_model()
        assert loaded == dataclasses.replace(
            bundle, sha256=hashlib.sha256(tiny_model()).hexdigest())
        assert loaded.num_features == 52
    assert sorted(file.name for file in path.parent.iterdir()) == ['tiny.tflite', 'tiny.yaml']


@pytest.mark.parametrize('name', ['tiny.tflite', 'tiny.yaml'])
def test_a_failure_while_writing_leaves_what_was_there(
    bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {file: file.read_bytes() for file in bundle.parent.iterdir()}
    replace = os.replace

    def fail(source: str, target: Path) -> None:
        if target.name == name:
            raise OSError('disk full')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        save_bundle(bundle.parent, bundle_of(), tiny_model(2 * motion_weights()))
    assert {file: file.read_bytes() for file in bundle.parent.iterdir()} == before
    ActClassifier(bundle)


def test_missing_files(bundle: Path) -> None:
    bundle.with_suffix('.yaml').unlink()
    refusal(bundle, bundle.with_suffix('.yaml'), 'does not exist', 'side by side')
    bundle.unlink()
    refusal(bundle, bundle, 'does not exist', error=FileNotFoundError)


def test_a_card_without_its_model(bundle: Path) -> None:
    bundle.unlink()
    refusal(bundle.with_suffix('.yaml'), bundle, 'does not exist')


def test_a_changed_model_is_refused_but_can_be_forced(bundle: Path) -> None:
    bundle.write_bytes(tiny_model(2 * motion_weights()))
    refusal(bundle, bundle, 'SHA-256', 'tiny.yaml', 'export the model anew')
    assert ActClassifier(bundle, check_sum=False).labels == LABELS


@pytest.mark.parametrize('damage', [
    lambda model: b'', lambda model: model[:len(model) // 2], lambda model: model[:6],
    lambda model: b'version https://git-lfs.github.com/spec/v1',
    lambda model: model[:4] + b'XXXX' + model[8:],
])
def test_a_damaged_model_is_refused(bundle: Path, damage: Callable[[bytes], bytes]) -> None:
    save_bundle(bundle.parent, bundle_of(), damage(tiny_model()))
    refusal(bundle, bundle)


@pytest.mark.parametrize(('text', 'word'), [
    ('labels: [a, b', 'not valid YAML'), ('\t- x', 'not valid YAML'),
    ('', 'must be a YAML mapping'), ('- a\n- b', 'must be a YAML mapping'),
    ('just text', 'must be a YAML mapping'),
    ('{}', 'schema None'), ('schema: 2', 'schema 2'), ('schema: "1"', "schema '1'"),
    ('schema: 1', 'lacks: frame_rate, labels, layout'),
])
def test_a_card_that_is_not_one(bundle: Path, text: str, word: str) -> None:
    card = bundle.with_suffix('.yaml')
    card.write_text(text)
    refusal(bundle, card, word)


@pytest.mark.parametrize('suffix', ['.tflite', '.yaml'])
def test_a_file_too_large_is_refused_before_it_is_read(bundle: Path, suffix: str) -> None:
    os.truncate(bundle.with_suffix(suffix), 1 << 40)
    refusal(bundle, bundle.with_suffix(suffix), 'has more than')


@pytest.mark.parametrize('suffix', ['.tflite', '.yaml'])
def test_a_file_that_may_not_be_read(
    bundle: Path, suffix: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not said to be damaged."""
    file, read = bundle.with_suffix(suffix), Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, 'read_bytes', refuse)
    refusal(bundle, file, 'cannot be read: Permission denied')


def test_a_binary_card(bundle: Path) -> None:
    card = bundle.with_suffix('.yaml')
    card.write_bytes(b'\xff\xfe\x00\x01')
    refusal(bundle, card, 'not valid YAML')


REQUIRED = ('name', 'labels', 'layout', 'num_frames', 'min_frames', 'frame_rate', 'temperature',
            'unknown_threshold', 'sha256')


@pytest.mark.parametrize('key', REQUIRED)
def test_a_missing_key(bundle: Path, key: str) -> None:
    refusal(bundle, change_card(bundle, lambda card: card.pop(key)), 'lacks', key)


def test_unknown_keys(bundle: Path) -> None:
    extra: dict[Any, Any] = {'window': 1, 7: 2}
    card = change_card(bundle, lambda card: card.update(extra))
    refusal(bundle, card, 'does not know: 7, window')


@pytest.mark.parametrize(('key', 'value', 'word'), [
    ('name', 3, 'name must be str'),
    ('name', 'a/b', 'plain file name'),
    ('labels', 'walk', 'labels must be'),
    ('labels', ['walk'], 'two or more'),
    ('labels', ['walk', 'wave', 3], 'non-empty names'),
    ('labels', ['walk', 'wave', ''], 'non-empty names'),
    ('labels', ['walk', 'wave', 'walk'], 'differ'),
    *(('labels', ['walk', 'wave', f'sit{bad}'], 'must be printable')
      for bad in ('\n[FATAL]', '\x00', '\x1b[2J', '\ud800', '\u202e', 'x' * 100)),
    ('name', 'tiny\n', 'must be printable'),
    ('labels', [['walk'], ['wave'], ['x']], ''),
    ('labels', ['walk', 'wave'], '2 labels'),
    ('labels', [*LABELS, 'run'], '4 labels'),
    ('trusted_labels', ['fly'], 'trusted_labels must be labels'),
    ('layout', 'kinect', "unknown keypoint layout 'kinect'"),
    ('layout', 'coco17', '68 a frame'),
    ('layout', None, 'layout must be str'),
    ('num_frames', 30.0, 'num_frames must be int'),
    ('num_frames', True, 'num_frames must be int'),
    ('num_frames', 5, 'min_frames <= num_frames'),
    ('min_frames', 1, '2 <= min_frames'),
    ('frame_rate', 'fast', 'frame_rate must be float'),
    ('frame_rate', 0, 'frame_rate must lie'),
    ('frame_rate', float('nan'), 'frame_rate must lie'),
    ('temperature', 0.0, 'temperature must lie'),
    ('temperature', float('inf'), 'temperature must lie'),
    ('unknown_threshold', 1.0, 'unknown_threshold must lie'),
    ('unknown_threshold', -0.1, 'unknown_threshold must lie'),
    ('members', 0, 'members must be'),
    ('attention', 1, 'attention must be bool'),
    ('attention', True, '1 outputs, the bundle wants 1 and 2'),
    ('normalisation', 'mpose-v0', 'mpose-v1, motion-v1'),
    ('training', [], 'training must be dict'),
    ('sha256', '0' * 64, 'SHA-256'),
    ('sha256', '', 'the .yaml says nothing'),
])
def test_a_value_that_does_not_fit(bundle: Path, key: str, value: Any, word: str) -> None:
    card = change_card(bundle, lambda card: card.update({key: value}))
    refusal(bundle, card.with_suffix(''), word)  # whichever of the two files is at fault


@pytest.mark.parametrize(('model', 'changes', 'word'), [
    (tiny_model(outputs=('logits', 'attention')), {}, '2 outputs, the bundle wants 1 and 1'),
    (tiny_model(outputs=('attention', 'logits')), {'attention': True}, 'but the bundle names 3'),
    (tiny_model(outputs=('logits', 'mean')), {'attention': True}, 'gives attention of shape'),
    (tiny_model(outputs=('mean',), dtype='INT32'), {}, 'must be float32'),
    (tiny_model(np.zeros((3, 68), np.float32)), {}, '52 a frame'),
    (tiny_model(np.full((3, 52), np.nan, np.float32)), {}, 'not finite'),
    (tiny_model(np.full((3, 52), 3e38, np.float32)), {}, 'not finite'),  # 0 is no trial
])
def test_a_model_that_is_not_what_the_card_says(
    tmp_path: Path, model: bytes, changes: dict[str, Any], word: str,
) -> None:
    path = save_bundle(tmp_path, bundle_of(**changes), model)
    refusal(path, path, word)


@pytest.mark.parametrize('changes', [
    {'min_frames': 2, 'num_frames': 2}, {'num_frames': 1000}, {'frame_rate': 1.0},
    {'frame_rate': 240.0}, {'pose_smoothing': 1.0}, {'temperature': 0.01},
    {'temperature': 100.0}, {'unknown_threshold': 0.0}, {'trusted_labels': LABELS}])
def test_what_just_fits_is_taken(changes: dict[str, Any]) -> None:
    bundle_of(**changes)


def test_a_bundle_cannot_be_described_wrongly_either() -> None:
    with pytest.raises(ValueError, match='frame_rate must lie.*members must be'):
        Bundle('x', ('a', 'b'), 'coco17', 30, 10, -1.0, 1.0, 0.5, members=0)


def test_a_bare_name_is_sought_in_the_models_folder() -> None:
    with pytest.raises(FileNotFoundError, match="no model 'act_xxl'.*available: act_mu\\. "):
        ActClassifier('act_xxl')
