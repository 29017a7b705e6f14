"""Writing the slide as Aperio's scanners do: a tiled pyramid with a thumbnail, a label and a macro.

What OpenSlide documents of the format is followed: the first page is the base level, the second
the thumbnail, then the reduced levels, then label and macro, each named by the second line of its
description. Tiles share their JPEG tables through tag 347.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
import tifffile
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scripts.demo_slide.paint import Pixels

TILE = 256
QUALITY = 82
LEVELS = (1, 4, 16, 32)
"""How much smaller each level of the pyramid is than the first."""

MICRONS_PER_PIXEL = 0.2500
APPARENT_MAGNIFICATION = 40
_SUBSAMPLING = "422"


@dataclass(frozen=True, slots=True)
class Tables:
    """A JPEG stream cut in two: what every tile shares, and what is its own (ITU-T T.81 §B.5)."""

    shared: bytes
    own: bytes


def split_tables(stream: bytes) -> Tables:
    """Cut quantization and Huffman tables out of a JPEG stream, as TIFF's tag 347 wants them.

    Parameters
    ----------
    stream
        A whole baseline JPEG, start of image to end of image.
    """
    shared, own, at = [b"\xff\xd8"], [b"\xff\xd8"], 2
    while True:
        marker = stream[at + 1]
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = stream[at : at + length]
        if marker == 0xDA:
            own.append(stream[at:])
            break
        if marker in (0xDB, 0xC4):
            shared.append(segment)
        elif marker != 0xE0:  # JFIF's own segment has no place in a TIFF
            own.append(segment)
        at += length
    return Tables(b"".join([*shared, b"\xff\xd9"]), b"".join(own))


def encode(pixels: Pixels) -> Tables:
    """Compress one tile, `(TILE, TILE, 3)` uint8."""
    stream = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality=QUALITY,
        colorspace="RGB",
        colorsubsampling=_SUBSAMPLING,
    )
    return split_tables(stream)


def srgb_profile() -> bytes:
    """Give an ICC profile of sRGB that is the same on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # ICC.1:2022 §7.2.8: bytes 24 to 35 hold the time it was made.
    profile[24:36] = b"".join(number.to_bytes(2, "big") for number in (2026, 1, 1, 0, 0, 0))
    return bytes(profile)


@dataclass(frozen=True, slots=True)
class Slide:
    """All that goes into the file.

    Attributes
    ----------
    size
        Width and height of the base level in pixels.
    tiles
        For each level the tiles' own JPEG streams, row by row.
    shared
        The tables all of them share.
    thumbnail, label, macro
        `(rows, columns, 3)` uint8 each.
    """

    size: tuple[int, int]
    tiles: Mapping[int, list[bytes]]
    shared: bytes
    thumbnail: Pixels
    label: Pixels
    macro: Pixels


def write(path: Path, slide: Slide) -> None:
    """Write an Aperio SVS file."""
    width, height = slide.size
    profile = srgb_profile()
    head = "Aperio Image Library v12.0.16 \r\n"
    facts = "|".join(
        [
            f"AppMag = {APPARENT_MAGNIFICATION}",
            "StripeWidth = 2040",
            "ScanScope ID = COVERSLIP",
            "Filename = demo",
            "Date = 01/01/26",
            "Time = 09:00:00",
            "Time Zone = GMT+00:00",
            "User = procedural",
            f"MPP = {MICRONS_PER_PIXEL:.4f}",
            "Left = 24.500000",
            "Top = 17.250000",
            f"OriginalWidth = {width}",
            f"OriginalHeight = {height}",
            "ICC Profile = sRGB",
        ]
    )
    base = f"{width}x{height} [0,0 {width}x{height}] ({TILE}x{TILE})"
    code = f"JPEG/YCC Q={QUALITY}"
    per_cm = 1e4 / MICRONS_PER_PIXEL
    with tifffile.TiffWriter(path, bigtiff=False) as writer:

        def level(scale: int) -> None:
            columns, rows = width // scale, height // scale
            kind = code if scale == 1 else f"-> {columns}x{rows} {code}"
            writer.write(
                iter(slide.tiles[scale]),
                shape=(rows, columns, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 1),
                jpegtables=slide.shared,
                description=f"{head}{base} {kind}|{facts}",
                resolution=(per_cm / scale, per_cm / scale),
                resolutionunit="CENTIMETER",
                **_page(0 if scale == 1 else 1, profile),
            )

        level(1)
        small = slide.thumbnail
        note = f"{head}{base} -> {small.shape[1]}x{small.shape[0]} - |{facts}"
        _strips(writer, small, note, _page(0, profile))
        for scale in LEVELS[1:]:
            level(scale)
        for name, picture, subfile in (("label", slide.label, 1), ("macro", slide.macro, 9)):
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            _strips(writer, picture, f"{head}{name} {size}", _page(subfile, profile))


def _page(subfile: int, profile: bytes) -> dict[str, Any]:
    """Give what every page of the file has in common."""
    return {
        "subfiletype": subfile,
        "iccprofile": profile,
        "metadata": None,
        "software": False,
        "contiguous": False,
    }


def _strips(writer: tifffile.TiffWriter, picture: Pixels, note: str, page: dict[str, Any]) -> None:
    """Write one of the small pictures in strips of 16 rows, which share their tables too."""

    def strips() -> Iterator[bytes]:
        for top in range(0, picture.shape[0], 16):
            yield split_tables(_strip(picture[top : top + 16])).own

    shared = split_tables(_strip(picture[:16])).shared
    writer.write(
        strips(),
        shape=picture.shape,
        dtype=np.uint8,
        rowsperstrip=16,
        compression="jpeg",
        photometric="ycbcr",
        subsampling=(2, 1),
        jpegtables=shared,
        description=note,
        **page,
    )


def _strip(rows: Pixels) -> bytes:
    stream: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(rows), quality=90, colorspace="RGB", colorsubsampling=_SUBSAMPLING
    )
    return stream


def shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Give a smaller picture of `size` = (width, height)."""
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
