"""DICOM files that are made to hurt: small, and claiming or unfolding to something huge."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)
from tests.support.dicom_files import (
    encapsulated_element,
    encode,
    file_meta,
    jpeg_slide,
    part10,
    whole_slide_attributes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

DEPTH = 600
UNDEFINED = 0xFFFFFFFF


def attributes(**given: object) -> Dataset:
    """Make the header of a slide of one tile of 8 x 8."""
    return whole_slide_attributes(rows=8, columns=8, across=1, down=1, **given)


def with_elements(elements: bytes, syntax: str = EXPLICIT_LITTLE) -> bytes:
    """Put elements behind the header of a slide, which ends before the pixel data."""
    header = attributes()
    return file_meta(header, syntax) + encode(header, syntax) + elements


def explicit(group: int, element: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    """Write an element of a long VR in Explicit VR Little Endian, with any length."""
    return struct.pack("<HH2sHL", group, element, vr, 0, length) + value


def nested(depth: int, *, undefined: bool) -> bytes:
    """Nest sequences of one item each."""
    content = b""
    for _ in range(depth):
        length = UNDEFINED if undefined else len(content)
        item = struct.pack("<HHL", 0xFFFE, 0xE000, length) + content
        if undefined:
            item += struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        length = UNDEFINED if undefined else len(item)
        content = explicit(0x0088, 0x0200, b"SQ", length, item)
        if undefined:
            content += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return content


def huge_claims(frame: bytes, syntax: str, **given: object) -> bytes:
    """Make a file of one frame."""
    header = attributes(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", **given)
    return part10(header, syntax, encapsulated_element([[frame]]))


def jpeg_of(side: int) -> bytes:
    """Change what a small JPEG says of its size."""
    frame = jpeg_slide(across=1, down=1, side=8).frames[0]
    start = frame.index(b"\xff\xc0")
    return frame[: start + 5] + struct.pack(">HH", side, side) + frame[start + 9 :]


def jpeg_2000_of(width: int, height: int, tile: int) -> bytes:
    """Write the start of a codestream of this size, of tiles of that (T.800 Annex A)."""
    size = struct.pack(">H", 0) + struct.pack(
        ">LLLLLLLLH", width, height, 0, 0, tile, tile, 0, 0, 3
    )
    size += bytes((7, 1, 1)) * 3
    coding = bytes((0, 0)) + struct.pack(">H", 1) + bytes((1, 5, 4, 4, 0, 1))
    quantization = bytes((0x40,)) + bytes(range(0x40, 0x50))
    return (
        b"\xff\x4f"
        + b"\xff\x51"
        + struct.pack(">H", len(size) + 2)
        + size
        + b"\xff\x52"
        + struct.pack(">H", len(coding) + 2)
        + coding
        + b"\xff\x5c"
        + struct.pack(">H", len(quantization) + 2)
        + quantization
        + b"\xff\x90"
        + struct.pack(">HHLBB", 10, 0, 0, 0, 1)
        + b"\xff\x93"
        + bytes(64)
        + b"\xff\xd9"
    )


def deflated(data_set: bytes) -> bytes:
    """Make a file whose data set is deflated (PS3.5 §A.5)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data_set) + packer.flush()
    return file_meta(attributes(), DEFLATED) + packed


def deflate_bomb(mebibytes: int, head: bytes) -> bytes:
    """Deflate a data set whose last element is nothing but zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = [packer.compress(head)]
    zeros = bytes(1024 * 1024)
    packed += [packer.compress(zeros) for _ in range(mebibytes)]
    return file_meta(attributes(), DEFLATED) + b"".join(packed) + packer.flush()


def _bomb_of_pixels() -> bytes:
    head = encode(attributes(), EXPLICIT_LITTLE)
    return deflate_bomb(250, head + explicit(0x7FE0, 0x0010, b"OB", 250 * 1024**2))


def _bomb_of_header() -> bytes:
    head = encode(attributes(), EXPLICIT_LITTLE)
    return deflate_bomb(250, head + explicit(0x0089, 0x1001, b"OB", 250 * 1024**2))


MAKERS: dict[str, Callable[[], bytes]] = {
    "600 levels of sequences": lambda: with_elements(nested(DEPTH, undefined=False)),
    "600 levels without lengths": lambda: with_elements(nested(DEPTH, undefined=True)),
    "100,000 levels without lengths": lambda: with_elements(
        (
            explicit(0x0088, 0x0200, b"SQ", UNDEFINED)
            + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
        )
        * 100_000
    ),
    "65535 rows and columns, native": lambda: part10(
        attributes(Rows=65535, Columns=65535),
        EXPLICIT_LITTLE,
        explicit(0x7FE0, 0x10, b"OB", 8, bytes(8)),
    ),
    "65535 rows and columns, JPEG": lambda: huge_claims(
        jpeg_of(8), JPEG_BASELINE, Rows=65535, Columns=65535
    ),
    "65535 rows and columns, and a JPEG that says so": lambda: huge_claims(
        jpeg_of(65535), JPEG_BASELINE, Rows=65535, Columns=65535
    ),
    "a JPEG that says 65535 in a tile of 8": lambda: huge_claims(jpeg_of(65535), JPEG_BASELINE),
    "a JPEG 2000 that says 2**31 in a tile of 8": lambda: huge_claims(
        jpeg_2000_of(2**31 - 1, 2**31 - 1, 2**31 - 1), JPEG_2000_LOSSLESS
    ),
    "a JPEG 2000 that says 60000 in a tile of 8": lambda: huge_claims(
        jpeg_2000_of(60000, 60000, 60000), JPEG_2000_LOSSLESS
    ),
    "a JPEG 2000 of 2**32 tiles": lambda: huge_claims(
        jpeg_2000_of(65535, 65535, 1), JPEG_2000_LOSSLESS
    ),
    "2**31 frames": lambda: huge_claims(jpeg_of(8), JPEG_BASELINE, NumberOfFrames=2**31 - 1),
    "a total matrix of 2**31": lambda: huge_claims(
        jpeg_of(8), JPEG_BASELINE, TotalPixelMatrixColumns=2**31 - 1, TotalPixelMatrixRows=2**31 - 1
    ),
    "a sparse matrix of 2**31": lambda: huge_claims(
        jpeg_of(8),
        JPEG_BASELINE,
        TotalPixelMatrixColumns=2**31 - 1,
        TotalPixelMatrixRows=2**31 - 1,
        DimensionOrganizationType="TILED_SPARSE",
    ),
    "no rows": lambda: huge_claims(jpeg_of(8), JPEG_BASELINE, Rows=0, Columns=0),
    "4 GB of an element": lambda: with_elements(explicit(0x0089, 0x1001, b"OB", 0xFFFFFFFE)),
    "4 GB of text": lambda: with_elements(explicit(0x0089, 0x1001, b"UT", 0xFFFFFFFE)),
    "4 GB of a sequence": lambda: with_elements(explicit(0x0088, 0x0200, b"SQ", 0xFFFFFFFE)),
    "4 GB of an item": lambda: with_elements(
        explicit(0x0088, 0x0200, b"SQ", UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFE)
    ),
    "4 GB of pixel data": lambda: with_elements(explicit(0x7FE0, 0x0010, b"OB", 0xFFFFFFFE)),
    "4 GB, implicit": lambda: with_elements(
        struct.pack("<HHL", 0x0088, 0x0200, 0xFFFFFFFE), IMPLICIT_LITTLE
    ),
    "undefined length that never ends": lambda: with_elements(
        explicit(0x0088, 0x0200, b"SQ", UNDEFINED)
        + (struct.pack("<HHL", 0xFFFE, 0xE000, 0)) * 50_000
    ),
    "fragments that never end": lambda: with_elements(
        explicit(0x7FE0, 0x0010, b"OB", UNDEFINED)
        + (struct.pack("<HHL", 0xFFFE, 0xE000, 2) + b"\xff\xd8") * 50_000,
        JPEG_BASELINE,
    ),
    "UN of undefined length": lambda: with_elements(
        explicit(0x0089, 0x1001, b"UN", UNDEFINED)
        + (struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)) * 100_000
    ),
    "deflated pixel data of 250 MB": _bomb_of_pixels,
    "a deflated header of 250 MB": _bomb_of_header,
    "deflated noise": lambda: file_meta(attributes(), DEFLATED) + bytes(range(256)) * 100,
    "a deflated data set within another": lambda: deflated(deflated(bytes(1000))),
    "a million values": lambda: with_elements(
        explicit(0x0089, 0x1001, b"UC", 2_000_000, b"1\\" * 1_000_000)
    ),
    "32,000 empty elements": lambda: with_elements(
        b"".join(explicit(0x0089, 0x1001 + n, b"UN", 0) for n in range(32_000))
    ),
}
