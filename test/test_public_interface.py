"""What others import from `act_ros`: it is there, it works as documented, and it comes late."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import islice
from pathlib import Path

import pytest

import act_ros
from act_ros.core.stamps import NANOSECONDS
from act_ros.persons.video import VideoSource

ROOT = Path(__file__).resolve().parents[1]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True, capture_output=True)


@pytest.mark.parametrize('name', act_ros.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(act_ros, name).__name__ == name and name in dir(act_ros)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'act_ros' has no attribute 'Nothing'"):
        act_ros.Nothing  # noqa: B018


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    """A subscriber to keypoints on a robot without OpenCV, SciPy and a TFLite runtime."""
    blocked = "('ai_edge_litert', 'cv2', 'matplotlib', 'scipy', 'tensorflow', 'tflite_runtime')"
    result = python(
        f'import sys; sys.modules.update(dict.fromkeys({blocked}))\n'
        'import act_ros, act_ros.core.cdr\n'
        'print([name for name in sys.modules if name.startswith("act_ros.")])')
    assert result.returncode == 0, result.stderr
    assert 'act_ros.core.cdr' in result.stdout
    for room in ('actions', 'persons', 'ros', 'tflite'):
        assert f'act_ros.{room}' not in result.stdout


def test_the_documented_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """On the demo clip: somebody is found, and what he does is recognized."""
    text = (act_ros.__doc__ or '').partition('in Python:\n\n')[2].partition('\nEach name')[0]
    video = VideoSource(str(ROOT / 'media' / 'demo.mp4'))
    frames = [(1 + round(seconds * NANOSECONDS), image)
              for seconds, image in islice(video.play(realtime=False), 60)]
    exec(compile(textwrap.dedent(text), 'act_ros', 'exec'), {'frames': frames})
    assert 'p1 RECOGNIZED ' in capsys.readouterr().out
