"""Whole instances in every syntax that they are sent in, read back by pydicom and by dciodvfy."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from archive.archive import Archive
from archive.errors import CannotTranscode
from archive.model.transfer_syntaxes import (
    DEFLATED,
    DEFLATED_FRAMES,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    HTJ2K,
    HTJ2K_LOSSLESS,
    IMPLICIT_LITTLE,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    JPEG_XL_RECOMPRESSED,
    RLE_LOSSLESS,
)
from archive.part10 import describe_pixels
from archive.rewriting import INSTANCE_TARGETS, Source, can_transcode, rewritten
from archive.transcoding import LOSSY_TARGETS, can_transcode_frames
from auth import Visibility
from tests.support.archives import path_of, store
from tests.support.conversions import validator_lines
from tests.support.dicom_files import (
    MadeFile,
    encapsulated,
    jpeg_slide,
    monochrome,
    native_slide,
    part10,
    segmentation,
    sparse_slide,
    study_attributes,
)
from tests.support.reading import frame_bytes, frames_of, header_of, metadata_of
from tests.support.shared import shared_file

NATIVE = (EXPLICIT_LITTLE, DEFLATED)
NOT_DECODED_BY_PYDICOM = (JPEG_LOSSLESS, DEFLATED_FRAMES)


def source_of(made: MadeFile) -> Source:
    """Give a file in memory as the archive would read it."""
    header, index = header_of(made.content), frames_of(made.content).index
    data = header.data if header.deflated else made.content

    def frames(numbers: Sequence[int]) -> Iterator[bytes]:
        assert index is not None
        return (frame_bytes(made.content, index, number) for number in numbers)

    def read(offset: int, length: int) -> Iterator[bytes]:
        yield bytes(data[offset : offset + length])

    return Source(header, describe_pixels(header), frames, read)


def in_syntax(made: MadeFile, uid: str) -> bytes:
    return b"".join(rewritten(source_of(made), uid))


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def made_files() -> dict[str, MadeFile]:
    deep = np.arange(96, dtype=np.uint16).reshape(2, 6, 8) * 300
    signed = (np.arange(96).reshape(2, 6, 8) * 20 - 900).astype(np.int16)
    masks = np.random.default_rng(5).integers(0, 2, (5, 3, 3), np.uint8)
    return {
        "JPEG": jpeg_slide(across=2, down=1),
        "JPEG of RGB": jpeg_slide(across=2, down=1, rgb_without_marker=True),
        "JPEG as YBR_FULL": jpeg_slide(across=2, down=1, PhotometricInterpretation="YBR_FULL"),
        "native": native_slide(),
        "by plane": native_slide(planar=1),
        "implicit": native_slide(syntax=IMPLICIT_LITTLE),
        "big endian": monochrome(deep, syntax=EXPLICIT_BIG),
        "signed": monochrome(signed, BitsStored=12, HighBit=11),
        "masks": segmentation(masks),
        "sparse": sparse_slide(5),
        "sparse, delimited": sparse_slide(5, undefined_lengths=True),
    }


MADE = made_files()


@pytest.mark.parametrize("uid", INSTANCE_TARGETS)
@pytest.mark.parametrize("kind", MADE)
def test_an_instance_in_another_syntax_shows_the_same(kind: str, uid: str) -> None:
    made = MADE[kind]
    source = source_of(made)
    assert source.pixels is not None
    stored_uid = source.header.transfer_syntax_uid
    if uid not in NATIVE and not can_transcode_frames(source.pixels, stored_uid, uid):
        with pytest.raises(CannotTranscode):
            in_syntax(made, uid)
        return
    content = in_syntax(made, uid)
    assert header_of(content).transfer_syntax_uid == uid
    found, before = read(content), read(made.content)
    if uid not in NOT_DECODED_BY_PYDICOM and made.pixels is not None:
        lossy = uid in LOSSY_TARGETS or stored_uid == JPEG_BASELINE
        span = int(made.pixels.max()) - int(made.pixels.min())
        apart = np.abs(found.pixel_array.astype(int) - made.pixels.astype(int)).max()
        assert apart <= (max(span // 16, 12) if lossy else 0)
    changed = {
        element.keyword
        for element in [*found, *before]
        if found.get(element.tag) != before.get(element.tag)
    }
    allowed = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration"}
    if uid in LOSSY_TARGETS and stored_uid != uid:
        allowed |= {
            "SOPInstanceUID",
            "ImageType",
            "DerivationDescription",
            "ReferencedSeriesSequence",
            "SourceImageSequence",
            "DerivationCodeSequence",
            "LossyImageCompression",
            "LossyImageCompressionRatio",
            "LossyImageCompressionMethod",
        }
    assert changed <= allowed


@pytest.mark.parametrize(
    ("uid", "interpretation"),
    [
        (EXPLICIT_LITTLE, "RGB"),
        (DEFLATED, "RGB"),
        (RLE_LOSSLESS, "RGB"),
        (JPEG_LS_LOSSLESS, "RGB"),
        (JPEG_LOSSLESS, "RGB"),
        (DEFLATED_FRAMES, "RGB"),
        (JPEG_2000_LOSSLESS, "YBR_RCT"),
        (HTJ2K_LOSSLESS, "YBR_RCT"),
        (JPEG_2000, "YBR_ICT"),
        (HTJ2K, "YBR_ICT"),
        (JPEG_BASELINE, "YBR_FULL_422"),
    ],
)
def test_the_photometric_interpretation_is_that_of_a_whole_slide_image(
    uid: str, interpretation: str
) -> None:
    for kind in ("JPEG", "JPEG of RGB", "native"):
        stored = header_of(MADE[kind].content).transfer_syntax_uid
        if stored == uid:
            continue
        found = read(in_syntax(MADE[kind], uid))
        assert found.PhotometricInterpretation == interpretation
        assert found.PlanarConfiguration == 0


def test_lossless_frames_by_plane_are_by_pixel_once_a_codec_has_them() -> None:
    found = read(in_syntax(MADE["by plane"], JPEG_LS_LOSSLESS))
    assert found.PlanarConfiguration == 0
    assert read(in_syntax(MADE["by plane"], RLE_LOSSLESS)).PlanarConfiguration == 1


def test_what_was_lossy_once_stays_marked_so() -> None:
    made = jpeg_slide(across=1, down=1)
    for attribute in ("01", None):
        if attribute is None:
            made = encapsulated(made.frames, JPEG_BASELINE, np.zeros((1, 32, 32, 3), np.uint8))
        found = read(in_syntax(made, JPEG_2000_LOSSLESS))
        assert found.LossyImageCompression == "01"
        assert found.SOPInstanceUID == made.uid


def test_a_lossy_instance_is_derived_and_points_at_what_is_stored() -> None:
    made = native_slide(DerivationDescription="cut out", ImageType=["ORIGINAL", "PRIMARY"])
    found = read(in_syntax(made, JPEG_BASELINE))
    assert found.SOPInstanceUID != made.uid
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    assert list(found.ImageType) == ["DERIVED", "PRIMARY"]
    assert found.LossyImageCompression == "01"
    assert found.LossyImageCompressionMethod == "ISO_10918_1"
    encoded = sum(
        len(frame) for frame in pydicom.encaps.generate_frames(found.PixelData, number_of_frames=6)
    )
    assert found.LossyImageCompressionRatio == pytest.approx(6 * 16 * 16 * 3 / encoded, rel=0.02)
    assert found.DerivationDescription.startswith("cut out; lossy compression")
    (image,) = found.SourceImageSequence
    assert image.ReferencedSOPInstanceUID == made.uid
    assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
    assert found.DerivationCodeSequence[0].CodeValue == "113040"
    again = read(in_syntax(made, JPEG_BASELINE))
    assert again.SOPInstanceUID == found.SOPInstanceUID
    assert read(in_syntax(made, JPEG_LS)).SOPInstanceUID != found.SOPInstanceUID


def test_a_second_loss_is_told_beside_the_first() -> None:
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    made = jpeg_slide(
        across=1,
        down=1,
        LossyImageCompressionRatio="10.5",
        LossyImageCompressionMethod="ISO_10918_1",
        SourceImageSequence=[source],
    )
    found = read(in_syntax(made, JPEG_2000))
    assert list(found.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_15444_1"]
    assert len(found.LossyImageCompressionRatio) == 2
    assert [i.ReferencedSOPInstanceUID for i in found.SourceImageSequence] == ["1.2.3.4", made.uid]


def test_frame_types_of_a_lossy_instance_say_derived_too() -> None:
    frame_type, shared = Dataset(), Dataset()
    frame_type.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    made = native_slide(SharedFunctionalGroupsSequence=[shared])
    found = read(in_syntax(made, JPEG_BASELINE)).SharedFunctionalGroupsSequence[0]
    types = found.WholeSlideMicroscopyImageFrameTypeSequence[0].FrameType
    assert list(types) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]


def test_offset_tables_of_the_stored_form_do_not_stay() -> None:
    found = read(in_syntax(jpeg_slide(table="extended"), RLE_LOSSLESS))
    assert "ExtendedOffsetTable" not in found
    assert "ExtendedOffsetTableLengths" not in found


def test_a_recompressed_jpeg_comes_back_as_the_same_instance() -> None:
    import imagecodecs

    made = jpeg_slide(across=1, down=1)
    stream = bytes(imagecodecs.jpegxl_encode_jpeg(made.frames[0]))
    blank = np.zeros((1, 32, 32, 3), np.uint8)
    stored = encapsulated(
        [stream], JPEG_XL_RECOMPRESSED, blank, PhotometricInterpretation="YBR_FULL_422"
    )
    found = read(in_syntax(stored, JPEG_BASELINE))
    assert found.SOPInstanceUID == stored.uid
    assert found.PhotometricInterpretation == "YBR_FULL_422"
    assert next(pydicom.encaps.generate_frames(found.PixelData)) == made.frames[0]


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_everything_of_an_implicit_or_big_endian_header_is_kept(syntax: str) -> None:
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "1", "99X", "Größe"
    outer.PurposeOfReferenceCodeSequence = [inner]
    given: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SourceImageSequence": [outer, Dataset()],
        "PixelSpacing": [0.25, 0.5],
        "FrameIncrementPointer": 0x00181063,
        "TriggerTime": 12.5,
        "RedPaletteColorLookupTableDescriptor": [256, 0, 16],
        "RedPaletteColorLookupTableData": bytes(range(200)) * 3,
        "PixelPaddingValue": 7,
        "TableOfPixelValues": None,
    }
    given.pop("TableOfPixelValues")
    values = np.arange(96, dtype=np.uint16).reshape(2, 6, 8)
    made = monochrome(values, syntax=syntax, **given)
    explicit = monochrome(values, syntax=EXPLICIT_LITTLE, **given)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(explicit.dataset, keyword, made.dataset[keyword].value)
    explicit.dataset.FrameOfReferenceUID = made.dataset.FrameOfReferenceUID
    content = in_syntax(made, EXPLICIT_LITTLE)
    wanted = part10(explicit.dataset, EXPLICIT_LITTLE)
    found = metadata_of(content)
    if syntax == EXPLICIT_BIG:
        # pydicom writes OW as it is given; a reader of big endian turns it round.
        swapped = np.frombuffer(bytes(range(200)) * 3, "<u2").byteswap().tobytes()
        explicit.dataset.RedPaletteColorLookupTableData = swapped
        wanted = part10(explicit.dataset, EXPLICIT_LITTLE)
    assert found == metadata_of(wanted) | {
        tag: value for tag, value in found.items() if tag.startswith("7FE0")
    }
    assert np.array_equal(read(content).pixel_array, values)


def test_an_instance_without_pixels_changes_its_encoding_alone() -> None:
    dataset = study_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR")
    made = MadeFile(part10(dataset, IMPLICIT_LITTLE), dataset)
    for uid in NATIVE:
        found = read(in_syntax(made, uid))
        assert found == read(made.content)


# --- in an archive ------------------------------------------------------------------------------


def test_an_archive_transcodes_from_any_blob_store(any_archive: Archive) -> None:
    everything = Visibility.ALL
    for made in (
        native_slide(syntax=DEFLATED),
        jpeg_slide(),
        native_slide(syntax=IMPLICIT_LITTLE),
    ):
        store(any_archive, made.content)
        instance = any_archive.locate(path_of(made.dataset), visible=everything)
        assert made.pixels is not None
        for uid in (EXPLICIT_LITTLE, RLE_LOSSLESS):
            assert can_transcode(instance, uid)
            found = read(b"".join(any_archive.transcoded(instance, uid)))
            apart = np.abs(found.pixel_array.astype(int) - made.pixels.astype(int)).max()
            assert apart <= 12
            (frame,) = any_archive.transcoded_frames(instance, [2], uid)
            assert len(frame) > 64
        stored = any_archive.transcoded(instance, instance.transfer_syntax_uid)
        assert b"".join(stored) == made.content
        with pytest.raises(CannotTranscode):
            any_archive.transcoded(instance, "1.2.840.10008.1.2.4.102")


def test_a_deflated_frame_is_counted_off_like_a_stored_one(archive: Archive) -> None:
    made = native_slide(syntax=DEFLATED)
    store(archive, made.content)
    instance = archive.locate(path_of(made.dataset), visible=Visibility.ALL)
    assert list(archive.frames(instance, [3])) == [made.frames[2]]


@pytest.mark.parametrize("uid", [EXPLICIT_LITTLE, JPEG_2000_LOSSLESS])
def test_openslide_reads_a_transcoded_slide_as_the_stored_one(uid: str, tmp_path: Path) -> None:
    import openslide

    folder = shared_file("slides/dicom-wsm/CMU-1-Small-Region")
    path = max(folder.glob("*.dcm"), key=lambda file: file.stat().st_size)
    after = tmp_path / "after.dcm"
    after.write_bytes(in_syntax(MadeFile(path.read_bytes(), Dataset()), uid))
    with openslide.OpenSlide(str(path)) as stored, openslide.OpenSlide(str(after)) as sent:
        assert sent.level_dimensions == stored.level_dimensions
        for at in ((500, 900), (0, 0), (1900, 2700)):
            region = (at, 0, (300, 260))
            found = np.asarray(sent.read_region(*region))
            assert np.array_equal(found, np.asarray(stored.read_region(*region)))


def errors_of(path: Path) -> set[str]:
    return {line for line in validator_lines(path) if line.startswith("Error")}


@pytest.mark.parametrize("uid", [JPEG_2000, JPEG_2000_LOSSLESS, EXPLICIT_LITTLE])
def test_dciodvfy_finds_nothing_that_it_did_not_find_before(uid: str, tmp_path: Path) -> None:
    path = shared_file("slides/dicom-wsm/multi_frame_jpeg_camelyon_challenge_image.dcm")
    after = tmp_path / "after.dcm"
    after.write_bytes(in_syntax(MadeFile(path.read_bytes(), Dataset()), uid))
    assert errors_of(after) <= errors_of(path)
