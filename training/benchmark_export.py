"""
Make a bundle for the robot of networks that `training.benchmark` trained.

    python -m training.benchmark_export --run runs/mpose --model act_mu --split 1 --output models

Several folds become an ensemble. Temperature and unknown threshold are fitted on the folds'
validation samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from act_ros.bundle import Bundle, BundleError, save_bundle
from training.benchmark import fold_file
from training.benchmark_report import Fold, ensemble_probabilities, scores
from training.checkpoint import CheckpointError, read_arrays
from training.config import MPOSE_LABELS
from training.datasets.mpose import LAYOUTS, NUM_FRAMES, SPLITS, load_mpose
from training.datasets.skeletons import DataError
from training.export import QUANTISATIONS, ExportError, check, convert
from training.metrics import (
    expected_calibration_error,
    fit_temperature,
    softmax,
    unknown_threshold,
)
from training.models import build
from training.protocol import every_nth_frame

FRAME_RATE = 30.0
"""Hz of most MPOSE2021 clips (25 to 30)."""

SHORTEST = 20
"""Frames of the shortest MPOSE2021 clips."""


def export_folds(
    run: Path, model: str, split: int, folds: Sequence[int], directory: Path,
    data: str | Path | None = None, extractor: str = 'openpose', name: str | None = None,
    quantisation: str = 'float32', attention: bool = False, license_text: str = '',
) -> Path:
    """
    Write the bundle of some folds of a split and return its path.

    :param run: folder of the benchmark.
    :param data: folder of the data set, whose test windows the file is checked on.
    :raises CheckpointError: a fold is missing or damaged.
    :raises ExportError: the file does not say what the networks say, or the network is no AcT.
    """
    if not model.startswith('act_'):
        raise ExportError(f'{model} reads windows of one length only; a robot needs an AcT')
    results: list[Fold] = []
    for fold in folds:
        path = fold_file(run, extractor, (split, model, fold))
        if not path.is_file():
            raise CheckpointError(f'{path} is missing: train it with python -m training.benchmark')
        results.append(read_arrays(path))
    config = json.loads((run / 'config.json').read_text('utf-8'))
    if config['num_classes'] != len(MPOSE_LABELS):
        raise ExportError(f'{run} has {config["num_classes"]} classes without names')
    windows = load_mpose(extractor, split, data, config['output_layout'])
    step = config['frame_step']
    frames = -(-NUM_FRAMES // step)
    members = []
    for result in results:
        member = build(model, frames, windows.num_features, config['num_classes'])
        count = sum(key.startswith('weight_') for key in result)
        member.set_weights([result[f'weight_{i}'] for i in range(count)])
        members.append(member)
    file = convert(members, quantisation, attention)
    worst = check(file, members, every_nth_frame(windows.x_test[:256], step), quantisation)
    print(f'{quantisation}: {len(file) / 1e6:.2f} MB, largest difference of a probability from '
          f'Keras {worst:.1e}')

    logits = np.concatenate([result['validation_logits'] for result in results])
    label = np.concatenate([result['validation_label'] for result in results])
    temperature = fit_temperature(logits, label)
    before, after = softmax(logits), softmax(logits, temperature)
    accuracy, balanced = scores(results[0]['label'], ensemble_probabilities(results))
    bundle = Bundle(
        name=name or f'{model}_{extractor}_{split}', labels=MPOSE_LABELS, layout=windows.layout,
        num_frames=frames, min_frames=min(max(SHORTEST // step, 2), frames),
        frame_rate=FRAME_RATE / step, temperature=temperature,
        unknown_threshold=unknown_threshold(after.max(axis=-1)), members=len(members),
        attention=attention, license=license_text or 'trained on MPOSE2021: research only',
        training={'data': f'MPOSE2021 {extractor}, split {split}', 'folds': list(folds),
                  'config': config},
        metrics={'test': {'accuracy': round(accuracy, 2), 'balanced_accuracy': round(balanced, 2)},
                 'validation': {
                     'ece_before': round(expected_calibration_error(label, before), 4),
                     'ece': round(expected_calibration_error(label, after), 4)}})
    return save_bundle(directory, bundle, file)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--run', type=Path, required=True, help='folder of the benchmark')
    parser.add_argument('--model', default='act_mu')
    parser.add_argument('--split', type=int, choices=SPLITS, default=1)
    parser.add_argument('--folds', type=int, nargs='+', default=[0],
                        help='several become an ensemble')
    parser.add_argument('--extractor', choices=LAYOUTS, default='openpose')
    parser.add_argument('--data', type=Path, help='folder of the data set; default: ~/.mpose')
    parser.add_argument('--output', type=Path, default=Path('models'), help='folder of the bundle')
    parser.add_argument('--name', help='of the bundle; default: model, extractor and split')
    parser.add_argument('--quantisation', choices=QUANTISATIONS, default='float32')
    parser.add_argument('--attention', action='store_true',
                        help='add the attention over the frames as second output')
    options = parser.parse_args(arguments)
    try:
        path = export_folds(
            options.run, options.model, options.split, options.folds, options.output,
            options.data, options.extractor, options.name, options.quantisation,
            options.attention)
    except (OSError, ValueError, DataError, BundleError, CheckpointError, ExportError) as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
    print(f'wrote {path} and {path.with_suffix(".yaml")}')


if __name__ == '__main__':
    main()
