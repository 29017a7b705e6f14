"""Requests, manifests, identifiers, and what instances say of the slide."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import ImageCms
from pydicom import Dataset, dcmread

from conversion import ConversionError, ConversionRequest, Manifest, Role
from conversion.errors import MalformedRequest
from conversion.icc import srgb_profile
from tests.support.conversions import CASE, contents, converted
from tests.support.shared import shared_file
from tests.support.slides import make_ome_tiff, make_svs, make_tiled_tiff

if TYPE_CHECKING:
    from pathlib import Path


def instances(slide: Path, out: Path, request: ConversionRequest | None = None) -> list[Dataset]:
    manifest = converted(slide, out, request)
    return [dcmread(out / item.path, stop_before_pixels=True) for item in manifest.instances]


def spacing(dataset: Dataset) -> list[float]:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    return [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]


def test_a_request_crosses_as_json_unchanged() -> None:
    request = replace(CASE, micrometres_per_pixel=0.25, check="full")
    assert ConversionRequest.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    "document",
    [
        "no json",
        "[]",
        '{"unknown": 1}',
        '{"patient_id": 7}',
        '{"patient_id": ""}',
        '{"patient_name": "a\\nb"}',
        '{"accession": "more than sixteen letters"}',
        '{"patient_birth_date": "1.1.1960"}',
        '{"patient_sex": "X"}',
        '{"study_uid": "1.02.3"}',
        '{"micrometres_per_pixel": 0}',
        '{"micrometres_per_pixel": "fine"}',
        '{"specimen_ids": "one"}',
        '{"check": "none"}',
        '{"source_sha256": "abc"}',
    ],
)
def test_a_request_that_cannot_be_used_is_refused(document: str) -> None:
    with pytest.raises(MalformedRequest):
        ConversionRequest.from_json(document)


def test_an_error_crosses_as_json_with_kind_and_facts() -> None:
    error = ConversionError.from_json(MalformedRequest("bad", field="stain").to_json())
    assert type(error) is MalformedRequest
    assert (error.message, error.field) == ("bad", "stain")


def test_the_manifest_lies_beside_the_files_and_reads_back(tmp_path: Path) -> None:
    manifest = converted(make_svs(tmp_path / "a.svs"), tmp_path / "out")
    record = tmp_path / "out" / f"{manifest.series_uid}.json"
    assert Manifest.from_json(record.read_text()) == manifest


def test_levels_come_first_then_thumbnail_overview_and_label(tmp_path: Path) -> None:
    manifest = converted(make_svs(tmp_path / "a.svs"), tmp_path / "out")
    assert [(item.role, item.level) for item in manifest.instances] == [
        (Role.VOLUME, 0),
        (Role.VOLUME, 1),
        (Role.THUMBNAIL, None),
        (Role.OVERVIEW, None),
        (Role.LABEL, None),
    ]


def test_one_series_frame_of_reference_and_pyramid_hold_the_slide_together(tmp_path: Path) -> None:
    found = instances(make_svs(tmp_path / "a.svs"), tmp_path / "out")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[keyword].value for dataset in found}) == 1
    pyramids = [dataset.get("PyramidUID") for dataset in found]
    assert len(set(pyramids[:3])) == 1  # levels and thumbnail
    assert pyramids[3:] == [None, None]
    assert {dataset.DimensionOrganizationType for dataset in found} == {"TILED_FULL"}


def test_the_label_burns_in_what_it_shows_and_so_does_the_overview(tmp_path: Path) -> None:
    found = instances(make_svs(tmp_path / "a.svs"), tmp_path / "out")
    burned = {dataset.ImageType[2]: dataset.BurnedInAnnotation for dataset in found}
    assert burned == {"VOLUME": "NO", "THUMBNAIL": "NO", "OVERVIEW": "YES", "LABEL": "YES"}


def test_slides_of_one_case_meet_in_one_study(tmp_path: Path) -> None:
    one = converted(make_svs(tmp_path / "a.svs", seed=1), tmp_path / "one", CASE)
    two = converted(make_svs(tmp_path / "b.svs", seed=2), tmp_path / "two", CASE)
    assert one.study_uid == two.study_uid
    assert one.series_uid != two.series_uid


def test_other_case_data_make_other_instances(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    one = converted(path, tmp_path / "one", CASE)
    two = converted(path, tmp_path / "two", replace(CASE, patient_id="P0002"))
    assert not {i.instance_uid for i in one.instances} & {i.instance_uid for i in two.instances}


def test_a_hash_known_from_receiving_is_used(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    one = converted(path, tmp_path / "one")
    two = converted(path, tmp_path / "two", ConversionRequest(source_sha256=one.source_sha256))
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_case_data_are_written_and_what_is_not_known_stays_empty(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    given = instances(path, tmp_path / "given", CASE)[0]
    assert (given.PatientID, given.AccessionNumber, given.StudyID) == ("P0001", "A0001", "S26-0001")
    specimen = given.SpecimenDescriptionSequence[0]
    assert specimen.SpecimenIdentifier == "S26-0001-A"
    steps = specimen.SpecimenPreparationSequence[0].SpecimenPreparationStepContentItemSequence
    substances = [i.ConceptCodeSequence[0].CodeValue for i in steps if i.ValueType == "CODE"][1:]
    assert substances == ["12710003", "36879007"]
    bare = instances(path, tmp_path / "bare")[0]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyID"):
        assert not bare[keyword].value


def test_the_scanners_word_is_written(tmp_path: Path) -> None:
    base = instances(make_svs(tmp_path / "a.svs"), tmp_path / "out")[0]
    assert base.AcquisitionDateTime == "20091229095915"
    assert base.DeviceSerialNumber == "SS1234"
    assert float(base.OpticalPathSequence[0].ObjectiveLensPower) == 20
    assert spacing(base) == [0.000499, 0.000499]


def test_no_clock_stands_in_for_a_date_nobody_knows(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs", date=None)
    manifest = converted(path, tmp_path / "out")
    assert any("1900-01-01 means unknown" in warning for warning in manifest.warnings)
    base = dcmread(tmp_path / "out" / manifest.instances[0].path, stop_before_pixels=True)
    assert base.AcquisitionDateTime == "19000101000000"
    assert "SeriesDate" not in base


@pytest.mark.parametrize(
    ("options", "expected_mm", "word"),
    [
        ({"mpp": 0.25}, 0.00025, None),
        ({"mpp": None, "power": 40}, 0.00025, "objective's power"),
        ({"mpp": None, "power": None}, 1.0, "does not say"),
    ],
)
def test_pixel_spacing_is_measured_nominal_or_plainly_no_value(
    options: dict[str, Any], expected_mm: float, word: str | None, tmp_path: Path
) -> None:
    path = make_svs(tmp_path / "a.svs", **options)
    manifest = converted(path, tmp_path / "out")
    base = dcmread(tmp_path / "out" / manifest.instances[0].path, stop_before_pixels=True)
    assert spacing(base) == [expected_mm, expected_mm]
    told = [warning for warning in manifest.warnings if "Pixel Spacing" in warning]
    assert bool(told) == (word is not None)
    if word:
        assert word in told[0]
        assert word in base.ImageComments


def test_a_spacing_that_is_given_stands_above_the_file(tmp_path: Path) -> None:
    request = ConversionRequest(micrometres_per_pixel=0.5)
    base = instances(make_svs(tmp_path / "a.svs"), tmp_path / "out", request)[0]
    assert spacing(base) == [0.0005, 0.0005]


def test_a_resolution_of_96_dpi_is_not_believed(tmp_path: Path) -> None:
    path = shared_file("slides/generic-tiff/CropBreastSlide.tiff")
    found = instances(path, tmp_path / "out")
    assert spacing(found[0]) == [1.0, 1.0]
    # Halved levels that dropped an odd pixel are exact powers of two smaller.
    assert [spacing(dataset)[0] for dataset in found] == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("unit", ["µm", "mm", "nm"])
def test_ome_xml_is_read_in_any_unit(unit: str, tmp_path: Path) -> None:
    path = make_ome_tiff(tmp_path / "a.ome.tif", unit=unit)
    base = instances(path, tmp_path / "out")[0]
    assert spacing(base) == pytest.approx([0.0005, 0.0005])
    assert (base.Manufacturer, base.DeviceSerialNumber) == ("Example Optics", "42")
    assert base.AcquisitionDateTime == "20210304050607"


def test_an_icc_profile_is_kept_byte_for_byte(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    base = instances(make_svs(tmp_path / "a.svs", icc_profile=profile), tmp_path / "out")[0]
    stored = base.OpticalPathSequence[0].ICCProfile
    assert stored[: len(profile)] == profile


def test_our_srgb_profile_is_one_that_a_colour_engine_takes_for_srgb() -> None:
    ours = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert ours.profile.device_class == "scnr"
    assert ours.profile.xcolor_space.strip() == "RGB"
    transform = ImageCms.buildTransform(ours, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    from PIL import Image

    ramp = Image.frombytes("RGB", (256, 1), bytes(v for i in range(256) for v in (i, 255 - i, 128)))
    changed = ImageCms.applyTransform(ramp, transform)
    assert changed is not None
    pairs = zip(ramp.tobytes(), changed.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 2


def test_lossy_compression_is_told_with_ratio_and_method(tmp_path: Path) -> None:
    lossy = instances(make_svs(tmp_path / "a.svs"), tmp_path / "lossy")[0]
    assert lossy.LossyImageCompression == "01"
    assert lossy.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(lossy.LossyImageCompressionRatio) > 2
    path = make_tiled_tiff(tmp_path / "b.tif", compression="lzw")
    lossless = instances(path, tmp_path / "lossless")[0]
    assert lossless.LossyImageCompression == "00"
    assert "LossyImageCompressionRatio" not in lossless
