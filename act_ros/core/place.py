"""
Where people are: a bearing from a calibrated camera, a position with depth, or an estimate of it.

All in the camera's optical frame (REP-103: x right, y down, z forward), metres and radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.skeletons import get_layout
from act_ros.core.text import printable


class PlaceKind(IntEnum):
    """What is known of a place; the values are those of act_ros/msg/Action."""

    NOWHERE = 0
    BEARING = 1
    ESTIMATED = 2
    MEASURED = 3


@dataclass(frozen=True)
class Place:
    """
    Where somebody is; what is not known is NaN.

    ``position`` x, y, z of the torso in metres, ``bearing`` in radians, positive to the right,
    ``distance`` from the camera in metres and its standard deviation ``distance_error``.
    """

    kind: PlaceKind = PlaceKind.NOWHERE
    position: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    bearing: float = math.nan
    distance: float = math.nan
    distance_error: float = math.nan


NOWHERE = Place()

# Points that a body is located by; each is the mean of those of its joints that are seen.
_POINTS = {
    'head': ('nose', 'l_eye', 'r_eye', 'l_ear', 'r_ear', 'head'),
    'l_shoulder': ('l_shoulder',), 'r_shoulder': ('r_shoulder',),
    'l_hip': ('l_hip',), 'r_hip': ('r_hip',),
    'l_foot': ('l_ankle', 'l_foot'), 'r_foot': ('r_ankle', 'r_foot')}
_HEAD, _TORSO = 0, slice(1, 5)
# Lengths between points of adults in metres, and how much they differ among people, as a share: for
# a stature of 1.68 m, with the segment ratios of Drillis and Contini.
_FIRST, _SECOND = (np.array([list(_POINTS).index(name) for name in names]) for names in zip(
    ('head', 'l_foot'), ('head', 'r_foot'), ('l_hip', 'l_foot'), ('r_hip', 'r_foot'),
    ('l_shoulder', 'l_hip'), ('r_shoulder', 'r_hip'), ('l_shoulder', 'r_shoulder'), strict=True))
_LENGTHS = np.array((1.49, 1.49, 0.83, 0.83, 0.48, 0.48, 0.36))
_SPREAD = np.array((0.08, 0.08, 0.10, 0.10, 0.12, 0.12, 0.15))
_PIXELS = 3.0  # by how much the ends of a segment are wrong together
_ACROSS = np.linspace(0.15, 0.85, 7)  # where a torso is probed: its edges may be the wall behind
_LEAST_PROBES = 5  # with a depth
_FARTHEST = 100.0  # metres that a depth image is believed
METRES = {'16UC1': ('u2', 1e-3), '32FC1': ('f4', 1.0)}
"""Encodings of depth images: how a number is stored, and how many metres one of it is."""


@dataclass(frozen=True)
class Camera:
    """
    A pinhole camera: focal lengths and principal point, all in pixels.

    Lens distortion is not undone: near the edge of a wide lens points lie a little off.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def of_view(cls, width: int, height: int, field_of_view: float) -> Camera:
        """Return an ideal camera with a horizontal field of view in degrees."""
        focal = max(width, 1) / 2 / math.tan(math.radians(field_of_view) / 2)
        return cls(focal, focal, width / 2, height / 2)

    @classmethod
    def of_info(cls, info: Any, width: int = 0) -> Camera | None:
        """
        Return the camera of a sensor_msgs/CameraInfo, whose matrix is that of the whole sensor.

        :param width: of the images in pixels, where they have been scaled since; 0: they are as the
            camera sends them, which may be a region of the sensor, binned.
        :returns: None for a camera that is not calibrated (its focal lengths are 0).
        """
        region = info.roi.width or info.width
        across = down = (width or image_size_of(info)[0]) / region if region else 1.0
        if region:  # what scales the images keeps their shape, binning need not
            down *= max(info.binning_x, 1) / max(info.binning_y, 1)
        fx, cx = (float(value) * across for value in (info.k[0], info.k[2] - info.roi.x_offset))
        fy, cy = (float(value) * down for value in (info.k[4], info.k[5] - info.roi.y_offset))
        is_calibrated = fx > 0 and fy > 0 and math.isfinite(fx + fy + cx + cy)
        return cls(fx, fy, cx, cy) if is_calibrated else None

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2) as x and y (..., 2) at a depth of one."""
        return (np.asarray(pixels, float) - (self.cx, self.cy)) / (self.fx, self.fy)

    def points(self, pixels: np.ndarray, distance: float) -> np.ndarray:
        """Return pixels (..., 2) as points (..., 3) in metres, ``distance`` before the camera."""
        plane = self.rays(pixels) * distance
        return np.concatenate((plane, np.full((*plane.shape[:-1], 1), distance)), axis=-1)


def image_size_of(info: Any) -> tuple[int, int]:
    """Return width and height in pixels of the images of a sensor_msgs/CameraInfo; 0: unknown."""
    return ((info.roi.width or info.width) // max(info.binning_x, 1),
            (info.roi.height or info.height) // max(info.binning_y, 1))


class DepthError(ValueError):
    """A depth image that cannot be used; the message says why."""


def is_depth(encoding: str) -> bool:
    """
    Tell a depth image by the encoding of an Image, or the format of a CompressedImage.

    A format begins with the encoding that was compressed; compressed depth is a PNG like any other.
    """
    return encoding.partition(';')[0].strip() in METRES or 'compressedDepth' in encoding


def depth_pixels(message: Any) -> tuple[np.ndarray, float]:
    """
    Return a depth image (REP-118), a sensor_msgs/Image of whatever library, without a copy.

    :returns: an array (H, W) of 16UC1 or 32FC1, and the metres of one of its units.
    :raises DepthError: another encoding, or a size that does not fit the data.
    """
    if message.encoding not in METRES:
        raise DepthError(f'depth image of encoding {printable(message.encoding)!r}; known: '
                         f'{", ".join(METRES)}')
    code, unit = METRES[message.encoding]
    kind = np.dtype(f'{">" if message.is_bigendian else "<"}{code}')
    height, width, step = message.height, message.width, message.step
    data = memoryview(message.data).cast('B')
    if not (width and height and step >= width * kind.itemsize and len(data) >= height * step):
        raise DepthError(f'depth image of {width}x{height} pixels with {len(data)} bytes')
    return np.ndarray((height, width), kind, data, strides=(step, kind.itemsize)), unit


def locate(
    person: Person, layout: str, camera: Camera, size: tuple[int, int],
    depth: tuple[np.ndarray, float] | None = None,
) -> Place:
    """
    Return where a person is.

    The depth is the median over the torso, where it has any. Without it, the distance follows from
    how long parts of the body appear. The surest part counts, unless another one puts the person
    clearly nearer: whoever bends or turns away seems shorter, and never longer.

    :param size: width and height of the image that the keypoints are of, pixels.
    :param depth: of `depth_pixels`, registered to the image; it may be larger or smaller.
    """
    points = _points(person, layout)
    torso = _seen(points[_TORSO])
    if not len(torso):
        torso = _seen(points)
    corners = person.box.reshape(2, 2)
    if not len(torso) and (corners[1] > corners[0]).all():
        torso = _seen(corners.mean(axis=0, keepdims=True))
    if not len(torso):
        return NOWHERE
    x, y = camera.rays(torso.mean(axis=0)).tolist()
    kind, found = PlaceKind.MEASURED, _measure(points, size, depth) if depth else None
    if found is None:
        kind, found = PlaceKind.ESTIMATED, _estimate(points, camera)
    bearing = math.atan2(x, 1.0)
    if found is None:
        return Place(PlaceKind.BEARING, bearing=bearing)
    z, error = found
    distance = z * math.hypot(x, y, 1.0)
    return Place(kind, (x * z, y * z, z), bearing, distance, distance * error)


@cache
def _members(layout: str) -> np.ndarray:
    """Return which joints (P, K) of a layout make up each of the points."""
    joints = get_layout(layout).joints
    return np.array([[joint in names for joint in joints] for names in _POINTS.values()])


def _points(person: Person, layout: str) -> np.ndarray:
    """Return the pixels (P, 2) of the points of a body; NaN where none of its joints is seen."""
    members, keypoints = _members(layout), person.keypoints
    if len(keypoints) != members.shape[1]:
        return np.full((len(members), 2), np.nan)
    seen = (keypoints[:, 2] >= SEEN_SCORE) & np.isfinite(keypoints).all(axis=1)
    parts = (members & seen).astype(float)
    with np.errstate(invalid='ignore'):
        return parts @ np.where(seen[:, None], keypoints[:, :2], 0.0) / parts.sum(
            axis=1, keepdims=True)


def _seen(points: np.ndarray) -> np.ndarray:
    """Return those of points (P, 2) that are known."""
    return points[np.isfinite(points).all(axis=1)]


def _measure(
    points: np.ndarray, size: tuple[int, int], depth: tuple[np.ndarray, float],
) -> tuple[float, float] | None:
    """Return z in metres, and its standard deviation as a share of it; None without a depth."""
    pixels, unit = depth
    height, width = pixels.shape
    if not all(size):
        return None
    at = np.floor(_probes(points) * (width / size[0], height / size[1])).astype(int)
    at = at[((at >= 0) & (at < (width, height))).all(axis=1)]
    values = pixels[at[:, 1], at[:, 0]].astype(float) * unit
    values = values[(values > 0) & (values < _FARTHEST)]  # False for NaN
    if len(values) < _LEAST_PROBES:
        return None
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(middle), max(float((high - low) / 1.35 / middle), 0.01)


def _probes(points: np.ndarray) -> np.ndarray:
    """Return pixels (n, 2) that lie on the body: in the torso, or between what is seen of it."""
    corners = _seen(points[_TORSO])
    if len(corners) == 4:
        left, right, low_left, low_right = corners
        u, v = (a.reshape(-1, 1) for a in np.meshgrid(_ACROSS, _ACROSS))
        return (1 - v) * ((1 - u) * left + u * right) + v * ((1 - u) * low_left + u * low_right)
    corners = np.concatenate((corners, _seen(points[[_HEAD]])))
    first, second = np.triu_indices(len(corners), 1)
    share = _ACROSS[:, None, None]
    return ((1 - share) * corners[first] + share * corners[second]).reshape(-1, 2)


def _estimate(points: np.ndarray, camera: Camera) -> tuple[float, float] | None:
    """Return z in metres, and its standard deviation as a share; None where no length is seen."""
    pixels, apparent = (np.linalg.norm(at[_FIRST] - at[_SECOND], axis=1)
                        for at in (points, camera.rays(points)))
    known = pixels > 2 * _PIXELS  # False for NaN
    distances = _LENGTHS[known] / apparent[known]
    errors = np.hypot(_SPREAD[known], _PIXELS / pixels[known])
    best: tuple[float, float] | None = None
    for i in np.argsort(errors, kind='stable').tolist():
        z, error = float(distances[i]), float(errors[i])
        if best is None or z * (1 + error) < best[0]:
            best = z, error
    return best
