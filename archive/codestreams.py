"""What compressed frames say of themselves, before anything decodes them.

Owns the headers of JPEG, JPEG-LS, JPEG 2000 and JPEG XL codestreams: the size they declare (a few
bytes may declare gigapixels) and, for JPEG, colour and the marker segments put in or taken out
without touching the entropy-coded data.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_APP0, _APP2, _APP14 = 0xE0, 0xE2, 0xEE
# ITU-T T.81 Table B.1: frame headers; DHT, JPG and DAC lie in the same range. T.87: SOF55.
_FRAME_HEADERS = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})

_ICC = b"ICC_PROFILE\0"
_ICC_PIECE = 65519
"""Bytes of a profile in one APP2 segment: 65535 less length, name, number and count."""
# Adobe Technical Note 5116: version 100, no flags, transform 0: the components are RGB.
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


class BrokenCodestream(ValueError):
    """The bytes are not what their transfer syntax says."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What a codestream declares."""

    rows: int
    columns: int
    samples: int
    precision: int
    """Bits of one sample."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The header of a JPEG or JPEG-LS stream, up to its first scan."""

    dimensions: Dimensions
    component_ids: bytes
    adobe_transform: int | None
    """Of the APP14 segment; None without one."""
    has_jfif: bool

    def is_rgb(self, photometric_interpretation: str) -> bool:
        """Tell whether the three components are RGB rather than YCbCr.

        What the stream says goes first, as every decoder has it. Where it says nothing, DICOM does:
        many scanners write RGB streams without an Adobe marker (PS3.5 §8.2.1).
        """
        if self.adobe_transform is not None:
            return self.adobe_transform == 0
        if self.has_jfif:
            return False
        if self.component_ids == b"RGB":
            return True
        return photometric_interpretation == "RGB"


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk the marker segments before the first scan: (marker, start, end), 0xFF included."""
    if stream[:2] != b"\xff\xd8":
        raise BrokenCodestream("no JPEG start of image")
    at = 2
    while True:
        if stream[at : at + 1] != b"\xff":
            raise BrokenCodestream(f"no JPEG marker at byte {at}")
        while stream[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        if at + 4 > len(stream):
            raise BrokenCodestream("the JPEG stream ends within its header")
        marker = stream[at + 1]
        if marker in _STANDALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end > len(stream) or end < at + 4 or marker == _EOI:
            raise BrokenCodestream("the JPEG stream ends within its header")
        yield marker, at, end
        if marker == _SOS:
            return
        at = end


def read_jpeg_header(stream: bytes) -> JpegHeader:
    """Read the header of a JPEG or JPEG-LS stream.

    Raises
    ------
    BrokenCodestream
        When it has no frame header.
    """
    dimensions, ids, transform, jfif = None, b"", None, False
    for marker, start, end in _segments(stream):
        body = stream[start + 4 : end]
        if marker in _FRAME_HEADERS and len(body) >= 6:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
            dimensions = Dimensions(rows, columns, samples, precision)
            ids = body[6 : 6 + 3 * samples : 3]
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            transform = body[11]
        elif marker == _APP0 and body.startswith(b"JFIF\0"):
            jfif = True
    if dimensions is None:
        raise BrokenCodestream("the JPEG stream has no frame header")
    return JpegHeader(dimensions, ids, transform, jfif)


def mark_as_rgb(stream: bytes) -> bytes:
    """Put an Adobe marker with transform 0 behind the start of image, and drop any other."""
    kept = [stream[at:end] for marker, at, end in _cuts(stream) if marker != _APP14]
    return b"".join([stream[:2], _ADOBE_RGB, *kept])


def with_icc_profile(stream: bytes, profile: bytes | None) -> bytes:
    """Put an ICC profile into a JPEG stream in place of any that it has; None only takes it out.

    ICC.1:2022 Annex B.4: APP2 segments, numbered from 1. They follow an APP0 (JFIF) segment, which
    has to be the first.
    """
    head: list[bytes] = [stream[:2]]
    rest: list[bytes] = []
    for marker, at, end in _cuts(stream):
        if marker == _APP2 and stream[at + 4 : at + 4 + len(_ICC)] == _ICC:
            continue
        (head if marker in (_APP0, _APP14) and not rest else rest).append(stream[at:end])
    return b"".join([*head, *_icc_segments(profile or b""), *rest])


def _icc_segments(profile: bytes) -> list[bytes]:
    pieces = [profile[at : at + _ICC_PIECE] for at in range(0, len(profile), _ICC_PIECE)]
    if len(pieces) > 255:
        return []  # does not fit a JPEG; never seen
    return [
        struct.pack(">BBH", 0xFF, _APP2, len(piece) + 16)
        + _ICC
        + bytes((number, len(pieces)))
        + piece
        for number, piece in enumerate(pieces, 1)
    ]


def _cuts(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Give the segments as `_segments` does; the last one, with the scan, runs to the end."""
    for marker, at, end in _segments(stream):
        yield marker, at, len(stream) if marker == _SOS else end


def read_jpeg2000_header(stream: bytes) -> Dimensions:
    """Read the SIZ segment, which comes first (ITU-T T.800 §A.5.1); JP2 boxes are looked through.

    Raises
    ------
    BrokenCodestream
        When there is none.
    """
    start = (
        0 if stream.startswith(b"\xff\x4f\xff\x51") else stream.find(b"\xff\x4f\xff\x51", 0, 4096)
    )
    if start < 0 or len(stream) < start + 43:
        raise BrokenCodestream("no JPEG 2000 codestream header")
    right, bottom, left, top = struct.unpack_from(">4L", stream, start + 8)
    (samples,) = struct.unpack_from(">H", stream, start + 40)
    precision = (stream[start + 42] & 0x7F) + 1
    return Dimensions(bottom - top, right - left, samples, precision)


class _Bits:
    """Reads bits, lowest first, as JPEG XL has them."""

    def __init__(self, data: bytes) -> None:
        self._value, self._at = int.from_bytes(data, "little"), 0

    def read(self, count: int) -> int:
        value = self._value >> self._at & (1 << count) - 1
        self._at += count
        return value


_JXL_SIZE_BITS = (9, 13, 18, 30)
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def read_jpeg_xl_size(stream: bytes) -> tuple[int, int]:
    """Read rows and columns of a JPEG XL stream, bare or in boxes (ISO/IEC 18181-1 §6.2, D.2).

    Raises
    ------
    BrokenCodestream
        When there is no codestream.
    """
    start = 2 if stream.startswith(b"\xff\x0a") else _jxl_codestream(stream)
    bits = _Bits(stream[start : start + 16])

    def side(*, small: int) -> int:
        if small:
            return (bits.read(5) + 1) * 8
        return bits.read(_JXL_SIZE_BITS[bits.read(2)]) + 1

    small = bits.read(1)
    rows = side(small=small)
    ratio = bits.read(3)
    if ratio == 0:
        return rows, side(small=small)
    numerator, denominator = _JXL_RATIOS[ratio - 1]
    return rows, rows * numerator // denominator


def _jxl_codestream(stream: bytes) -> int:
    at = 0
    while at + 8 <= len(stream):
        (length,) = struct.unpack_from(">L", stream, at)
        name, header = stream[at + 4 : at + 8], 8
        if name in (b"jxlc", b"jxlp"):
            start = at + 8 + (8 if length == 1 else 0) + (4 if name == b"jxlp" else 0)
            if stream[start : start + 2] == b"\xff\x0a":
                return start + 2
            break
        if length < header:
            break
        at += length
    raise BrokenCodestream("no JPEG XL codestream")
