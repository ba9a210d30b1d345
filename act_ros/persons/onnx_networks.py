"""
Pose networks in ONNX files that a user brings: YOLO-pose, RTMO, and RTMPose for one person.

What a file is shows in the shapes of its inputs and outputs, never in its name. ONNX Runtime
(the extra ``onnx``) runs them, on whatever execution provider is installed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from act_ros.core.person import Person
from act_ros.core.text import printable
from act_ros.persons.estimator import LEAST_PIXELS, NO_NUMBERS, boxes_of, person_of
from act_ros.persons.letterbox import Letterbox, Region, check_image
from act_ros.tflite.errors import ModelError
from act_ros.tflite.onnx import DTYPES, open_session

_LAYOUTS = {17: 'coco17', 26: 'halpe26'}
_OPEN_SIZE = 640  # pixels, where a file leaves the size of its input open
_OVERLAP = 0.65  # of boxes, from which on two are of one person
_MOST = 100  # people in an image
# Of ImageNet, red, green, blue; RTMPose was trained with them.
_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
_STD = np.array((58.395, 57.12, 57.375), np.float32)

_Decoder = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Outputs without their batch -> scores (N,), corners (N, 2, 2), keypoints (N, K, 3), in pixels of
the network's input."""


class _Network:
    """
    An ONNX file with its session and its letterbox.

    Arguments and errors are those of `open_onnx`.
    """

    def __init__(self, path: Path, num_threads: int, providers: Sequence[str]) -> None:
        self.name, self.path = path.stem, path
        self._session = open_session(
            path, f'model {path}', num_threads, [name for name in providers if name])
        self.outputs = [tuple(output.shape) for output in self._session.get_outputs()]
        inputs = self._session.get_inputs()
        shape = tuple(inputs[0].shape)
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type not in DTYPES:
            raise self.refusal()
        self._input = inputs[0].name
        self._dtype = DTYPES[inputs[0].type]
        self.height, self.width = (
            size if isinstance(size, int) else _OPEN_SIZE for size in shape[2:])
        self.letterbox = Letterbox(self.height, self.width, np.float32)
        self.drops: Counter[str] = Counter()

    def refusal(self) -> ModelError:
        """Return the error for a file that is no network of a known kind."""
        shapes = [[tuple(t.shape) for t in tensors] for tensors in (
            self._session.get_inputs(), self._session.get_outputs())]
        return ModelError(
            f'model {self.path} is no known pose network: it maps {printable(shapes[0])} to '
            f'{printable(shapes[1])}; known are YOLO-pose, (1, 56, n) or (1, n, 57), RTMO, (1, n, '
            '5) and (1, n, 17, 3), and RTMPose, (n, 17 or 26, x) and (n, 17 or 26, y)')

    def run(
        self, image_bgr: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray],
        region: Region | None = None, within: Region | None = None,
    ) -> list[np.ndarray]:
        """
        Invoke the network on an image or a region of it; its outputs, without their batch.

        :param prepare: makes the network's values of RGB (1, H, W, 3) in 0..255.
        :raises ModelError: it does not run, or its answer is not of the shapes that it promised.
        """
        rgb = self.letterbox.fill(image_bgr, region, within)
        values = np.ascontiguousarray(prepare(rgb).transpose(0, 3, 1, 2), self._dtype)
        try:
            outputs = self._session.run(None, {self._input: values})
        except Exception as error:  # ONNX Runtime has an error class for each of its codes
            raise ModelError(f'model {self.path} does not run: {printable(error)}') from error
        shapes = [output.shape for output in outputs]
        if not all(map(_fits, shapes, self.outputs)) or len({shape[1] for shape in shapes}) > 1:
            raise ModelError(f'model {self.path} answers {shapes}, not {printable(self.outputs)}')
        return [np.asarray(output[0], np.float32) for output in outputs]

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Map pixels (..., 2) of the input to pixels of the image."""
        return self.letterbox.to_source(points / (self.width, self.height))


def _fits(shape: tuple[int, ...], promised: tuple[int | str, ...]) -> bool:
    return len(shape) == len(promised) and shape[0] > 0 and all(
        size == known for size, known in zip(shape, promised, strict=True)
        if isinstance(known, int))


def open_onnx(
    path: Path, num_threads: int, score_threshold: float, providers: Sequence[str],
) -> WholeImage | SimCC:
    """
    Open an ONNX file: a network for everybody in an image, or one for a single person.

    :param providers: names of `act_ros.tflite.onnx.PROVIDERS`, by preference; none: the CPU.
    :raises ModelError: no runtime or provider, or a damaged file, or one that is no pose network.
    """
    network = _Network(path, num_threads, providers)
    shapes = network.outputs
    if len(shapes) == 1 and len(shapes[0]) == 3:
        if 57 == shapes[0][2]:
            return WholeImage(network, score_threshold, _unit, _end_to_end)
        if 56 in shapes[0][1:]:
            return WholeImage(network, score_threshold, _unit, _yolo)
    if len(shapes) == 2 and sorted(map(len, shapes)) == [3, 4]:
        boxes, keypoints = sorted(shapes, key=len)
        if boxes[2] == 5 and keypoints[2:] == (17, 3):
            return WholeImage(network, score_threshold, _bgr, _rtmo)
    if len(shapes) == 2 and all(len(shape) == 3 and shape[1] in _LAYOUTS for shape in shapes):
        x, y = (shape[2] for shape in shapes)
        if (all(isinstance(size, int) for size in (x, y)) and shapes[0][1] == shapes[1][1]
                and x * network.height == y * network.width):
            return SimCC(network, _LAYOUTS[shapes[0][1]])
    raise network.refusal()


def _unit(rgb: np.ndarray) -> np.ndarray:
    return rgb / np.float32(255)


def _bgr(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., ::-1]


def _standard(rgb: np.ndarray) -> np.ndarray:
    return (rgb - _MEAN) / _STD


def _yolo(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode YOLO-pose: middle, size, score and 17 keypoints; many boxes of each person."""
    rows = outputs[0] if outputs[0].shape[1] == 56 else outputs[0].T
    half = rows[:, 2:4] / 2
    return rows[:, 4], np.stack((rows[:, :2] - half, rows[:, :2] + half), axis=1), rows[
        :, 5:].reshape(-1, 17, 3)


def _end_to_end(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode YOLO-pose without NMS: corners, score, class, 17 keypoints."""
    rows = outputs[0]
    return rows[:, 4], rows[:, :4].reshape(-1, 2, 2), rows[:, 6:].reshape(-1, 17, 3)


def _rtmo(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode RTMO: corners and score; keypoints."""
    boxes, keypoints = sorted(outputs, key=np.ndim)
    return boxes[:, 4], boxes[:, :4].reshape(-1, 2, 2), keypoints


class WholeImage:
    """A network that finds everybody in an image in one pass; see ``PoseEstimator``."""

    layout = 'coco17'

    def __init__(
        self, network: _Network, score_threshold: float,
        prepare: Callable[[np.ndarray], np.ndarray], decode: _Decoder,
    ) -> None:
        self._network, self._prepare, self._decode = network, prepare, decode
        self.score_threshold = score_threshold
        self.name, self.drops = network.name, network.drops
        self.least_height = LEAST_PIXELS / network.height

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        """See ``PoseEstimator.estimate``; what is no number is nobody, and counted."""
        check_image(image_bgr)
        scores, corners, keypoints = self._decode(self._network.run(image_bgr, self._prepare))
        is_meant = ~(scores < self.score_threshold)  # True for NaN
        is_sane = np.isfinite(scores) & np.isfinite(keypoints).all(axis=(1, 2)) & np.isfinite(
            corners).all(axis=(1, 2))
        self.drops[NO_NUMBERS] += bool((is_meant & ~is_sane).any())
        rows = np.flatnonzero(is_meant & is_sane)
        boxes = boxes_of(self._network.to_source(corners[rows]), image_bgr)
        sizes = np.column_stack((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]))
        kept = cv2.dnn.NMSBoxes(
            sizes.tolist(), scores[rows].tolist(), 0.0, _OVERLAP, top_k=10 * _MOST)
        persons = []
        for i in kept[:_MOST]:
            points = keypoints[rows[i]].copy()
            points[:, :2] = self._network.to_source(points[:, :2])
            points[:, 2] = np.clip(points[:, 2], 0.0, 1.0)
            persons.append(Person(points, float(min(scores[rows[i]], 1.0)), boxes[i]))
        return persons

    def reset(self) -> None:
        """Do nothing: no image is remembered."""


class SimCC:
    """
    RTMPose: one person in a part of an image, each coordinate told as a distribution.

    Another network has to say where people are, see ``act_ros.persons.follow``.
    """

    def __init__(self, network: _Network, layout: str) -> None:
        self._network, self.layout = network, layout
        self.name, self.drops = network.name, network.drops

    def look(
        self, image_bgr: np.ndarray, region: Region, within: Region | None = None,
    ) -> Person:
        """See ``SinglePose.look`` of `act_ros.persons.movenet`."""
        x, y = self._network.run(image_bgr, _standard, region, within)
        self.drops[NO_NUMBERS] += not (np.isfinite(x).all() and np.isfinite(y).all())
        points = np.stack((x.argmax(axis=1) / x.shape[1], y.argmax(axis=1) / y.shape[1]), axis=1)
        scores = np.clip(np.nan_to_num(np.minimum(x.max(axis=1), y.max(axis=1))), 0.0, 1.0)
        return person_of(np.column_stack((
            self._network.letterbox.to_source(points), scores)).astype(np.float32), image_bgr)
