"""Compressed images to BGR arrays: what they claim is checked before memory is made ready."""

from __future__ import annotations

import re
import struct
from contextlib import suppress

import cv2
import numpy as np

from act_ros.core.frame import MAX_PIXELS
from act_ros.core.place import is_depth
from act_ros.core.stderr import collecting
from act_ros.persons.images import Buffer, ImageError, check_size, to_8_bits

_FORMATS = 'JPEG, PNG, TIFF, WebP or BMP'
_PNG = b'\x89PNG\r\n\x1a\n'
# Cameras store images as they are seen; Exif would turn those of a camera that once lay aside.
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
# Markers of ITU-T T.81, table B.1: those that begin a frame.
_FRAME_HEADERS = {*range(0xc0, 0xd0)} - {0xc4, 0xc8, 0xcc}
_BARE = range(0xd0, 0xda)  # those without a length, and no place before a frame
# More segments before the frame, or entries in a table, than any writer makes.
_MOST = 10_000
# TIFF 6.0: width and height of the image and of its tiles.
_WIDTHS, _HEIGHTS = (256, 322), (257, 323)
# How libjpeg and libpng begin what they have to say. They know no other way to complain: a camera
# with a loose plug, or a byte too much in each image, would fill the terminal.
_WORDS = re.compile(
    r'libpng (warning|error)|Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|'
    r'Invalid SOS|Unknown Adobe|Warning: unknown JFIF|\[ ?(WARN|ERROR|INFO):\d+@')


def decode_compressed(
    data: Buffer, format: str = '', max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """
    Return a JPEG, PNG, TIFF, WebP or BMP image as uint8 (H, W, 3) BGR.

    Pixels of 16 bits are brought to 8 by `to_8_bits`. A damaged JPEG may decode in part.

    :param format: that of sensor_msgs/CompressedImage; what the data are is seen in the data.
    :raises ImageError: empty or damaged data, another format, or too many pixels.
    """
    buffer = np.frombuffer(data, np.uint8)
    if is_depth(format) or bytes(buffer[12:20]) == _PNG:
        raise ImageError(f'this is a depth image ({format[:40].strip() or "compressedDepth"}): '
                         'choose the colour topic')
    height, width = _claimed_size(buffer.data)
    check_size(height, width, max_pixels)
    image, words = None, ''
    if height * width:
        with collecting(_WORDS) as said, suppress(cv2.error):
            image = cv2.imdecode(buffer, _FLAGS)
        words = '; '.join(said)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        claim = f', said to be {format[:40]!r},' if format else ''
        raise ImageError(f'the compressed image ({buffer.size} bytes){claim} cannot be decoded: '
                         + (words or f'it is no whole {_FORMATS}'))
    return to_8_bits(image) if image.dtype == np.uint16 else image


def _claimed_size(data: memoryview) -> tuple[int, int]:
    """Return the height and width that an image file says it has, or zeros."""
    head, height, width = bytes(data[:30]), 0, 0
    with suppress(IndexError, struct.error):
        if head.startswith(_PNG):
            width, height = struct.unpack_from('>II', head, 16)
        elif head.startswith(b'\xff\xd8'):
            height, width = _jpeg_size(data)
        elif head.startswith(b'RIFF') and head[8:12] == b'WEBP':
            height, width = _webp_size(head)
        elif head.startswith(b'BM'):
            small = struct.unpack_from('<I', head, 14)[0] == 12
            width, height = struct.unpack_from('<HH' if small else '<ii', head, 18)
        elif head[:4] in (b'II*\0', b'MM\0*'):
            height, width = _tiff_size(data, '<' if head[0] == ord('I') else '>')
    return abs(height), abs(width)  # of a BMP from top to bottom the height is negative


def _jpeg_size(data: memoryview) -> tuple[int, int]:
    at = 2
    for _ in range(_MOST):
        kind = data[at + 1]
        if data[at] != 0xff or kind < 0xc0 or kind in _BARE:
            break
        if kind in _FRAME_HEADERS:
            height, width = struct.unpack_from('>HH', data, at + 5)
            return height, width
        at += 1 if kind == 0xff else 2 + struct.unpack_from('>H', data, at + 2)[0]
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', head, 26)
        return height & 0x3fff, width & 0x3fff
    if kind == b'VP8L':
        bits, = struct.unpack_from('<I', head, 21)
        return (bits >> 14 & 0x3fff) + 1, (bits & 0x3fff) + 1
    if kind == b'VP8X':
        return (int.from_bytes(head[27:30], 'little') + 1,
                int.from_bytes(head[24:27], 'little') + 1)
    return 0, 0


def _tiff_size(data: memoryview, order: str) -> tuple[int, int]:
    at, = struct.unpack_from(f'{order}I', data, 4)
    count, = struct.unpack_from(f'{order}H', data, at)
    widths, heights = [0], [0]
    for entry in range(at + 2, at + 2 + 12 * min(count, _MOST), 12):
        tag, kind = struct.unpack_from(f'{order}HH', data, entry)
        if tag in (*_WIDTHS, *_HEIGHTS):
            value, = struct.unpack_from(order + ('H' if kind == 3 else 'I'), data, entry + 8)
            (widths if tag in _WIDTHS else heights).append(value)
    return max(heights), max(widths)
