"""
Raw image buffers to BGR arrays, without a copy where the bytes already are BGR.

cv_bridge of a distribution does this too; this covers what cameras send, needs nothing but OpenCV,
and honours rows with padding (``step`` > width x pixel size).
"""

from __future__ import annotations

from array import array
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from act_ros.core.frame import MAX_PIXELS
from act_ros.core.place import is_depth
from act_ros.core.text import PrintableError

Buffer: TypeAlias = 'bytes | bytearray | memoryview | array[int] | np.ndarray'


class _Encoding(NamedTuple):
    """Channels of a pixel, their type, and the OpenCV conversion to BGR (None: it is BGR)."""

    channels: int
    dtype: str
    conversion: int | None


# sensor_msgs/image_encodings.hpp and what drivers use besides. 'yuv422' is UYVY, 'yuv422_yuy2' is
# YUYV; 'uyvy' and 'yuyv' are their newer names. OpenCV names a Bayer pattern by its second row, ROS
# by its first.
_ENCODINGS = {
    'bgr8': _Encoding(3, 'u1', None),
    '8UC3': _Encoding(3, 'u1', None),
    'rgb8': _Encoding(3, 'u1', cv2.COLOR_RGB2BGR),
    'bgra8': _Encoding(4, 'u1', cv2.COLOR_BGRA2BGR),
    '8UC4': _Encoding(4, 'u1', cv2.COLOR_BGRA2BGR),
    'rgba8': _Encoding(4, 'u1', cv2.COLOR_RGBA2BGR),
    'mono8': _Encoding(1, 'u1', cv2.COLOR_GRAY2BGR),
    '8UC1': _Encoding(1, 'u1', cv2.COLOR_GRAY2BGR),
    'bgr16': _Encoding(3, 'u2', None),
    'rgb16': _Encoding(3, 'u2', cv2.COLOR_RGB2BGR),
    'bgra16': _Encoding(4, 'u2', cv2.COLOR_BGRA2BGR),
    'rgba16': _Encoding(4, 'u2', cv2.COLOR_RGBA2BGR),
    'mono16': _Encoding(1, 'u2', cv2.COLOR_GRAY2BGR),
    'yuv422': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_UYVY),
    'uyvy': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_UYVY),
    'yuv422_yuy2': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_YUYV),
    'yuyv': _Encoding(2, 'u1', cv2.COLOR_YUV2BGR_YUYV),
    **{f'bayer_{pattern}{bits}': _Encoding(1, f'u{bits // 8}', conversion)
       for bits in (8, 16) for pattern, conversion in (
           ('rggb', cv2.COLOR_BayerRGGB2BGR), ('bggr', cv2.COLOR_BayerBGGR2BGR),
           ('gbrg', cv2.COLOR_BayerGBRG2BGR), ('grbg', cv2.COLOR_BayerGRBG2BGR))},
}
# A plane of luma, then chroma of a quarter of the pixels: U and V by turns, V and U, U before V.
_PLANAR = {
    'nv12': cv2.COLOR_YUV2BGR_NV12,
    'nv21': cv2.COLOR_YUV2BGR_NV21,
    'i420': cv2.COLOR_YUV2BGR_I420,
}
ENCODINGS = (*_ENCODINGS, *_PLANAR)
"""What `decode_raw` knows."""
# Bits of a sensor's pixels, in the words of 16 that they come in.
_SENSOR_BITS = (8, 10, 12, 14, 16)


class ImageError(PrintableError):
    """An image that cannot be read; the message says why."""


class UnknownEncodingError(ImageError):
    """An encoding this module does not know."""


def decode_raw(
    data: Buffer, encoding: str, height: int, width: int, step: int, is_bigendian: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """
    Return the image as uint8 (H, W, 3) BGR; a read-only view of ``data`` where possible.

    The arguments are the fields of sensor_msgs/Image. Pixels of 16 bits are brought to 8 by
    `to_8_bits`.

    :raises UnknownEncodingError: the encoding is not one of `ENCODINGS`.
    :raises ImageError: no pixels, too many, rows shorter than their pixels, or too few bytes.
    """
    if encoding not in ENCODINGS:
        hint = ('it is a depth image: choose the colour topic' if is_depth(encoding)
                else f'known: {", ".join(ENCODINGS)}')
        raise UnknownEncodingError(f'unknown image encoding {encoding[:40]!r}; {hint}')
    if height <= 0 or width <= 0:
        raise ImageError(f'the image is {width} x {height}: it has no pixels')
    check_size(height, width, max_pixels)
    buffer = np.frombuffer(data, np.uint8)
    if encoding in _PLANAR:
        return _decode_planar(buffer, encoding, height, width, step)
    channels, kind, conversion = _ENCODINGS[encoding]
    dtype = np.dtype(kind).newbyteorder('>' if is_bigendian else '<')
    row = width * channels * dtype.itemsize
    _check_buffer(buffer, encoding, width, step, row, step * (height - 1) + row, step * height)
    if channels == 2 and width % 2:
        raise ImageError(f'{encoding} images have an even width, this one is {width} wide')
    image = np.ndarray((height, width, channels), dtype, buffer,
                       strides=(step, channels * dtype.itemsize, dtype.itemsize))
    if dtype.itemsize == 2:
        image = to_8_bits(image)
    return image if conversion is None else cv2.cvtColor(image, conversion)


def _decode_planar(
    buffer: np.ndarray, encoding: str, height: int, width: int, step: int,
) -> np.ndarray:
    """Return an image of 4:2:0 chroma in planes of its own; ``step`` is that of the luma."""
    if width % 2 or height % 2:
        raise ImageError(f'{encoding} images have even sides, this one is {width} x {height}')
    whole = width * height * 3 // 2
    if step > width and buffer.size == whole:
        step = width  # some drivers count the chroma in, though rows have no padding
    pixels, lines = (width, height // 2) if encoding != 'i420' else (width // 2, height)
    chroma_step = step if encoding != 'i420' else step // 2
    _check_buffer(buffer, encoding, width, step, width,
                  step * height + chroma_step * (lines - 1) + pixels, step * height * 3 // 2)
    if step == width:
        planes = buffer[:whole].reshape(-1, width)
    else:
        luma = np.ndarray((height, width), np.uint8, buffer, strides=(step, 1))
        chroma = np.ndarray((lines, pixels), np.uint8, buffer, step * height, (chroma_step, 1))
        planes = np.concatenate((luma, chroma.reshape(-1, width)))
    return cv2.cvtColor(planes, _PLANAR[encoding])


def _check_buffer(
    buffer: np.ndarray, encoding: str, width: int, step: int, row: int, least: int, whole: int,
) -> None:
    """Raise ImageError where rows are shorter than their pixels or bytes are missing."""
    if step < row:
        raise ImageError(f'step is {step} bytes, but {width} {encoding} pixels need {row}')
    if buffer.size < least:
        raise ImageError(f'the image is cut off: {buffer.size} bytes instead of {whole}')


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raise ImageError for an image of more pixels than are allowed."""
    if height * width > max_pixels:
        raise ImageError(f'the image claims {width} x {height} pixels, more than max_pixels, '
                         f'{max_pixels}')


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """
    Return an image (H, W, C) of uint16 as uint8: the upper 8 of as many bits as its sensor has.

    Drivers do not say how many, and the upper byte of 10 bits would be black. So they are the
    fewest of 8, 10, 12, 14 and 16 that hold the brightest pixel (a fourth channel is no colour).
    This image alone decides, so that it looks the same wherever reading a recording begins.
    """
    brightest = int(image[..., :3].max()).bit_length()
    shift = next(bits for bits in _SENSOR_BITS if bits >= brightest) - 8
    return (image >> shift).astype(np.uint8)
