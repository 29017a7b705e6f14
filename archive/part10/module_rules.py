"""What the modules of an instance must have, and what in them cannot be.

Only what clients stand on is looked at: the attributes that an image, and a slide in particular,
shall have a value for (Type 1), and a Total Pixel Matrix that its frames can fill. An instance that
lacks them is kept with a warning.
"""

from collections.abc import Iterator

from pydicom.datadict import tag_for_keyword

from archive.model.frames import PixelDescription
from archive.model.sop_classes import VL_WHOLE_SLIDE_MICROSCOPY
from archive.part10.elements import Element, tag_text
from archive.part10.header import Header

# PS3.3 2024c, Table C.7-5a: General Series; the UIDs are looked at by `checks`.
_ALWAYS = ("Modality",)
# PS3.3 2024c, Table C.7-11c: Image Pixel Description Macro; Rows, Columns and Bits Allocated are
# looked at by `pixel_description`.
_PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# PS3.3 2024c, Table A.32.8-1 with C.8.12.4, C.8.12.5, C.7.6.17, C.7.6.22, C.7.4.1: attributes of
# Type 1 of a whole slide image.
_WHOLE_SLIDE = (
    "ImageType",
    "InstanceNumber",
    "FrameOfReferenceUID",
    "NumberOfFrames",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "ContainerIdentifier",
    "OpticalPathSequence",
)

_MATRIX_COLUMNS, _MATRIX_ROWS = 0x00480006, 0x00480007
_FOCAL_PLANES, _OPTICAL_PATHS = 0x00480303, 0x00480302
_PATH_SEQUENCE, _ORGANIZATION = 0x00480105, 0x00209311
_CONCATENATION = 0x00209161


def module_remarks(header: Header, sop_class: str, pixels: PixelDescription | None) -> list[str]:
    """Tell what is missing, and what cannot be."""
    found = {element.tag: element for element in header.elements}
    remarks = list(_missing(found, _ALWAYS))
    if pixels is not None and pixels.keyword == "PixelData":
        remarks += _missing(found, _PIXELS)
    if sop_class == VL_WHOLE_SLIDE_MICROSCOPY:
        remarks += _missing(found, _WHOLE_SLIDE)
        remarks += _matrix(header, found, pixels)
    return remarks


def _missing(found: dict[int, Element], keywords: tuple[str, ...]) -> Iterator[str]:
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None and (tag not in found or found[tag].length == 0):
            yield f"{keyword} {tag_text(tag)} is of Type 1, and has no value"


def _matrix(
    header: Header, found: dict[int, Element], pixels: PixelDescription | None
) -> Iterator[str]:
    """Hold the Total Pixel Matrix against the frames that fill it (PS3.3 §C.7.6.17.3)."""
    columns, rows = (_number(header, found.get(tag)) for tag in (_MATRIX_COLUMNS, _MATRIX_ROWS))
    if pixels is None or columns is None or rows is None:
        return
    if not columns or not rows:
        yield f"a Total Pixel Matrix {tag_text(_MATRIX_COLUMNS)} of no pixels"
        return
    organization = found.get(_ORGANIZATION)
    if organization is None or _text(header, organization) != "TILED_FULL":
        return
    if _CONCATENATION in found:  # its frames are spread over instances
        return
    paths = found.get(_PATH_SEQUENCE)
    count = _number(header, found.get(_OPTICAL_PATHS)) or len((paths and paths.items) or ()) or 1
    planes = _number(header, found.get(_FOCAL_PLANES)) or 1
    tiles = -(-columns // pixels.columns) * -(-rows // pixels.rows)
    if tiles * count * planes != pixels.number_of_frames:
        yield (
            f"Number of Frames (0028,0008) is {pixels.number_of_frames}; a TILED_FULL matrix of "
            f"{columns} x {rows} in {count} optical paths and {planes} planes has "
            f"{tiles * count * planes}"
        )


def _number(header: Header, element: Element | None) -> int | None:
    """Give a US or UL; None where it is neither."""
    if element is None or element.length not in (2, 4):
        return None
    value = header.data[element.offset : element.offset + element.length]
    return int.from_bytes(value, "little" if header.encoding.little_endian else "big")


def _text(header: Header, element: Element) -> str:
    value = header.data[element.offset : element.offset + element.length]
    return value.decode("ascii", "replace").strip(" \0")
