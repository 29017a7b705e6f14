"""Ranges of objects, asked for with as little work as can be: how blobs elsewhere give frames.

The SDK takes 0.56 ms of processor time for such a request, and so does urllib3 most of it: signing,
and header fields made into objects. Here a signature is used again for some minutes (the Range
field is none of what has to be signed), and the answer goes from the socket into its buffer. That
is all this does: whatever is not plainly the range that was asked for is left to the SDK, which
tries again, and knows how to say what is wrong.
"""

import re
import socket
import ssl
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

import httptools
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

from archive.blobs.location import ObjectLocation
from archive.model.frames import ByteSpan

SIGNATURE_SECONDS = 300.0
"""A signature is used again for so long; servers believe one for fifteen minutes."""

_REMEMBERED_SIGNATURES = 4096
_RECEIVE_BYTES = 64 * 1024
_MAXIMUM_HEAD_BYTES = 64 * 1024
_NO_BODY_SHA256 = sha256(b"").hexdigest()
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class RangeRead:
    """What came of a ranged read."""

    content: memoryview
    """Fewer bytes than were asked for where the blob ends before."""
    blob_size: int
    """Bytes of the whole blob."""


class _Refused(Exception):
    """The answer is not the range that was asked for."""


class RangeClient:
    """Reads ranges over connections that are kept open. Safe between threads.

    Parameters
    ----------
    location
        Where the objects are, and with which keys.
    connections
        So many idle ones are kept; there are as many at work as threads ask.
    connect_seconds, read_seconds
        How long is waited for a connection, and for the next bytes of an answer.
    """

    def __init__(
        self,
        location: ObjectLocation,
        *,
        connections: int,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        endpoint = urlsplit(location.endpoint)
        self._location = location
        self._netloc = endpoint.netloc
        self._host = endpoint.hostname or ""
        self._tls = ssl.create_default_context() if endpoint.scheme == "https" else None
        self._port = endpoint.port or (80 if self._tls is None else 443)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: deque[socket.socket] = deque()
        self._connections = connections
        self._heads: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, span: ByteSpan) -> RangeRead | None:
        """Read a range of the object `name`; None when that has to be left to the SDK.

        Parameters
        ----------
        name
            Of characters that mean nothing in an URL.
        span
            Not empty. It may end behind the object.

        Raises
        ------
        TimeoutError
            When the server is silent for too long. Asking once more would not mend that.
        """
        request = b"%bRange: bytes=%d-%d\r\n\r\n" % (self._head(name), span.offset, span.end - 1)
        while True:
            connection, is_new = self._idle_one(), False
            if connection is None:
                connection, is_new = self._connect(), True
            if connection is None:
                return None
            try:
                found, keep = _exchange(connection, request, span)
            except _Refused:
                connection.close()
                return None
            except (ConnectionError, ssl.SSLError, httptools.HttpParserError):
                connection.close()
                if is_new:
                    return None
                self.close()  # the server has let go of what was idle: try with a new one
                continue
            except BaseException:
                connection.close()
                raise
            self._give_back(connection, keep=keep)
            return found

    def close(self) -> None:
        """Close the idle connections."""
        while (connection := self._idle_one()) is not None:
            connection.close()

    def _idle_one(self) -> socket.socket | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> socket.socket | None:
        """Open a connection; None when the server refuses."""
        try:
            connection = socket.create_connection((self._host, self._port), self._connect_seconds)
        except TimeoutError:
            raise
        except OSError:
            return None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
            connection.settimeout(self._read_seconds)
        except OSError:
            connection.close()
            return None
        return connection

    def _give_back(self, connection: socket.socket, *, keep: bool) -> None:
        if keep and len(self._idle) < self._connections:
            self._idle.append(connection)
        else:
            connection.close()

    def _head(self, name: str) -> bytes:
        """Give all of a signed request but its range."""
        now = time.monotonic()
        with self._lock:
            kept = self._heads.get(name)
        if kept is not None and now < kept[1]:
            return kept[0]
        head = self._sign(name)
        with self._lock:
            self._heads[name] = (head, now + SIGNATURE_SECONDS)
            while len(self._heads) > _REMEMBERED_SIGNATURES:
                self._heads.popitem(last=False)
        return head

    def _sign(self, name: str) -> bytes:
        location, date = self._location, datetime.now(UTC)
        path = f"/{location.bucket}/{name}"
        fields = sign_v4_s3(
            method="GET",
            url=urlsplit(f"{location.endpoint}{path}"),
            region=location.region,
            headers={
                "Host": self._netloc,
                "x-amz-content-sha256": _NO_BODY_SHA256,
                "x-amz-date": date.strftime("%Y%m%dT%H%M%SZ"),
            },
            credentials=Credentials(location.access_key, location.secret_key),
            content_sha256=_NO_BODY_SHA256,
            date=date,
        )
        lines = [f"GET {path} HTTP/1.1", *(f"{field}: {text}" for field, text in fields.items())]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")


class _Answer:
    """Takes the head of an answer from the parser, and what came of its body along with it."""

    def __init__(self) -> None:
        self.length: int | None = None
        self.range: tuple[int, int, int] | None = None
        self.keep = True
        self.is_headed = False
        self.is_plain = True
        self.body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what matters."""
        field = name.lower()
        if field == b"content-length":
            self.length = int(value) if value.isdigit() else None
        elif field == b"content-range":
            match = _CONTENT_RANGE.fullmatch(value)
            if match is not None:
                first, last, size = map(int, match.groups())
                self.range = first, last, size
        elif field == b"connection":
            self.keep = value.lower() != b"close"
        elif field in {b"content-encoding", b"transfer-encoding"}:
            self.is_plain = False

    def on_headers_complete(self) -> None:
        """Note that the head is whole."""
        self.is_headed = True

    def on_body(self, body: bytes) -> None:
        """Keep what came with the head."""
        self.body.append(body)


def _exchange(connection: socket.socket, request: bytes, span: ByteSpan) -> tuple[RangeRead, bool]:
    """Ask and read the answer; gives it, and whether the connection can be used again."""
    connection.sendall(request)
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    received = 0
    while not answer.is_headed:
        some = connection.recv(_RECEIVE_BYTES)
        received += len(some)
        if not some or received > _MAXIMUM_HEAD_BYTES + _RECEIVE_BYTES:
            raise ConnectionError
        parser.feed_data(some)
    is_partial = parser.get_status_code() == _PARTIAL_CONTENT
    if not is_partial or not answer.is_plain or answer.range is None:
        raise _Refused
    first, last, size = answer.range
    length = last + 1 - first
    if first != span.offset or last != min(span.end, size) - 1 or answer.length != length:
        raise _Refused
    content = memoryview(bytearray(length))
    at = 0
    for some in answer.body:
        content[at : at + len(some)] = some
        at += len(some)
    while at < length:
        count = connection.recv_into(content[at:])
        if count == 0:
            raise ConnectionError
        at += count
    return RangeRead(content, size), answer.keep
