"""Documents that must not drift from the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy')

from act_ros.ros.parameters import names_of
from doc import reference

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_the_parameter_file_is_fresh() -> None:
    """`python -m doc.reference` would change nothing."""
    assert (ROOT / 'config' / 'act.yaml').read_text(encoding='utf-8') == reference.config()


def test_the_parameter_file_holds_every_parameter_of_every_node() -> None:
    """It parses, and what it says is each option's default."""
    file = yaml.safe_load((ROOT / 'config' / 'act.yaml').read_text(encoding='utf-8'))
    for node in reference.NODES:
        values = file[f'/**/{node}']['ros__parameters']
        for name, item in names_of(reference.NODES[node]):
            head, _, tail = name.rpartition('.')
            value = (values[head] if head else values)[tail]
            assert value == (list(item.default) if isinstance(item.default, tuple)
                             else item.default)


def test_no_parameter_is_declared_twice() -> None:
    """Two options of a node must not share a name."""
    for node in reference.NODES:
        names = [name for name, _ in names_of(reference.NODES[node])]
        assert len(names) == len(set(names))


def test_the_readme_tables_are_fresh() -> None:
    """`python -m doc.reference` would change nothing."""
    assert reference.updated_readme(README) == README


def test_the_readme_names_every_field_of_every_message() -> None:
    """A field that is added must be explained."""
    for message in (ROOT / 'msg').glob('*.msg'):
        for line in message.read_text().splitlines():
            if field := re.match(r'^[\w/\[\]]+\s+(\w+)', line.split('#')[0]):
                assert f'{field[1]}' in README or message.stem == 'BoundingBox', field[1]


def test_the_readme_names_every_launch_argument() -> None:
    """And nothing that is not there."""
    text = (ROOT / 'launch' / 'act.launch.py').read_text(encoding='utf-8')
    arguments = re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", text)
    table = README.partition('| launch argument |')[2].partition('\n\n')[0]
    assert re.findall(r'^\| `(\w+)`', table, re.MULTILINE) == arguments


def test_the_readme_names_every_benchmark() -> None:
    """Each script in benchmarks/ has its row."""
    scripts = {p.stem for p in (ROOT / 'benchmarks').glob('*.py')} - {'__init__', 'report'}
    table = README.partition('| name | what it measures |')[2].partition('\n\n')[0]
    assert set(re.findall(r'^\| `(\w+)`', table, re.MULTILINE)) == scripts
