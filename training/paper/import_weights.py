"""
Weights trained on MPOSE2021 become a bundle that the robot runs.

    python -m training.paper.import_weights --h5 AcT_micro_1_0.h5 --size mu \\
        --layout mpose13_openpose --output models
    python -m training.paper.import_weights --folds runs/mpose/openpose/split_1/act_mu/fold_*.npz \\
        --name act_mu_mpose --output models

Reads the Keras ``.h5`` weights that https://github.com/PIC4SeR/AcT writes and offers (with
velocities, or with scores in their place, as the number of their inputs tells), or the folds of our
own `training.paper.benchmark`. Several files become one ensemble. What they do not say has a
default: the 20 labels of MPOSE2021, its 30 frames a second, and windows of two thirds of their
length or more, as its clips have. Folds hold validation data, on which temperature and threshold
are fitted; ``.h5`` files do not: a temperature of 1 and a threshold of 0.5. Beside the bundle
stands a ``.weights.h5`` file, with which `training.train` can go on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from act_ros.actions.bundle import Bundle
from act_ros.actions.features import MPOSE, SCORED, num_features
from act_ros.core.arguments import goes_with, one_line_errors
from act_ros.core.skeletons import LAYOUTS
from act_ros.core.text import printable
from training.checkpoint import CheckpointError, read_arrays
from training.datasets.labels import MPOSE_LABELS
from training.export import QUANTISATIONS, ExportError, export_bundle
from training.metrics import (
    expected_calibration_error,
    fit_temperature,
    softmax,
    summary,
    unknown_threshold,
)
from training.models import build
from training.models.act import SIZES
from training.networks import load_network, save_weights
from training.paper.benchmark_report import ensemble_probabilities
from training.paper.mpose import FRAME_RATE

_EXPECTED = ('the layers of an AcT: dense, patch_class_embedding, transformer_encoder, dense, '
             'dense')


class WeightsError(ValueError):
    """A weight file that is not what was asked for; the message says which and why."""


def read_h5(path: Path, size: str) -> keras.Model:
    """
    Return the network of a weight file, read by structure and order: names' numbers do not matter.

    :param size: ``mu``, ``s``, ``m`` or ``l``.
    :raises WeightsError: not a Keras weight file, another architecture, another size, or cut off.
    """
    try:
        with h5py.File(path, 'r') as file:
            root = file['model_weights'] if 'model_weights' in file else file
            layers = [(name, arrays) for name, arrays in _layers(root) if arrays]
    except OSError as error:
        raise WeightsError(f'{path} is not a readable HDF5 file: missing, cut off or of another '
                           f'format ({error})') from error
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f'{path} is not a Keras 2 .h5 weight file, or is cut off: {error}'
                           ) from error
    counts = [len(arrays) for _, arrays in layers]
    if len(layers) != 5 or [counts[i] for i in (0, 1, 3, 4)] != [2] * 4 or counts[2] % 16:
        found = ', '.join(f'{name} ({len(arrays)} arrays)' for name, arrays in layers) or 'none'
        raise WeightsError(f'{path} does not have {_EXPECTED}; its layers with weights are: '
                           f'{found}')
    first, embedding, encoder, head, logits = (arrays for _, arrays in layers)
    width, depth = first[0].shape[-1], len(encoder) // 16
    if (width, depth) != (SIZES[size].d_model, SIZES[size].num_layers):
        fits = [f'use --size {name}' for name, s in SIZES.items()
                if (s.d_model, s.num_layers) == (width, depth)]
        raise WeightsError(
            f'{path} has {depth} encoder layers of width {width}, size {size!r} has '
            f'{SIZES[size].num_layers} of {SIZES[size].d_model}; '
            + (fits[0] if fits else 'it is none of the known sizes'))
    token, position = sorted(embedding, key=lambda array: -array.ndim)
    model = build(f'act_{size}', max(len(position) - 1, 1), len(first[0]), len(logits[1]))
    weights = [*first, token, position]
    for i in range(0, len(encoder), 16):  # ours is one product for query, key and value
        joined = (np.concatenate(encoder[i + j:i + 6:2], axis=-1) for j in (0, 1))
        weights += [*joined, *encoder[i + 6:i + 16]]
    weights += [*head, *logits]
    for variable, array in zip(model.weights, weights, strict=True):
        if tuple(variable.shape) != array.shape:
            raise WeightsError(f'{path}: {variable.path} is {array.shape}, an AcT of size {size!r} '
                               f'has {tuple(variable.shape)}')
        if not np.isfinite(array).all():
            raise WeightsError(f'{path} holds weights that are not finite')
    model.set_weights(weights)
    return model


def _layers(root: h5py.Group) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the layers' names and arrays, in order."""
    for name in _names(root, 'layer_names'):
        group = root[name]
        yield name, [np.asarray(group[weight], np.float32)
                     for weight in _names(group, 'weight_names')]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras cuts long ones into attributes ``name0``, ``name1``, ..."""
    parts = [attribute] if attribute in group.attrs else []
    while f'{attribute}{len(parts)}' in group.attrs:
        parts.append(f'{attribute}{len(parts)}')
    if not parts:
        raise KeyError(f'{group.name} has no attribute {attribute}')
    return [name.decode() if isinstance(name, bytes) else str(name)
            for part in parts for name in group.attrs[part]]


def import_weights(
    paths: Sequence[Path], size: str, layout: str, directory: Path,
    quantisation: str = 'float32', **description: Any,
) -> Path:
    """
    Turn weight files into a bundle and return its path.

    :param description: fields of `Bundle` that the files do not say: its ``name``, ``labels``,
        ``frame_rate``, ``license`` …
    :raises WeightsError: the files do not fit the size, the layout, the labels or each other.
    """
    paths = without_copies(paths)
    members = [read_h5(path, size) for path in paths]
    normalisation = next((name for name in (MPOSE, SCORED)
                          if num_features(layout, name) == members[0].input_shape[-1]), MPOSE)
    frames = members[0].get_layer('embedding').num_frames
    for path, model in zip(paths, members, strict=True):
        for what, actual, wanted, source in (
                ('features a frame', model.input_shape[-1], num_features(layout, normalisation),
                 f'layout {layout!r}'),
                ('classes', model.output_shape[-1],
                 len(description.setdefault('labels', MPOSE_LABELS)), 'the list of labels'),
                ('frames', model.get_layer('embedding').num_frames, frames, str(paths[0]))):
            if actual != wanted:
                raise WeightsError(f'{path} is for {actual} {what}, {source} has {wanted}')
    bundle = Bundle(**{
        'name': paths[0].stem, 'layout': layout, 'normalisation': normalisation,
        'num_frames': frames, 'min_frames': _shortest(frames), 'frame_rate': FRAME_RATE,
        'temperature': 1.0, 'unknown_threshold': 0.5, 'license': 'that of the weight files',
        'training': {'model': f'act_{size}', 'imported_from': [path.name for path in paths],
                     'calibrated': False}, **description})
    return _write(members, bundle, directory, quantisation)


def import_folds(
    paths: Sequence[Path], directory: Path, quantisation: str = 'float32', **description: Any,
) -> Path:
    """
    Turn folds of a split into a bundle, calibrated on their validation data; return its path.

    :param description: fields of `Bundle` that the folds do not say, as for `import_weights`.
    :raises WeightsError: the folds do not fit each other or the labels, or are of a network for
        one length only.
    """
    networks = [load_network(path) for path in paths]
    first, labels = networks[0], description.setdefault('labels', MPOSE_LABELS)
    for path, network in zip(paths, networks, strict=True):
        if not network.kind.startswith('act_'):
            raise WeightsError(f'{path} is a {network.kind}: bundles take windows of any length, '
                               f'which only an AcT does')
        if len(network.labels) != len(labels):
            raise WeightsError(f'{path} is for {len(network.labels)} classes, the list of labels '
                               f'has {len(labels)}')
        if path.absolute().parent != paths[0].absolute().parent:
            raise WeightsError(f'{path} and {paths[0]} are not of the same split and network')
    held_back = [read_arrays(path) for path in paths]
    logits = np.concatenate([fold['validation_logits'] for fold in held_back])
    label = np.concatenate([fold['validation_label'] for fold in held_back])
    temperature = fit_temperature(logits, label)
    answers = softmax(logits, temperature)
    before, after = (expected_calibration_error(label, x) for x in (softmax(logits), answers))
    frames = first.num_frames
    bundle = Bundle(**{
        'name': f'{first.kind}_mpose', 'layout': first.layout, 'num_frames': frames,
        'min_frames': _shortest(frames), 'frame_rate': first.frame_rate,
        'temperature': temperature,
        'unknown_threshold': unknown_threshold(answers.max(axis=-1)),
        'license': 'that of MPOSE2021',
        'training': {'model': first.kind, 'calibrated': True, 'imported_from': [
            '/'.join(path.absolute().parts[-4:]) for path in paths]},
        'metrics': {'test': {k: round(v, 4)
                             for k, v in summary(
                                 held_back[0]['label'], ensemble_probabilities(held_back)).items()},
                    'validation': {
                        **{k: round(v, 4) for k, v in summary(label, answers).items()},
                        'ece_before': round(before, 4), 'ece': round(after, 4)}}, **description})
    return _write([network.model for network in networks], bundle, directory, quantisation)


def _shortest(num_frames: int) -> int:
    """Return the length of the shortest window: the clips of MPOSE2021 have 20 to 30 frames."""
    return max(2, num_frames * 2 // 3)


def _write(
    models: Sequence[keras.Model], bundle: Bundle, directory: Path, quantisation: str,
) -> Path:
    """Write a bundle, checked on windows of random numbers, and its first network's weights."""
    windows = np.random.default_rng(0).standard_normal((16, bundle.num_frames, bundle.num_features))
    path = export_bundle(models, bundle, directory, windows, quantisation)
    save_weights(models[0], path)
    return path


def without_copies(paths: Sequence[Path]) -> list[Path]:
    """Leave out what macOS adds to an archive beside each file, and say so."""
    copies = [path for path in paths if '__MACOSX' in path.parts or path.name.startswith('._')]
    for path in copies:
        print(f'left out {printable(path)}: it holds no weights, macOS added it to the archive')
    if len(copies) == len(paths):
        raise WeightsError(f'{paths[0]} holds no weights: give the file of that name outside of '
                           f'__MACOSX')
    return [path for path in paths if path not in copies]


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Turn weights trained on MPOSE2021 into a model bundle.')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--h5', type=Path, nargs='+', metavar='FILE',
                        help="Keras weights of the AcT authors' code; several become an ensemble")
    source.add_argument('--folds', type=Path, nargs='+', metavar='FILE',
                        help='fold_<i>.npz of training.paper.benchmark; several become an ensemble')
    parser.add_argument('--size', choices=SIZES, help='needed with --h5; micro = mu, small = s, '
                        'base = m, large = l')
    parser.add_argument('--layout', choices=LAYOUTS,
                        help='needed with --h5, the joints of the features: mpose13_openpose for '
                        'OpenPose data, mpose13_coco for 13 joints of PoseNet or MoveNet, coco17 '
                        'for 17')
    parser.add_argument('--output', type=Path, required=True, help='folder of the bundle')
    parser.add_argument('--name', help='name of the bundle; default: that of the first file')
    parser.add_argument('--labels', nargs='+', default=MPOSE_LABELS, metavar='LABEL',
                        help='classes in order; default: the 20 of MPOSE2021')
    parser.add_argument('--frame-rate', type=float, default=FRAME_RATE,
                        help='with --h5: Hz at which the model was trained (MPOSE2021: 30)')
    parser.add_argument('--license', help='of the weights, for the bundle to say')
    parser.add_argument('--quantisation', choices=QUANTISATIONS, default='float32',
                        help='of the weights')
    parser.add_argument('--attention', action='store_true',
                        help='add the attention over the frames as second output')
    options = parser.parse_args(arguments)
    goes_with(parser, options, 'h5', 'size', 'layout', 'frame_rate')
    if options.h5 and not (options.size and options.layout):
        parser.error('--h5 needs --size and --layout')
    given = {'name': options.name, 'license': options.license}
    common = {'labels': tuple(options.labels), 'quantisation': options.quantisation,
              'attention': options.attention,
              **{name: value for name, value in given.items() if value is not None}}
    with one_line_errors(parser, OSError, ValueError, CheckpointError, ExportError):
        if options.folds:
            path = import_folds(options.folds, options.output, **common)
        else:
            path = import_weights(options.h5, options.size, options.layout, options.output,
                                  frame_rate=options.frame_rate, **common)
    print(f'wrote {printable(path)} and {printable(path.with_suffix(".yaml"))}')


if __name__ == '__main__':
    main()
