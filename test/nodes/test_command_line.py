"""The command lines of nodes: they tell about themselves, and pass over no mistake."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from ros_harness import ROOT

from act_ros.ros.signals import CANNOT_START

NODES = sorted(f'nodes.{path.stem}' for path in (ROOT / 'act_ros/nodes').glob('[a-z]*.py'))


def ran(module: str, *arguments: str) -> tuple[int, str]:
    """Return the exit status of a module that is run, and what it said."""
    done = subprocess.run(
        [sys.executable, '-m', module, *arguments], cwd=ROOT, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.mark.parametrize('module', [*NODES, 'demo.behaviour_demo'])
def test_each_node_tells_about_itself(module: str) -> None:
    """As a module of its own, too, which runs nothing else."""
    if module.startswith('demo') and not find_spec('py_trees'):
        pytest.skip('py_trees is not installed')
    status, said = ran(f'act_ros.{module}', '--help')
    source = Path(ROOT, 'act_ros', *module.split('.')).with_suffix('.py')
    assert status == 0 and source.read_text().split('"""')[1].strip() in said
    assert '-p NAME:=VALUE' in said and 'Traceback' not in said


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['act_node', '--bogus', 'x'], 'act_node: error: unrecognized arguments: --bogus x'),
    (['act_node', 'x', '--ros-args', '-r', 'actions:=a', '--', 'y'], 'arguments: x y'),
    (['act_node', '--ros-args', '--bogus'], "ROS knows no such arguments: ['--bogus']"),
    (['act_node', '--ros-args', '-p', 'bundle'], "'-p bundle'"),
    (['act'], "invalid choice: 'act'"), ([], 'arguments are required: node')])
def test_what_is_no_argument_is_refused(arguments: list[str], reason: str) -> None:
    """Before anything is loaded, in one line."""
    status, said = ran('act_ros.nodes', *arguments)
    assert status == CANNOT_START and reason in said and 'Traceback' not in said


def test_commands_of_the_house_tell_about_themselves() -> None:
    """And do nothing else."""
    files = [*ROOT.glob('doc/*.md'), ROOT / 'README.md', ROOT / 'config/act.yaml']
    before = [path.stat().st_mtime_ns for path in files]
    for module in ('act_ros.nodes', 'doc.reference'):
        status, said = ran(module, '--help')
        assert status == 0 and 'usage: ' in said
    assert [path.stat().st_mtime_ns for path in files] == before
