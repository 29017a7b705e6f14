"""Which reader takes a file. Chosen by content, never by the file's name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from conversion.errors import UnsupportedFormat
from conversion.sources import aperio
from conversion.sources.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Slide
    from conversion.sources.tiff import TiffFacts

_READ_NOW = "Aperio SVS, tiled TIFF, OME-TIFF and Hamamatsu NDPI are converted"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def open_slide(source: SourceFile) -> Iterator[Slide]:
    """Open a slide with the reader its content asks for, and look at every tile.

    Raises
    ------
    UnsupportedFormat
        It is of another format, or of none that is known.
    ConversionError
        It is damaged.
    """
    start = source.start(512)
    if start[:4] not in _TIFF_MAGIC:
        raise _refusal(start, source)
    with open_tiff(source) as facts:
        yield _read_tiff(source, facts)


def _read_tiff(source: SourceFile, facts: TiffFacts) -> Slide:
    if aperio.recognises(facts):
        return aperio.read(source, facts)
    raise UnsupportedFormat(f"this kind of TIFF is not converted; {_READ_NOW}", format="TIFF")


def _refusal(start: bytes, source: SourceFile) -> UnsupportedFormat:
    if not start:
        return UnsupportedFormat("the file is empty", format="empty")
    return UnsupportedFormat(f"the file is not a slide; {_READ_NOW}", format="unknown")
