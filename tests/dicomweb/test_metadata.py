from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from pydicom.dataset import Dataset

from archive.model.transfer_syntaxes import JPEG_BASELINE
from dicomweb.native_model import from_xml
from tests.support.dicom_files import (
    MadeFile,
    encapsulated_element,
    jpeg_slide,
    part10,
    sparse_slide,
)
from tests.support.http import changed, parts_of, path_of, running, store

if TYPE_CHECKING:
    from archive.settings import Settings
    from tests.support.http import LiveServer

PROFILE = bytes(range(256)) * 12
XML_PARTS = 'multipart/related; type="application/dicom+xml"'


def with_profile() -> MadeFile:
    slide = jpeg_slide()
    slide.dataset.OpticalPathSequence[0].ICCProfile = PROFILE
    element = encapsulated_element([[frame] for frame in slide.frames])
    return MadeFile(part10(slide.dataset, JPEG_BASELINE, element), slide.dataset, slide.frames)


@pytest.fixture
def slide(client: httpx.Client) -> MadeFile:
    made = with_profile()
    assert store(client, made).status_code == 200
    return made


def profile_uri(client: httpx.Client, slide: MadeFile, **headers: str) -> str:
    (one,) = client.get(f"{path_of(slide)}/metadata", headers=headers).json()
    uri: str = one["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    return uri


@pytest.mark.parametrize("accept", ["application/dicom+json", "*/*", "application/json"])
def test_metadata_come_at_every_level_without_pixels(
    client: httpx.Client, slide: MadeFile, accept: str
) -> None:
    instance = path_of(slide)
    series = instance.partition("/instances/")[0]
    study = instance.partition("/series/")[0]
    for path in (study, series, instance):
        answer = client.get(f"{path}/metadata", headers={"accept": accept})
        assert answer.status_code == 200
        (one,) = answer.json()
        assert one["00080018"]["Value"] == [slide.uid]
        assert "7FE00010" not in one
        assert int(answer.headers["content-length"]) > 0


def test_what_the_client_has_is_not_sent_again(client: httpx.Client, slide: MadeFile) -> None:
    path = f"{path_of(slide)}/metadata"
    first = client.get(path)
    assert "Accept" in first.headers["vary"]
    tag = first.headers["etag"]
    assert client.get(path, headers={"if-none-match": f'"x", W/{tag}'}).status_code == 304
    assert client.get(path, headers={"if-none-match": '"x"'}).status_code == 200
    other = client.get(path, headers={"if-none-match": tag, "accept-encoding": "identity"})
    assert other.status_code == 200


def test_metadata_of_many_frames_are_streamed_and_compressed(client: httpx.Client) -> None:
    sparse = sparse_slide(3000)
    assert store(client, sparse).status_code == 200
    path = f"{path_of(sparse)}/metadata"
    plain = client.get(path, headers={"accept-encoding": "identity"})
    (one,) = plain.json()
    assert len(one["52009230"]["Value"]) == 3000
    packed = client.get(path, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


def equal_data_sets(document: bytes, expected: dict[str, Any]) -> bool:
    found, wanted = (
        Dataset.from_json(orjson.dumps(one).decode(), lambda *_: b"somewhere")
        for one in (from_xml(document), expected)
    )
    return found == wanted


@pytest.mark.parametrize("coding", ["identity", "gzip", "br"])
def test_metadata_come_as_xml_one_part_an_instance(client: httpx.Client, coding: str) -> None:
    one = with_profile()
    two = jpeg_slide(StudyInstanceUID=one.dataset.StudyInstanceUID)
    store(client, one, two)
    study = path_of(one).partition("/series/")[0]
    headers = {"accept": XML_PARTS, "accept-encoding": coding}
    answer = client.get(f"{study}/metadata", headers=headers)
    assert answer.headers.get("content-encoding", "identity") == coding
    parts = parts_of(answer)
    assert [kind for kind, _ in parts] == ["application/dicom+xml"] * 2
    as_json = client.get(f"{study}/metadata").json()
    for (_, document), expected in zip(parts, as_json, strict=True):
        assert equal_data_sets(document, expected)


def test_the_items_of_many_frames_come_as_xml(client: httpx.Client) -> None:
    sparse = sparse_slide(2000)
    assert store(client, sparse).status_code == 200
    path = f"{path_of(sparse)}/metadata"
    ((_, document),) = parts_of(client.get(path, headers={"accept": XML_PARTS}))
    assert equal_data_sets(document, client.get(path).json()[0])


def test_metadata_of_one_instance_come_as_xml_without_parts(
    client: httpx.Client, slide: MadeFile
) -> None:
    accept = {"accept": "application/dicom+xml"}
    answer = client.get(f"{path_of(slide)}/metadata", headers=accept)
    assert answer.headers["content-type"] == "application/dicom+xml"
    uri = from_xml(answer.content)["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    assert client.get(uri).content == PROFILE
    study = path_of(slide).partition("/series/")[0]
    assert client.get(f"{study}/metadata", headers=accept).status_code == 406


def test_each_form_of_metadata_has_a_tag_of_its_own(client: httpx.Client, slide: MadeFile) -> None:
    path = f"{path_of(slide)}/metadata"
    tags = {
        client.get(path, headers={"accept": accept, "accept-encoding": coding}).headers["etag"]
        for accept in ("application/dicom+json", "application/dicom+xml", XML_PARTS)
        for coding in ("identity", "gzip", "br")
    }
    assert len(tags) == 9


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "x-no-such", "*;q=0", '"ISO_IR 192"'])
def test_metadata_are_utf8_whatever_the_client_would_like(
    client: httpx.Client, slide: MadeFile, charset: str
) -> None:
    path = f"{path_of(slide)}/metadata"
    answer = client.get(path, headers={"accept-charset": charset})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert answer.json()[0]["00080018"]["Value"] == [slide.uid]


@pytest.mark.parametrize(
    ("charset", "status"), [("utf-8", 200), ("iso-8859-1,utf-8", 200), ("iso-8859-1", 400)]
)
@pytest.mark.parametrize("accept", ["*/*", XML_PARTS])
def test_a_charset_that_there_is_not_is_400(
    client: httpx.Client, slide: MadeFile, charset: str, status: int, accept: str
) -> None:
    path = f"{path_of(slide)}/metadata"
    answer = client.get(path, params={"charset": charset}, headers={"accept": accept})
    assert answer.status_code == status


def test_metadata_are_json_or_406(client: httpx.Client, slide: MadeFile) -> None:
    answer = client.get(f"{path_of(slide)}/metadata", headers={"accept": "application/dicom"})
    assert answer.status_code == 406


@pytest.mark.parametrize("path", ["/studies/1.2/metadata", "/studies/1.2/series/1.3/metadata"])
def test_metadata_of_nothing_are_404(client: httpx.Client, path: str) -> None:
    assert client.get(f"/dicomweb{path}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        (
            {"x-forwarded-proto": "https", "x-forwarded-host": "pacs.example.org"},
            "https://pacs.example.org/",
        ),
        (
            {"forwarded": 'for=1.2.3.4;proto=https;host="a.example:8443", for="127.0.0.2:81"'},
            "https://a.example:8443/",
        ),
        ({"x-forwarded-for": "1.2.3.4", "host": "b.localhost"}, "http://b.localhost/"),
        (
            {"x-forwarded-host": "c.example", "x-forwarded-prefix": "/pacs"},
            "http://c.example/pacs/",
        ),
        ({"host": "d.localhost:81"}, "http://d.localhost:81/"),
        ({"host": "localhost/x?"}, "http://127.0.0.1:"),
        ({"x-forwarded-host": 'e"\\x'}, "http://127.0.0.1:"),
        ({"x-forwarded-proto": "javascript"}, "http://127.0.0.1:"),
    ],
)
def test_addresses_are_those_by_which_the_client_reaches_us(
    client: httpx.Client, slide: MadeFile, headers: dict[str, str], start: str
) -> None:
    assert profile_uri(client, slide, **headers).startswith(start)


def test_a_host_without_a_port_gets_ours(
    client: httpx.Client, slide: MadeFile, live: LiveServer
) -> None:
    uri = profile_uri(client, slide, host="127.0.0.1")
    assert uri.startswith(f"http://127.0.0.1:{live.port}/dicomweb/")


def test_the_public_address_stands_above_what_a_request_says(settings: Settings) -> None:
    public = changed(settings, public_url="https://slides.example.org/archive")
    with running(public) as server, httpx.Client(base_url=server.url) as client:
        made = with_profile()
        store(client, made)
        uri = profile_uri(client, made, **{"x-forwarded-host": "evil.example"})
        assert uri.startswith("https://slides.example.org/archive/dicomweb/studies/")


@pytest.mark.parametrize(
    "accept", ["application/octet-stream", "*/*", "application/octet-stream; transfer-syntax=*"]
)
def test_bulk_data_come_as_they_are(client: httpx.Client, slide: MadeFile, accept: str) -> None:
    answer = client.get(profile_uri(client, slide), headers={"accept": accept})
    assert answer.content == PROFILE
    assert answer.headers["content-type"].startswith("application/octet-stream")
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/octet-stream"',
        'multipart/related; type="*/*"',
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    ],
)
def test_bulk_data_come_in_one_part(client: httpx.Client, slide: MadeFile, accept: str) -> None:
    answer = client.get(profile_uri(client, slide), headers={"accept": accept})
    ((kind, content),) = parts_of(answer)
    assert kind.startswith("application/octet-stream")
    assert content == PROFILE


@pytest.mark.parametrize(
    ("asked", "status", "first", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=3000-", 206, 3000, 3072),
        ("bytes=-5", 206, 3067, 3072),
        ("bytes=10-999999", 206, 10, 3072),
        ("bytes=0-1,5-6", 200, 0, 3072),
        ("bytes=9-3", 200, 0, 3072),
        ("items=0-9", 200, 0, 3072),
        ("bytes=3072-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
def test_ranges_of_bulk_data(
    client: httpx.Client, slide: MadeFile, asked: str, status: int, first: int, end: int
) -> None:
    answer = client.get(profile_uri(client, slide), headers={"range": asked})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == "bytes */3072"
        return
    assert answer.content == PROFILE[first:end]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/3072"


def test_ranges_of_a_whole_instance(client: httpx.Client, slide: MadeFile) -> None:
    headers = {"accept": "application/dicom", "range": "bytes=128-131"}
    answer = client.get(path_of(slide), headers=headers)
    assert (answer.status_code, answer.content) == (206, b"DICM")


@pytest.mark.parametrize(
    "attribute",
    [
        "00480105/0/00282001",
        "00480105/1/00282000",
        "7FE00010",
        "x",
        "../../../etc/passwd",
        "00480105/99999999999999999999/00282000",
        "%00",
        "00480105",
    ],
)
def test_bulk_data_that_there_are_not_are_404(
    client: httpx.Client, slide: MadeFile, attribute: str
) -> None:
    answer = client.get(f"{path_of(slide)}/bulkdata/{attribute}")
    assert answer.status_code == 404
