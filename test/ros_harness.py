"""Real nodes in processes of their own, and a participant of the test to talk with them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from types import MappingProxyType
from typing import IO, Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from act_ros.ros.fastdds import image_transport_variables
from act_ros.ros.signals import tied_to_us

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 15.0  # seconds that a service may take
START_LIMIT = 40.0  # seconds for whatever has to start first
_claims: dict[int, IO[str]] = {}


def free_domain() -> int:
    """
    Return a ROS domain whose first discovery port nobody on this machine listens to.

    It is claimed until this process ends, or until ``give_back``: another run of the tests at the
    same time, which looks before anybody listens, takes another one.
    """
    for domain in sorted(range(1, 101), key=lambda number: (number - os.getpid()) % 100):
        try:
            claim = open(Path(gettempdir(), f'act_ros_domain_{domain}'), 'w')
        except OSError:  # another user's
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                probe.bind(('', 7400 + 250 * domain + 10))
            except OSError:
                claim.close()
                continue
        _claims[domain] = claim
        return domain
    raise RuntimeError('no free ROS domain')


def give_back(domain: int) -> None:
    """Let others have a domain."""
    _claims.pop(domain).close()


class Peer:
    """The test's own participant: publishes, and remembers what it hears."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node('test_peer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._clients: dict[str, Any] = {}

    def listen(self, kind: type, topic: str, qos: Any = 50) -> list[Any]:
        """Return a list that every message on the topic is appended to."""
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def publisher(self, kind: type, topic: str, qos: Any = 50) -> Any:
        """Return a publisher that somebody already subscribes to."""
        publisher = self.node.create_publisher(kind, topic, qos)
        self.wait(lambda: publisher.get_subscription_count() > 0, f'a subscriber of {topic}')
        return publisher

    def wait_for_publisher(self, topic: str) -> None:
        """Spin until somebody publishes the topic."""
        self.wait(lambda: self.node.count_publishers(topic) > 0, f'a publisher of {topic}')

    def wait(
        self, condition: Callable[[], bool], what: str, limit: float = START_LIMIT,
    ) -> None:
        """Spin until the condition holds; fail after the limit."""
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, f'waited {limit} s in vain for {what}'
            self.executor.spin_once(timeout_sec=0.05)

    def insist(
        self, publish: Callable[[], object], condition: Callable[[], bool], what: str,
    ) -> None:
        """
        Publish again and again until the condition holds.

        A best-effort message may be lost, and one not yet read gives way to a newer one.
        """
        deadline = time.monotonic() + START_LIMIT
        while not condition():
            assert time.monotonic() < deadline, f'waited {START_LIMIT} s in vain for {what}'
            publish()
            pause = time.monotonic() + 0.3
            while not condition() and time.monotonic() < pause:
                self.executor.spin_once(timeout_sec=0.05)

    def greet(self, publish: Callable[[int], Any], heard: list[Any]) -> None:
        """
        Publish until a node answers, so that both sides have surely found each other.

        ``publish(i)`` sends the i-th greeting and returns its header; ``heard`` gets the answers,
        which bear the header of what they answer, and is empty in the end. Before this, a
        node may publish an answer without knowing of the test's subscription.
        """
        sent: list[Any] = []

        def greeted() -> bool:
            return any(m.header == header for m in heard for header in sent)

        self.insist(lambda: sent.append(publish(len(sent))), greeted, 'an answer to a greeting')
        self.wait(lambda: any(m.header == sent[-1] for m in heard), 'the answer to the last one')
        heard.clear()

    def call(self, kind: type, name: str, request: Any) -> Any:
        """
        Return the answer of a service, once there is one of that name.

        The answer of a server that has not discovered this client yet is lost: then ask again.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client, futures = self._clients[name], list[Any]()
        self.wait(client.service_is_ready, f'the service {name}')

        def is_answered() -> bool:
            if time.monotonic() > asked + _PATIENCE * len(futures):
                futures.append(client.call_async(request))
            return any(future.done() for future in futures)

        asked = time.monotonic()
        self.wait(is_answered, f'an answer of {name}')
        return next(future.result() for future in futures if future.done())

    def close(self) -> None:
        """Leave the domain."""
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


class Process:
    """A node in a process; its log goes to a file."""

    def __init__(
        self, name: str, arguments: list[str], domain: int, log: Path,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        environment = {
            **os.environ, **image_transport_variables(os.environ), **variables,
            'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        }
        self._log = log
        room = 'demo' if name == 'behaviour_demo' else 'nodes'  # as the executables do it
        code = f'from act_ros.nodes.__main__ import main; main("{room}.{name}")'
        with log.open('wb') as file:
            self.popen = subprocess.Popen(
                [*tied_to_us(), sys.executable, '-c', code, '--ros-args', *arguments],
                env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent)

    @property
    def log(self) -> str:
        """What the node has said so far."""
        return self._log.read_text(errors='replace')

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.popen.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the node to end and return its exit status."""
        if self.is_alive():
            self.popen.send_signal(how)
        return self.wait(10)

    def wait(self, limit: float = START_LIMIT) -> int:
        """Return the exit status."""
        try:
            return self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise AssertionError(f'the node did not end within {limit} s:\n{self.log}') from None


class Bench:
    """Starts nodes in a domain of the test's own, and stops them."""

    def __init__(self, folder: Path) -> None:
        self.domain = free_domain()
        self.peer = Peer(self.domain)
        self._folder = folder
        self._processes: list[Process] = []

    def start(
        self, name: str, parameters: dict[str, Any] | None = None,
        remappings: dict[str, str] | None = None, raw: Sequence[str] = (),
        log: Path | None = None, variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Process:
        """
        Start a node with parameters, remappings and further ROS arguments.

        :param log: where its words go, if not to a file of the bench.
        :param variables: of its environment.
        """
        arguments = list(raw)
        for key, value in (parameters or {}).items():
            text = f'"{value}"' if isinstance(value, str) else str(value).lower()
            arguments += ['-p', f'{key}:={text}']
        for key, topic in (remappings or {}).items():
            arguments += ['-r', f'{key}:={topic}']
        log = log or self._folder / f'{name}_{len(self._processes)}.log'
        process = Process(name, arguments, self.domain, log, variables)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """
        Stop everything.

        Nodes are asked first: one that is killed while it sends leaves a lock in Fast DDS's shared
        memory, for which those who live may wait without end.
        """
        for process in self._processes:
            process.popen.terminate()
        for process in self._processes:
            try:
                process.popen.wait(5)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait(10)
        self.peer.close()
        give_back(self.domain)
        sweep_shared_memory()


def sweep_shared_memory() -> None:
    """
    Remove Fast DDS's segments of processes that were killed: 35 MB each, until the machine is full.

    Whoever lives holds a lock on the file beside its segment, and takes it as it makes that.
    """
    for lock in Path('/dev/shm').glob('fastrtps_*_el'):
        try:
            with lock.open() as file:
                if time.time() - lock.stat().st_mtime > 1.0:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    lock.with_name(lock.name.removesuffix('_el')).unlink(missing_ok=True)
                    lock.unlink()
        except OSError:  # it is in use, or somebody else's, or gone
            continue


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Yield a bench and clean up after it."""
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.update(image_transport_variables(os.environ))
    made = Bench(folder)
    try:
        yield made
    finally:
        made.close()
