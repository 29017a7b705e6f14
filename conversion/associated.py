"""Label, overview and thumbnail: one frame each.

JPEG strips are joined without touching their coefficients. What cannot be passed through (an LZW
label, strips that do not fit together) is decoded and stored as lossless JPEG 2000: nothing is lost
a second time, and clients read it. Plain samples they do not all: wsidicom's web client fails on a
native frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conversion import jpeg, limits
from conversion.errors import DamagedSource, LimitExceeded, UnsupportedCompression
from conversion.manifest import Route
from conversion.sources import tiff
from conversion.sources.background import white_frame
from conversion.sources.encoded import encoded, encoded_format
from conversion.sources.slide import Frame, Picture, PixelFormat
from conversion.sources.tiles import JpegTiles, PassedThroughTiles, jpeg_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from conversion.manifest import Role
    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Buffer, Frames
    from conversion.sources.tiff import Directory


class SingleFrame:
    """A picture that is one frame, held in memory.

    Parameters
    ----------
    source_data
        The runs of source bytes that must stand in it unchanged; None where it was coded anew.
    """

    def __init__(
        self, pixel_format: PixelFormat, frame: Frame, source_data: Sequence[Buffer] | None
    ) -> None:
        self.format = pixel_format
        self.count = 1
        self.lengths: NDArray[np.uint32] = np.array([frame.size], np.uint32)
        self._frame = frame
        self._source_data = source_data

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame

    def source_data(self) -> Iterator[Sequence[Buffer]] | None:
        """Give the source's own bytes of the frame."""
        return None if self._source_data is None else iter((self._source_data,))

    def matches(self, index: int, stored: bytes) -> bool:
        """Whether a stored frame is this one."""
        frame = b"".join((self._frame.head, self._frame.body))
        # An item has an even length (PS3.5 §A.4): one byte of padding may follow.
        return stored in (frame, frame + b"\0")


def associated_picture(
    source: SourceFile,
    directory: Directory,
    role: Role,
    *,
    base: Directory | None = None,
    spacing_um: tuple[float, float] | None = None,
) -> Picture:
    """Return a label, overview or thumbnail as a picture.

    Parameters
    ----------
    base
        The level that a thumbnail shows in small.
    spacing_um
        Width and height of a pixel of a label or overview in µm, where the file says it.

    Raises
    ------
    LimitExceeded
        It is larger than what is held in memory at once.
    DamagedSource
        It cannot be decoded.
    """
    pixels = directory.columns * directory.rows
    if pixels > limits.MAX_ASSOCIATED_PIXELS or max(directory.columns, directory.rows) > 65535:
        raise LimitExceeded(
            f"the {role.value.lower()} claims {directory.columns} x {directory.rows} pixels",
            what=role.value.lower(),
            claimed=pixels,
            limit=limits.MAX_ASSOCIATED_PIXELS,
        )
    tiff.check_claims(directory, source)
    tile = directory.columns, directory.rows
    frames: Frames
    if directory.tiled and directory.compression == tiff.JPEG:
        frames = PassedThroughTiles(source, directory, JpegTiles(directory), white_frame)
        tile = directory.segment_columns, directory.segment_rows
        route = Route.PASSED_THROUGH
    else:
        joined = _joined(source, directory) if directory.compression == tiff.JPEG else None
        frames = joined or _decoded(directory)
        route = Route.PASSED_THROUGH if joined else Route.ENCODED
    return Picture(
        role=role,
        level=None,
        columns=directory.columns,
        rows=directory.rows,
        tile_columns=tile[0],
        tile_rows=tile[1],
        frames=frames,
        route=route,
        shrink=(
            (base.columns / directory.columns, base.rows / directory.rows) if base else (1.0, 1.0)
        ),
        spacing_um=spacing_um,
    )


def _joined(source: SourceFile, directory: Directory) -> SingleFrame | None:
    strips = [
        source.read(offset, count)
        for offset, count in zip(directory.offsets.tolist(), directory.counts.tolist(), strict=True)
    ]
    if not all(strips):
        return None
    try:
        header = jpeg.with_shared(jpeg.read_header(strips[0]), directory.jpeg_tables)
        rgb = len(header.components) == 3 and jpeg.is_rgb(
            header, tag_says_rgb=directory.photometric == tiff.RGB
        )
        pixel_format = jpeg_format(header, rgb=rgb)
        head, body = jpeg.join_strips(
            directory.jpeg_tables, strips, columns=directory.columns, rows=directory.rows, rgb=rgb
        )
        data = [_entropy_coded(strip) for strip in strips]
        data[-1] = bytes(data[-1]) + jpeg.EOI
    except (jpeg.MalformedStream, UnsupportedCompression):
        return None  # decoding it either works or says what is wrong
    return SingleFrame(pixel_format, Frame(head, body), data)


def _entropy_coded(strip: bytes) -> Buffer:
    header = jpeg.read_header(strip)
    return memoryview(strip)[header.length : len(strip) - jpeg.end_of_image(strip[-16:]) - 2]


def _decoded(directory: Directory) -> SingleFrame:
    with tiff.wrapped(f"image {directory.index + 1}"):
        samples = np.asarray(directory.page.asrgb() if _needs_rgb(directory) else _array(directory))
    if samples.dtype != np.uint8 or samples.shape[:2] != (directory.rows, directory.columns):
        raise DamagedSource(f"image {directory.index + 1} does not decode to 8-bit samples")
    if samples.ndim == 3 and samples.shape[2] not in (1, 3):
        samples = samples[..., :3]
    samples = np.ascontiguousarray(samples.squeeze())
    if directory.photometric == tiff.WHITE_IS_ZERO:
        samples = 255 - samples
    # What JPEG had lost before it came to us is said, though nothing is lost here.
    method = None if directory.compression in tiff.LOSSLESS else "ISO_10918_1"
    pixel_format = encoded_format(3 if samples.ndim == 3 else 1, lossy_method=method)
    return SingleFrame(pixel_format, Frame(b"", encoded(samples)), None)


def _needs_rgb(directory: Directory) -> bool:
    return directory.photometric == tiff.PALETTE


def _array(directory: Directory) -> NDArray[np.uint8]:
    return directory.page.asarray(maxworkers=1)  # type: ignore[no-any-return]
