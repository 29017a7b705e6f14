"""JPEG 2000 code streams as bytes: the few header fields that decide how DICOM describes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from conversion.jpeg import MalformedStream

_SOC, _EOC, _SOT, _SIZ, _COD = b"\xff\x4f", b"\xff\xd9", b"\xff\x90", 0x51, 0x52
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """What SIZ and COD say (ISO/IEC 15444-1 §A.5.1, §A.6.1).

    Two streams of one level are alike if these are, so offsets are left out of the comparison.

    Attributes
    ----------
    bits
        Of the deepest component.
    subsampled
        Components have different numbers of samples.
    component_transform
        The multiple component transformation is used.
    reversible
        The 5/3 wavelet is used; else 9/7, which always loses.
    transform_offset
        Of the byte that says whether the transformation is used.
    length
        Bytes of the main header.
    """

    columns: int
    rows: int
    components: int
    bits: int
    signed: bool
    subsampled: bool
    component_transform: bool
    reversible: bool
    transform_offset: int = field(compare=False)
    length: int = field(compare=False)


def read_codestream(data: bytes) -> CodestreamHeader:
    """Return the main header of a JPEG 2000 code stream.

    Raises
    ------
    MalformedStream
        It does not start or end as it must, or a marker segment is missing or broken.
    """
    if data.startswith(_JP2_SIGNATURE):
        raise MalformedStream("is a JP2 file where a bare code stream is needed")
    if data[:2] != _SOC or data[2:4] != b"\xff\x51":
        raise MalformedStream("does not start with a JPEG 2000 start-of-codestream marker")
    if not data.rstrip(b"\0").endswith(_EOC):
        raise MalformedStream("does not end with a JPEG 2000 end-of-codestream marker")
    size: bytes | None = None
    coding: bytes | None = None
    at = 2
    transform = 0
    while data[at : at + 2] != _SOT:
        if at + 4 > len(data) or data[at] != 0xFF:
            raise MalformedStream("has no complete JPEG 2000 main header")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            raise MalformedStream("has a marker segment that ends past the data")
        if data[at + 1] == _SIZ:
            size = body
        elif data[at + 1] == _COD:
            coding, transform = body, at + 8
        at += 2 + length
    if size is None or coding is None:
        raise MalformedStream("has no complete JPEG 2000 main header")
    return _header(size, coding, transform, at)


def _header(size: bytes, coding: bytes, transform: int, length: int) -> CodestreamHeader:
    if len(size) < 36 or len(coding) < 10:
        raise MalformedStream("has a JPEG 2000 header that is too short")
    x1, y1, x0, y0 = struct.unpack_from(">4I", size, 2)
    count = int.from_bytes(size[34:36], "big")
    components = [size[36 + 3 * i : 39 + 3 * i] for i in range(count)]
    if not count or any(len(c) != 3 for c in components) or x1 <= x0 or y1 <= y0:
        raise MalformedStream("declares an empty picture")
    return CodestreamHeader(
        columns=x1 - x0,
        rows=y1 - y0,
        components=count,
        bits=max((c[0] & 0x7F) + 1 for c in components),
        signed=any(c[0] & 0x80 for c in components),
        subsampled=any(c[1:] != b"\1\1" for c in components),
        component_transform=coding[4] == 1,
        reversible=coding[9] == 1,
        transform_offset=transform,
        length=length,
    )


def surplus(data: bytes) -> int:
    """Return how many padding bytes follow the end-of-codestream marker."""
    return len(data) - len(data.rstrip(b"\0"))
