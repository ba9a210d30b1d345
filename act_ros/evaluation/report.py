"""One HTML file that tells how good the answers were and where they erred; opens offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from act_ros.core.files import replacing
from act_ros.evaluation.scores import Segment
from act_ros.evaluation.thumbnails import Gallery
from act_ros.pictures.captions import is_light, label_colour
from act_ros.recordings.labels import NONE, UNKNOWN_LABEL

_Traces = Sequence[Mapping[str, Any]]


def write_report(
    path: Path, summary: Mapping[str, Any], trace: Mapping[str, Any], gallery: Gallery,
    worst: Sequence[Segment],
) -> None:
    """Write the report of one bag."""
    write_page(
        path, 'report.html', f'{summary["bag"]["name"]}: evaluation', [trace],
        summary['bag']['duration'], summary=summary, trace=trace, tiles=_tiles(summary),
        configuration=_configuration(summary), settings=json.dumps(summary['settings'], indent=2),
        worst=worst, shots=gallery.shots, none_answer=NONE)


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, whole or not at all."""
    with replacing(path) as file:
        file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')


def write_page(
    path: Path, template: str, title: str, traces: _Traces, duration: float, **values: Any,
) -> None:
    """
    Fill a template with ``values``, and with the traces that the page's script draws.

    :param duration: of the recording, in seconds.
    """
    colours = _label_colours(traces)
    inks = {name: '#000' if is_light(colour) else '#fff' for name, colour in colours.items()}
    data = {'traces': traces, 'colours': colours, 'inks': inks, 'duration': max(duration, 0.1)}
    text = _templates().get_template(template).render(title=title, data=data, **values)
    path.write_text(text, encoding='utf-8')


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name('templates')), autoescape=True,
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {'percent': _percent, 'number': _number}
    # Labels keep their order, and what is embedded cannot end its script element.
    environment.policies['json.dumps_kwargs'] = {'ensure_ascii': False, 'separators': (',', ':')}
    return environment


def _label_colours(traces: _Traces) -> dict[str, str]:
    """Return the colours of the labels that were answered or true, the longest first."""
    seconds: dict[str, float] = {}
    for person in (p for trace in traces for p in trace['people']):
        for start, end, name in (*person['truth'], *person['answers']):
            seconds[name] = seconds.get(name, 0.0) + end - start
        for band in person['bands']:
            seconds.setdefault(band['label'], 0.0)
    for status in ('BUFFERING', 'UNKNOWN', 'LOST', UNKNOWN_LABEL, NONE):
        seconds.pop(status, None)
    names = sorted(seconds, key=lambda name: (-seconds[name], name))
    return {name: label_colour(name) for name in names}


def _percent(value: float | None, digits: int = 1) -> str:
    """Return a share as text."""
    return '–' if value is None else f'{100 * value:.{digits}f} %'


def _number(value: float | None, unit: str = '', digits: int = 2) -> str:
    """Return a figure as text."""
    return '–' if value is None else f'{value:.{digits}f}{unit}'


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures at the top, each with what it is."""
    shares = summary['share_of_status']
    entries: list[tuple[str, str]] = []
    if 'accuracy' in summary:
        entries += [(_percent(summary['balanced_accuracy']), 'balanced accuracy'),
                    (_percent(summary['accuracy']), 'of frames right'),
                    (_number(summary['macro_f1'], digits=3), 'macro F1')]
    if segments := summary.get('segments'):
        delay = segments['seconds_to_first_right_answer']
        entries += [(_percent(segments['recall'], 0), f'of {segments["count"]} segments right'),
                    (_number(delay and delay['median'], ' s'), 'to the first right answer')]
    if calibration := summary.get('calibration'):
        entries.append((_number(calibration['ece'], digits=3), 'calibration error (ECE)'))
    entries += [(_number(summary['label_changes_per_minute'], digits=1), 'changes a minute'),
                (_percent(shares['RECOGNIZED'], 0), 'of the time recognized'),
                (_percent(shares['UNKNOWN'], 0), 'unknown'),
                (_percent(shares['BUFFERING'], 0), 'buffering')]
    if summary['id_switches'] is not None:
        entries.append((str(summary['id_switches']), 'id switches'))
    return entries


def _configuration(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was run on what, with checksums."""
    bag, model = summary['bag'], summary['model']
    rows = [('bag', f'{bag["name"]}, {bag["messages"]} messages of {bag["type"]}'),
            *((f'SHA-256 of {name}', value) for name, value in bag['sha256'].items())]
    if labels := summary['labels']:
        rows += [('labels', labels['name']), ('SHA-256 of the labels', labels['sha256'])]
    rows += [(f'model: {key}', ', '.join(value) if isinstance(value, list) else str(value))
             for key, value in model.items()]
    age = summary['age_seconds']
    if age:
        rows.append(('recorded after its stamp',
                     f'{age["median"]:.3f} s (median), {age["p99"]:.3f} s (99 %)'))
    return rows
