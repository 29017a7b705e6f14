"""Where each frame lies: native, or encapsulated with a basic, an extended or no offset table.

PS3.5 §A.4. Offset tables are a help and never the truth: each entry must point at an item, else the
items are walked and the table is passed over with a warning.
"""

import io
import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from archive.errors import ArchiveError, InvalidInstance
from archive.model import reasons
from archive.model.frames import FrameIndex, PixelDescription
from archive.model.transfer_syntaxes import BY_UID
from archive.part10.buffers import Buffer
from archive.part10.elements import (
    ITEM,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    Element,
    tag_text,
)
from archive.part10.header import Header
from archive.part10.pixel_description import describe_pixels, stored_frame_bits

_EXTENDED_OFFSETS = 0x7FE00001
_EXTENDED_LENGTHS = 0x7FE00002
_MAXIMUM_FRAGMENTS = 16_777_216
_ITEM_HEADER = struct.Struct("<HHL")

_U64 = NDArray[np.uint64]

# Codestreams that say where they begin, and how they end: JPEG, JPEG-LS; JPEG 2000 and HTJ2K.
_BEGINNINGS = ((b"\xff\xd8", b"\xff\xd9"), (b"\xff\x4f\xff\x51", b"\xff\xd9"))


@dataclass(frozen=True, slots=True)
class LocatedFrames:
    """A frame index, and what was odd about the pixel data."""

    index: FrameIndex | None
    """None without pixel data, and where frames cannot be read one by one: video, and deflated
    data sets."""
    warnings: tuple[str, ...] = ()


def build_frame_index(file: BinaryIO, header: Header) -> FrameIndex | None:
    """Find the frames; see `locate_frames`, which also tells what was odd."""
    return locate_frames(file, header).index


def locate_frames(file: BinaryIO, header: Header) -> LocatedFrames:
    """Find where every frame of an instance lies.

    One-bit native frames need not start on a byte (PS3.5 §8.1.1): their spans cover all bytes that
    they touch, and `pixels.native_frame` cuts them out.

    Raises
    ------
    InvalidInstance
        When the pixel data are cut short, are not the number of frames that the header says, or do
        not tell where one frame ends and the next begins.
    """
    element, pixels = header.pixel_data, describe_pixels(header)
    if element is None or pixels is None:
        return LocatedFrames(None)
    syntax = BY_UID.get(header.transfer_syntax_uid)
    if element.length is not None:
        found = _native(element.value_offset, element.length, pixels)
        return LocatedFrames(None, found.warnings) if header.deflated else found
    if syntax is not None and not syntax.encapsulated:
        raise InvalidInstance(
            f"the pixel data are encapsulated, which {syntax.name} does not allow (PS3.5 §A.4)"
        )
    if syntax is not None and syntax.video:
        return LocatedFrames(None)
    source = _Source(file, header.data, header.size)
    return _encapsulated(source, element.value_offset, header, pixels.number_of_frames)


def _native(start: int, length: int, pixels: PixelDescription) -> LocatedFrames:
    """Native frames follow each other without gaps, one bit images even within a byte."""
    bits, frames = stored_frame_bits(pixels), pixels.number_of_frames
    needed = (bits * frames + 7) // 8
    if length < needed:
        raise InvalidInstance(
            f"{frames} frames of {pixels.rows} x {pixels.columns} need {needed} bytes of pixel "
            f"data, of which {length} are there",
            reasons.INVALID_ATTRIBUTE_VALUE.code,
        )
    warnings: tuple[str, ...] = ()
    if length > needed + needed % 2:
        warnings = (f"{length - needed} bytes of pixel data belong to no frame",)
    edges = np.arange(frames + 1, dtype=np.uint64) * np.uint64(bits)
    begins, ends = edges[:-1] // 8, (edges[1:] + 7) // 8
    spans = np.stack([begins + np.uint64(start), ends - begins], axis=1)
    return LocatedFrames(FrameIndex(spans, _one_each(frames)), warnings)


class _Source:
    """Reads at a place of the file, or of what is in memory already.

    A real file is read and not mapped: some bytes of every item would map all of a large one, and
    count as memory of ours.
    """

    def __init__(self, file: BinaryIO, data: Buffer, size: int) -> None:
        self.size = size
        self._file = file
        self._data = data if len(data) >= size else None
        self._descriptor = _descriptor_of(file)

    def read(self, offset: int, length: int) -> bytes:
        """Give `length` bytes; fewer at the end."""
        if self._descriptor is not None:
            return os.pread(self._descriptor, length, offset)
        if self._data is not None:
            return self._data[offset : offset + length]
        self._file.seek(offset)
        return self._file.read(length)

    def item(self, offset: int) -> tuple[int, int]:
        """Give tag and length of the item that begins at `offset`."""
        raw = self.read(offset, 8)
        if len(raw) < 8:
            return 0, 0
        group, element, length = _ITEM_HEADER.unpack(raw)
        return group << 16 | element, length

    def items_at(self, offsets: _U64) -> tuple[NDArray[np.uint32], _U64]:
        """Give tags and lengths of the items at many places, each 8 bytes within the file."""
        raw = np.frombuffer(
            b"".join([self.read(offset, 8) for offset in offsets.tolist()]), np.uint8
        ).reshape(-1, 8)
        halves = raw[:, :4].copy().view("<u2")
        tags = halves[:, 0].astype(np.uint32) << 16 | halves[:, 1]
        return tags, raw[:, 4:].copy().view("<u4")[:, 0].astype(np.uint64)


def _descriptor_of(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None


def _encapsulated(source: _Source, start: int, header: Header, frames: int) -> LocatedFrames:
    tag, table_length = source.item(start)
    if tag != ITEM or start + 8 + table_length > source.size:
        raise InvalidInstance(f"no offset table item at byte {start}: {tag_text(tag)} (PS3.5 §A.4)")
    first = start + 8 + table_length
    table, warnings = _offset_table(source, start + 8, table_length, header)
    if table is not None and len(table) != frames:
        warnings.append(f"the offset table has {len(table)} entries for {frames} frames")
        table = None
    if table is not None:
        spans = _contiguous(source, table, first)
        if spans is not None:
            return LocatedFrames(FrameIndex(spans, _one_each(frames)), tuple(warnings))
    spans = _walk(source, first, warnings)
    starts = None if table is None else _starts_by_table(spans, table, first)
    if starts is None:
        if table is not None:
            warnings.append("the offset table points where no fragment begins")
        starts = _starts(source, spans, frames)
    return LocatedFrames(FrameIndex(spans, starts), tuple(warnings))


def _offset_table(
    source: _Source, offset: int, length: int, header: Header
) -> tuple[_U64 | None, list[str]]:
    """Give the offsets from the extended table, else the basic one, else None."""
    extended = _extended(header, _EXTENDED_OFFSETS)
    if extended is not None:
        if length:
            return extended, ["both a basic and an extended offset table (PS3.3 §C.7.6.3.1.8)"]
        return extended, []
    if length == 0:
        return None, []
    if length % 4:
        return None, [f"the basic offset table has {length} bytes"]
    return np.frombuffer(source.read(offset, length), "<u4").astype(np.uint64), []


def _extended(header: Header, tag: int) -> _U64 | None:
    element = next((e for e in header.elements if e.tag == tag), None)
    if element is None or not element.length or element.length % 8:
        return None
    return np.frombuffer(_value(header, element), "<u8").astype(np.uint64)


def _value(header: Header, element: Element) -> bytes:
    return header.data[element.offset : element.offset + element.length]


def _contiguous(source: _Source, table: _U64, first: int) -> _U64 | None:
    """Hold a table against the items: one fragment a frame, each behind the one before.

    Returns
    -------
    (frames, 2) uint64 or None
        Spans; None when the table says otherwise or is wrong.
    """
    if int(table.max()) > source.size:
        return None
    places = table + np.uint64(first)
    if places[0] != first or int(places.max()) + 8 > source.size:
        return None
    tags, lengths = source.items_at(places)
    ends = places + np.uint64(8) + lengths
    if not (tags == ITEM).all() or not (ends[:-1] == places[1:]).all():
        return None
    end = int(ends[-1])
    if end > source.size or source.item(end)[0] != SEQUENCE_DELIMITER:
        return None
    return np.stack([places + np.uint64(8), lengths], axis=1)


def _walk(source: _Source, position: int, warnings: list[str]) -> _U64:
    """Go from item to item; gives (fragments, 2) uint64."""
    size, item = source.size, source.item
    offsets: list[int] = []
    lengths: list[int] = []
    while True:
        tag, length = item(position)
        position += 8
        if tag == ITEM:
            if length == UNDEFINED or position + length > size:
                raise InvalidInstance(
                    f"fragment {len(offsets) + 1} says it has {length} bytes, of which "
                    f"{max(size - position, 0)} are there: the file is cut short"
                )
            offsets.append(position)
            lengths.append(length)
            position += length
        elif tag == SEQUENCE_DELIMITER:
            break
        elif position > size:
            if position - 8 != size or not offsets:
                raise InvalidInstance("the pixel data are cut short")
            warnings.append("the pixel data have no sequence delimitation item")
            break
        else:
            raise InvalidInstance(
                f"{tag_text(tag)} at byte {position - 8}, where a fragment should begin"
            )
        if len(offsets) > _MAXIMUM_FRAGMENTS:
            raise InvalidInstance(
                f"more than {_MAXIMUM_FRAGMENTS} fragments", reasons.OUT_OF_RESOURCES.code
            )
    spans = np.empty((len(offsets), 2), np.uint64)
    spans[:, 0], spans[:, 1] = offsets, lengths
    return spans


def _starts_by_table(spans: _U64, table: _U64, first: int) -> NDArray[np.uint32] | None:
    """Group fragments by a table that points at the first one of each frame."""
    if len(spans) == 0 or table[0] != 0 or not (np.diff(table.astype(np.int64)) > 0).all():
        return None
    places, wanted = spans[:, 0] - np.uint64(8), table + np.uint64(first)
    at = np.searchsorted(places, wanted)
    if at[-1] >= len(places) or not (places[at] == wanted).all():
        return None
    return np.append(at, len(spans)).astype(np.uint32)


def _starts(source: _Source, spans: _U64, frames: int) -> NDArray[np.uint32]:
    """Group fragments that no table speaks of."""
    fragments = len(spans)
    if fragments == frames:
        return _one_each(frames)
    if fragments < frames:
        raise InvalidInstance(
            f"Number of Frames (0028,0008) is {frames}, but the pixel data hold {fragments}",
            reasons.INVALID_ATTRIBUTE_VALUE.code,
        )
    if frames == 1:
        return np.array([0, fragments], np.uint32)
    starts = _starts_by_codestream(source, spans)
    if len(starts) != frames:
        raise InvalidInstance(
            f"{frames} frames lie in {fragments} fragments, and nothing tells which fragments "
            "make a frame: the file needs an offset table (PS3.5 §A.4)"
        )
    return np.array([*starts, fragments], np.uint32)


def _starts_by_codestream(source: _Source, spans: _U64) -> list[int]:
    """Find the fragments in which a codestream begins, the one before having come to its end."""
    starts: list[int] = []
    ended, end_marker = True, b""
    for number, (offset, length) in enumerate(spans.tolist()):
        head = source.read(offset, min(length, 4))
        marker = next((end for begin, end in _BEGINNINGS if head.startswith(begin)), None)
        if ended and marker is not None:
            starts.append(number)
            end_marker = marker
        elif number == 0:
            return []
        tail = source.read(offset + max(length - 4, 0), min(length, 4))
        ended = tail.rstrip(b"\0").endswith(end_marker)  # padded to an even length
    return starts


def _one_each(frames: int) -> NDArray[np.uint32]:
    return np.arange(frames + 1, dtype=np.uint32)


# --- kept form ----------------------------------------------------------------------------------

_VERSION = 1
_KEPT = struct.Struct("<BQQQ")  # version, frames, fragments, offset of the first fragment


def encode_frame_index(index: FrameIndex) -> bytes:
    """Write an index compactly: about 1.3 bytes a frame where lengths vary, next to none else.

    Lengths and the gaps between fragments compress far better than offsets. The first byte is the
    version of the form.
    """
    spans = index.spans.astype(np.int64)
    offsets, lengths = spans[:, 0], spans[:, 1]
    gaps = offsets[1:] - offsets[:-1] - lengths[:-1]
    counts = np.diff(index.first_fragment.astype(np.int64))
    first = int(offsets[0]) if len(offsets) else 0
    # Byte planes: all lowest bytes, then all second ones and so on; zeros meet zeros.
    planes = b"".join(
        np.ascontiguousarray(column.astype("<i8").view(np.uint8).reshape(-1, 8).T).tobytes()
        for column in (lengths, gaps, counts)
    )
    head = _KEPT.pack(_VERSION, index.number_of_frames, len(spans), first)
    return head + zlib.compress(planes, 6)


def decode_frame_index(kept: bytes) -> FrameIndex:
    """Read what `encode_frame_index` wrote.

    Raises
    ------
    ArchiveError
        When it is of a version that this release does not know, or broken.
    """
    if not kept or kept[0] != _VERSION:
        raise ArchiveError("a kept frame index is of an unknown version")
    _, frames, fragments, first = _KEPT.unpack_from(kept)
    gaps_count = max(fragments - 1, 0)
    expected = 8 * (fragments + gaps_count + frames)
    inflater = zlib.decompressobj()
    planes = inflater.decompress(kept[_KEPT.size :], expected + 1)
    if len(planes) != expected:
        raise ArchiveError("a kept frame index is broken")
    columns, at = [], 0
    for count in (fragments, gaps_count, frames):
        raw = np.frombuffer(planes, np.uint8, 8 * count, at).reshape(8, count)
        columns.append(np.ascontiguousarray(raw.T).view("<i8").reshape(count))
        at += 8 * count
    lengths, gaps, counts = columns
    offsets = np.empty(fragments, np.int64)
    if fragments:
        offsets[0] = first
        offsets[1:] = first + np.cumsum(lengths[:-1] + gaps)
    first_fragment = np.zeros(frames + 1, np.uint32)
    first_fragment[1:] = np.cumsum(counts)
    return FrameIndex(np.stack([offsets, lengths], axis=1).astype(np.uint64), first_fragment)
