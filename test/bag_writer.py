"""Bags for tests: people who really move, written as a robot would record them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from act_ros.core.adapters import KEYPOINTS
from act_ros.core.person import Person
from act_ros.recordings.bags import IMAGES, project_types

STORAGES = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}
TYPES = project_types()


def message(name: str, **values: Any) -> Any:
    """Return a message of the type ``name``."""
    return TYPES.types[name](**values)


def header(stamp: int, frame_id: str = 'camera') -> Any:
    """Return a std_msgs/Header."""
    time = message('builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message('std_msgs/msg/Header', stamp=time, frame_id=frame_id)


def keypoint_array(stamp: int, persons: Sequence[Person], layout: str = 'coco17') -> Any:
    """Return an act_ros/KeypointArray."""
    def box(values: np.ndarray) -> Any:
        return message('act_ros/msg/BoundingBox', **dict(zip(
            ('x_min', 'y_min', 'x_max', 'y_max'), map(float, values), strict=True)))

    people = [message(
        'act_ros/msg/PersonKeypoints', id=person.id, score=float(person.score),
        box=box(person.box), keypoints=[
            message('act_ros/msg/Keypoint', x=float(x), y=float(y), score=float(score))
            for x, y, score in person.keypoints]) for person in persons]
    return message(KEYPOINTS, header=header(stamp), layout=layout, image_width=640,
                   image_height=480, persons=people)


def image(stamp: int, pixels: np.ndarray) -> Any:
    """Return a sensor_msgs/Image of a BGR array."""
    return message(IMAGES[0], header=header(stamp), height=pixels.shape[0],
                   width=pixels.shape[1], encoding='bgr8', is_bigendian=0,
                   step=3 * pixels.shape[1], data=pixels.reshape(-1))


def camera_info(
    stamp: int, size: tuple[int, int] = (640, 480), focal: float = 0.0, frame_id: str = 'camera',
) -> Any:
    """Return a sensor_msgs/CameraInfo; without a focal length in pixels it tells the size alone."""
    region = message('sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0,
                     width=0, do_rectify=False)
    k = np.array([focal, 0, size[0] / 2, 0, focal, size[1] / 2, 0, 0, 1.0])
    return message('sensor_msgs/msg/CameraInfo', header=header(stamp, frame_id), height=size[1],
                   width=size[0], distortion_model='', d=np.zeros(0), k=k, r=np.zeros(9),
                   p=np.zeros(12), binning_x=0, binning_y=0, roi=region)


def depth_image(stamp: int, metres: float, frame_id: str = 'camera') -> Any:
    """Return a wall as a small depth image of 16UC1."""
    values = np.full((48, 64), round(metres * 1000), '<u2')
    return message(IMAGES[0], header=header(stamp, frame_id), height=48, width=64,
                   encoding='16UC1', is_bigendian=0, step=128, data=values.view('u1').reshape(-1))


def write_bag(
    path: Path, messages: Iterable[tuple[str, int, Any]], storage: str = 'sqlite3',
    types: Any = TYPES,
) -> Path:
    """Write (topic, time of recording in nanoseconds, message) to a bag and return its path."""
    with Writer(path, version=9, storage_plugin=STORAGES[storage]) as writer:
        connections: dict[str, Any] = {}
        for topic, time, value in messages:
            kind = value.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=types)
            writer.write(connections[topic], time, types.serialize_cdr(value, kind))
    return path
