"""Where the files of the project are: beside the code in use, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from act_ros.actions.classifier import ActClassifier
from act_ros.core import resources
from act_ros.persons.models import create_estimator

PACKAGES = 'lib/python3.12/site-packages'


@pytest.mark.parametrize(('code', 'home', 'others'), [
    ('ws/src/act_ros', 'ws/src/act_ros', ('models', 'ws/models', 'ws/src/share/act_ros/models')),
    (f'ws/.venv/{PACKAGES}', 'ws/.venv/share/act_ros', ('ws/models', 'ws/.venv/models')),
    # As colcon has it, of Ubuntu's Python too, whose packages are below local/.
    (f'ws/install/act_ros/{PACKAGES}', 'ws/install/act_ros/share/act_ros',
     ('ws/src/act_ros/models', 'ws/install/models', 'ws/install/act_ros/models')),
    ('ws/install/act_ros/local/lib/python3.10/dist-packages', 'ws/install/act_ros/share/act_ros',
     ('ws/share/act_ros/models', 'models')),
])
def test_models_are_those_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, home: str,
    others: tuple[str, ...],
) -> None:
    """Whatever is called so further out is a stranger's."""
    module = tmp_path / code / 'act_ros/core/resources.py'
    module.parent.mkdir(parents=True)
    # `colcon build --symlink-install` links each module into the source.
    module.symlink_to(resources.__file__)
    (tmp_path / home / 'models').mkdir(parents=True)
    (tmp_path / home / 'package.xml').touch()
    (tmp_path / home / 'models/own.tflite').touch()
    for other in others:
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / other / 'stranger.tflite').touch()
    monkeypatch.setattr(resources, '__file__', str(module))
    assert resources.find_model('own') == tmp_path / home / 'models/own.tflite'
    assert resources.find_resource('models/own.tflite').is_file()
    with pytest.raises(FileNotFoundError, match='available: own[.]'):
        resources.find_model('stranger')
    with pytest.raises(FileNotFoundError, match='neither in'):
        resources.find_resource('models/stranger.tflite')


def test_code_without_its_files_finds_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as an act_ros that was copied somewhere."""
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models/stranger.tflite').touch()
    monkeypatch.setattr(resources, '__file__', str(tmp_path / 'a/act_ros/core/resources.py'))
    with pytest.raises(FileNotFoundError, match='available: none'):
        resources.find_model('stranger')


def test_an_unknown_model_lists_those_of_its_kind() -> None:
    """A name from these lists can be used in its place."""
    with pytest.raises(FileNotFoundError, match='available: fast, balanced, far, movenet') as pose:
        create_estimator('fats')
    assert 'act_mu' not in str(pose.value)
    with pytest.raises(FileNotFoundError, match='available: act_mu[.] Give'):
        ActClassifier('act')


def test_a_network_for_onnx_runtime_is_listed_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its bare name it would not be found."""
    monkeypatch.setattr(resources, '_folder', lambda _: tmp_path)
    for name in ('rtmo.onnx', 'movenet.tflite', 'act.tflite', 'act.onnx', 'act.yaml'):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match='available: movenet, rtmo.onnx[.]'):
        resources.find_model('x')
    with pytest.raises(FileNotFoundError, match='available: act, act.onnx[.]'):
        resources.find_model('x', is_bundle=True)
    assert resources.find_model('rtmo.onnx') == tmp_path / 'rtmo.onnx'


@pytest.mark.parametrize('suffix', ['tflite', 'onnx'])
def test_the_path_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str,
) -> None:
    """With a folder in it, from home on, or where the program was started."""
    own = tmp_path / f'own.{suffix}'
    own.touch()
    (tmp_path / 'own.txt').touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert resources.find_model(str(own)) == resources.find_model(f'~/{own.name}') == own
    assert resources.find_model(own.name) == Path(own.name)
    for other in (f'./other.{suffix}', f'~/other.{suffix}', '~nobody_at_all/x.tflite'):
        with pytest.raises(FileNotFoundError, match='^model .* does not exist'):
            resources.find_model(other)
    with pytest.raises(FileNotFoundError, match="^no model 'own.txt' in the models folder"):
        resources.find_model('own.txt')


def test_the_checksum_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    assert resources.file_checksum(path) == (  # FIPS 180-2, B.1
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
