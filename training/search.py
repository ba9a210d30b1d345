"""
Search the settings of a network's training with Optuna (https://optuna.org).

    python -m training.search --model act_mu --trials 50 [--space training/configs/search_act.yaml]

A trial trains on one fold; its value is the balanced accuracy on the fold's validation samples (the
test set is never looked at). Trials that lag behind are pruned. All trials are in a database: the
same command goes on where a search stopped, also on several machines at once.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import warnings
import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from act_ros.core.arguments import count_from, one_line_errors
from act_ros.core.files import is_running
from training.cluster import ClusterError, run_jobs
from training.config import checked, checksums, read_yaml, refuse_unknown
from training.metrics import softmax
from training.models import MODELS, normalisation_of
from training.paper.benchmark_report import scores
from training.paper.mpose import SPLITS, MposeSplit, files_of, load_mpose
from training.paper.protocol import (
    CONFIGS,
    ProtocolConfig,
    command_options,
    load_protocol,
    make_trainer,
    run_fold,
)
from training.progress import progress
from training.trainer import DivergedError, start_afresh

if TYPE_CHECKING:
    import optuna

Space = dict[str, dict[str, Any]]

PRUNERS = ('hyperband', 'none')
# What a search may not change: it says what is learned from, not how.
_FIXED = ('name', 'extractor', 'splits', 'folds', 'models', 'ensemble_model', 'ensembles',
          'output_layout', 'validation', 'seed')


@dataclass(frozen=True)
class Search:
    """A search: what is searched, where it is kept and how trials are chosen and pruned."""

    config: ProtocolConfig
    space: Space
    model: str = 'act_mu'
    split: int = 1
    fold: int = 0
    name: str = 'search'
    storage: str = 'sqlite:///search.db'
    pruner: str = 'hyperband'
    seed: int = 0


def load_space(path: str | Path) -> Space:
    """
    Read what to search: a setting of `ProtocolConfig` a line, each with ``choices`` or with
    ``low``, ``high`` and perhaps ``step`` or ``log``.

    :raises ValueError: for anything else; the message names the file.
    """
    return read_yaml(path, _check_space)


def _check_space(space: Space) -> Space:
    if not space:
        raise ValueError('it names no setting')
    refuse_unknown(space, {f.name for f in fields(ProtocolConfig)} - set(_FIXED))
    for name, bounds in space.items():
        keys = set(bounds) if isinstance(bounds, dict) else set()
        if not (keys == {'choices'} or {'low', 'high'} <= keys <= {'low', 'high', 'step', 'log'}):
            raise ValueError(f'{name} must have choices, or low, high and perhaps step or log')
        if 'choices' in keys and not (isinstance(bounds['choices'], list) and bounds['choices']):
            raise ValueError(f'choices of {name} must be a list')
        numbers = [x for key, x in bounds.items() if key in ('low', 'high', 'step')]
        if not all(isinstance(x, (int, float)) for x in numbers):
            raise ValueError(f'{name} must have numbers, not {bounds}')
        if 'low' in keys and not bounds['low'] <= bounds['high']:
            raise ValueError(f'low of {name} is above its high')
        for value in bounds.get('choices', numbers):
            checked(ProtocolConfig, {name: value})
    return space


def suggest(trial: optuna.Trial, search: Search) -> dict[str, Any]:
    """Return a trial's value of every setting of the space."""
    import optuna

    # Each trial opens the study anew: with one seed for all, every trial would draw the same point.
    # With one of its own it draws the same whoever runs it and when, but for what it learns from.
    trial.study.sampler = optuna.samplers.TPESampler(
        seed=zlib.crc32(f'{search.seed} {trial.number}'.encode()), multivariate=False)
    values, types = dict[str, Any](), get_type_hints(ProtocolConfig)
    for name, bounds in search.space.items():
        if 'choices' in bounds:
            values[name] = trial.suggest_categorical(name, bounds['choices'])
            continue
        draw = trial.suggest_int if types[name] is int else trial.suggest_float
        values[name] = draw(name, **bounds)
    return values


def open_study(search: Search) -> optuna.Study:
    """
    Open the study of a search, making it if it is new.

    :raises ValueError: when Optuna is missing, a study of that name has other settings, or the
        storage is out of reach.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as error:
        raise ValueError(f'{error}; the search needs Optuna: pip install optuna') from error

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = {'hyperband': optuna.pruners.HyperbandPruner,
              'none': optuna.pruners.NopPruner}[search.pruner]()
    file = search.storage.partition('sqlite:///')[2]
    options = {'connect_args': {'timeout': 60}} if file else {}  # several write to one file
    try:
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                search.storage, engine_kwargs=options, heartbeat_interval=60)
        study = optuna.create_study(
            storage=storage, study_name=search.name, pruner=pruner,
            direction='maximize', load_if_exists=True)
        settings = asdict(replace(search, storage=''))
        text = json.dumps(settings, sort_keys=True)
        stored = study.user_attrs.get('settings')
        if stored is None:
            study.set_user_attr('settings', text)
    except (OSError, SQLAlchemyError, ImportError) as error:
        raise ValueError(f'cannot use the storage {search.storage}: {error}') from error
    if stored not in (None, text):
        raise ValueError(f'the study {search.name!r} of {search.storage} has other settings: '
                         f'choose another --name or --storage')
    return study


def _process() -> str:
    """Return what tells this process from those of other machines."""
    return f'{socket.gethostname()} {os.getpid()}'


def _is_gone(process: str) -> bool:
    """Tell whether a process of this machine, as `_process` names it, has ended."""
    host, _, number = process.rpartition(' ')
    # Whether another machine still works on it tells the heartbeat.
    return host == socket.gethostname() and not is_running(int(number))


def take_up(study: optuna.Study) -> None:
    """Line up again the trials that were interrupted: those that failed, or whose process died."""
    import optuna
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if _is_gone(trial.user_attrs.get('process', '')):
            study.tell(trial.number, state=TrialState.FAIL)
    repeated = {t.user_attrs.get('repeats') for t in study.get_trials(deepcopy=False)}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        if trial.params and trial.number not in repeated:
            study.enqueue_trial(trial.params, user_attrs={'repeats': trial.number})


def run_trial(data: MposeSplit, search: Search, threads: int) -> None:
    """Run the study's next trial and store what came of it."""
    import optuna

    start_afresh(threads)
    study = open_study(search)

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr('process', _process())
        # Of what the network has settings of its own for, too, the trial's count.
        config = replace(search.config.of(search.model), **suggest(trial, search))

        def report(epoch: int, values: dict[str, float]) -> None:
            if 'validation_accuracy' in values:
                trial.report(values['validation_accuracy'], epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned(f'at epoch {epoch}')

        try:
            result = run_fold(make_trainer(config, data, search.model, search.fold),
                              title=f'trial {trial.number}' if sys.stderr.isatty() else None,
                              on_epoch=report)
        except DivergedError as error:  # such settings are found out to be bad, and no more
            raise optuna.TrialPruned(str(error)) from error
        return scores(result['validation_label'], softmax(result['validation_logits']))[1]

    study.optimize(objective, n_trials=1)


def run_search(
    search: Search, trials: int, data: str | Path | None = None, address: str | None = None,
    threads: int = 0,
) -> optuna.Study:
    """
    Run trials until the study has so many that ended, pruned ones included, and return it.

    :param data: folder of the data set, by default the cache of the ``mpose`` package.
    :param address: of a Ray cluster, see `training.cluster.run_jobs`; its machines must reach the
        storage.
    :raises ValueError: as `open_study`, or the study has trials on other data.
    """
    from optuna.trial import TrialState

    # First: where the data are missing, no study may keep the settings that asked for them.
    split = {search.split: load_mpose(
        search.config.extractor, search.split, data, search.config.output_layout,
        normalisation_of(search.model))}
    study = open_study(search)
    found = checksums(files_of(search.config.extractor, search.split, data))
    if study.user_attrs.get('data', found) != found:
        raise ValueError(f'the study {search.name!r} of {search.storage} has trials on other data: '
                         f'choose another --name or --storage')
    study.set_user_attr('data', found)
    take_up(study)
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    todo = max(trials - len(ended), 0)
    jobs = dict.fromkeys(range(todo), (search.split, search, threads))
    for _ in progress(run_jobs(run_trial, jobs, split, address, threads or 1), search.name, trials,
                      'trial', trials - todo):
        pass
    return study


def describe(study: optuna.Study) -> str:
    """Return the best trials as a Markdown table."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    lines = [f'{study.study_name}: {len(done)} trials complete, {len(pruned)} pruned.', '']
    best = sorted(done, key=lambda t: (-(t.value or 0.0), t.number))[:10]
    if best:
        names = list(best[0].params)
        lines += ['| trial | validation balanced % | ' + ' | '.join(names) + ' |',
                  '|--:|--:|' + '---|' * len(names)]
    for trial in best:
        cells = (f'{v:.4g}' if isinstance(v, float) else str(v) for v in trial.params.values())
        lines.append(f'| {trial.number} | {trial.value:.2f} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Search the settings of a network's training with Optuna.")
    parser.add_argument('--config', type=Path, default=CONFIGS / 'mpose_benchmark.yaml',
                        help='YAML file of the settings that are not searched')
    parser.add_argument('--space', type=Path, default=CONFIGS / 'search_act.yaml',
                        help='YAML file of what is searched; the authors searched '
                             'search_official.yaml')
    command_options(parser, 'trial')
    parser.add_argument('--model', choices=MODELS, default='act_mu', metavar='MODEL',
                        help=f'the network: {", ".join(MODELS)}')
    parser.add_argument('--split', type=int, choices=SPLITS, default=1,
                        help='the split that is trained on')
    parser.add_argument('--fold', type=count_from(0), default=0, help='the fold that is trained')
    parser.add_argument('--trials', type=count_from(1), default=50,
                        help='how many, those there included')
    parser.add_argument('--name', help='of the study; default: the model and the space')
    parser.add_argument('--storage', default='sqlite:///runs/search.db',
                        help='database URL; for several machines one that all can reach')
    parser.add_argument('--pruner', choices=PRUNERS, default='hyperband',
                        help='which trials are ended early')
    parser.add_argument('--seed', type=count_from(0), default=0, help='of the sampler')
    options = parser.parse_args(arguments)
    with one_line_errors(parser, OSError, ValueError, ClusterError):
        config = load_protocol(options.config)
        config = replace(config, extractor=options.extractor or config.extractor)
        storage = options.storage
        if options.ray and storage.startswith('sqlite:///'):  # workers have folders of their own
            storage = f'sqlite:///{Path(storage.removeprefix("sqlite:///")).absolute()}'
        search = Search(
            config, load_space(options.space), options.model, options.split, options.fold,
            options.name or f'{options.model}-{options.space.stem}', storage, options.pruner,
            options.seed)
        threads = options.threads or (1 if options.ray else 0)
        print(describe(run_search(search, options.trials, options.data, options.ray, threads)))


if __name__ == '__main__':
    main()
