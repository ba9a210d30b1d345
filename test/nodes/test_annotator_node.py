"""annotator_node over real DDS: image, keypoints and actions of one stamp become one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import to_actions, to_keypoints, walker
from ros_harness import Bench, Process, bench
from sensor_msgs.msg import Image

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.msg import ActionArray, KeypointArray
from act_ros.pictures.captions import label_colour
from act_ros.pictures.drawing import bgr
from act_ros.ros.images import bgr_to_image, image_to_bgr
from act_ros.ros.topics import to_header

START, FRAME = 1_700_000_000_000_000_000, 33_333_333
NOTHING = np.zeros(0, np.float32)


def frame(number: int, label: str = 'walk') -> Frame:
    """Return somebody in a picture whose grey tells its number."""
    person = walker(number)
    action = Action('p1', Status.RECOGNIZED, label, 0, 0.9, NOTHING, 1.0, 0, 0, 30, person.box,
                    NOTHING)
    return Frame(START + number * FRAME, 'eye', (640, 480), 'coco17', [person], [action],
                 np.full((480, 640, 3), number, np.uint8))


class Viewer:
    """Publishes the parts of frames, and looks at the pictures."""

    def __init__(self, made: Bench, node: Process, topic: str) -> None:
        self.peer, self.node = made.peer, node
        self.drawn: list[Image] = self.peer.listen(Image, topic)

    def publish(self, publisher: Any, message: Any) -> None:
        publisher.publish(message)
        self.peer.executor.spin_once(timeout_sec=0.01)

    def picture(self, number: int) -> np.ndarray | None:
        """Return the picture of a frame, if it has come, (H, W, 3) BGR."""
        header = to_header(frame(number))
        return next((image_to_bgr(m) for m in self.drawn if m.header == header), None)


def test_parts_are_joined_by_their_stamps(tmp_path: Path) -> None:
    """Actions come last or first, and never with another image; then nobody looks any more."""
    with bench(tmp_path) as made:
        node = made.start('annotator_node', {'reliability': 'reliable'})
        peer = made.peer
        peer.wait_for_publisher('/annotator_node/annotated')
        assert peer.node.count_subscribers('/image') == 0, 'nobody looks, but it subscribes'
        viewer = Viewer(made, node, '/annotator_node/annotated')
        publishers = {
            'image': peer.publisher(Image, '/image'),
            'keypoints': peer.publisher(KeypointArray, '/keypoints'),
            'actions': peer.publisher(ActionArray, '/actions')}

        def send(number: int, *parts: str, label: str = 'walk') -> None:
            whole = frame(number, label)
            assert whole.image is not None
            messages = {'image': bgr_to_image(whole.image, to_header(whole)),
                        'keypoints': to_keypoints(whole), 'actions': to_actions(whole, 'tiny')}
            for part in parts:
                viewer.publish(publishers[part], messages[part])

        count = iter(range(10, 100))
        peer.insist(lambda: send(next(count), 'image', 'keypoints', 'actions'),
                    lambda: bool(viewer.drawn), 'a picture')
        send(101, 'actions', 'keypoints', 'image')
        send(102, 'image')
        send(103, 'image')
        send(102, 'keypoints')
        send(102, 'actions', label='run')
        send(103, 'keypoints', 'actions')
        peer.wait(lambda: viewer.picture(103) is not None, 'the last picture')
        pictures = [viewer.picture(number) for number in (101, 102, 103)]
        for number, picture in zip((101, 102, 103), pictures, strict=True):
            assert picture is not None and tuple(picture[0, 0]) == (number,) * 3
            assert np.any(picture != number, axis=-1).sum() > 500, 'nothing was drawn'

        for number, layout in ((110, 'nonsense'), (111, 'body25')):  # and joints that are too few
            odd = frame(number)
            odd.layout = layout
            viewer.publish(publishers['keypoints'], to_keypoints(odd))
            send(number, 'image', 'actions')
        send(112, 'keypoints', 'image', 'actions')
        peer.wait(lambda: viewer.picture(112) is not None, 'a picture after nonsense')
        assert "unknown keypoint layout 'nonsense'" in node.log

        peer.node.destroy_subscription(next(
            s for s in peer.node.subscriptions if 'annotated' in s.topic_name))
        peer.wait(lambda: not any(peer.node.count_subscribers(topic) for topic in (
            '/image', '/keypoints', '/actions')), 'the end of its subscriptions')
        assert node.stop() == 0 and 'Traceback' not in node.log


def test_history_and_what_is_wrong_are_below_the_image(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        node = made.start('annotator_node', {'reliability': 'reliable', 'drawing.history': 5.0})
        peer = made.peer
        peer.wait_for_publisher('/annotator_node/annotated')
        viewer = Viewer(made, node, '/annotator_node/annotated')
        images, keypoints, actions = (peer.publisher(kind, topic) for kind, topic in (
            (Image, '/image'), (KeypointArray, '/keypoints'), (ActionArray, '/actions')))
        count = iter(range(10, 200))

        def send(*statuses: DiagnosticStatus) -> None:
            for status in statuses:
                diagnostics.publish(DiagnosticArray(status=[status]))
            whole = frame(next(count))
            assert whole.image is not None
            images.publish(bgr_to_image(whole.image, to_header(whole)))
            keypoints.publish(to_keypoints(whole))
            actions.publish(to_actions(whole, 'tiny'))

        def strip() -> np.ndarray:
            return image_to_bgr(viewer.drawn[-1])[480:]

        def is_told(label: str) -> bool:
            return bool((strip() == bgr(label_colour(label))).all(axis=-1).any())

        peer.insist(send, lambda: len(viewer.drawn) > 3, 'pictures')
        assert {(m.height > 480, m.width) for m in viewer.drawn} == {(True, 640)}
        peer.insist(send, lambda: is_told('walk'), 'a walk in the history')
        diagnostics = peer.publisher(DiagnosticArray, '/diagnostics')
        line = strip()[-len(strip()) // 6:]
        wrong = DiagnosticStatus(level=DiagnosticStatus.WARN, name='wheel', message='is flat')
        peer.insist(lambda: send(wrong), lambda: bool((strip()[-len(line):] != line).any()),
                    'what is wrong')
        sound = DiagnosticStatus(level=DiagnosticStatus.OK, name='wheel')
        peer.insist(lambda: send(sound), lambda: bool((strip()[-len(line):] == line).all()),
                    'nothing wrong any more')

        def set_history(seconds: float) -> None:
            peer.call(SetParameters, '/annotator_node/set_parameters', SetParameters.Request(
                parameters=[Parameter('drawing.history', value=seconds).to_parameter_msg()]))

        def is_listening() -> bool:
            return peer.node.count_subscribers('/diagnostics') > 0

        set_history(0.0)
        peer.wait(lambda: not is_listening(), 'no ear for what is not drawn')
        set_history(5.0)
        peer.wait(is_listening, 'an ear again')
        peer.node.destroy_subscription(next(
            s for s in peer.node.subscriptions if 'annotated' in s.topic_name))
        peer.wait(lambda: not is_listening(), 'no ear when nobody looks')
        assert node.is_alive() and 'Traceback' not in node.log


def test_pose_node_draws_what_is_said_of_its_image(tmp_path: Path) -> None:
    """Not what was said of an earlier one; it listens to `actions` only while somebody looks."""
    with bench(tmp_path) as made:
        node = made.start('pose_node', {'reliability': 'reliable', 'tracker.min_hits': 1})
        peer = made.peer
        images = peer.publisher(Image, '/image')
        heard: list[KeypointArray] = peer.listen(KeypointArray, '/pose_node/keypoints')
        count = iter(range(10, 100))

        def send(number: int) -> None:
            pixels = frame(number).image
            assert pixels is not None
            images.publish(bgr_to_image(pixels, to_header(frame(number))))

        peer.insist(lambda: send(next(count)), lambda: bool(heard), 'keypoints')
        assert peer.node.count_subscribers('/actions') == 0
        viewer = Viewer(made, node, '/pose_node/annotated')
        peer.insist(lambda: send(next(count)), lambda: bool(viewer.drawn), 'without any actions')
        actions = peer.publisher(ActionArray, '/actions')
        peer.insist(
            lambda: actions.publish(to_actions(frame(1), 'tiny')),
            lambda: peer.node.count_subscribers('/actions') == 1, 'its subscription')
        send(120)
        peer.wait(lambda: heard[-1].header == to_header(frame(120)), 'its keypoints')
        actions.publish(to_actions(frame(120), 'tiny'))
        peer.wait(lambda: viewer.picture(120) is not None, 'its picture')
        assert node.is_alive() and 'Traceback' not in node.log
