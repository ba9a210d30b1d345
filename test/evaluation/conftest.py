"""
What the tests of the evaluation share: a recording, its labels, and a function to evaluate.

Imports that need rosbags or scikit-learn come late: without them the tests are skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from act_ros.evaluation.settings import Settings, read_settings


@pytest.fixture(scope='module')
def plan_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag of somebody who follows the plan."""
    from plan import write_plan

    return write_plan(tmp_path_factory.mktemp('bags') / 'plan')


@pytest.fixture(scope='module')
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the plan is, as a labels file."""
    from plan import LABELS

    path = tmp_path_factory.mktemp('labels') / 'plan.csv'
    path.write_text(LABELS)
    return path


@pytest.fixture(scope='module')
def settings(tiny_bundle: Path) -> Settings:
    return read_settings(bundle=str(tiny_bundle))


@pytest.fixture
def run(tmp_path: Path, settings: Settings) -> Any:
    """Return a function that evaluates a bag and returns its summary."""
    from act_ros.evaluation.run import Job, evaluate

    def run(bag: Path, labels: Path | str | None = None, **more: Any) -> dict[str, Any]:
        if isinstance(labels, str):
            path = tmp_path / 'labels.csv'
            path.write_text('start,end,label,person\n' + labels)
            labels = path
        evaluate(Job(bag, tmp_path / 'out', labels, **{'settings': settings, **more}))
        summary: dict[str, Any] = json.loads((tmp_path / 'out' / 'summary.json').read_text())
        return summary

    return run
