"""A recording of one person who follows a plan, its labels, and what an evaluation leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bag_writer import keypoint_array, write_bag
from synthetic import SECOND, person, pose, stamps

from act_ros.core.person import Person

TOPIC = '/pose_node/keypoints'
PLAN = (('standing', 4.0), ('walk', 8.0), ('wave', 12.0))
LABELS = 'start,end,label,person\n0,4,standing,p1\n4,8,walk,p1\n8,12.1,wave,p1\n'


def motion_at(second: float) -> str:
    return next((motion for motion, end in PLAN if second < end), 'wave')


def somebody(second: float, id: str = 'p1', x: float = 320.0) -> Person:
    """Return a person who follows the plan."""
    return person(pose(second, motion_at(second), x=x), id)


def keypoints(stamp: int, *people: Person, header_stamp: int | None = None) -> tuple[str, int, Any]:
    """Return a message for a bag, recorded a little after its stamp."""
    array = keypoint_array(stamp if header_stamp is None else header_stamp, people)
    return TOPIC, stamp + 40_000_000, array


def write_plan(path: Path, storage: str = 'sqlite3', seconds: float = 12.0, **more: Any) -> Path:
    """Write a bag of one person who follows the plan."""
    return write_bag(path, [keypoints(s, somebody((s - SECOND) / SECOND), **more)
                            for s in stamps(20, seconds)], storage)


def frames(folder: Path) -> list[dict[str, Any]]:
    """Return what ``results.jsonl`` holds."""
    return [json.loads(line) for line in (folder / 'results.jsonl').read_text().splitlines()]
