"""Whether what is written can be read: contrast by WCAG 2, which asks for 4.5."""

from __future__ import annotations

import numpy as np


def channels(colour: str) -> np.ndarray:
    """Return red, green and blue (3,) in 0 to 1 of ``#rgb``, ``#rrggbb`` or ``r, g, b``."""
    digits = colour.removeprefix('#')
    if digits == colour:
        return np.array([int(value) for value in colour.split(',')]) / 255
    return np.array([*bytes.fromhex(digits if len(digits) == 6 else ''.join(
        2 * digit for digit in digits))]) / 255


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """Return the contrast of two colours (3,) in 0 to 1: from 1 to 21."""
    low, high = sorted(float(np.where(
        colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4,
    ) @ (0.2126, 0.7152, 0.0722)) + 0.05 for colour in (a, b))
    return high / low
