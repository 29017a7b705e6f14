"""Pixel data as web clients send them: their transfer syntax, and what they tell of the image.

A client may name the transfer syntax or leave it to the media type (PS3.18 §8.7.3.3), and may leave
the Image Pixel Description to the stream (PS3.18 §10.5.2). Streams are looked into, not decoded,
but for pictures that DICOM has no transfer syntax for, which become native pixels.
"""

import struct
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from archive.codestreams import (
    BrokenCodestream,
    Dimensions,
    read_jpeg2000_header,
    read_jpeg_header,
)
from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.transfer_syntaxes import (
    BY_UID,
    EXPLICIT_LITTLE,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    OCTET_STREAM,
    TRANSFER_SYNTAXES,
)

HEAD_BYTES = 1024 * 1024
"""Bytes of a stream that are enough to hold its header, ICC profile and thumbnails included."""
MAXIMUM_PICTURE_BYTES = 256 * 1024 * 1024
"""Bytes of native pixels that a PNG or GIF may become."""

PICTURES = frozenset({"image/png", "image/gif"})
"""Media types without a transfer syntax: to be transformed (PS3.18 Table 10.5.2-1)."""

_J2K = ("image/jp2", "image/jpx", "image/jphc", "image/j2c")
_CODESTREAM = b"\xff\x4f\xff\x51"
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_LOSSLESS = {"image/jp2": 90, "image/j2c": 90, "image/jpx": 92, "image/jphc": 201}
_LOSSY = {"image/jp2": 91, "image/j2c": 91, "image/jpx": 93, "image/jphc": 203}


@dataclass(frozen=True, slots=True)
class Described:
    """What a stream tells: the attributes of the Image Pixel Description Macro."""

    dimensions: Dimensions
    photometric_interpretation: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Native pixels of a picture: (frames, rows, columns[, samples]), 8 or 16 bits unsigned."""

    pixels: NDArray[np.generic]

    @property
    def described(self) -> Described:
        """What the pixels are."""
        _, rows, columns, *samples = self.pixels.shape
        count = samples[0] if samples else 1
        dimensions = Dimensions(rows, columns, count, self.pixels.itemsize * 8)
        return Described(dimensions, "RGB" if count == 3 else "MONOCHROME2")


def syntax_of(media_type: str, named: str | None, head: bytes) -> str:
    """Tell the transfer syntax of pixel data.

    Parameters
    ----------
    media_type
        Of the part, in lower case, without parameters.
    named
        The `transfer-syntax` parameter.
    head
        The first `HEAD_BYTES` of the stream.

    Raises
    ------
    InvalidInstance
        When there is none, or the two do not go together.
    """
    if named is not None:
        syntax = BY_UID.get(named)
        # As stored frames go out: any syntax as octets, every other type as its table has it.
        if syntax is None or media_type not in (syntax.media_type, OCTET_STREAM):
            raise _unsupported(f"transfer syntax {named[:64]} of {media_type[:40]}")
        return named
    if media_type == OCTET_STREAM:
        return EXPLICIT_LITTLE
    try:
        if media_type == "image/jpeg":
            return _jpeg(head)
        if media_type == "image/jls":
            return f"1.2.840.10008.1.2.4.{81 if _near(head) else 80}"
        if media_type in _J2K:
            kinds = _LOSSLESS if _j2k_style(head)[1] else _LOSSY
            return f"1.2.840.10008.1.2.4.{kinds[media_type]}"
    except (BrokenCodestream, IndexError, struct.error) as error:
        raise InvalidInstance(f"the pixel data are no {media_type}") from error
    for syntax in TRANSFER_SYNTAXES:
        if syntax.media_type == media_type and syntax.default:
            return syntax.uid
    raise _unsupported(f"pixel data of {media_type[:40]}")


def describe(transfer_syntax_uid: str, head: bytes) -> Described | None:
    """Read what a stream tells of its image; None for kinds that the table does not name.

    Raises
    ------
    InvalidInstance
        When it is not what its transfer syntax says.
    """
    media_type = BY_UID[transfer_syntax_uid].media_type
    try:
        if media_type in ("image/jpeg", "image/jls"):
            header = read_jpeg_header(head)
            colour = "YBR_FULL_422" if transfer_syntax_uid == JPEG_BASELINE else "YBR_FULL"
            if header.dimensions.samples == 1:
                colour = "MONOCHROME2"
            elif media_type == "image/jls" or header.is_rgb(""):
                colour = "RGB"
            return Described(header.dimensions, colour)
        if media_type in _J2K:
            dimensions = read_jpeg2000_header(head)
            transformed, reversible = _j2k_style(head)
            colour = ("YBR_RCT" if reversible else "YBR_ICT") if transformed else "RGB"
            return Described(dimensions, "MONOCHROME2" if dimensions.samples == 1 else colour)
    except (BrokenCodestream, IndexError, struct.error) as error:
        raise InvalidInstance(f"the pixel data are no {media_type}") from error
    return None


def is_jp2(head: bytes) -> bool:
    """Tell whether a stream is a JP2 file, with boxes around its codestream."""
    return head.startswith(_JP2)


def codestream_span(head: bytes, length: int) -> tuple[int, int]:
    """Give where the JPEG 2000 codestream lies in a JP2 file; DICOM has it bare (PS3.5 §A.4.4).

    Returns
    -------
    tuple of int
        Offset and length.

    Raises
    ------
    InvalidInstance
        When there is none.
    """
    position = 0
    while position + 8 <= len(head):
        size, name = struct.unpack_from(">L4s", head, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", head, start)
            start += 8
        end = length if size == 0 else position + size
        if name == b"jp2c" and start <= end <= length:
            return start, end - start
        if end <= position:
            break
        position = end
    raise InvalidInstance("the JP2 file has no codestream")


def decode_picture(media_type: str, content: bytes) -> Picture:
    """Decode a PNG or GIF; transparency is dropped (PS3.18 §10.5.2, notes 4 and 5).

    Raises
    ------
    InvalidInstance
        When it is broken, or larger than is taken.
    """
    try:
        with Image.open(BytesIO(content), formats=["PNG", "GIF"]) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames * picture.width * picture.height * 4 > MAXIMUM_PICTURE_BYTES:
                raise InvalidInstance("the picture is too large", reasons.OUT_OF_RESOURCES.code)
            if media_type == "image/gif":
                rgb = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(picture)]
                return Picture(np.stack(rgb))
        pixels = np.asarray(imagecodecs.png_decode(content))  # 16 bits a sample stay
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise InvalidInstance(f"the pixel data are no {media_type}") from error
    if pixels.ndim == 3:
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
        pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Picture(np.ascontiguousarray(pixels)[np.newaxis])


def _jpeg(head: bytes) -> str:
    """Tell the process of a JPEG stream by its frame header (ITU-T T.81 Table B.1)."""
    kind, scan = _markers(head)
    if kind == 0xC0:
        return JPEG_BASELINE
    if kind == 0xC1:
        return JPEG_EXTENDED
    if kind == 0xC3:
        predictor = head[scan + 5 + 2 * head[scan + 4]]
        return f"1.2.840.10008.1.2.4.{70 if predictor == 1 else 57}"
    raise _unsupported(f"the JPEG process of frame header {kind:02X}")


def _near(head: bytes) -> int:
    """Give NEAR of a JPEG-LS stream: 0 is lossless (ITU-T T.87 §C.2.3)."""
    _, scan = _markers(head)
    return head[scan + 5 + 2 * head[scan + 4]]


def _markers(head: bytes) -> tuple[int, int]:
    """Give the marker of the frame header, and where the first scan header begins."""
    if head[:2] != b"\xff\xd8":
        raise BrokenCodestream("no start of image")
    position, kind = 2, 0
    while True:
        while head[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = head[position + 1]
        if head[position] != 0xFF:
            raise BrokenCodestream("no marker")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            kind = marker
        if marker == 0xDA:
            return kind, position
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")


def _j2k_style(head: bytes) -> tuple[bool, bool]:
    """Tell of a JPEG 2000 stream whether its components and its wavelet are transformed how.

    Returns
    -------
    tuple of bool
        Whether there is a multiple component transformation; whether the wavelet is the reversible
        one (ITU-T T.800 §A.6.1).
    """
    position = head.find(_CODESTREAM, 0, 65536)
    if position < 0:
        raise BrokenCodestream("no codestream")
    position += 2
    while head[position : position + 2] != b"\xff\x52":
        if head[position] != 0xFF:
            raise BrokenCodestream("no marker")
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    return head[position + 8] == 1, head[position + 13] == 1


def _unsupported(what: str) -> InvalidInstance:
    return InvalidInstance(f"{what} is not supported", reasons.TRANSFER_SYNTAX_NOT_SUPPORTED.code)
