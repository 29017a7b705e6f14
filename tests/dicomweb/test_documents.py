"""Reports and encapsulated documents as text (PS3.18 Table 8.7.4-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from pydicom.dataset import Dataset

from archive.model.transfer_syntaxes import EXPLICIT_LITTLE
from archive.reports import Content, read_report, report_html, report_text
from tests.support.dicom_files import MadeFile, part10, study_attributes
from tests.support.http import parts_of, path_of, store
from tests.support.reading import metadata_of

if TYPE_CHECKING:
    import httpx

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


def code(meaning: str, value: str = "1", scheme: str = "99T") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def item(kind: str, name: str, *below: Dataset, **given: Any) -> Dataset:  # noqa: ANN401
    content = Dataset()
    content.RelationshipType, content.ValueType = "CONTAINS", kind
    content.ConceptNameCodeSequence = [code(name)]
    for keyword, value in given.items():
        setattr(content, keyword, value)
    if below:
        content.ContentSequence = list(below)
    return content


def measured(number: str, unit: str) -> Dataset:
    value = Dataset()
    value.NumericValue = number
    value.MeasurementUnitsCodeSequence = [code("unit", unit, "UCUM")]
    return value


def referenced(uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.3", uid
    return reference


def report(**given: Any) -> MadeFile:  # noqa: ANN401
    dataset = study_attributes(SOPClassUID=COMPREHENSIVE_SR, Modality="SR")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [code("Pathology report")]
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "VERIFIED"
    back = Dataset()
    back.RelationshipType, back.ReferencedContentItemIdentifier = "SELECTED FROM", [1, 2]
    dataset.ContentSequence = [
        item("TEXT", "Diagnosis", TextValue="Größe <b>unclear</b>\r\nsee & below"),
        item(
            "CONTAINER",
            "Findings",
            item("CODE", "Margin", ConceptCodeSequence=[code("Free of tumour")]),
            item("NUM", "Diameter", MeasuredValueSequence=[measured("3.5", "mm")]),
            item("PNAME", "Observer", PersonName="Doe^Jane"),
            item("DATE", "Seen", Date="20261101"),
            item("UIDREF", "Session", UID="1.2.3.4"),
            item("IMAGE", "Shown in", ReferencedSOPSequence=[referenced("1.2.9")]),
            item("SCOORD", "Outline", GraphicType="POLYLINE"),
            back,
        ),
    ]
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return MadeFile(part10(dataset, EXPLICIT_LITTLE), dataset)


LINES = """\
Patient: Specimen, Example
Patient ID: P-1
Born: 19700102
Accession: A-1
State: COMPLETE VERIFIED

Pathology report
  Diagnosis: Größe <b>unclear</b>
    see & below
  Findings
    Margin: Free of tumour
    Diameter: 3.5 mm
    Observer: Doe, Jane
    Seen: 20261101
    Session: 1.2.3.4
    Shown in: 1.2.9
    Outline: POLYLINE
    see item 1.2
"""


def test_every_kind_of_content_is_told_in_words() -> None:
    found = read_report(metadata_of(report().content))
    assert found is not None
    assert report_text(found) == LINES


def test_a_page_shows_the_same_and_escapes_it() -> None:
    found = read_report(metadata_of(report().content))
    assert found is not None
    page = report_html(found)
    assert "<b>" not in page
    text = page.partition("\n")[2].replace('<meta charset="utf-8">', "").replace("<br>", "\n")
    shown = "".join(ET.fromstring(text).itertext())  # noqa: S314 - our own page
    for word in ("Größe <b>unclear</b>", "see & below", "Free of tumour", "3.5 mm", "Doe, Jane"):
        assert word in shown


def test_what_is_no_report_is_none() -> None:
    assert read_report({"00080060": {"vr": "CS", "Value": ["ANN"]}}) is None


def test_content_is_read_no_deeper_than_it_may_be() -> None:
    metadata: dict[str, Any] = {"0040A040": {"vr": "CS", "Value": ["CONTAINER"]}}
    for _ in range(500):
        metadata = {"0040A730": {"vr": "SQ", "Value": [metadata]}}
    found = read_report(metadata)
    assert found is not None
    depth, at = 0, found.root
    while at.items:
        depth, at = depth + 1, at.items[0]
    assert depth == 64
    assert isinstance(at, Content)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/xml", "text/xml"),
        ("text/html;q=0.5, text/plain", "text/plain; charset=utf-8"),
    ],
)
def test_a_report_comes_as_text(client: httpx.Client, accept: str, content_type: str) -> None:
    made = report()
    store(client, made)
    answer = client.get(f"{path_of(made)}/rendered", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "Free of tumour" in answer.content.decode()
    part = 'multipart/related; type="text/plain"'
    ((kind, content),) = parts_of(client.get(f"{path_of(made)}/rendered", headers={"accept": part}))
    assert (kind, content) == ("text/plain; charset=utf-8", LINES.encode())


def test_a_report_has_no_picture(client: httpx.Client) -> None:
    made = report()
    store(client, made)
    answer = client.get(f"{path_of(made)}/rendered", headers={"accept": "image/jpeg"})
    assert answer.status_code == 406
    assert "text/html" in answer.json()["available"]
    assert client.get(f"{path_of(made)}/thumbnail").status_code == 406


def uri_of(made: MadeFile) -> str:
    dataset = made.dataset
    return (
        f"/dicomweb/wado?requestType=WADO&studyUID={dataset.StudyInstanceUID}"
        f"&seriesUID={dataset.SeriesInstanceUID}&objectUID={dataset.SOPInstanceUID}"
    )


def test_the_uri_service_sends_a_report_as_html(client: httpx.Client) -> None:
    made = report()
    store(client, made)
    for suffix in ("", "&contentType=text%2Fhtml"):
        answer = client.get(uri_of(made) + suffix)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    held = {"if-none-match": answer.headers["etag"]}
    again = client.get(uri_of(made) + suffix, headers=held)
    assert again.status_code == 304
    file = client.get(uri_of(made) + "&contentType=application%2Fdicom")
    assert file.content == made.content


@pytest.mark.parametrize("size", [101, 5001])
def test_an_encapsulated_document_is_sent_as_what_it_is(client: httpx.Client, size: int) -> None:
    content = b"%PDF-1.7 " + b"x" * (size - 9)
    dataset = study_attributes(SOPClassUID=ENCAPSULATED_PDF, Modality="DOC")
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = content + b"\0"
    dataset.EncapsulatedDocumentLength = size
    made = MadeFile(part10(dataset, EXPLICIT_LITTLE), dataset)
    assert store(client, made).status_code == 200
    answer = client.get(f"{path_of(made)}/rendered", headers={"accept": "application/pdf"})
    assert (answer.headers["content-type"], answer.content) == ("application/pdf", content)
    refused = client.get(f"{path_of(made)}/rendered", headers={"accept": "text/html"})
    assert refused.status_code == 406
