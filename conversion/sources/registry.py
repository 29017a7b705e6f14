"""Which reader takes a file. Chosen by content, never by the file's name.

A name is looked at only to phrase a refusal: a MIRAX index is an ordinary JPEG picture.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from conversion.errors import UnsupportedFormat
from conversion.sources import aperio, generic_tiff, hamamatsu, ome_tiff
from conversion.sources.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Slide
    from conversion.sources.tiff import Directory, TiffFacts

_READ_NOW: Final = "Aperio SVS, tiled TIFF, OME-TIFF and Hamamatsu NDPI are converted"
_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_MAGIC: Final = b"\xff\xd8\xff"

#: Start of a file → what it is.
_STARTS: Final = (
    (b"ZISRAWFILE", "Zeiss CZI"),
    (b"\x89PNG", "PNG picture"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"%PDF", "PDF document"),
    (b"GIF8", "GIF picture"),
    (b"BM", "BMP picture"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 picture"),
    (b"\x89HDF", "HDF5 file"),
    (b"<DataObject", "Philips iSyntax"),
    (b"[Virtual Microscope Specimen]", "Hamamatsu VMS"),
    (b"SQLite format 3", "SQLite database"),
)

_HINTS: Final = {
    "Olympus VSI": "and its slide lies in the folder beside it, not in this file",
    "3DHISTECH MIRAX": "and its slide lies in the folder beside it, not in this file",
}


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
        if hamamatsu.recognises(facts):
            with hamamatsu.opened(source, facts) as slide:
                yield slide
        else:
            yield _read_tiff(source, facts)


def _read_tiff(source: SourceFile, facts: TiffFacts) -> Slide:
    if not facts.directories:
        raise UnsupportedFormat("the TIFF has no image", format="TIFF")
    if aperio.recognises(facts):
        return aperio.read(source, facts)
    other = _other_tiff(facts.directories[0])
    if other is not None:
        raise _not_converted(other)
    if ome_tiff.recognises(facts):
        return ome_tiff.read(source, facts)
    return generic_tiff.read(source, facts)


def _other_tiff(first: Directory) -> str | None:
    """Name the vendor format that a TIFF is, where it is one that needs a reader of its own.

    Read as plain tiled TIFF these would come out wrong: tiles overlap, levels are virtual, or the
    picture is but a preview of what lies in files beside it.
    """
    description, make = first.description, str(first.tag(271) or "")
    if make.startswith("Olympus"):
        return "Olympus VSI"
    if first.software.startswith("Philips") or "<DataObject" in description[:500]:
        return "Philips TIFF"
    if "<iScan" in _xmp(first) or make.startswith("Roche"):
        return "Ventana BIF"
    if "http://www.leica-microsystems.com/scn" in description[:2000]:
        return "Leica SCN"
    if "PerkinElmer-QPI" in description[:2000]:
        return "PerkinElmer QPTIFF"
    return None


def _xmp(first: Directory) -> str:
    value = first.tag(700)
    return bytes(value[:4096]).decode(errors="replace") if isinstance(value, bytes) else ""


def _refusal(start: bytes, source: SourceFile) -> UnsupportedFormat:
    if not start:
        return UnsupportedFormat(
            "the file is empty; copy it again from the scanner", format="empty"
        )
    stripped = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _STARTS:
        if stripped.startswith(magic):
            return _not_converted(name)
    if b"PixelImageHeader" in start or b"<DataObject" in start:
        return _not_converted("Philips iSyntax")
    if start[128:132] == b"DICM":
        return UnsupportedFormat("the file is DICOM already; store it as it is", format="DICOM")
    if start.startswith(_JPEG_MAGIC):
        if source.path.suffix.lower() == ".mrxs":
            return _not_converted("3DHISTECH MIRAX")
        return _not_converted("JPEG picture")
    return UnsupportedFormat(
        f"the file is not a slide of any known format; {_READ_NOW}", format="unknown"
    )


def _not_converted(name: str) -> UnsupportedFormat:
    hint = f" ({_HINTS[name]})" if name in _HINTS else ""
    return UnsupportedFormat(f"{name} is not converted{hint}; {_READ_NOW}", format=name)
