from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import httpx
import pytest

from dicomweb.native_model import from_xml
from tests.support.dicom_files import jpeg_slide
from tests.support.http import (
    BOUNDARY,
    STORE_TYPE,
    LiveServer,
    changed,
    in_bucket,
    multipart,
    parts_of,
    path_of,
    running,
    store,
)
from tests.support.minio_server import MinioServer
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from archive.settings import Settings

REFERENCED, FAILED, OTHERS, RETRIEVE_URL = "00081199", "00081198", "0008119A", "00081190"


def items(answer: httpx.Response, tag: str) -> list[dict[str, object]]:
    return [
        {key: (one.get("Value") or [None])[0] for key, one in item.items()}
        for item in answer.json().get(tag, {}).get("Value", [])
    ]


def post(client: httpx.Client, body: bytes, content_type: str = STORE_TYPE) -> httpx.Response:
    return client.post("/dicomweb/studies", content=body, headers={"content-type": content_type})


def staged(server: LiveServer) -> list[Path]:
    return list(server.archive.staging.folder.rglob("*.part"))


def test_stored_instances_are_named_with_their_addresses(
    client: httpx.Client, live: LiveServer
) -> None:
    one, two = jpeg_slide(), jpeg_slide()
    answer = store(client, one, two)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert [item["00081155"] for item in items(answer, REFERENCED)] == [one.uid, two.uid]
    assert items(answer, REFERENCED)[0][RETRIEVE_URL] == live.url + path_of(one)
    assert client.get(path_of(two), headers={"accept": "application/dicom"}).content == two.content
    assert staged(live) == []


@pytest.mark.parametrize(
    "accept",
    ["application/dicom+xml", 'multipart/related; type="application/dicom+xml"'],
)
def test_the_answer_may_be_asked_for_as_xml(client: httpx.Client, accept: str) -> None:
    good, bad = jpeg_slide(), jpeg_slide(SOPClassUID="1.2.840.10008.1.1")
    answer = store(client, good, bad, accept=accept)
    assert answer.status_code == 202
    content = answer.content
    if accept.startswith("multipart"):
        ((media_type, content),) = parts_of(answer)
        assert media_type == "application/dicom+xml"
    else:
        assert answer.headers["content-type"] == "application/dicom+xml"
    told = from_xml(content)
    assert told[REFERENCED]["Value"][0]["00081155"]["Value"] == [good.uid]
    assert told[FAILED]["Value"][0]["00081197"]["Value"] == [0x0122]


def test_where_new_instances_are_is_told(client: httpx.Client, live: LiveServer) -> None:
    """PS3.18 Table 10.5.3-2: of what was created, where that is one resource."""
    one = jpeg_slide()
    study = one.dataset.StudyInstanceUID
    for files, url in (
        ([one], live.url + path_of(one)),
        (
            [jpeg_slide(StudyInstanceUID=study) for _ in range(2)],
            f"{live.dicomweb}/studies/{study}",
        ),
        ([one], None),
        ([jpeg_slide(), jpeg_slide()], None),
    ):
        answer = store(client, *files)
        assert answer.headers.get("location") == url
        assert answer.headers.get("content-location") == url


def test_the_same_bytes_again_are_a_success(client: httpx.Client) -> None:
    slide = jpeg_slide()
    assert [store(client, slide).status_code for _ in range(3)] == [200, 200, 200]


def test_other_bytes_under_the_same_uid_are_refused_and_the_first_stay(
    client: httpx.Client,
) -> None:
    first = jpeg_slide()
    second = jpeg_slide(SOPInstanceUID=first.uid, SeriesDescription="other")
    store(client, first)
    answer = store(client, second)
    assert answer.status_code == 409
    assert items(answer, FAILED)[0]["00081155"] == first.uid
    got = client.get(path_of(first), headers={"accept": "application/dicom"})
    assert got.content == first.content


def test_a_partly_failed_store_answers_202(client: httpx.Client) -> None:
    good = jpeg_slide()
    answer = post(client, multipart(b"not DICOM at all", good.content))
    assert answer.status_code == 202
    assert [item["00081155"] for item in items(answer, REFERENCED)] == [good.uid]
    assert len(items(answer, OTHERS)) == 1
    assert "299" in answer.headers["warning"]


def test_nothing_stored_answers_409_with_reasons(client: httpx.Client) -> None:
    answer = post(client, multipart(b"not DICOM", b""))
    assert answer.status_code == 409
    assert len(items(answer, OTHERS)) == 2
    assert all(item["00081197"] for item in items(answer, OTHERS))


def test_a_part_of_another_type_is_told_and_never_dropped(client: httpx.Client) -> None:
    good = jpeg_slide()
    body = multipart(good.content)[: -len(f"--{BOUNDARY}--\r\n")] + multipart(
        b"{}", part_type="application/json"
    )
    answer = post(client, body)
    assert answer.status_code == 202
    assert len(items(answer, OTHERS)) == 1


def test_instances_of_another_study_than_the_path_are_refused(client: httpx.Client) -> None:
    slide = jpeg_slide()
    answer = client.post(
        "/dicomweb/studies/1.2.3",
        content=multipart(slide.content),
        headers={"content-type": STORE_TYPE},
    )
    assert answer.status_code == 409
    assert client.get(path_of(slide)).status_code == 404


@pytest.mark.parametrize(
    "content_type",
    [
        f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"',
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f"Multipart/Related; boundary={BOUNDARY}; Type=Application/DICOM",
        f"multipart/related; boundary={BOUNDARY}",
        f'multipart/related; type="application/dicom"; start="<x>"; boundary={BOUNDARY};',
    ],
)
def test_every_way_to_write_the_content_type_is_taken(
    client: httpx.Client, content_type: str
) -> None:
    assert post(client, multipart(jpeg_slide().content), content_type).status_code == 200


def test_a_boundary_of_odd_characters_is_taken(client: httpx.Client) -> None:
    odd = "=_:?/ab'()+,-.c"
    body = multipart(jpeg_slide().content).replace(BOUNDARY.encode(), odd.encode())
    content_type = f'multipart/related; type="application/dicom"; boundary="{odd}"'
    assert post(client, body, content_type).status_code == 200


@pytest.mark.parametrize(
    "changed_body",
    [
        lambda body: b"\r\n" + body,
        lambda body: b"a preamble\r\n" + body,
        lambda body: body[:-2],
        lambda body: body + b"an epilogue",
        lambda body: body.replace(f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY} \t\r\n".encode()),
        lambda body: body.replace(b"Content-Type: application/dicom\r\n", b""),
        lambda body: body.replace(
            b"application/dicom\r\n", b"application/dicom; transfer-syntax=1.2.3\r\n"
        ),
    ],
)
def test_every_form_of_multipart_is_taken(client: httpx.Client, changed_body) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    assert post(client, changed_body(multipart(jpeg_slide().content))).status_code == 200


def test_a_chunked_body_is_taken(client: httpx.Client) -> None:
    body = multipart(jpeg_slide().content)
    answer = client.post(
        "/dicomweb/studies",
        content=(body[at : at + 1000] for at in range(0, len(body), 1000)),
        headers={"content-type": STORE_TYPE},
    )
    assert answer.status_code == 200


def test_a_gzip_body_is_taken_and_other_codings_are_415(client: httpx.Client) -> None:
    body = gzip.compress(multipart(jpeg_slide().content))
    headers = {"content-type": STORE_TYPE, "content-encoding": "gzip"}
    assert client.post("/dicomweb/studies", content=body, headers=headers).status_code == 200
    cut = client.post("/dicomweb/studies", content=body[:-20], headers=headers)
    assert cut.status_code == 400
    headers["content-encoding"] = "br"
    assert client.post("/dicomweb/studies", content=body, headers=headers).status_code == 415


def test_a_single_dicom_file_is_taken_without_multipart(client: httpx.Client) -> None:
    assert post(client, jpeg_slide().content, "application/dicom").status_code == 200


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("text/plain", 415),
        (f'multipart/related; type="text/plain"; boundary={BOUNDARY}', 415),
        (f"multipart/form-data; boundary={BOUNDARY}", 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=""', 400),
        ("multipart", 400),
        ("", 400),
    ],
)
def test_other_media_types_are_415_and_malformed_ones_400(
    client: httpx.Client, content_type: str, status: int
) -> None:
    assert post(client, multipart(jpeg_slide().content), content_type).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--other\r\n\r\nx\r\n--other--\r\n",
        f"--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n".encode(),
        f"--{BOUNDARY}\r\nno colon\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nA: {'x' * 20000}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        b"x" * 200_000,
    ],
)
def test_a_malformed_body_is_400_and_stores_nothing(
    client: httpx.Client, live: LiveServer, body: bytes
) -> None:
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert staged(live) == []


def test_a_body_without_its_end_is_400_and_its_good_parts_are_not_stored(
    client: httpx.Client, live: LiveServer
) -> None:
    good = jpeg_slide()
    body = multipart(good.content, jpeg_slide().content)[:-100]
    answer = post(client, body)
    assert answer.status_code == 400
    assert "closing boundary" in answer.json()["detail"]
    assert client.get(path_of(good)).status_code == 404
    assert staged(live) == []


def test_an_upload_that_breaks_off_leaves_nothing(client: httpx.Client, live: LiveServer) -> None:
    slide = jpeg_slide()
    body = multipart(slide.content)
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {STORE_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    live.raw(head.encode() + body[: len(body) // 2], half_close=True)
    assert client.get(path_of(slide)).status_code == 404
    assert staged(live) == []


def test_a_client_that_takes_neither_json_nor_xml_is_406_before_anything_is_read(
    client: httpx.Client,
) -> None:
    slide = jpeg_slide()
    answer = store(client, slide, accept="text/html")
    assert answer.status_code == 406
    assert client.get(path_of(slide)).status_code == 404


def test_more_than_the_limits_is_413(settings: Settings) -> None:
    limited = changed(settings, max_request_bytes=10_000_000, max_instance_bytes=50_000)
    with running(limited) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert post(client, multipart(b"x" * 60_000)).status_code == 413
        declared = post(client, multipart(b"x" * 11_000_000))
        assert declared.status_code == 413
        bomb = gzip.compress(multipart(*[b"\0" * 40_000] * 300))
        headers = {"content-type": STORE_TYPE, "content-encoding": "gzip"}
        answer = client.post("/dicomweb/studies", content=bomb, headers=headers)
        assert answer.status_code == 413
        assert staged(server) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_disk_that_is_nearly_full_is_503_and_nothing_is_stored(
    settings: Settings, tmp_path: Path, chunked: bool
) -> None:
    with small_disk(tmp_path / "small", 4_000_000) as folder:
        full = changed(settings, staging=folder / "staging", staging_reserve_bytes=1_000_000)
        with running(full) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            good = jpeg_slide()
            body = multipart(good.content, b"\0" * 3_500_000)
            pieces = (body[at : at + 500_000] for at in range(0, len(body), 500_000))
            headers = {"content-type": STORE_TYPE}
            answer = client.post(
                "/dicomweb/studies", content=pieces if chunked else body, headers=headers
            )
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:coverslip:problem:staging-full"
            assert answer.headers["retry-after"]
            assert client.get(path_of(good)).status_code == 404
            assert staged(server) == []
            assert store(client, good).status_code == 200


def test_a_disk_that_is_full_is_503_and_nothing_is_stored(
    settings: Settings, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 2_000_000) as folder:
        full = changed(settings, staging=folder / "staging", staging_reserve_bytes=0)
        with running(full) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            good = jpeg_slide()
            body = multipart(good.content, b"\0" * 4_000_000)
            answer = client.post(
                "/dicomweb/studies", content=iter([body]), headers={"content-type": STORE_TYPE}
            )
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert client.get(path_of(good)).status_code == 404
            assert store(client, good).status_code == 200


def test_a_store_of_blobs_that_is_down_is_503_and_nothing_is_stored(
    settings: Settings, tmp_path: Path
) -> None:
    with (
        MinioServer(tmp_path / "minio") as minio,
        running(in_bucket(settings, minio.bucket())) as server,
        httpx.Client(base_url=server.url, timeout=120) as client,
    ):
        slide = jpeg_slide()
        assert store(client, slide).status_code == 200
        assert client.get("/health/ready").status_code == 200
        minio.stop()
        other = jpeg_slide()
        answer = store(client, other)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        frame = client.get(f"{path_of(slide)}/frames/1")
        assert (frame.status_code, frame.json()["type"]) == (
            503,
            "urn:coverslip:problem:blobs-unavailable",
        )
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        assert client.get(f"{path_of(other)}/metadata").status_code == 404
