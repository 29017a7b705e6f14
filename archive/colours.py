"""Colour samples from one space into the other (PS3.3 §C.7.6.3.1.2)."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.generic]
"""(rows, columns) or (rows, columns, samples)."""


def ybr_to_rgb(array: Pixels) -> Pixels:
    """Convert YBR_FULL to RGB (PS3.3 §C.7.6.3.1.2), any depth of unsigned samples."""
    top = float(np.iinfo(array.dtype).max)  # type: ignore[type-var]
    y, cb, cr = np.moveaxis(array.astype(np.float64), -1, 0)
    cb, cr = cb - (top + 1) / 2, cr - (top + 1) / 2
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.rint(rgb), 0, top).astype(array.dtype)


def rgb_to_ybr(array: Pixels) -> Pixels:
    """Convert RGB to YBR_FULL (PS3.3 §C.7.6.3.1.2), any depth of unsigned samples."""
    top = float(np.iinfo(array.dtype).max)  # type: ignore[type-var]
    red, green, blue = np.moveaxis(array.astype(np.float64), -1, 0)
    half = (top + 1) / 2
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = half - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = half + 0.5 * red - 0.418688 * green - 0.081312 * blue
    ybr = np.stack([y, cb, cr], axis=-1)
    return np.clip(np.rint(ybr), 0, top).astype(array.dtype)


def in_colour(array: Pixels, *, ybr: bool, wanted: str) -> Pixels:
    """Bring colour samples into YBR where YBR_FULL is wanted, else into RGB; grey ones stay."""
    wants_ybr = wanted == "YBR_FULL"
    if array.ndim != 3 or ybr == wants_ybr:
        return array
    return rgb_to_ybr(array) if wants_ybr else ybr_to_rgb(array)
