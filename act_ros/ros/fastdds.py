"""Fast DDS's shared memory: room for raw images in it, and what killed processes leave of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from act_ros.core.resources import find_resource

# Jazzy and before, Kilted and later.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
# The usual remedy in containers, which a profile with transports of its own would defeat.
_TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'
# The first word of a segment, as Boost has it: 0 and 1 while it is made, then 2; 3 if that failed.
_USABLE, _DAMAGED = 2, 3
_SHARED_MEMORY = Path('/dev/shm')  # noqa: S108  where Fast DDS has it


def image_transport_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables to add to an environment, so that processes exchange raw images.

    None where it holds a profile or transports already.
    """
    if any(environment.get(name) for name in (*PROFILE_VARIABLES, _TRANSPORTS)):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(find_resource('config/fastdds.xml')))


def remove_half_made_ports(folder: Path = _SHARED_MEMORY, patience: float = 1.0) -> list[str]:
    """
    Remove the ports that somebody was killed in the midst of making; return their names.

    Fast DDS waits for ever that such a port be completed. rclpy holds Python's lock meanwhile: the
    node neither starts nor ends at a signal, and one that is started in its place waits, too.
    Those that wait already go on.

    :param patience: seconds; a port that is not usable after that will never be. It takes less than
        a millisecond to make one, and a port is seldom seen so early.
    """
    if not (ports := _half_made_ports(folder)):
        return []
    time.sleep(patience)
    removed = []
    for port in sorted(ports & _half_made_ports(folder)):
        with suppress(OSError), port.open('r+b') as file:  # unless another user's, or gone
            port.unlink()
            file.write(_DAMAGED.to_bytes(4, sys.byteorder))  # which tells those that wait
            removed.append(port.name)
    return removed


def _half_made_ports(folder: Path) -> set[Path]:
    ports = set()
    for port in folder.glob('fast*_port*[0-9]'):  # not the locks beside them
        with suppress(OSError), port.open('rb') as file:
            if int.from_bytes(file.read(4), sys.byteorder) < _USABLE:
                ports.add(port)
    return ports
