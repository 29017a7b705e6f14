"""Every reason that a store response may give, by a request that leads to it (PS3.18 §I.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom.uid import generate_uid

from archive.model import reasons
from archive.model.instances import StoreOutcome, StoreStatus
from archive.model.transfer_syntaxes import EXPLICIT_LITTLE
from dicomweb.routes.store import _store_all
from tests.support.dicom_files import (
    MadeFile,
    jpeg_slide,
    native_element,
    native_slide,
    part10,
    study_attributes,
    whole_slide_attributes,
)
from tests.support.http import multipart, path_of, store
from tests.support.shared import shared_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from archive.model.reasons import Reason

REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"
REASON = {REFERENCED: "00081196", FAILED: "00081197", OTHERS: "00081197"}


def reasons_of(answer: httpx.Response, sequence: str) -> list[int]:
    items = answer.json().get(sequence, {}).get("Value", [])
    return [item[REASON[sequence]]["Value"][0] for item in items if REASON[sequence] in item]


def too_many_frames() -> bytes:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1, NumberOfFrames=2**31 - 1)
    return part10(dataset, EXPLICIT_LITTLE, native_element(bytes(192)))


def of_another_class_than_its_meta() -> bytes:
    meant = b"1.2.840.10008.5.1.4.1.1.77.1.6"
    return native_slide().content.replace(meant, meant[:-1] + b"4", 1)


def without_rows() -> bytes:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    del dataset.Rows
    return part10(dataset, EXPLICIT_LITTLE, native_element(bytes(192)))


REFUSED: list[tuple[Reason, str, Callable[[], bytes]]] = [
    (reasons.OUT_OF_RESOURCES, FAILED, too_many_frames),
    (reasons.DOES_NOT_MATCH_SOP_CLASS, FAILED, of_another_class_than_its_meta),
    (reasons.CANNOT_UNDERSTAND, OTHERS, lambda: b"no DICOM"),
    (
        reasons.TRANSFER_SYNTAX_NOT_SUPPORTED,
        FAILED,
        lambda: part10(study_attributes(), "1.2.840.10008.1.2.4.94"),
    ),
    (
        reasons.SOP_CLASS_NOT_SUPPORTED,
        FAILED,
        lambda: part10(study_attributes(SOPClassUID="1.2.840.10008.1.1"), EXPLICIT_LITTLE),
    ),
    (
        reasons.INVALID_ATTRIBUTE_VALUE,
        FAILED,
        lambda: jpeg_slide(BitsAllocated=7).content,
    ),
    (reasons.MISSING_ATTRIBUTE, FAILED, without_rows),
]


@pytest.mark.parametrize(
    ("reason", "sequence", "make"), REFUSED, ids=[f"{one[0].code:04X}" for one in REFUSED]
)
def test_each_reason_for_a_failure_is_given_with_its_words(
    client: httpx.Client, reason: Reason, sequence: str, make: Callable[[], bytes]
) -> None:
    answer = store(client, MadeFile(make(), study_attributes()))
    assert answer.status_code == 409
    assert reasons_of(answer, sequence) == [reason.code]
    assert f'"{reason.code:04X} ' in answer.headers["warning"]
    assert reason.meaning in answer.headers["warning"]


def test_an_instance_of_another_study_than_the_request_has_its_reason(client: httpx.Client) -> None:
    made = jpeg_slide()
    headers = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
    body = multipart(made.content).replace(b"the-boundary-of-tests", b"b")
    answer = client.post("/dicomweb/studies/1.2.3", content=body, headers=headers)
    assert reasons_of(answer, FAILED) == [reasons.OF_ANOTHER_STUDY.code]


def test_another_content_under_a_stored_uid_has_its_reason(client: httpx.Client) -> None:
    first = jpeg_slide()
    store(client, first)
    answer = store(client, jpeg_slide(SOPInstanceUID=first.uid))
    assert reasons_of(answer, FAILED) == [reasons.DUPLICATE_SOP_INSTANCE.code]


def test_what_goes_wrong_after_a_store_leaves_that_store_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = StoreOutcome("1.2", None, StoreStatus.STORED)

    def fails() -> StoreOutcome:
        message = "Patient^Name"
        raise RuntimeError(message)

    outcomes = _store_all([lambda: stored, fails, lambda: stored])
    assert [one.failure for one in outcomes] == [None, reasons.PROCESSING_FAILURE, None]
    assert "RuntimeError" in caplog.text
    assert "Patient^Name" not in caplog.text
    with pytest.raises(RuntimeError):  # nothing is stored: the request as a whole has failed
        _store_all([fails, lambda: stored])


@pytest.mark.parametrize(
    "given",
    [
        {"StudyDate": "20260230"},
        {"SeriesInstanceUID": "1.02.3.4"},
        {"PatientWeight": "heavy"},
        {"AccessionNumber": "x" * 17},
        {"TotalPixelMatrixColumns": 97},
        {"TotalPixelMatrixRows": 10_000},
        {"TotalPixelMatrixColumns": 0},
        {"BitsStored": 12},
        {"Modality": ""},
        {"OpticalPathSequence": []},
        {"ContainerIdentifier": ""},
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_a_breach_of_the_rules_of_its_class_is_stored_with_a_warning(
    client: httpx.Client, given: dict[str, object]
) -> None:
    made = breaching(given)
    answer = store(client, made)
    assert answer.status_code == 202, answer.text
    assert reasons_of(answer, REFERENCED) == [reasons.DATA_SET_DOES_NOT_MATCH_SOP_CLASS.code]
    assert f'"B007 {made.uid}' in answer.headers["warning"]
    got = client.get(path_of(made), headers={"accept": "application/dicom"})
    assert got.content == made.content  # and nothing of it was changed
    assert store(client, made).status_code == 200


def breaching(given: dict[str, object]) -> MadeFile:
    """Make a file with values that pydicom would not write."""
    ((keyword, value),) = given.items()
    if keyword in ("SeriesInstanceUID", "PatientWeight", "StudyDate"):
        sound = {"SeriesInstanceUID": "1.92.3.4", "PatientWeight": "12345", "StudyDate": "20260130"}
        made = jpeg_slide(**{keyword: sound[keyword]})  # type: ignore[arg-type]
        made.content = made.content.replace(sound[keyword].encode(), str(value).encode())
        if keyword == "SeriesInstanceUID":
            made.dataset.SeriesInstanceUID = value
        return made
    return jpeg_slide(**given)  # type: ignore[arg-type]


def test_two_patients_in_one_study_are_stored_and_told(client: httpx.Client) -> None:
    study = generate_uid(prefix=None)
    first = jpeg_slide(StudyInstanceUID=study, PatientID="P-1")
    second = jpeg_slide(StudyInstanceUID=study, PatientID="P-2")
    assert store(client, first).status_code == 200
    answer = store(client, second)
    assert answer.status_code == 202
    assert reasons_of(answer, REFERENCED) == [reasons.CONFLICTS_WITH_STORED.code]
    assert "(0010,0020)" in answer.headers["warning"]
    assert "P-1" not in answer.headers["warning"] + answer.text
    for made in (first, second):
        got = client.get(path_of(made), headers={"accept": "application/dicom"})
        assert got.content == made.content


def test_one_series_in_two_studies_is_stored_in_both_and_told(client: httpx.Client) -> None:
    first = jpeg_slide()
    second = jpeg_slide(SeriesInstanceUID=first.dataset.SeriesInstanceUID)
    store(client, first)
    answer = store(client, second)
    assert answer.status_code == 202
    assert reasons_of(answer, REFERENCED) == [reasons.CONFLICTS_WITH_STORED.code]
    for made in (first, second):
        assert client.get(f"{path_of(made)}/metadata").status_code == 200


def test_files_of_the_field_whose_patients_collide_are_all_kept(client: httpx.Client) -> None:
    contents = [
        shared_file(f"dicom/odd/PatientIdsCollision-Image{n}.dcm").read_bytes() for n in (1, 2, 3)
    ]
    answer = store(client, *(MadeFile(content, study_attributes()) for content in contents))
    assert answer.status_code == 202
    items = answer.json()[REFERENCED]["Value"]
    assert len(items) == 3
    for item, content in zip(items, contents, strict=True):
        url = item["00081190"]["Value"][0]
        got = client.get(url, headers={"accept": "application/dicom; transfer-syntax=*"})
        assert got.content == content


def test_every_row_of_the_table_is_shown_here() -> None:
    elsewhere = {
        reasons.OF_ANOTHER_STUDY,
        reasons.DUPLICATE_SOP_INSTANCE,
        reasons.PROCESSING_FAILURE,
    }
    assert {one[0] for one in REFUSED} | elsewhere == set(reasons.FAILURES)
