"""Files are whole, or as they were before."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from act_ros.core.files import replacing, replacing_in

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'a.txt'
    with replacing(path) as temporary:
        temporary.write_text('one')
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        assert temporary.name == 'a.txt'
        temporary.write_text('half of')
        raise ZeroDivisionError
    with replacing(path):
        pass  # nothing written
    assert contents(path.parent) == {'a.txt': 'one'}
    with replacing(path) as temporary:
        temporary.write_text('two')
        assert path.read_text() == 'one'
    assert contents(path.parent) == {'a.txt': 'two'}


def test_files_are_replaced_together(tmp_path: Path) -> None:
    (tmp_path / 'mine').write_text('stays')
    for attempt in ('one', 'two'):
        with replacing_in(tmp_path, last='z') as folder:
            for name in 'za':
                (folder / name).write_text(attempt)
    with pytest.raises(ZeroDivisionError), replacing_in(tmp_path, last='z') as folder:
        (folder / 'a').write_text('three')
        raise ZeroDivisionError
    assert contents(tmp_path) == {'mine': 'stays', 'a': 'two', 'z': 'two'}
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize('former', [{}, {'a': 'one'}, {'a': 'one', 'z': 'one'}])
@pytest.mark.parametrize('fails', ['a', 'z'])
def test_a_failure_leaves_nothing_new(
    tmp_path: Path, former: dict[str, str], fails: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the files that go together: half a model bundle would be taken for a pose network."""
    for name, text in former.items():
        (tmp_path / name).write_text(text)
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target == tmp_path / fails and source.parent.name != 'former':
            raise OSError('no more')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(OSError, match='no more'), replacing_in(tmp_path, last='z') as folder:
        for name in 'az':
            (folder / name).write_text('two')
    assert contents(tmp_path) == former


@pytest.mark.parametrize('calls', range(1, 9))
def test_killed_at_any_moment_there_is_no_mixture(tmp_path: Path, calls: int) -> None:
    """All old, all new, or none that claims to be whole."""
    for name in 'az':
        (tmp_path / name).write_text('one')
    code = f"""
import os, pathlib, signal, sys
from act_ros.core.files import replacing_in
left = {calls}
def count(event, arguments):
    global left
    if event in ('os.rename', 'open') and {str(tmp_path)!r} in str(arguments[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
with replacing_in(pathlib.Path({str(tmp_path)!r}), last='z') as folder:
    for name in 'az':
        (folder / name).write_text('two')
"""
    result = subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parents[2])
    assert result.returncode in (0, -signal.SIGKILL)
    found = contents(tmp_path)
    assert 'z' not in found or found in ({'a': 'one', 'z': 'one'}, {'a': 'two', 'z': 'two'})
    if calls == 1:
        assert result.returncode == -signal.SIGKILL and found == {'a': 'one', 'z': 'one'}


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    """Files and folders; not those of one that still writes, nor what is not ours."""
    code = f"""
import os, pathlib, signal, sys
from act_ros.core.files import replacing, replacing_in
folder = pathlib.Path({str(tmp_path)!r})
with replacing_in(folder, last='z') as temporary, replacing(folder / 'b') as other:
    (temporary / 'a').write_text('half of')
    other.write_text('half of')
    print('here', flush=True)
    sys.stdin.readline()
"""
    writers = [subprocess.Popen([sys.executable, '-c', code], cwd=Path(__file__).parents[2],
                                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
               for _ in range(2)]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == 'here\n'
    (tmp_path / '.partial.txt').write_text('of somebody')
    writers[0].kill()
    writers[0].communicate()
    assert len(list(tmp_path.glob('.partial.*'))) == 5
    with replacing(tmp_path / 'c') as temporary:
        temporary.write_text('whole')
    left = {path.name for path in tmp_path.glob('.partial.*')}
    assert len(left) == 3 and '.partial.txt' in left
    assert all(str(writers[1].pid) in name for name in left - {'.partial.txt'})
    writers[1].communicate('go on\n')
    assert writers[1].returncode == 0
    assert contents(tmp_path) == {
        'a': 'half of', 'b': 'half of', 'c': 'whole', '.partial.txt': 'of somebody'}


def test_results_are_written_in_one_way() -> None:
    """Whole or not at all: by `replacing`, but for what is handed the path that it gave."""
    writers = {'write_text', 'write_bytes', 'savez', 'savez_compressed', 'savefig'}
    ways = {'replacing', 'replacing_in', 'write_whole'}
    helpers = {'write_page', 'plot'}
    found = set()
    for path in (file for folder in ('act_ros', 'training', 'benchmarks')
                 for file in (ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.FunctionDef):
                calls = {getattr(call.func, 'attr', getattr(call.func, 'id', ''))
                         for call in ast.walk(node) if isinstance(call, ast.Call)}
                if calls & writers and not calls & ways:
                    found.add(node.name)
    assert found == helpers
