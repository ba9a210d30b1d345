"""Messages of other packages, as those define them: generated, built, and for bags."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from test_packaging import ROOT, build_environment

from act_ros.core.person import Person
from act_ros.core.skeletons import joint_sources

YOLO = {
    'Point2D': 'float64 x\nfloat64 y',
    'Vector2': 'float64 x\nfloat64 y',
    'Pose2D': 'yolo_msgs/Point2D position\nfloat64 theta',
    'BoundingBox2D': 'yolo_msgs/Pose2D center\nyolo_msgs/Vector2 size',
    'BoundingBox3D': 'geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\nstring frame_id',
    'Mask': 'int32 height\nint32 width\nyolo_msgs/Point2D[] data',
    'KeyPoint2D': 'int32 id\nyolo_msgs/Point2D point\nfloat64 score',
    'KeyPoint2DArray': 'yolo_msgs/KeyPoint2D[] data',
    'KeyPoint3D': 'int32 id\ngeometry_msgs/Point point\nfloat64 score',
    'KeyPoint3DArray': 'yolo_msgs/KeyPoint3D[] data\nstring frame_id',
    'Detection': 'int32 class_id\nstring class_name\nfloat64 score\nstring id\n'
                 'yolo_msgs/BoundingBox2D bbox\nyolo_msgs/BoundingBox3D bbox3d\n'
                 'yolo_msgs/Mask mask\nyolo_msgs/KeyPoint2DArray keypoints\n'
                 'yolo_msgs/KeyPoint3DArray keypoints3d',
    'DetectionArray': 'std_msgs/Header header\nyolo_msgs/Detection[] detections',
}
"""yolo_msgs 4.6, https://github.com/mgonzs13/yolo_ros"""

_JOINTS = ('NOSE NECK RIGHT_SHOULDER RIGHT_ELBOW RIGHT_WRIST LEFT_SHOULDER LEFT_ELBOW LEFT_WRIST '
           'RIGHT_HIP RIGHT_KNEE RIGHT_ANKLE LEFT_HIP LEFT_KNEE LEFT_ANKLE LEFT_EYE RIGHT_EYE '
           'LEFT_EAR RIGHT_EAR').split()
HRI = {
    'IdsList': 'std_msgs/Header header\nstring[] ids',
    'NormalizedPointOfInterest2D': 'float32 x\nfloat32 y\nfloat32 c',
    'NormalizedRegionOfInterest2D': 'std_msgs/Header header\nfloat32 xmin\nfloat32 ymin\n'
                                    'float32 xmax\nfloat32 ymax\nfloat32 c',
    'Skeleton2D': '\n'.join([
        'std_msgs/Header header', *(f'uint8 {name}={i}' for i, name in enumerate(_JOINTS)),
        'NormalizedPointOfInterest2D[18] skeleton']),
}
"""Those of hri_msgs 2.0 that bodies need, https://github.com/ros4hri/hri_msgs"""

BOND = {
    'Status': 'std_msgs/Header header\nstring id\nstring instance_id\nbool active\n'
              'float32 heartbeat_timeout\nfloat32 heartbeat_period',
}
"""bond 4, https://github.com/ros/bond_core"""

PACKAGES = {'yolo_msgs': YOLO, 'hri_msgs': HRI, 'bond': BOND}

_CMAKE = """cmake_minimum_required(VERSION 3.21)
project({package})
set(CMAKE_INSTALL_RPATH {prefix}/lib {libraries})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces({package} {files} DEPENDENCIES geometry_msgs std_msgs)
foreach(kind c cpp fastrtps_c fastrtps_cpp introspection_cpp)  # whose headers take most of the time
  set_target_properties({package}__rosidl_typesupport_${{kind}} PROPERTIES UNITY_BUILD ON)
endforeach()
{workaround}
ament_package()
"""
_MANIFEST = """
<package format="3">
  <name>{package}</name><version>0.0.0</version><description>Messages for a test</description>
  <maintainer email="nobody@act-ros.invalid">nobody</maintainer><license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend><depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


def bag_types(packages: dict[str, dict[str, str]] = PACKAGES) -> Any:
    """Return a rosbags type store that knows these messages, too."""
    from rosbags.typesys import get_types_from_msg

    from act_ros.recordings.bags import project_types

    store = project_types()
    known: dict[str, Any] = {}
    for package, messages in packages.items():
        for name, text in messages.items():
            known |= get_types_from_msg(text, f'{package}/msg/{name}')
    store.register(known)
    return store


def detections(make: Any, header: Any, persons: Sequence[Person], least: float = 0.5) -> Any:
    """
    Return people as yolo_ros tells them: keypoints below the least score are left out.

    :param make: ``make(name, **fields)`` returns a message.
    """
    def vector(kind: str, x: float, y: float) -> Any:
        return make(f'yolo_msgs/msg/{kind}', x=float(x), y=float(y))

    def detection(person: Person) -> Any:
        x_min, y_min, x_max, y_max = person.box.tolist()
        origin, none = make('geometry_msgs/msg/Point', x=0.0, y=0.0, z=0.0), make(
            'geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)
        pose = make('geometry_msgs/msg/Pose', position=origin, orientation=make(
            'geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0))
        return make(
            'yolo_msgs/msg/Detection', class_id=0, class_name='person', score=person.score,
            id=person.id, mask=make('yolo_msgs/msg/Mask', height=0, width=0, data=[]),
            bbox=make('yolo_msgs/msg/BoundingBox2D', center=make(
                'yolo_msgs/msg/Pose2D', theta=0.0, position=vector(
                    'Point2D', (x_min + x_max) / 2, (y_min + y_max) / 2)),
                size=vector('Vector2', x_max - x_min, y_max - y_min)),
            bbox3d=make('yolo_msgs/msg/BoundingBox3D', center=pose, size=none, frame_id=''),
            keypoints=make('yolo_msgs/msg/KeyPoint2DArray', data=[
                make('yolo_msgs/msg/KeyPoint2D', id=i, point=vector('Point2D', x, y),
                     score=float(score))
                for i, (x, y, score) in enumerate(person.keypoints, 1) if score >= least]),
            keypoints3d=make('yolo_msgs/msg/KeyPoint3DArray', data=[], frame_id=''))

    return make('yolo_msgs/msg/DetectionArray', header=header,
                detections=[detection(person) for person in persons])


def skeleton(make: Any, header: Any, person: Person, size: tuple[int, int]) -> Any:
    """Return somebody's coco17 keypoints as a body of REP-155, see ``detections``."""
    names = [name.replace('LEFT', 'l').replace('RIGHT', 'r').lower() for name in _JOINTS]
    points = [person.keypoints[list(source)].mean(axis=0) / (*size, 1)
              for source in joint_sources('coco17', tuple(names))]
    return make('hri_msgs/msg/Skeleton2D', header=header, skeleton=[
        make('hri_msgs/msg/NormalizedPointOfInterest2D', x=float(x), y=float(y), c=float(c))
        for x, y, c in np.array(points)])


def build(cache: Path) -> Path:
    """Generate and build the messages, once in a cache; return the prefix they are installed to."""
    workaround = re.search(  # for ROS from wheels
        r'get_property\(targets.*?\nendforeach\(\)\n', (ROOT / 'CMakeLists.txt').read_text(), re.S)
    assert workaround
    key = hashlib.sha256(repr((PACKAGES, _CMAKE, workaround[0], sys.executable)).encode())
    folder = cache / key.hexdigest()[:16]
    prefix, is_whole = folder / 'install', folder / 'whole'
    if is_whole.exists():
        return prefix
    environment = build_environment()
    roots = environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    for package, messages in PACKAGES.items():
        source = folder / package
        (source / 'msg').mkdir(parents=True, exist_ok=True)
        for name, text in messages.items():
            (source / 'msg' / f'{name}.msg').write_text(text + '\n')
        (source / 'package.xml').write_text(_MANIFEST.format(package=package))
        (source / 'CMakeLists.txt').write_text(_CMAKE.format(
            package=package, prefix=prefix, files=' '.join(f'msg/{name}.msg' for name in messages),
            libraries=' '.join(f'{root}/lib' for root in roots), workaround=workaround[0]))
        for arguments in (
            ['-S', str(source), '-B', str(source / 'build'), '-DBUILD_TESTING=OFF',
             f'-DCMAKE_INSTALL_PREFIX={prefix}', f'-DPython3_EXECUTABLE={sys.executable}'],
            ['--build', str(source / 'build'), '--parallel', '2', '--target', 'install'],
        ):
            done = subprocess.run(['cmake', *arguments], env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode == 0, done.stdout
    is_whole.touch()
    return prefix
