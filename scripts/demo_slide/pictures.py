"""The two photographs beside the slide: its label, and the whole glass under the macro camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

type Pixels = NDArray[np.uint8]

CONTAINER_ID = "CS26-00417-A1-1"
"""What the label says; the slide's container identifier."""

_INK = (28, 36, 52)
_PAPER = (247, 246, 242)
_ACCENT = (178, 62, 122)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def label() -> Pixels:
    """Draw the paper label: `(rows, columns, 3)` uint8."""
    image = Image.new("RGB", (560, 520), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 560, 84), fill=_ACCENT)
    draw.text((28, 16), "COVERSLIP DEMO", font=_font(46), fill=_PAPER)
    draw.text((28, 112), CONTAINER_ID, font=_font(58), fill=_INK)
    draw.text((28, 200), "Colon, transverse", font=_font(38), fill=_INK)
    draw.text((28, 254), "H&E", font=_font(38), fill=_ACCENT)
    draw.text((28, 452), "Drawn by a computer. No patient.", font=_font(28), fill=(110, 116, 128))
    _code(draw, 372, 268, 160)
    return np.asarray(image)


def _code(draw: ImageDraw.ImageDraw, left: int, top: int, side: int) -> None:
    """Draw the look of a two-dimensional code: solid on two edges, ticked on the others."""
    cells = 16
    bits = np.random.default_rng(417).integers(0, 2, (cells, cells))
    bits[:, 0] = bits[-1, :] = 1
    bits[0, :] = np.arange(cells) % 2 == 0
    bits[:, -1] = np.arange(cells) % 2 == 1
    step = side // cells
    for row, column in zip(*np.nonzero(bits), strict=True):
        x, y = left + int(column) * step, top + int(row) * step
        draw.rectangle((x, y, x + step - 1, y + step - 1), fill=_INK)


def macro(tissue: Pixels, stuck: Pixels) -> Pixels:
    """Draw the whole glass slide, 76 × 26 mm at 60 µm: `(rows, columns, 3)` uint8.

    Parameters
    ----------
    tissue
        A small picture of the section.
    stuck
        The label that is stuck on the left end.
    """
    width, height = 1_280, 440
    glass = np.linspace(232, 222, height)[:, None, None] + np.array([0, 2, 4])
    image = Image.fromarray(np.broadcast_to(glass, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle((420, 26, 1_180, 414), fill=(240, 240, 241), outline=(206, 209, 214), width=2)
    image.paste(Image.fromarray(stuck).resize((400, 371), Image.Resampling.BOX), (4, 34))
    # Drawn several times its true size: 6 mm of tissue would be a dot here.
    small = Image.fromarray(tissue).resize((420, 315), Image.Resampling.BOX)
    shade = small.convert("L").point(lambda level: 255 if level < 236 else 0)
    image.paste(small, (590, 66), shade.filter(ImageFilter.GaussianBlur(1)))
    ImageDraw.Draw(image).rectangle((588, 64, 1_012, 383), outline=(64, 150, 96), width=2)
    return np.asarray(image)
