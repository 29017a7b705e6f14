"""Storing metadata and bulk data instead of files (PS3.18 §10.5.1.4)."""

import base64
import json
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pydicom.dataset import Dataset

from conformance.checks import multipart
from conformance.checks import samples as made
from conformance.checks.bench import JSON, Bench, expect, expect_status, same_frame, value
from conformance.checks.collection import picture
from conformance.checks.registry import Skipped
from conformance.checks.samples import Sample
from conformance.checks.service import Answer
from conformance.checks.store import expect_absent, expect_there, fresh, store

XML = "application/dicom+xml"
JSON_PARTS, XML_PARTS = multipart.related(JSON), multipart.related(XML)
PIXELS_AT = "pixels/1"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


def as_json(dataset: Dataset, **more: dict[str, object]) -> dict[str, object]:
    """Write a data set as DICOM JSON, with other elements on top."""
    return dict(sorted({**dataset.to_json_dict(), **more}.items()))


def as_xml(elements: dict[str, dict[str, object]]) -> bytes:
    """Write a flat DICOM JSON object in the Native DICOM Model (PS3.19 §A.1)."""
    lines = [f'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="{NAMESPACE}">']
    for tag, element in elements.items():
        lines.append(f'<DicomAttribute tag="{tag}" vr="{element["vr"]}">')
        if "BulkDataURI" in element:
            lines.append(f'<BulkData uri="{element["BulkDataURI"]}"/>')
        if "InlineBinary" in element:
            lines.append(f"<InlineBinary>{element['InlineBinary']}</InlineBinary>")
        given = element.get("Value", [])
        for number, one in enumerate(given if isinstance(given, list) else [], 1):
            lines.append(_xml_value(str(element["vr"]), number, one))
        lines.append("</DicomAttribute>")
    return "".join([*lines, "</NativeDicomModel>"]).encode()


def _xml_value(vr: str, number: int, given: object) -> str:
    if vr == "PN" and isinstance(given, dict):
        family, _, first = str(given["Alphabetic"]).partition("^")
        return (
            f'<PersonName number="{number}"><Alphabetic><FamilyName>{escape(family)}</FamilyName>'
            f"<GivenName>{escape(first)}</GivenName></Alphabetic></PersonName>"
        )
    return f'<Value number="{number}">{escape(str(given))}</Value>'


def pixels_elsewhere(vr: str = "OB") -> dict[str, dict[str, object]]:
    """Give the pixel data element that points to a part of the same request."""
    return {"7FE00010": {"vr": vr, "BulkDataURI": PIXELS_AT}}


def bulk_part(content: bytes, part_type: str = "application/octet-stream") -> tuple[str, bytes]:
    """Give the part that such an element points to."""
    return f"Content-Type: {part_type}\r\nContent-Location: {PIXELS_AT}\r\n", content


def _json_part(dataset: object) -> tuple[str, bytes]:
    return f"Content-Type: {JSON}\r\n", json.dumps([dataset]).encode()


def _without_uid(answer: Answer, sample: Sample, bench: Bench) -> None:
    expect_status(answer, 200)
    expect_there(bench, sample)


def _expect_frame(bench: Bench, sample: Sample, accept: str, content: bytes) -> None:
    answer = bench.get(sample.frame_path(1), accept)
    expect_status(answer, 200)
    got = answer.parts[0].content
    expect(same_frame(got, content), "the frame is not what was stored")


@store.standard("PS3.18 §10.5.1.4", "metadata in JSON with native pixel data in a part of its own")
def json_with_bulk_data(bench: Bench) -> None:
    sample = fresh(bench, "json form")
    parts = [_json_part(as_json(sample.dataset, **pixels_elsewhere())), bulk_part(sample.frames[0])]
    answer = bench.post(multipart.join_parts(parts), JSON_PARTS)
    _without_uid(answer, sample, bench)
    octets = 'multipart/related; type="application/octet-stream"'
    _expect_frame(bench, sample, octets, sample.frames[0])


@store.standard("PS3.18 §10.5.1.4, Table F.2.3-1", "metadata in JSON with its bulk data inline")
def json_with_inline_binary(bench: Bench) -> None:
    sample = fresh(bench, "json inline")
    inline = base64.b64encode(sample.frames[0]).decode()
    element: dict[str, object] = {"vr": "OB", "InlineBinary": inline}
    dataset = as_json(sample.dataset, **{"7FE00010": element})
    answer = bench.post(multipart.join_parts([_json_part(dataset)]), JSON_PARTS)
    _without_uid(answer, sample, bench)


@store.standard("PS3.18 §10.5.1.4", "metadata in XML with native pixel data in a part of its own")
def xml_with_bulk_data(bench: Bench) -> None:
    sample = fresh(bench, "xml form")
    elements = as_json(sample.dataset, **pixels_elsewhere())
    document = as_xml({tag: one for tag, one in elements.items() if isinstance(one, dict)})
    ElementTree.fromstring(document)  # noqa: S314 - our own, to be sure that it is well formed
    parts = [(f"Content-Type: {XML}\r\n", document), bulk_part(sample.frames[0])]
    answer = bench.post(multipart.join_parts(parts), XML_PARTS)
    _without_uid(answer, sample, bench)
    expect(value(bench.metadata(sample), "0020000D") == sample.study, "the study is another one")


@store.standard("PS3.18 Table 10.5.2-1", "a JPEG picture as bulk data is kept as it is")
def jpeg_as_bulk_data(bench: Bench) -> None:
    pixels = made.colours(1, 24)
    picture_bytes = made.jpeg(pixels[0])
    dataset = picture(bench.maker, "jpeg form", made.SECONDARY_CAPTURE)
    dataset.StudyInstanceUID = bench.maker.uid("study jpeg form")
    dataset.SeriesInstanceUID = bench.maker.uid("series jpeg form")
    bench.remember(str(dataset.StudyInstanceUID))
    made.describe(dataset, pixels, photometric="YBR_FULL_422")
    sample = made.encapsulated("jpeg form", dataset, [picture_bytes], pixels, made.JPEG_BASELINE)
    part_type = f"image/jpeg; transfer-syntax={made.JPEG_BASELINE}"
    parts = [
        _json_part(as_json(dataset, **pixels_elsewhere())),
        bulk_part(picture_bytes, part_type),
    ]
    answer = bench.post(multipart.join_parts(parts), JSON_PARTS)
    _without_uid(answer, sample, bench)
    accept = f'multipart/related; type="image/jpeg"; transfer-syntax={made.JPEG_BASELINE}'
    _expect_frame(bench, sample, accept, picture_bytes)


@store.standard("PS3.18 §8.6.1.2", "a reference to bulk data that is not in the request is refused")
def bulk_data_is_missing(bench: Bench) -> None:
    sample = fresh(bench, "json missing")
    body = multipart.join_parts([_json_part(as_json(sample.dataset, **pixels_elsewhere()))])
    answer = bench.post(body, JSON_PARTS)
    expect(400 <= answer.status < 500, f"{answer}, not as a client's failure")
    expect_absent(bench, sample)


def _malformed(answer: Answer) -> None:
    if answer.status == 415:
        raise Skipped("metadata of this type is not taken at all")
    expect_status(answer, 400, 409)


@store.standard("PS3.18 Table 10.5.3-1", "metadata that is not JSON is refused with 400 or 409")
def json_that_is_none(bench: Bench) -> None:
    body = multipart.join_parts([(f"Content-Type: {JSON}\r\n", b'[{"00080018": {"vr": "UI"')])
    _malformed(bench.post(body, JSON_PARTS))


@store.standard("PS3.18 Table 10.5.3-1", "metadata that is not XML is refused with 400 or 409")
def xml_that_is_none(bench: Bench) -> None:
    body = multipart.join_parts([(f"Content-Type: {XML}\r\n", b"<NativeDicomModel><Dico")])
    _malformed(bench.post(body, XML_PARTS))
