"""The report in a real browser: it renders, without an error and without the network."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import SECOND, person, pose, stamps

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import image, keypoint_array, write_bag
from browser import CHROMIUM, show
from contrast import channels, contrast

from act_ros.evaluation.compare import compare
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings
from act_ros.persons.compressed import decode_compressed
from act_ros.pictures.captions import is_light

NASTY = '{{data}}</script><img src=x onerror=alert(1)>'
BRACES = '{{data}}'


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """Return the output of a bag with images, and with a person of a nasty name."""
    folder = tmp_path_factory.mktemp('report')
    pixels = np.full((480, 640, 3), 90, np.uint8)
    messages = [item for s in stamps(10, 6) for item in (
        ('/image', s, image(s, pixels)),
        ('/keypoints', s + 1000, keypoint_array(s, [
            person(pose((s - SECOND) / SECOND, 'walk' if s < 4 * SECOND else 'wave'), 'p1'),
            person(pose(1.0, 'standing', x=500), NASTY)])))]
    labels = folder / 'labels.csv'
    labels.write_text('start,end,label,person\n0,3,walk,p1\n3,6.1,standing,p1\n'
                      f'1,4,{NASTY},{NASTY}\n4,5,{BRACES},{NASTY}\n')
    bag = write_bag(folder / 'bag', messages)
    evaluate(Job(bag, folder / 'out', labels, settings=read_settings(bundle=str(tiny_bundle))))
    return folder / 'out'


def test_the_report_is_one_file_that_asks_nothing_of_the_network(report: Path) -> None:
    page = (report / 'report.html').read_text()
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!data:)[^"]+"|@import|url\(', page)
    assert NASTY not in page and page.count('</script>') == 2
    shots = [decode_compressed(b64decode(jpeg))
             for jpeg in re.findall('src="data:image/jpeg;base64,([^"]+)"', page)]
    assert len(shots) >= 6
    for shot in shots:  # of the grey image, with a skeleton in it
        assert np.median(shot) == 90 and (abs(shot.astype(int) - 90).max(axis=-1) > 50).sum() > 200


def test_a_label_that_looks_like_a_template_is_text(report: Path) -> None:
    """What is embedded for the timelines stays JSON, and has the label."""
    page = (report / 'report.html').read_text()
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])
    labels = {name for p in data['traces'][0]['people'] for _, _, name in p['truth']}
    assert {'walk', BRACES} <= labels


def test_figures_and_labels_are_readable_on_their_colours(report: Path) -> None:
    """By day and by night the least contrast is 4.5; inks are those of the other pictures."""
    page = (report / 'report.html').read_text()
    strengths = [float(x) for x in re.findall(r'rgba\(var\(--heat\),([0-9.]+)\)', page)]
    assert max(strengths) > 0.4
    cards, inks, heats, *statuses = (
        re.findall(rf'--{name}: ([^;]+);', page)
        for name in ('card', 'ink', 'heat', 'buffering', 'unknown', 'lost'))
    assert len(heats) == 2
    for card, ink, heat, *colours in zip(cards, inks, heats, *statuses, strict=True):
        assert all(contrast(channels(colour), channels(ink)) >= 4.5 for colour in colours)
        for strength in strengths:
            ground = strength * channels(heat) + (1 - strength) * channels(card)
            assert contrast(ground, channels(ink)) >= 4.5
    assert ';color:' not in page[page.index('class="matrix"'):page.index('Reliability')]
    assert "ctx.fillStyle = data.inks[name] || css('ink');" in page
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert data['inks'] == {
        name: '#000' if is_light(colour) else '#fff' for name, colour in data['colours'].items()}


def test_a_class_that_never_occurs_has_no_recall(run: Any, tmp_path: Path) -> None:
    """It was answered where another was true: its recall is not 0, it has none."""
    bag = write_bag(tmp_path / 'bag', [('/keypoints', s, keypoint_array(s, [
        person(pose((s - SECOND) / SECOND, 'walk'), 'p1')])) for s in stamps(10, 6)])
    summary = run(bag, '0,6,standing,p1\n')
    assert summary['classes']['walk']['samples'] == 0
    compare(tmp_path / 'out', tmp_path / 'out', tmp_path / 'both')
    for page in (tmp_path / 'out' / 'report.html', tmp_path / 'both' / 'comparison.html'):
        row = re.findall(r'<tr><td>(?:<i[^>]*></i>\s*)?walk</td>.*?</tr>', page.read_text(),
                         re.DOTALL)
        assert all('–' in cells for cells in row)
    assert 'walk</td>' not in page.read_text()


@pytest.mark.skipif(CHROMIUM is None, reason='chromium is not installed')
@pytest.mark.parametrize('name', ['report.html', 'comparison.html'])
def test_it_renders_in_a_browser(report: Path, name: str, tmp_path: Path) -> None:
    compare(report, report, report)
    page = tmp_path / name
    page.write_text((report / name).read_text() + '<script>document.body.dataset.width = '
                    '`${document.documentElement.scrollWidth} of ${innerWidth}`</script>')
    result = show(page.as_uri(), tmp_path / 'profile', '--virtual-time-budget=2000',
                  '--window-size=420,900')
    assert result.returncode == 0, result.stderr
    # The script has run to its end, and drawn.
    assert 'data-ready="yes"' in result.stdout
    wide, window = re.findall(r'data-width="(\d+) of (\d+)"', result.stdout)[0]
    assert int(wide) <= int(window) <= 500, 'what lies beyond a narrow window is cut off'
    heights = re.findall(r'<canvas[^>]*style="height: (\d+)px', result.stdout)
    assert heights and all(int(h) > 100 for h in heights)
    assert not [line for line in result.stderr.splitlines() if 'CONSOLE' in line]
    assert 'onerror' not in re.sub(r'&lt;.*?&gt;|<script.*?</script>', '', result.stdout,
                                   flags=re.DOTALL)


@pytest.mark.skipif(CHROMIUM is None, reason='chromium is not installed')
def test_where_nobody_was_seen_there_is_an_axis(run: Any, tmp_path: Path) -> None:
    run(write_bag(tmp_path / 'bag', [('/keypoints', s, keypoint_array(s, []))
                                     for s in stamps(10, 2)]))
    result = show((tmp_path / 'out' / 'report.html').as_uri(), tmp_path / 'profile')
    (height,) = re.findall(r'<canvas[^>]*style="height: (\d+)px', result.stdout)
    assert int(height) >= 26, 'the times below it are cut off'
