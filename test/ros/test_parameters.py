"""Parameters of running nodes, over real DDS: what changes at once, and what is refused and why."""

from __future__ import annotations

import os
import resource
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter
from robot import Robot, frame, walker
from ros_harness import Peer, bench
from sensor_msgs.msg import Image
from synthetic import LABELS, bundle_of, tiny_model
from visualization_msgs.msg import MarkerArray

from act_ros.actions.bundle import save_bundle
from act_ros.msg import Action, ActionLabels, KeypointArray
from act_ros.ros.signals import CANNOT_START
from act_ros.ros.topics import LATCHED
from act_ros.srv import LoadBundle
from act_ros.tflite.runtime import LARGEST


def change(peer: Peer, node: str, **values: Any) -> str:
    """Set parameters in one go (``__`` for a dot); return why that was refused, or nothing."""
    parameters = [Parameter(name.replace('__', '.'), value=value).to_parameter_msg()
                  for name, value in values.items()]
    result = peer.call(
        SetParametersAtomically, f'/{node}/set_parameters_atomically',
        SetParametersAtomically.Request(parameters=parameters)).result
    assert result.successful != bool(result.reason)
    return str(result.reason)


def read(peer: Peer, node: str, *names: str) -> list[Any]:
    """Return the values of parameters."""
    values = peer.call(GetParameters, f'/{node}/get_parameters',
                       GetParameters.Request(names=list(names))).values
    return [Parameter.from_parameter_msg(_named(value)).value for value in values]


def _named(value: Any) -> Any:
    message = Parameter('x', value=0).to_parameter_msg()
    message.value = value
    return message


class Walk:
    """Somebody who walks on and on before an act_node."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.index = robot, 0

    def go(self, frames: int = 1) -> Action:
        """Walk some frames; return the last answer."""
        for _ in range(frames):
            answer = self.robot.ask(frame(self.index, [walker(self.index)]))
            self.index += 1
        action, = answer.actions
        return action

    def load(self, bundle: object) -> Any:
        """Call `~/load_bundle`."""
        return self.robot.peer.call(
            LoadBundle, '/act_node/load_bundle', LoadBundle.Request(bundle=str(bundle)))


@pytest.fixture(scope='module')
def walk(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Walk]:
    """Yield somebody before an act_node with the tiny bundle, the window full."""
    with bench(tmp_path_factory.mktemp('walk')) as made:
        made_walk = Walk(Robot(made, made.start('act_node', {'bundle': str(tiny_bundle)})))
        assert made_walk.go(40).status == Action.RECOGNIZED
        yield made_walk


def test_thresholds_change_at_once(walk: Walk) -> None:
    """The next answer obeys, and the window is still full."""
    peer = walk.robot.peer
    assert change(peer, 'act_node', decision__threshold=1.0, decision__hysteresis=0.0) == ''
    action = walk.go()
    assert (action.status, action.frames) == (Action.UNKNOWN, 30)
    assert change(peer, 'act_node', decision__threshold=0.0, window__max_gap=0.3) == ''
    action = walk.go()
    assert (action.status, action.label, action.frames) == (Action.RECOGNIZED, 'walk', 30)
    walk.index += 12
    for _ in range(2):  # lost to the gap
        walk.robot.keypoints.publish(frame(walk.index, [walker(walk.index)]))
        walk.index += 1
    assert walk.go().status == Action.BUFFERING, 'a gap of 0.4 s is too long now'
    assert walk.go(40).status == Action.RECOGNIZED


def test_an_integer_is_a_float_where_one_is_meant(tmp_path: Path) -> None:
    """In a parameter file, and while the node runs; names that nobody has are told."""
    file = tmp_path / 'params.yaml'
    file.write_text("""markers_node:
  ros__parameters:
    distance: 3
    feild_of_view: 90.0
    robot_name: anna
""")
    with bench(tmp_path) as made:
        node = made.start('markers_node', raw=['--params-file', str(file)])
        assert read(made.peer, 'markers_node', 'distance', 'field_of_view') == [3.0, 60.0]
        assert ('there is no parameter feild_of_view, which does not count; did you mean '
                'field_of_view?') in node.log
        assert 'robot_name' not in node.log
        assert change(made.peer, 'markers_node', distance=5) == ''
        distance, = read(made.peer, 'markers_node', 'distance')
        assert (distance, type(distance)) == (5.0, float)
        assert 'distance' in change(made.peer, 'markers_node', distance=500)


def test_an_empty_list_is_what_is_without_one(tmp_path: Path, tiny_bundle: Path) -> None:
    """In a parameter file, where it is nothing to rclpy, and live, where it is one of booleans."""
    file = tmp_path / 'params.yaml'
    file.write_text(f"""pipeline_node:
  ros__parameters:
    bundle: {tiny_bundle}
    labels: []
    providers: []
    cameras: []
    rotations: []
    decision: {{alike: []}}
""")
    with bench(tmp_path) as made:
        made.start('pipeline_node', raw=['--params-file', str(file)])
        assert read(made.peer, 'pipeline_node', 'labels', 'providers', 'cameras', 'rotations',
                    'decision.alike') == [[''], [''], [''], array('q', [-1]), ['']]
        for kind in (Parameter.Type.BOOL_ARRAY, Parameter.Type.INTEGER_ARRAY):
            assert change(made.peer, 'pipeline_node', decision__alike=['walk', 'wave']) == ''
            empty = Parameter('decision.alike', kind, []).to_parameter_msg()
            result, = made.peer.call(
                SetParameters, '/pipeline_node/set_parameters',
                SetParameters.Request(parameters=[empty])).results
            assert result.successful, result.reason
            assert read(made.peer, 'pipeline_node', 'decision.alike') == [['']]


def test_an_integer_is_a_text_where_one_is_meant(tmp_path: Path) -> None:
    """Such as the number of a device; no other value is."""
    with bench(tmp_path) as made:
        node = made.start('video_node', raw=['-p', 'source:=973'])
        assert node.wait() == CANNOT_START and '973 cannot be opened' in node.log
        node = made.start('video_node', raw=['-p', 'source:=1.5'])
        assert node.wait() == CANNOT_START and 'STRING' in node.log


@pytest.mark.parametrize(('values', 'reason'), [
    ({'decision__smoothing': 1.0, 'decision__hysteresis': 0.9}, 'decision.hysteresis'),
    ({'decision__smoothing': 1.0, 'window__max_gap': float('nan')}, 'window.max_gap'),
    ({'decision__smoothing': 1.0, 'window__max_persons': 2.5}, 'expected'),
    ({'decision__smoothing': 1.0, 'bundle': 'act_mu'}, 'bundle can be changed only while the node '
                                                       'is unconfigured'),
    ({'decision__smoothing': 1.0, 'no_such': 1}, 'undeclared parameter(s): no_such'),
    ({'decision__smoothing': 1.0, 'decision__treshold': 0.5},
     'decision.treshold; did you mean decision.threshold?'),
    ({'decision__smoothing': 1.0, 'decision__alike': ['walk', 'wlak']},
     'alike: wlak not among the labels of model'),
])
def test_one_bad_value_refuses_the_whole_set(
    walk: Walk, values: dict[str, Any], reason: str,
) -> None:
    """With the reason, and nothing has changed."""
    before = read(walk.robot.peer, 'act_node', 'decision.smoothing', 'bundle')
    assert reason in change(walk.robot.peer, 'act_node', **values)
    assert read(walk.robot.peer, 'act_node', 'decision.smoothing', 'bundle') == before
    assert walk.go().status == Action.RECOGNIZED


def test_what_is_fixed_says_so(walk: Walk) -> None:
    """The descriptors tell which parameters can be changed when."""
    gap, bundle = walk.robot.peer.call(
        DescribeParameters, '/act_node/describe_parameters',
        DescribeParameters.Request(names=['window.max_gap', 'bundle'])).descriptors
    assert not gap.read_only and gap.additional_constraints == ''
    assert 'only while the node is unconfigured' in bundle.additional_constraints
    result, = walk.robot.peer.call(SetParameters, '/act_node/set_parameters', SetParameters.Request(
        parameters=[Parameter('act_threads', value=2).to_parameter_msg()])).results
    assert not result.successful and 'act_threads' in result.reason


def test_a_bundle_is_swapped_without_losing_anybody(walk: Walk, tmp_path: Path) -> None:
    """Other labels at another rate, from the poses at hand; and back."""
    labels: list[ActionLabels] = walk.robot.peer.listen(
        ActionLabels, '/act_node/labels', LATCHED)
    tiny, = read(walk.robot.peer, 'act_node', 'bundle')
    other = save_bundle(tmp_path, bundle_of(
        name='other', labels=('rest', 'go', 'hail'), frame_rate=15.0), tiny_model())
    reply = walk.load(other)
    assert reply.success and 'other is in use' in reply.message
    action = walk.go()
    assert (action.status, action.label, action.frames) == (Action.RECOGNIZED, 'go', 16)
    assert walk.robot.heard[-1].model == 'other'
    assert read(walk.robot.peer, 'act_node', 'bundle') == [str(other)]
    assert 'only while the node is unconfigured' in change(
        walk.robot.peer, 'act_node', bundle='act_mu')
    walk.robot.peer.wait(lambda: 'other' in [m.model for m in labels], 'the new labels')
    assert walk.load(tiny).success
    action = walk.go(20)
    assert (action.status, action.label, action.frames) == (Action.RECOGNIZED, 'walk', 30)
    walk.robot.peer.wait(lambda: tuple(labels[-1].labels) == LABELS, 'the old labels')


def test_frames_are_answered_while_a_bundle_is_loaded(walk: Walk) -> None:
    """A model of a real size takes a second; whoever walks is watched meanwhile."""
    tiny, = read(walk.robot.peer, 'act_node', 'bundle')
    client = walk.robot.peer.node.create_client(LoadBundle, '/act_node/load_bundle')
    walk.robot.peer.wait(client.service_is_ready, 'the service')
    models = []
    for _ in range(3):
        future = client.call_async(LoadBundle.Request(bundle='act_mu'))
        while not future.done():
            walk.go()
            models.append(walk.robot.heard[-1].model)
        assert future.result().success
        assert walk.load(tiny).success
    walk.go(40)
    # If the thread that answers loaded it, one frame at most would be answered before each.
    assert models.count('tiny') > 3


@pytest.mark.parametrize(('bad', 'reason'), [
    ('no_such_bundle', "no model 'no_such_bundle'"), ('cut.tflite', 'does not belong to'),
    ('lonely.tflite', 'does not exist'), ('', '')])
def test_a_bad_bundle_leaves_the_old_one_in_use(
    walk: Walk, tmp_path: Path, tiny_bundle: Path, bad: str, reason: str,
) -> None:
    """The reply says why; the next answer comes from the old model's full window."""
    model = tiny_bundle.read_bytes()
    (tmp_path / 'cut.tflite').write_bytes(model[:-100])
    (tmp_path / 'cut.yaml').write_text(tiny_bundle.with_suffix('.yaml').read_text())
    (tmp_path / 'lonely.tflite').write_bytes(model)
    reply = walk.load(tmp_path / bad if bad.endswith('.tflite') else bad)
    assert not reply.success
    assert 'tiny stays in use' in reply.message and reason in reply.message
    action = walk.go()
    assert (action.status, action.label, action.frames) == (Action.RECOGNIZED, 'walk', 30)
    assert read(walk.robot.peer, 'act_node', 'bundle') == [str(tiny_bundle)]


def test_a_bundle_for_which_there_is_no_memory_leaves_the_old_one_in_use(
    walk: Walk, tmp_path: Path, tiny_bundle: Path,
) -> None:
    """As large as any may be, of nothing, while the node may grow by less."""
    (tmp_path / 'huge.yaml').write_text(tiny_bundle.with_suffix('.yaml').read_text())
    (tmp_path / 'huge.tflite').touch()
    os.truncate(tmp_path / 'huge.tflite', LARGEST)
    node = walk.robot.node.popen.pid
    used = int(Path(f'/proc/{node}/statm').read_text().split()[0]) * resource.getpagesize()
    limits = resource.prlimit(node, resource.RLIMIT_AS)
    resource.prlimit(node, resource.RLIMIT_AS, (used + 3 * LARGEST // 4, limits[1]))
    try:
        reply = walk.load(tmp_path / 'huge.tflite')
    finally:
        resource.prlimit(node, resource.RLIMIT_AS, limits)
    assert not reply.success and reply.message == 'tiny stays in use: MemoryError()'
    assert walk.go().label == 'walk'


def test_pose_parameters_change_at_once(tmp_path: Path) -> None:
    """How sure a person must be, how often is looked, and what is drawn."""
    from camera import clip, encoded

    image = clip(12)[-1]
    with bench(tmp_path) as made:
        peer = made.peer
        made.start('pose_node', {'reliability': 'reliable', 'tracker.min_hits': 1})
        heard: list[KeypointArray] = peer.listen(KeypointArray, '/pose_node/keypoints')
        drawn: list[Image] = peer.listen(Image, '/pose_node/annotated')
        images = peer.publisher(Image, '/image', 5)
        index = iter(range(100_000))

        def look(step: int = 1) -> KeypointArray:
            """Show the image again, some frames later, until there is an answer."""
            heard.clear()

            def show() -> None:
                for _ in range(step):
                    number = next(index)
                images.publish(encoded(image, 'bgr8', number))

            peer.insist(show, lambda: bool(heard), 'keypoints')
            return heard[-1]

        assert len(look().persons) == 1
        assert change(peer, 'pose_node', score_threshold=1.0) == ''
        assert not look().persons
        assert change(peer, 'pose_node', score_threshold=0.2) == ''
        assert [p.id for p in look().persons] == ['p1'], 'the tracker has forgotten nobody'
        assert 'tracker.max_age' in change(peer, 'pose_node', tracker__max_age=-1.0)

        def newest() -> np.ndarray:
            """Return an annotated image of an image shown from now on."""
            drawn.clear()
            while not drawn:
                look()
            return np.asarray(drawn[-1].data).reshape(image.shape)

        newest()
        assert np.any(newest() != image)
        assert change(
            peer, 'pose_node', drawing__captions=False, drawing__min_score=1.0) == ''
        assert np.array_equal(newest(), image)

        assert change(peer, 'pose_node', max_rate=2.0) == ''
        stamps = []
        for _ in range(6):
            stamp = look(step=3).header.stamp
            stamps.append(stamp.sec + stamp.nanosec * 1e-9)
        assert np.diff(stamps).min() > 0.3


def test_markers_parameters_change_at_once(tmp_path: Path) -> None:
    """The plane moves while somebody looks."""
    with bench(tmp_path) as made:
        made.start('markers_node')
        heard: list[MarkerArray] = made.peer.listen(MarkerArray, '/markers_node/markers')
        keypoints = made.peer.publisher(KeypointArray, '/keypoints')
        assert made.peer.node.count_publishers('/actions') == 0
        for distance in (2.0, 5.0):
            assert change(made.peer, 'markers_node', distance=distance) == ''
            heard.clear()
            made.peer.insist(lambda: keypoints.publish(frame(0, [walker(0)])),
                             lambda: bool(heard), 'markers')
            assert heard[-1].markers[1].points[0].z == distance
