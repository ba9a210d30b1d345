"""The search of settings: what it may change, that it resumes, prunes, and runs anywhere alike."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tqdm.std
import yaml
from released import write_split

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
pytest.importorskip('sklearn', reason='training needs scikit-learn')
optuna = pytest.importorskip('optuna', reason='the search needs Optuna')

from training import search  # noqa: E402
from training.paper import protocol  # noqa: E402
from training.paper.protocol import ProtocolConfig  # noqa: E402
from training.progress import LINES  # noqa: E402
from training.search import Search, load_space, run_search  # noqa: E402
from training.trainer import Trainer  # noqa: E402

CONFIGS = Path(protocol.__file__).parents[1] / 'configs'
CONFIG = ProtocolConfig(schedule='constant', batch_size=64, xla=False, epochs=3)
SPACE: search.Space = {
    'constant_rate': {'low': 1e-4, 'high': 1e-2, 'log': True},
    'noise': {'low': 0.0, 'high': 0.2, 'step': 0.05},
    'batch_size': {'low': 32, 'high': 64, 'step': 32},
    'swap_sides': {'choices': [False, True]}}


@pytest.fixture(scope='module')
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with split 1."""
    folder = tmp_path_factory.mktemp('released')
    write_split(folder)
    return folder


def settings(folder: Path, **changes: Any) -> Search:
    """Return a search whose first ten trials depend on nothing but their number."""
    return Search(**{'config': CONFIG, 'space': SPACE, 'model': 'mlp', 'pruner': 'none',
                     'storage': f'sqlite:///{folder}/search.db', **changes})


def outcome(study: Any) -> list[tuple[dict[str, Any], float | None]]:
    """Return settings and value of every complete trial, by its settings."""
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return sorted(((t.params, t.value) for t in done), key=lambda pair: sorted(pair[0].items()))


@pytest.mark.parametrize('name', ['search_official.yaml', 'search_act.yaml'])
def test_the_spaces_hold_settings_of_the_protocol(name: str) -> None:
    space = load_space(CONFIGS / name)
    study = optuna.create_study()
    for _ in range(5):
        ProtocolConfig(**search.suggest(study.ask(), Search(CONFIG, space)))  # or it would raise
    assert 'weight_decay' in space


@pytest.mark.parametrize(('text', 'message'), [
    ('nose: {low: 0, high: 1}', 'unknown settings nose; known: .*noise'),
    ('seed: {choices: [1]}', 'unknown settings seed'),
    ('{}', 'it names no setting'),
    ('noise: 0.1', 'noise must have choices'), ('noise: {low: 0.1}', 'noise must have choices'),
    ('noise: {low: 2, high: 1}', 'low of noise is above'), ('[]', 'must be a YAML mapping'),
    ('noise: {low: a, high: 3}', "noise must have numbers, not {'low': 'a'"),
    ('noise: {choices: [1]}\nepochs: {choices: [1]}\nnoise: {choices: [2]}',
     'space.yaml: noise is given more than once'),
    ('noise: {low: 1, high: 3, low: 2}', 'low is given more than once'),
    ('noise: &a [*a]', 'cannot read'), ('[' * 4000, 'cannot read'),
    ('noise: 2026-13-45', 'cannot read the configuration .*space.yaml: month must be'),
    ('noise: {choices: 3}', 'choices of noise must be a list'), ('{', 'cannot read'),
    ('epochs: {choices: [few, many]}', "epochs must be a whole number, not the text 'few'"),
    ('epochs: {low: 1, high: 3.5}', 'epochs must be a whole number, not 3.5'),
    ('epochs: {low: 2, high: 8, step: 1.5}', 'epochs must be a whole number, not 1.5')])
def test_wrong_spaces_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / 'space.yaml'
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_space(file)


def test_a_number_that_may_be_broken_is_drawn_so_between_whole_bounds() -> None:
    study, options = optuna.create_study(), Search(CONFIG, {'noise': {'low': 0, 'high': 1}})
    values = {search.suggest(study.ask(), options)['noise'] for _ in range(5)}
    assert len(values) == 5 and not values & {0, 1}


def test_what_is_searched_counts_for_networks_with_settings_of_their_own(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, recipes = Trainer.run, []

    def noted(self: Trainer, *arguments: Any, **options: Any) -> Any:
        recipes.append(self.recipe)
        return run(self, *arguments, **options)

    monkeypatch.setattr(Trainer, 'run', noted)
    config = replace(CONFIG, networks={'mlp': {'batch_size': 16, 'epochs': 1}})
    run_search(settings(tmp_path, config=config, space={'batch_size': {'choices': [32]}}), 1,
               released)
    assert [(recipe.batch_size, recipe.epochs) for recipe in recipes] == [(32, 1)]


@pytest.fixture(scope='module')
def whole(
    tmp_path_factory: pytest.TempPathFactory, released: Path,
) -> list[tuple[dict[str, Any], float | None]]:
    """Return the trials of a search in one go."""
    trials = outcome(run_search(settings(tmp_path_factory.mktemp('whole')), 2, released))
    assert len(trials) == 2 and trials[0][0] != trials[1][0]
    return trials


def test_a_search_without_its_data_leaves_no_study_behind(tmp_path: Path, released: Path) -> None:
    """A study would refuse the command once it names the data that are there."""
    wrong = settings(tmp_path, config=replace(CONFIG, extractor='posenet'))
    with pytest.raises(ValueError, match='lacks X_train'):
        run_search(wrong, 1, released)
    assert not search.open_study(settings(tmp_path)).trials


def test_ray_gives_the_trials_of_a_sequence(
    tmp_path: Path, released: Path, ray_cluster: str, whole: list,
) -> None:
    assert outcome(run_search(settings(tmp_path), 2, released, ray_cluster, threads=1)) == whole


def test_an_interrupted_search_ends_as_one_that_was_not(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch, whole: list,
) -> None:
    run, calls = Trainer.run, []

    def interrupted(self: Trainer, *arguments: Any, **options: Any) -> Any:
        calls.append(self.recipe)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(self, *arguments, **options)

    monkeypatch.setattr(Trainer, 'run', interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_search(settings(tmp_path), 2, released)
    study = run_search(settings(tmp_path), 2, released)
    assert len(calls) == 3 and calls[1] == calls[2]
    assert outcome(study) == whole
    assert len(study.trials) == 3  # with the interrupted one
    run_search(settings(tmp_path), 2, released)
    assert len(calls) == 3  # nothing was left to do


def sampled(options: Search, count: int) -> list[dict[str, Any]]:
    """Return the settings of trials that each open the study anew, as every worker does."""
    for _ in range(count):
        study = search.open_study(options)
        trial = study.ask()
        values = search.suggest(trial, options)
        study.tell(trial, -abs(values['noise'] - 0.1) - abs(values['constant_rate'] - 3e-3))
    return [trial.params for trial in study.trials]


def test_tpe_searches(tmp_path: Path) -> None:
    """Every trial is another point, and later ones are nearer to what was good."""
    space: search.Space = {'constant_rate': {'low': 0.0, 'high': 1.0},
                           'noise': {'low': 0.0, 'high': 1.0}}
    options = settings(tmp_path, space=space)
    trials = sampled(options, 30)
    assert len({tuple(trial.values()) for trial in trials}) == 30
    distance = [abs(t['noise'] - 0.1) + abs(t['constant_rate'] - 3e-3) for t in trials]
    assert np.mean(distance[-10:]) < np.mean(distance[:10]) / 2
    # Resumed or in one go, the trials are the same.
    again = replace(options, storage=f'sqlite:///{tmp_path}/again.db')
    assert sampled(again, 4) == trials[:4]


def test_trials_on_other_data_are_not_mixed_in(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, 'run_trial', lambda *_: None)
    for _ in range(2):  # the same data are welcome
        run_search(settings(tmp_path), 1, released)
    write_split(tmp_path, train=11)
    with pytest.raises(ValueError, match="study 'search' of .* has trials on other data"):
        run_search(settings(tmp_path), 1, tmp_path)


def test_a_killed_search_takes_up_what_was_running(tmp_path: Path) -> None:
    options = settings(tmp_path)
    study = search.open_study(options)
    killed, running = study.ask(), study.ask()
    with subprocess.Popen(['true']) as process:
        pass
    killed.set_user_attr('process', f'{socket.gethostname()} {process.pid}')
    running.set_user_attr('process', f'{socket.gethostname()} {os.getpid()}')
    for trial in (killed, running):
        search.suggest(trial, options)
    for _ in range(2):  # once is enough
        search.take_up(study)
    assert [t.state.name for t in study.trials] == ['FAIL', 'RUNNING', 'WAITING']
    repeated = study.ask()
    assert search.suggest(repeated, options) == killed.params


def test_a_log_file_gets_no_line_for_every_trial(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hours = count(step=3600)
    monkeypatch.setattr(tqdm.std, 'time', lambda: next(hours))
    monkeypatch.setattr(search, 'run_trial', lambda *_: None)
    run_search(settings(tmp_path), 100, released)
    lines = [line for line in re.split(r'[\r\n]', capsys.readouterr().err) if 'trial' in line]
    assert '100/100' in lines[-1] and len(lines) <= LINES + 2


def test_trials_that_lag_behind_are_pruned(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the median of earlier trials as the bar, a trial that learns nothing is ended early."""
    options = settings(tmp_path, space={'constant_rate': {'choices': [0.0, 3e-3]}})
    open_study = search.open_study

    def of_median(search: Search) -> Any:
        study = open_study(search)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
        return study

    monkeypatch.setattr(search, 'open_study', of_median)
    study = search.open_study(options)
    for rate in (3e-3, 0.0):
        study.enqueue_trial({'constant_rate': rate})
    study = run_search(options, 2, released)
    assert [trial.state.name for trial in study.trials] == ['COMPLETE', 'PRUNED']
    assert 1 <= len(study.trials[1].intermediate_values) < CONFIG.epochs
    assert '1 trials complete, 1 pruned' in search.describe(study)


def test_settings_that_diverge_are_pruned_and_do_not_end_the_search(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, 'train_epoch', lambda *_: float('nan'))
    study = run_search(settings(tmp_path), 2, released)
    assert [trial.state.name for trial in study.trials] == ['PRUNED', 'PRUNED']


def test_other_settings_and_unreachable_storage_are_refused(tmp_path: Path) -> None:
    search.open_study(settings(tmp_path))
    with pytest.raises(ValueError, match="study 'search' of .* has other settings"):
        search.open_study(settings(tmp_path, fold=1))
    (tmp_path / 'broken.db').write_bytes(b'not a database at all' * 100)
    with pytest.raises(ValueError, match=r'cannot use the storage .*broken\.db'):
        search.open_study(settings(tmp_path, storage=f'sqlite:///{tmp_path}/broken.db'))


def test_command_line(
    tmp_path: Path, released: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    config, space = tmp_path / 'run.yaml', tmp_path / 'space.yaml'
    config.write_text(yaml.safe_dump({'epochs': 2, 'batch_size': 64, 'xla': False}))
    space.write_text(yaml.safe_dump({'noise': {'low': 0.0, 'high': 0.1}}))
    arguments = ['--config', str(config), '--space', str(space), '--data', str(released),
                 '--model', 'mlp', '--storage', f'sqlite:///{tmp_path}/new/search.db']
    search.main([*arguments, '--trials', '2'])
    table = capsys.readouterr().out
    assert table.startswith('mlp-space: 2 trials complete, 0 pruned.')
    assert '| trial | validation balanced % | noise |' in table
    with pytest.raises(SystemExit) as caught:
        search.main([*arguments, '--space', str(config)])
    assert caught.value.code == 2
    assert 'batch_size must have choices' in capsys.readouterr().err
