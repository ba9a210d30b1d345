"""What is packed in a bag, unpacked within bounds: a few kilobytes may claim gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from act_ros.core.text import PrintableError

# A chunk may unpack to _PLENTY bytes in any case; to more, but at most _MOST, only where they are
# no more than _RATIO times the packed ones, as images are. Recorders close a chunk after a few
# megabytes, or one message.
_PLENTY = 32 << 20
_RATIO = 100
_MOST = 512 << 20


class UnpackError(PrintableError):
    """A chunk that claims more bytes than it may."""


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
    if size > min(max(_PLENTY, _RATIO * len(data)), _MOST):
        raise UnpackError(f'a chunk of {len(data)} bytes claims {size} unpacked, as no recorder '
                          'writes them')
    parts, missing = [], size + 1
    while missing and data:
        one = decompressor()
        parts.append(one.decompress(data, max_length=missing))
        missing -= len(parts[-1])
        data = one.unused_data or b''  # none where it breaks off
    return b''.join(parts)
