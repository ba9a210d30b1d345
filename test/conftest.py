"""
Shared by all tests: hypothesis without deadlines, and tiny but real model bundles.

Three processes share the tests (``-n 3 --dist loadgroup``), also where there are but two cores: one
runs nodes, which wait a lot and must not be kept waiting; what the others compute meanwhile gives
way to them.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from synthetic import bundle_of, tiny_model

from act_ros.actions.bundle import save_bundle
from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions

settings.register_profile(
    'act_ros', deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile('fuzz', settings.get_profile('act_ros'), max_examples=5000)
settings.load_profile('act_ros')

_NODES = 'nodes'
_CALM = 5  # by how much the other tests are nicer than those
_SHARED = os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1') != '1'


@pytest.hookimpl(tryfirst=True)  # before those groups are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Keep together what runs nodes, the files that share a cluster, and other tests of a file.

    What takes longest comes first, so that all processes end at about the same time.
    """
    clusters = {item.path for item in items if 'ray_cluster' in getattr(item, 'fixturenames', ())}
    for item in items:
        folder, file = item.path.parent.name, item.path.name
        runs_nodes = folder in ('demo', 'nodes', 'ros') or file == 'test_evaluation_live.py'
        item.add_marker(pytest.mark.xdist_group(
            _NODES if runs_nodes else 'cluster' if item.path in clusters else f'{folder}/{file}'))
    if _SHARED:
        first = ('nodes', 'ros', 'demo', 'paper', 'training', 'test')
        items.sort(key=lambda item: first.index(item.path.parent.name)
                   if item.path.parent.name in first else len(first))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Be nice to the process with the nodes, once and for all, in the other ones."""
    group = item.get_closest_marker('xdist_group')
    if _SHARED and group and group.args != (_NODES,) and os.nice(0) < _CALM:
        os.nice(_CALM)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with room for a few kB; skip where nothing may be mounted."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', str(folder)],
        stderr=subprocess.DEVNULL)
    if mounted.returncode:
        pytest.skip('nothing may be mounted here')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


@pytest.fixture(scope='session')
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a bundle that tells standing, walk and wave apart."""
    return save_bundle(tmp_path_factory.mktemp('bundle'), bundle_of(), tiny_model())


@pytest.fixture(scope='session')
def attention_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the same bundle with an attention output."""
    return save_bundle(tmp_path_factory.mktemp('bundle'), bundle_of(attention=True),
                       tiny_model(outputs=('logits', 'attention')))


@pytest.fixture(scope='session')
def classifier(tiny_bundle: Path) -> ActClassifier:
    """Return the loaded tiny bundle."""
    return ActClassifier(tiny_bundle)


@pytest.fixture
def recognizer(classifier: ActClassifier) -> ActionRecognizer:
    """Return a recognizer that classifies in every frame."""
    return ActionRecognizer(classifier, WindowOptions(max_rate=0.0))


@pytest.fixture(scope='session')
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the first 100 frames of the demo clip: one waves, then another comes in."""
    return _cut(tmp_path_factory.mktemp('clip'), 100)


@pytest.fixture(scope='session')
def waving_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the first 50 frames of the demo clip: one waves."""
    return _cut(tmp_path_factory.mktemp('waving'), 50)


def _cut(folder: Path, frames: int) -> Path:
    """Write the first frames of the demo clip; return the file."""
    import cv2

    path = folder / 'clip.mp4'
    source = cv2.VideoCapture(str(Path(__file__).parents[1] / 'media' / 'demo.mp4'))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 30.0, (640, 480))
    for _ in range(frames):
        writer.write(source.read()[1])
    writer.release()
    return path


@pytest.fixture(scope='session')
def foreign_packages(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return what processes need to find the messages of other packages, built for a checkout."""
    from foreign import build

    prefix = build(request.config.cache.mkdir('foreign'))
    site, = prefix.glob('lib/python*/site-packages')
    return {'PYTHONPATH': str(site), 'LD_LIBRARY_PATH': str(prefix / 'lib'),
            'AMENT_PREFIX_PATH': str(prefix)}


@pytest.fixture
def foreign_variables(
    foreign_packages: dict[str, str], monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Let this process know the messages of other packages; return what nodes need for it."""
    for name, value in foreign_packages.items():
        monkeypatch.setenv(name, value, prepend=os.pathsep)
    monkeypatch.syspath_prepend(foreign_packages['PYTHONPATH'])
    for library in Path(foreign_packages['LD_LIBRARY_PATH']).glob('*.so'):
        ctypes.CDLL(str(library))  # a process that runs already looks nowhere else
    return {name: os.environ[name] for name in foreign_packages}


@pytest.fixture(scope='session')
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    Return the address of a Ray cluster of `ray start`: a head and a worker with a CPU each.

    It asks for a token, as doc/benchmark.md has it. Ray gives its processes 30 s to start; a busy
    machine takes longer, and then there is nothing to test with.
    """
    if find_spec('ray') is None:
        pytest.skip('Ray is optional')
    log = tmp_path_factory.mktemp('ray') / 'start.log'
    with pytest.MonkeyPatch.context() as patch, ExitStack() as running, log.open('w') as output:
        # The jobs are small; what else fills the machine is no reason to end them. Ray would also
        # replace Python's print, for all later tests of the process.
        for name, value in (('AUTH_MODE', 'token'), ('AUTH_TOKEN', secrets.token_hex(32)),
                            ('memory_monitor_refresh_ms', '0'), ('TQDM_PATCH_PRINT', '0')):
            patch.setenv(f'RAY_{name}', value)
        import ray  # which reads them now

        with socket.socket() as free:
            free.bind(('', 0))
            address = f'{ray.util.get_node_ip_address()}:{free.getsockname()[1]}'
        port = address.rpartition(':')[2]
        for count, role in enumerate((
                ['--head', f'--port={port}', '--include-dashboard=false'],
                [f'--address={address}']), 1):
            node = subprocess.Popen(
                [sys.executable, '-m', 'ray.scripts.scripts', 'start', *role, '--num-cpus=1',
                 '--block'], stdout=output, stderr=subprocess.STDOUT)
            running.callback(node.wait)
            running.callback(node.terminate)
            end = time.monotonic() + 90
            while (text := log.read_text()).count('Ray runtime started') < count:
                if node.poll() is not None or time.monotonic() > end:
                    pytest.skip(f'no `ray start {role[0]}` on this machine: {text[-300:]}')
                time.sleep(0.2)
        yield address
