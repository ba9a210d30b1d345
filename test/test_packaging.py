"""The package as a user meets it: built by colcon, declared once, complete."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import pytest

import setup as packaging
from act_ros.ros.signals import CANNOT_START

ROOT = Path(__file__).resolve().parents[1]
NODES = ('act_node', 'annotator_node', 'markers_node', 'pipeline_node', 'pose_node', 'video_node')
OPTIONAL = ('behaviour_demo', 'humans_node')  # need packages that robots may lack


def build_environment() -> dict[str, str]:
    """The environment of a shell in which ROS is set up."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # pytest's own, and what the wheels' start-up leaves for this interpreter only.
        if not name.startswith('PYTEST') and name != '_ROS_WHEELS_BOOTSTRAP_COMPLETE'
    }
    environment['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    if not packaging.ros_is_sourced():
        environment |= {'AMENT_PREFIX_PATH': sys.prefix, 'CMAKE_PREFIX_PATH': sys.prefix}
    return environment


@pytest.fixture(scope='module')
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where colcon builds: what is compiled serves both workspaces."""
    return tmp_path_factory.mktemp('build')


@pytest.fixture(scope='module', params=['copied', 'linked'])
def workspace(
    request: pytest.FixtureRequest, build_folder: Path, tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A ROS workspace with the package built in it, its files copied or linked."""
    if shutil.which('colcon', path=build_environment()['PATH']) is None:
        pytest.skip('colcon is not installed')
    path = tmp_path_factory.mktemp('workspace')
    link = ['--symlink-install'] if request.param == 'linked' else []
    # Copies for one, links for the other.
    shutil.rmtree(build_folder / 'act_ros' / 'ament_cmake_python', ignore_errors=True)
    result = subprocess.run(
        ['colcon', 'build', *link, '--base-paths', str(ROOT), '--packages-select', 'act_ros',
         '--build-base', str(build_folder),
         '--cmake-args', '-DBUILD_TESTING=OFF', f'-DPython3_EXECUTABLE={sys.executable}'],
        cwd=path, env=build_environment() | {'MAKEFLAGS': '-j2'}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    return path


def run_sourced(workspace: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that has sourced the workspace, away from the checkout."""
    return subprocess.run(
        ['bash', '-c', f'. install/local_setup.bash; {command}'], cwd=workspace, text=True,
        env=build_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_messages_of_a_colcon_build_import(workspace: Path) -> None:
    """Messages and Python modules share the name act_ros and both come from the workspace."""
    code = (
        'import act_ros.actions.features, act_ros.msg as msg; '
        'print(act_ros.actions.features.__file__, msg.__file__); '
        'print(msg.ActionArray(actions=[msg.Action(status=msg.Action.LOST)]).actions[0].status)'
    )
    result = run_sourced(workspace, f'python3 -c "{code}"')
    assert result.returncode == 0, result.stdout
    files, status = result.stdout.splitlines()[-2:]
    assert all(file.startswith(str(workspace)) for file in files.split())
    assert status == '3'


@pytest.mark.slow
def test_type_checkers_know_what_is_installed(workspace: Path, tmp_path: Path) -> None:
    """Python's names have their types, and messages are no private names."""
    pytest.importorskip('mypy')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'venv'], check=True)
    package = next(workspace.glob('install/**/act_ros/__init__.py')).parent
    next(tmp_path.glob('venv/lib/*/site-packages')).joinpath('act_ros').symlink_to(package)
    (tmp_path / 'robot.py').write_text(
        'from act_ros import Action\n'
        'from act_ros.behaviours import IsDoing as IsDoing\n'
        'from act_ros.msg import ActionArray as ActionArray\n'
        'from act_ros.srv import LoadBundle as LoadBundle\n'
        'def label(action: Action) -> str:\n'
        '    return action.label\n')
    result = subprocess.run(
        [sys.executable, '-m', 'mypy', '--strict', '--ignore-missing-imports',
         '--python-executable', 'venv/bin/python', 'robot.py'],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
@pytest.mark.parametrize('node', NODES)
def test_executables_of_a_colcon_build_run(workspace: Path, node: str) -> None:
    """Every node starts far enough to refuse a parameter of the wrong type in its own words."""
    executable = workspace / 'install/act_ros/lib/act_ros' / node
    parameter = 'source:=[1]' if node == 'video_node' else 'bundle:=[1]'
    parameter = 'model:=[1]' if node == 'pose_node' else parameter
    parameter = 'distance:=[1]' if node == 'markers_node' else parameter
    parameter = 'transport:=[1]' if node == 'annotator_node' else parameter
    result = run_sourced(workspace, f'{executable} --ros-args -p {parameter}')
    assert result.returncode == CANNOT_START
    assert parameter.split(':')[0] in result.stdout
    assert 'Traceback' not in result.stdout


@pytest.mark.slow
def test_evaluate_bag_of_a_colcon_build_runs(workspace: Path) -> None:
    """The command that is no node, too; with several bags it starts itself anew."""
    executable = workspace / 'install/act_ros/lib/act_ros/evaluate_bag'
    result = run_sourced(workspace, f'{executable} a b --jobs 2')
    assert result.returncode == 2
    assert 'the bag a does not exist' in result.stdout and 'Traceback' not in result.stdout


@pytest.mark.slow
def test_colcon_build_installs_the_data(workspace: Path) -> None:
    """What ships beside the code is where ROS looks for it."""
    share = workspace / 'install/act_ros/share/act_ros'
    for folder in ('config', 'launch', 'media', 'models'):
        shipped = {path.name for path in (ROOT / folder).iterdir() if path.name != '__pycache__'}
        assert shipped
        assert shipped <= {path.name for path in (share / folder).iterdir()}
    for text in ('LICENSE', 'NOTICE'):  # of the weights and the clip, too
        assert (share / text).read_text() == (ROOT / text).read_text()
    found = run_sourced(workspace, 'python3 -c "from act_ros.core.resources import find_model; '
                        'print(find_model(\'act_mu\'))"')
    assert found.stdout.split()[-1] == str(share / 'models/act_mu.tflite')


@pytest.mark.parametrize('node', NODES + OPTIONAL)
def test_pip_install_gives_every_node(node: str) -> None:
    """`pip install .` puts executables below the environment, with its own interpreter."""
    executable = Path(sys.prefix, 'lib/act_ros', node)
    if not Path(sys.prefix, 'share/act_ros').is_dir():
        pytest.skip('this environment has no pip install of the package')
    assert os.access(executable, os.X_OK)
    interpreter = executable.read_text().splitlines()[0].split()[-1].removeprefix('#!')
    assert Path(interpreter).parent == Path(sys.executable).parent


def test_every_message_file_is_built() -> None:
    """CMake lists exactly the files of the folders msg and srv."""
    listed = set(re.findall(r'(?:msg|srv)/\w+\.\w+', (ROOT / 'CMakeLists.txt').read_text()))
    assert listed == {f'{folder}/{path.name}' for folder in ('msg', 'srv')
                      for path in (ROOT / folder).iterdir()}


def test_every_message_field_says_what_it_is() -> None:
    """A field has a comment behind it or on the line above."""
    for path in (ROOT / 'msg').glob('*.msg'):
        above = ''
        for line in path.read_text().splitlines():
            if line and not line.startswith('#'):
                assert '#' in line or above.startswith('#'), f'{path.name}: {line}'
            above = line


def test_status_constants() -> None:
    """Behaviour trees compare with these numbers: they never change."""
    constants = re.findall(r'^uint8 (\w+)=(\d+)', (ROOT / 'msg/Action.msg').read_text(), re.M)
    status, place = constants[:4], constants[4:]
    assert status == [('BUFFERING', '0'), ('RECOGNIZED', '1'), ('UNKNOWN', '2'), ('LOST', '3')]
    assert place == [('NOWHERE', '0'), ('BEARING', '1'), ('ESTIMATED', '2'), ('MEASURED', '3')]


def test_version_is_the_same_everywhere() -> None:
    """package.xml, the wheel and the changelog agree."""
    version = ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    wheel = subprocess.run(
        [sys.executable, 'setup.py', '--version'], cwd=ROOT, check=True, text=True,
        capture_output=True, env=build_environment())
    assert wheel.stdout.split()[-1] == version
    assert f'\n{version}' in (ROOT / 'CHANGELOG.rst').read_text()


@pytest.mark.parametrize('folder', [ROOT, ROOT / 'examples' / 'act_ros_behaviortree'])
def test_the_manifest_is_fit_for_a_release(folder: Path) -> None:
    """By the tool that colcon and bloom read it with; no address leads nowhere but the mail's."""
    package = pytest.importorskip('catkin_pkg.package')
    changelog = pytest.importorskip('catkin_pkg.changelog')
    warnings: list[str] = []
    manifest = package.parse_package(folder / 'package.xml', warnings=warnings)
    manifest.validate(warnings=warnings)
    assert warnings == [] and manifest.description and manifest.licenses == ['Apache-2.0']
    assert all(url.url.startswith('https://') and '.invalid' not in url.url
               for url in manifest.urls)
    if folder == ROOT:
        assert manifest.urls and (ROOT / manifest.licenses[0].file).is_file()
        known = changelog.get_changelog_from_path(ROOT / 'CHANGELOG.rst')
        assert known.get_content_of_version(manifest.version)


def test_requirements_leave_a_sourced_ros_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels are for machines without a ROS; this environment's own prefix is none."""
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    monkeypatch.setenv('AMENT_PREFIX_PATH', sys.prefix)
    wheels = [item for item in packaging.requirements('ros') if item.startswith('ros-')]
    assert wheels == sorted(packaging.ROS)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert not packaging.ros_is_sourced()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{sys.prefix}{os.pathsep}/opt/ros/jazzy')
    assert packaging.ros_is_sourced()
    assert not [item for item in packaging.requirements('ros', 'build') if 'ros-' in item]


@pytest.mark.parametrize(('module', 'left_out', 'added'), [
    ('cv2', 'opencv-python-headless', ''),
    ('tflite_runtime', 'ai-edge-litert', 'numpy>=1.23.2,<2'),
])
def test_requirements_keep_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, left_out: str, added: str,
) -> None:
    """The customer's opencv-python or tflite-runtime gets no rival beside it."""
    monkeypatch.setattr(packaging.sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setattr(packaging, '_venv_config', lambda: '')
    assert any(item.startswith(left_out) for item in packaging.requirements())
    (tmp_path / module).mkdir()
    (tmp_path / module / '__init__.py').touch()
    kept = packaging.requirements()
    assert not any(item.startswith(left_out) for item in kept)
    assert not added or added in kept


def test_each_dependency_has_a_range() -> None:
    """A new major version comes when somebody has tried it; ROS is pinned as a whole."""
    for item in {*packaging.ROBOT, *chain.from_iterable(packaging.EXTRAS.values())}:
        assert re.fullmatch(r'[\w-]+(==[\d.]+|>=[\d.]+,<[\d.]+)', item), item


def imported(*rooms: str) -> set[str]:
    """Return the modules that the code in these folders imports, the outermost of each."""
    return {
        name.partition('.')[0] for room in rooms for path in (ROOT / room).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                     [node.module or ''] if isinstance(node, ast.ImportFrom) else [])}


@pytest.mark.skipif(packaging.ros_is_sourced(), reason='the distribution names packages its way')
def test_what_is_imported_is_declared() -> None:
    """Also where something else would bring it along."""
    found = packages_distributions()
    declared = {re.split('[<>=]', item)[0].lower() for item in (
        *packaging.ROBOT, *chain.from_iterable(packaging.EXTRAS.values()))} | {'keras'}
    modules = imported('act_ros', 'training')
    for module in modules - set(sys.stdlib_module_names) - {'act_ros', 'training'}:
        owners = {owner.lower() for owner in found.get(module, [])}
        # Wheels of ROS need each other; OpenCV may be another build of it.
        is_known = any(owner.startswith(('ros-', 'opencv')) for owner in owners)
        assert not owners or is_known or owners & declared, f'{module} is of {owners}'


@pytest.mark.parametrize(('rooms', 'kinds'), [
    (('act_ros', 'launch'), ('depend', 'exec_depend')),
    (('benchmarks', 'test'), ('depend', 'exec_depend', 'test_depend'))])
def test_packages_of_ros_that_are_imported_are_in_the_manifest(
    rooms: tuple[str, ...], kinds: tuple[str, ...],
) -> None:
    """The same, for those who install what package.xml names."""
    packages = pytest.importorskip('ament_index_python.packages').get_packages_with_prefixes()
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {item.text for kind in kinds for item in manifest.findall(kind)}
    # Launch has no wheel, and launch files are for those who have it.
    of_ros = {*packages, 'launch', 'launch_ros', 'launch_pytest'} - {'act_ros'}
    found = imported(*rooms) & of_ros
    assert 'rclpy' in found and found <= declared


def test_the_robot_installs_no_messages_that_nothing_imports() -> None:
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    needed = {str(item.text) for item in manifest.findall('exec_depend')}
    assert {name for name in needed if name.endswith('_msgs')} <= imported('act_ros')


@pytest.mark.parametrize(
    'file', ['docker/Dockerfile', '.github/workflows/ci.yml', 'pyproject.toml'])
def test_elsewhere_the_same_ranges_are_asked_for(file: str) -> None:
    """In containers, in continuous integration, and by pip, which refuses to build otherwise."""
    named = set(re.findall(r"'([\w-]+[<>=][^']*)'", (ROOT / file).read_text()))
    assert named
    # The distribution's OpenCV was built for NumPy 1.
    assert named - {'numpy<2'} <= {*packaging.ROBOT, *chain(*packaging.EXTRAS.values())}
