"""The per-frame functional groups as JSON: up to hundreds of thousands of items, nearly all alike.

PS3.3 §C.7.6.16. Items are walked one by one and never held together as anything but their JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass

from archive.part10.elements import Element, ElementReader
from archive.part10.header import Header

ItemJson = Callable[[tuple[Element, ...], list[str], str], bytes]


@dataclass(slots=True)
class PerFrameWriter:
    """Writes one per-frame functional groups sequence."""

    header: Header
    item_json: ItemJson
    """Writes the elements of one item, in a character set, at a path."""
    codecs: list[str]

    def write(self, sequence: Element) -> bytes:
        """Give the JSON object of the attribute."""
        reader = ElementReader(self.header.data, self.header.size, self.header.limits.elements)
        encoding = self.header.encoding
        path = f"{sequence.tag:08X}/"
        items = [
            self.item_json(
                tuple(reader.item_elements(start, end, encoding)),
                self.codecs,
                f"{path}{index}/",
            )
            for index, (start, end) in enumerate(reader.items(sequence, encoding))
        ]
        if not items:
            return b'{"vr":"SQ"}'
        return b'{"vr":"SQ","Value":[' + b",".join(items) + b"]}"
