"""Items that are laid out alike: told by one comparison instead of being walked again.

The items of per-frame functional groups (PS3.3 §C.7.6.16) differ in their values and hardly ever in
their structure. An `ItemLayout` knows all bytes of an item that are structure, and where its values
lie; another item that has the same structure bytes is the same item but for those values.
"""

import struct
from collections.abc import Sequence

from archive.part10.buffers import Buffer

_LAYOUTS_PER_HEADER = 64
_SLOTS = 256


class ItemLayout:
    """The structure of one item, its header and delimiter included.

    Attributes
    ----------
    size
        Bytes of the whole item.
    """

    __slots__ = ("_expected", "_structure", "_values", "size")

    def __init__(
        self, data: Buffer, start: int, after: int, spans: Sequence[tuple[int, int]]
    ) -> None:
        structure, values, at = ["<"], ["<"], start
        for offset, length in spans:
            structure.append(f"{offset - at}s{length}x")
            values.append(f"{offset - at}x{length}s")
            at = offset + length
        structure.append(f"{after - at}s")
        self._structure = struct.Struct("".join(structure))
        self._values = struct.Struct("".join(values))
        self._expected = self._structure.unpack_from(data, start)
        self.size = after - start

    def matches(self, data: Buffer, position: int) -> bool:
        """Tell whether the item at `position`, of which all bytes are there, is laid out so."""
        return self._structure.unpack_from(data, position) == self._expected

    def values(self, data: Buffer, position: int) -> tuple[bytes, ...]:
        """Give the values of the item at `position`, in the order of the spans."""
        return self._values.unpack_from(data, position)


class ItemLayouts[T]:
    """The layouts met so far, each with what somebody keeps to it."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[tuple[ItemLayout, T]]] = {}

    def find(self, data: Buffer, position: int, end: int) -> tuple[ItemLayout, T] | None:
        """Give the layout of the item at `position`, when it is known."""
        known = self._known.get(data[position : position + 8])
        if known is None:
            return None
        for at, (layout, kept) in enumerate(known):
            if position + layout.size <= end and layout.matches(data, position):
                if at:
                    known.insert(0, known.pop(at))
                return layout, kept
        return None

    def learn(
        self,
        data: Buffer,
        start: int,
        after: int,
        spans: Sequence[tuple[int, int]] | None,
        kept: T,
    ) -> None:
        """Keep the layout of an item that was walked; `spans` None is one that cannot be kept."""
        known = self._known.setdefault(data[start : start + 8], [])
        if spans is not None and len(spans) <= _SLOTS and len(known) < _LAYOUTS_PER_HEADER:
            known.insert(0, (ItemLayout(data, start, after, spans), kept))
