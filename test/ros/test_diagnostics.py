"""/diagnostics of real nodes: level, figures, and what an operator must be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import Robot, frame, walker
from ros_harness import ROOT, Peer, bench
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from act_ros.actions.bundle import load_bundle
from act_ros.actions.classifier import CAUSES
from act_ros.ros.images import bgr_to_image
from act_ros.srv import LoadBundle

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Operator:
    """Somebody who watches /diagnostics."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._heard: list[DiagnosticArray] = peer.listen(DiagnosticArray, '/diagnostics')

    def wait(
        self, name: str, level: bytes | None, message: str, do: Callable[[], None] = lambda: None,
    ) -> dict[str, str]:
        """Do something again and again until a status says this; return its values."""
        self._heard.clear()

        def told() -> list[Any]:
            return [s for m in self._heard for s in m.status
                    if s.name == name and level in (None, s.level) and message in s.message]

        self._peer.insist(do, lambda: bool(told()), f'{name} saying {message!r}')
        return {item.key: item.value for item in told()[-1].values}


def test_act_node_tells_how_it_is(tmp_path: Path, tiny_bundle: Path) -> None:
    """Silence, answers of another time, that all is well, a bundle refused, and its life cycle."""
    with bench(tmp_path) as made:
        peer, actions = made.peer, 'act_node: actions'
        operator = Operator(peer)
        robot = Robot(made, made.start(
            'act_node', {'bundle': str(tiny_bundle), 'diagnostics.max_age': 60.0}))
        assert operator.wait('act_node: life cycle', OK, 'active') == {'state': 'active'}
        values = operator.wait(actions, WARN, 'nothing on /keypoints for')
        assert values['action model'] == 'tiny'
        assert values['action model SHA-256'] == load_bundle(tiny_bundle)[0].sha256

        index = iter(range(10_000))
        operator.wait(actions, WARN, 'answers are stale', lambda: robot.keypoints.publish(
            frame(next(index), [])))

        def walk() -> None:
            """Show two people now, in a frame that is sent twice."""
            msg = frame(0, [walker(0), walker(0, 'p2')])
            msg.header.stamp = peer.node.get_clock().now().to_msg()
            robot.keypoints.publish(msg)
            robot.keypoints.publish(msg)

        values = operator.wait(actions, OK, 'answers a second', walk)
        assert values['persons'] == '2' and values['input'] == '/keypoints'
        assert int(values['dropped: late or repeated stamp']) > 0
        assert 0 < float(values['recognition, mean (ms)']) <= float(values['recognition, p99 (ms)'])
        assert 0 < float(values['input rate (Hz)']) and values['last error'] == 'none'
        assert set(values) > {f'unknown: {cause}' for cause in CAUSES}

        assert not peer.call(
            LoadBundle, '/act_node/load_bundle', LoadBundle.Request(bundle='no_such')).success
        values = operator.wait(actions, WARN, "cannot load the bundle: no model 'no_such'", walk)
        assert "no model 'no_such'" in values['last error'] and values['action model'] == 'tiny'

        def change(transition: str) -> bool:
            return bool(peer.call(ChangeState, '/act_node/change_state', ChangeState.Request(
                transition=Transition(label=transition))).success)

        assert change('deactivate')
        operator.wait('act_node: life cycle', OK, 'inactive')
        assert change('cleanup')
        assert peer.call(SetParameters, '/act_node/set_parameters', SetParameters.Request(
            parameters=[Parameter('bundle', value='no_such').to_parameter_msg()])
        ).results[0].successful
        assert not change('configure')
        values = operator.wait(
            'act_node: life cycle', ERROR, "cannot configure: no model 'no_such'")
        assert values == {'state': 'unconfigured'}


def test_pose_node_tells_what_it_looked_at(tmp_path: Path) -> None:
    """The network, its times, and images that could not be read."""
    with bench(tmp_path) as made:
        operator = Operator(made.peer)
        made.start('pose_node', {'reliability': 'reliable', 'max_rate': 1.0,
                                 'diagnostics.max_age': 60.0})
        images = made.peer.publisher(Image, '/image')

        def show(encoding: str = 'bgr8') -> None:
            """Show a grey image of now."""
            image = bgr_to_image(np.full((48, 64, 3), 127, np.uint8), Header())
            image.header.stamp = made.peer.node.get_clock().now().to_msg()
            image.encoding = encoding
            images.publish(image)

        operator.wait('pose_node: images', WARN, "encoding 'nonsense'", lambda: show('nonsense'))
        values = operator.wait('pose_node: images', WARN, 'nonsense', show)
        assert int(values['dropped: unreadable image']) > 0

        while not values.get('pose network and tracker, mean (ms)'):
            values = operator.wait('pose_node: images', None, '', show)
        assert values['pose model'] == 'balanced'
        digests = values['pose model SHA-256'].split()  # of both networks
        assert [len(digest) for digest in digests] == [64, 64] and values['persons'] == '0'
        assert values['brightness of images (0 to 255)'] == '127'
        assert int(values['dropped: above max_rate']) > 0


def test_a_video_is_a_source_like_a_camera(tmp_path: Path) -> None:
    """pipeline_node tells of both networks."""
    clip = ROOT / 'media' / 'demo.mp4'
    with bench(tmp_path) as made:
        operator = Operator(made.peer)
        made.start('pipeline_node', {'source': str(clip), 'loop': True,
                                     'diagnostics.max_age': 60.0})
        values: dict[str, str] = {}
        while not values.get('recognition, mean (ms)'):  # at first there are 0 answers a second
            values = operator.wait('pipeline_node: images', OK, 'answers a second')
        assert values['input'] == str(clip) and values['action model'] == 'act_mu'
        assert float(values['pose network and tracker, mean (ms)']) > 0
        assert float(values['recognition, mean (ms)']) > 0
