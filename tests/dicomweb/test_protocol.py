"""HTTP/1.1 on the wire: what is too large, too slow, too many, or no HTTP at all."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from dicomweb.protocol import Limits
from tests.support.dicom_files import jpeg_slide, native_slide
from tests.support.http import LiveServer, path_of, running, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.settings import Settings

IMPATIENT = Limits(
    connections=24,
    header_seconds=1.0,
    idle_seconds=1.5,
    stall_seconds=1.5,
    linger_seconds=1.0,
)
GIVEN_UP_WITHIN = 8.0
HEAD = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that waits for nobody long."""
    from archive.settings import Settings

    with running(Settings(data_dir=tmp_path_factory.mktemp("impatient")), IMPATIENT) as server:
        yield server


def connect(server: LiveServer, *, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(GIVEN_UP_WITHIN)
    connection.connect((server.host, server.port))
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Give all that comes until the server ends the connection; fails when it does not."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while chunk := connection.recv(65536):
            received += chunk
    return bytes(received)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes) -> dict[str, object]:
    header, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in header.lower()
    assert b"connection: close" in header.lower()
    problem: dict[str, object] = json.loads(body)
    assert problem["status"] == status_of(answer)
    return problem


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (b"GET /dicomweb/studies?x=" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (b"GET /" + b"a" * 300_000, 414),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 300_000, 431),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)), 408),
        (
            b"GET / HTTP/1.1\r\n"
            + HEAD
            + b"".join(b"X-%d: 1\r\n" % n for n in range(200))
            + b"\r\n",
            431,
        ),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(99999)), 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + HEAD + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"Bad Header: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + b" folded: 1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),  # TLS
        (b"nonsense\r\n\r\n", 400),
        (b"\r\n" * 50_000, 431),
        (
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
            400,
        ),
        (
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
    ],
)
def test_what_cannot_be_taken_is_answered_and_the_connection_ends(
    impatient: LiveServer, request_bytes: bytes, status: int
) -> None:
    with connect(impatient) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(request_bytes)
        answer = rest_of(connection)
    assert status_of(answer) == status
    problem_of(answer)
    assert httpx.get(f"{impatient.url}/health/live").status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET http://localhost/health/live HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\n\r\n",
        b"\r\n\r\nGET /health/live HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        # What Java's client sends with its first request.
        b"GET /health/live HTTP/1.1\r\n"
        + HEAD
        + b"Connection: Upgrade, HTTP2-Settings, close\r\n"
        + b"Upgrade: h2c\r\nHTTP2-Settings: AAEAAE\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhOST: localhost\r\nconnection:close\r\n\r\n",
    ],
)
def test_unusual_but_well_formed_requests_are_answered(
    impatient: LiveServer, request_bytes: bytes
) -> None:
    with connect(impatient) as connection:
        connection.sendall(request_bytes)
        assert status_of(connection.recv(65536)) == 200


def test_fields_behind_a_body_become_no_fields_of_the_header(impatient: LiveServer) -> None:
    request = (
        b"POST /dicomweb/studies HTTP/1.1\r\n"
        + HEAD
        + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n"
        + b"Content-Type: multipart/related; boundary=x\r\n\r\n"
    )
    with connect(impatient) as connection:
        connection.sendall(request)
        assert status_of(rest_of(connection)) == 415  # there is no Content-Type


def test_an_endless_trailer_is_cut(impatient: LiveServer) -> None:
    request = (
        b"POST /dicomweb/studies HTTP/1.1\r\n"
        + HEAD
        + b'Content-Type: multipart/related; type="application/dicom"; boundary=x\r\n'
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\n--\r\n0\r\nX-Trailer: "
    )
    with connect(impatient) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(request)
            for _ in range(1000):
                connection.sendall(b"a" * 65536)
        answer = rest_of(connection)
    assert status_of(answer) == 431


def test_slow_clients_are_given_up(impatient: LiveServer) -> None:
    """Slow in all ways at once, since each takes its time."""
    slide = native_slide(across=30, down=30, side=64)
    with httpx.Client(base_url=impatient.url) as client:
        assert store(client, slide).status_code == 200
    upload = (
        b"POST /dicomweb/studies HTTP/1.1\r\n"
        + HEAD
        + b"Content-Type: application/dicom\r\nContent-Length: 100000\r\n\r\nabc"
    )
    refused = b"POST /health/live HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\nabc"
    with contextlib.ExitStack() as stack:
        silent, header, body, drip, unwanted, kept = (
            stack.enter_context(connect(impatient)) for _ in range(6)
        )
        reader = stack.enter_context(connect(impatient, receive_buffer=4096))
        header.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: local")
        body.sendall(upload)
        drip.sendall(upload)
        unwanted.sendall(refused)
        kept.sendall(b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n")
        reader.sendall(b"GET " + path_of(slide).encode() + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
        for _ in range(int(GIVEN_UP_WITHIN * 5)):
            if select.select([drip], [], [], 0.2)[0]:
                break
            drip.sendall(b"x")
        assert problem_of(rest_of(header))["status"] == 408
        assert problem_of(rest_of(body))["status"] == 408
        assert problem_of(rest_of(drip))["status"] == 408
        assert status_of(rest_of(unwanted)) == 405
        assert status_of(rest_of(kept)) == 200
        assert rest_of(silent) == b""
        # Whoever does not read is cut off in the middle.
        time.sleep(2.5)
        assert len(rest_of(reader)) < slide.dataset.Rows * slide.dataset.Columns * 3 * 900
    assert httpx.get(f"{impatient.url}/health/live").status_code == 200
    assert list(impatient.archive.staging.folder.rglob("*.part")) == []


def test_requests_sent_ahead_are_answered_in_order(impatient: LiveServer) -> None:
    live = b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n"
    other = b"GET /dicomweb/nothing HTTP/1.1\r\n" + HEAD + b"\r\n"
    last = b"GET /health/live HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall((live + other) * 8 + last)
        answers = rest_of(connection).split(b"HTTP/1.1 ")[1:]
    assert [int(answer[:3]) for answer in answers] == [200, 404] * 8 + [200]


def test_thousands_of_requests_sent_ahead_are_not_kept(impatient: LiveServer) -> None:
    live = b"GET /dicomweb/studies HTTP/1.1\r\n" + HEAD + b"\r\n"
    with connect(impatient) as connection:
        connection.sendall(live * 3000)
        answers = rest_of(connection).split(b"HTTP/1.1 ")[1:]
    assert 1 <= len(answers) <= IMPATIENT.pipelined + 1
    assert {answer[:3] for answer in answers} <= {b"200", b"204"}


def test_what_is_wrong_behind_a_request_does_not_spoil_its_answer(impatient: LiveServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /health/ready HTTP/1.1\r\n" + HEAD + b"\r\n" + b"\x00\x01nonsense")
        answer = rest_of(connection)
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_is_asked_for_only_when_it_is_wanted(impatient: LiveServer) -> None:
    expecting = b"Content-Length: 3\r\nExpect: 100-continue\r\n"
    with connect(impatient) as connection:
        connection.sendall(
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Content-Type: application/dicom\r\n"
            + expecting
            + b"\r\n"
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert status_of(connection.recv(65536)) == 409
        # The body has come, so the connection is good for more.
        connection.sendall(
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Content-Type: text/plain\r\n"
            + expecting
            + b"\r\n"
        )
        answer = rest_of(connection)
    assert status_of(answer) == 415
    assert b"connection: close" in answer.lower()
    assert b"100 Continue" not in answer


def test_a_new_connection_takes_the_place_of_an_idle_one(impatient: LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * IMPATIENT.connections):
            connection = stack.enter_context(connect(impatient))
            connection.sendall(b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n")
            assert status_of(connection.recv(65536)) == 200


def test_too_many_busy_connections_are_told_to_come_back(impatient: LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(IMPATIENT.connections):
            busy = stack.enter_context(connect(impatient))
            busy.sendall(
                b"POST /dicomweb/studies HTTP/1.1\r\n"
                + HEAD
                + b"Content-Type: application/dicom\r\nContent-Length: 9\r\n\r\na"
            )
        time.sleep(0.3)
        answer = rest_of(stack.enter_context(connect(impatient)))
    assert problem_of(answer)["status"] == 503
    assert b"retry-after: 5" in answer.lower()


def test_a_refusal_of_the_header_may_be_read_by_a_page(settings: Settings) -> None:
    from tests.support.http import changed

    with running(changed(settings, cors_origins=("*",))) as server:
        target = b"/dicomweb/studies?x=" + b"a" * 40_000
        answer = server.raw(
            b"GET " + target + b" HTTP/1.1\r\n" + HEAD + b"Origin: https://a.example\r\n\r\n"
        )
        assert status_of(answer) == 414
        assert b"access-control-allow-origin: *" in answer.lower()
        # The same for a body that is too large, before any of it has come.
        answer = server.raw(
            b"POST /dicomweb/studies HTTP/1.1\r\n"
            + HEAD
            + b"Origin: https://a.example\r\nContent-Type: application/dicom\r\n"
            + b"Expect: 100-continue\r\nContent-Length: 999999999999999\r\n\r\n"
        )
        assert status_of(answer) == 413
        assert b"access-control-allow-origin: *" in answer.lower()


def test_frames_over_one_connection_are_all_answered(impatient: LiveServer) -> None:
    slide = jpeg_slide()
    with httpx.Client(base_url=impatient.url) as client:
        store(client, slide)
        statuses = {client.get(f"{path_of(slide)}/frames/1").status_code for _ in range(50)}
    assert statuses == {200}


def test_a_body_of_a_get_spoils_nothing(impatient: LiveServer) -> None:
    slide = jpeg_slide()
    with httpx.Client(base_url=impatient.url) as client:
        store(client, slide)
        frame = f"{path_of(slide)}/frames/1"
        assert client.get(frame).status_code == 200  # from memory from now on
    for path in (frame, f"{path_of(slide)}/metadata"):
        request = b"GET " + path.encode() + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: 3\r\n"
        last = b"GET /health/live HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
        with connect(impatient) as connection:
            connection.sendall(request + b"\r\nabc" + request + b"\r\nGET" + last)
            answer = rest_of(connection)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.endswith(b'{"status":"live"}')


def test_a_head_of_a_frame_reads_nothing_of_it(impatient: LiveServer) -> None:
    slide = jpeg_slide()
    with httpx.Client(base_url=impatient.url) as client:
        store(client, slide)
        frame = f"{path_of(slide)}/frames/1"
        got = client.get(frame)
        # Whatever reads the blob fails from now on.
        for path in (impatient.archive.settings.data_dir / "blobs").rglob("*.dcm"):
            path.write_bytes(b"")
        head = client.head(frame)
        assert head.status_code == 200
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["etag"] == got.headers["etag"]
        assert client.head(f"{path_of(slide)}/frames/1,2").status_code == 200
        assert client.head(path_of(slide)).status_code == 200
        assert client.head(f"{path_of(slide)}/frames/9999").status_code == 404
