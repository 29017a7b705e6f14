"""JPEG streams as bytes: reading their headers, and making TIFF's abbreviated ones whole.

Owns what ISO/IEC 10918-1 says about markers. It never decodes: the entropy-coded data of a frame
are the source's bytes, and only marker segments before them are added. The code stream is
believed, TIFF tags are not, with one exception that the streams leave open: colour (§ `colour`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from conversion.jpeg_tables import ANNEX_K_HUFFMAN

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
_DHT, _SOS, _DQT, _DRI, _APP0, _APP14 = 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEGMENT_MARKERS = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0), *range(0xE0, 0xF0), 0xFE})
_PROCESS_NAMES = {
    0xC0: "baseline",
    0xC1: "extended sequential",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC9: "arithmetic",
    0xCA: "progressive arithmetic",
    0xCB: "lossless arithmetic",
}

#: APP14 "Adobe", transform 0: the three components are red, green and blue. Without it a decoder
#: takes three components for YCbCr.
ADOBE_RGB: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


class MalformedStream(ValueError):
    """The bytes are not a code stream of the kind they should be."""


@dataclass(frozen=True, slots=True)
class Component:
    """One colour component: identifier and sampling factors."""

    identifier: int
    horizontal: int
    vertical: int


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Everything before the entropy-coded data of one JPEG stream.

    Attributes
    ----------
    process
        Low byte of the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive …
    columns, rows
        Of the picture in pixels.
    adobe_transform
        0 for RGB, 1 for YCbCr, None where the stream has no Adobe marker.
    restart_interval
        MCUs between restart markers, 0 for none.
    sof_offset, sos_offset, length
        Bytes from the start of the stream: of the SOF and SOS markers, and of all up to the first
        entropy-coded byte.
    """

    process: int
    bits: int
    columns: int
    rows: int
    components: tuple[Component, ...]
    has_huffman: bool
    has_quantization: bool
    adobe_transform: int | None
    jfif: bool
    restart_interval: int
    sof_offset: int
    sos_offset: int
    length: int

    @property
    def process_name(self) -> str:
        """The coding process in words."""
        return _PROCESS_NAMES.get(self.process, f"process {self.process:02X}")

    @property
    def subsampled(self) -> bool:
        """Whether any component has fewer samples than another."""
        return len({(c.horizontal, c.vertical) for c in self.components}) > 1

    @property
    def mcu(self) -> tuple[int, int]:
        """Width and height of a minimum coded unit in pixels (ISO/IEC 10918-1 §A.2)."""
        if len(self.components) == 1:
            return 8, 8
        return (
            8 * max(c.horizontal for c in self.components),
            8 * max(c.vertical for c in self.components),
        )


@dataclass(slots=True)
class _Seen:
    process: int | None = None
    bits: int = 0
    columns: int = 0
    rows: int = 0
    components: tuple[Component, ...] = ()
    has_huffman: bool = False
    has_quantization: bool = False
    adobe_transform: int | None = None
    jfif: bool = False
    restart_interval: int = 0
    sof_offset: int = 0


def read_tables(tables: bytes) -> JpegHeader:
    """Return what an abbreviated table specification (SOI, tables, EOI) holds.

    Raises
    ------
    MalformedStream
        It is not one.
    """
    if tables[:2] != SOI or tables[-2:] != EOI:
        raise MalformedStream("the shared JPEG tables do not start and end as they must")
    seen = _Seen()
    end = _walk(tables[:-2], seen, stop_at_scan=False)
    return _header(seen, sos_offset=end, length=end)


def read_header(data: bytes | memoryview) -> JpegHeader:
    """Return the header of a JPEG stream.

    Parameters
    ----------
    data
        The stream, or a start of it that reaches past the SOS segment.

    Raises
    ------
    MalformedStream
        A marker is missing, a length points past the end, or there are stray bytes.
    """
    if bytes(data[:2]) != SOI:
        raise MalformedStream("does not start with a JPEG start-of-image marker")
    seen = _Seen()
    sos = _walk(data, seen, stop_at_scan=True)
    if seen.process is None:
        raise MalformedStream("has no frame header before its scan")
    if not seen.columns or not seen.rows or not seen.components:
        raise MalformedStream("declares an empty picture")
    length = sos + 2 + int.from_bytes(data[sos + 2 : sos + 4], "big")
    return _header(seen, sos_offset=sos, length=length)


def _header(seen: _Seen, *, sos_offset: int, length: int) -> JpegHeader:
    return JpegHeader(
        process=seen.process or 0,
        bits=seen.bits,
        columns=seen.columns,
        rows=seen.rows,
        components=seen.components,
        has_huffman=seen.has_huffman,
        has_quantization=seen.has_quantization,
        adobe_transform=seen.adobe_transform,
        jfif=seen.jfif,
        restart_interval=seen.restart_interval,
        sof_offset=seen.sof_offset,
        sos_offset=sos_offset,
        length=length,
    )


def _walk(data: bytes | memoryview, seen: _Seen, *, stop_at_scan: bool) -> int:
    """Walk the marker segments; return the offset of SOS, or of the end for tables."""
    at, end = 2, len(data)
    while at < end:
        if data[at] != 0xFF or at + 4 > end:
            raise MalformedStream("has stray bytes between its marker segments")
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before any marker (§B.1.1.2)
            at += 1
            continue
        if marker not in _SEGMENT_MARKERS:
            raise MalformedStream(f"has the marker FF{marker:02X} in its header")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > end:
            raise MalformedStream("has a marker segment that ends past the data")
        if marker == _SOS and stop_at_scan:
            return at
        _note(marker, bytes(data[at + 4 : at + 2 + length]), at, seen)
        at += 2 + length
    if stop_at_scan:
        raise MalformedStream("has no scan")
    return at


def _note(marker: int, body: bytes, at: int, seen: _Seen) -> None:
    if marker in _START_OF_FRAME:
        _note_frame(marker, body, at, seen)
    elif marker == _DHT:
        seen.has_huffman = True
    elif marker == _DQT:
        seen.has_quantization = True
    elif marker == _DRI and len(body) == 2:
        seen.restart_interval = int.from_bytes(body, "big")
    elif marker == _APP0 and body.startswith(b"JFIF\0"):
        seen.jfif = True
    elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        seen.adobe_transform = body[11]


def _note_frame(marker: int, body: bytes, at: int, seen: _Seen) -> None:
    if seen.process is not None:
        raise MalformedStream("has two frame headers")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise MalformedStream("has a frame header of the wrong length")
    seen.process, seen.bits, seen.sof_offset = marker, body[0], at
    seen.rows = int.from_bytes(body[1:3], "big")
    seen.columns = int.from_bytes(body[3:5], "big")
    seen.components = tuple(
        Component(body[i], body[i + 1] >> 4, body[i + 1] & 15) for i in range(6, len(body), 3)
    )
    if any(not 1 <= f <= 4 for c in seen.components for f in (c.horizontal, c.vertical)):
        raise MalformedStream("has impossible sampling factors")


def is_rgb(header: JpegHeader, *, tag_says_rgb: bool) -> bool:
    """Whether three components are red, green and blue.

    A stream that says so itself (Adobe marker, JFIF, component identifiers "RGB") is believed; one
    that says nothing, as scanners write them into TIFF, is what TIFF's tag says.
    """
    if header.adobe_transform is not None:
        return header.adobe_transform == 0
    if header.jfif:
        return False
    if tuple(c.identifier for c in header.components) == (0x52, 0x47, 0x42):
        return True
    return tag_says_rgb


def complete_header(tables: bytes | None, start: bytes, header: JpegHeader, *, rgb: bool) -> bytes:
    """Return the header a stream needs to stand alone as a DICOM frame (PS3.5 §A.4.1).

    Parameters
    ----------
    tables
        TIFF's shared tables (SOI … EOI), merged in front of the stream's own segments.
    start
        The stream's first `header.length` bytes.
    header
        What `read_header` said of it.
    rgb
        The three components are red, green and blue; said with an Adobe marker if none is there.

    Raises
    ------
    MalformedStream
        Nothing defines a quantization table.
    """
    shared = read_tables(tables) if tables else None
    if not header.has_quantization and not (shared and shared.has_quantization):
        raise MalformedStream("has no quantization tables, nor has its directory")
    parts = [SOI]
    adobe = header.adobe_transform is not None or (
        shared is not None and shared.adobe_transform is not None
    )
    if rgb and not adobe:
        parts.append(ADOBE_RGB)
    if tables:
        parts.append(tables[2:-2])
    parts.append(start[2 : header.sos_offset])
    if not header.has_huffman and not (shared and shared.has_huffman):
        # Some writers rely on the reader knowing the tables of Annex K, which DICOM does not allow.
        parts.append(ANNEX_K_HUFFMAN)
    parts.append(start[header.sos_offset :])
    return b"".join(parts)


def with_shared(header: JpegHeader, tables: bytes | None) -> JpegHeader:
    """Return `header` with what the shared tables say where the stream itself is silent."""
    if not tables:
        return header
    shared = read_tables(tables)
    return replace(
        header,
        has_huffman=header.has_huffman or shared.has_huffman,
        has_quantization=header.has_quantization or shared.has_quantization,
        adobe_transform=(
            shared.adobe_transform if header.adobe_transform is None else header.adobe_transform
        ),
        jfif=header.jfif or shared.jfif,
        restart_interval=header.restart_interval or shared.restart_interval,
    )


def end_of_image(tail: bytes | memoryview) -> int:
    """Return how many bytes follow the end-of-image marker at the end of a stream.

    Parameters
    ----------
    tail
        The last bytes of the stream. Writers pad with a few zero or FF bytes at most.

    Raises
    ------
    MalformedStream
        The stream does not end with an end-of-image marker.
    """
    last = bytes(tail)
    if last.endswith(EOI):
        return 0
    at = last.rfind(EOI)
    if at < 0 or last[at + 2 :].strip(b"\0\xff"):
        raise MalformedStream("does not end with a JPEG end-of-image marker")
    return len(last) - at - 2


def join_strips(
    tables: bytes | None, strips: list[bytes], *, columns: int, rows: int, rgb: bool
) -> tuple[bytes, bytes]:
    """Join the strips of one TIFF image to one JPEG stream without touching their coefficients.

    Each strip is a stream of its own whose predictors start at zero, which is what a restart
    marker means: header, strip, RST0, strip, RST1 … EOI (ISO/IEC 10918-1 §F.1.1.5).

    Returns
    -------
    tuple
        Header (SOI … SOS) and entropy-coded data with EOI.

    Raises
    ------
    MalformedStream
        The strips do not fit together: other coding, restart markers of their own, or heights that
        are not whole rows of coded units.
    """
    headers = [with_shared(read_header(strip), tables) for strip in strips]
    first = headers[0]
    mcu_columns, mcu_rows = first.mcu
    if any(h.restart_interval for h in headers) or first.columns != columns:
        raise MalformedStream("strips cannot be joined")
    alike = {(h.process, h.bits, h.columns, h.components, h.adobe_transform) for h in headers}
    full = {h.rows for h in headers[:-1]}
    if len(alike) != 1 or len(full) > 1 or any(height % mcu_rows for height in full):
        raise MalformedStream("strips cannot be joined")
    if not rows <= sum(h.rows for h in headers) < rows + first.rows:
        raise MalformedStream("strips do not add up to the image")
    own = {bytes(s[2 : h.sof_offset]) for s, h in zip(strips, headers, strict=True)}
    if len(own) != 1:
        raise MalformedStream("strips have tables of their own")
    interval = -(-columns // mcu_columns) * (first.rows // mcu_rows)
    if len(strips) > 1 and interval > 0xFFFF:
        raise MalformedStream("strips are too large to be joined")
    start = complete_header(tables, strips[0][: first.length], read_header(strips[0]), rgb=rgb)
    whole = read_header(start)
    head = bytearray(start)
    head[whole.sof_offset + 5 : whole.sof_offset + 7] = rows.to_bytes(2, "big")
    if len(strips) > 1:
        head[whole.sos_offset : whole.sos_offset] = b"\xff\xdd\x00\x04" + interval.to_bytes(
            2, "big"
        )
    body = bytearray()
    for number, (strip, header) in enumerate(zip(strips, headers, strict=True)):
        if number:
            body += bytes((0xFF, 0xD0 + (number - 1) % 8))
        surplus = end_of_image(strip[-16:])
        body += strip[header.length : len(strip) - surplus - 2]
    return bytes(head), bytes(body + EOI)
