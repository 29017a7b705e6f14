"""How inputs are changed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

MAXIMUM_BYTES = 64 * 1024
_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_LARGE = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def changed(
    content: bytes, others: Sequence[bytes], words: Sequence[bytes], noise: random.Random
) -> bytes:
    """Change an input in a few places.

    Parameters
    ----------
    others
        Inputs that pieces are taken from.
    words
        What means something to the reader.
    """
    made = bytearray(content)
    for _ in range(noise.choice((1, 1, 1, 2, 4, 16))):
        at = noise.randrange(len(made) + 1)
        kind = noise.randrange(9)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << noise.randrange(8)
        elif kind == 1 and made:
            made[at % len(made)] = noise.randrange(256)
        elif kind == 2:
            made[at:at] = noise.choice(words)
        elif kind == 3:
            del made[at : at + noise.choice((1, 2, 4, 8, 64, 1024))]
        elif kind == 4:
            _overwrite(made, at, noise)
        elif kind == 5:
            other = noise.choice(others)
            start = noise.randrange(len(other) + 1)
            made[at:at] = other[start : start + noise.choice((4, 16, 128, 1024))]
        elif kind == 6:
            piece = bytes(made[at : at + noise.choice((1, 4, 16, 256))])
            made[at:at] = piece * noise.choice((1, 2, 3, 50))
        elif kind == 7:
            word = noise.choice(words)
            made[at : at + len(word)] = word
        else:
            del made[at:]
    return bytes(made[:MAXIMUM_BYTES])


def _overwrite(made: bytearray, at: int, noise: random.Random) -> None:
    """Write a number that is at the edge of something, in either byte order."""
    order = noise.choice("<>")
    if noise.random() < 0.5:
        piece = struct.pack(f"{order}H", noise.choice(_NUMBERS))
    else:
        piece = struct.pack(f"{order}L", noise.choice(_NUMBERS + _LARGE))
    made[at : at + len(piece)] = piece
