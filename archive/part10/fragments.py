"""Encapsulated pixel data as the one stream that its fragments are cut out of (PS3.5 §A.4)."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from archive.errors import InvalidInstance
from archive.part10.elements import ITEM

_ITEM_HEADER = struct.Struct("<HHL")
_PIECE = 1024 * 1024


def joined_fragments(file: BinaryIO) -> Iterator[bytes]:
    """Read the stream of a file that stands at the offset table, piece by piece.

    Raises
    ------
    InvalidInstance
        When the fragments have no end.
    """
    fragments = -1  # the first item is the offset table
    while True:
        header = _read(file, _ITEM_HEADER.size)
        group, number, left = _ITEM_HEADER.unpack(header)
        if group << 16 | number != ITEM:
            return  # the delimiter of the sequence
        while left:
            piece = _read(file, min(left, _PIECE))
            left -= len(piece)
            if fragments >= 0:
                yield piece
        fragments += 1


def _read(file: BinaryIO, length: int) -> bytes:
    """Read exactly so many bytes, though a connection may give fewer at a time."""
    pieces = b""
    while len(pieces) < length:
        chunk = file.read(length - len(pieces))
        if not chunk:
            raise InvalidInstance("the fragments of the pixel data have no end")
        pieces += chunk
    return pieces
