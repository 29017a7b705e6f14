"""The per-frame functional groups as JSON: up to hundreds of thousands of items, nearly all alike.

PS3.3 §C.7.6.16. Items are walked one by one and never held together as anything but their JSON. An
item that is laid out like one before is not walked at all: its values go into the JSON of that one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from archive.errors import InvalidInstance
from archive.part10.elements import BINARY_VRS, Element, ElementReader, Encoding, value_spans
from archive.part10.header import Header
from archive.part10.layouts import ItemLayouts
from archive.part10.values import NotInJson

ItemJson = Callable[[tuple[Element, ...], list[str], str], bytes]
ValueJson = Callable[[Element, bytes, list[str]], bytes]
Codecs = Callable[[tuple[Element, ...], list[str]], list[str]]

_REMEMBERED = 4096


class _Slot:
    """Writes the values of one attribute; most frames repeat what others had."""

    __slots__ = ("_codecs", "_element", "_known", "_value_json")

    def __init__(self, element: Element, codecs: list[str], value_json: ValueJson) -> None:
        self._element, self._codecs, self._value_json = element, codecs, value_json
        self._known: dict[bytes, bytes] = {}

    def write(self, value: bytes) -> bytes:
        """Give the JSON object of the attribute with this value."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[value] = self._value_json(self._element, value, self._codecs)
        return known


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The JSON of an item with a gap for each value."""

    text: bytes
    slots: tuple[_Slot, ...]

    def write(self, values: tuple[bytes, ...]) -> bytes:
        return self.text % tuple(
            slot.write(value) for slot, value in zip(self.slots, values, strict=True)
        )


@dataclass(frozen=True, slots=True)
class PerFrameWriter:
    """Writes one per-frame functional groups sequence."""

    header: Header
    item_json: ItemJson
    """Writes the elements of one item, in a character set, at a path."""
    value_json: ValueJson
    """Writes one attribute with a given value; raises `NotInJson` where it would be bulk data."""
    codecs_of: Codecs
    """Gives the character set of an item within another."""

    def write(self, sequence: Element, codecs: list[str]) -> bytes:
        """Give the JSON object of the attribute.

        Raises
        ------
        InvalidInstance
            When an item is broken.
        """
        data, encoding = self.header.data, self.header.encoding
        reader = ElementReader(data, self.header.size, self.header.limits.elements)
        layouts: ItemLayouts[_Pattern] = ItemLayouts()
        position, end = sequence.offset, sequence.offset + sequence.length
        items: list[bytes] = []
        while position < end:
            found = layouts.find(data, position, end)
            if found is not None:
                layout, pattern = found
                try:
                    items.append(pattern.write(layout.values(data, position)))
                    position += layout.size
                    continue
                except NotInJson:
                    pass  # such a value is referred to by the path of its item: written below
            elements, after = self._walk(reader, position, end, encoding)
            if elements is None:
                break
            items.append(self.item_json(elements, codecs, f"{sequence.tag:08X}/{len(items)}/"))
            if found is None:
                spans = value_spans(elements)
                new = None if spans is None else self._pattern(elements, codecs)
                if new is not None:
                    layouts.learn(data, position, after, spans, new)
            position = after
        if not items:
            return b'{"vr":"SQ"}'
        return b'{"vr":"SQ","Value":[' + b",".join(items) + b"]}"

    def _walk(
        self, reader: ElementReader, position: int, end: int, encoding: Encoding
    ) -> tuple[tuple[Element, ...] | None, int]:
        reader.start_count()
        elements, after = reader.item_at(position, end, encoding)
        if after > end:
            raise InvalidInstance("an item of the per-frame functional groups runs past their end")
        return (None if elements is None else tuple(elements)), after

    def _pattern(self, elements: tuple[Element, ...], codecs: list[str]) -> _Pattern | None:
        """Make the pattern of an item that was walked; None for one that needs its path."""
        slots: list[_Slot] = []
        try:
            text = self._gaps(elements, codecs, slots)
        except NotInJson:
            return None
        return _Pattern(text, tuple(slots))

    def _gaps(self, elements: tuple[Element, ...], codecs: list[str], slots: list[_Slot]) -> bytes:
        codecs = self.codecs_of(elements, codecs)
        members = []
        for element in elements:
            spans = value_spans((element,)) or ()
            name = b'"%08X":' % element.tag
            if element.items:
                inner = b",".join(self._gaps(item, codecs, slots) for item in element.items)
                members.append(name + b'{"vr":"SQ","Value":[' + inner + b"]}")
            elif not element.tag & 0xFFFF or (element.vr in BINARY_VRS and spans):
                # A group length is not written; binary values may be named by the item's path.
                raise NotInJson(element.vr)
            elif spans:
                slots.append(_Slot(element, codecs, self.value_json))
                members.append(name + b"%b")
            else:
                members.append(name + self._constant(element, codecs).replace(b"%", b"%%"))
        return b"{" + b",".join(members) + b"}"

    def _constant(self, element: Element, codecs: list[str]) -> bytes:
        """Write what is the same in all items alike: empty values and those that interpret."""
        whole = self.item_json((element,), codecs, "0/")
        return whole[12:-1]
