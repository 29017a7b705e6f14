"""The white tile that stands in for one the scanner left empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conversion import jpeg
from conversion.sources.slide import JPEG_2000, JPEG_2000_LOSSLESS, Frame

if TYPE_CHECKING:
    from conversion.sources.slide import PixelFormat
    from conversion.sources.tiff import Directory


def white_frame(pixel_format: PixelFormat, directory: Directory) -> Frame:
    """Return a white frame, coded so that it may stand among frames of `pixel_format`."""
    import imagecodecs

    shape: tuple[int, ...] = (directory.segment_rows, directory.segment_columns)
    if pixel_format.samples == 3:
        shape = (*shape, 3)
    white = np.full(shape, 255, np.uint8)
    if pixel_format.transfer_syntax in (JPEG_2000, JPEG_2000_LOSSLESS):
        reversible = pixel_format.transfer_syntax == JPEG_2000_LOSSLESS
        mct = pixel_format.photometric in ("YBR_RCT", "YBR_ICT")
        return Frame(
            b"",
            imagecodecs.jpeg2k_encode(
                white, codecformat="j2k", reversible=reversible, mct=mct, numthreads=1
            ),
        )
    return Frame(b"", _white_jpeg(white, pixel_format))


def _white_jpeg(white: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], f: PixelFormat) -> bytes:
    import imagecodecs

    if f.samples == 1:
        return bytes(imagecodecs.jpeg8_encode(white, level=90))
    if f.photometric == "RGB":
        coded = bytes(
            imagecodecs.jpeg8_encode(white, level=90, colorspace="RGB", outcolorspace="RGB")
        )
        header = jpeg.read_header(coded)
        if header.adobe_transform is None:
            coded = jpeg.SOI + jpeg.ADOBE_RGB + coded[2:]
        return coded
    return bytes(
        imagecodecs.jpeg8_encode(
            white,
            level=90,
            colorspace="RGB",
            outcolorspace="YCBCR",
            subsampling="422",
        )
    )
