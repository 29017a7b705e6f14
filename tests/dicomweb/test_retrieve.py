from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest

from archive.model.transfer_syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.support.dicom_files import jpeg_slide, monochrome
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom;transfer-syntax=*",
        'multipart/related; type="*/*"',
        "*/*",
    ],
)
def test_study_series_and_instance_come_as_stored(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    instance = path_of(slide)
    series = instance.partition("/instances/")[0]
    study = instance.partition("/series/")[0]
    for path in (study, series, instance):
        answer = client.get(path, headers={"accept": accept})
        assert answer.status_code == 200
        ((kind, content),) = parts_of(answer)
        assert kind == "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50"
        assert content == slide.content
        assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_study_of_several_syntaxes_tells_each(client: httpx.Client) -> None:
    one = jpeg_slide()
    study = one.dataset.StudyInstanceUID
    two = monochrome(np.zeros((1, 4, 4), np.uint8), StudyInstanceUID=study)
    store(client, one, two)
    answer = client.get(f"/dicomweb/studies/{study}")
    assert {kind.rpartition("=")[2] for kind, _ in parts_of(answer)} == {
        "1.2.840.10008.1.2.4.50",
        EXPLICIT_LITTLE,
    }


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("accept", ["application/dicom; transfer-syntax=*", "*/*"])
def test_implicit_and_big_endian_never_go_out(
    client: httpx.Client, syntax: str, kind: type[np.generic], accept: str
) -> None:
    values = np.arange(2 * 4 * 6).reshape(2, 4, 6).astype(kind)
    image = monochrome(values, syntax=syntax, PatientName="Doe^Jane")
    assert store(client, image).status_code == 200
    answer = client.get(path_of(image), headers={"accept": accept})
    content = parts_of(answer)[0][1] if accept == "*/*" else answer.content
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert dataset.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert np.array_equal(dataset.pixel_array, values)
    assert dataset.PatientName == "Doe^Jane"
    assert dataset.SOPInstanceUID == image.uid
    query = f"?SOPInstanceUID={image.uid}&includefield=AvailableTransferSyntaxUID"
    (row,) = client.get(f"/dicomweb/instances{query}").json()
    assert row["00083002"]["Value"] == [EXPLICIT_LITTLE]


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2",
        "text/html",
    ],
)
def test_what_is_not_there_in_the_form_is_406(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    assert client.get(path_of(slide), headers={"accept": accept}).status_code == 406


def test_a_study_does_not_come_in_a_single_part(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    study = path_of(slide).partition("/series/")[0]
    assert client.get(study, headers={"accept": "application/dicom"}).status_code == 406


def test_what_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    first = client.get(path_of(slide))
    again = client.get(path_of(slide), headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/studies/1.2", "/studies/1.2/series/1.3"])
def test_what_there_is_not_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(f"/dicomweb{path}").status_code == 404


def test_a_wrong_study_in_the_path_is_404(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    wrong = path_of(slide).replace(slide.dataset.StudyInstanceUID, "1.2.3")
    assert client.get(wrong).status_code == 404
    assert client.get(f"{wrong}/metadata").status_code == 404
    assert client.get(f"{wrong}/rendered").status_code == 404
