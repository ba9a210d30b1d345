"""Fast DDS's shared memory as processes that were killed leave it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_ros.ros.fastdds import remove_half_made_ports

# What Boost leaves where it is killed before it gives a segment its size, before and while it
# fills it.
HALF_MADE = {'no_size': b'', 'no_word': bytes(52400), 'at_it': bytes([1, 0, 0, 0]) + bytes(52396)}
SHARED_MEMORY = Path('/dev/shm')
# A node of somebody else, who does not look for remains.
NODE = """
import rclpy
rclpy.init()
node = rclpy.create_node('somebody')
print('up', flush=True)
"""


def test_only_ports_that_are_half_made_are_removed(tmp_path: Path) -> None:
    """Of both generations of Fast DDS; no lock, no segment, and nothing of anybody else."""
    for number, content in enumerate(HALF_MADE.values()):
        for maker in ('fastrtps', 'fastdds'):
            (tmp_path / f'{maker}_port741{number}').write_bytes(content)
    kept = {'fastrtps_port7411_el': b'', 'sem.fastrtps_port7411_mutex': b'',
            'fastrtps_0123456789abcdef': b'', 'port7': b'',
            'fastrtps_port7499': bytes([2, 0, 0, 0]) + bytes(52396)}
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    assert remove_half_made_ports(tmp_path, patience=0.0) == sorted(
        f'{maker}_port741{number}' for maker in ('fastrtps', 'fastdds') for number in range(3))
    assert {path.name for path in tmp_path.iterdir()} == kept.keys()
    assert remove_half_made_ports(tmp_path / 'absent') == []


def test_a_port_that_is_being_made_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is usable a moment later."""
    port = tmp_path / 'fastrtps_port7411'
    port.write_bytes(b'')
    monkeypatch.setattr('time.sleep', lambda _: port.write_bytes(bytes([2, 0, 0, 0])))
    assert remove_half_made_ports(tmp_path) == []
    assert port.exists()


@pytest.fixture
def litter() -> Iterator[list[Path]]:
    """Files to be removed in the end."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        path.unlink(missing_ok=True)


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason='no shared memory')
def test_a_node_starts_and_ends_where_one_was_killed_while_it_started(
    tmp_path: Path, litter: list[Path],
) -> None:
    """Its ports are half made: Fast DDS would wait for ever, deaf to every signal."""
    pytest.importorskip('rclpy')
    from ros_harness import bench

    from act_ros.msg import ActionArray

    with bench(tmp_path) as made:
        for participant, content in enumerate(HALF_MADE.values(), start=1):  # 0 is the peer
            port = 7400 + 250 * made.domain + 11 + 2 * participant
            litter.append(SHARED_MEMORY / f'fastrtps_port{port}')
            litter[-1].write_bytes(content)
        node = made.start('act_node')
        made.peer.listen(ActionArray, 'actions')
        made.peer.wait_for_publisher('actions')
        assert node.stop() == 0, node.log
        assert 'removed shared memory of a process that was killed' in node.log


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason='no shared memory')
def test_a_node_that_waits_already_goes_on(litter: list[Path]) -> None:
    """Whoever it belongs to."""
    pytest.importorskip('rclpy')
    from ros_harness import free_domain, give_back

    domain = free_domain()
    litter.append(SHARED_MEMORY / f'fastrtps_port{7400 + 250 * domain + 11}')
    litter[0].write_bytes(HALF_MADE['no_word'])
    with subprocess.Popen(
            [sys.executable, '-c', NODE], text=True, stdout=subprocess.PIPE,
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain)}) as node:
        try:
            deadline = time.monotonic() + 40
            while litter[0].name not in Path(f'/proc/{node.pid}/maps').read_text():
                assert node.poll() is None and time.monotonic() < deadline, 'it did not wait'
                time.sleep(0.01)
            assert litter[0].name in remove_half_made_ports(patience=0.2)
            assert node.communicate(timeout=40)[0] == 'up\n'
        finally:
            node.kill()
            give_back(domain)
