"""Fit an image into a network's input without bending it, and map points back."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

# Mean and standard deviation (0..255) that a dark or hazy image is brought to, by this factor at
# most: pose networks learned from pictures by day. More shows them noise, and changes clear images.
_BRIGHTNESS, _CONTRAST, _GAIN = 40.0, 30.0, 8.0
DARK = _BRIGHTNESS / _GAIN
"""Brightness (0..255) of an image below which it stays darker than that."""


class Region(NamedTuple):
    """Rectangle of whole source pixels, half open; it may reach beyond the image."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    def cut(self, other: Region) -> Region:
        """Return the part that lies in another region, too."""
        return Region(max(self.x_min, other.x_min), max(self.y_min, other.y_min),
                      min(self.x_max, other.x_max), min(self.y_max, other.y_max))


def shown(
    image_bgr: np.ndarray, region: Region | None = None, within: Region | None = None,
) -> Region | None:
    """
    Return the part of an image (H, W, 3) that a region shows; None: it shows none of it.

    :param within: what lies outside of this is not shown either.
    """
    part = Region(0, 0, image_bgr.shape[1], image_bgr.shape[0])
    for other in (region, within):
        part = part.cut(other) if other else part
    return part if part.x_min < part.x_max and part.y_min < part.y_max else None


def brightness(image: np.ndarray) -> float:
    """Return the mean (0..255) of some thousand pixels all over an image (H, W, 3)."""
    return float(_sample(image).mean())


def _sample(image: np.ndarray) -> np.ndarray:
    rows, columns = (max(length // 32, 1) for length in image.shape[:2])
    return image[::rows, ::columns]


def _clear_up(image: np.ndarray) -> None:
    """Brighten an image that is dark, and give one that is hazy more contrast, in place."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(_sample(image).ravel()))
    gain = _BRIGHTNESS / max(mean, 1.0)
    if deviation < _CONTRAST:
        # A small person before a plain wall is not hazy: there is no room for more contrast.
        room = min((255 - mean) / max(image.max() - mean, 1.0), mean / max(mean - image.min(), 1.0))
        gain = max(gain, min(_CONTRAST / max(deviation, 1.0), room))
    if gain > 1:
        gain = min(gain, _GAIN)
        wanted = max(mean, min(_BRIGHTNESS, mean * gain))
        cv2.addWeighted(image, gain, image, 0, wanted - mean * gain, dst=image)


class Letterbox:
    """
    Resize with unchanged aspect ratio into a fixed tensor, black around it.

    What is shown is cleared up where it is dark or hazy; the image stays as it is. Buffers are made
    once, so that a video costs no allocation per frame: the tensor that ``fill`` returns is
    overwritten by the next call.

    :param height: rows of the tensor.
    :param width: columns of the tensor.
    :param dtype: element type of the tensor; values stay 0..255.
    """

    def __init__(self, height: int, width: int, dtype: type[np.generic] = np.int32) -> None:
        self._canvas = np.zeros((height, width, 3), np.uint8)
        self._rgb = np.empty_like(self._canvas)
        self._tensor = np.zeros((1, height, width, 3), dtype)
        self._target = Region(0, 0, 0, 0)  # part of the canvas that the image covers
        self._scale = np.ones(2)  # source pixels per tensor pixel, x and y
        self._shift = np.zeros(2)  # source position of the tensor's corner, x and y

    def fill(
        self, image_bgr: np.ndarray, region: Region | None = None, within: Region | None = None,
    ) -> np.ndarray:
        """
        Resize an image, or a region of it, into the tensor.

        :param image_bgr: uint8 (H, W, 3), see ``check_image``.
        :param region: part to show; without it the whole image.
        :param within: part of the region outside of which it stays black.
        :returns: (1, height, width, 3) RGB; valid until the next call.
        :raises ValueError: nothing of the image would be shown, see `shown`.
        """
        rows, columns = image_bgr.shape[:2]
        region = region or Region(0, 0, columns, rows)
        source = shown(image_bgr, region, within)
        if source is None:
            raise ValueError('the region shows nothing of the image')
        target = self._place(region, source)
        if target != self._target:
            self._canvas.fill(0)
            self._target = target
        part = self._canvas[target.y_min:target.y_max, target.x_min:target.x_max]
        cv2.resize(
            image_bgr[source.y_min:source.y_max, source.x_min:source.x_max],
            part.shape[1::-1], dst=part,
            interpolation=cv2.INTER_LINEAR,  # as the network was trained; area is 10 times slower
        )
        _clear_up(part)
        # A reversed view would do, but NumPy copies that ten times slower than both these steps.
        cv2.cvtColor(self._canvas, cv2.COLOR_BGR2RGB, dst=self._rgb)
        np.copyto(self._tensor[0], self._rgb, casting='unsafe')
        return self._tensor

    def _place(self, region: Region, source: Region) -> Region:
        """Choose the canvas part for ``source`` and store the mapping back to source pixels."""
        height, width = self._canvas.shape[:2]
        region_size = (region.x_max - region.x_min, region.y_max - region.y_min)
        ratio = min(width / region_size[0], height / region_size[1])
        spans = []
        for axis, room in enumerate((width, height)):
            offset = (room - region_size[axis] * ratio) / 2 - region[axis] * ratio
            low, high = source[axis], source[axis + 2]
            # Whole canvas pixels, at least one; the mapping below uses what rounding made of them.
            start = min(max(round(low * ratio + offset), 0), room - 1)
            end = max(min(round(high * ratio + offset), room), start + 1)
            self._scale[axis] = (high - low) / (end - start)
            self._shift[axis] = low - start * self._scale[axis]
            spans.append((start, end))
        (x_min, x_max), (y_min, y_max) = spans
        return Region(x_min, y_min, x_max, y_max)

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """
        Map tensor points of the last ``fill`` to the source image.

        :param points: (..., 2) x, y as fractions of the tensor's width and height.
        :returns: (..., 2) x, y in source pixels.
        """
        height, width = self._canvas.shape[:2]
        return points * (self._scale * (width, height)) + self._shift


def check_image(image: np.ndarray) -> None:
    """
    Refuse what is not a colour image of 8 bits.

    :raises TypeError: no NumPy array.
    :raises ValueError: not uint8 (H, W, 3), or no pixels.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f'an image must be a NumPy array, not {type(image).__name__}')
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'an image must have the shape (height, width, 3), not {image.shape}; '
            'convert grey or alpha images to BGR first'
        )
    if image.dtype != np.uint8:
        raise ValueError(f'an image must hold uint8 values, not {image.dtype}')
    if image.size == 0:
        raise ValueError(f'an image must have pixels, this one has the shape {image.shape}')
