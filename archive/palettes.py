"""Palette Color Lookup Tables: stored values into colours (PS3.3 §C.7.6.3.1.5, §C.7.9).

Owns reading tables of 8 or 16 bits an entry, and segmented ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_MOST_ENTRIES = 65536

_Entries = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Palette:
    """Three tables as one."""

    first: int
    """Stored value that maps to the first entry."""
    table: NDArray[np.uint8]
    """(entries, 3), RGB."""


def read_palette(
    descriptors: Sequence[Sequence[float]],
    tables: Sequence[bytes | None],
    segmented: Sequence[Callable[[], bytes | None]],
) -> Palette | None:
    """Read the tables of red, green and blue.

    Parameters
    ----------
    descriptors
        Number of entries, first stored value mapped, bits an entry; of each.
    tables
        Of each, little endian; None where there is none.
    segmented
        Give the segmented table of each, where there is no plain one.

    Returns
    -------
    Palette or None
        None where tables are missing or broken.
    """
    channels, first = [], 0
    for descriptor, table, segments in zip(descriptors, tables, segmented, strict=True):
        if len(descriptor) != 3:
            return None
        entries, first, bits = (int(number) for number in descriptor)
        entries = entries or _MOST_ENTRIES
        found = _plain(table, entries) if table is not None else _expanded(segments(), entries)
        if found is None:
            return None
        channels.append(found >> (8 if bits == 16 or int(found.max(initial=0)) > 255 else 0))
    return Palette(first, np.clip(np.stack(channels, axis=1), 0, 255).astype(np.uint8))


def _plain(table: bytes, entries: int) -> _Entries | None:
    if len(table) >= 2 * entries:
        return np.frombuffer(table, "<u2", entries).astype(np.int64)
    if len(table) >= entries:
        return np.frombuffer(table, np.uint8, entries).astype(np.int64)
    return None


def _expanded(segments: bytes | None, entries: int) -> _Entries | None:
    """Expand a segmented table (PS3.3 §C.7.9.2); None where it does not give `entries`."""
    if segments is None or len(segments) % 2:
        return None
    words = np.frombuffer(segments, "<u2").astype(np.int64)
    out: list[int] = []
    if not _append(words, 0, len(words), out, entries, nested=False):
        return None
    return np.array(out[:entries], np.int64) if len(out) >= entries else None


def _append(
    words: _Entries, at: int, segments: int, out: list[int], entries: int, *, nested: bool
) -> bool:
    """Expand up to so many segments from `at` on; tells whether they are well formed.

    A few words can stand for many entries, so no more than those needed are made. An indirect
    segment repeats segments that lie before, none of them indirect (§C.7.9.2.3).
    """
    while at < len(words) and segments > 0 and len(out) < entries:
        segments -= 1
        code, count = int(words[at]), int(words[at + 1]) if at + 1 < len(words) else 0
        if code == _DISCRETE and at + 2 + count <= len(words):
            out += words[at + 2 : at + 2 + count].tolist()
            at += 2 + count
        elif code == _LINEAR and out and at + 3 <= len(words):
            line = np.linspace(out[-1], int(words[at + 2]), count + 1)[1:]
            out += np.rint(line).astype(np.int64).tolist()
            at += 3
        elif code == _INDIRECT and not nested and at + 4 <= len(words):
            start = (int(words[at + 2]) | int(words[at + 3]) << 16) // 2
            if start >= at or not _append(words, start, count, out, entries, nested=True):
                return False
            at += 4
        else:
            return False
    return True
