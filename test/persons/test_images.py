"""Image buffers: every encoding against plain numpy, padded rows, and data that lies."""

from __future__ import annotations

import array
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_ros.persons.images import (
    ENCODINGS,
    MAX_PIXELS,
    ImageError,
    UnknownEncodingError,
    decode_raw,
)

BGR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
ALPHA = np.full((6, 8, 1), 77, np.uint8)
DEEP = BGR[..., 1].astype(np.uint16) * 256 + BGR[..., 0]  # the upper byte is what counts
DEEP[0, 0] |= 0x8000  # of all 16 bits
GREY = (DEEP >> 8).astype(np.uint8)
GREY_BGR = np.stack([GREY] * 3, axis=-1)
DEEP_BGR = BGR.astype(np.uint16) * 256 + GREY[..., None]
DEEP_BGR[0, 0, 0] |= 0x8000
BGR = (DEEP_BGR >> 8).astype(np.uint8)

# encoding -> rows of bytes as a camera sends them, and the image they hold.
EXACT: dict[str, tuple[np.ndarray, np.ndarray]] = {
    'bgr8': (BGR, BGR),
    '8UC3': (BGR, BGR),
    'rgb8': (BGR[..., ::-1], BGR),
    'bgra8': (np.concatenate((BGR, ALPHA), axis=-1), BGR),
    '8UC4': (np.concatenate((BGR, ALPHA), axis=-1), BGR),
    'rgba8': (np.concatenate((BGR[..., ::-1], ALPHA), axis=-1), BGR),
    'mono8': (GREY, GREY_BGR),
    '8UC1': (GREY, GREY_BGR),
    'mono16': (DEEP.astype('<u2'), GREY_BGR),
    'bgr16': (DEEP_BGR, BGR),
    'rgb16': (DEEP_BGR[..., ::-1], BGR),
    'bgra16': (np.concatenate((DEEP_BGR, ALPHA.astype('<u2')), axis=-1), BGR),
    'rgba16': (np.concatenate((DEEP_BGR[..., ::-1], ALPHA.astype('<u2')), axis=-1), BGR),
}


def rows_of(image: np.ndarray, padding: int = 0) -> tuple[bytes, int]:
    """Return an image's bytes with rubbish after each row, and the step."""
    rows = np.frombuffer(image.tobytes(), np.uint8).reshape(len(image), -1)
    rubbish = np.full((len(image), padding), 0xAB, np.uint8)
    return np.concatenate((rows, rubbish), axis=1).tobytes(), rows.shape[1] + padding


@pytest.mark.parametrize('padding', [0, 1, 2, 64])
@pytest.mark.parametrize('encoding', EXACT)
def test_encodings_with_and_without_padded_rows(encoding: str, padding: int) -> None:
    source, expected = EXACT[encoding]
    data, step = rows_of(source, padding)
    np.testing.assert_array_equal(decode_raw(data, encoding, 6, 8, step), expected)


def test_big_endian_mono16() -> None:
    data, step = rows_of(DEEP.astype('>u2'), 3)
    image = decode_raw(data, 'mono16', 6, 8, step, is_bigendian=True)
    np.testing.assert_array_equal(image, GREY_BGR)
    assert not np.array_equal(decode_raw(data, 'mono16', 6, 8, step), GREY_BGR)
    data, step = rows_of(BGR)  # single bytes have no order
    np.testing.assert_array_equal(decode_raw(data, 'bgr8', 6, 8, step, is_bigendian=True), BGR)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(('encoding', 'order'), [
    ('yuv422', 'UYVY'), ('uyvy', 'UYVY'), ('yuv422_yuy2', 'YUYV'), ('yuyv', 'YUYV')])
def test_yuv422_in_both_orders(encoding: str, order: str, padding: int) -> None:
    rng = np.random.default_rng(1)
    luma = rng.integers(60, 180, (6, 8)).astype(np.uint8)
    chroma = {'U': rng.integers(100, 150, (6, 4)), 'V': rng.integers(100, 150, (6, 4))}
    packed = np.empty((6, 4, 4), np.uint8)
    lumas = iter((luma[:, 0::2], luma[:, 1::2]))
    for i, letter in enumerate(order):
        packed[..., i] = next(lumas) if letter == 'Y' else chroma[letter]
    data, step = rows_of(packed, padding)
    # ITU-R BT.601, limited range.
    y = 1.164 * (luma.astype(float) - 16)
    u, v = (np.repeat(chroma[c], 2, axis=1).astype(float) - 128 for c in 'UV')
    expected = np.stack((y + 2.018 * u, y - 0.813 * v - 0.391 * u, y + 1.596 * v), axis=-1)
    image = decode_raw(data, encoding, 6, 8, step).astype(float)
    np.testing.assert_allclose(image, np.clip(expected, 0, 255), atol=1.5)


@pytest.mark.parametrize('encoding', ['bgra16', 'rgba16'])
def test_an_opaque_image_of_fewer_bits_is_as_bright_as_one_without_alpha(encoding: str) -> None:
    """The fourth channel is full where the sensor's 10 bits are not."""
    colours = (DEEP_BGR if encoding == 'bgra16' else DEEP_BGR[..., ::-1]) >> 6
    opaque = np.concatenate((colours, np.full((6, 8, 1), 0xffff)), axis=-1)
    data = opaque.astype('<u2').tobytes()
    np.testing.assert_array_equal(decode_raw(data, encoding, 6, 8, 64), BGR)


@pytest.mark.parametrize('bits', [10, 12, 14])
def test_mono16_of_fewer_bits_is_as_bright_as_of_16(bits: int) -> None:
    """A 10-bit sensor's upper byte would be black."""
    few = DEEP >> (16 - bits)
    data, step = rows_of(few.astype('<u2'))
    np.testing.assert_array_equal(decode_raw(data, 'mono16', 6, 8, step), GREY_BGR)
    data, step = rows_of(np.full_like(few, 3, '<u2'))  # as good as black
    assert decode_raw(data, 'mono16', 6, 8, step).max() == 3
    data, step = rows_of(np.zeros((6, 8), '<u2'))
    assert not decode_raw(data, 'mono16', 6, 8, step).any()


@pytest.mark.parametrize('encoding', ['bgr16', 'rgb16'])
@pytest.mark.parametrize('channel', range(3))
def test_the_brightest_colour_says_how_many_bits_there_are(encoding: str, channel: int) -> None:
    pixel = np.full(3, 100, '<u2')
    pixel[channel] = 1 << 14
    image = decode_raw(pixel.tobytes(), encoding, 1, 1, 6)
    assert image.max() == 1 << 6 and np.count_nonzero(image) == 1


def planar(encoding: str, luma: np.ndarray, u: np.ndarray, v: np.ndarray, padding: int) -> bytes:
    """Return planes as a driver sends them, with rubbish after each row."""
    parts = [luma, *([u, v] if encoding == 'i420' else [np.stack(
        (u, v) if encoding == 'nv12' else (v, u), axis=-1).reshape(len(u), -1)])]
    return b''.join(rows_of(part, padding * part.shape[1] // luma.shape[1])[0] for part in parts)


@pytest.mark.parametrize('padding', [0, 8])
@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'i420'])
def test_planes_of_quarter_chroma(encoding: str, padding: int) -> None:
    rng = np.random.default_rng(1)
    luma = rng.integers(60, 180, (6, 8)).astype(np.uint8)
    u, v = rng.integers(100, 150, (2, 3, 4)).astype(np.uint8)
    data = planar(encoding, luma, u, v, padding)
    wide = [np.repeat(np.repeat(c, 2, axis=0), 2, axis=1).astype(float) - 128 for c in (u, v)]
    y = 1.164 * (luma.astype(float) - 16)
    expected = np.stack((y + 2.018 * wide[0], y - 0.813 * wide[1] - 0.391 * wide[0],
                         y + 1.596 * wide[1]), axis=-1)
    for step in {8 + padding, 8 + padding if padding else 12}:  # some count the chroma in
        image = decode_raw(data, encoding, 6, 8, step).astype(float)
        np.testing.assert_allclose(image, np.clip(expected, 0, 255), atol=1.5)
    with pytest.raises(ImageError, match=f'cut off: .* instead of {9 * (8 + padding)}'):
        decode_raw(data[:-1 - padding], encoding, 6, 8, 8 + padding)
    with pytest.raises(ImageError, match='even sides, this one is 7 x 6'):
        decode_raw(data, encoding, 6, 7, 8)
    with pytest.raises(ImageError, match='even sides'):
        decode_raw(data, encoding, 3, 8, 8)
    with pytest.raises(ImageError, match='step is 7'):
        decode_raw(data, encoding, 6, 8, 7)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(('pattern', 'colours'), [
    ('rggb', 'RGGB'), ('bggr', 'BGGR'), ('gbrg', 'GBRG'), ('grbg', 'GRBG')])
def test_bayer_patterns_are_named_by_their_first_pixels(
    pattern: str, colours: str, bits: int,
) -> None:
    value = {'B': 200, 'G': 100, 'R': 30}
    mosaic = np.empty((16, 16), np.uint8)
    for i, colour in enumerate(colours):
        mosaic[i // 2::2, i % 2::2] = value[colour]
    data = mosaic.tobytes() if bits == 8 else (mosaic.astype('<u2') << 8).tobytes()
    image = decode_raw(data, f'bayer_{pattern}{bits}', 16, 16, 2 * bits)
    np.testing.assert_array_equal(
        image[4:-4, 4:-4], np.broadcast_to((200, 100, 30), (8, 8, 3)))


def test_every_encoding_is_tested() -> None:
    others = {'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'i420'} | {
        f'bayer_{pattern}{bits}' for bits in (8, 16)
        for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')}
    assert set(ENCODINGS) == EXACT.keys() | others


@pytest.mark.parametrize('wrap', [
    bytes, bytearray, memoryview, lambda data: array.array('B', data),
    lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_will_do_and_bgr_is_not_copied(wrap: Callable[[bytes], bytes]) -> None:
    buffer = wrap(rows_of(BGR)[0])
    image = decode_raw(buffer, 'bgr8', 6, 8, 24)
    np.testing.assert_array_equal(image, BGR)
    assert np.shares_memory(image, np.frombuffer(buffer, np.uint8))


def test_the_last_row_needs_no_padding() -> None:
    data, step = rows_of(BGR, 10)
    np.testing.assert_array_equal(decode_raw(data[:-10], 'bgr8', 6, 8, step), BGR)


def test_as_many_pixels_as_are_allowed() -> None:
    assert decode_raw(rows_of(BGR)[0], 'bgr8', 6, 8, 24, max_pixels=48).shape == BGR.shape
    with pytest.raises(ImageError, match='claims 8 x 6 pixels, more than max_pixels, 47'):
        decode_raw(rows_of(BGR)[0], 'bgr8', 6, 8, 24, max_pixels=47)


@given(cut=st.integers(1, 24 * 6))
def test_data_that_is_cut_off(cut: int) -> None:
    with pytest.raises(ImageError, match='cut off: .* bytes instead of 144'):
        decode_raw(rows_of(BGR)[0][:-cut], 'bgr8', 6, 8, 24)


@pytest.mark.parametrize(('encoding', 'height', 'width', 'step', 'problem'), [
    ('bgr8', 0, 8, 24, 'no pixels'),
    ('bgr8', 6, 0, 24, 'no pixels'),
    ('bgr8', 0, 0, 0, 'no pixels'),
    ('bgr8', 6, 8, 23, 'step is 23 bytes, but 8 bgr8 pixels need 24'),
    ('bgr8', 6, 8, 0, 'step is 0'),
    ('bgr8', 2**31, 2**31, 2**32 - 1, 'more than max_pixels, 25000000'),
    ('mono8', 1, MAX_PIXELS + 1, MAX_PIXELS + 1, 'more than max_pixels'),
    ('nv12', 2**20, 2**20, 2**20, 'more than max_pixels'),
    ('yuv422', 6, 7, 24, 'even width, this one is 7'),
    ('yuyv', 6, 7, 24, 'even width'),
    ('32FC3', 6, 8, 96, "unknown image encoding '32FC3'; known: bgr8"),
    ('32FC1', 6, 8, 32, "unknown image encoding '32FC1'; it is a depth image: choose the colour"),
    ('16UC1', 6, 8, 16, 'unknown .*; it is a depth image'),
    ('x' * 10**6, 6, 8, 16, "unknown image encoding 'x{40}';"),
    ('', 6, 8, 24, "unknown image encoding ''"),
])
def test_headers_that_cannot_be_true(
    encoding: str, height: int, width: int, step: int, problem: str,
) -> None:
    with pytest.raises(ImageError, match=problem) as caught:
        decode_raw(rows_of(BGR)[0], encoding, height, width, step)
    assert isinstance(caught.value, UnknownEncodingError) == ('unknown' in problem)


@given(st.binary(max_size=200), st.sampled_from(ENCODINGS), st.integers(0, 9),
       st.integers(0, 9), st.integers(0, 40), st.booleans())
def test_a_header_with_any_numbers_gives_an_image_or_an_error(
    data: bytes, encoding: str, height: int, width: int, step: int, is_bigendian: bool,
) -> None:
    try:
        image = decode_raw(data, encoding, height, width, step, is_bigendian)
    except ImageError:
        return
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
