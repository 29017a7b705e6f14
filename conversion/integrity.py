"""The thorough check of a source: every frame is decoded before anything is written.

The quick one, which every conversion makes, looks at each tile's start, header and end; this one
also finds tiles whose coded data were overwritten. A single flipped bit neither finds: only the
scanner's own hash would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversion.errors import DamagedSource
from conversion.manifest import Route
from conversion.sources.slide import JPEG_BASELINE, JPEG_EXTENDED

if TYPE_CHECKING:
    from conversion.sources.slide import PixelFormat, Slide


def check_every_frame(slide: Slide) -> None:
    """Decode every frame that is passed through.

    Raises
    ------
    DamagedSource
        A decoder refuses one, or has to guess.
    """
    for picture in slide.pictures:
        if picture.route is not Route.PASSED_THROUGH:
            continue  # decoded on the way
        for number, frame in enumerate(picture.frames, start=1):
            try:
                _decode(b"".join((frame.head, frame.body)), picture.frames.format)
            except Exception as error:  # each decoder has its own kinds
                raise DamagedSource(
                    f"the file is damaged: frame {number} of the {picture.role.value.lower()} "
                    "cannot be decoded",
                    frame=number,
                    level=picture.level,
                ) from error


def _decode(frame: bytes, pixel_format: PixelFormat) -> None:
    if pixel_format.transfer_syntax in (JPEG_BASELINE, JPEG_EXTENDED):
        import simplejpeg

        # strict: libjpeg-turbo's warnings, with which others fill in gray, are errors
        simplejpeg.decode_jpeg(
            frame, colorspace="GRAY" if pixel_format.samples == 1 else "RGB", strict=True
        )
    else:
        import imagecodecs

        imagecodecs.jpeg2k_decode(frame, numthreads=1)
