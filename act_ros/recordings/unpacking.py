"""
What is packed in a bag, unpacked within bounds: a few kilobytes may claim gigabytes.

Recorders pack chunks of MCAP files, every message by itself, or each file as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from act_ros.core.text import PrintableError

# Anything may unpack to _PLENTY bytes; to more only where they are no more than _RATIO times the
# packed ones, as images are, and what is held in memory to _MOST at most. Recorders close a chunk
# after a few megabytes, or one message.
_PLENTY = 32 << 20
_RATIO = 100
_MOST = 512 << 20
_MAGIC = b'\x28\xb5\x2f\xfd'  # of Zstandard; no message of CDR begins so


class UnpackError(PrintableError):
    """Something packed that holds, or claims, more bytes than it may."""

    def __init__(self, what: str, size: int, unpacked: str) -> None:
        super().__init__(f'{what} of {size} bytes {unpacked} unpacked, as no recorder writes them')


def _bound(size: int) -> int:
    """Return how many bytes so many packed ones may unpack to."""
    return max(_PLENTY, _RATIO * size)


def limit_unpacking() -> None:
    """Make rosbags unpack the chunks of MCAP files within bounds, here and wherever it is used."""
    from rosbags.rosbag2 import storage_mcap

    unpackers: dict[str, Callable[[bytes, int], bytes]] = storage_mcap.DECOMPRESSORS
    if not isinstance(unpackers.get('zstd'), partial):
        from lz4.frame import LZ4FrameDecompressor

        unpackers['zstd'] = partial(_unpack, storage_mcap.zstd.ZstdDecompressor)
        unpackers['lz4'] = partial(_unpack, LZ4FrameDecompressor)


def _unpack(decompressor: Callable[[], Any], data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes that ``data`` unpack to, or one more where they are more."""
    if size > min(_bound(len(data)), _MOST):
        raise UnpackError('a chunk', len(data), f'claims {size}')
    parts, missing = [], size + 1
    while missing and data:
        one = decompressor()
        parts.append(one.decompress(data, max_length=missing))
        missing -= len(parts[-1])
        data = one.unused_data or b''  # none where it breaks off
    return b''.join(parts)


def unpacked(message: bytes) -> bytes:
    """
    Return a message, unpacked where it was packed by itself.

    :raises UnpackError: it holds more bytes than it may.
    """
    if message[:4] != _MAGIC:
        return message
    from rosbags.rosbag2 import storage_mcap

    most = min(_bound(len(message)), _MOST)
    data = _unpack(storage_mcap.zstd.ZstdDecompressor, message, most)
    if len(data) > most:
        raise UnpackError('a message', len(message), f'holds more than {most}')
    return data


def unpack_file(packed: Path, target: Path) -> None:
    """
    Unpack a file that was packed as a whole; after an error ``target`` holds what came before it.

    :raises UnpackError: it holds more bytes than it may, and ``target`` is not there.
    """
    from rosbags.rosbag2 import storage_mcap

    size = packed.stat().st_size
    most = _bound(size)
    with storage_mcap.zstd.open(packed, 'rb') as source, target.open('wb') as file:
        while (block := source.read1()) and file.tell() <= most:
            file.write(block)
        if file.tell() <= most:
            return
    target.unlink()
    raise UnpackError(packed.name, size, f'holds more than {most}')
