"""The demo clip's frames as images of a camera."""

from __future__ import annotations

import cv2
import numpy as np
from ros_harness import ROOT
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.ros.topics import to_time

FRAME = 33_333_333


def clip(count: int) -> list[np.ndarray]:
    """Return the first frames of the demo clip, BGR."""
    capture = cv2.VideoCapture(str(ROOT / 'media' / 'demo.mp4'))
    return [capture.read()[1] for _ in range(count)]


def header(index: int) -> Header:
    """Return the header of a frame: an odd stamp must come out as it went in."""
    return Header(stamp=to_time(1_700_000_000_123_456_789 + index * FRAME), frame_id='eye')


def encoded(image: np.ndarray, encoding: str, index: int, padding: int = 0) -> Image:
    """Return a frame in another encoding, its rows padded."""
    pixels = {
        'bgr8': lambda: image,
        'rgb8': lambda: cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
        'bgra8': lambda: cv2.cvtColor(image, cv2.COLOR_BGR2BGRA),
        'rgba8': lambda: cv2.cvtColor(image, cv2.COLOR_BGR2RGBA),
        'mono8': lambda: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
        'yuv422': lambda: _yuv422(image)[..., ::-1],
        'yuv422_yuy2': lambda: _yuv422(image),
    }[encoding]()
    rows = pixels.reshape(image.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    msg = Image(header=header(index), height=image.shape[0], width=image.shape[1],
                encoding=encoding, step=rows.shape[1])
    msg.data.frombytes(np.ascontiguousarray(rows).data)
    return msg


def _yuv422(image: np.ndarray) -> np.ndarray:
    """Return YUYV (H, W, 2)."""
    yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV)
    packed = np.empty((*image.shape[:2], 2), np.uint8)
    packed[..., 0] = yuv[..., 0]
    packed[:, 0::2, 1] = yuv[:, 0::2, 1]
    packed[:, 1::2, 1] = yuv[:, 0::2, 2]
    return packed
