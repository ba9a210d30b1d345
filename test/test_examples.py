"""The examples for others: what of them can be built without packages that only Debian has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from act_ros.actions.bundle import load_bundle
from act_ros.core.resources import find_model

EXAMPLE = Path(__file__).resolve().parents[1] / 'examples' / 'act_ros_behaviortree'


def include_folders() -> list[Path]:
    """Return the folders of C++ headers of ROS and of the installed messages."""
    prefixes = [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    return [folder for prefix in dict.fromkeys(filter(None, prefixes))
            for folder in Path(prefix, 'include').glob('*') if folder.is_dir()]


@pytest.mark.slow
def test_the_monitor_for_behaviortree_cpp_answers(tmp_path: Path) -> None:
    """Compiled with the real messages, without warnings."""
    folders = include_folders()
    if not any((folder / 'act_ros/msg/action_array.hpp').is_file() for folder in folders):
        pytest.skip('act_ros is not installed')
    if not (compiler := shutil.which('g++')):
        pytest.skip('there is no g++')
    program = tmp_path / 'test_monitor'
    subprocess.run(
        [compiler, '-std=c++17', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
         f'-I{EXAMPLE / "src"}', *(f'-isystem{folder}' for folder in folders),
         str(EXAMPLE / 'test' / 'test_monitor.cpp'), '-o', str(program)], check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, 'ok\n')


def test_the_tree_asks_what_the_conditions_answer() -> None:
    """Nodes and ports of the tree are those of the sources, labels those of the default model."""
    sources = ''.join(path.read_text() for path in (EXAMPLE / 'src').glob('*.cpp'))
    known = set(re.findall(r'registerNodeType<\w+>\("(\w+)"', sources))
    ports = set(re.findall(r'(?:In|Out)putPort<[^(]*>\(\s*"(\w+)"', sources))
    labels = load_bundle(find_model('act_mu'))[0].labels
    tree = ElementTree.parse(EXAMPLE / 'trees' / 'people.xml').getroot()
    used = [node for node in tree.iter() if node.tag in known]
    assert {node.tag for node in used} == known
    for node in used:
        assert set(node.attrib) - {'name'} <= ports
        assert set(node.get('labels', labels[0]).split(';')) <= set(labels)
