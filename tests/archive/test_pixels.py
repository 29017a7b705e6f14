import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from archive.codestreams import (
    BrokenCodestream,
    mark_as_rgb,
    read_jpeg2000_header,
    read_jpeg_header,
    read_jpeg_xl_size,
    with_icc_profile,
)
from archive.colours import rgb_to_ybr, ybr_to_rgb
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    JPEG_BASELINE,
    RLE_LOSSLESS,
    TRANSFER_SYNTAXES,
)
from archive.part10 import describe_pixels
from archive.pixels import (
    Pixels,
    can_decode,
    decode_frame,
    native_frame,
)
from tests.support.dicom_files import (
    MadeFile,
    encapsulated,
    jpeg_slide,
    monochrome,
    native_element,
    native_slide,
    part10,
    segmentation,
    tissue,
    unmarked_rgb_jpeg,
)
from tests.support.reading import header_of, stored_frames
from tests.support.shared import shared_file


def described(made: MadeFile) -> PixelDescription:
    pixels = describe_pixels(header_of(made.content))
    assert pixels is not None
    return pixels


def decoded(made: MadeFile, number: int = 1, *, reduce: int = 1) -> Pixels:
    header = header_of(made.content)
    return decode_frame(
        stored_frames(made.content)[number - 1],
        described(made),
        header.transfer_syntax_uid,
        number=number,
        reduce=reduce,
    )


def natively(made: MadeFile, number: int = 1) -> bytes:
    header = header_of(made.content)
    return native_frame(
        stored_frames(made.content)[number - 1],
        described(made),
        header.transfer_syntax_uid,
        number=number,
    )


def near(one: Pixels, other: Pixels, tolerance: int) -> bool:
    return (
        one.shape == other.shape
        and int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max()) <= tolerance
    )


RGB = tissue(1, 24, 40)[0]
GREY = RGB[..., 1]
DEEP = (GREY.astype(np.uint16) << 4) + np.arange(40, dtype=np.uint16)

LOSSLESS: dict[str, Callable[[NDArray[np.generic]], bytes]] = {
    "1.2.840.10008.1.2.4.80": lambda a: bytes(imagecodecs.jpegls_encode(a)),
    "1.2.840.10008.1.2.4.90": lambda a: bytes(
        imagecodecs.jpeg2k_encode(a, codecformat="J2K", mct=True)
    ),
    "1.2.840.10008.1.2.4.110": lambda a: bytes(imagecodecs.jpegxl_encode(a, lossless=True)),
    "1.2.840.10008.1.2.4.201": lambda a: bytes(imagecodecs.htj2k_encode(a, reversible=True)),
}


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("array", [RGB, GREY, DEEP], ids=["rgb", "grey", "16 bits"])
def test_lossless_frames_are_decoded_exactly(syntax: str, array: NDArray[np.generic]) -> None:
    made = encapsulated([LOSSLESS[syntax](array)], syntax, array[None])
    assert np.array_equal(decoded(made), array)
    assert natively(made) == array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_jpeg_is_decoded_exactly(bits: int) -> None:
    array = GREY if bits == 8 else DEEP
    stream = bytes(imagecodecs.ljpeg_encode(array, bitspersample=bits))
    made = encapsulated([stream], "1.2.840.10008.1.2.4.70", array[None])
    assert np.array_equal(decoded(made), array)


def run_lengths(array: NDArray[np.generic]) -> bytes:
    """Encode RLE (PS3.5 Annex G): one segment a sample and byte, highest byte first."""
    samples = array[..., None] if array.ndim == 2 else array
    planes = []
    for sample in range(samples.shape[2]):
        raw = np.ascontiguousarray(samples[..., sample]).astype(array.dtype.newbyteorder(">"))
        bytes_of = raw.view(np.uint8).reshape(-1, array.dtype.itemsize)
        planes += [bytes(imagecodecs.packbits_encode(plane.tobytes())) for plane in bytes_of.T]
    starts = 64 + np.cumsum([0, *(len(plane) for plane in planes[:-1])])
    head = struct.pack("<16L", len(planes), *starts, *[0] * (15 - len(planes)))
    return head + b"".join(planes)


@pytest.mark.parametrize("array", [RGB, GREY, DEEP], ids=["rgb", "grey", "16 bits"])
def test_run_lengths_are_decoded_exactly(array: NDArray[np.generic]) -> None:
    made = encapsulated([run_lengths(array)], RLE_LOSSLESS, array[None])
    assert np.array_equal(decoded(made), array)


def test_deflated_frames_are_decoded_and_no_more_than_one() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stream = deflater.compress(RGB.tobytes()) + deflater.flush()
    made = encapsulated([stream], "1.2.840.10008.1.2.8.1", RGB[None])
    assert np.array_equal(decoded(made), RGB)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = bomb.compress(RGB.tobytes() + bytes(64 << 20)) + bomb.flush()
    made = encapsulated([content], "1.2.840.10008.1.2.8.1", RGB[None])
    assert np.array_equal(decoded(made), RGB)


# --- colour of JPEG -----------------------------------------------------------------------------


def test_a_ycbcr_jpeg_is_shown_in_rgb() -> None:
    made = jpeg_slide()
    assert made.pixels is not None
    for number in (1, 6):
        assert near(decoded(made, number), made.pixels[number - 1], 12)


def test_an_rgb_jpeg_that_does_not_say_so_is_shown_in_rgb() -> None:
    made = jpeg_slide(rgb_without_marker=True)
    assert made.pixels is not None
    header = read_jpeg_header(made.frames[0])
    assert (header.adobe_transform, header.has_jfif) == (None, False)
    assert near(decoded(made), made.pixels[0], 12)
    array = np.frombuffer(natively(made), np.uint8).reshape(32, 32, 3)
    assert near(array, made.pixels[0], 12)


def test_what_the_stream_says_goes_before_the_header() -> None:
    made = jpeg_slide(PhotometricInterpretation="RGB")  # JFIF streams, which are YCbCr
    assert made.pixels is not None
    assert near(decoded(made), made.pixels[0], 12)


@pytest.mark.parametrize(
    ("transform", "jfif", "ids", "declared", "rgb"),
    [
        (0, False, b"\1\2\3", "YBR_FULL_422", True),
        (1, False, b"\1\2\3", "RGB", False),
        (None, True, b"\1\2\3", "RGB", False),
        (None, False, b"RGB", "YBR_FULL_422", True),
        (None, False, b"\1\2\3", "RGB", True),
        (None, False, b"\1\2\3", "YBR_FULL", False),
    ],
)
def test_the_colour_space_of_a_jpeg(
    transform: int | None, jfif: bool, ids: bytes, declared: str, rgb: bool
) -> None:
    stream = unmarked_rgb_jpeg(RGB)
    parts = [stream[:2]]
    if jfif:
        parts.append(b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0")
    if transform is not None:
        parts.append(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]))
    at = stream.index(b"\xff\xc0")
    head = bytearray(stream)
    head[at + 10 : at + 19 : 3] = ids
    parts.append(bytes(head[2:]))
    assert read_jpeg_header(b"".join(parts)).is_rgb(declared) == rgb


def test_uncompressed_ybr_full_is_what_the_metadata_declare() -> None:
    made = jpeg_slide(PhotometricInterpretation="YBR_FULL")
    assert made.pixels is not None
    array = np.frombuffer(natively(made), np.uint8).reshape(32, 32, 3)
    assert near(ybr_to_rgb(array), made.pixels[0], 12)
    assert not near(array, made.pixels[0], 40)


def test_uncompressed_subsampled_ybr_is_rgb_of_three_samples() -> None:
    made = jpeg_slide(PhotometricInterpretation="YBR_FULL_422")
    assert made.pixels is not None
    array = np.frombuffer(natively(made), np.uint8).reshape(32, 32, 3)
    assert near(array, made.pixels[0], 12)


def test_conversion_between_rgb_and_ybr_is_that_of_the_standard() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert rgb_to_ybr(red).tolist() == [[[76, 85, 255]]]
    assert near(ybr_to_rgb(rgb_to_ybr(RGB)), RGB, 2)
    deep = rgb_to_ybr(RGB).astype(np.uint16) * 257
    assert near(ybr_to_rgb(deep).astype(np.uint16) >> 8, RGB, 3)


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_jpeg_is_decoded_at_a_part_of_its_size(reduce: int) -> None:
    made = jpeg_slide()
    assert decoded(made, reduce=reduce).shape == (32 // reduce, 32 // reduce, 3)


# --- native -------------------------------------------------------------------------------------


@pytest.mark.parametrize("planar", [0, 1])
def test_native_colour_is_shown_whatever_its_planes(planar: int) -> None:
    made = native_slide(planar=planar)
    assert made.pixels is not None
    assert np.array_equal(decoded(made, 2), made.pixels[1])
    assert natively(made, 2) == made.frames[1]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_big_endian_words_are_turned_round(dtype: type[np.generic]) -> None:
    values = np.arange(-48, 48).astype(dtype).reshape(2, 6, 8)
    made = monochrome(values, syntax=EXPLICIT_BIG)
    assert np.array_equal(decoded(made, 2), values[1])
    assert natively(made, 2) == values[1].astype(values.dtype.newbyteorder("<")).tobytes()


def test_eight_bit_samples_in_big_endian_words_are_put_in_order() -> None:
    values = np.arange(96, dtype=np.uint8).reshape(2, 6, 8)
    dataset = monochrome(values).dataset
    words = values.reshape(-1, 2)[:, ::-1].tobytes()
    for vr, stored in ((b"OW", words), (b"OB", values.tobytes())):
        element = native_element(stored, vr=vr, syntax=EXPLICIT_BIG)
        made = MadeFile(part10(dataset, EXPLICIT_BIG, element), dataset)
        assert np.array_equal(decoded(made, 2), values[1])
        assert natively(made, 2) == values[1].tobytes()
    odd = values[:, :1, :3].copy()
    element = native_element(odd.tobytes(), vr=b"OW", syntax=EXPLICIT_BIG)
    made = MadeFile(part10(monochrome(odd).dataset, EXPLICIT_BIG, element), dataset)
    with pytest.raises(CannotTranscode, match="across"):
        natively(made)


@pytest.mark.parametrize("number", range(1, 6))
def test_one_bit_frames_are_cut_out_and_moved_to_a_byte(number: int) -> None:
    masks = np.random.default_rng(5).integers(0, 2, (5, 3, 3), np.uint8)
    made = segmentation(masks)
    assert np.array_equal(decoded(made, number), masks[number - 1])
    packed = natively(made, number)
    assert len(packed) == 2
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    assert np.array_equal(bits[:9].reshape(3, 3), masks[number - 1])
    assert not bits[9:].any()


def test_native_ybr_full_422_is_shown_in_rgb() -> None:
    ybr = rgb_to_ybr(RGB).reshape(24, 20, 2, 3)
    packed = np.concatenate([ybr[..., 0], ybr[:, :, 0, 1:]], axis=-1).astype(np.uint8)
    pixels = PixelDescription(24, 40, 1, 3, "YBR_FULL_422", 8, 8, 0, 0, "PixelData")
    assert near(decode_frame(packed.tobytes(), pixels, EXPLICIT_LITTLE), RGB, 12)


def test_float_pixels_are_decoded() -> None:
    path = shared_file("dicom/annotations/parametric_map_float.dcm")
    made = MadeFile(path.read_bytes(), header_of(path.read_bytes()).dataset)
    assert decoded(made).dtype == np.dtype("<f4")
    assert len(natively(made)) == 65536


# --- what cannot be decoded ---------------------------------------------------------------------


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded() -> None:
    small = PixelDescription(8, 8, 1, 3, "YBR_FULL_422", 8, 8, 0, 0, "PixelData")
    bomb = bytearray(jpeg_slide(across=1, down=1).frames[0])
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    for decode in (decode_frame, native_frame):
        with pytest.raises(CannotTranscode, match="65535"):
            decode(bytes(bomb), small, JPEG_BASELINE)


@pytest.mark.parametrize("syntax", [*LOSSLESS, JPEG_BASELINE, RLE_LOSSLESS])
def test_broken_frames_lead_to_one_error(syntax: str) -> None:
    pixels = PixelDescription(24, 40, 1, 3, "RGB", 8, 8, 0, 0, "PixelData")
    if syntax == JPEG_BASELINE:
        stream = unmarked_rgb_jpeg(RGB)
    elif syntax == RLE_LOSSLESS:
        stream = run_lengths(RGB)
    else:
        stream = LOSSLESS[syntax](RGB)
    for content in (b"", b"\0" * 40, stream[:20], b"\xff" * 400):
        with pytest.raises(CannotTranscode):
            native_frame(content, pixels, syntax)


def test_frames_beyond_what_can_be_held_are_refused() -> None:
    pixels = PixelDescription(65535, 65535, 1, 3, "RGB", 8, 8, 0, 0, "PixelData")
    for syntax in (EXPLICIT_LITTLE, RLE_LOSSLESS, JPEG_BASELINE):
        with pytest.raises(CannotTranscode):
            decode_frame(b"\0" * 64, pixels, syntax)


@pytest.mark.parametrize("row", TRANSFER_SYNTAXES, ids=lambda row: row.uid)
def test_only_video_cannot_be_decoded(row: object) -> None:
    syntax = next(found for found in TRANSFER_SYNTAXES if found is row)
    assert can_decode(syntax.uid) != syntax.video


# --- codestreams --------------------------------------------------------------------------------


def test_sizes_are_read_from_every_codestream() -> None:
    for encode in (LOSSLESS["1.2.840.10008.1.2.4.90"], LOSSLESS["1.2.840.10008.1.2.4.201"]):
        found = read_jpeg2000_header(encode(DEEP))
        assert (found.rows, found.columns, found.samples, found.precision) == (24, 40, 1, 16)
    found = read_jpeg_header(LOSSLESS["1.2.840.10008.1.2.4.80"](DEEP)).dimensions
    assert (found.rows, found.columns, found.samples) == (24, 40, 1)
    for rows, columns in ((24, 40), (8, 8), (256, 256), (257, 1000), (700, 1152)):
        array = np.zeros((rows, columns), np.uint8)
        assert read_jpeg_xl_size(LOSSLESS["1.2.840.10008.1.2.4.110"](array)) == (rows, columns)


def test_a_profile_of_any_size_goes_into_a_jpeg_and_comes_out_again() -> None:
    stream = jpeg_slide(across=1, down=1).frames[0]
    for size in (3, 65_519, 65_520, 400_000):
        profile = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        with_profile = with_icc_profile(stream, profile)
        image = Image.open(io.BytesIO(with_profile))
        assert image.info["icc_profile"] == profile
        assert with_icc_profile(with_profile, None) == stream
        assert with_icc_profile(with_profile, profile) == with_profile


def test_marking_as_rgb_leaves_the_scan_alone() -> None:
    stream = unmarked_rgb_jpeg(RGB)
    marked = mark_as_rgb(stream)
    assert read_jpeg_header(marked).adobe_transform == 0
    assert marked[marked.index(b"\xff\xda") :] == stream[stream.index(b"\xff\xda") :]
    assert mark_as_rgb(marked) == marked


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\x02", b"\xff\xd8ab"])
def test_a_header_that_is_none_is_told(content: bytes) -> None:
    for read in (read_jpeg_header, read_jpeg2000_header, read_jpeg_xl_size):
        with pytest.raises(BrokenCodestream):
            read(content)
