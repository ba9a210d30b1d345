"""
Build and test in many environments: ``make test-matrix``.

Distributions of ROS, versions of Python and NumPy, and TFLite runtimes, each combination in an
environment of its own that is thrown away, from what is committed. Prints a table of what passed,
what failed and what has no wheels; ends with 1 where something failed. ``--only kilted 3.12`` takes
the combinations that have all of the words; what follows ``--`` goes to pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import setup as packaging  # noqa: E402

LITERT, TFLITE = 'ai-edge-litert', 'tflite-runtime'
COMPILED = f'av,numpy,scipy,opencv-python-headless,{LITERT},{TFLITE}'
# What depends on Python, NumPy, the runtime or ROS; the rest is the same everywhere.
_TESTED = (
    'act_node', 'bags', 'bundle', 'classifier', 'compressed', 'decision', 'drawing', 'features',
    'fuzz', 'fuzz_messages', 'images', 'labels', 'lifecycle', 'pose', 'recognizer', 'runtime',
    'skeletons', 'stamps', 'timeline', 'tracking', 'video', 'window')
TESTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('test/**/test_*.py')
               if path.stem.removeprefix('test_') in _TESTED)


class Combination(NamedTuple):
    """
    One environment; ``numpy`` is a version specifier.

    ``end`` is that of the ranges in setup.py: 'newest', or 'lowest'.
    """

    ros: str
    python: str
    numpy: str
    runtime: str
    end: str = 'newest'

    def __str__(self) -> str:
        return f'{self.ros} {self.python} numpy{self.numpy} {self.runtime} {self.end}'


COMBINATIONS = [
    *(Combination(ros, python, '>=2', LITERT)
      for ros in ('jazzy', 'kilted') for python in ('3.10', '3.11', '3.12', '3.13')),
    Combination('jazzy', '3.10', '==1.23.2', LITERT, 'lowest'),
    # Ubuntu's own: 22.04 has Python 3.10, 24.04 has 3.12, both NumPy 1.
    *(Combination('jazzy', python, '<2', LITERT) for python in ('3.10', '3.12')),
    *(Combination('jazzy', python, '<2', TFLITE) for python in ('3.10', '3.11', '3.12')),
]


def requirements(combination: Combination) -> list[str]:
    """Return what pip shall install."""
    ranges = {*packaging.ROBOT, *packaging.EXTRAS['behaviours'], *packaging.EXTRAS['demo'],
              *packaging.EXTRAS['evaluation']}
    needed = {*ranges, *packaging.EXTRAS['build'], *packaging.EXTRAS['test']}
    needed = {item for item in needed if not item.startswith(('numpy', 'mpose', 'mypy', 'ruff'))}
    if combination.ros != 'jazzy':  # the pins are those of Jazzy
        needed = {re.sub(r'ros-jazzy-([\w-]+).*', rf'ros-{combination.ros}-\1', item)
                  for item in needed if 'python-cmake-module' not in item}
        needed.add(f'ros-{combination.ros}-ament-cmake-ros-core')  # took that one's place
    if combination.end == 'lowest':  # the tools that build and test are of no concern
        needed = {re.sub('>=([^,]+),.*', r'==\1', item) if item in ranges else item
                  for item in needed}
    # The tests make their models with the schema that comes with LiteRT.
    runtime = {TFLITE} if combination.runtime == TFLITE else set()
    return sorted(needed | runtime | {f'numpy{combination.numpy}'})


def run(log: Path, *command: str | Path, **variables: str) -> bool:
    """Run a command in the checkout, its output in a file; tell whether it succeeded."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'AMENT_PREFIX_PATH',
                                   'LD_LIBRARY_PATH', 'PYTHONPATH', 'ROS_DISTRO')}
    with log.open('ab') as file:
        return subprocess.run(
            list(map(str, command)), env={**environment, **variables}, cwd=log.parent / 'checkout',
            stdout=file, stderr=subprocess.STDOUT).returncode == 0


def find_python(version: str) -> str | None:
    """Return an interpreter that starts: of the path, or of pyenv or uv."""
    home = Path.home()
    candidates = [shutil.which(f'python{version}'),
                  *home.glob(f'.pyenv/versions/{version}.*/bin/python'),
                  *home.glob(f'.local/share/uv/python/cpython-{version}.*/bin/python')]
    for candidate in candidates:
        if candidate and subprocess.run(
                [candidate, '-c', ''], stderr=subprocess.DEVNULL).returncode == 0:
            return str(candidate)
    return None


def outcome(combination: Combination, folder: Path, arguments: list[str]) -> str:
    """Build and test; return what came of it."""
    python = find_python(combination.python)
    if python is None:
        return 'no such Python here'
    log, prefix = folder / 'log', folder / 'venv'
    subprocess.run(['git', 'clone', '--quiet', ROOT, folder / 'checkout'], check=True)
    if not run(log, python, '-m', 'venv', prefix):
        return 'FAILED: no environment'
    pip = prefix / 'bin' / 'pip'
    run(log, pip, 'install', '--quiet', '--upgrade', 'pip')
    # Pure Python may come as source; nobody waits for SciPy to compile.
    if not run(log, pip, 'install', '--quiet', f'--only-binary={COMPILED}',
               *requirements(combination)):
        lacking = re.findall(r'No matching distribution found for (\S+)', log.read_text())
        return f'no wheels: {lacking[0]}' if lacking else 'no wheels that fit together'
    own = {'AMENT_PREFIX_PATH': str(prefix),
           'PATH': f'{prefix / "bin"}{os.pathsep}{os.environ["PATH"]}',
           'ACT_ROS_RUNTIME': combination.runtime.replace('-', '_')}
    if not run(log, pip, 'install', '--quiet', '--no-build-isolation', '--no-deps', '.', **own):
        return 'FAILED to build'
    # The tests would skip what they cannot import.
    if not run(log, prefix / 'bin' / 'python', '-c', 'import rclpy, act_ros.msg', **own):
        return 'FAILED: ' + log.read_text().strip().splitlines()[-1]
    passed = run(log, prefix / 'bin' / 'python', '-m', 'pytest', '-q', *arguments, **own)
    return ('' if passed else 'FAILED: ') + log.read_text().strip().splitlines()[-1].strip('= ')


def main() -> int:
    """Run the combinations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', nargs='+', default=[], help='words that a combination must have')
    parser.add_argument('--logs', type=Path, help='folder that keeps the output of each')
    parser.add_argument('pytest', nargs='*', default=TESTS, help='instead of the usual tests')
    options = parser.parse_args()
    rows = []
    for combination in COMBINATIONS:
        if not set(options.only) <= set(str(combination).split()):
            continue
        begin = time.monotonic()
        with TemporaryDirectory(prefix='act_ros_') as folder:
            result = outcome(combination, Path(folder), options.pytest)
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                if (log := Path(folder, 'log')).is_file():
                    shutil.copy(log, options.logs / f'{combination}.log'.replace(' ', '_'))
        rows.append((*combination, result, f'{time.monotonic() - begin:.0f} s'))
        print(f'{combination}: {result}', flush=True)
    print('\n| ROS | Python | NumPy | TFLite runtime | versions | result | |')
    print(7 * '|---' + '|')
    for row in rows:
        print('| ' + ' | '.join(row) + ' |')
    return any(row[5].startswith('FAILED') for row in rows)


if __name__ == '__main__':
    sys.exit(main())
