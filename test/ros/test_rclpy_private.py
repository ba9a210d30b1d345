"""What is private of rclpy: in one file, which a new version of it may break."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PYTHONS_OWN = {'_asdict', '_exit', '_replace'}


def private(path: Path) -> set[str]:
    """Return the private names that a file uses and does not make itself, and modules of rclpy."""
    code = path.read_text(encoding='utf-8')
    nodes = list(ast.walk(ast.parse(code)))
    made = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    made |= {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    made |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    used = {node.attr for node in attributes if re.match('_[a-z]', node.attr)}
    return used - made - _PYTHONS_OWN | set(re.findall(r'rclpy\.(?:impl|_)\w*', code))


def test_one_file_uses_what_is_private() -> None:
    """Of rclpy; what is private of any other file, nobody does."""
    files = sorted((ROOT / 'act_ros').rglob('*.py'))
    assert {path.name: private(path) for path in files if private(path)} == {'rclpy_private.py': {
        '_parameter_overrides', '_service_change_state', '_state_machine', 'rclpy.impl'}}
