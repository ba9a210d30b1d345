"""The bond with Nav2's lifecycle manager, with bond_msgs as its definition says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_harness import ROOT, bench
from test_packaging import build_environment

CMAKE = """cmake_minimum_required(VERSION 3.21)
project(bond_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(${PROJECT_NAME} msg/Status.msg DEPENDENCIES std_msgs)
WORKAROUND
ament_package()
"""
MANIFEST = """<package format="3"><name>bond_msgs</name><version>1.0.0</version>
<description>For a test.</description><maintainer email="a@b.invalid">a</maintainer>
<license>BSD</license><buildtool_depend>ament_cmake</buildtool_depend>
<buildtool_depend>rosidl_default_generators</buildtool_depend><depend>std_msgs</depend>
<member_of_group>rosidl_interface_packages</member_of_group></package>
"""
STATUS = """std_msgs/Header header
string id
string instance_id
bool active
float32 heartbeat_timeout
float32 heartbeat_period
"""
MANAGER = """
import rclpy
from bond_msgs.msg import Status
rclpy.init()
node = rclpy.create_node('manager')
node.create_subscription(Status, 'bond', lambda m: print(
    m.id, m.instance_id, m.active, round(m.heartbeat_timeout, 3), round(m.heartbeat_period, 3),
    flush=True), 100)
rclpy.spin(node)
"""


@pytest.fixture(scope='module')
def bond_msgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package; return where it is installed."""
    source, prefix = tmp_path_factory.mktemp('bond_msgs'), tmp_path_factory.mktemp('prefix')
    workaround = re.search(
        r'get_property\(targets.*?\nendforeach\(\)\n', (ROOT / 'CMakeLists.txt').read_text(), re.S)
    assert workaround
    (source / 'CMakeLists.txt').write_text(CMAKE.replace('WORKAROUND', workaround[0]))
    (source / 'package.xml').write_text(MANIFEST)
    (source / 'msg').mkdir()
    (source / 'msg/Status.msg').write_text(STATUS)
    build = str(source / 'build')
    for arguments in (
            ['-S', str(source), '-B', build, f'-DCMAKE_INSTALL_PREFIX={prefix}',
             f'-DPython3_EXECUTABLE={sys.executable}'],
            ['--build', build, '--parallel', '2', '--target', 'install']):
        result = subprocess.run(
            ['cmake', *arguments], env=build_environment(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        assert result.returncode == 0, result.stdout
    return prefix


@pytest.mark.slow
def test_the_heart_beats_while_the_node_is_active(
    tmp_path: Path, tiny_bundle: Path, bond_msgs: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Nav2's manager expects it; and it says so where it is told to stop."""
    packages = next(bond_msgs.glob('**/bond_msgs/__init__.py')).parents[1]
    for name, path in (('PYTHONPATH', packages), ('LD_LIBRARY_PATH', bond_msgs / 'lib')):
        monkeypatch.setenv(name, f'{path}{os.pathsep}{os.environ.get(name, "")}')
    with bench(tmp_path) as made:
        manager = subprocess.Popen(
            [sys.executable, '-c', MANAGER], text=True, stdout=subprocess.PIPE,
            env={**os.environ, 'ROS_DOMAIN_ID': str(made.domain)})
        assert manager.stdout
        node = made.start('act_node', {'bundle': str(tiny_bundle)})
        beats = [manager.stdout.readline().split() for _ in range(20)]
        assert {(beat[0], *beat[2:]) for beat in beats} == {('act_node', 'True', '4.0', '0.1')}
        first, = {beat[1] for beat in beats}

        def change(label: str) -> None:
            assert made.peer.call(
                ChangeState, '/act_node/change_state',
                ChangeState.Request(transition=Transition(label=label))).success

        change('deactivate')
        while (beat := manager.stdout.readline().split())[2] == 'True':
            assert beat[1] == first
        assert beat[:2] == ['act_node', first]
        change('activate')
        beat = manager.stdout.readline().split()
        assert beat[2] == 'True' and beat[1] != first, 'another bond'
        assert node.stop() == 0, node.log
        manager.kill()
        manager.communicate()
