"""markers_node over real DDS: people as RViz shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')
pytest.importorskip('visualization_msgs')

from geometry_msgs.msg import Point
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data
from robot import frame, walker
from ros_harness import ROOT, Peer, Process, bench
from sensor_msgs.msg import CameraInfo
from visualization_msgs.msg import Marker, MarkerArray

from act_ros.core.person import Person
from act_ros.core.place import Camera
from act_ros.core.skeletons import get_layout
from act_ros.msg import Action, ActionArray, KeypointArray


class Viewer:
    """A running markers_node, and what it is told and shows."""

    def __init__(self, peer: Peer, node: Process) -> None:
        self.peer, self.node = peer, node
        self.keypoints = peer.publisher(KeypointArray, '/keypoints')
        self.actions = peer.publisher(ActionArray, '/actions')
        self.camera = peer.publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        self.heard: list[MarkerArray] = []

    def look(self) -> None:
        """Begin to subscribe."""
        self.heard = self.peer.listen(MarkerArray, '/markers_node/markers')
        self.peer.wait_for_publisher('/markers_node/markers')

    def show(self, msg: KeypointArray) -> list[Marker]:
        """Publish keypoints until their markers come, and return those."""
        def shown() -> bool:
            return bool(self.heard) and self.heard[-1].markers[0].header == msg.header

        while not shown():  # the node may not have discovered this subscriber yet
            self.keypoints.publish(msg)
            self.peer.executor.spin_once(timeout_sec=0.2)
            assert self.node.is_alive(), self.node.log
        markers = list(self.heard[-1].markers)
        assert all(m.header == msg.header for m in markers)
        assert markers[0].action == Marker.DELETEALL
        return markers[1:]


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    """Yield a running markers_node."""
    with bench(tmp_path) as made:
        yield Viewer(made.peer, made.start('markers_node', {'distance': 4.0}))


def coordinates(points: list[Point]) -> np.ndarray:
    """Return points as an array (n, 3)."""
    return np.array([(p.x, p.y, p.z) for p in points], float)


def told(msg: KeypointArray, **who: str) -> ActionArray:
    """Return answers to keypoints: everybody by name is recognized."""
    return ActionArray(header=msg.header, actions=[
        Action(person_id=id, status=Action.RECOGNIZED, label=label, confidence=0.93)
        for id, label in who.items()])


def test_people_stand_before_the_camera_with_their_actions(viewer: Viewer) -> None:
    """Bones, joints and a caption each, where the camera sees them."""
    viewer.look()
    msg = frame(0, [walker(0), walker(0, 'p2', 'wave', 120.0)])
    viewer.show(msg)
    viewer.actions.publish(told(msg, p1='walk'))
    frames = (frame(i, [walker(2), walker(2, 'p2', 'wave', 120.0)]) for i in count(1))
    viewer.peer.wait(lambda: any(
        m.text == 'p1 walk 93%' for m in viewer.show(next(frames))), 'a caption')

    msg = next(frames)
    markers = viewer.show(msg)
    assert [(m.ns, m.id, m.type) for m in markers] == [
        ('bones', 0, Marker.LINE_LIST), ('joints', 0, Marker.SPHERE_LIST),
        ('captions', 0, Marker.TEXT_VIEW_FACING), ('bones', 1, Marker.LINE_LIST),
        ('joints', 1, Marker.SPHERE_LIST), ('captions', 1, Marker.TEXT_VIEW_FACING)]
    assert [m.text for m in markers if m.text] == ['p1 walk 93%', 'p2']
    assert all(m.color.a == 1.0 and m.lifetime.sec == 1 for m in markers)
    assert markers[0].color != markers[3].color
    # 60 degrees: half of 640 pixels at 4 m is 4 m * tan(30 degrees).
    metre = 4 * np.tan(np.radians(30)) / 320
    pixels = walker(2).keypoints[:, :2].astype(float)
    expected = np.column_stack(((pixels - (320, 240)) * metre, np.full(17, 4.0)))
    assert np.allclose(coordinates(markers[1].points), expected, atol=1e-5)
    ends = [i for edge in get_layout('coco17').edges for i in edge]
    assert np.allclose(coordinates(markers[0].points), expected[ends], atol=1e-5)
    label = markers[2].pose.position
    assert label.y < expected[:, 1].min() and label.z == 4.0  # y points down

    # The camera's own calibration, made at twice the size.
    info = CameraInfo(width=1280, height=960)
    info.k = np.array([800.0, 0, 660, 0, 900, 500, 0, 0, 1])
    viewer.camera.publish(info)
    expected[:, :2] = (pixels - (330, 250)) / (400, 450) * 4
    viewer.peer.wait(lambda: np.allclose(
        coordinates(viewer.show(next(frames))[1].points), expected, atol=1e-5), 'the calibration')
    # Where the answers say that he is, who was measured.
    answers = told(msg, p1='walk')
    answers.actions[0].place, answers.actions[0].position.z = Action.MEASURED, 2.0
    viewer.actions.publish(answers)
    viewer.peer.wait(lambda: np.allclose(
        coordinates(viewer.show(next(frames))[1].points), expected / 2, atol=1e-5), 'the place')
    assert viewer.show(next(frames))[5].pose.position.z == 4.0
    # Another time (a bag has jumped): its answers are not these people's.
    assert [m.text for m in viewer.show(frame(900, [walker(900)])) if m.text] == ['p1']


def test_who_is_answered_and_not_looked_at_keeps_a_box_and_the_caption(viewer: Viewer) -> None:
    """With several people not all are in every message of pose_node; captions must not blink."""
    viewer.look()
    viewer.show(frame(0, [walker(0), walker(0, 'p2', x=120.0)]))
    answers = told(frame(0, []), p1='walk', p2='walk', p3='walk')
    for action in answers.actions:
        box = action.box
        box.x_min, box.y_min, box.x_max, box.y_max = 100.0, 100.0, 200.0, 400.0
    answers.actions[2].status = Action.LOST
    viewer.actions.publish(answers)
    frames = (frame(i, [walker(1)]) for i in count(1))
    viewer.peer.wait(lambda: len(viewer.show(next(frames))) > 3, 'a box')
    markers = viewer.show(next(frames))
    assert [(m.ns, m.id) for m in markers] == [
        ('bones', 0), ('joints', 0), ('captions', 0), ('bones', 2), ('captions', 2)]
    assert [m.text for m in markers if m.text] == ['p1 walk 93%', 'p2 walk 93%']
    metre = 4 * np.tan(np.radians(30)) / 320
    corners = coordinates(markers[3].points)
    assert np.allclose(corners.min(axis=0), (-220 * metre, -140 * metre, 4.0), atol=1e-5)
    assert np.allclose(corners.max(axis=0), (-120 * metre, 160 * metre, 4.0), atol=1e-5)
    assert markers[4].pose.position.x == pytest.approx(-170 * metre, abs=1e-5)


def test_what_is_not_seen_is_not_shown(viewer: Viewer) -> None:
    """Weak and broken keypoints, nobody, and a layout that nobody knows."""
    viewer.keypoints.publish(frame(0, [walker(0)], layout='octopus'))
    assert viewer.keypoints.wait_for_all_acked(Duration(seconds=30))
    long_taken = time.monotonic() + 0.5
    while time.monotonic() < long_taken:
        viewer.peer.executor.spin_once(timeout_sec=0.05)
    viewer.look()
    sick = walker(1).keypoints.copy()
    sick[0, 2], sick[1, 0], sick[2, 1] = 0.1, np.nan, np.inf
    good, spoiled = walker(1, 'p2'), walker(1)
    empty = Person(np.zeros((0, 3), np.float32), 0.5, spoiled.box, 'p3')
    markers = viewer.show(frame(1, [
        Person(sick, 0.9, np.full(4, np.nan, np.float32), 'p1'), good, empty]))
    assert [(m.ns, m.id) for m in markers] == [
        (ns, id) for id in (0, 1) for ns in ('bones', 'joints', 'captions')]
    assert len(markers[1].points) == 14 and len(markers[4].points) == 17
    assert np.isfinite(coordinates(markers[0].points)).all()
    assert viewer.show(frame(2, [])) == []
    # Nobody looked at the first frame, so nothing was made of it.
    assert 'octopus' not in viewer.node.log
    viewer.keypoints.publish(frame(3, [walker(3)], layout='octopus'))
    viewer.peer.wait(lambda: "unknown keypoint layout 'octopus'" in viewer.node.log, 'an error')
    assert len(viewer.show(frame(4, [walker(4)]))) == 3
    assert viewer.node.stop() == 0


def test_images_of_an_unknown_size_need_a_calibration(viewer: Viewer) -> None:
    """As yolo_ros sends them without masks: pixels alone are no directions."""
    viewer.look()
    viewer.show(frame(0, []))  # it knows whom to show to
    unknown = frame(1, [walker(1)])
    unknown.image_width = unknown.image_height = 0
    viewer.keypoints.publish(unknown)
    viewer.peer.wait(lambda: 'size of the images is not known' in viewer.node.log, 'an error')
    assert len(viewer.heard[-1].markers) == 1  # of nobody
    k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]

    def calibrate() -> None:
        viewer.camera.publish(CameraInfo(width=640, height=480, k=k))
        viewer.keypoints.publish(unknown)

    viewer.peer.insist(calibrate, lambda: len(viewer.heard[-1].markers) == 4, 'markers')


def test_image_plane() -> None:
    """The image's edges lie at the field of view's, and no calibration is said to be none."""
    plane = Camera.of_view(640, 480, 90.0)
    corners = plane.points(np.array([[0, 0], [320, 240], [640, 480]]), 2.0)
    assert np.allclose(corners, np.array([[-2, -1.5, 2], [0, 0, 2], [2, 1.5, 2]]))
    assert Camera.of_info(CameraInfo(width=640, height=480)) is None
    matrix = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    assert Camera.of_info(CameraInfo(width=640, height=480, k=matrix), 320) == Camera(
        250, 255, 160, 120)
    assert np.isfinite(Camera.of_view(0, 0, 60.0).points(np.ones((3, 2)), 1.0)).all()


def topics_of(tree: Any) -> set[str]:
    """Return every string in a layout file that is the name of a topic of ours."""
    if isinstance(tree, dict):
        return set().union(*map(topics_of, [*tree.keys(), *tree.values()]))
    if isinstance(tree, list):
        return set().union(*map(topics_of, tree))
    nodes = ('/markers_node/', '/pose_node/', '/act_node/', '/actions')
    return {tree.split('.')[0]} if isinstance(tree, str) and tree.startswith(nodes) else set()


@pytest.mark.parametrize('name', ['act.rviz', 'act.foxglove.json'])
def test_the_layout_files_show_our_topics(name: str) -> None:
    """They parse, and name topics that the nodes publish."""
    tree = yaml.safe_load((ROOT / 'config' / name).read_text(encoding='utf-8'))
    topics = topics_of(tree)
    assert {'/markers_node/markers', '/pose_node/annotated'} <= topics
    assert topics <= {'/markers_node/markers', '/pose_node/annotated', '/pose_node/keypoints',
                      '/act_node/labels', '/actions'}


def test_the_rviz_layout_names_the_markers_and_looks_along_the_optical_axis() -> None:
    manager = yaml.safe_load((ROOT / 'config' / 'act.rviz').read_text())['Visualization Manager']
    shown = {display['Class']: display for display in manager['Displays']}
    assert set(shown['rviz_default_plugins/MarkerArray']['Namespaces']) == {
        'bones', 'joints', 'captions'}
    # RViz turns a robot's view (along x, z up) by yaw about z, then by pitch about y.
    view = manager['Views']['Current']
    yaw, pitch = view['Yaw'], view['Pitch']
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    up = np.array([np.cos(yaw) * np.sin(pitch), np.sin(yaw) * np.sin(pitch), np.cos(pitch)])
    assert np.allclose([ahead, up], [(0, 0, 1), (0, -1, 0)], atol=2e-3)
    assert abs(pitch) < np.pi / 2 - 0.001 + 1e-6  # RViz cuts off what is steeper


# What the settings of a panel must hold, by the types of Foxglove Studio 1.48, the last one open.
PANELS = {
    '3D': {'cameraState', 'followMode', 'followTf', 'layers', 'scene', 'topics', 'transforms'},
    'DiagnosticSummary': {'hardwareIdFilter', 'minLevel', 'pinnedIds', 'topicToRender'},
    'Image': {'imageMode'},
    'Plot': {
        'isSynced', 'legendDisplay', 'paths', 'showLegend', 'showPlotValuesInLegend',
        'showXAxisLabels', 'showYAxisLabels', 'sidebarDimension', 'xAxisVal'},
    'RawMessages': {
        'diffEnabled', 'diffMethod', 'diffTopicPath', 'showFullMessageForDiff', 'topicPath'},
    'StateTransitions': {'isSynced', 'paths'},
}


def test_the_foxglove_layout_places_every_panel() -> None:
    tree = json.loads((ROOT / 'config' / 'act.foxglove.json').read_text())

    def panels(place: Any) -> list[str]:
        return [place] if isinstance(place, str) else [
            *panels(place['first']), *panels(place['second'])]

    assert sorted(panels(tree['layout'])) == sorted(tree['configById'])
    for name, settings in tree['configById'].items():
        assert PANELS[name.partition('!')[0]] <= set(settings), name
    camera = tree['configById']['3D!people']['cameraState']
    # Seen straight from behind: at the very pole the turn about the axis would be undefined.
    assert 179 < camera['phi'] < 180 and camera['thetaOffset'] == 0
