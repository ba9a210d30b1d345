"""Ctrl-C, SIGTERM and a terminal that goes away, at any moment: status 0 and not a word."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from ros_harness import ROOT, Process, bench
from sensor_msgs.msg import Image

from act_ros.msg import ActionArray
from act_ros.ros.signals import tied_to_us

# Prints when it is ready, and answers lines until it is told to end.
PATIENT = """
import sys
from act_ros.ros.signals import watch
watch()
print('ready', flush=True)
for line in sys.stdin:
    print(line, end='', flush=True)
"""


def is_watching(process: int) -> bool:
    """Whether a process has got so far as to look after signals."""
    blocked = [line.split()[1] for line in Path(f'/proc/{process}/status').read_text().splitlines()
               if line.startswith('SigBlk')]
    return bool(int(blocked[0], 16) >> (signal.SIGINT - 1) & 1)


def wait_until_watching(node: Process) -> None:
    """Wait through the start of Python itself, which is not ours."""
    deadline = time.monotonic() + 40
    while not is_watching(node.popen.pid):
        assert node.is_alive() and time.monotonic() < deadline, node.log
        time.sleep(0.01)


@pytest.mark.parametrize('name', ['pose_node', 'act_node', 'pipeline_node', 'video_node'])
def test_ctrl_c_while_a_node_starts(tmp_path: Path, name: str) -> None:
    """In its imports, while it joins ROS, loads its models or opens its video, or just after."""
    rng = random.Random(name)
    parameters = {} if name in ('pose_node', 'act_node') else {
        'source': str(ROOT / 'media/demo.mp4'), 'loop': True}
    with bench(tmp_path) as made:
        nodes = [made.start(name, parameters) for _ in range(3)]
        for node in nodes:
            wait_until_watching(node)
        for node in nodes:
            time.sleep(rng.uniform(0.1, 1.0))
            assert node.stop(signal.SIGINT) == 0, node.log
            assert 'Traceback' not in node.log and 'cannot' not in node.log


def test_ctrl_c_while_a_frame_waits_for_its_answer(tmp_path: Path) -> None:
    """The video ends at once; who was told to end has not failed to answer."""
    with bench(tmp_path) as made:
        video = made.start('video_node', {
            'source': str(ROOT / 'media/demo.mp4'), 'pace': 'consumed'})
        images = made.peer.listen(Image, 'image')
        made.peer.node.create_publisher(ActionArray, 'actions', 10)
        made.peer.wait(lambda: bool(images), 'the first image')
        assert video.stop(signal.SIGINT) == 0, video.log
        assert 'nobody answered' not in video.log


def test_ctrl_c_while_python_itself_starts() -> None:
    """Nothing is said: the executables let a signal wait until somebody looks after it."""
    executable = Path(sys.prefix, 'lib/act_ros/act_node')
    if not executable.is_file() or '--block-signal' not in executable.read_text():
        pytest.skip('the package is not installed, or without the env of GNU')
    for pause in (0.01, 0.03, 0.1, 0.2):
        process = subprocess.Popen(
            [executable], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == ''
        # The latter while the executable is not even env.
        assert process.returncode in (0, -signal.SIGINT)


@pytest.fixture
def hangups() -> Iterator[None]:
    """Let processes hear of a terminal that goes away, though the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures('hangups')
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_while_a_node_ends(tmp_path: Path, tiny_bundle: Path, how: int) -> None:
    """Or a third: it changes nothing."""
    with bench(tmp_path) as made:
        node = made.start('act_node', {'bundle': str(tiny_bundle)})
        made.peer.wait_for_publisher('/actions')
        for pause in (0.0, 0.01, 0.1, 0.3):
            node.popen.send_signal(how)
            time.sleep(pause)
        assert node.wait() == 0
        assert 'Traceback' not in node.log


def test_a_job_of_a_script_ends_at_sigint() -> None:
    """Though the shell has had it ignored, as it does for what is started with `&`."""
    process = subprocess.Popen(
        ['bash', '-c', f"'{sys.executable}' -c \"{PATIENT}\" <&0 & echo $!; wait"],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    lines = {process.stdout.readline() for _ in range(2)}
    child, = (int(line) for line in lines - {'ready\n'})
    os.kill(child, signal.SIGINT)
    assert process.stdout.read() == ''
    assert process.wait(20) == 0


def test_nohup_is_respected() -> None:
    """A terminal that goes away ends nobody who was started so as to outlive it."""
    process = subprocess.Popen(
        ['nohup', sys.executable, '-c', PATIENT], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGHUP)
    process.stdin.write('still there\n')
    process.stdin.flush()
    assert process.stdout.readline() == 'still there\n'
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.skipif(not tied_to_us(), reason='util-linux is not installed')
def test_who_is_tied_ends_with_whoever_started_it() -> None:
    """Even where that was killed."""
    # The child keeps the pipe open: it ends when both have.
    starter = f"""
import subprocess, sys, time
from act_ros.ros.signals import tied_to_us
child = subprocess.Popen([*tied_to_us(), sys.executable, '-c', {PATIENT!r}], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, '-c', starter], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert process.stdout
    lines = {process.stdout.readline() for _ in range(2)}
    child, = (int(line) for line in lines - {'ready\n'})
    assert Path(f'/proc/{child}').exists()
    os.kill(process.pid, signal.SIGKILL)
    assert process.stdout.read() == ''
    assert process.wait(20) == -signal.SIGKILL


def test_no_interrupt_breaks_into_a_loop_that_looks_after_sigint() -> None:
    """
    Nor is Ctrl-C lost on whoever goes on after the loop.

    Raised in this thread: one sent to the process may be taken by another, some time later. A shell
    has it ignored in what it starts in the background.
    """
    code = """
import asyncio, signal
from act_ros.ros.signals import leave_to_loop

signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    leave_to_loop(asyncio.get_running_loop().is_running)
    signal.raise_signal(signal.SIGINT)
    print('went on')

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print('interrupted')
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, text=True, timeout=60, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert done.stdout.splitlines() == ['went on', 'interrupted']
