"""The launch file: its arguments, and the real nodes on the real clip."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

launch_pytest = pytest.importorskip('launch_pytest')

import launch  # noqa: E402
import rclpy  # noqa: E402
import yaml  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from robot import frame, walker  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from act_ros.msg import ActionArray, KeypointArray  # noqa: E402
from act_ros.ros.signals import tied_to_us  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILE = ROOT / 'launch/act.launch.py'
PARAMS_FILE = ROOT / 'config/act.yaml'
CLIP = str(ROOT / 'media/demo.mp4')


@pytest.fixture(scope='module', autouse=True)
def installed_package() -> None:
    """Show launch the package in this environment, and nobody else our topics."""
    paths = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    if not any(Path(path, 'share/act_ros/package.xml').is_file() for path in paths if path):
        if not Path(sys.prefix, 'share/act_ros/package.xml').is_file():
            pytest.skip('act_ros is not installed')
        os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join([sys.prefix, *filter(None, paths)])
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


@pytest.fixture(scope='module')
def act_launch() -> ModuleType:
    """Return the launch file as a module."""
    spec = importlib.util.spec_from_file_location('act_launch', LAUNCH_FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(act_launch: ModuleType, **arguments: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return every node's command line, and the parameters that it puts over the file's."""
    context = launch.LaunchContext()
    for declaration in act_launch.ARGUMENTS:
        declaration.visit(context)
    context.launch_configurations.update(params_file=str(PARAMS_FILE), **arguments)
    result = {}
    for node in act_launch.nodes(context):
        node._perform_substitutions(context)
        # The executable and what launch fills in itself come as it starts the process.
        words = [launch.utilities.perform_substitutions(context, part) for part in node.cmd[1:]
                 if not any('LocalSubstitution' in type(item).__name__ for item in part)]
        files = [words[i + 1] for i, word in enumerate(words) if word == '--params-file']
        assert files[0] == str(PARAMS_FILE)
        given: dict[str, Any] = {}
        for file in files[1:]:
            # launch_ros writes lists with a tag that ROS passes over.
            text = Path(file).read_text().replace('!!python/tuple', '')
            ((name, section),) = yaml.safe_load(text).items()
            assert name == node.node_name, 'an unnamed section would lose to the file'
            given |= section['ros__parameters']
        result[node.node_executable] = (' '.join(words), given)
    return result


def test_empty_arguments_leave_the_parameter_file_alone(act_launch: ModuleType) -> None:
    """Without arguments nothing is put over the file."""
    made = commands(act_launch)
    assert list(made) == ['pose_node', 'act_node']
    assert [given for _, given in made.values()] == [{}, {}]


def test_arguments_reach_their_nodes(act_launch: ModuleType) -> None:
    """Each argument arrives where it belongs, with the right type."""
    made = commands(
        act_launch, video='0', loop='true', transport='compressed', pose_model='movenet_lightning',
        bundle='act_mu', use_sim_time='false', autostart='false')
    assert {name: given for name, (_, given) in made.items()} == {
        'pose_node': {'model': 'movenet_lightning', 'transport': 'compressed',
                      'reliability': 'reliable', 'autostart': False, 'use_sim_time': False},
        'act_node': {'bundle': 'act_mu', 'autostart': False, 'use_sim_time': False},
        'video_node': {'source': '0', 'loop': True, 'transport': 'compressed',
                       'use_sim_time': False},
    }


def test_the_former_name_of_an_argument_works_on(act_launch: ModuleType) -> None:
    """With a warning, which tells the present one."""
    # The words hold names of temporary files, new ones each time.
    assert {name: given for name, (_, given) in commands(
        act_launch, layout='single_process').items()} == {'pipeline_node': {}}


def test_several_cameras_share_a_process(act_launch: ModuleType) -> None:
    """Lists arrive as such, and each camera's topics."""
    words, given = commands(
        act_launch, composition='single_process', cameras='front, rear', rotation='0, 180',
        image_topic='/{camera}_camera/image_raw')['pipeline_node']
    assert given == {'cameras': ['front', 'rear'], 'rotations': [0, 180]}
    for camera in ('front', 'rear'):
        assert f'{camera}/image:=/{camera}_camera/image_raw' in words


def test_namespaced_arguments_win_over_the_parameter_file(act_launch: ModuleType) -> None:
    """The section of the overriding parameters names the node in its namespace."""
    given = commands(act_launch, namespace='robot', bundle='other')['act_node'][1]
    assert given == {'bundle': 'other'}


def test_missing_parameter_file_is_named(act_launch: ModuleType) -> None:
    """launch itself would only warn and start the nodes with their defaults."""
    context = launch.LaunchContext()
    for declaration in act_launch.ARGUMENTS:
        declaration.visit(context)
    context.launch_configurations['params_file'] = '/nowhere/act.yaml'
    with pytest.raises(FileNotFoundError, match='/nowhere/act.yaml'):
        act_launch.nodes(context)


def test_a_slip_of_an_argument_is_told(
    act_launch: ModuleType, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """launch itself passes over it without a word."""
    told: list[str] = []
    monkeypatch.setattr(act_launch.get_logger('act.launch'), 'warning', told.append)
    context = launch.LaunchContext(argv=['imagetopic:=/camera', 'video:=0', 'robot_name:=marvin'])
    for declaration in act_launch.ARGUMENTS:
        declaration.visit(context)
    context.launch_configurations['params_file'] = str(PARAMS_FILE)
    act_launch.nodes(context)
    assert told == ['act.launch.py has no argument imagetopic; did you mean image_topic?']


def launched_process(**arguments: str) -> subprocess.Popen[str]:
    """Return a process that launches, once both nodes are ready."""
    launched = subprocess.Popen(
        [sys.executable, '-c', f'import sys; sys.path[:0] = {sys.path!r}; '
         f'from test_launch import run_launch; sys.exit(run_launch(**{arguments!r}))'],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    read_until_ready(launched)
    return launched


def read_until_ready(launched: subprocess.Popen[str]) -> None:
    """Read what is said until pose_node, which takes longest, is ready; fail if that is never."""
    assert launched.stdout
    assert any(line.startswith('[pose_node-') and 'pose network' in line and 'ready' in line
               for line in launched.stdout)


def children(launched: subprocess.Popen[str]) -> dict[int, str]:
    """Return the command lines of its nodes, by their number."""
    stats = [path for path in Path('/proc').glob('[0-9]*/stat')
             if path.read_text().rpartition(')')[2].split()[1] == str(launched.pid)]
    return {int(path.parent.name): path.with_name('cmdline').read_text() for path in stats}


@pytest.mark.slow
@pytest.mark.skipif(not tied_to_us(), reason='util-linux is not installed')
@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
def test_no_node_outlives_the_launch(tiny_bundle: Path, how: signal.Signals) -> None:
    """Which by itself would end alone."""
    launched = launched_process(bundle=str(tiny_bundle))
    nodes = children(launched)
    assert len(nodes) == 2
    launched.send_signal(how)
    launched.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while any(Path(f'/proc/{node}/exe').exists() for node in nodes):
        assert time.monotonic() < deadline, 'a node has stayed'
        time.sleep(0.1)


@pytest.mark.slow
def test_a_node_that_dies_comes_back_where_that_is_asked_for(tiny_bundle: Path) -> None:
    """Alone: the others go on as they are."""
    launched = launched_process(bundle=str(tiny_bundle), respawn='true')
    before = children(launched)
    killed, = (node for node, command in before.items() if '__node:=pose_node' in command)
    os.kill(killed, signal.SIGKILL)
    read_until_ready(launched)
    after = children(launched)
    assert len(after) == 2 and before.keys() & after.keys() == before.keys() - {killed}
    for node in after:
        os.kill(node, signal.SIGTERM)
    launched.terminate()
    launched.communicate()


def run_launch(**arguments: str) -> int:
    """Return what `ros2 launch` would exit with."""
    service = launch.LaunchService()
    service.include_launch_description(launch.LaunchDescription([
        launch.actions.IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
            launch_arguments={'namespace': 'alone', **arguments}.items())]))
    return int(service.run())


@pytest.mark.slow
@pytest.mark.parametrize('respawn', ['false', 'true'])
def test_a_node_that_cannot_start_ends_all_with_an_error(respawn: str) -> None:
    """No half of a system stays, and nothing is tried again that would fail for ever."""
    assert run_launch(bundle='nope', respawn=respawn) == 1


@pytest.mark.slow
@pytest.mark.parametrize('composition', ['two_nodes', 'single_process'])
def test_a_video_may_have_any_name(
    short_clip: Path, tmp_path: Path, tiny_bundle: Path, composition: str,
) -> None:
    """It is played to its end, whatever launch, YAML or a shell would make of its name."""
    video = tmp_path / 'it\'s "a" $(env HOME) {b}: # [c], é%20 ²\\n.mp4'
    video.symlink_to(short_clip)
    assert run_launch(
        composition=composition, video=str(video), bundle=str(tiny_bundle)) == 0


@pytest.mark.slow
def test_all_end_with_the_video(tiny_bundle: Path) -> None:
    """The markers' node, too, and without an error."""
    assert run_launch(
        composition='single_process', video=str(ROOT / 'media/demo.mp4'), markers='true',
        bundle=str(tiny_bundle)) == 0


@launch_pytest.fixture(params=['two_nodes', 'single_process'])
def launched(request: pytest.FixtureRequest, tiny_bundle: Path) -> launch.LaunchDescription:
    """The launch file on the demo clip, in a namespace."""
    return launch.LaunchDescription([
        # First: behind a launch file that fails, launch_pytest would wait for it for ever.
        launch_pytest.actions.ReadyToTest(),
        launch.actions.IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
            launch_arguments={
                'video': str(ROOT / 'media/demo.mp4'), 'layout': request.param,
                'namespace': 'robot', 'bundle': str(tiny_bundle), 'loop': 'true',
            }.items()),
    ])


@pytest.mark.slow
@pytest.mark.launch(fixture=launched)
def test_launch_gives_actions_of_the_clip() -> None:
    """People in the clip reach the actions topic of the launched namespace."""
    received: list[ActionArray] = []
    rclpy.init()
    try:
        node = rclpy.create_node('listener')
        node.create_subscription(ActionArray, '/robot/actions', received.append, 10)
        deadline = time.monotonic() + 60
        while not any(msg.actions for msg in received) and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.5)
        node.destroy_node()
    finally:
        rclpy.shutdown()
    assert any(msg.actions for msg in received), 'no actions in a minute'
    assert received[0].model == 'tiny'
    assert received[0].header.frame_id == 'camera'


@launch_pytest.fixture
def replaying(tiny_bundle: Path) -> launch.LaunchDescription:
    """The launch file for bags."""
    return launch.LaunchDescription([
        launch_pytest.actions.ReadyToTest(),
        launch.actions.IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(LAUNCH_FILE.with_name('replay.launch.py'))),
            launch_arguments={
                'keypoints_topic': '/bag/keypoints', 'namespace': 'robot',
                'bundle': str(tiny_bundle), 'markers': 'true'}.items()),
    ])


@pytest.mark.slow
@pytest.mark.launch(fixture=replaying)
def test_replay_answers_a_bags_keypoints_in_its_time() -> None:
    """The nodes take the time from /clock, and the bag's keypoints in place of images."""
    received: list[ActionArray] = []
    shown: list[MarkerArray] = []
    rclpy.init()
    try:
        node = rclpy.create_node('bag')
        node.create_subscription(ActionArray, '/robot/actions', received.append, 10)
        node.create_subscription(
            MarkerArray, '/robot/markers_node/markers', shown.append, 10)
        keypoints = node.create_publisher(KeypointArray, '/bag/keypoints', 10)
        clock = node.create_publisher(Clock, '/clock', 10)
        deadline, index = time.monotonic() + 60, 0
        while not (shown and any(msg.actions for msg in received)):
            assert time.monotonic() < deadline, 'no answers in a minute'
            msg = frame(index, [walker(index)])
            clock.publish(Clock(clock=msg.header.stamp))
            keypoints.publish(msg)
            rclpy.spin_once(node, timeout_sec=0.1)
            index += 1
        for name in ('act_node', 'markers_node'):
            client = node.create_client(GetParameters, f'/robot/{name}/get_parameters')
            assert client.wait_for_service(30)
            future = client.call_async(GetParameters.Request(names=['use_sim_time']))
            rclpy.spin_until_future_complete(node, future, timeout_sec=30)
            assert future.result().values[0].bool_value
        assert clock.get_subscription_count() == 2
        node.destroy_node()
    finally:
        rclpy.shutdown()
    assert received[-1].actions[0].person_id == 'p1'
