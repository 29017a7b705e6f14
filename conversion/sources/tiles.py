"""Tiles of a TIFF that are already frames: passed through, made whole, never decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from conversion import jpeg
from conversion.errors import DamagedSource, UnsupportedCompression
from conversion.sources import tiff
from conversion.sources.slide import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    Frame,
    PixelFormat,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Buffer
    from conversion.sources.tiff import Directory

_KNOWN_HEADERS = 16  # tiles of a level start alike; more variants than this are not remembered


class Stream(Protocol):
    """What is known of one tile: what to put before it, and which bytes of it are data."""

    def frame(self, raw: bytes) -> Frame:
        """Return the stored frame of a source tile."""

    def data(self, raw: bytes) -> Buffer:
        """Return the bytes of a source tile that must stand in its frame unchanged."""

    @property
    def format(self) -> PixelFormat:
        """How the tiles are coded."""


@dataclass(slots=True)
class _Variant:
    """A header that tiles of this level start with, and the complete one for it."""

    start: bytes
    complete: bytes
    header: jpeg.JpegHeader


class JpegTiles:
    """JPEG tiles of one directory.

    Parameters
    ----------
    directory
        Says the tile's size, shared tables and colour.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._variants: list[_Variant] = []
        self._format: PixelFormat | None = None

    @property
    def format(self) -> PixelFormat:
        """How the tiles are coded; known once one tile was seen."""
        if self._format is None:
            raise DamagedSource("the image has no tile with data")
        return self._format

    def frame(self, raw: bytes) -> Frame:
        """Return the frame of a tile: its completed header, its own data."""
        variant = self._variant(raw)
        surplus = jpeg.end_of_image(raw[-16:])
        return Frame(variant.complete, memoryview(raw)[variant.header.length : len(raw) - surplus])

    def data(self, raw: bytes) -> Buffer:
        """Return the entropy-coded data of a tile with the end-of-image marker."""
        length = self._variant(raw).header.length
        return memoryview(raw)[length : len(raw) - jpeg.end_of_image(raw[-16:])]

    def _variant(self, raw: bytes) -> _Variant:
        for known in self._variants:
            if raw.startswith(known.start):
                return known
        directory = self._directory
        own = jpeg.read_header(raw)
        header = jpeg.with_shared(own, directory.jpeg_tables)
        if (own.columns, own.rows) != (directory.segment_columns, directory.segment_rows):
            raise jpeg.MalformedStream(
                f"is {own.columns} x {own.rows} pixels where its directory says "
                f"{directory.segment_columns} x {directory.segment_rows}"
            )
        rgb = len(own.components) == 3 and jpeg.is_rgb(
            header, tag_says_rgb=directory.photometric == tiff.RGB
        )
        pixel_format = jpeg_format(header, rgb=rgb)
        if self._format is not None and pixel_format != self._format:
            raise jpeg.MalformedStream("is coded otherwise than the tiles before it")
        self._format = pixel_format
        start = raw[: own.length]
        complete = jpeg.complete_header(directory.jpeg_tables, start, own, rgb=rgb)
        variant = _Variant(start, complete, own)
        self._variants = [variant, *self._variants[: _KNOWN_HEADERS - 1]]
        return variant


def jpeg_format(header: jpeg.JpegHeader, *, rgb: bool) -> PixelFormat:
    """Return how a frame with this header is to be described (PS3.5 §8.2.1, §10).

    Raises
    ------
    UnsupportedCompression
        The coding process is not one that DICOM's transfer syntaxes allow, or not 8 bits.
    """
    syntax = {0xC0: JPEG_BASELINE, 0xC1: JPEG_EXTENDED}.get(header.process)
    if syntax is None or header.bits != 8:
        raise UnsupportedCompression(
            f"tiles are {header.process_name} JPEG of {header.bits} bits; baseline and extended "
            "sequential of 8 bits are converted",
            format="JPEG",
            compression=header.process_name,
        )
    samples = len(header.components)
    if samples == 1:
        photometric = "MONOCHROME2"
    elif samples != 3:
        raise UnsupportedCompression(
            f"tiles have {samples} colour components; 1 and 3 are converted",
            format="JPEG",
            compression=f"{samples} components",
        )
    elif rgb:
        photometric = "RGB"
    else:
        # Whatever the subsampling, 4:4:4 and 4:2:0 too: it is the only term for a YCbCr JPEG that a
        # whole slide image may have (PS3.3 §C.8.12.4, PS3.5 §8.2.1), and decoders go by the stream.
        photometric = "YBR_FULL_422"
    return PixelFormat(syntax, photometric, samples, "ISO_10918_1")


class PassedThroughTiles:
    """The tiles of one directory as frames, in order.

    Making one looks at every tile: its start, its header, its end. Nothing is held but lengths.

    Parameters
    ----------
    directory
        Its ranges were checked.
    stream
        Knows the coding.
    background
        Stands in for tiles the scanner left empty; made when first needed.

    Raises
    ------
    DamagedSource
        A tile is not what it must be.
    """

    def __init__(
        self, source: SourceFile, directory: Directory, stream: Stream, background: Background
    ) -> None:
        self._source = source
        self._directory = directory
        self._stream = stream
        self._background = background
        self._empty_frame: Frame | None = None
        self.empty_tiles = 0
        self.lengths: NDArray[np.uint32] = self._check()
        self.count = len(self.lengths)

    @property
    def format(self) -> PixelFormat:
        """How the tiles are coded."""
        return self._stream.format

    def __iter__(self) -> Iterator[Frame]:
        frame = self._stream.frame
        for raw in self._raw():
            yield frame(raw) if raw else self._empty()

    def source_data(self) -> Iterator[Sequence[Buffer]]:
        """Give, for each frame, the source's entropy-coded data or code stream."""
        data = self._stream.data
        for raw in self._raw():
            yield (data(raw),) if raw else ()

    def matches(self, index: int, stored: bytes) -> bool:
        """Say no: these frames are compared by `source_data`."""
        return False

    def _raw(self) -> Iterator[bytes]:
        read = self._source.read
        for offset, count in zip(
            self._directory.offsets.tolist(), self._directory.counts.tolist(), strict=True
        ):
            yield read(offset, count) if count else b""

    def _check(self) -> NDArray[np.uint32]:
        lengths = np.zeros(len(self._directory.counts), np.uint32)
        frame = self._stream.frame
        for index, raw in enumerate(self._raw()):
            if not raw:
                continue
            try:
                lengths[index] = frame(raw).size
            except jpeg.MalformedStream as error:
                raise DamagedSource(
                    f"the file is damaged: tile {index + 1} of image "
                    f"{self._directory.index + 1} {error}",
                    image=self._directory.index + 1,
                    tile=index + 1,
                ) from error
        empty = self._directory.counts == 0
        self.empty_tiles = int(empty.sum())
        if self.empty_tiles:
            lengths[empty] = self._empty().size
        return lengths

    def _empty(self) -> Frame:
        if self._empty_frame is None:
            self._empty_frame = self._background(self._stream.format, self._directory)
        return self._empty_frame


class Background(Protocol):
    """Makes the tile that stands in for an empty one."""

    def __call__(self, pixel_format: PixelFormat, directory: Directory) -> Frame:
        """Return a white frame of the directory's tile size, coded as its neighbours are."""
