"""What holds for every request and every answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx
import pytest

from archive import errors
from dicomweb import problems
from dicomweb.edge import WithoutQuery
from tests.support.dicom_files import jpeg_slide
from tests.support.http import LiveServer, changed, path_of, requiring_tokens, running, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.settings import Settings

PATIENT = "Doe^Jane 1960"
ORIGIN = "https://viewer.example.org"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization, accept, content-type, range",
}


def test_head_gives_the_header_of_get_everywhere(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    instance = path_of(slide)
    study = instance.partition("/series/")[0]
    for path in (
        f"/dicomweb/studies?PatientID={slide.dataset.PatientID}&limit=1",
        f"{instance}/metadata",
        instance,
        study,
        f"{instance}/frames/1",
        f"{instance}/frames/1/rendered",
        "/health/live",
        "/config.json",
    ):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code == 200, path
        assert head.content == b""
        assert (
            head.headers["content-type"].partition("boundary")[0]
            == (got.headers["content-type"].partition("boundary")[0])
        )
        assert head.headers.get("content-length") == got.headers.get("content-length")
    assert client.head("/dicomweb/studies/1.2").status_code == 404
    assert client.get("/health/live").status_code == 200  # the connection still works


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/dicomweb/studies", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/dicomweb/studies/1.2", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("POST", "/dicomweb/series", "GET, HEAD, OPTIONS"),
        (
            "POST",
            "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1",
            "GET, HEAD, OPTIONS",
        ),
        ("PATCH", "/health/live", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/dicomweb/studies", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_other_methods_are_405_with_those_that_there_are(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.headers["content-type"] == "application/problem+json"


def test_options_tells_the_methods(client: httpx.Client) -> None:
    answer = client.options("/dicomweb/studies")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    "path", ["/dicomweb/", "/dicomweb/studys", "/dicomweb/studies/1.2/x", "/api/x", "/x.js"]
)
def test_what_there_is_not_is_a_404_problem(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (404, "urn:coverslip:problem:not-found")


def test_without_cors_no_origin_is_allowed(client: httpx.Client) -> None:
    answer = client.get("/health/live", headers={"origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture
def crossed(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a server that asks for tokens and lets one origin call it."""
    with (
        running(requiring_tokens(changed(settings, cors_origins=(ORIGIN,)))) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        yield client


def test_a_preflight_needs_no_token(crossed: httpx.Client) -> None:
    for path in ("/dicomweb/studies", "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1"):
        answer = crossed.options(path, headers=PREFLIGHT)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "accept", "content-type", "range"} <= set(allowed)
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert int(answer.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("path", ["/dicomweb/studies", "/nothing.js", "/health/live"])
def test_every_answer_has_cors_headers(crossed: httpx.Client, path: str) -> None:
    answer = crossed.get(path, headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    other = crossed.get(path, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_any_origin_can_be_allowed(settings: Settings) -> None:
    with running(changed(settings, cors_origins=("*",))) as server:
        answer = httpx.get(f"{server.url}/health/live", headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == "*"


def test_every_answer_forbids_sniffing(client: httpx.Client) -> None:
    for path in ("/health/live", "/dicomweb/studies/x/series", "/config.json", "/x.js"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}
    slide = jpeg_slide()
    store(client, slide)
    for _ in range(3):
        client.get(f"{path_of(slide)}/frames/1")
    text = client.get("/metrics").text
    assert "coverslip_frames_total" in text
    route = "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
    assert f'route="{route}",status="200"' in text
    assert 'coverslip_located_total{source="memory"}' in text
    assert slide.uid not in text


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nBad Header: y\r\n\r\n",
        b"GET \x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_http_ends_the_connection_and_nothing_else(
    client: httpx.Client, live: LiveServer, request_bytes: bytes
) -> None:
    answer = live.raw(request_bytes, half_close=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in answer
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/dicomweb/studies/%00",
        "/dicomweb/studies/1.2%2F..%2F..%2Fetc/metadata",
        "/dicomweb/studies/..%2f..%2f/series",
        "/..%2f..%2f..%2fetc/passwd",
        "/assets/..%2f..%2f..%2fpyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/dicomweb/studies/1.2%0d%0aX-Evil:%201",
    ],
)
def test_path_tricks_lead_nowhere(live: LiveServer, path: str) -> None:
    answer = live.raw(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 200"))
    assert b"root:" not in answer
    assert b"[project]" not in answer
    assert b"\r\nx-evil" not in answer.lower()


def test_every_error_of_the_archive_has_a_status() -> None:
    raised_by_requests = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.ArchiveError)
    ]
    statuses = {
        one.__name__: problems.KINDS[one].status
        for one in raised_by_requests
        if one in problems.KINDS
    }
    assert statuses["NotFound"] == 404
    assert statuses["InstanceConflict"] == 409
    assert statuses["BlobsUnavailable"] == 503
    at_start_only = {
        "ArchiveError",
        "SchemaMismatch",
        "BlobExists",
        "DataFolderInUse",
        "UnsafeSettings",
        "MalformedSettings",
    }
    assert {one.__name__ for one in raised_by_requests} - set(statuses) <= at_start_only


def failing(text: str) -> None:
    raise RuntimeError(text)


def test_what_nobody_foresaw_is_500_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(RuntimeError) as caught:
        failing(PATIENT)
    with caplog.at_level(logging.ERROR):
        answer = problems.answer(caught.value)
    assert answer.status_code == 500
    assert b"Doe" not in answer.body
    assert "Doe" not in caplog.text
    assert "RuntimeError" in caplog.text


def test_uvicorns_access_log_holds_no_query() -> None:
    record = logging.LogRecord(
        "uvicorn.access",
        logging.INFO,
        "x",
        1,
        '%s - "%s %s HTTP/%s" %d',
        ("1.2.3.4:5", "GET", "/dicomweb/studies?PatientName=Doe", "1.1", 200),
        None,
    )
    assert WithoutQuery().filter(record)
    assert "Doe" not in record.getMessage()
    assert "/dicomweb/studies?" in record.getMessage()


def test_a_head_of_what_is_wrong_leaves_the_connection_good(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    frame = "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1"
    for path in (frame, f"{frame}/rendered", "/dicomweb/studies/x/metadata", "/nothing.js"):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code >= 400
        assert head.headers["content-length"] == got.headers["content-length"]
    assert "Exception in ASGI" not in caplog.text


def test_what_is_not_as_if_match_has_it_is_412(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    for path in (f"{path_of(slide)}/metadata", f"{path_of(slide)}/rendered"):
        tag = client.get(path).headers["etag"]
        for fine in (tag, f'"other", {tag}', "*"):
            assert client.get(path, headers={"if-match": fine}).status_code == 200
            assert client.head(path, headers={"if-match": fine}).status_code == 200
        for other in ('"other"', f'W/{tag[:-2]}x"', "nonsense"):
            answer = client.get(path, headers={"if-match": other})
            assert answer.status_code == 412, path
            assert answer.json()["type"] == "urn:coverslip:problem:precondition-failed"
            assert client.head(path, headers={"if-match": other}).status_code == 412
    # Boundaries differ from answer to answer, so this tag is weak, and never strong enough.
    weak = client.get(path_of(slide)).headers["etag"]
    assert weak.startswith("W/")
    assert client.get(path_of(slide), headers={"if-match": weak}).status_code == 412
    gone = client.get("/dicomweb/studies/1.2/metadata", headers={"if-match": '"x"'})
    assert gone.status_code == 404
