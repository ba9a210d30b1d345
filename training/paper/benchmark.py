"""
Train and test networks on MPOSE2021 by the paper's protocol: splits x folds x models.

    python -m training.paper.benchmark --config training/configs/mpose_benchmark.yaml

Every fold is a file of its own: an interrupted benchmark goes on where it stopped, also within a
fold. The tables and figures are made of all folds that are there.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.core.arguments import count_from, one_line_errors
from training.checkpoint import CheckpointError, write_arrays
from training.cluster import ClusterError, run_jobs
from training.config import check_data, keep_data, keep_settings
from training.models import MODELS, STREAMS, normalisation_of
from training.paper.benchmark_report import write_report
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
from training.trainer import device, in_turn, start_afresh, tell_duration, tensorboard_log

# What says which folds are trained, not how.
_EXTENT = ('extractor', 'splits', 'folds', 'models', 'ensemble_model', 'ensembles')


def fold_file(folder: Path, extractor: str, which: tuple[int, str, int]) -> Path:
    """Return the file of a fold's result, by split, model and number."""
    split, model, fold = which
    return folder / extractor / f'split_{split}' / model / f'fold_{fold}.npz'


def train_fold(
    data: MposeSplit, model: str, fold: int, config: ProtocolConfig, file: Path, threads: int,
    tensorboard: bool,
) -> dict[str, np.ndarray]:
    """
    Train a network on a fold and return the arrays of its result, see `run_fold`.

    :param file: of the result; beside it lie the checkpoint and TensorBoard's logs, if wanted.
    """
    start_afresh(threads)
    title = f'split {data.split} {model} fold {fold}' if sys.stderr.isatty() else None
    is_first = fold == 0 and data.split == config.splits[0]
    return run_fold(make_trainer(config, data, model, fold), _checkpoint(file), title, in_turn(
        tensorboard_log(file.with_suffix('.logs')) if tensorboard else None,
        tell_duration(model, config.of(model).epochs, config.folds * len(config.splits))
        if is_first else None))


def _checkpoint(file: Path) -> Path:
    return file.with_suffix('.checkpoint.npz')


def run_benchmark(
    config: ProtocolConfig, folder: Path, data: str | Path | None = None,
    address: str | None = None, threads: int = 0, tensorboard: bool = False,
) -> None:
    """
    Train every fold that is not there yet.

    :param folder: of the results; refused (ValueError) if it holds those of other settings, or on
        other data.
    :param data: folder of the data set, by default the cache of the ``mpose`` package.
    :param address: of a Ray cluster, see `training.cluster.run_jobs`.
    """
    keep_settings(folder, config, _EXTENT)
    if address is None:
        print(f'training on {device()}', file=sys.stderr)
    models = dict.fromkeys(x for model in config.models for x in STREAMS.get(model, (model,)))
    folds = {fold_file(folder, config.extractor, fold).absolute(): fold
             for fold in product(config.splits, models, range(config.folds))}
    jobs = {file: ((split, normalisation_of(model)), model, fold, config, file, threads,
                   tensorboard)
            for file, (split, model, fold) in folds.items() if not file.is_file()}
    splits = {(split, form): load_mpose(
        config.extractor, split, data, config.output_layout, form)
        for split, form in sorted({job[0] for job in jobs.values()})}
    for split in {split for split, _ in splits}:
        results = folder / config.extractor / f'split_{split}'
        files = files_of(config.extractor, split, data)
        check_data(results, files)
        keep_data(results, files)
    for file, arrays in progress(
            run_jobs(train_fold, jobs, splits, address, threads or 1),
            f'{config.name} {config.extractor}', len(folds), 'fold', len(folds) - len(jobs)):
        write_arrays(file, **arrays)
        _checkpoint(file).unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Train and test networks on MPOSE2021 by the paper's protocol.")
    parser.add_argument('--config', type=Path, help='YAML file; default: the paper, with AcT-µ',
                        default=CONFIGS / 'mpose_benchmark.yaml')
    parser.add_argument('--output', type=Path, default=Path('runs'),
                        help='folder for the results; the benchmark gets one inside')
    command_options(parser, 'fold')
    parser.add_argument('--models', nargs='+', choices=MODELS, metavar='MODEL',
                        help='instead of those of the file')
    parser.add_argument('--splits', nargs='+', type=int, choices=SPLITS, help='likewise')
    parser.add_argument('--folds', type=count_from(1), help='likewise: the first so many')
    parser.add_argument('--epochs', type=count_from(1), help='likewise')
    parser.add_argument('--smoke', action='store_true',
                        help='try everything out in minutes: one split, one fold, two epochs at a '
                             'constant rate; what comes of it says nothing')
    parser.add_argument('--tensorboard', action='store_true', help='write logs for TensorBoard')
    options = parser.parse_args(arguments)
    with one_line_errors(parser, OSError, ValueError, CheckpointError, ClusterError):
        config = load_protocol(options.config)
        extent: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name in ('extractor', 'models', 'splits', 'folds', 'epochs')
            if (value := getattr(options, name)) is not None}
        if options.epochs:
            extent['networks'] = {model: {**own, 'epochs': options.epochs}
                                  for model, own in config.networks.items()}
        config = replace(config, **extent)
        if options.smoke:  # the paper's rate would rise too steeply over so few steps
            config = replace(config, name=f'{config.name}_smoke', splits=config.splits[:1], folds=1,
                             epochs=2, schedule='constant', networks={})
        folder = options.output / config.name
        threads = options.threads or (1 if options.ray else 0)
        run_benchmark(config, folder, options.data, options.ray, threads, options.tensorboard)
        print(write_report(folder, config))


if __name__ == '__main__':
    main()
