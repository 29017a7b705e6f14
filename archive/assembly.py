"""Instances that come as metadata and bulk data, put together as Part 10 files (PS3.18 §10.5).

Owns which bulk data make the pixel data, and which attributes those tell where the metadata leave
them out. The metadata are in memory; bulk data are copied from the file that they were received
in, a step at a time. What comes out is checked and stored like any other file.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archive.bulk_streams import (
    HEAD_BYTES,
    PICTURES,
    Described,
    codestream_span,
    decode_picture,
    describe,
    is_jp2,
    syntax_of,
)
from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.transfer_syntaxes import BY_UID, EXPLICIT_LITTLE
from archive.part10.elements import UNDEFINED
from archive.part10.from_json import (
    Attributes,
    Pieces,
    StagedBulk,
    encode,
    first,
    integer,
    refusal,
    write,
)
from archive.part10.writing import element, element_header, item_header
from conversion.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PIXEL_DATA = "7FE00010"

_STEP = 1024 * 1024
_TABLES = ("7FE00001", "7FE00002", "7FE00003")
"""Offset tables and total length, which are made anew."""
_ROWS, _COLUMNS, _FRAMES = "00280010", "00280011", "00280008"
_SAMPLES, _PHOTOMETRIC, _PLANAR = "00280002", "00280004", "00280006"
_ALLOCATED, _STORED, _HIGH = "00280100", "00280101", "00280102"
_REPRESENTATION, _LOSSY = "00280103", "00282110"
_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class BulkPart:
    """Bulk data as they were sent."""

    media_type: str
    """In lower case, without parameters."""
    transfer_syntax_uid: str | None
    content: StagedBulk


FindBulk = Callable[[str], Sequence[BulkPart]]
"""BulkDataURI → the parts of it in order, several for frames; none when there are none."""


def assemble(attributes: Attributes, find: FindBulk) -> Iterator[bytes]:
    """Give a Part 10 file in pieces.

    Parameters
    ----------
    attributes
        The instance in the DICOM JSON Model, decoded.

    Raises
    ------
    InvalidInstance
        When it cannot be put together; before the first piece.
    """
    if not isinstance(attributes, dict):
        raise InvalidInstance("an instance is no JSON object (PS3.18 §F.2.1)")
    told = {tag: one for tag, one in attributes.items() if tag not in _TABLES}
    pixel = told.get(PIXEL_DATA)
    pixels, syntax = Pieces(), EXPLICIT_LITTLE
    if isinstance(pixel, dict) and "BulkDataURI" in pixel:
        del told[PIXEL_DATA]
        parts = _parts_of(find, str(pixel["BulkDataURI"]))
        syntax, pixels, more = _pixel_data(told, parts)
        told |= more
    data_set = Pieces()
    for behind in (False, True):
        if behind:
            data_set.join(pixels)
        some = {tag: one for tag, one in told.items() if (tag.upper() > PIXEL_DATA) is behind}
        data_set.join(encode(some, lambda uri: _single(find, uri)))
    uids = [first(told, tag) for tag in ("00080016", "00080018")]
    sop_class, sop_instance = (uid if isinstance(uid, str) else "" for uid in uids)
    return _written(_file_meta(sop_class, sop_instance, syntax), data_set)


def _parts_of(find: FindBulk, uri: str) -> Sequence[BulkPart]:
    parts = find(uri)
    if not parts:
        raise InvalidInstance(
            f"no part has the Content-Location {uri[:200]!r} that a BulkDataURI names"
        )
    return parts


def _single(find: FindBulk, uri: str) -> StagedBulk:
    parts = _parts_of(find, uri)
    if len(parts) > 1:
        raise InvalidInstance(f"{len(parts)} parts have the Content-Location {uri[:200]!r}")
    return parts[0].content


def _file_meta(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Write preamble and file meta information (PS3.10 §7.1)."""
    body = (
        element(0x00020001, b"\0\1", "OB")
        + element(0x00020002, sop_class.encode())
        + element(0x00020003, sop_instance.encode())
        + element(0x00020010, syntax.encode())
        + element(0x00020012, IMPLEMENTATION_CLASS_UID.encode())
        + element(0x00020013, IMPLEMENTATION_VERSION_NAME.encode())
    )
    return b"\0" * 128 + b"DICM" + element(0x00020000, struct.pack("<L", len(body)), "UL") + body


def _written(meta: bytes, data_set: Pieces) -> Iterator[bytes]:
    yield meta
    waiting = bytearray()
    for piece in data_set.parts:
        if isinstance(piece, bytes):
            waiting += piece
            if len(waiting) < _STEP:
                continue
        yield bytes(waiting)
        waiting.clear()
        if isinstance(piece, StagedBulk):
            yield from _copied(piece)
    yield bytes(waiting)


def _copied(bulk: StagedBulk) -> Iterator[bytes]:
    with bulk.path.open("rb") as file:
        file.seek(bulk.offset)
        left = bulk.length
        while left > 0:
            chunk = file.read(min(left, _STEP))
            if not chunk:
                message = f"{bulk.path} ends before byte {bulk.offset + bulk.length}"
                raise OSError(message)
            left -= len(chunk)
            yield chunk


# --- pixel data -----------------------------------------------------------------------------------


def _pixel_data(told: Attributes, parts: Sequence[BulkPart]) -> tuple[str, Pieces, dict[str, Any]]:
    """Write the pixel data; gives transfer syntax, element, and attributes to be added."""
    kinds = {(part.media_type, part.transfer_syntax_uid) for part in parts}
    if len(kinds) > 1:
        raise InvalidInstance("the frames of the pixel data are of several media types")
    ((media_type, named),) = kinds
    if media_type in PICTURES:
        return _picture(told, parts)
    head = _head(parts[0].content)
    if named is None:
        named = _named_in_metadata(told, media_type)
    syntax = BY_UID[syntax_of(media_type, named, head)]
    if not syntax.encapsulated:
        if syntax.uid != EXPLICIT_LITTLE:
            raise InvalidInstance(
                f"uncompressed pixel data are {EXPLICIT_LITTLE} (PS3.18 Table 8.7.3-4)",
                reasons.TRANSFER_SYNTAX_NOT_SUPPORTED.code,
            )
        return syntax.uid, _native(told, [part.content for part in parts]), {}
    frames = [part.content for part in parts]
    described = describe(syntax.uid, head)
    if syntax.media_type in ("image/jp2", "image/jpx", "image/jphc"):
        frames = [_bare(frame) for frame in frames]
    more = {} if described is None else _missing(told, described)
    if len(frames) > 1 and integer(told, _FRAMES) is None:
        more[_FRAMES] = {"vr": "IS", "Value": [len(frames)]}
    if syntax.lossy and described is not None and first(told, _LOSSY) is None:
        more[_LOSSY] = {"vr": "CS", "Value": ["01"]}
    return syntax.uid, _encapsulated(frames), more


def _named_in_metadata(told: Attributes, media_type: str) -> str | None:
    """Give a Transfer Syntax UID (0002,0010) among the metadata, which some clients put there."""
    named = first(told, "00020010")
    syntax = BY_UID.get(named) if isinstance(named, str) else None
    if syntax is None or syntax.media_type != media_type or not syntax.encapsulated:
        return None
    return syntax.uid


def _missing(told: Attributes, described: Described) -> dict[str, Any]:
    """Give the attributes that a stream tells and the metadata do not (PS3.18 §10.5.2)."""
    for tag, number in (
        (_ROWS, described.dimensions.rows),
        (_COLUMNS, described.dimensions.columns),
        (_SAMPLES, described.dimensions.samples),
    ):
        given = integer(told, tag)
        if given is not None and given != number:
            raise refusal(int(tag, 16), f"is {given}, and the pixel data have {number}")
    told_by_stream = _description(described)
    return {tag: one for tag, one in told_by_stream.items() if first(told, tag) is None}


def _description(described: Described) -> dict[str, Any]:
    dimensions = described.dimensions
    precision = dimensions.precision
    numbers = {
        _ROWS: dimensions.rows,
        _COLUMNS: dimensions.columns,
        _SAMPLES: dimensions.samples,
        _ALLOCATED: 8 if precision <= 8 else 16,
        _STORED: precision,
        _HIGH: precision - 1,
        _REPRESENTATION: 0,
    }
    if dimensions.samples > 1:
        numbers[_PLANAR] = 0
    attributes: dict[str, Any] = {
        tag: {"vr": "US", "Value": [number]} for tag, number in numbers.items()
    }
    colour = described.photometric_interpretation
    return attributes | {_PHOTOMETRIC: {"vr": "CS", "Value": [colour]}}


def _picture(told: Attributes, parts: Sequence[BulkPart]) -> tuple[str, Pieces, dict[str, Any]]:
    """Transform a PNG or GIF into native pixels (PS3.18 Table 10.5.2-1)."""
    if len(parts) > 1:
        raise InvalidInstance("several pictures as one pixel data")
    bulk = parts[0].content
    picture = decode_picture(parts[0].media_type, b"".join(_copied(bulk)))
    more = _description(picture.described)
    if len(picture.pixels) > 1 or integer(told, _FRAMES) is not None:
        more[_FRAMES] = {"vr": "IS", "Value": [len(picture.pixels)]}
    out = Pieces()
    vr = "OW" if picture.pixels.itemsize > 1 else "OB"
    write(0x7FE00010, vr, picture.pixels.tobytes(), out)  # this machine is little endian
    return EXPLICIT_LITTLE, out, more


def _native(told: Attributes, parts: Sequence[StagedBulk]) -> Pieces:
    """Write native pixel data: all frames in one part, or a part for each."""
    allocated = integer(told, _ALLOCATED) or 8
    if len(parts) > 1 and allocated == 1:
        raise InvalidInstance("frames of single bits have to come in one part (PS3.5 §8.1.1)")
    length = sum(part.length for part in parts)
    if length + length % 2 >= UNDEFINED:
        raise refusal(0x7FE00010, "is longer than native pixel data can be")
    out = Pieces()
    out.add(element_header(0x7FE00010, "OW" if allocated > 8 else "OB", length + length % 2))
    for part in parts:
        out.add(part)
    out.add(b"\0" * (length % 2))
    return out


def _encapsulated(frames: Sequence[StagedBulk]) -> Pieces:
    """Write encapsulated frames, one fragment each (PS3.5 §A.4), with their offset table."""
    offsets, at = [], 0
    for frame in frames:
        offsets.append(at)
        at += 8 + frame.length + frame.length % 2
    basic = offsets[-1] < UNDEFINED
    out = Pieces()
    if not basic:
        out.join(_extended_tables(offsets, frames))
    table = struct.pack(f"<{len(offsets)}L", *offsets) if basic else b""
    out.add(element_header(0x7FE00010, "OB", UNDEFINED))
    out.add(item_header(len(table)))
    out.add(table)
    for frame in frames:
        if frame.length + frame.length % 2 >= UNDEFINED:
            raise refusal(0x7FE00010, "has a frame that is longer than a fragment can be")
        out.add(item_header(frame.length + frame.length % 2))
        out.add(frame)
        out.add(b"\0" * (frame.length % 2))
    out.add(_END)
    return out


def _extended_tables(offsets: Sequence[int], frames: Sequence[StagedBulk]) -> Pieces:
    """Write Extended Offset Table and its Lengths (PS3.3 §C.7.6.3.1.8)."""
    out = Pieces()
    lengths = [frame.length + frame.length % 2 for frame in frames]
    for tag, numbers in ((0x7FE00001, offsets), (0x7FE00002, lengths)):
        write(tag, "OV", struct.pack(f"<{len(numbers)}Q", *numbers), out)
    return out


def _bare(frame: StagedBulk) -> StagedBulk:
    """Leave out the boxes of a JP2 file around the codestream."""
    if not is_jp2(_head(frame, 16)):
        return frame
    start, length = codestream_span(_head(frame), frame.length)
    return replace(frame, offset=frame.offset + start, length=length)


def _head(bulk: StagedBulk, length: int = HEAD_BYTES) -> bytes:
    with bulk.path.open("rb") as file:
        file.seek(bulk.offset)
        return file.read(min(bulk.length, length))
