"""What an intruder would look for: code that runs what it reads, and who may say what to whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import setup as packaging

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for place in ('act_ros', 'benchmarks', 'launch', 'training', 'setup.py')
                 for path in ([ROOT / place] if place.endswith('.py')
                              else (ROOT / place).rglob('*.py')))
# Reading a file with any of them runs what the file says; ruff's S rules know more of this kind.
FORBIDDEN_MODULES = {
    'cloudpickle', 'dill', 'joblib', 'jsonpickle', 'marshal', 'pickle', 'shelve', 'torch'}


def findings(text: str) -> Iterator[str]:
    """Yield what ruff does not see: readers of pickled objects, and arrays that may hold some."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from FORBIDDEN_MODULES & {item.name.partition('.')[0] for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from FORBIDDEN_MODULES & {(node.module or '').partition('.')[0]}
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {item.arg: ast.unparse(item.value) for item in node.keywords}
            if name in ('np.load', 'numpy.load') and options.get('allow_pickle') != 'False':
                yield f'{name} without allow_pickle=False'
            if options.get('safe_mode', 'True') != 'True':
                yield f'{name} of any code'


def test_nothing_that_is_read_is_run() -> None:
    """No pickle, but for the reader that replaces all that a pickle may name."""
    found = [(path.name, found) for path in SOURCES
             for found in findings(path.read_text(encoding='utf-8'))]
    assert found == [('foreign.py', 'pickle')]
    reader = (ROOT / 'training' / 'datasets' / 'foreign.py').read_text(encoding='utf-8')
    used = {node.attr for node in ast.walk(ast.parse(reader)) if isinstance(node, ast.Attribute)
            and ast.unparse(node.value) == 'pickle'}
    assert used == {'Unpickler', 'UnpicklingError'}


@pytest.mark.parametrize('text', [
    'import pickle', 'from joblib import load', 'import torch.nn', 'np.load(x)',
    'np.load(x, allow_pickle=True)', 'keras.models.load_model(x, safe_mode=False)'])
def test_the_dangerous_is_found(text: str) -> None:
    assert list(findings(text))


@pytest.mark.parametrize('text', [
    'import yaml\nyaml.load(x)', 'eval(x)', 'exec(x)',
    'import subprocess\nsubprocess.run(x, shell=True)', 'import os\nos.popen(x)'])
def test_ruff_finds_the_rest(text: str) -> None:
    """With the project's own settings."""
    result = subprocess.run(
        [sys.executable, '-m', 'ruff', 'check', '--no-cache', '--stdin-filename',
         'act_ros/some.py', '-'],
        input=text + '\n', capture_output=True, text=True, cwd=ROOT)
    assert re.search(r'\bS\d+\b', result.stdout), result


def test_the_notice_names_what_a_robot_installs() -> None:
    """Every requirement with its licence."""
    notice = (ROOT / 'NOTICE').read_text()
    extras = {name for extra in packaging.EXTRAS if extra not in ('ros', 'build', 'test')
              for name in packaging.EXTRAS[extra]}
    for requirement in {*packaging.ROBOT, *extras}:
        name = re.split(r'[<>=]', requirement)[0]
        assert re.search(rf'\b{name}\b', notice), name


def test_the_notice_names_every_file_of_others() -> None:
    """Weights and media are the work of somebody; the patterns are those of file names."""
    patterns = re.findall(r'\b(?:models|media)/[\w*.]+', (ROOT / 'NOTICE').read_text())
    for path in (*(ROOT / 'models').glob('*.tflite'), *(ROOT / 'media').glob('*.mp4')):
        assert any(path.relative_to(ROOT).match(pattern) for pattern in patterns), path.name


def pip_audit(folder: Path, **entry: object) -> Path:
    """Return a program that answers as pip-audit does, with one package."""
    program = folder / 'pip-audit'
    program.write_text(
        f'#!{sys.executable}\nimport json, sys\n'
        'packages = open(sys.argv[sys.argv.index("--requirement") + 1]).read().split()\n'
        'assert any(line.startswith("numpy==") for line in packages), packages\n'
        'assert not any(line.startswith("ros-") for line in packages), packages\n'
        f'report = {{"dependencies": [{dict(entry, name="numpy")!r}]}}\n'
        'json.dump(report, open(sys.argv[sys.argv.index("--output") + 1], "w"))\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(('entry', 'status', 'words'), [
    ({'version': '2.0', 'vulns': []}, 0, '1 packages audited, 0 vulnerable'),
    ({'version': '2.0', 'vulns': [{'id': 'CVE-1', 'fix_versions': ['2.1']}]}, 1,
     'numpy 2.0: CVE-1, fixed in 2.1'),
    ({'skip_reason': 'not found'}, 2, 'nothing is known about'),
])
def test_the_audit_passes_only_what_it_has_looked_at(
    tmp_path: Path, entry: dict[str, object], status: int, words: str,
) -> None:
    """A vulnerability is 1; an index that knows nothing is 2, not 0."""
    result = subprocess.run(
        [sys.executable, str(ROOT / '.ci/audit.py'), str(pip_audit(tmp_path, **entry))],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == status, result.stdout
    assert words in result.stdout
