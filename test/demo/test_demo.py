"""The demo: a real clip through the real nodes, and what a robot would do about it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from ros_harness import ROOT, free_domain

from act_ros.ros.signals import tied_to_us


@pytest.mark.slow
def test_the_demo_answers_every_frame_and_says_what_a_robot_would_do(
    short_clip: Path, tmp_path: Path,
) -> None:
    """The example tree greets who waves, once, on what the nodes really see."""
    output = tmp_path / 'output'
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', '--video', str(short_clip), '--output',
         str(output)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'ROS_DOMAIN_ID': str(free_domain())})
    assert result.returncode == 0, result.stdout
    answers = [json.loads(line) for line in (output / 'actions.jsonl').read_text().splitlines()]
    assert len(answers) == 100
    assert all((output / name).stat().st_size for name in ('annotated.mp4', 'timeline.png'))
    said = [line for line in result.stdout.splitlines() if line.startswith('The robot would')]
    if find_spec('py_trees'):
        assert said.count('The robot would greet: somebody waves (p1)') == 1
    else:
        assert not said


@pytest.mark.slow
def test_a_short_time_begins_with_the_first_answer(tmp_path: Path) -> None:
    """Not with the player's process, which takes longer to start than this."""
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', '--seconds', '0.5', '--output', str(tmp_path)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'ROS_DOMAIN_ID': str(free_domain())})
    assert result.returncode == 0, result.stdout
    answers = (tmp_path / 'actions.jsonl').read_text().splitlines()
    assert 0 < len(answers) < 200


@pytest.mark.parametrize('seconds', ['0', '-3', 'nan'])
def test_no_time_is_refused(seconds: str) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', f'--seconds={seconds}'], cwd=ROOT, text=True,
        capture_output=True)
    assert result.returncode == 2
    assert f'argument --seconds: must be more than 0, not {seconds}' in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(('how', 'status'), [(signal.SIGHUP, 0), (signal.SIGKILL, -9)])
def test_nobody_outlives_the_demo(
    short_clip: Path, tmp_path: Path, how: signal.Signals, status: int,
) -> None:
    """Where the terminal goes away, what was recorded stays; where it is killed, nothing."""
    if how == signal.SIGKILL and not tied_to_us():
        pytest.skip('util-linux is not installed')
    demo = subprocess.Popen(
        [sys.executable, '-m', 'act_ros.demo', '--video', str(short_clip), '--output',
         str(tmp_path / 'output')], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, 'ROS_DOMAIN_ID': str(free_domain())})
    assert demo.stdout
    for line in demo.stdout:
        if line.startswith('--- frame'):
            break
    demo.send_signal(how)
    said, _ = demo.communicate(timeout=60)  # until all who write there have ended
    assert demo.returncode == status, said
    assert (tmp_path / 'output/actions.jsonl').exists() == (status == 0)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing(short_clip: Path, small_disk: Path) -> None:
    """It is full while the clip is played; the line comes last."""
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', '--video', str(short_clip), '--output',
         str(small_disk / 'output')], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, 'ROS_DOMAIN_ID': str(free_domain())})
    assert result.returncode == 1 and 'Traceback' not in result.stdout
    assert '--- frame' in result.stdout
    end, = (line for line in result.stdout.splitlines() if line.startswith('demo: '))
    assert os.strerror(errno.ENOSPC) in end and result.stdout.rstrip().endswith(end)
    assert not os.listdir(small_disk / 'output')


@pytest.mark.parametrize(('output', 'problem'), [
    ('file', 'File exists'), ('file/in', 'Not a directory')])
def test_an_output_that_is_no_folder_is_one_line(
    tmp_path: Path, output: str, problem: str,
) -> None:
    (tmp_path / 'file').write_text('of somebody')
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', '--output', str(tmp_path / output)], cwd=ROOT,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 1
    assert result.stdout.startswith('demo: ') and problem in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_a_bad_bundle_is_named_and_nothing_is_said_below_it(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'act_ros.demo', '--bundle', 'nope', '--output', str(tmp_path)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'ROS_DOMAIN_ID': str(free_domain())})
    assert result.returncode == 1 and 'Traceback' not in result.stdout
    *above, end = result.stdout.splitlines()
    assert "cannot configure: no model 'nope' in the models folder" in '\n'.join(above)
    assert end == 'demo: act_node failed, see its message above'
