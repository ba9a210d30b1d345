"""
The reference, made from the code: parameters from the option classes, messages from their files.

``python -m doc.reference`` writes ``config/act.yaml`` and, between their markers, the tables of
``doc/parameters.md``, ``doc/messages.md``, ``doc/training.md`` and the README; a test fails when
they are stale.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from act_ros.nodes import (
    act_node,
    annotator_node,
    humans_node,
    markers_node,
    pipeline_node,
    pose_node,
    video_node,
)
from act_ros.ros.parameters import Groups, names_of

ROOT = Path(__file__).absolute().parents[1]
NODES: dict[str, Groups] = {
    'pose_node': pose_node.OPTIONS,
    'act_node': act_node.OPTIONS,
    'video_node': video_node.OPTIONS,
    'pipeline_node': pipeline_node.OPTIONS,
    'annotator_node': annotator_node.OPTIONS,
    'markers_node': markers_node.OPTIONS,
    'humans_node': humans_node.OPTIONS,
}

_FIELD = re.compile(r'^([\w/\[\]<>=]+)\s+(\w+)\s*(=?)\s*([^#]*?)\s*(?:#\s*(.*))?$')


@dataclass(frozen=True)
class Row:
    """A field or a constant of a message: its type, name, value (of a constant) and meaning."""

    kind: str
    name: str
    value: str
    meaning: str


def _range(item: dataclasses.Field[Any]) -> str:
    low, high, choices, least = (
        item.metadata[key] for key in ('low', 'high', 'choices', 'least'))
    if choices:
        return ', '.join(map(str, choices))
    if least is not None:
        return f'0, or {least:g} to {high:g}'
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


def parameters() -> str:
    """Return the tables of parameters, one for each node, Markdown."""
    parts = []
    for node, groups in NODES.items():
        lines, known = [f'## {node}', ''], set[str]()
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


def interface(text: str) -> tuple[str, list[list[Row]]]:
    """
    Read a message or service definition.

    :param text: of a ``.msg`` or ``.srv`` file; a comment explains the field that it stands behind
        or, without one of its own, the field below.
    :returns: the comment at the top, and the rows of each part (two for a service).
    """
    about, _, rest = text.partition('\n\n')
    parts: list[list[Row]] = [[]]
    above: list[str] = []
    for line in rest.splitlines():
        if line.startswith('#'):
            above.append(line.removeprefix('#').strip())
            continue
        if line == '---':
            parts.append([])
        elif match := _FIELD.match(line):
            kind, name, equals, value, meaning = match.groups()
            parts[-1].append(
                Row(kind, name, value if equals else '', meaning or ' '.join(above)))
        above = []
    words = ' '.join(line.removeprefix('#') for line in about.splitlines()).split()
    return ' '.join(words), parts


def message(path: Path) -> str:
    """Return the section of a message or service: heading, purpose, a table of its fields."""
    about, parts = interface(path.read_text(encoding='utf-8'))
    lines = [f'## act_ros/{path.stem}', '', about]
    for title, rows in zip(('request', 'response') if len(parts) > 1 else ('field',), parts,
                           strict=True):
        lines += ['', f'| {title} | meaning |', '|---|---|']
        lines += [f'| `{row.kind} {row.name}{f" = {row.value}" if row.value else ""}` | '
                  f'{row.meaning} |' for row in rows]
    return '\n'.join(lines)


def messages() -> str:
    """Return the sections of all messages and services, Markdown."""
    paths = [*sorted((ROOT / 'msg').glob('*.msg')), *sorted((ROOT / 'srv').glob('*.srv'))]
    return '\n\n'.join(message(path) for path in paths)


def action() -> str:
    """Return the table of the message that robots read, for the README."""
    return '| ' + message(ROOT / 'msg' / 'Action.msg').partition('\n\n| ')[2]


def trusted() -> str:
    """Return the labels of the model that ships that did well on enough people, for the guide."""
    card = yaml.safe_load((ROOT / 'models' / 'act_mu.yaml').read_text(encoding='utf-8'))
    return '\n'.join(textwrap.wrap(', '.join(card['trusted_labels']) + '.', 98))


TABLES = {
    ('doc/parameters.md', 'parameters'): parameters,
    ('doc/messages.md', 'messages'): messages,
    ('README.md', 'action'): action,
    ('doc/training.md', 'trusted'): trusted,
}
"""What is made, by file and by the name of the markers around it."""


def updated(text: str, name: str, table: str) -> str:
    """Return a document with a fresh table between the markers of that name."""
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f'{before}{begin}\n\n{table}\n\n{end}{after}'


def main() -> None:
    """Write the configuration and the tables."""
    (ROOT / 'config' / 'act.yaml').write_text(config(), encoding='utf-8')
    for (file, name), make in TABLES.items():
        path = ROOT / file
        text = path.read_text(encoding='utf-8')
        path.write_text(updated(text, name, make()), encoding='utf-8')


if __name__ == '__main__':
    argparse.ArgumentParser(prog='doc.reference', description=__doc__).parse_args()
    main()
