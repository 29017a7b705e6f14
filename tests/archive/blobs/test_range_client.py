"""Ranged reads over connections that are kept: from a real MinIO, and from servers that are odd."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archive.blobs import ObjectLocation
from archive.blobs.range_client import RangeClient
from archive.model.frames import ByteSpan
from tests.support.minio_server import MinioServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = os.urandom(300_000)
NAME = "folder/object.dcm"
SPAN = ByteSpan(10, 5)


def client_of(location: ObjectLocation, *, seconds: float = 10.0) -> RangeClient:
    return RangeClient(location, connections=4, connect_seconds=2.0, read_seconds=seconds)


def keep(server: MinioServer, tmp_path: Path) -> ObjectLocation:
    location = server.bucket()
    file = tmp_path / "content"
    file.write_bytes(CONTENT)
    server.client().fput_object(location.bucket, NAME, str(file))
    return location


@contextmanager
def answering(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[ObjectLocation]:
    """Run a server that answers each request of its connections with the next of `answers`.

    An empty answer is silence; one connection after the other, closed when answers run out.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    rest = list(answers)
    silent = threading.Event()

    def serve() -> None:
        while rest:
            connection, _ = listener.accept()
            if tls is not None:
                try:
                    connection = tls.wrap_socket(connection, server_side=True)
                except OSError:  # who calls does not trust us, or only wants us to end
                    continue
            with connection:
                while rest and b"\r\n\r\n" in connection.recv(65536):
                    answer = rest.pop(0)
                    if not answer:
                        silent.wait(10)
                    connection.sendall(answer)
                    if b"hang up" in answer:
                        break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ObjectLocation(
            f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}",
            "bucket",
            "",
            "key",
            "secret",
            "region",
        )
    finally:
        silent.set()
        rest.clear()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


def head(*fields: str, status: str = "206 Partial Content") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, "")).encode()


GOOD = head("Content-Length: 5", "Content-Range: bytes 10-14/1000") + b"12345"


def test_a_range_is_read_and_the_blob_s_size_told(
    minio_server: MinioServer, tmp_path: Path
) -> None:
    client = client_of(keep(minio_server, tmp_path))
    for span in (ByteSpan(0, 1), ByteSpan(1000, 17_000), ByteSpan(0, len(CONTENT))):
        found = client.get(NAME, span)
        assert found is not None
        assert bytes(found.content) == CONTENT[span.offset : span.end]
        assert found.blob_size == len(CONTENT)
    client.close()


def test_a_range_past_the_end_gives_what_there_is(
    minio_server: MinioServer, tmp_path: Path
) -> None:
    client = client_of(keep(minio_server, tmp_path))
    found = client.get(NAME, ByteSpan(299_990, 1000))
    assert found is not None
    assert bytes(found.content) == CONTENT[-10:]
    client.close()


def test_what_the_store_refuses_is_left_to_the_sdk(
    minio_server: MinioServer, tmp_path: Path
) -> None:
    location = keep(minio_server, tmp_path)
    for at, name, span in (
        (location, "folder/nothing.dcm", SPAN),
        (location, NAME, ByteSpan(len(CONTENT), 1)),
        (replace(location, secret_key="another-secret"), NAME, SPAN),
        (replace(location, bucket="nobody-made-it"), NAME, SPAN),
    ):
        client = client_of(at)
        assert client.get(name, span) is None
        client.close()


def test_connections_that_a_restart_broke_are_replaced(tmp_path: Path) -> None:
    with MinioServer(tmp_path / "minio" / "data") as server:
        location = keep(server, tmp_path)
        client = client_of(location)
        threads = [threading.Thread(target=client.get, args=(NAME, SPAN)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.stop()
        assert client.get(NAME, SPAN) is None
        server.start()
        server.client().stat_object(location.bucket, NAME)  # patient while it wakes up
        found = client.get(NAME, SPAN)
        assert found is not None
        assert bytes(found.content) == CONTENT[10:15]
        client.close()


def test_nobody_there_is_left_to_the_sdk(minio_bucket: ObjectLocation) -> None:
    nowhere = replace(minio_bucket, endpoint=f"http://127.0.0.1:{free_port()}")
    assert client_of(nowhere).get(NAME, SPAN) is None


def test_one_connection_serves_one_request_after_the_other() -> None:
    with answering(GOOD, GOOD, GOOD) as location:
        client = client_of(location)
        for _ in range(3):
            found = client.get(NAME, SPAN)
            assert found is not None
            assert bytes(found.content) == b"12345"
        client.close()


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    last = head("Content-Length: 5", "Content-Range: bytes 10-14/1000", "X-Then: hang up")
    with answering(last + b"12345", GOOD) as location:
        client = client_of(location)
        assert client.get(NAME, SPAN) is not None
        assert client.get(NAME, SPAN) is not None
        client.close()


@pytest.mark.parametrize(
    "answer",
    [
        head("Content-Length: 9", status="200 OK") + b"all of it",
        head("Content-Length: 0", status="503 Service Unavailable"),
        head("Content-Length: 5") + b"12345",
        head("Content-Length: 5", "Content-Range: bytes 11-15/1000") + b"12345",
        head("Content-Length: 6", "Content-Range: bytes 10-15/1000") + b"123456",
        head("Content-Length: 4", "Content-Range: bytes 10-13/1000") + b"1234",
        head("Content-Length: 4", "Content-Range: bytes 10-14/1000") + b"1234",
        head("Content-Length: 5", "Content-Range: bytes 10-14/*") + b"12345",
        head("Content-Length: x", "Content-Range: bytes 10-14/1000") + b"12345",
        head("Transfer-Encoding: chunked", "Content-Range: bytes 10-14/1000") + b"5\r\n12345\r\n",
        head("Content-Length: 5", "Content-Encoding: gzip", "Content-Range: bytes 10-14/1000")
        + b"12345",
        head("Content-Length: 5", "Content-Range: bytes 10-14/1000", "X-Then: hang up") + b"123",
        b"SSH-2.0-OpenSSH hang up\r\n",
        head("X-Long: " + "x" * 300_000),
    ],
)
def test_an_answer_that_is_not_the_range_is_left_to_the_sdk(answer: bytes) -> None:
    with answering(answer) as location:
        client = client_of(location)
        assert client.get(NAME, SPAN) is None
        client.close()


def test_a_silent_server_is_not_waited_for_forever() -> None:
    with answering(b"") as location, pytest.raises(TimeoutError):
        client_of(location, seconds=0.2).get(NAME, SPAN)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of our own for 127.0.0.1, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path / "server.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {tmp_path}/key -out {path}"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "key").read_bytes())
    return path


def test_a_store_is_read_over_tls_and_its_certificate_is_checked(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    last = head("Content-Length: 5", "Content-Range: bytes 10-14/1000", "X-Then: hang up")
    with answering(GOOD, last + b"12345", GOOD, tls=tls) as location:
        assert client_of(location).get(NAME, SPAN) is None  # nobody here knows who signed it
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        client = client_of(location)
        for _ in range(3):
            found = client.get(NAME, SPAN)
            assert found is not None
            assert bytes(found.content) == b"12345"
        client.close()
