"""The command line: exit status, several bags, two runs side by side."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from plan import write_plan

from act_ros.actions.classifier import DecisionOptions
from act_ros.evaluation.__main__ import main
from act_ros.evaluation.compare import _figures, compare
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import Settings, read_settings


def test_the_exit_status_tells_whether_the_model_is_good_enough(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(plan_bag), '--labels', str(labels), '--bundle', str(tiny_bundle),
                 '--output', str(tmp_path / 'out'), '--min-balanced-accuracy']
    assert main([*arguments, '0.5']) == 0
    assert 'report.html' in capsys.readouterr().out
    assert main([*arguments, '0.999']) == 1
    assert 'is below 0.999' in capsys.readouterr().err
    for wrong in ('80', 'nan'):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, wrong])
        assert stop.value.code == 2


def test_ctrl_c_is_one_line(
    plan_bag: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('act_ros.evaluation.__main__.evaluate', interrupted)
    with pytest.raises(SystemExit) as stop:
        main([str(plan_bag)])
    assert stop.value.code == 130 and capsys.readouterr().err == '\ninterrupted\n'


def test_several_bags_at_a_time(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    other = write_plan(tmp_path / 'other', 'mcap')
    assert main([str(plan_bag), str(other), '--labels', str(labels), str(labels), '--jobs', '2',
                 '--bundle', str(tiny_bundle), '--output', str(tmp_path / 'out')]) == 0
    one, two, both = (json.loads((tmp_path / 'out' / name / 'summary.json').read_text())
                      for name in ('plan', 'other', '.'))
    assert both['bags'] == ['plan', 'other'] and both['samples'] == 2 * one['samples']
    assert both['balanced_accuracy'] == pytest.approx(one['balanced_accuracy'])
    assert one['confusion'] == two['confusion'] and both['segments']['count'] == 6


@pytest.mark.parametrize('arguments', [
    [], ['a', 'b', '--labels', 'c.csv'], ['a', '--jobs', '0'],
    ['a', '--min-balanced-accuracy', '1'],
    ['x/a', 'y/a'], ['a', 'b', '--export-annotated', 'x.mp4'], ['a', '--compare', 'b', 'c'],
    ['a', '--bundle', 'no_such_model'], ['a', '--params', 'nothing.yaml'],
])
def test_wrong_use_is_told_apart(arguments: list[str], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_a_comparison_takes_no_options_that_it_would_not_heed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bound on the accuracy, say: continuous integration would pass whatever was reached."""
    with pytest.raises(SystemExit) as stop:
        main(['--compare', 'b', 'c', '--min-balanced-accuracy', '0', '--jobs', '2', 'a'])
    assert stop.value.code == 2
    assert 'no bags, --jobs, --min-balanced-accuracy' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--output', '--export-annotated'])
@pytest.mark.parametrize('place', ['disk', 'file'])
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, plan_bag: Path, tiny_bundle: Path, small_disk: Path,
    capsys: pytest.CaptureFixture[str], option: str, place: str,
) -> None:
    """A full disk, and a path through what is no folder; nothing is left there."""
    (tmp_path / 'file').write_text('of somebody')
    with pytest.raises(SystemExit) as stop:
        main([str(plan_bag), '--bundle', str(tiny_bundle), '--output', str(tmp_path / 'out'),
              option, str(tmp_path / place / 'it.mp4')])
    reason = errno.ENOSPC if place == 'disk' else errno.ENOTDIR
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and said.startswith('evaluate_bag: error: ')
    assert os.strerror(reason) in said or os.strerror(errno.EEXIST) in said
    assert not [path for path in small_disk.rglob('*') if path.is_file()]


def test_two_runs_side_by_side(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    path = tmp_path / 'slow.yaml'
    path.write_text('act_node: {ros__parameters: {decision: {smoothing: 1.5}}}')
    for name, params in (('quick', None), ('slow', path)):
        settings = read_settings(params, str(tiny_bundle))
        evaluate(Job(plan_bag, tmp_path / name, labels, settings=settings))
    assert main(['--compare', str(tmp_path / 'quick'), str(tmp_path / 'slow'),
                 '--output', str(tmp_path / 'both')]) == 0
    told = json.loads((tmp_path / 'both' / 'comparison.json').read_text())
    figure = told['figures']['balanced_accuracy']
    quick, slow = (json.loads((tmp_path / name / 'summary.json').read_text())
                   for name in ('quick', 'slow'))
    assert (figure['a'], figure['b']) == (quick['balanced_accuracy'], slow['balanced_accuracy'])
    assert figure['difference'] < 0
    assert sum(told['agreement'].values()) == 241
    assert told['agreement']['only A right'] > told['agreement'].get('only B right', 0)
    assert told['only_one_right'][0]['right'] == 'A'
    page = (tmp_path / 'both' / 'comparison.html').read_text()
    assert 'settings.decision.smoothing' in page and 'settings.window' not in page


@pytest.mark.parametrize(('name', 'better', 'worse'), [
    ('accuracy', 0.9, 0.8), ('label_changes_per_minute', 2.0, 9.0), ('id_switches', 0, 3)])
def test_a_figure_is_green_where_the_second_run_is_better(
    name: str, better: float, worse: float,
) -> None:
    (up,), (down,), (same,) = (_figures({name: a}, {name: b}) for a, b in (
        (worse, better), (better, worse), (better, better)))
    assert (up.kind, down.kind, same.kind) == ('good', 'bad', '')


def test_each_run_is_judged_by_what_its_own_model_knows_and_finds(
    tmp_path: Path, plan_bag: Path, labels: Path, settings: Settings,
) -> None:
    """To a model without a label it is unknown; who is not found is not right."""
    evaluate(Job(plan_bag, tmp_path / 'a', labels, settings=settings))
    truths, records = set(), [json.loads(line) for line in
                              (tmp_path / 'a' / 'results.jsonl').read_text().splitlines()]
    for record in records:
        for action in record['actions']:
            truths.add(action['truth'])
            if action['truth']:
                action |= {'status': 'RECOGNIZED', 'label': action['truth']}
    lacking = sorted(truths & {'walk', 'wave'})[0]

    def run(name: str, records: list[Any]) -> Path:
        shutil.copytree(tmp_path / 'a', tmp_path / name)
        (tmp_path / name / 'results.jsonl').write_text(
            ''.join(json.dumps(record) + '\n' for record in records))
        return tmp_path / name

    def agreement(first: Path, second: Path) -> dict[str, int]:
        compare(first, second, tmp_path / 'both')
        told: dict[str, int] = json.loads(
            (tmp_path / 'both' / 'comparison.json').read_text())['agreement']
        return {name: told[name] for name in told if name.endswith(('right', 'wrong'))}

    knows = run('knows', records)
    unsure = run('unsure', json.loads(json.dumps(records)))
    summary = json.loads((unsure / 'summary.json').read_text())
    summary['model']['labels'].remove(lacking)
    (unsure / 'summary.json').write_text(json.dumps(summary))
    other = json.loads(json.dumps(records))
    for record in other:
        for action in record['actions']:
            if action['truth'] == lacking:
                action |= {'status': 'UNKNOWN', 'label': ''}
    (unsure / 'results.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in other))
    assert set(agreement(knows, unsure)) == set(agreement(unsure, knows)) == {'both right'}

    for record in records:
        record['missed'] = [{'person': action['person_id'], 'truth': action['truth']}
                            for action in record['actions'] if action['truth']]
        record['actions'] = []
    blind = run('blind', records)
    assert set(agreement(knows, blind)) == {'only A right'}
    assert set(agreement(blind, blind)) == {'both wrong'}


def test_people_under_other_ids_in_the_other_run_are_compared_by_where_they_are(
    tmp_path: Path, plan_bag: Path, settings: Settings,
) -> None:
    """And whom only one run has is counted, too."""
    evaluate(Job(plan_bag, tmp_path / 'a', settings=settings))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    results = tmp_path / 'b' / 'results.jsonl'
    records = [json.loads(line) for line in results.read_text().splitlines()]
    (name,) = {action['person_id'] for record in records for action in record['actions']}
    for record in records:
        (action,) = record['actions']
        action['person_id'] = 'somebody'
    # And there is somebody else, elsewhere, under the id that was hers.
    records[-1]['actions'].append({**action, 'person_id': name, 'box': [-9, -9, -5, -5]})
    results.write_text(''.join(json.dumps(record) + '\n' for record in records))
    assert compared(tmp_path, 'a', 'b')['agreement'] == {
        'same answer': 241, 'only B has the person': 1}
    assert compared(tmp_path, 'b', 'a')['agreement'] == {
        'same answer': 241, 'only A has the person': 1}


def test_labels_that_are_alike_are_right_by_the_first_of_them(
    tmp_path: Path, plan_bag: Path, labels: Path, settings: Settings,
) -> None:
    """And the run that tells them apart is judged by each of them."""
    alike = replace(settings, decision=DecisionOptions(alike=('walk', 'wave')))
    apart, as_one = (evaluate(Job(plan_bag, tmp_path / name, labels, settings=given)).summary
                     for name, given in (('apart', settings), ('as one', alike)))
    assert set(as_one['classes']) == {'standing', 'walk'}
    for figure in ('accuracy', 'balanced_accuracy'):
        assert as_one[figure] >= apart[figure] > 0.8
    assert as_one['calibration']['ece'] < 0.2
    told = compared(tmp_path, 'apart', 'as one')
    assert told['agreement']['both right'] > 200 and 'only A right' not in told['agreement']
    # What is true is told as it was labelled: it is no walk that one run answered, and missed.
    waving = [stretch for stretch in told['only_one_right'] if stretch['start'] >= 8]
    assert [(stretch['truth'], stretch['other']) for stretch in waving[:1]] == [('wave', 'walk')]


def compared(folder: Path, a: str, b: str) -> dict[str, Any]:
    """Return what a comparison of two runs tells."""
    compare(folder / a, folder / b, folder / 'both')
    told: dict[str, Any] = json.loads((folder / 'both' / 'comparison.json').read_text())
    return told


@pytest.mark.parametrize(('spoil', 'said'), [
    (lambda run: (run / 'trace.json').unlink(), 'b/trace.json is not of an evaluated bag'),
    (lambda run: (run / 'results.jsonl').write_text('{'), 'b/results.jsonl is not of'),
    (lambda run: (run / 'results.jsonl').write_text('[1]'), 'b/results.jsonl is not of'),
    (lambda run: (run / 'summary.json').write_text('{"frames": 1, "model": 2}'),
     'b/summary.json is not of'),
    (lambda run: change(run, 'bag', 'duration', None), 'b/summary.json is not of'),
    (lambda run: (run / 'results.jsonl').write_text(
        ''.join((run / 'results.jsonl').read_text().splitlines(keepends=True)[:-5])),
     'holds files of different runs: summary.json tells of 241 frames, results.jsonl has 236'),
    (lambda run: change(run, 'bag', 'sha256', {'plan.db3': '0'}), 'of different bags'),
    (lambda run: change(run, 'labels', 'sha256', '0'), 'of different labels'),
])
def test_runs_that_do_not_belong_together_are_refused(
    tmp_path: Path, plan_bag: Path, labels: Path, settings: Settings,
    capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object], said: str,
) -> None:
    evaluate(Job(plan_bag, tmp_path / 'a', labels, settings=settings))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    arguments = ['--compare', str(tmp_path / 'a'), str(tmp_path / 'b'), '--output', str(tmp_path)]
    assert main(arguments) == 0
    spoil(tmp_path / 'b')
    before = (tmp_path / 'comparison.html').read_bytes()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    told = capsys.readouterr().err
    assert stop.value.code == 2 and said in told and str(tmp_path / 'b') in told
    assert (tmp_path / 'comparison.html').read_bytes() == before


def change(run: Path, part: str, key: str, value: object) -> None:
    """Change what the summary of a run says."""
    summary = json.loads((run / 'summary.json').read_text())
    summary[part][key] = value
    (run / 'summary.json').write_text(json.dumps(summary))
