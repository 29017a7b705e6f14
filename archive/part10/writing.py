"""Data elements as bytes in Explicit VR Little Endian: what is stored, copied or written anew.

Owns how elements are written (PS3.5 §7, PS3.10 §7.1). What is written differently from what is
stored, is the caller's. Nothing is held but one value, so that a header of 100 MB passes through.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from pydicom.datadict import dictionary_VR

from archive.part10.elements import EXPLICIT_LITTLE as EXPLICIT
from archive.part10.elements import IMPLICIT_LITTLE as IMPLICIT
from archive.part10.elements import (
    ITEM,
    ITEM_DELIMITER,
    PER_FRAME,
    SEQUENCE_DELIMITER,
    SHORT_FORM,
    UNDEFINED,
    Element,
    ElementReader,
    Encoding,
)
from archive.part10.header import Header, raw_value

_PIECE = 1024 * 1024
_SHORT_LIMIT = 0xFFFE
# Bytes of the units that big endian turns round (PS3.5 §7.3); every other VR is a string of bytes.
_WORDS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
_ITEM_HEADER = struct.Struct("<HHL")

Change = Callable[[bytes], bytes | None]
"""Value as stored → value to be written, or None to leave the element out. Little endian."""
Changes = Mapping[int, Change]


def element(tag: int, value: bytes, vr: str | None = None) -> bytes:
    """Write one element.

    Parameters
    ----------
    value
        Padded to an even length here (PS3.5 §6.2).
    vr
        That of the data dictionary when left out.
    """
    vr = vr or dictionary_VR(tag)
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    return element_header(tag, vr, len(value)) + value


def element_header(tag: int, vr: str, length: int) -> bytes:
    """Write tag, VR and length; a VR that is too short for the length becomes UN (PS3.5 §6.2.2)."""
    name = vr.encode("ascii")
    if name in SHORT_FORM:
        if length <= _SHORT_LIMIT:
            return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, name, length)
        name = b"UN"
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, name, 0, length)


def item(content: bytes) -> bytes:
    """Write one item of a sequence."""
    return item_header(len(content)) + content


def item_header(length: int) -> bytes:
    """Write what goes before the content of an item."""
    return _ITEM_HEADER.pack(ITEM >> 16, ITEM & 0xFFFF, length)


def file_meta(header: Header, given: Mapping[int, bytes]) -> bytes:
    """Write preamble and file meta information, with `given` values in place of those stored."""
    vrs: dict[int, str] = {}
    values: dict[int, bytes] = {}
    for tag in header.meta.keys():  # noqa: SIM118 - a data set iterates over decoded elements
        vrs[int(tag)] = str(header.meta.get_item(tag).VR)
        values[int(tag)] = raw_value(header.meta, int(tag))
    values |= given
    values.pop(0x00020000, None)
    body = b"".join(element(tag, values[tag], vrs.get(tag)) for tag in sorted(values))
    return b"\0" * 128 + b"DICM" + element(0x00020000, struct.pack("<L", len(body)), "UL") + body


class DataSetWriter:
    """Writes the data set of an instance up to its pixel data.

    Parameters
    ----------
    header
        What is stored, in any encoding.
    changes
        Tag → change of an element that is there, at any depth but within pixel data.
    added
        Tag → whole element, to be put where it belongs, in place of one that is there.
    """

    def __init__(self, header: Header, changes: Changes, added: Mapping[int, bytes]) -> None:
        self._data = header.data
        self._header = header
        self._changes = changes
        self._added = added

    def pieces(self) -> Iterator[bytes]:
        """Give the data set in pieces."""
        waiting = sorted(self._added)
        for one in self._header.elements:
            while waiting and waiting[0] <= one.tag:
                yield self._added[waiting.pop(0)]
            if one.tag in self._added or not one.tag & 0xFFFF:
                continue  # replaced; or a group length, which need not be true any more
            yield from self._element(one, self._header.encoding)
        for tag in waiting:
            yield self._added[tag]

    def items(self, sequence: Element) -> bytes:
        """Write the items of a sequence by themselves."""
        encoding = self._inside(sequence, self._header.encoding)
        return b"".join(
            piece for found in sequence.items or () for piece in self._item(found, encoding)
        )

    def _element(self, one: Element, encoding: Encoding) -> Iterator[bytes]:
        change = self._changes.get(one.tag)
        if change is not None:
            value = change(_little(self._value(one), one.vr, encoding))
            if value is not None:
                yield element(one.tag, value, one.vr)
        elif encoding == EXPLICIT and not self._may_change(one):
            yield from self._copied(one)
        elif one.vr == "SQ":
            yield from self._sequence(one, self._inside(one, encoding))
        elif one.undefined:  # fragments of an icon; only explicit little endian has any
            yield from self._copied(one)
        else:
            value = _little(self._value(one), one.vr, encoding)
            yield element_header(one.tag, one.vr, len(value) + len(value) % 2)
            yield value + b"\0" * (len(value) % 2)

    def _may_change(self, one: Element) -> bool:
        """Tell whether something in a sequence is to be changed."""
        if not self._changes or one.vr != "SQ":
            return False
        if one.tag == PER_FRAME:
            return True
        return any(
            inner.tag in self._changes or self._may_change(inner)
            for found in one.items or ()
            for inner in found
        )

    def _sequence(self, one: Element, encoding: Encoding) -> Iterator[bytes]:
        """Write a sequence, and its items, with delimiters: their lengths are not known yet."""
        yield element_header(one.tag, "SQ", UNDEFINED)
        for found in self._walked(one, encoding):
            yield b"".join(self._item(found, encoding))
        yield _delimiter(SEQUENCE_DELIMITER)

    def _item(self, found: Iterable[Element], encoding: Encoding) -> Iterator[bytes]:
        yield _ITEM_HEADER.pack(ITEM >> 16, ITEM & 0xFFFF, UNDEFINED)
        for inner in found:
            if inner.tag & 0xFFFF:
                yield from self._element(inner, encoding)
        yield _delimiter(ITEM_DELIMITER)

    def _walked(self, one: Element, encoding: Encoding) -> Iterator[Iterable[Element]]:
        if one.items is not None:
            yield from one.items
            return
        header = self._header
        reader = ElementReader(self._data, header.size, header.limits.elements)
        position, end = one.offset, one.offset + one.length
        while position < end:
            reader.start_count()
            found, position = reader.item_at(position, end, encoding)
            if found is None:
                return
            yield found

    def _inside(self, one: Element, encoding: Encoding) -> Encoding:
        """Give the encoding of a sequence's items: what is UN holds Implicit VR (PS3.5 §6.2.2)."""
        if encoding.implicit:
            return encoding
        start = one.offset - 12
        return IMPLICIT if self._data[start + 4 : start + 6] == b"UN" else encoding

    def _value(self, one: Element) -> bytes:
        return self._data[one.offset : one.offset + one.length]

    def _copied(self, one: Element) -> Iterator[bytes]:
        """Copy an explicit element as it lies, its header included."""
        data, start = self._data, one.offset - 8
        group, number, vr = struct.unpack_from("<HH2s", data, start)
        if group << 16 | number != one.tag or vr not in SHORT_FORM:
            start -= 4
        end = one.offset + one.length
        for at in range(start, end, _PIECE):
            yield data[at : min(at + _PIECE, end)]


def _little(value: bytes, vr: str, encoding: Encoding) -> bytes:
    width = 1 if encoding.little_endian else _WORDS.get(vr, 1)
    if width == 1 or len(value) % width:
        return value
    return np.frombuffer(value, f"u{width}").byteswap().tobytes()


def _delimiter(tag: int) -> bytes:
    return _ITEM_HEADER.pack(tag >> 16, tag & 0xFFFF, 0)
