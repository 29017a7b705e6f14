"""Tiles made of a level's restart intervals: one tall JPEG becomes frames, bit for bit.

Some scanners write a level as one JPEG whose restart intervals are strips, one coded unit high,
and list where each begins. Strips below each other, joined, are a frame: their entropy-coded data
stay the source's, and only the restart markers between them, which number them, are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from conversion import jpeg
from conversion.errors import DamagedSource
from conversion.jpeg_intervals import holds_marker, join_intervals, resized, white_interval
from conversion.sources.slide import Frame
from conversion.sources.tiles import jpeg_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Buffer, PixelFormat
    from conversion.sources.tiff import Directory

#: Pixels of a frame, about: a strip's width is the scanner's choice, so height makes up for it.
_FRAME_PIXELS: Final = 1 << 20
_RESTARTS: Final = range(0xD0, 0xD8)


@dataclass(frozen=True, slots=True)
class StripLevel:
    """A level that is one JPEG, each restart interval of which is a strip one coded unit high.

    Attributes
    ----------
    directory
        Its segments are the strips in reading order, each with the marker that ends it. Its ranges
        were checked.
    header
        SOI … SOS, for a picture of the size of one strip.
    """

    directory: Directory
    header: bytes


def interval_levels(source: SourceFile, levels: Sequence[StripLevel]) -> list[IntervalTiles]:
    """Return the frames of each level, all of one size: readers take levels of one size together.

    Frames are as wide as the widest strip; where another level's are narrower several go beside
    each other, and blanks behind the last.

    Raises
    ------
    MalformedStream
        Strips that cannot be joined to frames of one size.
    UnsupportedCompression
        The coding is not one that DICOM allows.
    """
    strips = [_Strips(level) for level in levels]
    columns = max(one.columns for one in strips)
    tallest = max(one.rows for one in strips)
    if any(columns % one.columns or tallest % one.rows for one in strips):
        raise jpeg.MalformedStream("has levels whose strips have no common width")
    base = -(-levels[0].directory.rows // tallest)  # in strips
    rows = tallest * _strips_of_frame(base, columns * tallest)
    return [IntervalTiles(source, one, (columns, rows)) for one in strips]


class _Strips:
    """What the header of a level says of its strips; raises `MalformedStream` where they are none.

    Attributes
    ----------
    units, columns, rows
        Of a strip: coded units in a row, and pixels.
    """

    def __init__(self, level: StripLevel) -> None:
        self.level = level
        self.seen = seen = jpeg.read_header(level.header)
        unit_columns, unit_rows = seen.mcu
        self.units, self.rows = seen.restart_interval, unit_rows
        self.columns = self.units * unit_columns
        directory = level.directory
        listed = directory.segment_columns, directory.segment_rows
        if listed != (self.columns, self.rows) or seen.length != len(level.header):
            raise jpeg.MalformedStream("has restart intervals that are no strips of its image")
        # An interval that went on in the next row of the image would be no rectangle.
        if -(-directory.columns // unit_columns) % self.units:
            raise jpeg.MalformedStream("has restart intervals that do not fill its rows")


class IntervalTiles:
    """The strips of one level as frames, in order; made by `interval_levels`.

    Parameters
    ----------
    tile
        Columns and rows of a frame, whole multiples of a strip's.
    """

    def __init__(self, source: SourceFile, strips: _Strips, tile: tuple[int, int]) -> None:
        self.tile = tile
        self._source = source
        self._directory = directory = strips.level.directory
        self._strips_across = directory.segments_across
        self._strips_down = len(directory.offsets) // self._strips_across
        self._side = (tile[0] // strips.columns, tile[1] // strips.rows)  # of a frame, in strips
        self._across = -(-self._strips_across // self._side[0])
        self._down = -(-self._strips_down // self._side[1])
        self.count = self._across * self._down
        seen = strips.seen
        rgb = len(seen.components) == 3 and jpeg.is_rgb(seen, tag_says_rgb=False)
        self.format: PixelFormat = jpeg_format(seen, rgb=rgb)
        whole = jpeg.complete_header(None, strips.level.header, seen, rgb=rgb)
        self._head = resized(whole, columns=tile[0], rows=tile[1])
        self._blank = white_interval(self._head, strips.units, rgb=rgb)
        self.lengths: NDArray[np.uint32] = self._lengths()

    def __iter__(self) -> Iterator[Frame]:
        for intervals in self._intervals():
            yield Frame(self._head, join_intervals(intervals))

    def source_data(self) -> Iterator[Sequence[Buffer]]:
        """Give, for each frame, the entropy-coded data of the strips that it is made of."""
        for *intervals, last in self._intervals():
            yield (*intervals, last + jpeg.EOI)

    def matches(self, index: int, stored: bytes) -> bool:
        """Say no: these frames are compared by `source_data`."""
        return False

    def _intervals(self) -> Iterator[list[bytes]]:
        for frame in range(self.count):
            yield [self._strip(segment) for segment in self._segments(frame)]

    def _segments(self, frame: int) -> Iterator[int | None]:
        """Give the directory's segments that make a frame, row by row; None is past the edge."""
        across, down = self._side
        left, top = frame % self._across * across, frame // self._across * down
        for row in range(top, top + down):
            for column in range(left, left + across):
                inside = row < self._strips_down and column < self._strips_across
                yield row * self._strips_across + column if inside else None

    def _strip(self, segment: int | None) -> bytes:
        """Read the entropy-coded data of one segment, without the marker that ends it."""
        if segment is None:
            return self._blank
        offset, count = (int(a[segment]) for a in (self._directory.offsets, self._directory.counts))
        raw = self._source.read(offset, count)
        if segment == len(self._directory.offsets) - 1:
            data = raw[: count - self._surplus(raw) - 2]
        elif raw[-2:] == bytes((0xFF, _RESTARTS[segment % 8])):
            data = raw[:-2]
        else:
            raise self._damaged(segment, "does not end with the restart marker that is due")
        if holds_marker(data):
            raise self._damaged(segment, "is cut by a marker")
        return data

    def _surplus(self, raw: bytes) -> int:
        try:
            return jpeg.end_of_image(raw[-16:])
        except jpeg.MalformedStream as error:
            raise self._damaged(len(self._directory.offsets) - 1, str(error)) from error

    def _damaged(self, segment: int, what: str) -> DamagedSource:
        image = self._directory.index + 1
        return DamagedSource(
            f"the file is damaged: strip {segment + 1} of image {image} {what}",
            image=image,
            tile=segment + 1,
        )

    def _lengths(self) -> NDArray[np.uint32]:
        """Work the frames' lengths out: each strip's marker is replaced by one as long."""
        counts = self._directory.counts.astype(np.int64)
        last = len(counts) - 1
        offset, count = int(self._directory.offsets[last]), int(counts[last])
        tail = min(count, 16)
        counts[last] -= self._surplus(self._source.read(offset + count - tail, tail))
        across, down = self._side
        strips = np.full((self._down * down, self._across * across), len(self._blank) + 2, np.int64)
        listed = counts.reshape(self._strips_down, self._strips_across)
        strips[: self._strips_down, : self._strips_across] = listed
        frames = strips.reshape(self._down, down, self._across, across).sum(axis=(1, 3))
        return (frames + len(self._head)).ravel().astype(np.uint32)


def _strips_of_frame(strips: int, pixels: int) -> int:
    """Choose how many strips of so many pixels make a frame; evenly many, to save blanks."""
    most = 1
    while 2 * most * pixels <= _FRAME_PIXELS:
        most *= 2
    frames = -(-strips // most)
    return -(-strips // frames)
