"""What tests over HTTP cannot show without gigabytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from archive.assembly import _encapsulated, _native
from archive.errors import InvalidInstance
from archive.part10.from_json import Piece, StagedBulk

GIB = 2**30


def frames(*lengths: int) -> list[StagedBulk]:
    return [StagedBulk(Path("/nowhere"), 0, length) for length in lengths]


def bytes_of(parts: list[Piece]) -> bytes:
    return b"".join(piece for piece in parts if isinstance(piece, bytes))


def test_frames_that_offsets_of_32_bits_reach_have_a_basic_offset_table() -> None:
    pieces = _encapsulated(frames(5, 7, 8))
    content = bytes_of(pieces.parts)
    assert content[:12] == b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    assert content[12:32] == struct.pack("<HHL3L", 0xFFFE, 0xE000, 12, 0, 14, 30)
    assert pieces.length == 12 + 8 + 12 + (8 + 6) + (8 + 8) + (8 + 8) + 8


def test_frames_beyond_have_an_extended_offset_table() -> None:
    """PS3.3 §C.7.6.3.1.8: offsets of 64 bits, and an empty Basic Offset Table."""
    pieces = _encapsulated(frames(3 * GIB, 3 * GIB - 1, 10))
    content = bytes_of(pieces.parts)
    offsets = struct.pack("<3Q", 0, 3 * GIB + 8, 6 * GIB + 16)
    assert content[:12] == b"\xe0\x7f\x01\x00OV\0\0" + struct.pack("<L", 24)
    assert content[12:36] == offsets
    assert content[36:44] == b"\xe0\x7f\x02\x00OV\0\0"
    assert content[48:72] == struct.pack("<3Q", 3 * GIB, 3 * GIB, 10)
    assert content[72:92] == b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0
    )


def test_what_no_element_can_hold_is_refused() -> None:
    with pytest.raises(InvalidInstance, match="fragment"):
        _encapsulated(frames(4 * GIB))
    with pytest.raises(InvalidInstance, match="native"):
        _native({}, frames(2 * GIB, 2 * GIB))
