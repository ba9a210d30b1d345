"""
The parameter reference, made from the code: ``config/act.yaml`` and the tables of the README.

``python -m doc.reference`` writes both anew; a test fails when they are stale.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import Any

from act_ros.nodes import act_node, humans_node, markers_node, pipeline_node, pose_node, video_node
from act_ros.ros.parameters import Groups, names_of

ROOT = Path(__file__).absolute().parents[1]
NODES: dict[str, Groups] = {
    'pose_node': pose_node.OPTIONS,
    'act_node': act_node.OPTIONS,
    'video_node': video_node.OPTIONS,
    'pipeline_node': pipeline_node.OPTIONS,
    'markers_node': markers_node.OPTIONS,
    'humans_node': humans_node.OPTIONS,
}

BEGIN, END = '<!-- parameters: begin -->', '<!-- parameters: end -->'


def _range(item: dataclasses.Field[Any]) -> str:
    low, high, choices = (item.metadata[key] for key in ('low', 'high', 'choices'))
    if choices:
        return ', '.join(choices)
    return '' if low is None else f'{low:g} to {high:g}'


def _value(item: dataclasses.Field[Any]) -> str:
    # JSON is YAML, and quotes every string: an unquoted y would be a bool.
    return json.dumps(list(item.default) if isinstance(item.default, tuple) else item.default)


def config() -> str:
    """Return ``config/act.yaml``: every parameter of every node at its default, explained."""
    lines = ['# Every parameter of every node, at its default. Made by: '
             'python -m doc.reference',
             '# /**/ matches the nodes in any namespace.']
    for node in NODES:
        lines += ['', f'/**/{node}:', '  ros__parameters:']
        group = ''
        for name, item in names_of(NODES[node]):
            head, _, tail = name.rpartition('.')
            if head != group:
                lines += [f'    {head}:'] if head else []
                group = head
            indent = '      ' if head else '    '
            text = item.metadata['doc'] + (f' [{_range(item)}]' if _range(item) else '')
            lines += textwrap.wrap(text, 98, initial_indent=f'{indent}# ',
                                   subsequent_indent=f'{indent}# ')
            lines.append(f'{indent}{tail}: {_value(item)}')
    return '\n'.join(lines) + '\n'


def tables() -> str:
    """Return the README's parameter tables, Markdown."""
    parts = []
    for node, groups in NODES.items():
        lines, known = [f'#### {node}', ''], set[str]()
        if node == 'pipeline_node':
            known = {name for other in NODES if other != node for name, _ in names_of(NODES[other])}
            lines += ['The parameters of `pose_node` and `act_node`, `source`, `loop` and '
                      '`frame_id` of `video_node`, and', '']
        lines += ['| parameter | default | range | live | what it does |', '|---|---|---|---|---|']
        lines += [
            f'| `{name}` | `{_value(item)}` | {_range(item)} | '
            f'{"" if item.metadata["fixed"] else "yes"} | {item.metadata["doc"]} |'
            for name, item in names_of(groups) if name not in known]
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts)


def updated_readme(text: str) -> str:
    """Return the README with fresh tables between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f'{before}{BEGIN}\n\n{tables()}\n\n{END}{after}'


def main() -> None:
    """Write the configuration and the README's tables."""
    (ROOT / 'config' / 'act.yaml').write_text(config(), encoding='utf-8')
    readme = ROOT / 'README.md'
    readme.write_text(updated_readme(readme.read_text(encoding='utf-8')), encoding='utf-8')


if __name__ == '__main__':
    main()
