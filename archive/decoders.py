"""Codecs: compressed frames into samples, held against the header before memory is taken for them.

Owns the decoders of each family of transfer syntaxes and the one error that broken bytes lead to.
Colour and native frames are `pixels`'.
"""

import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import simplejpeg

from archive.codestreams import (
    BrokenCodestream,
    Dimensions,
    mark_as_rgb,
    read_jpeg2000_header,
    read_jpeg_header,
    read_jpeg_xl_size,
)
from archive.colours import Pixels
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_RPCL,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    JPEG_XL_RECOMPRESSED,
    RLE_LOSSLESS,
)

MAXIMUM_FRAME_BYTES = 1 << 30
"""Bytes that one decoded frame may take."""

_YBR = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
_LOSSLESS_JPEG = frozenset({"1.2.840.10008.1.2.4.57", JPEG_LOSSLESS})
_JPEG_LS = frozenset({JPEG_LS_LOSSLESS, JPEG_LS})
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93))
_HTJ2K_LOSSLESS = frozenset({HTJ2K_LOSSLESS, HTJ2K_RPCL})
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (110, 112))


def decode(stored: bytes, pixels: PixelDescription, uid: str) -> tuple[Pixels, bool]:
    """Decode a compressed frame; the second value tells that its samples are YBR.

    Raises
    ------
    CannotTranscode
        When the stream is broken, declares another size than the header, or is of no syntax that
        can be decoded.
    """
    check_size(pixels)
    if uid == JPEG_XL_RECOMPRESSED:
        stored, uid = restored_jpeg(stored, pixels), JPEG_BASELINE
    if uid in (JPEG_BASELINE, JPEG_EXTENDED):
        return _guarded(lambda: _jpeg(stored, pixels))
    if uid in _JPEG_XL:
        return _guarded(lambda: _jpeg_xl(stored, pixels)), False
    decoder = _DECODERS.get(uid)
    if decoder is None:
        raise CannotTranscode(f"frames in transfer syntax {uid} cannot be decoded")
    # JPEG 2000 undoes YBR_RCT and YBR_ICT itself; other YBR stays what the header says.
    return _guarded(lambda: decoder(stored, pixels)), pixels.photometric_interpretation in _YBR


def decode_baseline(stored: bytes, pixels: PixelDescription, reduce: int = 1) -> Pixels:
    """Decode 8-bit JPEG to RGB or grey, at a part of its size where that is asked for.

    Raises
    ------
    CannotTranscode
        As `decode`.
    """
    check_size(pixels)
    return _guarded(lambda: _baseline(stored, pixels, reduce))


def restored_jpeg(stored: bytes, pixels: PixelDescription) -> bytes:
    """Give the JPEG stream that a recompressed JPEG XL one was made of, bit for bit.

    Raises
    ------
    CannotTranscode
        When it cannot be restored.
    """

    def restore() -> bytes:
        if read_jpeg_xl_size(stored) != (pixels.rows, pixels.columns):
            raise CannotTranscode("the codestream is of another size than the header says")
        return bytes(imagecodecs.jpegxl_decode_jpeg(stored, numthreads=1))

    return _guarded(restore)


def _guarded[T](decode: Callable[[], T]) -> T:
    """Run a codec; whatever it throws at broken bytes becomes one error."""
    try:
        return decode()
    except CannotTranscode:
        raise
    except MemoryError:
        raise
    except Exception as error:  # codecs raise whatever they like
        raise CannotTranscode(f"the frame cannot be decoded: {error}") from error


def check_size(pixels: PixelDescription) -> None:
    """Refuse a frame that takes more memory than it may; raises `CannotTranscode`."""
    if pixels.native_frame_bits > 8 * MAXIMUM_FRAME_BYTES:
        raise CannotTranscode(
            f"a frame of {pixels.rows} x {pixels.columns} is more than can be decoded"
        )


def _check_dimensions(declared: Dimensions, pixels: PixelDescription) -> None:
    """Hold a codestream against the header before memory is taken for what it declares."""
    expected = (pixels.rows, pixels.columns, pixels.samples_per_pixel)
    found = (declared.rows, declared.columns, declared.samples)
    if found != expected:
        raise CannotTranscode(
            f"the codestream is of rows, columns, samples {found}, the header says {expected}"
        )
    if declared.precision > max(pixels.bits_allocated, 8):
        raise CannotTranscode(
            f"the codestream has {declared.precision} bits a sample, the header allocates "
            f"{pixels.bits_allocated}"
        )


def _shaped(array: Pixels, pixels: PixelDescription) -> Pixels:
    expected: tuple[int, ...] = (pixels.rows, pixels.columns)
    if pixels.samples_per_pixel > 1:
        expected += (pixels.samples_per_pixel,)
    if array.shape != expected:
        if array.size == np.prod(expected) and array.ndim == 3 and array.shape[0] == 3:
            return array.transpose(1, 2, 0)
        raise CannotTranscode(f"the decoded frame is {array.shape}, not {expected}")
    return array


def _rgb_marked(stored: bytes, pixels: PixelDescription) -> tuple[bytes, bool]:
    """Check a JPEG stream, and mark RGB that does not say so; tells whether it is RGB."""
    header = read_jpeg_header(stored)
    _check_dimensions(header.dimensions, pixels)
    if pixels.samples_per_pixel != 3:
        return stored, False
    rgb = header.is_rgb(pixels.photometric_interpretation)
    if rgb and header.adobe_transform is None:
        return mark_as_rgb(stored), True
    return stored, rgb


def _baseline(stored: bytes, pixels: PixelDescription, reduce: int) -> Pixels:
    """Decode 8-bit JPEG to RGB or grey."""
    stream, _ = _rgb_marked(stored, pixels)
    colour = "RGB" if pixels.samples_per_pixel == 3 else "GRAY"
    array: Pixels = simplejpeg.decode_jpeg(
        stream,
        colour,
        min_height=-(-pixels.rows // reduce) if reduce > 1 else 0,
        min_width=-(-pixels.columns // reduce) if reduce > 1 else 0,
    )
    return array if pixels.samples_per_pixel == 3 else array[:, :, 0]


def _jpeg(stored: bytes, pixels: PixelDescription) -> tuple[Pixels, bool]:
    """Decode JPEG of 8 or 12 bits to its own colour space."""
    stream, rgb = _rgb_marked(stored, pixels)
    if read_jpeg_header(stream).dimensions.precision > 8:
        return _shaped(imagecodecs.jpeg_decode(stream), pixels), False
    colour = pixels.samples_per_pixel == 3
    space = "RGB" if rgb else "YCBCR"
    array = imagecodecs.jpeg8_decode(
        stream,
        colorspace=space if colour else None,
        outcolorspace=space if colour else "GRAYSCALE",
    )
    return _shaped(array, pixels), colour and not rgb


def _signed(array: Pixels, pixels: PixelDescription) -> Pixels:
    """Read two's complement out of samples that JPEG and JPEG-LS take for unsigned ones."""
    if pixels.pixel_representation == 0:
        return array
    dtype = sample_type(pixels)
    spare = dtype.itemsize * 8 - min(max(pixels.bits_stored, 1), dtype.itemsize * 8)
    if spare and not int(array.max(initial=0)) >> pixels.bits_stored:  # else extended already
        return np.right_shift(np.left_shift(array.astype(dtype), spare), spare)
    return array.astype(dtype)


def _lossless_jpeg(stored: bytes, pixels: PixelDescription) -> Pixels:
    _check_dimensions(read_jpeg_header(stored).dimensions, pixels)
    return _signed(_shaped(imagecodecs.jpegsof3_decode(stored), pixels), pixels)


def _jpeg_ls(stored: bytes, pixels: PixelDescription) -> Pixels:
    _check_dimensions(read_jpeg_header(stored).dimensions, pixels)
    return _signed(_shaped(imagecodecs.jpegls_decode(stored), pixels), pixels)


def _htj2k_lossless(stored: bytes, pixels: PixelDescription) -> Pixels:
    # OpenJPH is twice as fast as OpenJPEG, but by way of imagecodecs its samples wrap round where
    # an irreversible stream goes beyond their range, instead of ending there.
    _check_dimensions(read_jpeg2000_header(stored), pixels)
    return _shaped(imagecodecs.htj2k_decode(stored), pixels)


def _jpeg_2000(stored: bytes, pixels: PixelDescription) -> Pixels:
    _check_dimensions(read_jpeg2000_header(stored), pixels)
    return _shaped(imagecodecs.jpeg2k_decode(stored, numthreads=1), pixels)


def _jpeg_xl(stored: bytes, pixels: PixelDescription) -> Pixels:
    if read_jpeg_xl_size(stored) != (pixels.rows, pixels.columns):
        raise CannotTranscode("the codestream is of another size than the header says")
    return _shaped(imagecodecs.jpegxl_decode(stored, numthreads=1), pixels)


def _run_lengths(stored: bytes, pixels: PixelDescription) -> Pixels:
    """Decode RLE (PS3.5 Annex G): byte planes, highest first, sample after sample."""
    planes = np.zeros(
        (pixels.samples_per_pixel, pixels.bits_allocated // 8, pixels.rows * pixels.columns),
        np.uint8,
    )
    count = int.from_bytes(stored[:4], "little")
    if len(stored) < 64 or count != planes.shape[0] * planes.shape[1]:
        raise BrokenCodestream("the RLE header does not fit the pixel description")
    starts = np.frombuffer(stored, "<u4", count, 4).tolist()
    for start, end, plane in zip(
        starts, [*starts[1:], len(stored)], planes.reshape(count, -1), strict=True
    ):
        if not 64 <= start <= end <= len(stored):
            raise BrokenCodestream("an RLE segment lies outside the frame")
        data = imagecodecs.packbits_decode(stored[start:end])
        if len(data) < plane.size:
            raise BrokenCodestream("an RLE segment is cut short")
        plane[:] = np.frombuffer(data, np.uint8, plane.size)
    order = np.ascontiguousarray(planes[:, ::-1].transpose(0, 2, 1))  # little endian
    samples = order.view(sample_type(pixels)).reshape(-1, pixels.rows, pixels.columns)
    return samples[0] if len(samples) == 1 else samples.transpose(1, 2, 0)


def inflated(stored: bytes, pixels: PixelDescription) -> bytes:
    """Inflate a frame of Deflated Image Frame Compression (PS3.5 §A.4.13), and no more than one."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(stored, (pixels.native_frame_bits + 7) // 8 + 1)
    except zlib.error as error:
        raise CannotTranscode(f"the frame cannot be decoded: {error}") from error


def sample_type(pixels: PixelDescription) -> np.dtype[np.generic]:
    """Little-endian type of one sample."""
    if pixels.keyword != "PixelData":
        return np.dtype(f"<f{pixels.bits_allocated // 8}")
    kind = "i" if pixels.pixel_representation == 1 else "u"
    return np.dtype(f"<{kind}{max(pixels.bits_allocated // 8, 1)}")


_DECODERS: dict[str, Callable[[bytes, PixelDescription], Pixels]] = {
    RLE_LOSSLESS: _run_lengths,
    **dict.fromkeys(_LOSSLESS_JPEG, _lossless_jpeg),
    **dict.fromkeys(_JPEG_LS, _jpeg_ls),
    **dict.fromkeys(_JPEG_2000, _jpeg_2000),
    **dict.fromkeys(_HTJ2K_LOSSLESS, _htj2k_lossless),
    HTJ2K: _jpeg_2000,
}
