"""Made-up people before an `ActionRecognizer`: stamped frames, and the answers to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from synthetic import SECOND, person, pose, stamps

from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.action import Action
from act_ros.core.person import Person

Scene = Callable[[float], list[Person]]
Frame = tuple[int, list[Person]]


def someone(time: float, motion: str = 'walk', id: str = 'p1', x: float = 320.0) -> Person:
    """Return one person at a time in seconds."""
    return person(pose(time, motion, x=x), id)


def film(
    scene: Scene, rate: float = 30.0, seconds: float = 2.0, jitter: float = 0.0,
) -> list[Frame]:
    """Return stamped frames of a scene."""
    return [(stamp, scene(stamp / SECOND)) for stamp in stamps(rate, seconds, jitter)]


def play(
    recognizer: ActionRecognizer, frames: Sequence[Frame], layout: str = 'coco17',
) -> list[list[Action]]:
    """Return the answer to each frame; there must be one."""
    answers = []
    for stamp, persons in frames:
        answer = recognizer.update(stamp, persons, layout)
        assert answer is not None
        answers.append(answer)
    return answers


def assert_same(actual: Sequence[Action], expected: Sequence[Action]) -> None:
    """Check that actions are equal but for rounding in batches of another size."""
    assert [a.person_id for a in actual] == [e.person_id for e in expected]
    for a, e in zip(actual, expected, strict=True):
        for item in dataclasses.fields(Action):
            mine, wanted = getattr(a, item.name), getattr(e, item.name)
            if isinstance(wanted, (float, np.ndarray)):
                np.testing.assert_allclose(mine, wanted, atol=1e-5)
            else:
                assert mine == wanted, item.name
