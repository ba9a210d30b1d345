"""Freed memory: kept by a process that asks for it again, and given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
from pathlib import Path
from act_ros.core.memory import give_memory_back, keep_memory

def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) >> 8  # pages, so MiB

keep_memory()
before = resident()
pair = [bytearray(b'x' * 1024) * (1 << 15) for _ in range(2)]
del pair
kept = resident() - before
give_memory_back()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='memory is told by /proc')
def test_freed_memory_stays_until_it_is_given_back() -> None:
    output = subprocess.run(
        [sys.executable, '-c', _SCRIPT], check=True, capture_output=True, text=True).stdout
    kept, left = map(int, output.split())
    assert kept >= 60 and left < 30, output
