"""
Make a model bundle (.tflite + .yaml) of trained members.

    python -m training.export --run runs/act_mu --data FOLDER --output models

The run's final member, or else its members averaged inside one file, for any batch and any number
of frames. The file is checked against Keras on real windows before it gets its name. With `--onnx`
the same network is written as ONNX, too, and checked the same way.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from act_ros.actions.bundle import Bundle, save_bundle
from act_ros.core.arguments import one_line_errors, share
from act_ros.core.text import printable
from act_ros.tflite.runtime import load_interpreter
from training.augmentation import WindowSampler
from training.checkpoint import CheckpointError
from training.config import read_run
from training.data import load_data
from training.datasets.skeletons import UNKNOWN
from training.evaluate import evaluate_run
from training.metrics import share_background, softmax, summary
from training.models.act import forward_with_attention
from training.networks import SERVED, load_network, save_weights

TOLERANCE = {'float32': 1e-4, 'float16': 5e-3, 'int8': 0.1}
"""Largest difference of a probability between Keras and the exported file, by quantisation."""
QUANTISATIONS = tuple(TOLERANCE)
OPSET = 13
"""Of ONNX: the first with every operator that is needed, known to runtimes since 2020."""
TRUSTED_PEOPLE = 8
"""Held-back people a class must have been measured on before its label is trusted."""


class ExportError(RuntimeError):
    """An exported file that does not say what the Keras models say."""


def convert(
    members: Sequence[keras.Model], quantisation: str = 'float32', attention: bool = False,
    background: bool = False,
) -> bytes:
    """
    Convert models of the same input and classes to one TFLite file.

    :param members: one model, or several whose probabilities are averaged; the output is then the
        logarithm of the average.
    :param quantisation: ``float32``, ``float16`` weights, or ``int8`` weights (dynamic range).
    :param attention: add a second output (N, T): how much the class token of the last encoder
        layer attends to each frame, averaged over heads and members, summing to 1.
    :param background: the models' last output means "none of the classes"; its probability is
        shared out among the classes, see `training.metrics.share_background`.
    """
    if quantisation not in QUANTISATIONS:
        raise ValueError(f'quantisation must be one of {", ".join(QUANTISATIONS)}')
    serve, spec = _serving(members, attention, background)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function(spec)])
    if quantisation != 'float32':
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantisation == 'float16':
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def convert_onnx(
    members: Sequence[keras.Model], attention: bool = False, background: bool = False,
) -> bytes:
    """
    Convert models to one ONNX file of 32-bit floats; see `convert`.

    :raises ExportError: tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ExportError('ONNX files need tf2onnx: pip install tf2onnx') from error
    serve, spec = _serving(members, attention, background)
    model, _ = tf2onnx.convert.from_function(
        serve, [spec], opset=OPSET, custom_op_handlers={'Erfc': (_erfc, [])})
    names = dict(zip((output.name for output in model.graph.output), ('logits', 'attention'),
                     strict=False))
    for node in model.graph.node:
        node.output[:] = [names.get(output, output) for output in node.output]
    for output in model.graph.output:
        output.name = names[output.name]
    return bytes(model.SerializeToString())


def _erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """Teach tf2onnx what the exact GELU is made of: 1 - Erf."""
    source, = node.input
    context.remove_node(name)
    one = context.make_const(f'{name}/one', np.ones((), np.float32))
    error = context.make_node('Erf', [source])
    context.make_node('Sub', [one.output[0], error.output[0]], name=name, outputs=node.output)


def _serving(
    members: Sequence[keras.Model], attention: bool, background: bool,
) -> tuple[Any, tf.TensorSpec]:
    """Return the function to convert, with the weights as constants, and what it takes."""
    if not members:
        raise ValueError('there is no model to export')
    if keras.backend.backend() != 'tensorflow':
        raise ExportError('only networks on TensorFlow are exported, Keras runs on '
                          f'{keras.backend.backend()}: unset KERAS_BACKEND')
    weights = [[v.numpy() for v in model.variables] for model in members]

    def serve(features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        logits, looks = [], []
        for model, values in zip(members, weights, strict=True):
            constants = [(v, tf.constant(x)) for v, x in zip(model.variables, values, strict=True)]
            with keras.StatelessScope(state_mapping=constants):
                if attention:  # `as_served` asks more than once: that to the window itself
                    is_plain = model.name != SERVED
                    output, layers = forward_with_attention(
                        model if is_plain else model.get_layer(index=-1), features)
                    looks.append(tf.reduce_mean(layers[-1][:, :, 0, 1:], axis=1))
                if not attention or not is_plain:
                    output = model(features, training=False)
            logits.append(output)
        answer = logits[0]
        if len(members) > 1 or background:
            mean = tf.add_n([tf.nn.softmax(x) for x in logits]) / len(logits)
            if background:
                mean = mean[:, :-1] + mean[:, -1:] / (mean.shape[-1] - 1)
            answer = tf.math.log(tf.maximum(mean, 1e-9))
        if not attention:
            return (tf.identity(answer, name='logits'),)
        look = tf.add_n(looks)
        look /= tf.reduce_sum(look, axis=-1, keepdims=True)
        return tf.identity(answer, name='logits'), tf.identity(look, name='attention')

    return tf.function(serve, autograph=False), tf.TensorSpec(
        [None, None, members[0].input_shape[-1]], tf.float32, name='features')


def average(
    members: Sequence[keras.Model], features: np.ndarray, num_classes: int,
) -> np.ndarray:
    """Return the averaged probabilities (N, C) of Keras models."""
    return np.mean([softmax(share_background(m(features, training=False).numpy(), num_classes))
                    for m in members], axis=0)


def check(
    model: bytes, members: Sequence[keras.Model], features: np.ndarray, quantisation: str,
) -> float:
    """
    Run a TFLite or ONNX file beside its Keras models, on parts of the features (N, T, F).

    :returns: the largest difference of a probability.
    :raises ExportError: when that is more than rounding explains.
    """
    interpreter = load_interpreter(model, 1)
    worst = 0.0
    frames, num_classes = features.shape[1], interpreter.get_output_details()[0]['shape'][-1]
    for batch in (features, features[:1], features[:7, frames // 2:]):
        logits = _invoke(interpreter, batch)
        difference = np.abs(softmax(logits) - average(members, batch, num_classes)).max()
        worst = max(worst, float(difference) if np.isfinite(logits).all() else np.inf)
    if not worst <= TOLERANCE[quantisation]:
        raise ExportError(
            f'the {quantisation} file differs from Keras by {worst:.2g} in a probability, more '
            f'than {TOLERANCE[quantisation]:.2g}; it was not written')
    return worst


def _invoke(interpreter: Any, features: np.ndarray) -> np.ndarray:
    number = interpreter.get_input_details()[0]['index']
    interpreter.resize_tensor_input(number, features.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(number, np.ascontiguousarray(features))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]['index'])


def balanced_accuracies(
    model: bytes, members: Sequence[keras.Model], features: np.ndarray, label: np.ndarray,
) -> tuple[float, float]:
    """Return the balanced accuracy of Keras and of the file on windows (N, T, F), labels (N,)."""
    logits = _invoke(load_interpreter(model, 1), features)
    return (
        summary(label, average(members, features, logits.shape[-1]))['balanced_accuracy'],
        summary(label, softmax(logits))['balanced_accuracy'])


def export_bundle(
    members: Sequence[keras.Model], bundle: Bundle, directory: Path, features: np.ndarray,
    quantisation: str = 'float32', background: bool = False, label: np.ndarray | None = None,
    onnx: bool = False,
) -> Path:
    """
    Convert networks, check them on windows and write the bundle; return its path.

    :param bundle: its description; the number of members and the checks are added.
    :param features: windows (N, T, F) on which the file is held against Keras.
    :param background: as for `convert`.
    :param label: the windows' classes (N,); the balanced accuracy is then compared, too.
    :param onnx: write an ONNX file (of 32-bit floats), too.
    :raises ExportError: a file differs from Keras, or the networks do not read these features;
        then nothing is written.
    """
    features = features.astype(np.float32)
    if members[0].input_shape[-1] != bundle.num_features:
        raise ExportError(f'the model does not read the features of {bundle.layout}')
    if members[0].input_shape[1] is not None:
        raise ExportError(f'the model reads windows of {members[0].input_shape[1]} frames only: '
                          f'bundles take windows of any length, which only an AcT does')
    model = convert(members, quantisation, bundle.attention, background)
    worst = check(model, members, features, quantisation)
    print(f'{quantisation}: {len(model) / 1e6:.2f} MB, largest difference of a probability from '
          f'Keras {worst:.1e} on {len(features)} windows')
    measured: dict[str, Any] = {
        'quantisation': quantisation, 'largest_difference': float(f'{worst:.2g}')}
    if label is not None:
        known = label != UNKNOWN
        before, after = balanced_accuracies(model, members, features[known], label[known])
        print(f'balanced accuracy on them: Keras {before:.4f}, file {after:.4f}')
        measured |= {'balanced_accuracy_keras': round(before, 4),
                     'balanced_accuracy_file': round(after, 4)}
    bundle = replace(bundle, members=len(members), metrics={**bundle.metrics, 'export': measured})
    other = convert_onnx(members, bundle.attention, background) if onnx else b''
    if onnx:
        print(f'ONNX: {len(other) / 1e6:.2f} MB, largest difference '
              f'{check(other, members, features, "float32"):.1e}')
    return save_bundle(directory, bundle, model, other)


def trusted(results: dict[str, Any], least: float) -> list[str]:
    """
    Return the labels whose recall suffices, and the precision of what is answered, other actions
    and half hidden bodies included; on enough people to tell.
    """
    return [label for label, row in results['classes'].items()
            if row['people'] >= TRUSTED_PEOPLE and (row['recall'] or 0) >= least
            and (row['answered_precision'] or 0) >= least]


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Make a model bundle (.tflite + .yaml) of trained members.')
    parser.add_argument('--run', type=Path, required=True, help='folder of a training run')
    parser.add_argument('--data', type=Path, required=True, help='folder of the sequence files')
    parser.add_argument('--output', type=Path, default=Path('models'), help='folder of the bundle')
    parser.add_argument('--quantisation', choices=QUANTISATIONS, default='float32',
                        help='of the weights')
    parser.add_argument('--onnx', action='store_true',
                        help='also write an ONNX file, which robots with ONNX Runtime can serve')
    parser.add_argument('--attention', action='store_true',
                        help='add the attention over the frames as second output')
    parser.add_argument('--weights', action='store_true',
                        help="also keep the first member's weights, to fine-tune from")
    parser.add_argument('--name', help='name of the bundle; default: the name of the run')
    parser.add_argument('--trusted', type=share, default=0.7,
                        help='least recall and precision of a trusted label, from 0 to 1')
    parser.add_argument('--license', default='Apache-2.0; trained on data of several licences, '
                        'partly research only, see the model card',
                        help='of the weights, for the bundle to say')
    options = parser.parse_args(arguments)
    with one_line_errors(parser, OSError, ValueError, CheckpointError, ExportError):
        config = read_run(options.run)
        results = evaluate_run(options.run, config)
        members = range(len(config.held_back_folds))
        networks = [load_network(options.run, number)
                    for number in (members[-1:] if config.final else members)]
        sequences, _ = load_data(config, options.data, options.run)
        features, label = WindowSampler(sequences, config).draw(
            np.random.default_rng(config.seed), 1024)
        bundle = config.bundle(
            name=config.name if options.name is None else options.name, attention=options.attention,
            temperature=results['temperature'], license=options.license,
            unknown_threshold=results['unknown_threshold'],
            short_threshold=results['short_threshold'],
            trusted_labels=tuple(trusted(results, options.trusted)),
            training={'config': json.loads(json.dumps(asdict(config))), 'actors': 'never shared '
                      'between training and measurement'},
            metrics={name: {k: round(v, 4) for k, v in view.items() if isinstance(v, float)}
                     for name, view in results['views'].items()})
        path = export_bundle(
            [network.served for network in networks], bundle, options.output, features,
            options.quantisation, config.background, label, options.onnx)
        if options.weights:
            save_weights(networks[0].model, path)
    print(f'wrote {printable(path)} and {printable(path.with_suffix(".yaml"))}')


if __name__ == '__main__':
    main()
