"""Made-up people who really move, and a tiny real TFLite network that tells their motions apart."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite

from act_ros.actions.bundle import Bundle
from act_ros.actions.features import CHANNELS
from act_ros.core.person import Person
from act_ros.core.skeletons import LAYOUTS, get_layout

SECOND = 1_000_000_000
LABELS = ('standing', 'walk', 'wave')

# A standing figure in torso lengths, the neck at the origin, y downwards; and how far each part
# swings from side to side while walking.
_BODY = {
    'nose': (0.0, -0.35), 'eye': (0.05, -0.4), 'ear': (0.1, -0.38), 'shoulder': (0.3, 0.0),
    'elbow': (0.35, 0.45), 'wrist': (0.35, 0.85), 'hip': (0.18, 1.0), 'knee': (0.18, 1.7),
    'ankle': (0.18, 2.4),
}
_SWING = {'ankle': 0.5, 'knee': 0.25, 'wrist': -0.3, 'elbow': -0.15}
_PARTS = [joint.split('_')[-1] for joint in LAYOUTS['coco17'].joints]
# The person's own left is to our right.
_SIDES = np.array([{'l_': 1.0, 'r_': -1.0}.get(j[:2], 0.0) for j in LAYOUTS['coco17'].joints])
_FIGURE = np.array([_BODY[part] for part in _PARTS]) * np.stack((_SIDES, np.ones(17)), axis=1)
_STRIDE = np.array([_SWING.get(part, 0.0) for part in _PARTS]) * _SIDES
_R_WRIST = LAYOUTS['coco17'].joints.index('r_wrist')


def pose(
    seconds: float, motion: str = 'walk', x: float = 320.0, y: float = 120.0, torso: float = 100.0,
) -> np.ndarray:
    """Return the (17, 3) coco17 pose of somebody doing ``motion`` (a label), neck at x, y."""
    figure = _FIGURE.copy()
    if motion == 'walk':
        figure[:, 0] += _STRIDE * np.sin(2 * np.pi * seconds)
    elif motion == 'wave':
        figure[_R_WRIST] = -0.65 + 0.35 * np.sin(4 * np.pi * seconds), -0.3
    points = np.ones((17, 3), np.float32)
    points[:, :2] = figure * torso + (x, y)
    return points


def person(keypoints: np.ndarray, id: str = '', score: float = 0.9) -> Person:
    """Return a person with these keypoints and the box around them."""
    box = np.concatenate((keypoints[:, :2].min(axis=0), keypoints[:, :2].max(axis=0)))
    return Person(keypoints, score, box.astype(np.float32), id)


def stamps(rate: float, seconds: float, jitter: float = 0.0, seed: int = 0) -> list[int]:
    """Return ascending stamps; jitter is a share of the frame period, below 0.5."""
    rng = np.random.default_rng(seed)
    index = np.arange(round(rate * seconds) + 1)
    times = (index + rng.uniform(-jitter, jitter, len(index))) / rate
    return [SECOND + round(float(t) * SECOND) for t in times]


def bundle_of(**changes: Any) -> Bundle:
    """Return the description of the tiny network, with changes."""
    values: dict[str, Any] = {
        'name': 'tiny', 'labels': LABELS, 'layout': 'mpose13_coco', 'num_frames': 30,
        'min_frames': 10, 'frame_rate': 30.0, 'temperature': 1.0, 'unknown_threshold': 0.6,
        'license': 'Apache-2.0'}
    return Bundle(**{**values, **changes})


def motion_weights(layout: str = 'mpose13_coco') -> np.ndarray:
    """Return weights (labels, F) on the mean of |features|: who walks moves the feet, and so on."""
    joints = get_layout(layout).joints
    weights = np.zeros((len(LABELS), len(joints), CHANNELS), np.float32)
    for side in 'lr':
        foot = f'{side}_ankle' if f'{side}_ankle' in joints else f'{side}_foot'
        weights[LABELS.index('walk'), joints.index(foot), 2] = 60.0
    weights[LABELS.index('wave'), joints.index('r_wrist'), 2] = 80.0
    return weights.reshape(len(LABELS), -1)


def tiny_model(
    weights: np.ndarray | None = None, outputs: tuple[str, ...] = ('logits',),
    dtype: str = 'FLOAT32',
) -> bytes:
    """
    Return a TFLite model: |features| (N, T, F) -> mean over T -> Dense -> logits (N, C).

    Built without TensorFlow. ``outputs`` are among 'logits', 'attention' (N, T; larger where more
    moves) and 'mean' (N, F); N and T are dynamic.
    """
    weights = motion_weights() if weights is None else weights
    classes, features = weights.shape
    bias = np.zeros(classes, np.float32)
    bias[0] = 3.0  # standing, unless something moves
    constants = {'weights': weights, 'bias': bias, 'over frames': np.array([1], np.int32),
                 'over features': np.array([2], np.int32)}
    shapes = {'features': [-1, -1, features], 'abs': [-1, -1, features], 'mean': [-1, features],
              'logits': [-1, classes], 'activity': [-1, -1], 'attention': [-1, -1]}
    names = [*constants, *shapes]
    option = tflite.BuiltinOptions
    steps = (
        ('ABS', ['features'], 'abs', option.AbsOptions, tflite.AbsOptionsT()),
        ('MEAN', ['abs', 'over frames'], 'mean', option.ReducerOptions, tflite.ReducerOptionsT()),
        ('FULLY_CONNECTED', ['mean', 'weights', 'bias'], 'logits', option.FullyConnectedOptions,
         tflite.FullyConnectedOptionsT()),
        ('MEAN', ['abs', 'over features'], 'activity', option.ReducerOptions,
         tflite.ReducerOptionsT()),
        ('SOFTMAX', ['activity'], 'attention', option.SoftmaxOptions, tflite.SoftmaxOptionsT()),
    )
    needed = set(outputs)
    for _, inputs, output, *_ in reversed(steps):
        needed |= set(inputs) if output in needed else set()

    graph = tflite.SubGraphT(
        tensors=[], operators=[], inputs=[names.index('features')],
        outputs=[names.index(name) for name in outputs])
    model = tflite.ModelT(
        version=3, operatorCodes=[], buffers=[tflite.BufferT()], subgraphs=[graph])
    for name in names:
        tensor = tflite.TensorT(name=name, buffer=0, type=getattr(tflite.TensorType, dtype))
        if name in constants:
            value = np.ascontiguousarray(constants[name])
            if value.dtype == np.int32:
                tensor.type = tflite.TensorType.INT32
            tensor.shape, tensor.buffer = list(value.shape), len(model.buffers)
            model.buffers.append(tflite.BufferT(data=np.frombuffer(value.tobytes(), np.uint8)))
        else:
            tensor.shapeSignature = shapes[name]
            tensor.shape = [max(size, 1) for size in shapes[name]]
        graph.tensors.append(tensor)
    for kind, inputs, output, options_type, options in steps:
        if output not in needed:
            continue
        if isinstance(options, tflite.SoftmaxOptionsT):
            options.beta = 1.0
        code = getattr(tflite.BuiltinOperator, kind)
        graph.operators.append(tflite.OperatorT(
            opcodeIndex=len(model.operatorCodes), inputs=[names.index(x) for x in inputs],
            outputs=[names.index(output)], builtinOptionsType=options_type,
            builtinOptions=options))
        model.operatorCodes.append(
            tflite.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=1))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b'TFL3')
    return bytes(builder.Output())
