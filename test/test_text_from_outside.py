"""Text from outside reaches logs and terminals in one place only: through `printable`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from synthetic import SECOND, bundle_of, person, pose, tiny_model

from act_ros.actions.bundle import load_bundle, save_bundle
from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.resources import find_model
from act_ros.evaluation.settings import read_settings
from act_ros.persons.compressed import decode_compressed
from act_ros.persons.images import decode_raw
from act_ros.persons.video import VideoSource
from act_ros.recordings.bags import Bag
from act_ros.recordings.labels import read_labels
from act_ros.tflite.runtime import load_interpreter

ROOT = Path(__file__).parents[1]
FORGED = '\x1b[2J\n[FATAL] the robot is on fire\u202e\ud800\r'
SINKS = {'print', 'debug', 'info', 'warning', 'error', 'fatal', 'tqdm', '_warn'}
# What is safe by itself: counts, names from the code, and what was made safe before.
SAFE = {
    'bundle.name', 'bundle.num_frames', 'cells', 'clock.joints', 'estimator.name', 'format',
    'frames', 'info.num_messages', 'least', 'len', 'loss', 'pool.map', 'printable',
    'printable_traceback', 'reached', 'reason', 'self._about', 'self._failure',
    'self._health.source', 'self._mark', 'self._timeline.frames', 'self._topic', 'self.name',
    'summary["frames"]', 'table', 'text', 'timeline.frames', 'topic', 'type', 'up', 'what'}


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls in a file that write to a log or a terminal."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            if name in SINKS or ast.unparse(node.func) == 'parser.exit':
                yield node


def raw_parts(node: ast.expr) -> Iterator[str]:
    """Yield the parts of a text that may come from outside and are not made printable."""
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            is_number = isinstance(part, ast.FormattedValue) and part.format_spec is not None and \
                ast.unparse(part.format_spec).rstrip("'\"}")[-1:] in 'dfge%'
            if isinstance(part, ast.FormattedValue) and not is_number:
                yield from raw_parts(part.value)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from raw_parts(value)
    elif isinstance(node, ast.IfExp):
        yield from raw_parts(node.body)
        yield from raw_parts(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from raw_parts(node.left)
        yield from raw_parts(node.right)
    elif not isinstance(node, ast.Constant):
        source = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        if source.replace("'", '"') not in SAFE:
            yield ast.unparse(node)


def raw_calls(room: str, whose: str = '') -> list[str]:
    """Return what may come from outside in the calls of a folder whose name begins so."""
    return [f'{path.relative_to(ROOT)}:{call.lineno}: {part}'
            for path in sorted((ROOT / room).rglob('*.py')) for call in calls(path)
            if ast.unparse(call.func).startswith(whose)
            for argument in call.args for part in raw_parts(argument)]


def test_what_is_logged_or_printed_is_printable() -> None:
    assert not (raw := raw_calls('act_ros')), '\n'.join(raw)


def test_errors_of_commands_are_printable() -> None:
    assert not (raw := raw_calls('training', 'parser.')), '\n'.join(raw)


def _bundle(folder: Path, text: str) -> None:
    path = save_bundle(folder, bundle_of(), tiny_model())
    card = path.with_suffix('.yaml')
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), 'labels': ['a', text]}))
    load_bundle(path)


def _key_of_a_bundle(folder: Path, text: str) -> None:
    path = save_bundle(folder, bundle_of(), tiny_model())
    card = path.with_suffix('.yaml')
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), text[:120]: 1}))
    load_bundle(path)


def _labels(folder: Path, text: str) -> None:
    path = folder / 'labels.csv'
    path.write_text(f'start,end,label\n"{text}",1,walk\n', encoding='utf-8', errors='replace')
    read_labels(path, 0, SECOND)


def _settings(folder: Path, text: str) -> None:
    path = folder / 'act.yaml'
    path.write_text(yaml.safe_dump({'act_node': {'ros__parameters': {'act_threads': text}}}))
    read_settings(path)


def _layout(folder: Path, text: str) -> None:
    ActionRecognizer(ActClassifier(save_bundle(folder, bundle_of(), tiny_model()))).update(
        SECOND, [person(pose(0.0), 'p1')], text)


ENTRIES: dict[str, Callable[[Path, str], object]] = {
    'label of a bundle': _bundle, 'key of a bundle': _key_of_a_bundle, 'label file': _labels,
    'parameter': _settings, 'layout': _layout,
    'encoding': lambda _, text: decode_raw(bytes(12), text, 2, 2, 6),
    'format': lambda _, text: decode_compressed(b'no image', text),
    'name of a model': lambda folder, text: find_model(text[:200]),
    'path of a model': lambda folder, text: find_model(folder / text[:200]),
    'pose network': lambda folder, text: load_interpreter(folder / text[:200]),
    'bag': lambda folder, text: Bag(folder / text[:200]),
    'parameter file': lambda folder, text: read_settings(folder / text[:200]),
    'video': lambda folder, text: VideoSource(str(folder / text[:200])),
}


@pytest.mark.parametrize('entry', ENTRIES)
@pytest.mark.parametrize('text', [FORGED, FORGED + 'x' * 1_000_000], ids=['short', 'long'])
def test_an_error_that_quotes_is_one_short_line(tmp_path: Path, entry: str, text: str) -> None:
    """Escape codes, forged lines, marks that turn the direction of writing, a million letters."""
    with pytest.raises(Exception) as caught:
        ENTRIES[entry](tmp_path, text)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1500
