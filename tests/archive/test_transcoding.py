"""Frames in every syntax that is sent, from every one that is kept, read by other decoders.

pydicom decodes with libraries that wrote none of the streams where there are such; JPEG Lossless
and Deflated Image Frames it does not know, and ours do it.
"""

import io
import threading

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from archive.codestreams import read_jpeg_header
from archive.colours import rgb_to_ybr, ybr_to_rgb
from archive.encoders import encode_frame
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.instances import BlobKey
from archive.model.transfer_syntaxes import (
    DEFLATED,
    DEFLATED_FRAMES,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    HTJ2K,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    JPEG_XL_RECOMPRESSED,
    RLE_LOSSLESS,
    TRANSFER_SYNTAXES,
)
from archive.pixels import Pixels, decode_frame
from archive.transcoding import (
    LOSSLESS_TARGETS,
    LOSSY_TARGETS,
    TranscodedFrames,
    can_transcode_frames,
    frame_interpretation,
    instance_interpretation,
    loses,
    transcode_frame,
    turn,
)
from tests.support.dicom_files import encapsulated, jpeg_slide, tissue

RGB = tissue(1, 24, 40)[0]
GREY = RGB[..., 1].copy()
ARRAYS: dict[str, tuple[NDArray[np.generic], int]] = {
    "8 bits": (GREY, 8),
    "16 bits": (GREY.astype(np.uint16) * 257, 16),
    "12 of 16 bits": (GREY.astype(np.uint16) << 4, 12),
    "8 of 16 bits": (GREY.astype(np.uint16), 8),
    "signed": (GREY.astype(np.int16) * -100, 16),
    "12 bits, signed": ((GREY.astype(np.int16) << 3) - 1024, 12),
    "colour": (RGB, 8),
    "colour of 16 bits": (RGB.astype(np.uint16) * 257, 16),
}


def described(
    array: NDArray[np.generic], bits_stored: int = 8, interpretation: str | None = None
) -> PixelDescription:
    samples = 3 if array.ndim == 3 else 1
    return PixelDescription(
        rows=array.shape[0],
        columns=array.shape[1],
        number_of_frames=1,
        samples_per_pixel=samples,
        photometric_interpretation=interpretation or ("RGB" if samples == 3 else "MONOCHROME2"),
        bits_allocated=array.dtype.itemsize * 8,
        bits_stored=bits_stored,
        pixel_representation=int(array.dtype.kind == "i"),
        planar_configuration=0,
        keyword="PixelData",
    )


def read_by_others(stream: bytes, uid: str, pixels: PixelDescription) -> Pixels:
    """Decode as a client does that has the stored metadata, to RGB where there is colour."""
    if uid in (JPEG_LOSSLESS, DEFLATED_FRAMES):
        return decode_frame(stream, pixels, uid)
    shape = (1, pixels.rows, pixels.columns, *[3] * (pixels.samples_per_pixel == 3))
    kind = "i" if pixels.pixel_representation else "u"
    blank = np.zeros(shape, f"{kind}{pixels.bits_allocated // 8}")
    made = encapsulated(
        [stream],
        uid,
        blank,
        PhotometricInterpretation=pixels.photometric_interpretation,
        BitsStored=pixels.bits_stored,
        HighBit=pixels.bits_stored - 1,
    )
    array: Pixels = pydicom.dcmread(io.BytesIO(made.content)).pixel_array
    return array


def difference(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("uid", LOSSLESS_TARGETS)
def test_a_lossless_syntax_gives_every_pixel_back(uid: str, kind: str) -> None:
    array, bits = ARRAYS[kind]
    pixels = described(array, bits)
    stream = transcode_frame(array.tobytes(), pixels, EXPLICIT_LITTLE, uid)
    assert np.array_equal(read_by_others(stream, uid, pixels), array)
    assert np.array_equal(decode_frame(stream, pixels, uid), array)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 3), (1, 300)])
@pytest.mark.parametrize("uid", LOSSLESS_TARGETS)
def test_frames_of_odd_sizes_are_no_different(uid: str, rows: int, columns: int) -> None:
    array = tissue(1, rows, columns)[0]
    stream = transcode_frame(array.tobytes(), described(array), EXPLICIT_LITTLE, uid)
    assert np.array_equal(read_by_others(stream, uid, described(array)), array)


@pytest.mark.parametrize("uid", LOSSY_TARGETS)
def test_a_lossy_syntax_stays_near(uid: str) -> None:
    for array in (RGB, GREY):
        pixels = described(array)
        assert loses(EXPLICIT_LITTLE, uid)
        stream = transcode_frame(array.tobytes(), pixels, EXPLICIT_LITTLE, uid)
        assert difference(read_by_others(stream, uid, pixels), array) <= 8
    near = transcode_frame(GREY.tobytes(), described(GREY), EXPLICIT_LITTLE, JPEG_LS)
    assert difference(imagecodecs.jpegls_decode(near), GREY) == 2


@pytest.mark.parametrize("uid", LOSSY_TARGETS)
def test_what_a_lossy_syntax_puts_beyond_the_range_ends_there(uid: str) -> None:
    black_and_white = (np.indices((32, 32)).sum(axis=0) // 5 % 2 * 255).astype(np.uint8)
    colour = np.stack([black_and_white, 255 - black_and_white, black_and_white], axis=-1)
    for array in (black_and_white, colour):
        pixels = described(array)
        stream = transcode_frame(array.tobytes(), pixels, EXPLICIT_LITTLE, uid)
        for shown in (decode_frame(stream, pixels, uid), read_by_others(stream, uid, pixels)):
            assert difference(shown, array) < 100  # 255 where samples wrap round


def test_bits_above_those_stored_go_along() -> None:
    array = ARRAYS["12 of 16 bits"][0].astype(np.uint16) | np.uint16(0x8000)
    for uid in LOSSLESS_TARGETS:
        stream = transcode_frame(array.tobytes(), described(array, 12), EXPLICIT_LITTLE, uid)
        assert np.array_equal(decode_frame(stream, described(array, 12), uid), array)


def test_runs_do_not_go_across_the_edge_of_a_row() -> None:
    array = np.full((4, 200), 7, np.uint8)
    stream = encode_frame(array, RLE_LOSSLESS, bits_stored=8, interpretation="MONOCHROME2")
    # PS3.5 §G.3.1: each row by itself: 128 equal bytes and 72 of them, two bytes a run.
    assert stream[64:] == bytes([129, 7, 185, 7]) * 4


# --- colour -------------------------------------------------------------------------------------


def subsampled() -> tuple[bytes, PixelDescription, Pixels]:
    made = jpeg_slide(across=1, down=1)
    assert made.pixels is not None
    pixels = described(made.pixels[0], interpretation="YBR_FULL_422")
    return made.frames[0], pixels, made.pixels[0]


def rct() -> tuple[bytes, PixelDescription]:
    stream = bytes(imagecodecs.jpeg2k_encode(RGB, codecformat="J2K", reversible=True, mct=True))
    return stream, described(RGB, interpretation="YBR_RCT")


@pytest.mark.parametrize("uid", [*LOSSLESS_TARGETS, *LOSSY_TARGETS])
def test_rgb_stays_rgb(uid: str) -> None:
    pixels = described(RGB)
    stream = transcode_frame(RGB.tobytes(), pixels, EXPLICIT_LITTLE, uid)
    assert difference(read_by_others(stream, uid, pixels), RGB) <= 8


def test_an_rgb_jpeg_says_so_itself() -> None:
    stream = transcode_frame(RGB.tobytes(), described(RGB), EXPLICIT_LITTLE, JPEG_BASELINE)
    assert read_jpeg_header(stream).adobe_transform == 0
    assert difference(np.asarray(Image.open(io.BytesIO(stream))), RGB) <= 8


@pytest.mark.parametrize("uid", [JPEG_2000_LOSSLESS, JPEG_2000, HTJ2K_LOSSLESS, HTJ2K])
def test_the_component_transform_is_used_where_the_metadata_have_it(uid: str) -> None:
    def transforms(stream: bytes) -> int:
        cod = stream.index(b"\xff\x52")  # ITU-T T.800 §A.6.1: SGcod ends with the transform
        return stream[cod + 8]

    plain = transcode_frame(RGB.tobytes(), described(RGB), EXPLICIT_LITTLE, uid)
    assert transforms(plain) == 0
    stored, pixels, painted = subsampled()
    made = transcode_frame(stored, pixels, JPEG_BASELINE, uid)
    assert transforms(made) == 1
    told = described(painted, interpretation=frame_interpretation("YBR_FULL_422", uid))
    assert difference(read_by_others(made, uid, told), painted) <= 12


@pytest.mark.parametrize("uid", [*LOSSLESS_TARGETS, *LOSSY_TARGETS])
def test_ybr_full_stays_ybr_full(uid: str) -> None:
    ybr = rgb_to_ybr(RGB)
    pixels = described(ybr, interpretation="YBR_FULL")
    stream = transcode_frame(ybr.tobytes(), pixels, EXPLICIT_LITTLE, uid)
    shown = read_by_others(stream, uid, pixels)  # pydicom gives RGB
    assert difference(shown, ybr_to_rgb(ybr)) <= (2 if uid in LOSSLESS_TARGETS else 12)


@pytest.mark.parametrize("uid", LOSSLESS_TARGETS)
def test_a_subsampled_jpeg_becomes_rgb(uid: str) -> None:
    stored, pixels, painted = subsampled()
    stream = transcode_frame(stored, pixels, JPEG_BASELINE, uid)
    told = described(painted, interpretation="RGB")
    assert difference(read_by_others(stream, uid, told), painted) <= 12


@pytest.mark.parametrize("uid", [JPEG_LS_LOSSLESS, RLE_LOSSLESS, JPEG_BASELINE, JPEG_LOSSLESS])
def test_what_jpeg_2000_transformed_becomes_rgb_elsewhere(uid: str) -> None:
    stored, pixels = rct()
    stream = transcode_frame(stored, pixels, JPEG_2000_LOSSLESS, uid)
    assert difference(read_by_others(stream, uid, described(RGB)), RGB) <= 8
    if uid == JPEG_BASELINE:
        assert read_jpeg_header(stream).adobe_transform == 0


@pytest.mark.parametrize(
    ("stored", "uid", "frame", "instance"),
    [
        ("MONOCHROME1", JPEG_BASELINE, "MONOCHROME1", "MONOCHROME1"),
        ("PALETTE COLOR", JPEG_LS_LOSSLESS, "PALETTE COLOR", "PALETTE COLOR"),
        ("RGB", JPEG_2000_LOSSLESS, "RGB", "YBR_RCT"),
        ("RGB", JPEG_2000, "RGB", "YBR_ICT"),
        ("RGB", JPEG_BASELINE, "RGB", "YBR_FULL_422"),
        ("RGB", RLE_LOSSLESS, "RGB", "RGB"),
        ("YBR_FULL", JPEG_2000_LOSSLESS, "YBR_FULL", "YBR_FULL"),
        ("YBR_FULL", JPEG_BASELINE, "YBR_FULL", "YBR_FULL_422"),
        ("YBR_FULL", HTJ2K, "YBR_FULL", "YBR_ICT"),
        ("YBR_FULL_422", JPEG_BASELINE, "YBR_FULL_422", "YBR_FULL_422"),
        ("YBR_FULL_422", HTJ2K_LOSSLESS, "YBR_RCT", "YBR_RCT"),
        ("YBR_FULL_422", JPEG_LS_LOSSLESS, "RGB", "RGB"),
        ("YBR_ICT", JPEG_BASELINE, "RGB", "YBR_FULL_422"),
        ("YBR_ICT", JPEG_2000_LOSSLESS, "YBR_RCT", "YBR_RCT"),
        ("YBR_RCT", EXPLICIT_LITTLE, "RGB", "RGB"),
    ],
)
def test_the_table_of_colours(stored: str, uid: str, frame: str, instance: str) -> None:
    assert frame_interpretation(stored, uid) == frame
    assert instance_interpretation(stored, uid) == instance


# --- streams that are kept ----------------------------------------------------------------------


def test_a_recompressed_jpeg_is_restored_bit_for_bit() -> None:
    stored, pixels, painted = subsampled()
    recompressed = bytes(imagecodecs.jpegxl_encode_jpeg(stored))
    restored = transcode_frame(recompressed, pixels, JPEG_XL_RECOMPRESSED, JPEG_BASELINE)
    assert restored == stored
    assert not loses(JPEG_XL_RECOMPRESSED, JPEG_BASELINE)
    shown = decode_frame(recompressed, pixels, JPEG_XL_RECOMPRESSED)
    # The JPEG itself is what is decoded, so that both syntaxes show the same pixels.
    by_jpeg = transcode_frame(stored, pixels, JPEG_BASELINE, RLE_LOSSLESS)
    by_jxl = transcode_frame(recompressed, pixels, JPEG_XL_RECOMPRESSED, RLE_LOSSLESS)
    assert by_jpeg == by_jxl
    assert difference(shown, painted) <= 12


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (JPEG_LS_LOSSLESS, JPEG_LS),
        (JPEG_2000_LOSSLESS, JPEG_2000),
        (HTJ2K_LOSSLESS, HTJ2K),
    ],
)
def test_a_lossless_stream_is_one_of_the_lossy_syntax_as_it_is(stored: str, wanted: str) -> None:
    stream = transcode_frame(GREY.tobytes(), described(GREY), EXPLICIT_LITTLE, stored)
    assert transcode_frame(stream, described(GREY), stored, wanted) == stream
    assert not loses(stored, wanted)


# --- what cannot be -----------------------------------------------------------------------------


def test_video_and_floats_and_masks_stay_what_they_are() -> None:
    colour = described(RGB)
    for syntax in TRANSFER_SYNTAXES:
        if syntax.video:
            assert not can_transcode_frames(colour, syntax.uid, JPEG_BASELINE)
    floats = PixelDescription(4, 4, 1, 1, "MONOCHROME2", 32, 32, 0, 0, "FloatPixelData")
    masks = PixelDescription(4, 4, 1, 1, "MONOCHROME2", 1, 1, 0, 0, "PixelData")
    for pixels in (floats, masks):
        assert can_transcode_frames(pixels, EXPLICIT_LITTLE, EXPLICIT_LITTLE)
        for uid in (JPEG_BASELINE, JPEG_2000_LOSSLESS, RLE_LOSSLESS):
            assert not can_transcode_frames(pixels, EXPLICIT_LITTLE, uid)


def test_what_is_no_colour_of_jpeg_is_refused_by_the_attributes() -> None:
    palette = described(GREY, interpretation="PALETTE COLOR")
    deep = described(*ARRAYS["16 bits"])
    for pixels in (palette, deep):
        assert not can_transcode_frames(pixels, EXPLICIT_LITTLE, JPEG_BASELINE)
        assert can_transcode_frames(pixels, EXPLICIT_LITTLE, JPEG_LS_LOSSLESS)
        with pytest.raises(CannotTranscode):
            transcode_frame(GREY.tobytes(), pixels, EXPLICIT_LITTLE, JPEG_BASELINE)


@pytest.mark.parametrize("uid", [EXPLICIT_BIG, DEFLATED, "1.2.840.10008.1.2", "1.2.3"])
def test_frames_are_never_sent_in_syntaxes_of_whole_data_sets(uid: str) -> None:
    assert not can_transcode_frames(described(GREY), EXPLICIT_LITTLE, uid)


@pytest.mark.parametrize("uid", LOSSLESS_TARGETS)
def test_a_broken_frame_leads_to_one_error(uid: str) -> None:
    with pytest.raises(CannotTranscode):
        transcode_frame(b"\xff\xd8\xff\xd9", described(RGB), JPEG_BASELINE, uid)


# --- memory -------------------------------------------------------------------------------------


def test_a_frame_is_made_once_for_all_who_ask_at_the_same_time() -> None:
    frames = TranscodedFrames(1 << 20)
    reading, go_on = threading.Event(), threading.Event()
    reads: list[int] = []
    made: list[bytes] = []

    def read() -> bytes:
        reads.append(1)
        reading.set()
        assert go_on.wait(10)
        return bytes(GREY.tobytes())

    def ask() -> None:
        syntaxes = (EXPLICIT_LITTLE, RLE_LOSSLESS)
        made.append(frames.frame(BlobKey("one"), 1, described(GREY), syntaxes, read))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    assert reading.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    ask()
    assert len(reads) == 1
    assert len(set(made)) == 1
    assert len(made) == 4


def test_of_large_frames_a_few_are_transcoded_at_a_time() -> None:
    large = PixelDescription(9000, 9000, 1, 1, "MONOCHROME2", 8, 8, 0, 0, "PixelData")
    third = threading.Event()

    def wait() -> None:
        with turn(large):
            third.set()

    waiting = threading.Thread(target=wait)
    with turn(large), turn(large), turn(described(GREY)):
        waiting.start()
        assert not third.wait(0.05)
    assert third.wait(10)
    waiting.join(10)
