"""Small Hamamatsu NDPI files: each level one JPEG with restart markers, and where each begins."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.slides import paint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TEXT, _SHORT, _LONG, _RATIONAL, _SIGNED, _FLOAT = 2, 3, 4, 5, 9, 11
_MCU_COLUMNS = 8  # of 4:4:4, whose pixels do not hang on their neighbours


def make_ndpi(
    path: Path,
    sizes: Sequence[tuple[int, int]] = ((768, 424), (384, 212)),
    *,
    strip_columns: Sequence[int] = (256, 128),
) -> Path:
    """Write a slide.

    Parameters
    ----------
    sizes
        Columns and rows of each level, base first.
    strip_columns
        Columns of a restart interval in each level.
    """
    out = bytearray(b"II*\0" + bytes(8))
    link = 4
    for (columns, rows), strip in zip(sizes, strip_columns, strict=True):
        step = sizes[0][0] / columns
        stream = _jpeg(columns, rows, step, strip // _MCU_COLUMNS)
        link = _add_level(out, link, (columns, rows), stream, power=20 / step)
    path.write_bytes(out)
    return path


def _jpeg(columns: int, rows: int, step: float, units: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(paint(5, 0, 0, columns, rows, step)).save(
        stream, "JPEG", quality=80, subsampling="4:4:4", restart_marker_blocks=units
    )
    return stream.getvalue()


def _starts(stream: bytes) -> list[int]:
    """Find where the restart intervals of a stream begin."""
    at = 2
    while stream[at + 1] != 0xDA:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    found = [at]
    while (at := stream.find(b"\xff", at)) >= 0:
        at += 2
        if 0xD0 <= stream[at - 1] <= 0xD7:
            found.append(at)
    return found


def _add_level(
    out: bytearray, link: int, size: tuple[int, int], stream: bytes, *, power: float
) -> int:
    """Append an image and its directory, in NDPI's dialect of TIFF; give where the next is linked.

    Offsets to directories have eight bytes, and four bytes of each value's upper half follow the
    directory.
    """
    data = _append(out, stream)
    starts = _starts(stream)
    spacing = struct.pack("<II", round(20000 * power / 20), 1)
    entries = [
        (256, _LONG, 1, struct.pack("<I", size[0])),
        (257, _LONG, 1, struct.pack("<I", size[1])),
        (258, _SHORT, 3, struct.pack("<3H", 8, 8, 8)),
        (259, _SHORT, 1, struct.pack("<H", 7)),
        (262, _SHORT, 1, struct.pack("<H", 6)),
        (271, _TEXT, 10, b"Hamamatsu\0"),
        (272, _TEXT, 5, b"Test\0"),
        (273, _LONG, 1, struct.pack("<I", data)),
        (277, _SHORT, 1, struct.pack("<H", 3)),
        (278, _LONG, 1, struct.pack("<I", size[1])),
        (279, _LONG, 1, struct.pack("<I", len(stream))),
        (282, _RATIONAL, 1, spacing),
        (283, _RATIONAL, 1, spacing),
        (296, _SHORT, 1, struct.pack("<H", 3)),
        (65420, _LONG, 1, struct.pack("<I", 1)),
        (65421, _FLOAT, 1, struct.pack("<f", power)),
        (65424, _SIGNED, 1, struct.pack("<I", 0)),
        (65426, _LONG, len(starts), struct.pack(f"<{len(starts)}I", *starts)),
    ]
    packed = []
    for tag, kind, count, value in entries:
        # Texts are never within the entry, however short.
        held = (
            value if len(value) <= 4 and kind != _TEXT else struct.pack("<I", _append(out, value))
        )
        packed.append(struct.pack("<HHI", tag, kind, count) + held.ljust(4, b"\0"))
    directory = struct.pack("<H", len(packed)) + b"".join(packed)
    at = _append(out, directory + bytes(8) + bytes(4 * len(packed)))
    out[link : link + 8] = struct.pack("<Q", at)
    return at + len(directory)


def _append(out: bytearray, data: bytes) -> int:
    out += bytes(-len(out) % 8)
    at = len(out)
    out += data
    return at
