"""The header of a Part 10 file: file meta information and data set up to the pixel data.

Nothing here reads pixel data into memory, and nothing believes a length or a nesting before it has
been held against the file (PS3.10 §7.1).
"""

import contextlib
import io
import mmap
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.transfer_syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from archive.part10 import elements
from archive.part10.buffers import Buffer
from archive.part10.character_sets import encodings_of
from archive.part10.elements import (
    EXPLICIT_LITTLE,
    PER_FRAME,
    Element,
    ElementLimits,
    ElementReader,
    Encoding,
)

_PREAMBLE = 128
_MEBI = 1 << 20
_FIRST_READ = _MEBI
_IN_MEMORY = 64 * _MEBI
"""Bytes of a file that cannot be mapped, which are held in memory at most."""

_KEYWORDS = {
    elements.PIXEL_DATA: "PixelData",
    elements.FLOAT_PIXEL_DATA: "FloatPixelData",
    elements.DOUBLE_FLOAT_PIXEL_DATA: "DoubleFloatPixelData",
}


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """What the header of an instance may demand of us."""

    header_bytes: int = 256 * _MEBI
    """Bytes before the pixel data, large binary values left out. 250,000 frames of a TILED_SPARSE
    image need 60 to 100 MB."""
    inflated_bytes: int = 1024 * _MEBI
    """Bytes that a deflated data set may inflate to."""
    dataset_value_bytes: int = 16 * _MEBI
    """A top-level attribute with more bytes is left out of `Header.dataset`."""
    elements: ElementLimits = field(default_factory=ElementLimits)


@dataclass(frozen=True, slots=True)
class PixelDataElement:
    """Where the pixel data of an instance lie."""

    keyword: str
    """``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``."""
    vr: str
    value_offset: int
    """Bytes from the start of the file; of the inflated data set where that is deflated."""
    length: int | None
    """Bytes; None where it is undefined, as for encapsulated pixel data (PS3.5 §A.4)."""


@dataclass(frozen=True, slots=True)
class Header:
    """All of an instance but its pixel data.

    Attributes
    ----------
    meta : pydicom Dataset
        File meta information, group 0002.
    dataset : pydicom Dataset
        The data set without pixel data, per-frame functional groups, and attributes of more than
        `HeaderLimits.dataset_value_bytes`. Values are decoded when they are first read.
    elements
        The same as bytes, whole: what the metadata are made of.
    size
        Bytes of the file, or of the inflated data set.
    """

    meta: Dataset
    dataset: Dataset
    transfer_syntax_uid: str
    pixel_data: PixelDataElement | None
    deflated: bool
    elements: tuple[Element, ...] = field(repr=False)
    encoding: Encoding
    size: int
    data: Buffer = field(repr=False, compare=False)
    limits: HeaderLimits = field(repr=False)


def read_header(file: BinaryIO, *, size: int, limits: HeaderLimits | None = None) -> Header:
    """Read the header of a Part 10 file.

    Parameters
    ----------
    file
        Seekable. A real file is mapped, and its pixel data are never touched; of anything else the
        first part is read, as far as the header goes.
    size
        Bytes of the whole file.

    Raises
    ------
    InvalidInstance
        When it is no DICOM file, or broken, or demands more than `limits`.
    """
    limits = limits or HeaderLimits()
    for data in _first_parts(file, size):
        with contextlib.suppress(struct.error):  # a header that runs past what was read so far
            return _read(data, size, limits)
    raise InvalidInstance(f"the file ends within its header, after {size} bytes")


def _first_parts(file: BinaryIO, size: int) -> Iterator[Buffer]:
    """Give the bytes of a file: all of them mapped, or first parts that grow."""
    if size == 0:
        return
    try:
        yield mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except (io.UnsupportedOperation, AttributeError):
        yield from _growing_parts(file, size)
    except (ValueError, OSError) as error:
        raise InvalidInstance(f"the file is shorter than its {size} bytes") from error


def _growing_parts(file: BinaryIO, size: int) -> Iterator[Buffer]:
    """Read ever more of what cannot be mapped; when that is much, copy all of it to scratch."""
    length = _FIRST_READ
    while length <= _IN_MEMORY:
        file.seek(0)
        data = file.read(min(length, size))
        yield data
        if len(data) == size or len(data) < length:
            return
        length *= 4
    with tempfile.TemporaryFile() as scratch:
        file.seek(0)
        shutil.copyfileobj(file, scratch, _MEBI)
        scratch.flush()
        yield mmap.mmap(scratch.fileno(), size, access=mmap.ACCESS_READ)


def _read(data: Buffer, size: int, limits: HeaderLimits) -> Header:
    meta, start = _file_meta(data, size, limits)
    syntax = raw_value(meta, 0x00020010).decode("latin-1").strip(" \0")
    if not syntax:
        raise InvalidInstance(
            "the file meta information has no Transfer Syntax UID (0002,0010)",
            reasons.TRANSFER_SYNTAX_NOT_SUPPORTED.code,
        )
    deflated = syntax == DEFLATED
    if deflated:
        if len(data) < size:
            raise struct.error("a deflated data set is needed whole")
        data, start = _inflate(data, start, limits), 0
        size = len(data)
    encoding = Encoding(implicit=syntax == IMPLICIT_LITTLE, little_endian=syntax != EXPLICIT_BIG)
    reader = ElementReader(data, size, limits.elements)
    found, pixels = reader.top(start, encoding)
    end = size if pixels is None else pixels.offset
    if pixels is None and len(data) < size:
        raise struct.error("no pixel data: the rest of the file is data set as well")
    if end - reader.bulk_bytes > limits.header_bytes:
        raise InvalidInstance(
            f"the header is larger than the limit of {limits.header_bytes} bytes",
            reasons.OUT_OF_RESOURCES.code,
        )
    return Header(
        meta=meta,
        dataset=_dataset(found, data, encoding, ["iso8859"], limits.dataset_value_bytes),
        transfer_syntax_uid=syntax,
        pixel_data=None if pixels is None else _pixel_data(pixels),
        deflated=deflated,
        elements=tuple(found),
        encoding=encoding,
        size=size,
        data=data,
        limits=limits,
    )


def _file_meta(data: Buffer, size: int, limits: HeaderLimits) -> tuple[Dataset, int]:
    """Read group 0002, always Explicit VR Little Endian; gives the byte behind it too."""
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise InvalidInstance(
            "no DICM prefix at byte 128: this is not a DICOM Part 10 file (PS3.10 §7.1)"
        )
    reader = ElementReader(data, size, limits.elements)
    position, found = _PREAMBLE + 4, []
    # The group length is not believed: the group ends where another begins.
    while position + 8 <= size and data[position : position + 2] == b"\x02\x00":
        element, position = reader.one(position, EXPLICIT_LITTLE)
        if element.length > _MEBI:
            raise InvalidInstance(f"{elements.tag_text(element.tag)} has {element.length} bytes")
        found.append(element)
    if not found:
        raise InvalidInstance("the file has no file meta information (group 0002)")
    return _dataset(found, data, EXPLICIT_LITTLE, ["iso8859"], _MEBI), position


def _inflate(data: Buffer, start: int, limits: HeaderLimits) -> Buffer:
    """Inflate a data set (PS3.5 §A.5) into an unnamed temporary file, and map that."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    written = 0
    with tempfile.TemporaryFile() as inflated:
        while not inflater.eof and (start < len(data) or inflater.unconsumed_tail):
            piece = inflater.unconsumed_tail
            if not piece:
                piece = data[start : start + _MEBI]
                start += len(piece)
            try:
                out = inflater.decompress(piece, _MEBI)
            except zlib.error as error:
                raise InvalidInstance(f"the deflated data set is broken: {error}") from error
            written += len(out)
            if written > limits.inflated_bytes:
                raise InvalidInstance(
                    f"the data set inflates to more than {limits.inflated_bytes} bytes",
                    reasons.OUT_OF_RESOURCES.code,
                )
            inflated.write(out)
        if not inflater.eof:
            raise InvalidInstance("the deflated data set is cut short")
        inflated.flush()
        if written == 0:
            return b""
        return mmap.mmap(inflated.fileno(), written, access=mmap.ACCESS_READ)


def _pixel_data(element: Element) -> PixelDataElement:
    return PixelDataElement(
        keyword=_KEYWORDS[element.tag],
        vr=element.vr,
        value_offset=element.offset,
        length=None if element.undefined else element.length,
    )


def _dataset(
    found: "list[Element] | tuple[Element, ...]",
    data: Buffer,
    encoding: Encoding,
    charsets: list[str],
    value_limit: int,
) -> Dataset:
    """Make the pydicom view of elements; their values stay bytes until they are asked for."""
    content: dict[BaseTag, DataElement | RawDataElement] = {}
    for element in found:
        if element.tag == 0x00080005:
            charsets = encodings_of(data[element.offset : element.offset + element.length])
    for element in found:
        tag = BaseTag(element.tag)
        if element.tag == PER_FRAME or element.length > value_limit:
            continue
        if element.items is not None:
            content[tag] = DataElement(
                tag,
                "SQ",
                Sequence(
                    [
                        _dataset(item, data, encoding, charsets, value_limit)
                        for item in element.items
                    ]
                ),
            )
        elif not element.undefined:
            content[tag] = RawDataElement(
                tag,
                element.vr,
                element.length,
                data[element.offset : element.offset + element.length],
                element.offset,
                encoding.implicit,
                encoding.little_endian,
            )
    dataset = Dataset(content)
    dataset.set_original_encoding(encoding.implicit, encoding.little_endian, charsets)
    return dataset


def raw_value(dataset: Dataset, tag: int) -> bytes:
    """Give the bytes of an element as stored; none where it is absent or a sequence.

    pydicom's own conversion warns of odd values or fails at them.
    """
    element = dataset.get_item(tag) if tag in dataset else None
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return element.value
    return b""
