"""Begin a training where another one ended: the weights of one network put into another."""

from __future__ import annotations

import json
from pathlib import Path

import keras

from act_ros.bundle import BundleError, load_bundle
from training.config import TrainConfig, parse_config
from training.models import build

_BACKGROUND = object()
WEIGHTS = '.weights.h5'


def transfer(model: keras.Model, config: TrainConfig) -> list[str]:
    """
    Fill a fresh ``model`` with the weights that ``config.start_from`` names.

    Everything below the last layer is taken as it is; of the last layer the classes that both know,
    by name. New classes keep their fresh weights.

    :returns: the labels that were taken over.
    :raises ValueError: there are no such weights, or they are of another network.
    """
    path = Path(config.start_from)
    if path.is_dir():
        weights = path / 'member_0' / f'member{WEIGHTS}'
        name, labels, background, frames, features = _of_run(path)
    else:
        weights = path
        name, labels, background, frames, features = _of_bundle(path)
    if name != config.model or frames != config.num_frames:
        raise ValueError(
            f'start_from: {path} is {name} for {frames} frames, the configuration wants '
            f'{config.model} for {config.num_frames}')
    if not weights.is_file():
        raise ValueError(f'start_from: {weights} does not exist')
    if features != model.input_shape[-1]:
        raise ValueError(f'start_from: {path} reads {features} features a frame, the '
                         f'configuration gives {model.input_shape[-1]}')
    source = build(name, frames, features, len(labels) + background)
    try:
        source.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f'start_from: {weights} cannot be read ({error})') from error

    for old, new in zip(source.layers[:-1], model.layers[:-1], strict=True):
        for variable, value in zip(new.trainable_variables, old.trainable_variables, strict=True):
            variable.assign(value)
    known = [*labels, *[_BACKGROUND] * background]
    wanted = [*config.labels, *[_BACKGROUND] * config.background]
    kernel, bias = (variable.numpy() for variable in model.layers[-1].trainable_variables)
    old_kernel, old_bias = (v.numpy() for v in source.layers[-1].trainable_variables)
    for i, label in enumerate(wanted):
        if label in known:
            kernel[:, i], bias[i] = old_kernel[:, known.index(label)], old_bias[known.index(label)]
    model.layers[-1].set_weights([kernel, bias])
    return [label for label in config.labels if label in labels]


def _of_run(path: Path) -> tuple[str, tuple[str, ...], bool, int, int]:
    try:
        config = parse_config(json.loads((path / 'config.json').read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f'start_from: {path} is not the folder of a training run '
                         f'({error})') from error
    return config.model, config.labels, config.background, config.num_frames, 52


def _of_bundle(path: Path) -> tuple[str, tuple[str, ...], bool, int, int]:
    """Return what the bundle beside imported weights says of them."""
    if not path.name.endswith(WEIGHTS):
        raise ValueError(f'start_from: {path} is neither the folder of a training run nor a '
                         f'{WEIGHTS} file')
    try:
        bundle, _ = load_bundle(path.with_name(path.name[:-len(WEIGHTS)] + '.tflite'))
    except BundleError as error:
        raise ValueError(f'start_from: {error}') from error
    name = str(bundle.training.get('model', ''))
    return name, bundle.labels, False, bundle.num_frames, bundle.num_features
