"""Levels of a pyramid out of tiled TIFF directories, each by the route its coding allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from conversion.errors import DamagedSource, UnsupportedCompression
from conversion.manifest import Role, Route
from conversion.sources import tiff
from conversion.sources.background import white_frame
from conversion.sources.encoded import EncodedTiles
from conversion.sources.jpeg2000_tiles import Jpeg2000Tiles
from conversion.sources.slide import Picture
from conversion.sources.tiles import JpegTiles, PassedThroughTiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Frames
    from conversion.sources.tiff import Directory
    from conversion.sources.tiles import Stream

# A microscope's pixel lies between these, in µm at the base level. Resolution tags of 72 or 96 dpi
# (353 and 265 µm) come from software that had to write something.
_SMALLEST_UM, _LARGEST_UM = 0.02, 50.0
_SHAPE_TOLERANCE = 0.02  # by which levels may differ in aspect ratio, beyond rounding to pixels


def believable_spacing(spacing_um: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the spacing if a microscope could have it and its pixels are about square."""
    if spacing_um is None or not all(_SMALLEST_UM <= s <= _LARGEST_UM for s in spacing_um):
        return None
    return spacing_um if 0.5 <= spacing_um[0] / spacing_um[1] <= 2 else None


def pyramid_levels(
    source: SourceFile, directories: Sequence[Directory], warnings: list[str]
) -> Iterator[Picture]:
    """Give each level as a picture, largest first.

    Raises
    ------
    ConversionError
        A directory claims what cannot be, or is coded in a way that is not converted.
    """
    ordered = sorted(directories, key=lambda d: -d.columns * d.rows)
    for directory in ordered:
        tiff.check_claims(directory, source)
    base = ordered[0]
    for level, directory in enumerate(ordered):
        _check_shape(base, directory)
        frames, route = level_frames(source, directory)
        if isinstance(frames, PassedThroughTiles) and frames.empty_tiles:
            warnings.append(
                f"level {level}: the scanner left {frames.empty_tiles} of {frames.count} tiles "
                "empty; they are white here"
            )
        if route is Route.ENCODED:
            warnings.append(
                f"level {level}: {directory.compression_name} is not a transfer syntax of DICOM; "
                "pixels are stored anew without loss"
            )
        yield Picture(
            role=Role.VOLUME,
            level=level,
            columns=directory.columns,
            rows=directory.rows,
            tile_columns=directory.segment_columns,
            tile_rows=directory.segment_rows,
            frames=frames,
            route=route,
            shrink=shrink(base, directory),
        )


def level_frames(source: SourceFile, directory: Directory) -> tuple[Frames, Route]:
    """Return the frames of one level and how they get into the instance."""
    if directory.planar and directory.samples > 1:
        raise UnsupportedCompression(
            "colour planes are stored apart; interleaved samples are converted",
            format="TIFF",
            compression="planar",
        )
    if directory.bits != 8 or directory.signed_or_float:
        raise UnsupportedCompression(
            f"pixels have {directory.bits} bits a sample; unsigned samples of 8 bits are converted",
            format="TIFF",
            compression=f"{directory.bits} bits",
        )
    stream = _stream(directory)
    if stream is not None:
        return PassedThroughTiles(source, directory, stream, white_frame), Route.PASSED_THROUGH
    plain = (tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO) if directory.samples == 1 else (tiff.RGB,)
    if directory.compression in tiff.LOSSLESS and directory.photometric in plain:
        return EncodedTiles(source, directory), Route.ENCODED
    raise UnsupportedCompression(
        f"tiles are stored as {directory.compression_name} with photometric interpretation "
        f"{directory.photometric}; JPEG, JPEG 2000 and lossless RGB or gray are converted",
        format="TIFF",
        compression=directory.compression_name,
    )


def _stream(directory: Directory) -> Stream | None:
    if directory.compression == tiff.JPEG:
        return JpegTiles(directory)
    if directory.compression in (tiff.APERIO_J2K_YCBCR, tiff.APERIO_J2K_RGB, tiff.JPEG_2000):
        return Jpeg2000Tiles(directory)
    return None


def is_smaller_copy(base: Directory, level: Directory) -> bool:
    """Whether a directory has the shape of the base in small, up to rounding to whole pixels."""
    if not base.columns or not level.columns or level.columns > base.columns:
        return False
    rows = base.rows * level.columns / base.columns
    slack = max(2.0, _SHAPE_TOLERANCE * rows)
    return level.rows <= base.rows and abs(rows - level.rows) <= slack


def shrink(base: Directory, level: Directory) -> tuple[float, float]:
    """Return by how much a level is smaller than the base, across and down.

    Scanners halve and drop the odd pixel, so 2033 columns become 63 after five halvings: the
    factor is 32, not 32.27. The power of two, else the whole number, that explains the level's size
    is taken; where none does, the sizes are divided.
    """
    ratio = base.columns / level.columns
    for factor in (2 ** round(math.log2(ratio)), round(ratio)):
        if all(
            size // factor <= small <= -(-size // factor)
            for size, small in ((base.columns, level.columns), (base.rows, level.rows))
        ):
            return float(factor), float(factor)
    return ratio, base.rows / level.rows


def _check_shape(base: Directory, level: Directory) -> None:
    if not is_smaller_copy(base, level):
        raise DamagedSource(
            f"image {level.index + 1} of {level.columns} x {level.rows} pixels is no smaller copy "
            f"of image {base.index + 1} of {base.columns} x {base.rows}",
            image=level.index + 1,
        )
