"""Frames as pixels: decoding what is stored, and the uncompressed form that clients may ask for.

Owns codecs and colour of single frames. Windows, profiles and pictures are `rendering`'s; which
form a client gets is decided by the face that speaks to it.
"""

import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from archive.codestreams import (
    BrokenCodestream,
    Dimensions,
    mark_as_rgb,
    read_jpeg2000_header,
    read_jpeg_header,
    read_jpeg_xl_size,
)
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import (
    BY_UID,
    DEFLATED_FRAMES,
    ENCAPSULATED_UNCOMPRESSED,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    JPEG_XL_RECOMPRESSED,
    RLE_LOSSLESS,
    TransferSyntax,
)

Pixels = NDArray[np.generic]
"""(rows, columns) or (rows, columns, samples)."""

MAXIMUM_FRAME_BYTES = 1 << 30
"""Bytes that one decoded frame may take."""

_YBR = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
_LOSSLESS_JPEG = frozenset({"1.2.840.10008.1.2.4.57", JPEG_LOSSLESS})
_JPEG_LS = frozenset({JPEG_LS_LOSSLESS, JPEG_LS})
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93))
_HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (110, 112))


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
        return _guarded(lambda: _baseline(stored, pixels, reduce))
    array, ybr = decode_samples(stored, pixels, transfer_syntax_uid, number=number)
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
        if not syntax.little_endian and pixels.bits_allocated > 8:
            return np.frombuffer(stored, f">u{pixels.bits_allocated // 8}").byteswap().tobytes()
        return stored
    array, ybr = decode_samples(stored, pixels, transfer_syntax_uid, number=number)
    array = in_colour(array, ybr=ybr, wanted=pixels.photometric_interpretation)
    if array.ndim == 3 and pixels.planar_configuration == 1:
        array = array.transpose(2, 0, 1)
    if pixels.bits_allocated == 1:
        return np.packbits(array.reshape(-1) != 0, bitorder="little").tobytes()
    return np.ascontiguousarray(array.astype(sample_type(pixels), copy=False)).tobytes()


def can_decode(transfer_syntax_uid: str) -> bool:
    """Tell whether frames in a syntax can be decoded, and so be sent uncompressed or rendered."""
    syntax = BY_UID.get(transfer_syntax_uid)
    return syntax is not None and not syntax.video


def ybr_to_rgb(array: Pixels) -> Pixels:
    """Convert YBR_FULL to RGB (PS3.3 §C.7.6.3.1.2), any depth of unsigned samples."""
    top = float(np.iinfo(array.dtype).max)  # type: ignore[type-var]
    y, cb, cr = np.moveaxis(array.astype(np.float64), -1, 0)
    cb, cr = cb - (top + 1) / 2, cr - (top + 1) / 2
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.rint(rgb), 0, top).astype(array.dtype)


def rgb_to_ybr(array: Pixels) -> Pixels:
    """Convert RGB to YBR_FULL (PS3.3 §C.7.6.3.1.2), any depth of unsigned samples."""
    top = float(np.iinfo(array.dtype).max)  # type: ignore[type-var]
    red, green, blue = np.moveaxis(array.astype(np.float64), -1, 0)
    half = (top + 1) / 2
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = half - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = half + 0.5 * red - 0.418688 * green - 0.081312 * blue
    ybr = np.stack([y, cb, cr], axis=-1)
    return np.clip(np.rint(ybr), 0, top).astype(array.dtype)


def in_colour(array: Pixels, *, ybr: bool, wanted: str) -> Pixels:
    """Bring colour samples into YBR where YBR_FULL is wanted, else into RGB; grey ones stay."""
    wants_ybr = wanted == "YBR_FULL"
    if array.ndim != 3 or ybr == wants_ybr:
        return array
    return rgb_to_ybr(array) if wants_ybr else ybr_to_rgb(array)


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


def decode_samples(
    stored: bytes, pixels: PixelDescription, uid: str, *, number: int = 1
) -> tuple[Pixels, bool]:
    """Decode; the second value tells that the three samples are YBR rather than RGB.

    Raises
    ------
    CannotTranscode
        As `decode_frame`.
    """
    syntax = _syntax(uid)
    if uid == JPEG_XL_RECOMPRESSED:
        stored, uid = restored_jpeg(stored, pixels), JPEG_BASELINE
    _check_size(pixels)
    if not syntax.encapsulated or uid == ENCAPSULATED_UNCOMPRESSED:
        return _native(stored, pixels, syntax, 1 if syntax.encapsulated else number)
    declared_ybr = pixels.photometric_interpretation in _YBR
    if uid in (JPEG_BASELINE, JPEG_EXTENDED):
        return _guarded(lambda: _jpeg(stored, pixels))
    if uid == RLE_LOSSLESS:
        return _guarded(lambda: _run_lengths(stored, pixels)), declared_ybr
    if uid == DEFLATED_FRAMES:
        return _native(_inflated(stored, pixels), pixels, syntax, 1)
    if uid in _LOSSLESS_JPEG:
        return _guarded(lambda: _lossless_jpeg(stored, pixels)), declared_ybr
    if uid in _JPEG_LS:
        return _guarded(lambda: _jpeg_ls(stored, pixels)), declared_ybr
    if uid in _JPEG_2000 or uid in _HTJ2K:
        # The decoder undoes YBR_RCT and YBR_ICT itself; other YBR is the caller's business.
        return _guarded(lambda: _jpeg_2000(stored, pixels, uid)), declared_ybr
    if uid in _JPEG_XL:
        return _guarded(lambda: _jpeg_xl(stored, pixels)), False
    raise CannotTranscode(f"frames in {syntax.name} cannot be decoded")


def _syntax(uid: str) -> TransferSyntax:
    syntax = BY_UID.get(uid)
    if syntax is None or syntax.video:
        raise CannotTranscode(f"frames in transfer syntax {uid} cannot be decoded")
    return syntax


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


def _check_size(pixels: PixelDescription) -> None:
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


# --- codecs -------------------------------------------------------------------------------------


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
    _check_size(pixels)
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


def _jpeg_2000(stored: bytes, pixels: PixelDescription, uid: str) -> Pixels:
    _check_dimensions(read_jpeg2000_header(stored), pixels)
    if uid in _HTJ2K:
        return _shaped(imagecodecs.htj2k_decode(stored), pixels)
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


def _inflated(stored: bytes, pixels: PixelDescription) -> bytes:
    """Inflate a frame of Deflated Image Frame Compression (PS3.5 §A.4.13), and no more than one."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(stored, (pixels.native_frame_bits + 7) // 8 + 1)
    except zlib.error as error:
        raise CannotTranscode(f"the frame cannot be decoded: {error}") from error


# --- native -------------------------------------------------------------------------------------


def sample_type(pixels: PixelDescription) -> np.dtype[np.generic]:
    """Little-endian type of one sample."""
    if pixels.keyword != "PixelData":
        return np.dtype(f"<f{pixels.bits_allocated // 8}")
    kind = "i" if pixels.pixel_representation == 1 else "u"
    return np.dtype(f"<{kind}{max(pixels.bits_allocated // 8, 1)}")


def _aligned_bits(stored: bytes, pixels: PixelDescription, number: int) -> bytes:
    """Cut a one-bit frame out of the bytes that it touches; bits past its end become 0.

    PS3.5 §8.1.1: the first pixel is in the lowest bit.
    """
    count = pixels.native_frame_bits
    shift = (number - 1) * count % 8
    bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
    return np.packbits(bits[shift : shift + count], bitorder="little").tobytes()


def _native(
    stored: bytes, pixels: PixelDescription, syntax: TransferSyntax, number: int
) -> tuple[Pixels, bool]:
    rows, columns, samples = pixels.rows, pixels.columns, pixels.samples_per_pixel
    if pixels.bits_allocated == 1:
        bits = np.frombuffer(_aligned_bits(stored, pixels, number), np.uint8)
        flat = np.unpackbits(bits, count=rows * columns * samples, bitorder="little")
        return _shaped(flat.reshape(rows, columns, -1).squeeze(2), pixels), False
    dtype = sample_type(pixels)
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
