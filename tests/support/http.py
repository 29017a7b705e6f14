"""The real application on a real uvicorn server, over a real archive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from archive.catalog.database import Database
from archive.settings import AuthMode, Settings
from auth import Principal
from auth.tokens import Tokens
from dicomweb.app import create_app
from dicomweb.serving import Server, limits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.archive import Archive
    from archive.blobs.location import ObjectLocation
    from dicomweb.protocol import Limits
    from tests.support.dicom_files import MadeFile

BOUNDARY = "the-boundary-of-tests"


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that listens on this machine."""

    host: str
    port: int
    archive: Archive

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def dicomweb(self) -> str:
        """Base URL of the DICOMweb service."""
        return f"{self.url}/dicomweb"

    def raw(self, request: bytes, *, half_close: bool = False, timeout: float = 20.0) -> bytes:
        """Send bytes over a socket of its own and give all that comes back until it is closed."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
            return bytes(received)


@contextlib.contextmanager
def running(settings: Settings, limits: Limits | None = None) -> Iterator[LiveServer]:
    """Serve the application from a thread of this process until the block ends."""
    app = create_app(settings)
    server = Server(app, limits or limits_of(settings))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
        )
        thread.start()
        try:
            _wait_until_live(port, thread)
            yield LiveServer("127.0.0.1", port, app.state.services.archive)
        finally:
            server.should_exit = True
            thread.join(timeout=20)


def _wait_until_live(port: int, thread: threading.Thread) -> None:
    for _ in range(600):
        if not thread.is_alive():
            pytest.fail("the server ended before it answered")
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5)
            return
        threading.Event().wait(0.05)
    pytest.fail("the server did not answer within 30 s")


def multipart(*parts: bytes, part_type: str = "application/dicom") -> bytes:
    """Make the body of a store request."""
    body = b"".join(
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), part_type.encode(), part)
        for part in parts
    )
    return body + b"--%s--\r\n" % BOUNDARY.encode()


STORE_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
"""Content-Type that goes with `multipart`."""


def parts_of(response: httpx.Response) -> list[tuple[str, bytes]]:
    """Take a multipart response apart: Content-Type and content of each part."""
    boundary = response.headers["content-type"].rpartition("boundary=")[2].strip('"').encode()
    delimiter = b"\r\n--" + boundary
    pieces = (b"\r\n" + response.content).split(delimiter)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        header, _, content = piece.partition(b"\r\n\r\n")
        fields = [line.partition(b": ") for line in header.strip().split(b"\r\n")]
        assert fields[0][0] == b"Content-Type"
        for name, _, value in fields[1:]:
            assert name != b"Content-Length" or int(value) == len(content)
        parts.append((fields[0][2].decode(), content))
    return parts


def store(client: httpx.Client, *files: MadeFile, **headers: str) -> httpx.Response:
    """Store files by STOW-RS."""
    return client.post(
        "/dicomweb/studies",
        content=multipart(*(file.content for file in files)),
        headers={"content-type": STORE_TYPE, **headers},
    )


def path_of(file: MadeFile) -> str:
    """Give the path of a made file's instance."""
    dataset = file.dataset
    return (
        f"/dicomweb/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def make_token(settings: Settings, name: str, role: str) -> str:
    """Make an API token and give its secret."""
    assert settings.database_url is not None
    url = make_url(settings.database_url.get_secret_value())
    with Database(url.set(drivername="postgresql+psycopg"), connections=2) as database:
        return Tokens(database.sessions).create(name, role, by=Principal.operator())[1]


def changed(settings: Settings, **values: object) -> Settings:
    """Give the same settings with other values, checked like any."""
    given: dict[str, Any] = {**settings.model_dump(), **values}
    return Settings(**given)


def in_bucket(settings: Settings, bucket: ObjectLocation) -> Settings:
    """Give the same settings with the blobs in a bucket."""
    return changed(
        settings,
        blobs=f"s3://{bucket.bucket}/{bucket.prefix}".rstrip("/"),
        s3_endpoint=bucket.endpoint,
        s3_access_key=bucket.access_key,
        s3_secret_key=SecretStr(bucket.secret_key),
    )


def requiring_tokens(settings: Settings) -> Settings:
    """Give the same settings with authentication required."""
    return changed(settings, auth=AuthMode.REQUIRED)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with everything embedded, shared by tests: what they store has UIDs of its own."""
    with running(Settings(data_dir=tmp_path_factory.mktemp("served"))) as server:
        yield server


@pytest.fixture
def client(live: LiveServer) -> Iterator[httpx.Client]:
    """A client of `live`."""
    with httpx.Client(base_url=live.url, timeout=60) as client:
        yield client
