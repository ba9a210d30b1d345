"""Independent jobs one after another here, or at once on a Ray cluster (https://docs.ray.io)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ('act_ros', 'training')

Name = TypeVar('Name')


class ClusterError(RuntimeError):
    """Ray is not installed or its cluster cannot be reached."""


def run_jobs(
    function: Callable[..., Any], jobs: Mapping[Name, tuple[Any, ...]], data: Mapping[Any, Any],
    address: str | None = None, cpus: int = 1,
) -> Iterator[tuple[Name, Any]]:
    """
    Yield the name of every job with its result ``function(data[job[0]], *job[1:])``, once there.

    :param address: a Ray cluster's: ``host:port``, ``auto`` for the one this machine belongs to, or
        ``local`` to start one here. None computes here, in order. Each entry of ``data`` and our
        own packages are sent to the cluster once; its machines need the ``training`` extra only.
    :param cpus: CPUs a job takes on the cluster.
    :raises ClusterError: without Ray or its cluster, or where a worker dies; what a job raises is
        raised here.
    """
    if address is None:
        for name, job in jobs.items():
            yield name, function(data[job[0]], *job[1:])
        return
    try:
        import ray
    except ImportError as error:
        raise ClusterError('--ray needs Ray: pip install "ray>=2.52"') from error
    try:
        host, _, port = address.removeprefix('ray://').rpartition(':')
        if host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        environment = {'py_modules': [str(_ROOT / package) for package in _PACKAGES],
                       'excludes': ['__pycache__']}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR,
                 runtime_env=environment)
    except ray.exceptions.AuthenticationError as error:
        raise ClusterError(
            f'the Ray cluster at {address!r} and this machine have other tokens, or only one '
            f'of them asks for one ({error}); doc/benchmark.md says how they get the same'
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f'no Ray cluster answers at {address!r} ({error}); start one with `ray start --head` '
            f'(the token must be the same as here, see doc/benchmark.md), or use --ray local'
        ) from error
    try:
        # A process for each job: TensorFlow keeps what XLA compiled until its process ends.
        task = ray.remote(num_cpus=cpus, max_calls=1)(function)
        sent = {key: ray.put(value) for key, value in data.items()}
        running = {task.remote(sent[job[0]], *job[1:]): name for name, job in jobs.items()}
        while running:
            done, _ = ray.wait(list(running))
            for reference in done:
                name = running.pop(reference)
                try:
                    yield name, ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from None
                except ray.exceptions.RayError as error:
                    raise ClusterError(f'a machine of the Ray cluster has lost a job, as it does '
                                       f'when memory runs out ({error}); run the same command '
                                       f'again') from error
    finally:
        ray.shutdown()
