"""The Image Pixel Module of an instance (PS3.3 §C.7.6.3), read without trusting its values."""

import struct

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.frames import PixelDescription
from archive.part10.elements import tag_text
from archive.part10.header import Header, raw_value

MAXIMUM_FRAMES = 4_194_304
"""Frames of one instance: sixteen times the largest that are seen; bounds what an index costs."""

_BITS = {"PixelData": None, "FloatPixelData": 32, "DoubleFloatPixelData": 64}

_ROWS, _COLUMNS, _FRAMES = 0x00280010, 0x00280011, 0x00280008
_SAMPLES, _PHOTOMETRIC, _PLANAR = 0x00280002, 0x00280004, 0x00280006
_ALLOCATED, _STORED, _REPRESENTATION = 0x00280100, 0x00280101, 0x00280103


def describe_pixels(header: Header) -> PixelDescription | None:
    """Say what the pixels of an instance are; None for an instance without pixel data.

    Raises
    ------
    InvalidInstance
        When the attributes without which no frame can be found or read are missing, or are not
        numbers, or demand the impossible.
    """
    if header.pixel_data is None:
        return None
    dataset = header.dataset
    allocated = _number(dataset, _ALLOCATED, default=_BITS[header.pixel_data.keyword])
    samples = _number(dataset, _SAMPLES, default=1)
    frames = _number(dataset, _FRAMES, default=1)
    if frames > MAXIMUM_FRAMES:
        raise InvalidInstance(
            f"Number of Frames {tag_text(_FRAMES)} is {frames}, the limit is {MAXIMUM_FRAMES}",
            reasons.OUT_OF_RESOURCES.code,
        )
    if allocated != 1 and allocated % 8:
        raise InvalidInstance(
            f"Bits Allocated {tag_text(_ALLOCATED)} is {allocated}, neither 1 nor whole bytes",
            reasons.INVALID_ATTRIBUTE_VALUE.code,
        )
    return PixelDescription(
        rows=_number(dataset, _ROWS),
        columns=_number(dataset, _COLUMNS),
        number_of_frames=frames,
        samples_per_pixel=samples,
        photometric_interpretation=_text(dataset, _PHOTOMETRIC)
        or ("MONOCHROME2" if samples == 1 else "RGB"),
        bits_allocated=allocated,
        bits_stored=_number(dataset, _STORED, default=allocated),
        pixel_representation=_number(dataset, _REPRESENTATION, default=0, least=0),
        planar_configuration=_number(dataset, _PLANAR, default=0, least=0),
        keyword=header.pixel_data.keyword,
        swapped_bytes=allocated == 8
        and header.pixel_data.vr == "OW"
        and not header.encoding.little_endian,
    )


def stored_frame_bits(pixels: PixelDescription) -> int:
    """Bits of one native frame as it is stored.

    YBR_FULL_422 that is not compressed has two chroma samples for every two pixels
    (PS3.3 §C.7.6.3.1.2).
    """
    if pixels.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        return pixels.rows * pixels.columns * 2 * pixels.bits_allocated
    return pixels.native_frame_bits


def _number(dataset: Dataset, tag: int, *, default: int | None = None, least: int = 1) -> int:
    """Read US or IS without pydicom's conversion, which warns of or rejects odd values."""
    value = raw_value(dataset, tag)
    if not (value.strip(b" \0") if tag == _FRAMES else value):
        if default is None:
            raise InvalidInstance(
                f"{tag_text(tag)} is missing or empty", reasons.MISSING_ATTRIBUTE.code
            )
        return default
    number = _parse(dataset, tag, value)
    if number is None or number < least:
        raise InvalidInstance(
            f"{tag_text(tag)} is not a number of at least {least}",
            reasons.INVALID_ATTRIBUTE_VALUE.code,
        )
    return number


def _parse(dataset: Dataset, tag: int, value: bytes) -> int | None:
    if tag == _FRAMES:
        text = value.strip(b" \0")
        return int(text) if text.isdigit() and len(text) <= 12 else None
    if len(value) < 2:
        return None
    element = dataset.get_item(tag)
    little = not isinstance(element, RawDataElement) or element.is_little_endian
    number: int = struct.unpack_from("<H" if little else ">H", value)[0]
    return number


def _text(dataset: Dataset, tag: int) -> str:
    return raw_value(dataset, tag).decode("ascii", "replace").strip(" \0")
