import numpy as np
import pytest

from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.identifiers import InstancePath
from archive.model.sop_classes import VL_WHOLE_SLIDE_MICROSCOPY, is_accepted
from archive.model.transfer_syntaxes import EXPLICIT_LITTLE, TRANSFER_SYNTAXES
from archive.part10 import check_instance, describe_pixels
from tests.support.dicom_files import (
    encapsulated_element,
    encode,
    file_meta,
    jpeg_slide,
    monochrome,
    native_element,
    part10,
    study_attributes,
    whole_slide_attributes,
)
from tests.support.reading import header_of
from tests.support.shared import shared_file


def test_a_sound_instance_passes_without_remark() -> None:
    made = jpeg_slide()
    checked = check_instance(header_of(made.content))
    data = made.dataset
    assert checked.path == InstancePath.parse(
        data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID
    )
    assert checked.sop_class_uid == VL_WHOLE_SLIDE_MICROSCOPY
    assert checked.pixels is not None
    assert checked.pixels.number_of_frames == 6
    assert (checked.warnings, checked.remarks) == ((), ())


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
@pytest.mark.parametrize("empty", [False, True])
def test_an_instance_without_an_identifier_is_refused(keyword: str, empty: bool) -> None:
    dataset = study_attributes()
    if empty:
        setattr(dataset, keyword, "")
    else:
        delattr(dataset, keyword)
    with pytest.raises(InvalidInstance, match="missing or empty") as caught:
        check_instance(header_of(part10(dataset, EXPLICIT_LITTLE)))
    assert caught.value.reason_code == reasons.MISSING_ATTRIBUTE.code


def test_an_identifier_that_is_no_uid_is_refused() -> None:
    dataset = study_attributes()
    content = part10(dataset, EXPLICIT_LITTLE)
    content = content.replace(
        str(dataset.StudyInstanceUID).encode(), b"x" * len(dataset.StudyInstanceUID)
    )
    with pytest.raises(InvalidInstance, match="not a UID") as caught:
        check_instance(header_of(content))
    assert caught.value.reason_code == reasons.INVALID_ATTRIBUTE_VALUE.code


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_another_identifier_in_the_file_meta_is_refused(keyword: str) -> None:
    dataset = study_attributes()
    other = study_attributes(SOPClassUID=dataset.SOPClassUID, SOPInstanceUID=dataset.SOPInstanceUID)
    setattr(other, keyword, "1.2.840.10008.5.1.4.1.1.2")
    content = file_meta(other, EXPLICIT_LITTLE) + encode(dataset, EXPLICIT_LITTLE)
    with pytest.raises(InvalidInstance, match=r"is 1\.2\.840\.10008\.5\.1\.4\.1\.1\.2") as caught:
        check_instance(header_of(content))
    assert caught.value.reason_code == reasons.DOES_NOT_MATCH_SOP_CLASS.code


@pytest.mark.parametrize("syntax", ["1.2.3", "1.2.840.10008.1.2.4.94", "1.2.840.10008.5.1.4.1.1.7"])
def test_an_unknown_transfer_syntax_is_refused(syntax: str) -> None:
    dataset = study_attributes()
    content = (
        file_meta(dataset, syntax)
        + part10(dataset, EXPLICIT_LITTLE)[len(file_meta(dataset, EXPLICIT_LITTLE)) :]
    )
    with pytest.raises(InvalidInstance, match="not supported") as caught:
        check_instance(header_of(content))
    assert caught.value.reason_code == reasons.TRANSFER_SYNTAX_NOT_SUPPORTED.code


@pytest.mark.parametrize(
    ("uid", "accepted"),
    [
        (VL_WHOLE_SLIDE_MICROSCOPY, True),
        ("1.2.840.10008.5.1.4.1.1.66.4", True),
        ("1.2.840.10008.5.1.4.1.1.91.1", True),
        ("1.2.840.10008.5.1.4.1.1.999.1", True),  # of an edition to come
        ("1.3.6.1.4.1.5962.301.9", True),  # private
        ("1.2.840.10008.1.3.10", False),  # media directory
        ("1.2.840.10008.1.1", False),  # verification
        ("1.2.840.10008.5.1.4.31", False),  # work list
        ("1.2.840.10008.5.1.4.38.1", False),  # hanging protocol, of no study
    ],
)
def test_storage_classes_are_accepted_and_others_are_not(uid: str, accepted: bool) -> None:
    assert is_accepted(uid) == accepted
    dataset = study_attributes(SOPClassUID=uid)
    header = header_of(part10(dataset, EXPLICIT_LITTLE))
    if accepted:
        assert check_instance(header).sop_class_uid == uid
    else:
        with pytest.raises(InvalidInstance) as caught:
            check_instance(header)
        assert caught.value.reason_code == reasons.SOP_CLASS_NOT_SUPPORTED.code


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("Rows", None, reasons.MISSING_ATTRIBUTE.code),
        ("Columns", None, reasons.MISSING_ATTRIBUTE.code),
        ("BitsAllocated", None, reasons.MISSING_ATTRIBUTE.code),
        ("Rows", 0, reasons.INVALID_ATTRIBUTE_VALUE.code),
        ("BitsAllocated", 7, reasons.INVALID_ATTRIBUTE_VALUE.code),
        ("NumberOfFrames", 2**31, reasons.OUT_OF_RESOURCES.code),
    ],
)
def test_pixels_that_cannot_be_are_refused(keyword: str, value: int | None, code: int) -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    if value is None:
        delattr(dataset, keyword)
    else:
        setattr(dataset, keyword, value)
    with pytest.raises(InvalidInstance) as caught:
        check_instance(header_of(part10(dataset, EXPLICIT_LITTLE, native_element(bytes(192)))))
    assert caught.value.reason_code == code


def test_rows_whose_bytes_are_spaces_are_read() -> None:
    pixels = describe_pixels(header_of(monochrome(np.zeros((1, 32, 8224), np.uint8)).content))
    assert pixels is not None
    assert (pixels.rows, pixels.columns) == (0x20, 0x2020)


def test_a_breach_of_type_rules_is_stored_with_a_warning() -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    dataset.BitsStored = 12
    dataset.SeriesInstanceUID = "1.2.993"
    content = part10(dataset, EXPLICIT_LITTLE, native_element(bytes(192)))
    checked = check_instance(header_of(content.replace(b"1.2.993", b"1.2.003")))
    assert checked.warnings == (reasons.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,)
    assert len(checked.remarks) == 2


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda syntax: syntax.uid)
def test_every_row_of_the_table_of_transfer_syntaxes_is_accepted(syntax: object) -> None:
    assert syntax in TRANSFER_SYNTAXES
    row = next(row for row in TRANSFER_SYNTAXES if row is syntax)
    if row.deflated or not row.little_endian or row.implicit or not row.encapsulated:
        element = native_element(bytes(192), syntax=row.uid)
    else:
        element = encapsulated_element([[b"ab"]])
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    checked = check_instance(header_of(part10(dataset, row.uid, element)))
    assert checked.pixels is not None


# What becomes of each odd file: None is kept, else a part of the refusal.
ODD = {
    "CT0012.not_fragmented_bot_jpeg_ls.80.dcm": None,
    "CT0012.not_fragmented_no_bot_rle.dcm": None,
    "ExplVR_BigEnd.dcm": None,
    "JPEG2000-embedded-sequence-delimiter.dcm": None,
    "MR_small_bigendian.dcm": None,
    "MR_small_padded.dcm": None,
    "MR_truncated.dcm": "of which only 8130 are there",
    "PatientIdsCollision-Image1.dcm": None,
    "PatientIdsCollision-Image2.dcm": None,
    "PatientIdsCollision-Image3.dcm": None,
    "SC_rgb_dcmtk_+eb+cy+n1.dcm": None,
    "SC_rgb_rle_2frame.dcm": None,
    "SC_rgb_small_odd_jpeg.dcm": None,
    "UN_sequence.dcm": r"SOP Class UID \(0008,0016\) is missing",
    "badVR.dcm": r"Media Storage SOP Instance UID \(0002,0003\) is 1\.2\.999",
    "empty_charset_LEI.dcm": r"SOP Class UID \(0008,0016\) is missing",
    "generated_encapsulated_defined_bot_1_to_1.dcm": r"SOP Class UID \(0008,0016\) is missing",
    "generated_encapsulated_empty_bot_1_to_1.dcm": r"SOP Class UID \(0008,0016\) is missing",
    "image_dfl.dcm": None,
    "meta_missing_tsyntax.dcm": "no Transfer Syntax UID",
    "no_meta.dcm": "no DICM prefix",
    "priv_SQ.dcm": r"SOP Class UID \(0008,0016\) is missing",
}


@pytest.mark.parametrize("name", ODD)
def test_what_becomes_of_each_odd_file(name: str) -> None:
    content = shared_file(f"dicom/odd/{name}").read_bytes()
    said = ODD[name]
    if said is None:
        assert check_instance(header_of(content)).path is not None
    else:
        with pytest.raises(InvalidInstance, match=said):
            check_instance(header_of(content))


def test_no_odd_file_is_forgotten() -> None:
    folder = shared_file("dicom/odd")
    assert {path.name for path in folder.glob("*.dcm")} == set(ODD)
