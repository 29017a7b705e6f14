"""TIFF directories as values, checked before anything is believed.

The only module that names tifffile's classes. It turns directories into `Directory` values, whose
byte ranges are known to lie inside the file and whose claimed sizes agree with each other.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conversion import limits
from conversion.errors import (
    ConversionError,
    DamagedSource,
    LimitExceeded,
    OutOfMemory,
    TruncatedSource,
)
from conversion.sources.tiff_chain import check_chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tifffile
    from numpy.typing import NDArray

    from conversion.sources.file import SourceFile

# TIFF 6.0 and its registered extensions
NONE, LZW, OLD_JPEG, JPEG, ADOBE_DEFLATE, DEFLATE = 1, 5, 6, 7, 8, 32946
PACKBITS, ZSTD, LZMA = 32773, 50000, 34925
APERIO_J2K_YCBCR, APERIO_J2K_RGB, JPEG_2000 = 33003, 33005, 34712
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
LOSSLESS = frozenset({NONE, LZW, ADOBE_DEFLATE, DEFLATE, PACKBITS, ZSTD, LZMA})
COMPRESSION_NAMES = {
    NONE: "uncompressed",
    2: "CCITT RLE",
    3: "CCITT T.4",
    4: "CCITT T.6",
    LZW: "LZW",
    OLD_JPEG: "old-style JPEG",
    JPEG: "JPEG",
    ADOBE_DEFLATE: "Deflate",
    DEFLATE: "Deflate",
    PACKBITS: "PackBits",
    ZSTD: "Zstandard",
    LZMA: "LZMA",
    APERIO_J2K_YCBCR: "JPEG 2000 (YCbCr)",
    APERIO_J2K_RGB: "JPEG 2000 (RGB)",
    JPEG_2000: "JPEG 2000",
    22610: "JPEG XR",
    34934: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}

# tifffile reports what it skips of a damaged file through its logger; what matters of it is
# checked here and raised, the rest would only litter the child's output.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Directory:
    """One image of a TIFF file.

    Attributes
    ----------
    index
        Zero-based place among the file's directories; for a SubIFD that of its parent.
    columns, rows
        In pixels.
    segment_columns, segment_rows
        Of a tile, or of a strip.
    offsets, counts
        (segments,) uint64, bytes from the start of the file, bytes. All lie inside the file.
    resolution_um
        Size of a pixel in µm by the resolution tags, width and height; None where they say nothing.
    """

    index: int
    columns: int
    rows: int
    samples: int
    bits: int
    signed_or_float: bool
    compression: int
    predictor: int
    photometric: int
    planar: bool
    tiled: bool
    segment_columns: int
    segment_rows: int
    offsets: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    jpeg_tables: bytes | None
    subfile_type: int
    description: str
    software: str
    resolution_um: tuple[float, float] | None
    icc_profile: bytes | None
    page: Any  # tifffile.TiffPage, for decoding and further tags

    def tag(self, number: int) -> Any:  # noqa: ANN401 - whatever the file has there
        """Return the value of another tag, or None."""
        entry = self.page.tags.get(number)
        return None if entry is None else entry.value

    @property
    def segments_across(self) -> int:
        """Tiles in a row of tiles; 1 for strips."""
        return -(-self.columns // self.segment_columns)

    @property
    def compression_name(self) -> str:
        """The compression in words."""
        return COMPRESSION_NAMES.get(self.compression, f"compression {self.compression}")


@dataclass(frozen=True, slots=True)
class TiffFacts:
    """A TIFF file: its directories, and what tifffile recognised.

    Attributes
    ----------
    directories
        In file order.
    sub_directories
        Index of a directory → its SubIFDs.
    """

    tiff: Any  # tifffile.TiffFile
    directories: tuple[Directory, ...]
    sub_directories: dict[int, tuple[Directory, ...]]

    def all_directories(self) -> Iterator[Directory]:
        """Every directory and SubIFD."""
        yield from self.directories
        for group in self.sub_directories.values():
            yield from group


@contextmanager
def wrapped(what: str) -> Iterator[None]:
    """Turn whatever tifffile or numpy throws over a broken file into `DamagedSource`."""
    try:
        yield
    except ConversionError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{what} needs more memory than allowed") from error
    except Exception as error:  # tifffile raises nearly every kind there is
        detail = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DamagedSource(f"{what} cannot be read: {detail}", detail=detail) from error


@contextmanager
def open_tiff(source: SourceFile) -> Iterator[TiffFacts]:
    """Open a TIFF file and read its directories.

    Raises
    ------
    DamagedSource, TruncatedSource, LimitExceeded
        Directories that cannot be read, contradict themselves or claim too much.
    """
    import tifffile

    check_chain(source)
    with wrapped("the TIFF header"):
        tiff = tifffile.TiffFile(source.path)
    with tiff:
        with wrapped("the list of TIFF directories"):
            facts = _facts(tiff, source)
        yield facts


def _facts(tiff: tifffile.TiffFile, source: SourceFile) -> TiffFacts:
    tiff.pages.cache = True
    count = len(tiff.pages)
    if count > limits.MAX_DIRECTORIES:
        raise LimitExceeded(
            f"the file claims {count} images, more than {limits.MAX_DIRECTORIES} are not accepted",
            what="directories",
            claimed=count,
            limit=limits.MAX_DIRECTORIES,
        )
    directories = []
    children: dict[int, tuple[Directory, ...]] = {}
    for index in range(count):
        page = _whole(tiff.pages[index])
        directories.append(_directory(index, page, source))
        if page.subifds:
            if len(page.subifds) > limits.MAX_DIRECTORIES:
                raise LimitExceeded(
                    f"an image claims {len(page.subifds)} SubIFDs",
                    what="directories",
                    claimed=len(page.subifds),
                    limit=limits.MAX_DIRECTORIES,
                )
            children[index] = tuple(
                _directory(index, _whole(child), source) for child in page.pages or ()
            )
    return TiffFacts(tiff, tuple(directories), children)


def _whole(page: Any) -> Any:  # noqa: ANN401 - TiffPage or TiffFrame
    return page.aspage() if hasattr(page, "aspage") else page


def _directory(index: int, page: Any, source: SourceFile) -> Directory:  # noqa: ANN401
    tiled = bool(page.is_tiled)
    columns, rows = int(page.imagewidth), int(page.imagelength)
    across = int(page.tilewidth) if tiled else columns
    down = int(page.tilelength) if tiled else min(int(page.rowsperstrip), rows)
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    bits = page.bitspersample
    return Directory(
        index=index,
        columns=columns,
        rows=rows,
        samples=int(page.samplesperpixel),
        bits=int(bits if isinstance(bits, int) else max(bits)),
        signed_or_float=int(page.sampleformat) not in (1, 4),
        compression=int(page.compression),
        predictor=int(page.predictor),
        photometric=int(page.photometric),
        planar=int(page.planarconfig) == 2 and int(page.samplesperpixel) > 1,
        tiled=tiled,
        segment_columns=across,
        segment_rows=down,
        offsets=offsets,
        counts=counts,
        jpeg_tables=_bytes_of(page, 347, limits.MAX_TABLES_BYTES, "shared JPEG tables"),
        subfile_type=int(page.subfiletype),
        description=_description(page),
        software=str(page.software or ""),
        resolution_um=_resolution_um(page),
        icc_profile=_bytes_of(page, 34675, limits.MAX_PROFILE_BYTES, "ICC profile"),
        page=page,
    )


def _bytes_of(page: Any, tag: int, limit: int, what: str) -> bytes | None:  # noqa: ANN401
    entry = page.tags.get(tag)
    if entry is None:
        return None
    if entry.count > limit:
        raise LimitExceeded(
            f"the {what} claim {entry.count} bytes, more than {limit} are not accepted",
            what=what,
            claimed=entry.count,
            limit=limit,
        )
    value = entry.value
    return bytes(value) if isinstance(value, bytes | bytearray) and value else None


def _description(page: Any) -> str:  # noqa: ANN401
    entry = page.tags.get(270)
    if entry is None or entry.count > limits.MAX_DESCRIPTION_BYTES:
        return ""
    return str(page.description)


def _resolution_um(page: Any) -> tuple[float, float] | None:  # noqa: ANN401
    unit = {2: 25_400.0, 3: 10_000.0}.get(int(page.resolutionunit))
    if unit is None or 282 not in page.tags or 283 not in page.tags:
        return None
    values = []
    for tag in (282, 283):
        value = page.tags[tag].value
        numerator, denominator = value if isinstance(value, tuple) else (value, 1)
        if numerator <= 0 or denominator <= 0:
            return None
        values.append(unit * denominator / numerator)
    return values[0], values[1]


def check_claims(directory: Directory, source: SourceFile) -> None:
    """Check a directory that is to be converted against limits, itself and the file.

    Raises
    ------
    LimitExceeded
        It claims more than is accepted.
    DamagedSource
        Its tile count does not follow from its size.
    TruncatedSource
        A tile lies outside the file.
    """
    name = f"image {directory.index + 1}"
    for what, claimed, limit in (
        ("width", directory.columns, limits.MAX_SIDE),
        ("height", directory.rows, limits.MAX_SIDE),
        ("tile width", directory.segment_columns if directory.tiled else 1, limits.MAX_TILE_SIDE),
        ("tile height", directory.segment_rows if directory.tiled else 1, limits.MAX_TILE_SIDE),
    ):
        if not 0 < claimed <= limit:
            raise LimitExceeded(
                f"{name} claims a {what} of {claimed} pixels; 1 to {limit} are accepted",
                what=what,
                claimed=claimed,
                limit=limit,
            )
    planes = directory.samples if directory.planar else 1
    expected = directory.segments_across * -(-directory.rows // directory.segment_rows) * planes
    if expected > limits.MAX_TILES:
        raise LimitExceeded(
            f"{name} claims {expected} tiles, more than {limits.MAX_TILES} are not accepted",
            what="tiles",
            claimed=expected,
            limit=limits.MAX_TILES,
        )
    if len(directory.offsets) != expected or len(directory.counts) != expected:
        raise DamagedSource(
            f"{name} claims {directory.columns} x {directory.rows} pixels, which needs {expected} "
            f"tiles or strips, but lists {min(len(directory.offsets), len(directory.counts))}",
            expected=expected,
            listed=min(len(directory.offsets), len(directory.counts)),
        )
    _check_ranges(directory, name, source)


def _check_ranges(directory: Directory, name: str, source: SourceFile) -> None:
    size = np.uint64(source.size)
    outside = (directory.counts > size) | (directory.offsets > size)
    outside |= directory.offsets > size - np.minimum(directory.counts, size)
    outside &= directory.counts > 0
    if outside.any():
        raise TruncatedSource(
            f"the file is truncated or damaged: {int(outside.sum())} of {len(outside)} tiles of "
            f"{name} lie past its end at byte {source.size}; copy it again from the scanner",
            size=source.size,
            tiles_outside=int(outside.sum()),
        )
    largest = int(directory.counts.max(initial=0))
    if largest > limits.MAX_TILE_BYTES:
        raise LimitExceeded(
            f"a tile of {name} claims {largest} bytes, more than {limits.MAX_TILE_BYTES} are not "
            "accepted",
            what="tile bytes",
            claimed=largest,
            limit=limits.MAX_TILE_BYTES,
        )
    total = float(directory.counts.sum(dtype=np.float64))
    if total > limits.MAX_EXPANSION * source.size:
        raise LimitExceeded(
            f"the tiles of {name} add up to {total / source.size:.0f} times the file; "
            f"{limits.MAX_EXPANSION} times are accepted",
            what="expansion",
            claimed=int(total),
            limit=limits.MAX_EXPANSION * source.size,
        )
