"""One HTML file that tells how good the answers were and where they erred; opens offline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from act_ros.core.skeletons import get_layout
from act_ros.evaluation.scores import BINS, NONE, Segment
from act_ros.evaluation.thumbnails import SHAPE, Gallery, Shot
from act_ros.recordings.labels import UNKNOWN

# Colour-blind-safe first (Okabe and Ito), then tones apart from them.
_COLOURS = (
    '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c6bb1', '#b8a900',
    '#4d9221', '#e7298a', '#80603f', '#1fa3a3', '#a6761d', '#6a7fdb', '#c51b7d', '#5f9ea0',
    '#b15928', '#7fbc41', '#9e4a6b', '#31688e',
)
# Left, right and middle of the body.
_BONES = {'l': '#ffb000', 'r': '#3ec5ff', '': '#f2f4f7'}
_MIN_SCORE = 0.2

Traces = Sequence[Mapping[str, Any]]


def write_report(
    path: Path, summary: Mapping[str, Any], trace: Mapping[str, Any], gallery: Gallery,
    worst: Sequence[Segment],
) -> None:
    """Write the report of one bag."""
    bag, model = summary['bag'], summary['model']
    colours = label_colours([trace])
    head = (f'<h1>{escape(bag["name"])}</h1><p class="soft">{escape(model["name"] or "unknown")}'
            f' on {escape(bag["kind"])} of <code>{escape(bag["topic"])}</code> · '
            f'{bag["duration"]:.1f} s · {summary["frames"]} frames · {summary["people"]} '
            f'{"person" if summary["people"] == 1 else "people"}</p>')
    measured = 'accuracy' in summary
    body = [
        head, tiles(summary), warning_list(summary['warnings']),
        timelines([('', trace)], colours),
        '<div class="pair">' + confusion(summary) + reliability(summary) + '</div>'
        if measured else '',
        class_table(summary, colours) if measured else statuses(summary),
        gallery_section(gallery, worst, colours),
        configuration(summary),
    ]
    write_page(path, f'{bag["name"]}: evaluation', body, [trace], colours, bag['duration'])


def write_page(
    path: Path, title: str, body: Iterable[str], traces: Traces, colours: Mapping[str, str],
    duration: float,
) -> None:
    """Fill the template; what is embedded cannot end its script element."""
    data = json.dumps({'traces': traces, 'colours': colours, 'duration': max(duration, 0.1)},
                      ensure_ascii=False, separators=(',', ':'))
    page = Path(__file__).with_name('report.html').read_text(encoding='utf-8')
    parts = {'title': escape(title), 'body': '\n'.join(filter(None, body)),
             'data': data.replace('<', '\\u003c')}
    # In one go: a label may be called {{data}}.
    page = re.sub(r'\{\{(\w+)\}\}', lambda match: parts[match[1]], page)
    path.write_text(page, encoding='utf-8')


def label_colours(traces: Traces) -> dict[str, str]:
    """Give the labels that were answered or true longest the colours most apart."""
    seconds: dict[str, float] = {}
    for person in (p for trace in traces for p in trace['people']):
        for start, end, name in (*person['truth'], *person['answers']):
            seconds[name] = seconds.get(name, 0.0) + end - start
        for band in person['bands']:
            seconds.setdefault(band['label'], 0.0)
    for status in ('BUFFERING', 'UNKNOWN', 'LOST', UNKNOWN, NONE):
        seconds.pop(status, None)
    names = sorted(seconds, key=lambda name: (-seconds[name], name))
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as text."""
    return '–' if value is None else f'{100 * value:.{digits}f} %'


def number(value: float | None, unit: str = '', digits: int = 2) -> str:
    """Return a figure as text."""
    return '–' if value is None else f'{value:.{digits}f}{unit}'


def tiles(summary: Mapping[str, Any]) -> str:
    """Return the figures at the top."""
    shares = summary['share_of_status']
    entries: list[tuple[str, str]] = []
    if 'accuracy' in summary:
        entries += [(percent(summary['balanced_accuracy']), 'balanced accuracy'),
                    (percent(summary['accuracy']), 'of frames right'),
                    (number(summary['macro_f1'], digits=3), 'macro F1')]
    if segments := summary.get('segments'):
        delay = segments['seconds_to_first_right_answer']
        entries += [(percent(segments['recall'], 0), f'of {segments["count"]} segments right'),
                    (number(delay and delay['median'], ' s'), 'to the first right answer')]
    if calibration := summary.get('calibration'):
        entries.append((number(calibration['ece'], digits=3), 'calibration error (ECE)'))
    entries += [(number(summary['label_changes_per_minute'], digits=1), 'changes a minute'),
                (percent(shares['RECOGNIZED'], 0), 'of the time recognized'),
                (percent(shares['UNKNOWN'], 0), 'unknown'),
                (percent(shares['BUFFERING'], 0), 'buffering')]
    if summary['id_switches'] is not None:
        entries.append((str(summary['id_switches']), 'id switches'))
    first = ' main' if 'accuracy' in summary else ''
    return '<div class="tiles">' + ''.join(
        f'<div class="tile{first if i == 0 else ""}"><b>{value}</b><span>{text}</span></div>'
        for i, (value, text) in enumerate(entries)) + '</div>'


def warning_list(warnings: Sequence[str]) -> str:
    """Return what the reader must know before believing the figures."""
    return '<ul class="warnings">' + ''.join(
        f'<li>{escape(text)}</li>' for text in warnings) + '</ul>' if warnings else ''


def timelines(named: Sequence[tuple[str, Mapping[str, Any]]], colours: Mapping[str, str]) -> str:
    """Return a card with a timeline for each trace; the page's script draws them."""
    legend = ''.join(f'<span>{swatch(name, colours)}{escape(name)}</span>' for name in colours)
    greys = ''.join(f'<span>{_box(f"var(--{name})")}{name}</span>'
                    for name in ('buffering', 'unknown', 'lost'))
    parts = ['<section class="card"><h2>Who did what when</h2><p class="note">Truth above the '
             'answer, the probabilities below. Ctrl + wheel zooms, dragging moves, a double click '
             f'shows all.</p><div class="legend">{legend}{greys}</div>']
    for title, trace in named:
        parts.append((f'<h2>{escape(title)}</h2>' if title else '')
                     + '<div class="timeline"><canvas></canvas></div>')
        if trace['left_out']:
            parts.append(f'<p class="note">{trace["left_out"]} more people, seen more briefly, '
                         'are in results.jsonl.</p>')
        if not trace['people']:
            parts.append('<p class="note">Nobody was seen.</p>')
    return ''.join(parts) + '</section>'


def swatch(name: str, colours: Mapping[str, str]) -> str:
    """Return a little square in a label's colour."""
    return _box(colours.get(name, 'var(--unknown)'))


def _box(colour: str) -> str:
    return f'<i class="swatch" style="background:{colour}"></i>'


def confusion(summary: Mapping[str, Any]) -> str:
    """Return the confusion matrix: shares of each true class, counts on hover."""
    classes, counts = summary['confusion']['classes'], summary['confusion']['counts']
    head = ''.join(f'<th><span>{escape(name)}</span></th>' for name in classes)
    rows = []
    for name, row in zip(classes, counts, strict=True):
        total = sum(row)
        if not total:
            continue
        cells = ''.join(
            f'<td title="{escape(name)} answered as {escape(other)}: {count} of {total}" '
            f'style="background:rgba(var(--heat),{0.04 + 0.9 * count / total:.3f})'
            f'{";color:#fff" if count / total > 0.55 else ""}">'
            f'{f"{100 * count / total:.0f}" if count else ""}</td>'
            for other, count in zip(classes, row, strict=True))
        rows.append(f'<tr><th>{escape(name)}</th>{cells}</tr>')
    return ('<section class="card"><h2>Confusion matrix</h2><p class="note">What is true, by row; '
            'what was answered, by column; percent of the row.</p><div class="scroll">'
            f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div></section>')


def reliability(summary: Mapping[str, Any]) -> str:
    """Return the reliability diagram."""
    calibration = summary.get('calibration')
    if not calibration:
        return ''
    size, left, top = 260.0, 40.0, 8.0
    most = max(b['samples'] for b in calibration['bins'] if b)
    parts = []
    for i, entry in enumerate(calibration['bins']):
        if not entry:
            continue
        x, width = left + size * i / BINS, size / BINS
        height = size * entry['accuracy']
        # Wider where more samples are.
        share = 0.25 + 0.75 * entry['samples'] / most
        parts.append(
            f'<rect x="{x + width * (1 - share) / 2:.1f}" y="{top + size - height:.1f}" '
            f'width="{width * share:.1f}" height="{height:.1f}" rx="2" fill="var(--accent)">'
            f'<title>confidence {percent(entry["confidence"])}, right '
            f'{percent(entry["accuracy"])}, {entry["samples"]} samples</title></rect>')
    ticks = ''.join(
        f'<text x="{left - 6}" y="{top + size * (1 - v) + 4}" text-anchor="end">{100 * v:.0f}'
        f'</text><text x="{left + size * v}" y="{top + size + 18}" text-anchor="middle">'
        f'{100 * v:.0f}</text>' for v in (0, 0.25, 0.5, 0.75, 1))
    return (
        '<section class="card"><h2>Reliability</h2><p class="note">How often an answer of a given '
        f'confidence is right; on the line: exactly as often as it claims. ECE '
        f'{calibration["ece"]:.3f}.</p><svg class="plot" viewBox="0 0 320 312" role="img" '
        'aria-label="reliability diagram">'
        f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" '
        f'stroke="var(--line)"/>{"".join(parts)}<line x1="{left}" y1="{top + size}" '
        f'x2="{left + size}" y2="{top}" stroke="var(--soft)" stroke-dasharray="4 4"/>{ticks}'
        f'<text x="{left + size / 2}" y="{top + size + 38}" text-anchor="middle">confidence, %'
        f'</text><text transform="translate(10 {top + size / 2}) rotate(-90)" '
        'text-anchor="middle">right, %</text></svg></section>')


def _bar(value: float) -> str:
    return f'<span class="bar"><i style="width:{100 * value:.1f}%"></i></span>{percent(value)}'


def class_table(summary: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    """Return recall and precision of every class."""
    by_label = summary['segments']['recall_by_label']
    rows = ''.join(
        f'<tr><td>{swatch(name, colours)}{escape(name)}</td><td>{_bar(entry["recall"])}</td>'
        f'<td>{_bar(entry["precision"])}</td><td class="number">{entry["f1"]:.3f}</td>'
        f'<td class="number">{percent(by_label.get(name), 0)}</td>'
        f'<td class="number">{entry["samples"]}</td></tr>'
        for name, entry in summary['classes'].items())
    return ('<section class="card"><h2>Classes</h2><p class="note">Recall and precision of frames; '
            'segments whose most frequent answer is right.</p><div class="scroll"><table><tr>'
            '<th>label</th><th>recall</th><th>precision</th><th class="number">F1</th>'
            '<th class="number">segments</th><th class="number">frames</th></tr>'
            f'{rows}</table></div></section>')


def statuses(summary: Mapping[str, Any]) -> str:
    """Return the shares of each status, for a bag without labels."""
    rows = ''.join(f'<tr><td>{name.lower()}</td><td>{_bar(share)}</td></tr>'
                   for name, share in summary['share_of_status'].items())
    return ('<section class="card"><h2>Status</h2><p class="note">There are no labels: what was '
            'answered can be described, but not judged.</p>'
            f'<table>{rows}</table></section>')


def gallery_section(
    gallery: Gallery, worst: Sequence[Segment], colours: Mapping[str, str],
) -> str:
    """Return the segments that went worst, with pictures."""
    if not worst:
        return ''
    parts = ['<section class="card"><h2>Worst segments</h2><p class="note">The labels with the '
             'fewest right answers, and moments from their time.</p><div class="gallery">']
    for segment in worst:
        label = segment.label
        who = f' · {escape(label.person)}' if label.person else ''
        name = escape(label.label) + (
            '' if label.label == segment.truth else f' (<i>{segment.truth}</i>)')
        missed = '' if segment.answer == segment.truth else (
            f' · mostly answered <b>{escape(segment.answer)}</b>')
        shots = ''.join(_figure(shot, segment.truth)
                        for shot in gallery.shots.get(label.line, []))
        parts.append(
            f'<section style="border-color:{colours.get(label.label, "var(--unknown)")}">'
            f'<b>{name}</b>{who} · <span class="soft">line {label.line}</span> · '
            f'{percent(segment.right, 0)} right{missed}<div class="shots">{shots}</div></section>')
    return ''.join(parts) + '</div></section>'


def _figure(shot: Shot, truth: str) -> str:
    x, y, width, height = shot.crop
    image = (f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
             f'preserveAspectRatio="none" href="data:image/jpeg;base64,{shot.jpeg}"/>'
             if shot.jpeg else '')
    kind = 'good' if shot.answer == truth else 'bad'
    sure = '' if shot.answer == NONE else f' {percent(shot.confidence, 0)}'
    return (f'<figure><svg viewBox="{x:.1f} {y:.1f} {width:.1f} {height:.1f}">{image}'
            f'{_skeleton(shot, height / SHAPE[1])}</svg><figcaption>+{shot.second:.1f} s '
            f'<span class="{kind}">{escape(shot.answer)}{sure}</span></figcaption></figure>')


def _skeleton(shot: Shot, scale: float) -> str:
    if shot.keypoints is None:
        return ''
    layout, points = get_layout(shot.layout), shot.keypoints
    if len(points) != len(layout.joints):
        return ''
    lines = []
    for a, b in layout.edges:
        if not (points[[a, b], 2] >= _MIN_SCORE).all():
            continue
        sides = {layout.joints[i][0] if layout.joints[i][1] == '_' else '' for i in (a, b)}
        colour = _BONES[sides.pop() if len(sides) == 1 else '']
        (x1, y1), (x2, y2) = points[a, :2].tolist(), points[b, :2].tolist()
        lines.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                     f'stroke="{colour}"/>')
    return f'<g stroke-width="{2.4 * scale:.2f}" stroke-linecap="round">{"".join(lines)}</g>'


def configuration(summary: Mapping[str, Any]) -> str:
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
    cells = ''.join(f'<tr><td>{escape(name)}</td><td class="wrap"><code>{escape(value)}</code>'
                    '</td></tr>' for name, value in rows)
    settings = ('<details><summary>all parameters</summary><pre>'
                + escape(json.dumps(summary['settings'], indent=2)) + '</pre></details>'
                if summary['settings'] else '')
    return (f'<section class="card"><h2>Configuration</h2><table>{cells}</table>{settings}'
            '</section>')
