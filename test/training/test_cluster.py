"""Jobs on a Ray cluster, each in a process of its own."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import pytest

from training.cluster import ClusterError, run_jobs


def test_each_job_has_a_process_of_its_own(ray_cluster: str) -> None:
    """Else the memory that TensorFlow does not give back grows from job to job."""
    def job(data: str, number: int) -> tuple[str, int, int]:
        return data, number, os.getpid()

    results = dict(run_jobs(job, {i: ('data', i) for i in range(4)}, {'data': 'x'}, ray_cluster))
    assert {i: result[:2] for i, result in results.items()} == {i: ('x', i) for i in range(4)}
    assert len({process for *_, process in results.values()} - {os.getpid()}) == 4


def test_a_worker_that_dies_is_told_of(ray_cluster: str) -> None:
    def die(_: Any) -> NoReturn:
        os._exit(1)

    with pytest.raises(ClusterError, match='has lost a job'):
        list(run_jobs(die, {'job': (0,)}, {0: 1}, ray_cluster))
