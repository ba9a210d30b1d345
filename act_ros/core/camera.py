"""Pixels as rays and points before the camera, in its optical frame (REP-103: x right, y down)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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
    def of_matrix(cls, k: np.ndarray, scale: float = 1.0) -> Camera | None:
        """
        Return that of an intrinsic matrix (9,) as in sensor_msgs/CameraInfo, or None.

        :param scale: width of the image over the width that the camera was calibrated at.
        :returns: None for a camera that is not calibrated (its focal lengths are 0).
        """
        fx, fy, cx, cy = (float(k[i]) * scale for i in (0, 4, 2, 5))
        is_calibrated = fx > 0 and fy > 0 and math.isfinite(fx + fy + cx + cy)
        return cls(fx, fy, cx, cy) if is_calibrated else None

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2) as x and y (..., 2) at a depth of one."""
        return (np.asarray(pixels, float) - (self.cx, self.cy)) / (self.fx, self.fy)

    def points(self, pixels: np.ndarray, distance: float) -> np.ndarray:
        """Return pixels (..., 2) as points (..., 3) in metres, ``distance`` before the camera."""
        plane = self.rays(pixels) * distance
        return np.concatenate((plane, np.full((*plane.shape[:-1], 1), distance)), axis=-1)
