"""The policy of SROS 2 allows what the running nodes do, and not a topic or service more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip('rclpy')

from ros_harness import ROOT, Bench, bench
from sensor_msgs.msg import Image

from doc import reference

CLIP = ROOT / 'media' / 'demo.mp4'
POLICY = ROOT / 'config' / 'act.policy.xml'
KINDS = ('publish', 'subscribe', 'reply', 'request')
Rights = dict[str, set[str]]

# Every node in the configurations that together use all of its topics.
CLOCK = {'use_sim_time': True}
HISTORY = {'drawing.history': 5.0}
KEYPOINTS = {'keypoints': 'pose_node/keypoints'}  # as the launch file has it
STARTS: list[tuple[str, dict[str, Any]]] = [
    ('pose_node', HISTORY), ('pose_node', {'transport': 'compressed', **CLOCK}),
    ('act_node', {}), ('act_node', {'place.depth': True, **CLOCK}),
    ('pipeline_node', {'place.depth': True, **HISTORY}),
    ('pipeline_node', {'transport': 'compressed', **CLOCK}),
    ('video_node', {'source': str(CLIP)}),
    ('video_node', {'source': str(CLIP), 'transport': 'compressed', 'pace': 'consumed', **CLOCK}),
    ('annotator_node', HISTORY), ('annotator_node', {'transport': 'compressed', **CLOCK}),
    ('markers_node', {}), ('markers_node', CLOCK),
]
if find_spec('py_trees'):
    STARTS += [('behaviour_demo', {}), ('behaviour_demo', CLOCK)]


def policy() -> dict[str, Rights]:
    """Return what the policy allows each node, names as they are without a namespace."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.get('version')) == ('policy', '0.2.0')
    allowed: dict[str, Rights] = {}
    for enclave in root.findall('enclaves/enclave'):
        (profile,) = enclave.findall('profiles/profile')
        node = profile.get('node', '')
        assert enclave.get('path') == f'/act_ros/{node}' and profile.get('ns') == '/'
        rights: Rights = defaultdict(set)
        for element in profile:
            assert element.tag in ('topics', 'services') and set(element.attrib) <= set(KINDS)
            names = [(entry.text or '').strip() for entry in element]
            # Only topics of ROS4HRI are named after people, who are not known beforehand.
            assert all(name and ('*' not in name or node == 'humans_node') for name in names)
            for kind, value in element.attrib.items():
                assert value == 'ALLOW'
                rights[kind] |= {_resolved(name, node) for name in names}
        allowed[node] = rights
    return allowed


def _resolved(name: str, node: str) -> str:
    return name.replace('~', f'/{node}', 1) if name[0] == '~' else '/' + name.lstrip('/')


def used(made: Bench, node: str, namespace: str) -> Rights:
    """Return what a running node does, by the graph; names as they are without its namespace."""
    questions: dict[str, Callable[[str, str], list[tuple[str, list[str]]]]] = {
        'publish': made.peer.node.get_publisher_names_and_types_by_node,
        'subscribe': made.peer.node.get_subscriber_names_and_types_by_node,
        'reply': made.peer.node.get_service_names_and_types_by_node,
        'request': made.peer.node.get_client_names_and_types_by_node}
    return {kind: {name.removeprefix(namespace) for name, _ in ask(node, namespace)}
            for kind, ask in questions.items()}


def test_every_node_has_its_enclave() -> None:
    """Also those that need packages which are absent here."""
    assert set(policy()) == {*reference.NODES, 'behaviour_demo'}


@pytest.mark.slow
def test_the_policy_is_what_the_nodes_do(tmp_path: Path) -> None:
    """Both ways: a right too few stops a node, one too many is an opening."""
    with bench(tmp_path) as made:
        places = []
        for i, (node, parameters) in enumerate(STARTS):
            places.append((node, f'/n{i}'))
            made.start(node, parameters, KEYPOINTS, raw=['-r', f'__ns:=/n{i}'])
            # These do more while somebody looks.
            if node in ('annotator_node', 'pipeline_node', 'pose_node'):
                made.peer.listen(Image, f'/n{i}/{node}/annotated')

        def graph() -> dict[str, Rights]:
            seen: dict[str, Rights] = defaultdict(lambda: defaultdict(set))
            for node, namespace in places:
                if (node, namespace) in made.peer.node.get_node_names_and_namespaces():
                    for kind, names in used(made, node, namespace).items():
                        seen[node][kind] |= names
            return seen

        def listed(rights: dict[str, Rights]) -> set[str]:
            return {f'{node} may {kind} {name}' for node, of in rights.items()
                    for kind, names in of.items() for name in names}

        expected = {node: rights for node, rights in policy().items()
                if node in {node for node, _ in STARTS}}
        if not find_spec('bond'):
            for rights in expected.values():
                rights['publish'].discard('/bond')
        try:
            made.peer.wait(lambda: listed(graph()) == listed(expected), "the policy's graph", 120)
        except AssertionError:
            assert listed(graph()) == listed(expected)  # says what differs
