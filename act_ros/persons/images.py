"""
Raw image buffers to BGR arrays, without a copy where the bytes already are BGR.

cv_bridge of a distribution does this too; this covers what cameras send, needs nothing but OpenCV,
and honours rows with padding (``step`` > width x pixel size).
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

import cv2
import numpy as np

MAX_PIXELS = 100_000_000
"""Larger images are refused: no camera sends them, a broken header does."""


# Where a camera's JPEG has told its size by: Exif and colour profiles come before it.
_HEADER = 1 << 20
# Markers of ITU-T T.81, table B.1: those that begin a frame.
_FRAME_HEADERS = {*range(0xc0, 0xd0)} - {0xc4, 0xc8, 0xcc}
_BARE = range(0xd0, 0xda)  # those without a length, and no place before a frame


class _Encoding(NamedTuple):
    """Channels of a pixel, their type, and the OpenCV conversion to BGR (None: it is BGR)."""

    channels: int
    dtype: str
    conversion: int | None


# sensor_msgs/image_encodings.hpp. 'yuv422' is UYVY, 'yuv422_yuy2' is YUYV; 'uyvy' and 'yuyv' are
# their newer names. OpenCV names a Bayer pattern by its second row, ROS by its first.
_ENCODINGS = {
    'bgr8': _Encoding(3, 'u1', None),
    '8UC3': _Encoding(3, 'u1', None),
    'rgb8': _Encoding(3, 'u1', cv2.COLOR_RGB2BGR),
    'bgra8': _Encoding(4, 'u1', cv2.COLOR_BGRA2BGR),
    '8UC4': _Encoding(4, 'u1', cv2.COLOR_BGRA2BGR),
    'rgba8': _Encoding(4, 'u1', cv2.COLOR_RGBA2BGR),
    'mono8': _Encoding(1, 'u1', cv2.COLOR_GRAY2BGR),
    '8UC1': _Encoding(1, 'u1', cv2.COLOR_GRAY2BGR),
    'mono16': _Encoding(1, 'u2', cv2.COLOR_GRAY2BGR),
    'yuv422': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_UYVY),
    'uyvy': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_UYVY),
    'yuv422_yuy2': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_YUYV),
    'yuyv': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_YUYV),
    'bayer_rggb8': _Encoding(1, 'u1', cv2.COLOR_BayerRGGB2BGR),
    'bayer_bggr8': _Encoding(1, 'u1', cv2.COLOR_BayerBGGR2BGR),
    'bayer_gbrg8': _Encoding(1, 'u1', cv2.COLOR_BayerGBRG2BGR),
    'bayer_grbg8': _Encoding(1, 'u1', cv2.COLOR_BayerGRBG2BGR),
}


class ImageError(ValueError):
    """An image that cannot be read; the message says why."""


class UnknownEncodingError(ImageError):
    """An encoding this module does not know."""


def decode_raw(
    data: bytes | bytearray | memoryview | array[int] | np.ndarray, encoding: str, height: int,
    width: int, step: int, is_bigendian: bool = False,
) -> np.ndarray:
    """
    Return the image as uint8 (H, W, 3) BGR; a read-only view of ``data`` where possible.

    The arguments are the fields of sensor_msgs/Image.

    :raises UnknownEncodingError: the encoding is not one of `supported_encodings`.
    :raises ImageError: no pixels, too many, rows shorter than their pixels, or too few bytes.
    """
    try:
        channels, kind, conversion = _ENCODINGS[encoding]
    except KeyError:
        raise UnknownEncodingError(
            f'unknown image encoding {encoding!r}; known: {", ".join(_ENCODINGS)}') from None
    dtype = np.dtype(kind).newbyteorder('>' if is_bigendian else '<')
    if height <= 0 or width <= 0:
        raise ImageError(f'the image is {width} x {height}: it has no pixels')
    if height * width > MAX_PIXELS:
        raise ImageError(f'the image claims {width} x {height} pixels, more than any camera')
    row = width * channels * dtype.itemsize
    if step < row:
        raise ImageError(f'step is {step} bytes, but {width} {encoding} pixels need {row}')
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size < step * (height - 1) + row:
        raise ImageError(f'the image is cut off: {buffer.size} bytes instead of {step * height}')
    if channels == 2 and width % 2:
        raise ImageError(f'{encoding} images have an even width, this one is {width} wide')
    image = np.ndarray((height, width, channels), dtype, buffer,
                       strides=(step, channels * dtype.itemsize, dtype.itemsize))
    if dtype.itemsize == 2:
        image = (image >> 8).astype(np.uint8)
    return image if conversion is None else cv2.cvtColor(image, conversion)


def supported_encodings() -> tuple[str, ...]:
    """Return the encodings `decode_raw` knows."""
    return tuple(_ENCODINGS)


def decode_compressed(
    data: bytes | bytearray | memoryview | array[int] | np.ndarray,
) -> np.ndarray:
    """
    Return a JPEG or PNG image as uint8 (H, W, 3) BGR.

    :raises ImageError: empty or damaged data, another format, or too many pixels.
    """
    buffer = np.frombuffer(data, np.uint8)
    # Before OpenCV makes room for what a few forged bytes claim.
    height, width = _claimed_size(bytes(buffer[:_HEADER]))
    if height * width > MAX_PIXELS:
        raise ImageError(f'the image claims {width} x {height} pixels, more than any camera')
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR) if height * width else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f'the compressed image ({buffer.size} bytes) cannot be decoded: it is '
                         'no whole JPEG or PNG')
    return image


def _claimed_size(head: bytes) -> tuple[int, int]:
    """Return the height and width that the beginning of a JPEG or PNG file tells, or zeros."""
    try:
        if head.startswith(b'\x89PNG\r\n\x1a\n'):
            width, height = struct.unpack_from('>II', head, 16)
            return height, width
        at = 2 if head.startswith(b'\xff\xd8') else len(head)
        while head[at] == 0xff:
            kind = head[at + 1]
            if kind in _FRAME_HEADERS:
                height, width = struct.unpack_from('>HH', head, at + 5)
                return height, width
            if kind < 0xc0 or kind in _BARE:
                break
            at += 1 if kind == 0xff else 2 + struct.unpack_from('>H', head, at + 2)[0]
    except (IndexError, struct.error):
        pass
    return 0, 0
