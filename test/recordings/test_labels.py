"""Labels files as people write them: what is meant is read, what is not clear is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from act_ros.recordings.labels import Label, LabelError, read_labels

SECOND = 1_000_000_000


def read(path: Path, content: str | bytes, warnings: list[str] | None = None) -> list[Label]:
    """Read a labels file of a bag that lasts ten seconds."""
    file = path / 'labels.csv'
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labels(file, 0, 10 * SECOND, warnings)


@pytest.mark.parametrize('content', [
    'start,end,label,person\n0,4,walk,p1\n',
    '\ufeffstart,end,label,person\r\n0,4,walk,p1\r\n',
    'Start, End ,LABEL,Person\n0,4,walk,p1\n',
    'start;end;label;person\n0;4;walk;p1\n',
    'start\tend\tlabel\tperson\n0\t4\twalk\tp1\n',
    'start,end,label,person,,\n\n"0",4, walk ,p1,,\n,,,,,\n',
    'person,label,end,start\np1,walk,4,0',
])
def test_the_same_labels_in_many_spellings(tmp_path: Path, content: str) -> None:
    label, = read(tmp_path, content)
    assert (label.start, label.end, label.label, label.person, label.actor) == (
        0, 4 * SECOND, 'walk', 'p1', '')


def test_any_text_may_be_a_label(tmp_path: Path) -> None:
    first, second = read(tmp_path, 'start,end,label\n0,4,{{data}}\n4,5,"gähnen; 走る,\n"\n')
    assert (first.label, second.label) == ('{{data}}', 'gähnen; 走る,')


@pytest.mark.parametrize(('content', 'problem'), [
    ('start,end,label\n0,4,walk\n0,5,4,5,walk\n', 'line 3: 5 cells, but the first line names 3'),
    ('start,end,label\n0,4,walk,p1,anna\n', 'line 2: 5 cells, .* decimals have a point'),
    ('start,end,label\n"0,5","4,5",walk\n', "line 2: '0,5' is neither .*; decimals have a point"),
    ('start;end;label\n0,5;4,5;walk\n', "line 2: '0,5' is neither .*; decimals have a point"),
    ('start,end,label,label\n0,4,walk,run\n', 'the first line names label twice'),
    ('start,end,label,mood\n0,4,walk,good\n', 'columns that mean nothing here: mood'),
    ('start|end|label\n0|4|walk\n', 'the first line lacks start, end, label'),
    ('', 'the first line lacks'),
    ('start,end,label\n0,4\n', 'line 2: the label is empty'),
    ('start,end,label\n0,4,"walk\n1,2,run\n', 'unexpected end of data'),
    ('start,end,label\n0,4,walk\n5,6,"run"x\n7,8,walk\n', 'line 3: .* expected after'),
    ('start,end,label\n0,4,gähnen\n'.encode('latin1'), 'it is not UTF-8 .*; save it as UTF-8'),
    ('start,end,label\n0,4,walk\n'.encode('utf-16'), 'it is not UTF-8'),
    ('start,end,label\n0,4,' + 'x' * 200_000, 'field larger than field limit'),
    ('start,end,label\nnan,4,walk\n', "line 2: 'nan' is neither"),
    ('start,end,label\n0,1e999,walk\n', "line 2: '1e999' is neither"),
])
def test_what_is_not_clear_is_refused(
    tmp_path: Path, content: str | bytes, problem: str,
) -> None:
    with pytest.raises(LabelError, match=problem) as caught:
        read(tmp_path, content)
    assert 'labels.csv' in str(caught.value) and len(str(caught.value)) < 1100


@pytest.mark.parametrize('content', [
    'start,end,label,\x1b[2J\n0,4,walk,x\n', 'start,end,label\n0,\x1b[2J,walk\n'])
def test_escape_codes_are_shown_not_obeyed(tmp_path: Path, content: str) -> None:
    with pytest.raises(LabelError) as caught:
        read(tmp_path, content)
    assert str(caught.value).isprintable() and r'\x1b[2' in str(caught.value)


@pytest.mark.parametrize(('rows', 'lines'), [
    ('0,4,walk,p1\n3,5,run,p1\n', '2 and 3'),
    ('0,4,walk,\n3,5,run,p1\n', '2 and 3'),
    ('0,9,walk,p1\n1,2,run,p2\n3,5,run,p3\n6,7,run,\n', '2 and 5'),
    ('0,9,walk,p1\n1,2,run,p2\n3,5,run,p3\n6,7,run,p1\n', '2 and 5'),
    ('0,9,walk,\n1,2,run,\n', '2 and 3'),
    ('0,4,walk,p1,anna\n1,3,run,p2,ben\n3,5,run,p3,anna\n', '2 and 4'),
])
def test_the_same_person_twice_at_a_time(tmp_path: Path, rows: str, lines: str) -> None:
    with pytest.raises(LabelError, match=f'lines {lines} label the same person'):
        read(tmp_path, 'start,end,label,person,actor\n' + rows)


def test_an_actor_may_be_called_as_the_id_of_somebody_else(tmp_path: Path) -> None:
    assert len(read(tmp_path, 'start,end,label,person,actor\n0,4,walk,p1,p2\n3,5,run,p2,\n')) == 2


def test_forty_thousand_people_at_a_time_take_as_many_steps(tmp_path: Path) -> None:
    """Each pair compared, it was eight hundred million: minutes, where this takes a second."""
    rows = ''.join(f'0,{9 - i / 40_000},walk,p{i}\n' for i in range(40_000))
    assert len(read(tmp_path, 'start,end,label,person\n' + rows)) == 40_000


def test_labels_outside_of_the_bag_are_counted(tmp_path: Path) -> None:
    warnings: list[str] = []
    rows = ''.join(f'{20 + i},{21 + i},walk\n' for i in range(1000))
    assert len(read(tmp_path, 'start,end,label\n0,1,walk\n' + rows, warnings)) == 1
    assert len(warnings) == 6 and 'the same holds for 995 more lines' in warnings[-1]
    assert 'line 3: 20 to 21 lies outside of the bag' in warnings[0]


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', Path('/dev/zero'), tmp_path):
        with pytest.raises(LabelError, match='it is no file'):
            read_labels(path, 0, SECOND)
    with pytest.raises(LabelError, match='No such file'):
        read_labels(tmp_path / 'none.csv', 0, SECOND)
