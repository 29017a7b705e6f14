"""Walking a TIFF's chain of directories before a library does.

Libraries stop quietly where a chain leaves the file, and a slide that lost its label and half of
its levels would look like a smaller one. Here that is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from conversion import limits
from conversion.errors import DamagedSource, LimitExceeded, TruncatedSource

if TYPE_CHECKING:
    from conversion.sources.file import SourceFile


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in bytes: of an offset, of a directory's entry count, of an entry."""

    order: Literal["little", "big"]
    first: int
    offset: int
    count: int
    entry: int


def check_chain(source: SourceFile) -> None:
    """Follow the directories from the header to the last one.

    Raises
    ------
    TruncatedSource
        A directory lies past the end of the file.
    DamagedSource
        The chain is empty or runs in a circle.
    LimitExceeded
        It has too many directories.
    """
    layout = _layout(source)
    at = _number(source, layout.first, layout.offset, layout)
    if at == 0:
        raise DamagedSource("the TIFF lists no image")
    seen: set[int] = set()
    while at:
        if at in seen:
            raise DamagedSource("the list of TIFF directories runs in a circle")
        seen.add(at)
        if len(seen) > limits.MAX_DIRECTORIES:
            raise LimitExceeded(
                f"the file lists more than {limits.MAX_DIRECTORIES} images",
                what="directories",
                claimed=len(seen),
                limit=limits.MAX_DIRECTORIES,
            )
        at = _next(source, at, layout)


def _layout(source: SourceFile) -> _Layout:
    magic = source.start(4)
    order: Literal["little", "big"] = "little" if magic[:2] == b"II" else "big"
    if int.from_bytes(magic[2:4], order) == 43:  # BigTIFF
        return _Layout(order, first=8, offset=8, count=8, entry=20)
    # NDPI is classic TIFF with offsets of eight bytes; below 4 GiB their upper half is zero and may
    # be left out, above nothing but NDPI is possible.
    wide = source.size >= 2**32
    return _Layout(order, first=4, offset=8 if wide else 4, count=2, entry=12)


def _next(source: SourceFile, at: int, layout: _Layout) -> int:
    entries = _number(source, at, layout.count, layout)
    return _number(source, at + layout.count + entries * layout.entry, layout.offset, layout)


def _number(source: SourceFile, at: int, size: int, layout: _Layout) -> int:
    if at + size > source.size:
        raise TruncatedSource(
            f"the file is truncated: its list of images goes on past its end at byte "
            f"{source.size}; copy it again from the scanner",
            size=source.size,
            needed=at + size,
        )
    return int.from_bytes(source.read(at, size), layout.order)
