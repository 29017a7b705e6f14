"""The URI service, WADO-URI (PS3.18 §9)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from archive.errors import MalformedQuery
from archive.model.transfer_syntaxes import (
    EXPLICIT_LITTLE,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)
from dicomweb.uri_parameters import parse_uri_request
from tests.support.dicom_files import (
    MadeFile,
    jpeg_slide,
    monochrome,
    part10,
    study_attributes,
)
from tests.support.http import path_of, requiring_tokens, running, store

if TYPE_CHECKING:
    from archive.settings import Settings

DICOM = "application/dicom"


def address(made: MadeFile, **parameters: str) -> str:
    """Give the URI of an instance; a parameter that is empty is left out."""
    given = {
        "requestType": "WADO",
        "studyUID": made.dataset.StudyInstanceUID,
        "seriesUID": made.dataset.SeriesInstanceUID,
        "objectUID": made.uid,
        **parameters,
    }
    return "/dicomweb/wado?" + urlencode({key: value for key, value in given.items() if value})


def opened(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.fixture
def slide(client: httpx.Client) -> MadeFile:
    made = jpeg_slide()
    assert store(client, made).status_code == 200
    return made


@pytest.fixture
def image(client: httpx.Client) -> MadeFile:
    """One frame of 60 columns and 40 rows, a ramp from left to right."""
    values = np.tile(np.arange(60, dtype=np.uint8) * 4, (1, 40, 1))
    made = monochrome(values)
    assert store(client, made).status_code == 200
    return made


@pytest.mark.parametrize(
    ("accept", "content_type", "expected"),
    [
        ("*/*", "", "image/jpeg"),  # §9.3
        ("", "", "image/jpeg"),
        ("*/*", "image/png", "image/png"),
        ("*/*", "image/gif,image/png;q=0.5", "image/gif"),
        ("image/png", "", "image/png"),
        ("image/png", "text/html", "image/png"),
        ("*/*", DICOM, DICOM),
        (DICOM, "", DICOM),
        ("text/html,image/webp,*/*;q=0.8", "", "image/jpeg"),
    ],
)
def test_the_media_type_decides_what_comes(
    client: httpx.Client, image: MadeFile, accept: str, content_type: str, expected: str
) -> None:
    answer = client.get(address(image, contentType=content_type), headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected


@pytest.mark.parametrize("content_type", ["text/html", "image/jp2", "video/mp4"])
def test_a_media_type_that_there_is_not_is_406(
    client: httpx.Client, image: MadeFile, content_type: str
) -> None:
    headers = {"accept": content_type}
    assert client.get(address(image), headers=headers).status_code == 406
    url = address(image, contentType=content_type)
    assert client.get(url, headers={"accept": "image/webp"}).status_code == 406


@pytest.mark.parametrize(
    ("asked", "syntax"),
    [
        ("", JPEG_BASELINE),  # only lossy pixels are there (§8.7.3)
        ("*", JPEG_BASELINE),
        (EXPLICIT_LITTLE, EXPLICIT_LITTLE),
        (JPEG_2000_LOSSLESS, JPEG_2000_LOSSLESS),
    ],
)
@pytest.mark.parametrize("content_type", [DICOM, ""])
def test_a_file_comes_in_the_transfer_syntax_that_is_asked_for(
    client: httpx.Client, slide: MadeFile, asked: str, syntax: str, content_type: str
) -> None:
    url = address(slide, contentType=content_type, transferSyntax=asked)
    answer = client.get(url, headers={"accept": DICOM})
    assert answer.headers["content-type"] == DICOM
    dataset = pydicom.dcmread(io.BytesIO(answer.content))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    if syntax == JPEG_BASELINE:
        assert answer.content == slide.content


def test_an_instance_without_pixels_comes_as_a_file(client: httpx.Client) -> None:
    attributes = study_attributes()
    made = MadeFile(part10(attributes, EXPLICIT_LITTLE), attributes)
    store(client, made)
    assert client.get(address(made)).content == made.content
    assert client.get(address(made), headers={"accept": "image/jpeg"}).status_code == 406


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (60, 40)),
        ({"rows": "20"}, (30, 20)),
        ({"columns": "30"}, (30, 20)),
        ({"rows": "20", "columns": "20"}, (20, 13)),
        ({"region": "0,0,0.5,0.5"}, (30, 20)),
        ({"region": "0.5,0,1,1", "rows": "20"}, (15, 20)),
    ],
)
def test_rows_columns_and_region_make_the_size(
    client: httpx.Client, image: MadeFile, parameters: dict[str, str], size: tuple[int, int]
) -> None:
    answer = client.get(address(image, contentType="image/png", **parameters))
    assert opened(answer).size == size


def test_a_region_shows_that_part(client: httpx.Client, image: MadeFile) -> None:
    url = address(image, contentType="image/png", windowCenter="128", windowWidth="256")
    whole = np.asarray(opened(client.get(url)).convert("L"))
    part = np.asarray(opened(client.get(f"{url}&region=0.5,0.25,1,1")).convert("L"))
    assert np.array_equal(part, whole[10:, 30:])


def test_a_frame_comes_by_its_number(client: httpx.Client, slide: MadeFile) -> None:
    frame = client.get(address(slide, contentType="image/png", frameNumber="2"))
    expected = client.get(f"{path_of(slide)}/frames/2/rendered", headers={"accept": "image/png"})
    assert np.array_equal(np.asarray(opened(frame)), np.asarray(opened(expected)))
    whole = client.get(address(slide, contentType="image/png"))
    assert opened(whole).size != opened(frame).size
    assert client.get(address(slide, frameNumber="999")).status_code == 404


def test_the_window_and_the_quality_are_those_asked_for(
    client: httpx.Client, image: MadeFile
) -> None:
    def levels(center: str) -> set[int]:
        url = address(image, contentType="image/png", windowCenter=center, windowWidth="2")
        return set(np.unique(np.asarray(opened(client.get(url)).convert("L"))).tolist())

    assert levels("-100") == {255}
    assert levels("1000") == {0}
    low, high = (len(client.get(address(image, imageQuality=q)).content) for q in ("5", "95"))
    assert low < high


@pytest.mark.parametrize(
    "parameters",
    [
        {"requestType": ""},
        {"requestType": "OTHER"},
        {"studyUID": ""},
        {"seriesUID": ""},
        {"objectUID": ""},
        {"objectUID": "x"},
        {"rows": "0"},
        {"rows": "-1"},
        {"columns": "99999999999999999999"},
        {"rows": "16384", "columns": "16384"},
        {"region": "0,0,1"},
        {"region": "0.5,0,0.5,1"},
        {"region": "0,0,2,1"},
        {"region": "nan,0,1,1"},
        {"frameNumber": "0"},
        {"frameNumber": "1,2"},
        {"windowCenter": "1"},
        {"windowCenter": "x", "windowWidth": "1"},
        {"imageQuality": "0"},
        {"annotation": "nonsense"},
        {"transferSyntax": "nonsense", "contentType": DICOM},
        {"contentType": f"{DICOM};transfer-syntax={EXPLICIT_LITTLE}"},
        {"contentType": "image/x-nothing"},
        {"contentType": "nonsense"},
    ],
)
def test_what_is_missing_or_malformed_is_400(
    client: httpx.Client, image: MadeFile, parameters: dict[str, str]
) -> None:
    answer = client.get(address(image, **parameters))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "parameters",
    [
        {"anonymize": "yes"},
        {"anonymize": "yes", "contentType": DICOM},
        {"presentationUID": "1.2", "presentationSeriesUID": "1.3"},
    ],
)
def test_what_is_not_done_is_refused_rather_than_passed_over(
    client: httpx.Client, image: MadeFile, parameters: dict[str, str]
) -> None:
    answer = client.get(address(image, **parameters))
    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.json()["detail"]


def test_parameters_that_are_not_known_are_passed_over(
    client: httpx.Client, image: MadeFile
) -> None:
    assert client.get(address(image, charset="UTF-8", vendor="x")).status_code == 200


def test_a_wrong_series_is_404(client: httpx.Client, image: MadeFile) -> None:
    assert client.get(address(image, seriesUID="1.2.3")).status_code == 404


def test_a_parameter_given_twice_is_malformed() -> None:
    with pytest.raises(MalformedQuery):
        parse_uri_request([("requestType", "WADO"), ("requestType", "WADO")])


def test_what_the_client_has_is_not_sent_again(client: httpx.Client, image: MadeFile) -> None:
    for content_type in ("image/png", DICOM):
        url = address(image, contentType=content_type)
        tag = client.get(url).headers["etag"]
        assert client.get(url, headers={"if-none-match": tag}).status_code == 304


def test_a_token_is_needed_where_tokens_are(settings: Settings, image: MadeFile) -> None:
    with (
        running(requiring_tokens(settings)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.get(address(image)).status_code == 401
