"""An HTTP client that sends exactly what a check says, and changes nothing of what comes back.

The standard library's connection, because the clients that people use add headers of their own,
clean up paths, follow redirects and unpack bodies: all of that is what is being looked at here.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from conformance.checks.multipart import Part, split
from conformance.checks.registry import Failed, Gone

SECONDS = 30.0
"""How long one answer may take."""
RESTART_SECONDS = 15.0
"""How long a service that has gone is waited for."""
SHOWN = 200
"""Characters of a body that a failure quotes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered."""

    request: str
    """Method and target, for messages."""
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give a header field; several of one name are joined as RFC 9110 §5.3 says."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case; empty when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def json(self) -> Any:  # noqa: ANN401 - whatever the service wrote
        """Read the body as JSON; `Failed` when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failed(f"{self.request}: the body is not JSON: {self.quoted}") from error

    @property
    def parts(self) -> list[Part]:
        """The parts of a multipart body; `Failed` when it is none, or not well formed."""
        return split(self.request, self.header("content-type") or "", self.body)

    @property
    def quoted(self) -> str:
        """The beginning of the body, for messages."""
        return repr(self.body[:SHOWN])

    def __str__(self) -> str:
        return f"{self.request} was answered with {self.status} {self.content_type}".rstrip()


type Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Service:
    """A DICOMweb service under one base URL.

    Parameters
    ----------
    url
        Base URL of the Studies Service.
    token
        Sent as a bearer token with every request, when given.
    headers
        Sent with every request, for services that want something else.
    verify
        Whether the certificate of an https URL is checked.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool = True,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None:
            raise ValueError(f"not an http or https URL: {url}")
        self.url = url.rstrip("/")
        self.base = parts.path.rstrip("/")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self._context = _context(verify=verify) if parts.scheme == "https" else None
        self._standing = dict(headers or {})
        if token:
            self._standing["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None
        self._has_answered = False

    def get(
        self, path: str, accept: str | None = None, *, query: str = "", **headers: str
    ) -> Answer:
        """Ask for what lies below the base URL; `query` goes as it is."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept is not None:
            given["Accept"] = accept
        return self.send("GET", path + (f"?{query}" if query else ""), given)

    def send(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes | Iterable[bytes] | None = None,
        *,
        anonymous: bool = False,
    ) -> Answer:
        """Send one request; a body that is no bytes goes in chunks.

        A path that begins with ``http`` is the URL of something that the service named. A request
        is sent again once when the connection turns out to have been closed meanwhile.
        """
        target = self.target(path)
        fields = list(headers.items() if isinstance(headers, Mapping) else headers)
        standing = {} if anonymous else self._standing
        fields = [*standing.items(), *fields]
        request = f"{method} {target.removeprefix(self.base) or '/'}"
        if len(request) > SHOWN:
            request = request[:SHOWN] + "…"
        for again in (False, True):
            try:
                return self._once(request, method, target, fields, body)
            except ConnectionRefusedError as error:
                self._wait(request, error)
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                self.close()
                if again or not (body is None or isinstance(body, bytes)):
                    raise Failed(f"{request}: no answer: {error}") from error
            except (TimeoutError, http.client.HTTPException) as error:
                self.close()
                raise Failed(f"{request}: no answer: {type(error).__name__} {error}") from error
        raise Failed(f"{request}: no answer: the service is gone")

    def target(self, path: str) -> str:
        """Give the request target of a path below the base URL, or of a URL of this service."""
        if not path.startswith("http"):
            return self.base + path
        parts = urlsplit(path)
        if parts.hostname != self.host or (parts.port or self.port) != self.port:
            raise Failed(f"{path} is not an address of this service ({self.url})")
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def raw(self, request: bytes, *, seconds: float = 5.0, half_close: bool = False) -> bytes:
        """Send bytes over a connection of its own; give what comes until it is closed, or silent.

        ``@BASE@`` and ``@HOST@`` stand for the base path and the authority, and a line
        ``@STANDING@`` for the headers that every request has.
        """
        standing = "".join(f"{name}: {value}\r\n" for name, value in self._standing.items())
        for word, meant in (
            ("@BASE@", self.base),
            ("@HOST@", self.authority),
            ("@STANDING@\r\n", standing),
        ):
            request = request.replace(word.encode(), meant.encode())
        received = bytearray()
        try:
            with socket.create_connection((self.host, self.port), timeout=seconds) as plain:
                connection = plain
                if self._context is not None:
                    connection = self._context.wrap_socket(plain, server_hostname=self.host)
                connection.sendall(request)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline and (chunk := connection.recv(65536)):
                    received += chunk
        except OSError:
            pass  # closed or silent: what had come by then is the answer
        return bytes(received)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(
        self,
        request: str,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
    ) -> Answer:
        connection = self._open()
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in fields:
            connection.putheader(name, value.encode("utf-8"))
        chunked = not (body is None or isinstance(body, bytes))
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        elif chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        content = response.read()
        self._has_answered = True
        answer = Answer(request, response.status, response.getheaders(), content)
        if response.will_close:
            self.close()
        return answer

    def _wait(self, request: str, error: OSError) -> None:
        """Wait for a service that somebody starts again; `Gone` when nobody does."""
        self.close()
        deadline = time.monotonic() + RESTART_SECONDS
        while self._has_answered and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.25)
            else:
                return
        raise Gone(f"{request}: nobody listens there any more") from error

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(
                    self.host, self.port, timeout=SECONDS, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        return self._connection


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
