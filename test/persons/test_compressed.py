"""Compressed images: each format, what they claim, and that decoders keep quiet."""

from __future__ import annotations

import array
import os
import struct
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_ros.persons.compressed import decode_compressed
from act_ros.persons.images import ImageError

BGR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GREY = BGR[..., 1]
GREY_BGR = np.stack([GREY] * 3, axis=-1)
FORMATS = ['.jpg', '.png', '.tiff', '.webp', '.bmp']


def encoded(kind: str, image: np.ndarray = BGR) -> bytes:
    """Return an image in a format; of WebP the kind that loses a little."""
    options = [cv2.IMWRITE_WEBP_QUALITY, 80] if kind == '.webp' else []
    data: bytes = cv2.imencode(kind, image, options)[1].tobytes()
    return data


def test_png_and_jpeg() -> None:
    np.testing.assert_array_equal(decode_compressed(encoded('.png')), BGR)
    flat = np.full((16, 16, 3), (40, 90, 160), np.uint8)
    jpeg = decode_compressed(array.array('B', cv2.imencode('.jpg', flat)[1].tobytes()))
    np.testing.assert_allclose(jpeg.astype(int), flat, atol=4)
    grey = decode_compressed(cv2.imencode('.png', GREY)[1])
    np.testing.assert_array_equal(grey, GREY_BGR)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff', b'not an image', bytes(1000)])
def test_compressed_data_that_is_damaged(data: bytes) -> None:
    with pytest.raises(ImageError, match=rf'\({len(data)} bytes\) cannot be decoded'):
        decode_compressed(data)


@pytest.mark.parametrize('kind', ['.tiff', '.webp', '.bmp'])
def test_formats_without_loss(kind: str) -> None:
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == '.webp' else []
    data = cv2.imencode(kind, BGR, options)[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(data), BGR)
    assert decode_compressed(encoded(kind)).shape == BGR.shape


@pytest.mark.parametrize('kind', ['.png', '.tiff'])
@pytest.mark.parametrize('bits', [10, 12, 16])
def test_deep_pixels_are_as_bright_as_others(kind: str, bits: int) -> None:
    deep = GREY.astype(np.uint16) << bits - 8
    np.testing.assert_array_equal(decode_compressed(encoded(kind, deep)), GREY_BGR)


def forged(kind: str) -> bytes:
    """Return a file that claims 16383 x 16383 pixels and holds 48."""
    data, side = bytearray(encoded(kind)), 16_383
    at, claim = {
        '.png': (16, struct.pack('>II', side, side)),
        '.jpg': (data.find(b'\xff\xc0') + 5, struct.pack('>HH', side, side)),
        '.bmp': (18, struct.pack('<ii', side, -side)),
        '.webp': (26, struct.pack('<HH', side, side)),
        '.tiff': (0, b''),
    }[kind]
    if kind == '.tiff':
        directory = struct.unpack_from('<I', data, 4)[0]
        for entry in range(directory + 2, len(data) - 12, 12):
            if struct.unpack_from('<H', data, entry)[0] in (256, 257):
                struct.pack_into('<HII', data, entry + 2, 4, 1, side)
    data[at:at + len(claim)] = claim
    return bytes(data)


@pytest.mark.parametrize('kind', FORMATS)
def test_more_pixels_than_wanted_are_refused_before_memory_is_made_ready(kind: str) -> None:
    with pytest.raises(ImageError, match='claims 16383 x 16383 pixels, more than max_pixels'):
        decode_compressed(forged(kind))
    assert decode_compressed(encoded(kind), max_pixels=48).shape == BGR.shape
    with pytest.raises(ImageError, match='claims 8 x 6 pixels, more than max_pixels, 47'):
        decode_compressed(encoded(kind), max_pixels=47)


def test_other_webp_headers() -> None:
    bits = 16_380 | 99 << 14
    lossless = b'RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f' + struct.pack('<I', bits) + bytes(10)
    with pytest.raises(ImageError, match='claims 16381 x 100 pixels'):
        decode_compressed(lossless, max_pixels=1000)
    size = (1 << 16).to_bytes(3, 'little') + (1 << 17).to_bytes(3, 'little')
    extended = b'RIFF\0\0\0\0WEBPVP8X' + bytes(8) + size + bytes(10)
    with pytest.raises(ImageError, match='claims 65537 x 131073 pixels'):
        decode_compressed(extended, max_pixels=1000)


def test_the_header_of_an_old_bmp() -> None:
    old = b'BM' + bytes(12) + struct.pack('<IHH', 12, 16_381, 100) + bytes(10)
    with pytest.raises(ImageError, match='claims 16381 x 100 pixels'):
        decode_compressed(old, max_pixels=1000)


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('tags', [(256, 257), (322, 323)])
@pytest.mark.parametrize(('kind', 'value'), [(3, 'H2x'), (4, 'I')])
def test_a_tiff_claims_a_size_as_an_image_or_as_tiles(
    order: str, tags: tuple[int, int], kind: int, value: str,
) -> None:
    sizes = {256: 8, 257: 6} | dict(zip(tags, (16_381, 100), strict=True))
    entries = [struct.pack(f'{order}HHI{value}', tag, kind, 1, size)
               for tag, size in sizes.items()]
    head = struct.pack(f'{order}2sHIH', b'II' if order == '<' else b'MM', 42, 8, len(entries))
    with pytest.raises(ImageError, match='claims 16381 x 100 pixels'):
        decode_compressed(head + b''.join(entries) + bytes(4), max_pixels=1000)


def test_another_format_is_refused_by_its_name() -> None:
    with pytest.raises(ImageError, match="said to be 'h264', cannot be decoded: it is no"):
        decode_compressed(b'\0\0\0\1\x67' + bytes(100), 'h264')
    with pytest.raises(ImageError, match='no whole JPEG, PNG, TIFF, WebP or BMP'):
        decode_compressed(b'GIF89a' + bytes(50))


def test_what_opencv_reads_otherwise_or_not_at_all_is_refused() -> None:
    """Numbers that are no colours, and a row longer than OpenCV has it, which throws."""
    width = (1 << 20) + 1
    row = bytes(-(-3 * width // 4) * 4)
    wide = b'BM' + struct.pack('<IIIIiiHH', 54 + len(row), 0, 54, 40, width, 1, 1, 24) + bytes(
        24) + row
    for data in (encoded('.tiff', BGR.astype(np.float32)), wide):
        with pytest.raises(ImageError, match='cannot be decoded: it is no whole'):
            decode_compressed(data)


def test_a_depth_image_is_called_one() -> None:
    data = bytes(12) + encoded('.png', GREY.astype(np.uint16))
    for format in ('16UC1; compressedDepth png', ''):
        with pytest.raises(ImageError, match='depth image .*choose the colour topic'):
            decode_compressed(data, format)
    with pytest.raises(ImageError, match='depth image'):
        decode_compressed(bytes(40), '16UC1; compressedDepth rvl')


def test_a_depth_image_of_the_compressed_transport_is_called_one() -> None:
    """It is a whole PNG or TIFF: millimetres would be looked at for people."""
    for suffix, pixels, format in (
            ('.png', GREY.astype(np.uint16), '16UC1; png compressed '),
            ('.tiff', GREY.astype(np.float32), '32FC1; tiff compressed ')):
        with pytest.raises(ImageError, match=rf'depth image \({format[:5]}.*colour topic'):
            decode_compressed(encoded(suffix, pixels), format)
    assert decode_compressed(
        encoded('.png', GREY.astype(np.uint16)), 'mono16; png compressed ').shape[2] == 3


def segment(marker: bytes, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return marker + struct.pack('>H', len(content) + 2) + content


def test_exif_does_not_turn_an_image() -> None:
    """Two values in a camera's file, and OpenCV lays people on their side."""
    entry = struct.pack('>HHIHH', 0x0112, 3, 1, 6, 0)  # orientation: turned by 90 degrees
    exif = b'Exif\0\0MM\0*' + struct.pack('>IH', 8, 1) + entry + bytes(4)
    data = encoded('.jpg')
    turned = data[:2] + segment(b'\xff\xe1', exif) + data[2:]
    lying = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert lying is not None and lying.shape == (8, 6, 3)
    np.testing.assert_array_equal(decode_compressed(turned), decode_compressed(data))


def test_what_comes_before_the_frame_of_a_jpeg_is_skipped() -> None:
    """Exif and the like, two megabytes of them, and bytes that fill up to the next marker."""
    data = encoded('.jpg')
    comments = 32 * segment(b'\xff\xff\xff\xff\xfe', bytes(65_000))
    np.testing.assert_array_equal(
        decode_compressed(data[:2] + comments + data[2:]), decode_compressed(data))


@pytest.mark.parametrize('junk', [b'\0\xc0', b'\xff\x01', b'\xff\xd0'])
def test_no_size_is_taken_from_between_the_segments_of_a_jpeg(junk: bytes) -> None:
    """Decoders skip what stands there; a length in it would lead to a size in a comment."""
    data, size = encoded('.jpg'), segment(b'\xff\xc0', struct.pack('>BHH', 8, 1, 1))
    comment = b'\xff\xfe'
    hidden = (data[:2] + segment(comment, b'') + junk + struct.pack('>H', 6)
              + segment(comment, size) + data[2:])
    assert cv2.imdecode(np.frombuffer(hidden, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(ImageError, match='cannot be decoded'):
        decode_compressed(hidden, max_pixels=47)


def test_decoders_keep_quiet_and_their_words_are_the_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    png = bytearray(encoded('.png'))
    png[50] ^= 0xff
    with pytest.raises(ImageError, match='cannot be decoded: libpng error: '):
        decode_compressed(bytes(png))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    damaged = bytearray(encoded('.jpg', noise))
    damaged[1000:1200] = bytes(200)
    assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR) is not None
    assert 'Corrupt JPEG data' in capfd.readouterr().err, 'else this test shows nothing'
    assert decode_compressed(damaged).shape == (64, 64, 3)
    assert capfd.readouterr().err == ''


def test_what_others_write_to_stderr_meanwhile_is_not_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data, over = encoded('.jpg', np.zeros((480, 640, 3), np.uint8)), threading.Event()

    def decode() -> None:
        while not over.is_set():
            decode_compressed(data)

    threads = [threading.Thread(target=decode) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(2000):
        os.write(2, f'line {i}\n'.encode())
    over.set()
    for thread in threads:
        thread.join()
    decode_compressed(data)  # passes on what was on its way when the last one ended
    # A line that is passed on may come after one that was written a moment later.
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f'line {i}' for i in range(2000))


@given(st.sampled_from(FORMATS), st.integers(0, 400), st.binary(min_size=1, max_size=4),
       st.integers(0, 400))
def test_damage_anywhere_gives_an_image_or_an_error(
    kind: str, at: int, change: bytes, cut: int,
) -> None:
    data = bytearray(encoded(kind))
    data[at:at + len(change)] = change
    try:
        image = decode_compressed(bytes(data[:len(data) - cut]))
    except ImageError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
