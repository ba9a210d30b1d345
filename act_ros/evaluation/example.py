"""
The demo clip as a bag, to try the evaluation on: what a robot's recording of it would hold.

    python -m act_ros.evaluation.example demo_bag
    python -m act_ros.evaluation demo_bag --labels media/demo.csv --output evaluation
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from tqdm import tqdm

from act_ros.core.arguments import one_line_errors
from act_ros.core.resources import find_resource
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.persons.video import VideoSource
from act_ros.recordings.bags import IMAGES, project_types

# A stamp like a robot's: 2023-11-14, 22:13:20 UTC.
_START = 1_700_000_000 * NANOSECONDS
_TOPIC = '/camera/image_raw/compressed'


def write_bag(path: Path, video: Path, storage: StoragePlugin) -> int:
    """
    Write a video into a bag as sensor_msgs/CompressedImage and return the number of images.

    :raises VideoError: the video cannot be read.
    :raises rosbags.rosbag2.WriterError: there is something at ``path`` already.
    """
    types = project_types()
    image_type = types.types[IMAGES[1]]
    header_type, time_type = (types.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time'))
    count = 0
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connection = writer.add_connection(_TOPIC, IMAGES[1], typestore=types)
        frames = VideoSource(str(video)).play(realtime=False)
        for seconds, image in tqdm(frames, printable(video.name), unit=' images'):
            stamp = _START + round(seconds * NANOSECONDS)
            sec, nanosec = divmod(stamp, NANOSECONDS)
            _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            message = image_type(
                header=header_type(stamp=time_type(sec=sec, nanosec=nanosec), frame_id='camera'),
                format='bgr8; jpeg compressed bgr8', data=np.asarray(data).reshape(-1))
            writer.write(connection, stamp, types.serialize_cdr(message, IMAGES[1]))
            count += 1
    return count


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description='Write the demo clip, or another video, as a bag')
    parser.add_argument('bag', type=Path)
    parser.add_argument('--video', type=Path, help='default: media/demo.mp4')
    parser.add_argument('--storage', choices=('sqlite3', 'mcap'), default='sqlite3')
    options = parser.parse_args()
    with one_line_errors(parser, Exception):  # rosbags and OpenCV each have their own
        write_bag(options.bag, options.video or find_resource('media/demo.mp4'),
                  StoragePlugin[options.storage.upper()])


if __name__ == '__main__':
    main()
