"""Decoded frames into the compressed transfer syntaxes that are sent on request.

Owns codecs and their parameters. Which syntax a frame may be sent in, and what its components are
to be, is `transcoding`'s.
"""

import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import simplejpeg

from archive.colours import Pixels
from archive.errors import CannotTranscode
from archive.model.transfer_syntaxes import (
    DEFLATED_FRAMES,
    HTJ2K,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)

JPEG_QUALITY = 90
JPEG_LS_NEAR = 2
"""Largest difference of a sample from what it was (ITU-T T.87 NEAR)."""
JPEG_2000_PSNR = 45
"""Decibels. A tile of tissue has then about the size that it has as JPEG."""
HTJ2K_STEP = 0.015
"""Quantization step, of the range of a sample; about the same loss as `JPEG_2000_PSNR`."""


def encode_frame(array: Pixels, uid: str, *, bits_stored: int, interpretation: str) -> bytes:
    """Encode one frame.

    Parameters
    ----------
    array : (rows, columns) or (rows, columns, 3), 8 or 16 bits a sample
        YBR where `interpretation` is YBR_FULL; RGB for every other colour, for it is the codec that
        makes YBR_RCT, YBR_ICT and YBR_FULL_422 of it.
    uid
        Transfer syntax.
    interpretation
        Photometric Interpretation of the stream.

    Raises
    ------
    CannotTranscode
        When the codec will not have it.
    """
    encode = _ENCODERS.get(uid)
    if encode is None:
        raise CannotTranscode(f"frames cannot be encoded in {uid}")
    try:
        return encode(np.ascontiguousarray(array), bits_stored, interpretation)
    except MemoryError:
        raise
    except Exception as error:  # codecs raise whatever they like
        raise CannotTranscode(f"the frame cannot be encoded: {error}") from error


def can_encode(uid: str) -> bool:
    """Tell whether there is an encoder for a transfer syntax."""
    return uid in _ENCODERS


def deflate_frame(native: bytes) -> bytes:
    """Deflate a native frame (Deflated Image Frame Compression, PS3.5 §A.4.13)."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(native) + deflater.flush()


def _precision(array: Pixels, bits_stored: int) -> int:
    """Give the bits of a sample in the stream: those stored, unless others are in use as well.

    Old files keep overlays in the bits above (PS3.5 §8.1.2); they go along.
    """
    allocated = array.dtype.itemsize * 8
    if bits_stored >= allocated or bits_stored < 2:
        return allocated
    signed = array.dtype.kind == "i"
    low, high = (-(1 << bits_stored - 1), 1 << bits_stored - 1) if signed else (0, 1 << bits_stored)
    fits = int(array.min()) >= low and int(array.max()) < high
    return bits_stored if fits else allocated


def _narrowed(array: Pixels, bits_stored: int) -> tuple[Pixels, int]:
    """Give the samples in the smallest type that holds them, and their precision."""
    precision = _precision(array, bits_stored)
    if precision <= 8 < array.dtype.itemsize * 8:
        array = array.astype(np.dtype(f"{array.dtype.kind}1"))
    return array, precision


def _unsigned(array: Pixels, bits_stored: int) -> tuple[Pixels, int]:
    """Give two's complement as the unsigned samples that JPEG and JPEG-LS know alone."""
    array, precision = _narrowed(array, bits_stored)
    if array.dtype.kind != "i":
        return array, precision
    words = array.view(np.dtype(f"u{array.dtype.itemsize}"))
    return words & words.dtype.type((1 << precision) - 1), precision


def _is_transformed(interpretation: str) -> bool:
    return interpretation in ("YBR_RCT", "YBR_ICT")


def _rle(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
    """Encode byte planes, the highest first, sample after sample (PS3.5 Annex G).

    No run goes across the edge of two rows (§G.3.1): PackBits takes a row at a time.
    """
    del bits_stored, interpretation
    samples = array[..., None] if array.ndim == 2 else array
    rows, columns, count = samples.shape
    planes = samples.view(np.uint8).reshape(rows, columns, count, array.dtype.itemsize)
    segments = []
    for sample in range(count):
        for byte in reversed(range(array.dtype.itemsize)):
            plane = np.frombuffer(planes[:, :, sample, byte].tobytes(), np.uint8)
            segment = bytes(imagecodecs.packbits_encode(plane.reshape(rows, columns)))
            segments.append(segment + b"\0" * (len(segment) % 2))
    starts = np.cumsum([64, *(len(segment) for segment in segments[:-1])]).tolist()
    head = struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments)))
    return head + b"".join(segments)


def _jpeg(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
    del bits_stored
    if array.ndim == 2:
        return bytes(simplejpeg.encode_jpeg(array[..., None], JPEG_QUALITY, "GRAY", "Gray"))
    if interpretation == "YBR_FULL_422":
        return bytes(simplejpeg.encode_jpeg(array, JPEG_QUALITY, "RGB", "422", fastdct=False))
    space = "YCBCR" if interpretation == "YBR_FULL" else "RGB"  # RGB is marked: Adobe, transform 0
    return bytes(
        imagecodecs.jpeg8_encode(
            array, JPEG_QUALITY, colorspace=space, outcolorspace=space, subsampling="444"
        )
    )


def _lossless_jpeg(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
    """Encode Process 14, Selection Value 1: each sample is told by the one to its left."""
    samples, precision = _unsigned(array, bits_stored)
    space = None
    if array.ndim == 3:
        space = "YCBCR" if interpretation == "YBR_FULL" else "RGB"
    return bytes(
        imagecodecs.jpeg8_encode(
            samples,
            lossless=True,
            predictor=1,
            bitspersample=precision,
            colorspace=space,
            outcolorspace=space,
        )
    )


def _jpeg_ls(near: int) -> Callable[[Pixels, int, str], bytes]:
    def encode(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
        del interpretation
        samples, precision = _unsigned(array, bits_stored)
        return bytes(imagecodecs.jpegls_encode(samples, near, bitspersample=precision))

    return encode


def _jpeg_2000(*, reversible: bool) -> Callable[[Pixels, int, str], bytes]:
    def encode(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
        samples, precision = _narrowed(array, bits_stored)
        return bytes(
            imagecodecs.jpeg2k_encode(
                samples,
                None if reversible else JPEG_2000_PSNR,
                codecformat="J2K",
                reversible=reversible,
                bitspersample=precision,
                mct=_is_transformed(interpretation),
                numthreads=1,
            )
        )

    return encode


def _htj2k(*, reversible: bool) -> Callable[[Pixels, int, str], bytes]:
    def encode(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
        samples, precision = _narrowed(array, bits_stored)
        return bytes(
            imagecodecs.htj2k_encode(
                samples,
                None if reversible else HTJ2K_STEP,
                reversible=reversible,
                bitspersample=precision,
                rgb=_is_transformed(interpretation),
            )
        )

    return encode


def _deflated(array: Pixels, bits_stored: int, interpretation: str) -> bytes:
    del bits_stored, interpretation
    return deflate_frame(array.tobytes())


_ENCODERS: dict[str, Callable[[Pixels, int, str], bytes]] = {
    RLE_LOSSLESS: _rle,
    JPEG_BASELINE: _jpeg,
    JPEG_LOSSLESS: _lossless_jpeg,
    JPEG_LS_LOSSLESS: _jpeg_ls(0),
    JPEG_LS: _jpeg_ls(JPEG_LS_NEAR),
    JPEG_2000_LOSSLESS: _jpeg_2000(reversible=True),
    JPEG_2000: _jpeg_2000(reversible=False),
    HTJ2K_LOSSLESS: _htj2k(reversible=True),
    HTJ2K: _htj2k(reversible=False),
    DEFLATED_FRAMES: _deflated,
}
