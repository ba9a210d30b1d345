"""Image messages to pixels, whichever library has decoded the message: rclpy or rosbags."""

from __future__ import annotations

from typing import Any

import numpy as np

from act_ros.core.frame import MAX_PIXELS
from act_ros.persons.compressed import decode_compressed
from act_ros.persons.images import decode_raw


def decode(message: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """
    Return a sensor_msgs/Image or CompressedImage as uint8 (H, W, 3) BGR.

    Of a raw image the result may be a read-only view.

    :raises ImageError: it cannot be read; an `UnknownEncodingError` where its encoding is unknown.
    """
    if not hasattr(message, 'encoding'):
        return decode_compressed(message.data, message.format, max_pixels)
    return decode_raw(message.data, message.encoding, message.height, message.width, message.step,
                      bool(message.is_bigendian), max_pixels)
