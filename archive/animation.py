"""Frames one after the other: the animated GIF of an image that is no tiles (PS3.18 §8.7.4).

Table 8.7.4-1 has image/gif for multi-frame images. Who asks for another picture gets the frame that
stands for all of them.
"""

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from archive.composition import ReadFrames, decoded
from archive.render_options import RenderOptions, Window, WindowShape
from archive.rendering import PictureFacts, picture_of_frame

MAXIMUM_FRAMES = 1000
MAXIMUM_DECODED = 256_000_000
"""Pixels of all frames together, before they are scaled."""
_DEFAULT_MILLISECONDS = 100.0
_SHORTEST_MILLISECONDS = 20
"""Browsers show what is faster at a tenth of the speed."""


def can_animate(facts: PictureFacts, options: RenderOptions, maximum_pixels: int) -> bool:
    """Tell whether the frames of an instance can be drawn as a moving picture, within bounds."""
    pixels = facts.pixels
    frames, size = pixels.number_of_frames, pixels.rows * pixels.columns
    if not 1 < frames <= MAXIMUM_FRAMES or frames * size > MAXIMUM_DECODED:
        return False
    if options.viewport is not None:
        size = options.viewport.width * options.viewport.height
    return frames * size <= maximum_pixels


def render_animation(read_frames: ReadFrames, facts: PictureFacts, options: RenderOptions) -> bytes:
    """Draw all frames into one GIF, over and over; raises as `rendering.render_frame` does."""
    numbers = range(1, facts.pixels.number_of_frames + 1)
    facts = _evenly_shown(read_frames, facts)

    def images() -> Iterator[Image.Image]:
        for number, stored in zip(numbers, read_frames(numbers), strict=True):
            image, _ = picture_of_frame(stored, facts, options, number=number)
            yield image

    pictures = images()
    first = next(pictures)
    milliseconds = facts.frame_milliseconds or _DEFAULT_MILLISECONDS
    out = io.BytesIO()
    first.save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures,
        duration=max(round(milliseconds), _SHORTEST_MILLISECONDS),
        loop=0,
    )
    return out.getvalue()


def _evenly_shown(read_frames: ReadFrames, facts: PictureFacts) -> PictureFacts:
    """Show all frames by the range of all of them, or they would flicker.

    Only where frames are deeper than 8 bits and no window is told.
    """
    pixels = facts.pixels
    if facts.window is not None or pixels.samples_per_pixel > 1 or pixels.bits_allocated <= 8:
        return facts
    if any(scale.window is not None for scale in facts.scales):
        return facts
    low, high = np.inf, -np.inf
    numbers = range(1, pixels.number_of_frames + 1)
    for number, stored in zip(numbers, read_frames(numbers), strict=True):
        array = decoded(stored, facts, number).astype(np.float64)
        own = facts.of_frame(number)
        values = array[np.isfinite(array)] * own.rescale_slope + own.rescale_intercept
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not low < high:
        return facts
    window = Window((low + high) / 2, high - low, WindowShape.LINEAR_EXACT)
    scales = tuple(replace(scale, window=window) for scale in facts.scales)
    return replace(facts, window=window, scales=scales)
