"""Metadata as DICOM JSON, and the bulk data that it refers to (PS3.18 Annex F).

The JSON is written straight from the bytes: exact digits, every character set, no object per
element. Pixel data and offset tables are left out; a binary value of more than
`elements.INLINE_LIMIT` bytes is a BulkDataURI relative to the instance, ``bulkdata/<attribute
path>``: tags and zero-based item indexes joined by "/", as in ``00480105/0/00282000``.
"""

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from archive.errors import BulkDataNotFound, InvalidInstance
from archive.part10.character_sets import encodings_of
from archive.part10.elements import (
    BINARY_VRS,
    INLINE_LIMIT,
    ITEM,
    PER_FRAME,
    PIXELS,
    SEQUENCE_DELIMITER,
    Element,
    ElementReader,
)
from archive.part10.header import Header
from archive.part10.per_frame import PerFrameWriter
from archive.part10.values import NotInJson, value_json

_CHARACTER_SET = 0x00080005
_LEFT_OUT = PIXELS | {0x7FE00001, 0x7FE00002, 0x7FE00003}
# How many bytes to turn round when a big-endian value is sent (PS3.18 §8.7.3.3.1: little endian).
_WORDS = {"OW": 2, "US": 2, "SS": 2, "AT": 2, "OF": 4, "OL": 4, "FL": 4, "SL": 4, "UL": 4}
_WORDS |= {"OD": 8, "OV": 8, "FD": 8, "SV": 8, "UV": 8}
_STEP = re.compile(r"[0-9A-Fa-f]{8}")
_LEVELS = 128


@dataclass(frozen=True, slots=True)
class MetadataJson:
    """The metadata of one instance, UTF-8."""

    header: bytes
    """A JSON object: the data set without Per-Frame Functional Groups Sequence (5200,9230)."""
    per_frame: bytes | None
    """The JSON object of that attribute, ``{"vr":"SQ","Value":[…]}``; None where there is none."""


def to_json(header: Header) -> MetadataJson:
    """Write the metadata of an instance.

    Raises
    ------
    InvalidInstance
        When the per-frame functional groups are broken; all else was read with the header.
    """
    writer = _Writer(header)
    codecs = writer.codecs(header.elements, ["iso8859"])
    per_frame = next((element for element in header.elements if element.tag == PER_FRAME), None)
    rest = tuple(element for element in header.elements if element.tag != PER_FRAME)
    written = None
    if per_frame is not None:
        try:
            written = PerFrameWriter(
                header, writer.item_json, writer.value_json, writer.codecs
            ).write(per_frame, codecs)
        except struct.error as error:
            raise InvalidInstance("the per-frame functional groups are cut short") from error
    return MetadataJson(writer.item_json(rest, codecs, ""), written)


@dataclass(slots=True)
class _Writer:
    source: Header

    def codecs(self, elements: tuple[Element, ...], inherited: list[str]) -> list[str]:
        """Give the character set of an item: its own, or that around it (PS3.3 §C.12.1.1.2)."""
        for element in elements:
            if element.tag == _CHARACTER_SET:
                return encodings_of(self._value(element))
            if element.tag > _CHARACTER_SET:
                break
        return inherited

    def item_json(self, elements: tuple[Element, ...], codecs: list[str], path: str) -> bytes:
        """Write the elements of a data set or item as one JSON object, ascending by tag."""
        codecs = self.codecs(elements, codecs)
        members = {}
        for element in elements:
            tag = element.tag
            if not tag & 0xFFFF or (tag in _LEFT_OUT and not path):
                continue  # group length: PS3.18 §F.2.2
            members[tag] = self._element_json(element, codecs, path)
        tags = sorted(members)
        return b"{" + b",".join(b'"%08X":%b' % (tag, members[tag]) for tag in tags) + b"}"

    def _element_json(self, element: Element, codecs: list[str], path: str) -> bytes:
        vr = element.vr.encode()
        if element.vr == "SQ":
            if not element.items:
                return b'{"vr":"SQ"}'
            at = f"{path}{element.tag:08X}/"
            items = [
                self.item_json(item, codecs, f"{at}{index}/")
                for index, item in enumerate(element.items)
            ]
            return b'{"vr":"SQ","Value":[' + b",".join(items) + b"]}"
        if element.tag == _CHARACTER_SET:
            return b'{"vr":"CS","Value":["ISO_IR 192"]}'  # what the JSON itself is in
        if not element.length:
            return b'{"vr":"%b"}' % vr
        if element.vr in BINARY_VRS:
            if element.length > INLINE_LIMIT or element.undefined or element.tag in PIXELS:
                return self._reference(element, path)
            inline = base64.b64encode(self._little(element))
            return b'{"vr":"%b","InlineBinary":"%b"}' % (vr, inline)
        try:
            return self.value_json(element, self._value(element), codecs)
        except NotInJson:
            return self._reference(element, path)

    def value_json(self, element: Element, value: bytes, codecs: list[str]) -> bytes:
        """Write an attribute that is neither nested nor binary; raises `NotInJson`."""
        text = value_json(element.vr, value, self.source.encoding.order, codecs)
        if not text:
            return b'{"vr":"%b"}' % element.vr.encode()
        return b'{"vr":"%b","Value":[%b]}' % (element.vr.encode(), text)

    def _reference(self, element: Element, path: str) -> bytes:
        return b'{"vr":"%b","BulkDataURI":"bulkdata/%b%08X"}' % (
            element.vr.encode(),
            path.encode(),
            element.tag,
        )

    def _value(self, element: Element) -> bytes:
        return self.source.data[element.offset : element.offset + element.length]

    def _little(self, element: Element) -> bytes:
        return little_endian(self.source, element)


def little_endian(header: Header, element: Element) -> bytes:
    """Give the value of an element in little-endian order."""
    value = header.data[element.offset : element.offset + element.length]
    width = _WORDS.get(element.vr, 1)
    if header.encoding.little_endian or width == 1 or len(value) % width:
        return value
    return b"".join(bytes(reversed(value[at : at + width])) for at in range(0, len(value), width))


def bulk_data(header: Header, path: str) -> bytes:
    """Give the bytes of one bulk data value, little endian (PS3.18 §8.7.3.3.1, §10.4.1.1.6).

    Any element with a value may be asked for, not only those that the metadata refer to; pixel data
    are asked for frame by frame.

    Parameters
    ----------
    path
        Attribute path, as in the BulkDataURI behind ``bulkdata/``.

    Raises
    ------
    BulkDataNotFound
        When there is no such element, or it is a sequence, or pixel data of the instance itself.
    """
    steps = path.split("/")
    if len(steps) > 2 * _LEVELS or len(steps) % 2 == 0:
        raise BulkDataNotFound(f"no bulk data at {path[:80]!r}")
    elements: tuple[Element, ...] = header.elements
    for step, index in zip(steps[:-1:2], steps[1::2], strict=True):
        elements = _item(header, _find(elements, step, path), index, path)
    element = _find(elements, steps[-1], path)
    if element.vr == "SQ":
        raise BulkDataNotFound(f"{path[:80]} is a sequence")
    if element.undefined:
        return b"".join(_fragments(header, element))
    return little_endian(header, element)


def _find(elements: tuple[Element, ...], step: str, path: str) -> Element:
    if _STEP.fullmatch(step) is not None:
        tag = int(step, 16)
        for element in elements:
            if element.tag == tag:
                return element
    raise BulkDataNotFound(f"no bulk data at {path[:80]!r}")


def _item(header: Header, sequence: Element, index: str, path: str) -> tuple[Element, ...]:
    if sequence.vr != "SQ" or not index.isascii() or not index.isdigit() or len(index) > 9:
        raise BulkDataNotFound(f"no bulk data at {path[:80]!r}")
    wanted = int(index)
    if sequence.items is not None:
        if wanted < len(sequence.items):
            return sequence.items[wanted]
    else:
        reader = ElementReader(header.data, header.size, header.limits.elements)
        for number, (start, after) in enumerate(reader.items(sequence, header.encoding)):
            if number == wanted:
                return tuple(reader.item_at(start, after, header.encoding)[0] or ())
    raise BulkDataNotFound(f"no bulk data at {path[:80]!r}")


def _fragments(header: Header, element: Element) -> Iterator[bytes]:
    """Give the fragments of encapsulated pixel data within an item (an icon), table left out."""
    position, first = element.offset, True
    while True:
        group, number, length = struct.unpack_from("<HHL", header.data, position)
        if group << 16 | number == SEQUENCE_DELIMITER:
            return
        if not first and group << 16 | number == ITEM:
            yield header.data[position + 8 : position + 8 + length]
        first = False
        position += 8 + length
