"""Frames as pixels: decoding what is stored, and the uncompressed form that clients may ask for.

Owns native frames and the colour of decoded ones; codecs are `decoders`'. Windows, profiles and
pictures are `rendering`'s; which form a client gets is decided by the face that speaks to it.
"""

import numpy as np

from archive.colours import Pixels, in_colour, ybr_to_rgb
from archive.decoders import check_size, decode, decode_baseline, inflated, sample_type
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import (
    BY_UID,
    DEFLATED_FRAMES,
    ENCAPSULATED_UNCOMPRESSED,
    JPEG_BASELINE,
    TransferSyntax,
)

__all__ = ["Pixels", "can_decode", "decode_frame", "decode_in", "native_frame"]

_YBR = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})


def decode_frame(
    stored: bytes,
    pixels: PixelDescription,
    transfer_syntax_uid: str,
    *,
    number: int = 1,
    reduce: int = 1,
) -> Pixels:
    """Decode one frame for display: colour as RGB, everything else as it is.

    Parameters
    ----------
    stored
        The frame's bytes, fragments joined; of native one-bit frames all bytes that it touches.
    number
        One-based; only one-bit frames, which need not start on a byte, hang on it.
    reduce
        Decode at half, a quarter or an eighth of the size where the codec can do so for less;
        elsewhere the frame comes whole, so look at its shape.

    Returns
    -------
    (rows, columns) or (rows, columns, 3)
        8, 16 or 32 bits a sample, or float; RGB where there are three samples.

    Raises
    ------
    CannotTranscode
        When the syntax is not one that can be decoded, the stream is broken, or it declares another
        size than the header.
    """
    if transfer_syntax_uid == JPEG_BASELINE and pixels.bits_allocated == 8:
        return decode_baseline(stored, pixels, reduce)
    array, ybr = _decoded(stored, pixels, transfer_syntax_uid, number)
    return ybr_to_rgb(array) if ybr else array


def native_frame(
    stored: bytes, pixels: PixelDescription, transfer_syntax_uid: str, *, number: int = 1
) -> bytes:
    """Give one frame in Explicit VR Little Endian, as ``application/octet-stream`` has it.

    Native frames are as stored: big-endian words turned round, and one-bit frames moved to start on
    a byte. What was compressed is decoded to the Photometric Interpretation of the metadata, for
    that is what a client goes by; YBR_RCT, YBR_ICT and the subsampled YBR ones, which are forms of
    compression, become RGB (PS3.5 §8.2), three samples a pixel, as clients expect.

    Parameters
    ----------
    number
        One-based, as for `decode_frame`.

    Raises
    ------
    CannotTranscode
        When the frame cannot be decoded.
    """
    syntax = _syntax(transfer_syntax_uid)
    if not syntax.encapsulated or transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
        if pixels.bits_allocated == 1:
            # An encapsulated frame begins with its item, and so on a byte.
            return _aligned_bits(stored, pixels, 1 if syntax.encapsulated else number)
        if pixels.swapped_bytes:
            return _unswapped(stored)
        if not syntax.little_endian and pixels.bits_allocated > 8:
            return np.frombuffer(stored, f">u{pixels.bits_allocated // 8}").byteswap().tobytes()
        return stored
    wanted = pixels.photometric_interpretation
    array = decode_in(stored, pixels, transfer_syntax_uid, wanted, number=number)
    if array.ndim == 3 and pixels.planar_configuration == 1:
        array = array.transpose(2, 0, 1)
    if pixels.bits_allocated == 1:
        return np.packbits(array.reshape(-1) != 0, bitorder="little").tobytes()
    return np.ascontiguousarray(array.astype(sample_type(pixels), copy=False)).tobytes()


def can_decode(transfer_syntax_uid: str) -> bool:
    """Tell whether frames in a syntax can be decoded, and so be sent uncompressed or rendered."""
    syntax = BY_UID.get(transfer_syntax_uid)
    return syntax is not None and not syntax.video


def decode_in(
    stored: bytes, pixels: PixelDescription, uid: str, interpretation: str, *, number: int = 1
) -> Pixels:
    """Decode one frame into the colour of a Photometric Interpretation: YBR_FULL, else RGB.

    Raises
    ------
    CannotTranscode
        As `decode_frame`.
    """
    if uid == JPEG_BASELINE and pixels.bits_allocated == 8 and interpretation != "YBR_FULL":
        return decode_baseline(stored, pixels)  # libjpeg turns colours far faster than we do
    array, ybr = _decoded(stored, pixels, uid, number)
    return in_colour(array, ybr=ybr, wanted=interpretation)


def _decoded(stored: bytes, pixels: PixelDescription, uid: str, number: int) -> tuple[Pixels, bool]:
    """Decode; the second value tells that the three samples are YBR rather than RGB."""
    syntax = _syntax(uid)
    check_size(pixels)
    if not syntax.encapsulated or uid == ENCAPSULATED_UNCOMPRESSED:
        return _native(stored, pixels, syntax, 1 if syntax.encapsulated else number)
    if uid == DEFLATED_FRAMES:
        return _native(inflated(stored, pixels), pixels, syntax, 1)
    return decode(stored, pixels, uid)


def _syntax(uid: str) -> TransferSyntax:
    syntax = BY_UID.get(uid)
    if syntax is None or syntax.video:
        raise CannotTranscode(f"frames in transfer syntax {uid} cannot be decoded")
    return syntax


# --- native -------------------------------------------------------------------------------------


def _aligned_bits(stored: bytes, pixels: PixelDescription, number: int) -> bytes:
    """Cut a one-bit frame out of the bytes that it touches; bits past its end become 0.

    PS3.5 §8.1.1: the first pixel is in the lowest bit.
    """
    count = pixels.native_frame_bits
    shift = (number - 1) * count % 8
    bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
    return np.packbits(bits[shift : shift + count], bitorder="little").tobytes()


def _unswapped(stored: bytes) -> bytes:
    """Put the bytes of big-endian words into the order of their samples."""
    if len(stored) % 2:
        raise CannotTranscode("frames of an odd number of bytes lie across big-endian words")
    return np.frombuffer(stored, ">u2").astype("<u2").tobytes()


def _native(
    stored: bytes, pixels: PixelDescription, syntax: TransferSyntax, number: int
) -> tuple[Pixels, bool]:
    rows, columns, samples = pixels.rows, pixels.columns, pixels.samples_per_pixel
    if pixels.bits_allocated == 1:
        bits = np.frombuffer(_aligned_bits(stored, pixels, number), np.uint8)
        flat = np.unpackbits(bits, count=rows * columns * samples, bitorder="little")
        return flat.reshape((rows, columns) if samples == 1 else (rows, columns, samples)), False
    dtype = sample_type(pixels)
    if pixels.swapped_bytes:
        stored = _unswapped(stored)
    data = np.frombuffer(stored, dtype if syntax.little_endian else dtype.newbyteorder(">"))
    data = data.astype(dtype, copy=False)
    subsampled = pixels.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422")
    needed = rows * columns * (2 if subsampled else samples)
    if data.size < needed:
        raise CannotTranscode("the frame is shorter than the header says")
    data = data[:needed]
    ybr = pixels.photometric_interpretation in _YBR
    if subsampled:
        return _whole_chroma(data, rows, columns), ybr
    if samples == 1:
        return data.reshape(rows, columns), False
    if pixels.planar_configuration == 1:
        return data.reshape(samples, rows, columns).transpose(1, 2, 0), ybr
    return data.reshape(rows, columns, samples), ybr


def _whole_chroma(data: Pixels, rows: int, columns: int) -> Pixels:
    """Repeat the chroma of native YBR_FULL_422, which lies as Y1 Y2 CB CR (PS3.3 §C.7.6.3.1.2)."""
    if columns % 2:
        raise CannotTranscode("YBR_FULL_422 with an odd number of columns")
    pairs = data.reshape(rows, columns // 2, 4)
    full = np.empty((rows, columns // 2, 2, 3), data.dtype)
    full[..., 0] = pairs[..., :2]
    full[..., 1:] = pairs[..., None, 2:]
    return full.reshape(rows, columns, 3)
