"""Whole instances in another transfer syntax than they are stored in (PS3.18 §8.7.3, PS3.5 §A.4).

Owns which attributes change with the pixel data, and how those are laid out. Nothing is held whole:
the header is copied in pieces, frames go one by one, and what comes out has no known length.

An instance whose pixels are kept stays the instance it is. One that is compressed with loss on the
way is a derived image, "and if the predecessor was a DICOM image, then the Image shall receive a
new SOP Instance UID" (PS3.3 §C.7.6.1.1.5): the same one each time, for it is made of the stored UID
and the transfer syntax.

What follows the pixel data, padding and digital signatures of what is stored, is left out.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from archive.concatenations import JoinedInstance
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import (
    BY_UID,
    DEFLATED,
    DEFLATED_FRAMES,
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_LITTLE,
    HTJ2K,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LS,
)
from archive.part10 import Header
from archive.part10.elements import UNDEFINED, Element
from archive.part10.writing import (
    Change,
    DataSetWriter,
    element,
    element_header,
    file_meta,
    item,
)
from archive.pixels import can_decode, native_frame
from archive.transcoding import (
    LOSSLESS_TARGETS,
    LOSSY_TARGETS,
    can_transcode_frames,
    described_as,
    keeps_stream,
    loses,
    transcode_frame,
)
from conversion.identifiers import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    derived_uid,
)

ReadFrames = Callable[[Sequence[int]], Iterable[bytes]]
"""Frame numbers, one-based → their stored bytes, in that order."""
ReadBytes = Callable[[int, int], Iterator[bytes]]
"""Offset and length in the file, or in the inflated data set → these bytes, in pieces."""

INSTANCE_TARGETS = (EXPLICIT_LITTLE, *LOSSLESS_TARGETS, DEFLATED, *LOSSY_TARGETS)
"""Transfer syntaxes that instances are sent in when they are stored in another, the best first."""

# PS3.3 §C.7.6.1.1.5.1, Defined Terms of Lossy Image Compression Method.
_METHODS = {
    JPEG_BASELINE: "ISO_10918_1",
    JPEG_2000: "ISO_15444_1",
    JPEG_LS: "ISO_14495_1",
    HTJ2K: "ISO_15444_15",
}
_SAMPLED_FRAMES = 16
"""Frames that the compression ratio of a stream is told by, which has to stand before them."""
_LONGEST_TEXT = 1024
"""Bytes of a Short Text (PS3.5 Table 6.2-1); characters may be fewer."""

_ITEM = struct.Struct("<HHL")
_FIRST_ITEM, _END = _ITEM.pack(0xFFFE, 0xE000, 0), _ITEM.pack(0xFFFE, 0xE0DD, 0)

_IMAGE_TYPE, _FRAME_TYPE, _ICON = 0x00080008, 0x00089007, 0x00880200
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018
_REFERENCED_SERIES, _SERIES_UID = 0x00081115, 0x0020000E
_DERIVATION, _SOURCE_IMAGES, _DERIVATION_CODES = 0x00082111, 0x00082112, 0x00089215
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_LOSSY, _RATIO, _METHOD = 0x00282110, 0x00282112, 0x00282114
# Extended Offset Table, its Lengths, and Encapsulated Pixel Data Value Total Length.
_PLACES = (0x7FE00001, 0x7FE00002, 0x7FE00003)


def can_transcode(instance: StoredInstance, transfer_syntax_uid: str) -> bool:
    """Tell whether an instance can be sent in a transfer syntax, by what its attributes say.

    Without pixel data an instance has no use for a compressed syntax (PS3.5 §A.4).
    """
    stored_uid, pixels = instance.transfer_syntax_uid, instance.pixels
    if isinstance(instance, JoinedInstance):
        return False  # there is no file of it
    if transfer_syntax_uid == stored_uid:
        return True
    if transfer_syntax_uid not in INSTANCE_TARGETS or not can_decode(stored_uid):
        return False
    native = transfer_syntax_uid in (EXPLICIT_LITTLE, DEFLATED)
    if pixels is None or not native:
        return (
            native
            if pixels is None
            else can_transcode_frames(pixels, stored_uid, transfer_syntax_uid)
        )
    length = (pixels.native_frame_bits * pixels.number_of_frames + 7) // 8
    return not BY_UID[stored_uid].encapsulated or length + length % 2 < UNDEFINED


@dataclass(frozen=True, slots=True)
class Source:
    """A stored instance, and how its pixels are read."""

    header: Header
    pixels: PixelDescription | None
    frames: ReadFrames
    read: ReadBytes


def rewritten(source: Source, wanted_uid: str) -> Iterator[bytes]:
    """Give a whole Part 10 file in another transfer syntax, in pieces.

    Parameters
    ----------
    source
        Stored in any syntax but one of video.
    wanted_uid
        One that `can_transcode` has found possible.

    Raises
    ------
    CannotTranscode
        When a frame cannot be decoded after all. What was given until then is no whole file.
    """
    header, pixels = source.header, source.pixels
    stored_uid = header.transfer_syntax_uid
    changes: dict[int, Change] = {}
    added: dict[int, bytes] = dict.fromkeys(_PLACES, b"")
    meta = {
        0x00020010: wanted_uid.encode(),
        0x00020012: IMPLEMENTATION_CLASS_UID.encode(),
        0x00020013: IMPLEMENTATION_VERSION_NAME.encode(),
    }
    if any(_has_fragments(one) for one in header.elements):
        added[_ICON] = b""  # an icon compressed like the image: it would need another syntax
    if pixels is not None:
        added |= _pixel_attributes(header, pixels, wanted_uid)
        if loses(stored_uid, wanted_uid):
            derived = derived_uid("lossy", _text(header, _SOP_INSTANCE_UID), wanted_uid)
            meta[0x00020003] = derived.encode()
            added |= _derivation(source, pixels, wanted_uid, derived)
            changes |= {_FRAME_TYPE: _derived_type}
    writer = DataSetWriter(header, changes, added)
    yield file_meta(header, meta)
    body = _data_set(source, writer, wanted_uid)
    yield from _deflated(body) if wanted_uid == DEFLATED else body


def _data_set(source: Source, writer: DataSetWriter, wanted_uid: str) -> Iterator[bytes]:
    yield from writer.pieces()
    pixels, stored_uid = source.pixels, source.header.transfer_syntax_uid
    if pixels is None:
        return
    encapsulated = BY_UID[wanted_uid].encapsulated
    if not encapsulated and not BY_UID[stored_uid].encapsulated:
        yield from _copied_pixels(source, pixels)
    elif encapsulated:
        yield from _fragments(source, pixels, wanted_uid)
    else:
        yield from _native_pixels(source, pixels)


# --- pixel data ---------------------------------------------------------------------------------


def _transcoded(
    source: Source, pixels: PixelDescription, wanted_uid: str, numbers: Sequence[int]
) -> Iterator[bytes]:
    stored_uid = source.header.transfer_syntax_uid
    described = described_as(pixels, stored_uid, wanted_uid)
    for number, stored in zip(numbers, source.frames(numbers), strict=True):
        yield transcode_frame(
            stored,
            pixels,
            stored_uid,
            wanted_uid,
            number=number,
            interpretation=described.photometric_interpretation,
        )


def _fragments(source: Source, pixels: PixelDescription, wanted_uid: str) -> Iterator[bytes]:
    """Write encapsulated frames, one fragment each, so that an empty offset table says enough.

    PS3.5 §A.4: the Basic Offset Table need not be there; lengths are not known before the end.
    """
    yield element_header(0x7FE00010, "OB", UNDEFINED) + _FIRST_ITEM
    numbers = range(1, pixels.number_of_frames + 1)
    for frame in _transcoded(source, pixels, wanted_uid, numbers):
        yield item(frame + b"\0" * (len(frame) % 2))
    yield _END


def _native_pixels(source: Source, pixels: PixelDescription) -> Iterator[bytes]:
    """Write decoded frames one after the other, one-bit ones without gaps (PS3.5 §8.1.1)."""
    header, frames = source.header, pixels.number_of_frames
    length = (pixels.native_frame_bits * frames + 7) // 8
    if length + length % 2 >= UNDEFINED:
        raise CannotTranscode("the uncompressed pixel data would be longer than an element can be")
    yield element_header(0x7FE00010, _native_vr(pixels), length + length % 2)
    numbers = range(1, frames + 1)
    natives = (
        native_frame(stored, pixels, header.transfer_syntax_uid, number=number)
        for number, stored in zip(numbers, source.frames(numbers), strict=True)
    )
    yield from _joined_bits(natives, pixels) if pixels.bits_allocated == 1 else natives
    yield b"\0" * (length % 2)


def _joined_bits(frames: Iterable[bytes], pixels: PixelDescription) -> Iterator[bytes]:
    """Join one-bit frames that each begin on a byte."""
    count = pixels.native_frame_bits
    left = np.empty(0, np.uint8)
    for frame in frames:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=count, bitorder="little")
        bits = np.concatenate([left, bits])
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        left = bits[whole:]
    yield np.packbits(left, bitorder="little").tobytes()


def _copied_pixels(source: Source, pixels: PixelDescription) -> Iterator[bytes]:
    """Copy native pixel data, words turned round where they are big endian."""
    header, found = source.header, source.header.pixel_data
    if found is None or found.length is None:
        raise CannotTranscode("the pixel data are not native")
    length = found.length
    tag = {"FloatPixelData": 0x7FE00008, "DoubleFloatPixelData": 0x7FE00009}.get(
        found.keyword, 0x7FE00010
    )
    vr = found.vr if found.vr in ("OB", "OW", "OF", "OD") else _native_vr(pixels)
    # OB is a string of bytes; OW is of words, also for samples of eight bits (PS3.5 §8.1.2).
    width = max(pixels.bits_allocated // 8, 2 if vr == "OW" else 1)
    if header.encoding.little_endian:
        width = 1
    yield element_header(tag, vr, length + length % 2)
    for piece in source.read(found.value_offset, length):
        if width == 1 or len(piece) % width:
            yield piece
        else:
            yield np.frombuffer(piece, f"u{width}").byteswap().tobytes()
    yield b"\0" * (length % 2)


def _native_vr(pixels: PixelDescription) -> str:
    return "OW" if pixels.bits_allocated > 8 else "OB"


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Deflate a data set (PS3.5 §A.5), padded to an even length."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    written = 0
    for piece in pieces:
        out = deflater.compress(piece)
        written += len(out)
        if out:
            yield out
    out = deflater.flush()
    yield out + b"\0" * ((written + len(out)) % 2)


# --- attributes ---------------------------------------------------------------------------------


def _pixel_attributes(
    header: Header, pixels: PixelDescription, wanted_uid: str
) -> dict[int, bytes]:
    """Give the attributes that say how the pixels are encoded (PS3.5 §8.2)."""
    stored_uid = header.transfer_syntax_uid
    added: dict[int, bytes] = {}
    if wanted_uid in (EXPLICIT_LITTLE, DEFLATED, DEFLATED_FRAMES):
        described = pixels  # of native pixels, and with the planes of compressed ones
        if BY_UID[stored_uid].encapsulated and stored_uid != ENCAPSULATED_UNCOMPRESSED:
            described = described_as(pixels, stored_uid, EXPLICIT_LITTLE)
    else:
        described = described_as(pixels, stored_uid, wanted_uid)
        if pixels.samples_per_pixel > 1:
            added[_PLANAR] = element(_PLANAR, struct.pack("<H", described.planar_configuration))
    if described.photometric_interpretation != pixels.photometric_interpretation:
        added[_PHOTOMETRIC] = element(_PHOTOMETRIC, described.photometric_interpretation.encode())
    was_lossy = stored_uid in (JPEG_BASELINE, JPEG_EXTENDED)
    if was_lossy and not keeps_stream(stored_uid, wanted_uid) and _text(header, _LOSSY) != "01":
        # The syntax alone told it, and is gone now; once set, it is never reset.
        added[_LOSSY] = element(_LOSSY, b"01")
    return added


def _derivation(
    source: Source, pixels: PixelDescription, wanted_uid: str, derived: str
) -> dict[int, bytes]:
    """Give the attributes of an image that was compressed with loss (PS3.3 §C.7.6.1.1.5)."""
    header = source.header
    ratio = f"{_ratio(source, pixels, wanted_uid):.4g}"
    name = BY_UID[wanted_uid].name
    before = _value(header, _DERIVATION).rstrip(b" \0")
    text = b"; " * bool(before) + f"lossy compression in {name}, about {ratio}:1".encode("ascii")
    if len(before) + len(text) > _LONGEST_TEXT:
        text = b""  # what stands there stays whole; the code says it too
    image_type = _derived_type(_text(header, _IMAGE_TYPE).encode())
    return {
        _SOP_INSTANCE_UID: element(_SOP_INSTANCE_UID, derived.encode()),
        _IMAGE_TYPE: element(_IMAGE_TYPE, image_type),
        _DERIVATION: element(_DERIVATION, before + text),
        _REFERENCED_SERIES: _with_item(header, _REFERENCED_SERIES, _referenced_series(header)),
        _SOURCE_IMAGES: _with_item(header, _SOURCE_IMAGES, _source_image(header)),
        _DERIVATION_CODES: _with_item(
            header, _DERIVATION_CODES, _code("113040", "DCM", "Lossy Compression")
        ),
        _LOSSY: element(_LOSSY, b"01"),
        _RATIO: element(_RATIO, _appended(_text(header, _RATIO), ratio)),
        _METHOD: element(_METHOD, _appended(_text(header, _METHOD), _METHODS[wanted_uid])),
    }


def _ratio(source: Source, pixels: PixelDescription, wanted_uid: str) -> float:
    """Give the approximate compression ratio, by frames from all over the image."""
    frames = pixels.number_of_frames
    numbers = sorted({int(n) for n in np.linspace(1, frames, min(frames, _SAMPLED_FRAMES))})
    size = sum(len(frame) for frame in _transcoded(source, pixels, wanted_uid, numbers))
    return len(numbers) * pixels.native_frame_bits / 8 / max(size, 1)


def _source_image(header: Header) -> bytes:
    """Point at what is stored: an item of Source Image Sequence (PS3.3 §C.12.4.1.2)."""
    purpose = ("121322", "DCM", "Source image for image processing operation")
    if not BY_UID[header.transfer_syntax_uid].encapsulated:
        purpose = ("121320", "DCM", "Uncompressed predecessor")
    return _reference(header) + element(0x0040A170, item(_code(*purpose)), "SQ")


def _referenced_series(header: Header) -> bytes:
    """Tell where the source image is: an item of Referenced Series Sequence (PS3.3 §C.12.2)."""
    series = element(_SERIES_UID, _text(header, _SERIES_UID).encode())
    return element(0x0008114A, item(_reference(header)), "SQ") + series


def _reference(header: Header) -> bytes:
    """Write SOP Class and Instance UID of what is stored (PS3.3 Table 10-11)."""
    return element(0x00081150, _text(header, _SOP_CLASS_UID).encode()) + element(
        0x00081155, _text(header, _SOP_INSTANCE_UID).encode()
    )


def _code(value: str, scheme: str, meaning: str) -> bytes:
    """Write the content of an item of a code sequence (PS3.3 §8.8)."""
    return (
        element(0x00080100, value.encode(), "SH")
        + element(0x00080102, scheme.encode(), "SH")
        + element(0x00080104, meaning.encode(), "LO")
    )


def _with_item(header: Header, tag: int, content: bytes) -> bytes:
    """Write a sequence with one item more than it has."""
    there = next((one for one in header.elements if one.tag == tag), None)
    before = b"" if there is None else DataSetWriter(header, {}, {}).items(there)
    return element(tag, before + item(content), "SQ")


def _derived_type(value: bytes) -> bytes:
    """Give Image Type or Frame Type with DERIVED for its first value."""
    first, separator, rest = value.partition(b"\\")
    return b"DERIVED" + separator + rest if first.strip() == b"ORIGINAL" else value or b"DERIVED"


def _appended(there: str, value: str) -> bytes:
    return (f"{there}\\{value}" if there else value).encode()


def _value(header: Header, tag: int) -> bytes:
    found = next((one for one in header.elements if one.tag == tag), None)
    return b"" if found is None else header.data[found.offset : found.offset + found.length]


def _text(header: Header, tag: int) -> str:
    """Give a value as text; of UIDs and codes, which are ASCII."""
    return _value(header, tag).decode("ascii", "replace").strip(" \0")


def _has_fragments(one: Element) -> bool:
    return one.tag == _ICON and any(
        inner.undefined and inner.items is None for found in one.items or () for inner in found
    )
