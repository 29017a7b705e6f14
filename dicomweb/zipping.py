"""Instances as one ZIP file, made while it is sent (PS3.18 §8.6.1.3).

Nothing is compressed, as most pixels are already, and nothing is held: sizes and checksums stand
behind the entries, in ZIP64 where they need it. Names are UIDs; a patient is in none of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zipstream import ZIP_STORED, ZipStream

MEDIA_TYPE = "application/zip"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the archive."""

    name: str
    pieces: Iterable[bytes]
    size: int | None
    """Bytes; None where it is not known beforehand."""


def zipped(entries: Iterable[Entry]) -> tuple[Iterator[bytes], int | None]:
    """Give a ZIP file piece by piece, and its length where that of every entry is known."""
    kept = list(entries)
    sized = all(entry.size is not None for entry in kept)
    stream = ZipStream(compress_type=ZIP_STORED, sized=sized)
    for entry in kept:
        stream.add(entry.pieces, entry.name, size=entry.size)
    return iter(stream), len(stream) if sized else None
