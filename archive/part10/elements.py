"""Data elements as they lie in bytes: tags, VRs, lengths and nesting, nothing decoded (PS3.5 §7).

Own reader instead of pydicom's, because what comes in is not to be trusted: nesting, number of
elements and lengths are bounded here, before anything is made of them, and 250,000 per-frame items
are walked in seconds. Values are left to `values`; what they mean, to others.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from archive.errors import InvalidInstance
from archive.part10.buffers import Buffer
from archive.part10.layouts import ItemLayouts

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD

FLOAT_PIXEL_DATA = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00009
PIXEL_DATA = 0x7FE00010
PIXELS = frozenset({FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})
PER_FRAME = 0x52009230
"""Per-Frame Functional Groups Sequence: one item a frame, walked only where it is needed."""

# PS3.5 2025e, §7.1.2: VRs with a 16-bit length; every other VR, known or not yet, has 32 bits.
SHORT_FORM = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()  # Table 7.1-2
)
_LONG_FORM = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # Table 7.1-1
_NAMES = {vr: vr.decode() for vr in SHORT_FORM | _LONG_FORM}

BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
INLINE_LIMIT = 1024
"""Bytes: binary values above it are bulk data, the others part of the metadata."""


class Element(NamedTuple):
    """One data element."""

    tag: int
    vr: str
    offset: int
    """Of the value, bytes from the start of the buffer."""
    length: int
    """Bytes of the value, delimiters included where its length is undefined."""
    items: "tuple[tuple[Element, ...], ...] | None" = None
    """Of a sequence, unless it is the per-frame one, which is walked on demand."""
    undefined: bool = False
    """Whether the length is undefined: a delimited sequence, or fragments."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written (PS3.5 §10)."""

    implicit: bool
    little_endian: bool

    @property
    def order(self) -> str:
        """Byte order as `struct` writes it."""
        return "<" if self.little_endian else ">"


IMPLICIT_LITTLE = Encoding(implicit=True, little_endian=True)
EXPLICIT_LITTLE = Encoding(implicit=False, little_endian=True)


@dataclass(frozen=True, slots=True)
class ElementLimits:
    """What a data set may demand of us."""

    depth: int = 64
    """Sequences within sequences. The deepest of the field, structured reports, stay below 30."""
    elements: int = 1_000_000
    """Data elements that are held at once. Per-frame items are not: they are walked one by one."""


@lru_cache(maxsize=8192)
def known_vr(tag: int) -> str | None:
    """Give the VR of the data dictionary (PS3.6), which may be several joined by " or "."""
    if not tag & 0xFFFF:
        return "UL"  # group length
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


@lru_cache(maxsize=8192)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


def tag_text(tag: int) -> str:
    """Write a tag as the standard does: ``(0028,0010)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


# Values that say how others are to be read: two items that differ in one are not alike.
_INTERPRETING = frozenset({0x00080005, 0x00280103})


def value_spans(elements: Iterable[Element]) -> list[tuple[int, int]] | None:
    """Give offset and length of every value in an item, nested ones included, in their order.

    Empty values and those that the meaning of others hangs on are left out. None where the elements
    are not ascending by tag, or hold what has no fixed length.
    """
    spans: list[tuple[int, int]] = []
    last = -1
    for element in elements:
        tag = element.tag
        if tag <= last or (element.undefined and element.items is None):
            return None
        last = tag
        for item in element.items or ():
            inner = value_spans(item)
            if inner is None:
                return None
            spans += inner
        creator = tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
        if element.items is None and element.length and tag not in _INTERPRETING and not creator:
            spans.append((element.offset, element.length))
    return spans


@dataclass(slots=True)
class ElementReader:
    """Reads the elements of one buffer.

    A value may lie beyond `data` as long as it ends within `size`: the caller then holds only the
    first part of a file. Reading a header beyond `data` raises `struct.error`.
    """

    data: Buffer
    size: int
    """Bytes of the whole, of which `data` may be the first part."""
    limits: ElementLimits = field(default_factory=ElementLimits)
    bulk_bytes: int = 0
    """Bytes of the large binary values that were passed over."""
    _count: int = 0
    _signed: bool = False

    def top(self, start: int, encoding: Encoding) -> tuple[list[Element], Element | None]:
        """Read a data set to its pixel data or its end.

        Returns
        -------
        tuple
            The elements before the pixel data, and the pixel data element, whose length is 0 and
            `undefined` set where it is encapsulated.

        Raises
        ------
        InvalidInstance
            When lengths, nesting or delimiters do not fit each other.
        """
        elements, end = self._elements(start, self.size, encoding, 0, top=True)
        if elements and elements[-1].tag in PIXELS:
            return elements[:-1], elements[-1]
        if end != self.size:
            raise InvalidInstance(f"the data set stops at byte {end} of {self.size}")
        return elements, None

    def one(self, start: int, encoding: Encoding) -> tuple[Element, int]:
        """Read a single element, which must not be nested; gives the byte behind it too."""
        group, number, vr, length = struct.unpack_from(encoding.order + "HH2sH", self.data, start)
        tag, offset = group << 16 | number, start + 8
        if vr not in SHORT_FORM:
            self._long_vr(vr, tag, start)
            (length,) = struct.unpack_from(encoding.order + "L", self.data, offset)
            offset += 4
        if length == UNDEFINED or offset + length > self.size:
            raise InvalidInstance(f"{tag_text(tag)} runs past the end of the file")
        return Element(tag, _NAMES.get(vr, "UN"), offset, length), offset + length

    def start_count(self) -> None:
        """Count elements anew: what was read before is not held any more."""
        self._count = 0

    def items(
        self, sequence: Element, encoding: Encoding, depth: int = 1
    ) -> Iterator[tuple[int, int]]:
        """Walk the items of a sequence; gives where each begins, and the byte behind it.

        The end of an item of undefined length is found by walking its elements.
        """
        position, end = sequence.offset, sequence.offset + sequence.length
        layouts: ItemLayouts[None] = ItemLayouts()
        while position < end:
            after = self._skip_item(position, end, encoding, depth, layouts)
            if after is None:
                return
            yield position, after
            position = after

    def item_at(
        self, position: int, end: int, encoding: Encoding, depth: int = 1
    ) -> tuple[list[Element] | None, int]:
        """Read the item that begins at `position` in a sequence that ends at `end`.

        Returns
        -------
        tuple
            Its elements, None where the sequence is at its end; and the byte behind it.
        """
        tag, length = self._item_header(position, encoding)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return None, position
        if tag != ITEM:
            raise InvalidInstance(
                f"{tag_text(tag)} at byte {position - 8}, where an item should begin"
            )
        undefined = length == UNDEFINED
        stop = end if undefined else position + length
        if stop > end:
            raise InvalidInstance(f"the item at byte {position - 8} runs past its sequence")
        return self._elements(position, stop, encoding, depth + 1, delimited=undefined)

    def _skip_item(
        self,
        position: int,
        end: int,
        encoding: Encoding,
        depth: int,
        layouts: ItemLayouts[None],
    ) -> int | None:
        """Give the byte behind an item; None where the sequence is at its end."""
        tag, length = self._item_header(position, encoding)
        if tag == ITEM and length != UNDEFINED:
            if position + 8 + length > end:
                raise InvalidInstance(f"the item at byte {position} runs past its sequence")
            return position + 8 + length
        found = layouts.find(self.data, position, min(end, len(self.data)))
        if found is not None:
            return position + found[0].size
        self.start_count()
        elements, after = self.item_at(position, end, encoding, depth)
        if elements is None:
            return None
        layouts.learn(self.data, position, after, value_spans(elements), None)
        return after

    def _item_header(self, position: int, encoding: Encoding) -> tuple[int, int]:
        group, element, length = struct.unpack_from(encoding.order + "HHL", self.data, position)
        return group << 16 | element, length

    def _elements(
        self,
        position: int,
        end: int,
        encoding: Encoding,
        depth: int,
        *,
        delimited: bool = False,
        top: bool = False,
    ) -> tuple[list[Element], int]:
        """Read elements up to `end`, or to the item delimiter where `delimited`."""
        data = self.data
        unpack = struct.Struct(encoding.order + "HH2sH").unpack_from
        unpack_long = struct.Struct(encoding.order + "L").unpack_from
        implicit = encoding.implicit
        creators: dict[int, str] = {}
        elements: list[Element] = []
        while position < end:
            group, number, raw_vr, length = unpack(data, position)
            tag = group << 16 | number
            if group == 0xFFFE:
                if delimited and tag == ITEM_DELIMITER:
                    return elements, position + 8
                raise InvalidInstance(
                    f"{tag_text(tag)} at byte {position}, where a data element should begin"
                )
            if implicit:
                (length,) = unpack_long(data, position + 4)
                vr = self._implicit_vr(tag, creators)
                offset = position + 8
            elif raw_vr in SHORT_FORM:
                vr, offset = _NAMES[raw_vr], position + 8
            else:
                vr = self._long_vr(raw_vr, tag, position)
                (length,) = unpack_long(data, position + 8)
                offset = position + 12
            self._count += 1
            if self._count > self.limits.elements:
                raise InvalidInstance(f"more than {self.limits.elements} data elements")
            element = self._element(tag, vr, offset, length, end, encoding, depth, top=top)
            elements.append(element)
            if top and tag in PIXELS:
                return elements, element.offset
            if group & 1 and 0x10 <= number <= 0xFF:
                creators[group << 8 | number] = self._text(element)
            elif tag == 0x00280103 and element.length == 2:
                (representation,) = struct.unpack_from(encoding.order + "H", data, offset)
                self._signed = representation == 1
            position = element.offset + element.length
        if delimited:
            raise InvalidInstance("an item of undefined length has no end")
        if position != end:
            raise InvalidInstance(f"the data element before byte {position} runs past its item")
        return elements, position

    def _element(
        self,
        tag: int,
        vr: str,
        offset: int,
        length: int,
        end: int,
        encoding: Encoding,
        depth: int,
        *,
        top: bool,
    ) -> Element:
        if length == UNDEFINED:
            return self._undefined(tag, vr, offset, encoding, depth, top=top)
        if offset + length > end:
            raise InvalidInstance(
                f"{tag_text(tag)} says it has {length} bytes, of which only "
                f"{max(end - offset, 0)} are there"
            )
        if vr == "SQ":
            sequence = Element(tag, vr, offset, length)
            if top and tag == PER_FRAME:
                return sequence
            return sequence._replace(items=self._nested(sequence, encoding, depth))
        if vr == "UN" and length and known_vr(tag) == "SQ":
            return self._unknown_sequence(tag, offset, length, depth)
        if vr == "UN" and not tag >> 16 & 1 and encoding.little_endian:
            vr = self._implicit_vr(tag, {})  # PS3.5 §6.2.2: passed on by one who did not know it
        if length > INLINE_LIMIT and vr in BINARY_VRS:
            self.bulk_bytes += length
        return Element(tag, vr, offset, length)

    def _undefined(
        self, tag: int, vr: str, offset: int, encoding: Encoding, depth: int, *, top: bool
    ) -> Element:
        if vr in ("SQ", "UN"):
            # PS3.5 §6.2.2: UN of undefined length is a sequence in Implicit VR Little Endian.
            inner = encoding if vr == "SQ" else IMPLICIT_LITTLE
            open_ended = Element(tag, "SQ", offset, self.size - offset, undefined=True)
            if top and tag == PER_FRAME:
                end = self._end_of_items(open_ended, inner, depth)
                return open_ended._replace(length=end - offset)
            items, end = self._read_items(open_ended, inner, depth)
            return open_ended._replace(length=end - offset, items=items)
        if vr not in ("OB", "OW"):
            raise InvalidInstance(f"{tag_text(tag)} is {vr} of undefined length")
        if top and tag in PIXELS:
            return Element(tag, vr, offset, 0, undefined=True)
        end = self._end_of_fragments(offset, encoding)
        return Element(tag, vr, offset, end - offset, undefined=True)

    def _nested(
        self, sequence: Element, encoding: Encoding, depth: int
    ) -> tuple[tuple[Element, ...], ...]:
        items, end = self._read_items(sequence, encoding, depth)
        if end > sequence.offset + sequence.length:
            raise InvalidInstance(f"an item of {tag_text(sequence.tag)} runs past its sequence")
        return items

    def _read_items(
        self, sequence: Element, encoding: Encoding, depth: int
    ) -> tuple[tuple[tuple[Element, ...], ...], int]:
        """Read all items of a sequence, and give the byte behind it."""
        if depth >= self.limits.depth:
            raise InvalidInstance(
                f"sequences are nested more than {self.limits.depth} deep at "
                f"{tag_text(sequence.tag)}"
            )
        position, end = sequence.offset, sequence.offset + sequence.length
        items: list[tuple[Element, ...]] = []
        while position < end:
            elements, position = self.item_at(position, end, encoding, depth)
            if elements is None:
                return tuple(items), position
            items.append(tuple(elements))
        if sequence.undefined:
            raise InvalidInstance(f"{tag_text(sequence.tag)} has no end")
        return tuple(items), position

    def _end_of_items(self, sequence: Element, encoding: Encoding, depth: int) -> int:
        """Find the byte behind a delimited sequence without keeping its elements."""
        position = sequence.offset
        for _, after in self.items(sequence, encoding, depth):
            position = after
        tag, _ = self._item_header(position, encoding)
        if tag == SEQUENCE_DELIMITER:
            return position + 8
        raise InvalidInstance(f"{tag_text(sequence.tag)} has no end")

    def _end_of_fragments(self, position: int, encoding: Encoding) -> int:
        while position < self.size:
            tag, length = self._item_header(position, encoding)
            position += 8
            if tag == SEQUENCE_DELIMITER:
                return position
            if tag != ITEM or length == UNDEFINED or position + length > self.size:
                raise InvalidInstance(f"broken fragment at byte {position - 8}")
            position += length
        raise InvalidInstance("encapsulated data have no end")

    def _unknown_sequence(self, tag: int, offset: int, length: int, depth: int) -> Element:
        """Read a known sequence that somebody passed on as UN (PS3.5 §6.2.2, Note 5)."""
        sequence = Element(tag, "SQ", offset, length)
        try:
            return sequence._replace(items=self._nested(sequence, IMPLICIT_LITTLE, depth))
        except InvalidInstance:
            return Element(tag, "UN", offset, length)  # its bytes are kept as they are

    def _implicit_vr(self, tag: int, creators: dict[int, str]) -> str:
        if tag >> 16 & 1:
            number = tag & 0xFFFF
            if 0x10 <= number <= 0xFF:
                return "LO"
            creator = creators.get(tag >> 16 << 8 | number >> 8)
            return "UN" if creator is None else _private_vr(tag, creator)
        vr = known_vr(tag) or "UN"
        if " or " not in vr:
            return vr
        # PS3.5 §A.1: in implicit VR, the ones with OW are OW; the rest hangs on the pixels' sign.
        if "OW" in vr:
            return "OW"
        return "SS" if self._signed else "US"

    def _long_vr(self, raw: bytes, tag: int, position: int) -> str:
        if raw in _LONG_FORM:
            return _NAMES[raw]
        if not (raw.isalpha() and raw.isupper()):
            raise InvalidInstance(
                f"{tag_text(tag)} at byte {position} has no value representation: is the data set "
                "really in the transfer syntax that its file meta information names?"
            )
        return "UN"  # a VR of a later edition (PS3.5 §6.2)

    def _text(self, element: Element) -> str:
        value = self.data[element.offset : element.offset + min(element.length, 64)]
        return value.decode("ascii", "replace").strip(" \0")
