"""
MoveNet on a TFLite runtime: MultiPose for up to six people, Lightning for one.

The networks take RGB values 0..255 and answer with 17 COCO keypoints as fractions of their input
(model cards of MoveNet.MultiPose and MoveNet.SinglePose). Input sizes are static.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.skeletons import TORSO
from act_ros.persons.estimator import (
    LEAST_PIXELS,
    NO_NUMBERS,
    PoseEstimator,
    box_around,
    boxes_of,
    person_of,
)
from act_ros.persons.letterbox import Letterbox, Region, check_image
from act_ros.tflite.errors import ModelError
from act_ros.tflite.runtime import Interpreter, load_interpreter

_NUM_KEYPOINTS = 17
_MULTIPOSE_COLUMNS = _NUM_KEYPOINTS * 3 + 5  # keypoints, box, score of the person
_L_SHOULDER, _R_SHOULDER, _L_HIP, _R_HIP = TORSO
_TORSO_MARGIN = 1.9
"""The next crop reaches this many times as far from the hips as the farthest torso joint ..."""
_BODY_MARGIN = 1.2
"""... and this many times as far as the farthest joint that is seen."""


def open_movenet(path: Path, num_threads: int, score_threshold: float) -> PoseEstimator:
    """
    Open a MoveNet file; the shape of its output tells which kind it is.

    :param path: of a ``.tflite`` file.
    :param num_threads: CPU threads of one inference.
    :param score_threshold: people with a lower score are dropped, in [0, 1].
    :raises ModelError: the file is missing, damaged or no MoveNet, or no runtime is installed.
    """
    network = _Network(path, num_threads)
    if network.output_shape[2:] == (_MULTIPOSE_COLUMNS,):
        return MultiPose(network, score_threshold)
    if network.output_shape[1:] == (1, _NUM_KEYPOINTS, 3):
        return SinglePose(network, score_threshold)
    raise ModelError(
        f'model {path} is no MoveNet: its output {network.output_shape} is neither '
        f'[1, people, {_MULTIPOSE_COLUMNS}] nor [1, 1, {_NUM_KEYPOINTS}, 3]'
    )


class _Network:
    """A MoveNet file with its interpreter and its letterbox."""

    def __init__(self, path: Path, num_threads: int) -> None:
        self.name = path.stem
        self._interpreter: Interpreter = load_interpreter(path, num_threads)
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shape = tuple(int(size) for size in inputs[0]['shape'])
        if len(inputs) != 1 or len(outputs) != 1 or len(shape) != 4 or shape[3] != 3:
            raise ModelError(f'model {path} is no MoveNet: it must map one image to one tensor')
        if min(shape[1:3]) < 2:
            raise ModelError(
                f'model {path} leaves its input size open; convert it with a fixed size '
                '(training/convert_movenet.py --size 192x256)'
            )
        self._input, self._output = inputs[0]['index'], outputs[0]['index']
        self.output_shape = tuple(int(size) for size in outputs[0]['shape'])
        self.height = shape[1]
        self.letterbox = Letterbox(self.height, shape[2], inputs[0]['dtype'])

    def run(
        self, image_bgr: np.ndarray, region: Region | None = None, within: Region | None = None,
    ) -> np.ndarray:
        """
        Return the raw output for an image (H, W, 3), or a region of it, without its batch.

        :raises ModelError: it does not run.
        """
        self._interpreter.set_tensor(self._input, self.letterbox.fill(image_bgr, region, within))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f'model {self.name} does not run: {error}') from error
        return self._interpreter.get_tensor(self._output)[0]

    def keypoints(self, raw: np.ndarray) -> np.ndarray:
        """Return raw keypoints (..., 17, 3) y, x, score as x px, y px, score of the image."""
        keypoints = np.empty(raw.shape, np.float32)
        keypoints[..., :2] = self.letterbox.to_source(raw[..., 1::-1])
        keypoints[..., 2] = raw[..., 2]
        return keypoints


class MultiPose:
    """
    MoveNet MultiPose: all people (up to six) in one pass.

    Each image stands alone, and the order of people is by score: it says nothing about identity.
    """

    layout = 'coco17'

    def __init__(self, network: _Network, score_threshold: float) -> None:
        self._network = network
        self.score_threshold = score_threshold
        self.name, self.drops = network.name, Counter[str]()
        self.least_height = LEAST_PIXELS / network.height

    def estimate(
        self, image_bgr: np.ndarray, region: Region | None = None,
    ) -> list[Person]:
        """See ``PoseEstimator.estimate``; perhaps only in a region of the image."""
        check_image(image_bgr)
        raw = _numbers(self._network.run(image_bgr, region), self.drops)
        raw = raw[raw[:, -1] >= self.score_threshold]
        raw = raw[np.argsort(-raw[:, -1], kind='stable')]
        keypoints = self._network.keypoints(
            raw[:, :_NUM_KEYPOINTS * 3].reshape(-1, _NUM_KEYPOINTS, 3))
        # y_min, x_min, y_max, x_max -> two corners x, y
        corners = self._network.letterbox.to_source(raw[:, -5:-1].reshape(-1, 2, 2)[..., ::-1])
        boxes = boxes_of(corners, image_bgr)
        return [
            Person(points, float(score), box)
            for points, score, box in zip(keypoints, raw[:, -1], boxes, strict=True)
        ]

    def reset(self) -> None:
        """Do nothing: no image is remembered."""


class SinglePose:
    """
    MoveNet Lightning: one person, followed by a crop.

    The network is precise when the person fills its input. So the pose of one image chooses the
    square of the next: centred on the hips, wide enough for torso and body to move. While no torso
    is seen, the whole image is searched.
    """

    layout = 'coco17'
    least_height = 0.3  # an image is searched as a whole until the torso is seen

    def __init__(self, network: _Network, score_threshold: float) -> None:
        self._network = network
        self.score_threshold = score_threshold
        self._region: Region | None = None
        self._image_shape: tuple[int, ...] = ()
        self.name, self.drops = network.name, Counter[str]()

    def look(
        self, image_bgr: np.ndarray, region: Region, within: Region | None = None,
    ) -> Person:
        """
        Return the pose that the network sees in a region, whether there is somebody or not.

        The score tells: the mean of the best eight joints is above .55 for 95 % of people, also of
        those half seen, and below .32 for 99 % of places without anybody.

        :param image_bgr: uint8 (H, W, 3), already checked.
        :param region: about a person's height wide, and overlapping the image.
        :param within: the part of it that is shown, where a neighbour's would disturb.
        """
        return person_of(self._keypoints(image_bgr, region, within), image_bgr)

    def estimate(self, image_bgr: np.ndarray) -> list[Person]:
        """See ``PoseEstimator.estimate``; the score is the mean score of the keypoints."""
        check_image(image_bgr)
        if image_bgr.shape != self._image_shape:  # another camera or mode: the crop means nothing
            self.reset()
            self._image_shape = image_bgr.shape
        keypoints = self._keypoints(image_bgr, self._region)
        # Also where the pose is too weak to be told: the crop is what makes a small person sure.
        self._region = crop_region(keypoints, image_bgr.shape[1], image_bgr.shape[0])
        score = float(keypoints[:, 2].mean())
        if score < self.score_threshold:
            return []
        return [Person(keypoints, score, box_around(keypoints, image_bgr))]

    def _keypoints(
        self, image_bgr: np.ndarray, region: Region | None, within: Region | None = None,
    ) -> np.ndarray:
        raw = self._network.run(image_bgr, region, within)[0]
        return self._network.keypoints(_numbers(raw, self.drops))

    def reset(self) -> None:
        """Search the next image as a whole."""
        self._region = None


def _numbers(raw: np.ndarray, drops: Counter[str]) -> np.ndarray:
    """Return people or joints (N, K), with zeros for those of which the network gave no numbers."""
    is_sane = np.isfinite(raw).all(axis=-1, keepdims=True)
    drops[NO_NUMBERS] += not is_sane.all()
    return np.where(is_sane, raw, np.float32(0))


def crop_region(keypoints: np.ndarray, width: int, height: int) -> Region | None:
    """
    Return the square in which the person of this image is to be sought in the next one.

    :param keypoints: (17, 3) x px, y px, score of this image.
    :param width: of the image, pixels.
    :param height: of the image, pixels.
    :returns: a square around the hips, or None for the whole image, because the torso is not seen
        (no shoulder or no hip), the hips are outside or the person fills the image anyway.
    """
    seen = keypoints[:, 2] >= SEEN_SCORE
    if not (seen[_L_SHOULDER] or seen[_R_SHOULDER]) or not (seen[_L_HIP] or seen[_R_HIP]):
        return None
    centre = (keypoints[_L_HIP, :2] + keypoints[_R_HIP, :2]) / 2
    x, y = float(centre[0]), float(centre[1])
    if not (0 <= x < width and 0 <= y < height):
        return None
    distances = np.abs(keypoints[:, :2] - centre).max(axis=1)
    reach = max(
        _TORSO_MARGIN * float(distances[list(TORSO)].max()),
        _BODY_MARGIN * float(distances[seen].max()),
    )
    if reach > max(width, height) / 2 or reach < 1:
        return None
    return Region(math.floor(x - reach), math.floor(y - reach),
                  math.ceil(x + reach), math.ceil(y + reach))
