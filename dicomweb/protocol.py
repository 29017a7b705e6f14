"""HTTP/1.1 on the wire, within bounds (RFC 9112).

uvicorn's protocol leaves the length of a request's header and the time that a client takes for
anything to whoever stands before it. Here both have limits, and what comes too large, too slowly or
not as HTTP is answered with a problem, then the connection ends. The server looks at every
connection once a second (`BoundedProtocol.sweep`), so that a request costs no timer.
"""

import itertools
import logging
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, override

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from archive.errors import MalformedRequest
from dicomweb import problems
from dicomweb.problems import Busy, CodingUnknown, HeaderTooLarge, RequestTimeout, TargetTooLong

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application

logger = logging.getLogger(__name__)

REFUSAL = "refusal"
"""Key in the scope's state: why a request is refused for its header alone (an exception)."""
_LOOKED_AT = 1000
"""Connections among which an idle one is looked for when all are taken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take of one process, in bytes and seconds.

    A request whose header is 32 KiB is far beyond what is sent in the field, lists of thousands
    of frames included; nginx takes 8 KiB unless told otherwise.
    """

    connections: int = 16_384
    """Open at a time; a new one takes the place of an idle one."""
    target_bytes: int = 32 * 1024
    """Path and query, in bytes."""
    header_bytes: int = 32 * 1024
    """All fields of a header together, in bytes."""
    header_fields: int = 128
    """Fields of a header."""
    pipelined: int = 64
    """Requests that wait behind one that is being answered (RFC 9112 §9.3.2)."""
    header_seconds: float = 20.0
    """From the first byte of a request to the end of its header."""
    idle_seconds: float = 75.0
    """Between two requests. Longer than proxies keep a connection (nginx: 60 s), so that they close
    it, not we."""
    stall_seconds: float = 30.0
    """In which a client has to send or take `progress_bytes`, while we wait for it."""
    progress_bytes: int = 16 * 1024
    """Bytes; with `stall_seconds` half a kibibyte a second, slower than any modem."""
    linger_seconds: float = 5.0
    """Between our last byte and the end: whoever still sends is to read the answer first
    (RFC 9112 §9.6)."""


class BoundedState(ServerState):
    """What the connections of a server share."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.refused = 0
        """Connections refused because all were taken, since that was logged last."""


class _Wait(Enum):
    """What a connection waits for."""

    REQUEST = auto()
    HEADER = auto()
    BODY = auto()
    UNWANTED_BODY = auto()  # the answer is out already
    US = auto()
    READER = auto()
    END = auto()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over llhttp, with bounds. The server has to be `serving.Server`."""

    server_state: BoundedState
    _in_header = False
    _complete = True  # all of the request has come
    _refused = False  # nothing that still comes is read
    _keeps_alive = False
    _silent = 0  # bytes that came since the last that led to anything
    _received = 0
    _begun = 0
    _pauses = 0
    _hosts = 0
    _coding: bytes | None = None
    _running: RequestResponseCycle | None = None
    _seen: tuple[_Wait, int, int] | None = None
    _seen_since = 0.0

    @override
    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]
        """Take a connection, or say that there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.server_state.limits.connections and not self._make_room():
            self.server_state.refused += 1
            self._answer(Busy("as many connections are open as this server takes"))
            self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered that nobody waits for it any more."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        """Take what came from the wire."""
        if self._refused:
            return
        self._silent += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse(MalformedRequest("this is not HTTP/1.1 as RFC 9112 has it"), error)
            return
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here; it is answered as HTTP/1.1 (RFC 9110 §7.8)
        limits = self.server_state.limits
        if self._silent > limits.header_bytes + limits.target_bytes:
            self._refuse(self._too_long())

    @override
    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_header = True
        self._complete = False
        self._begun += 1
        self._hosts = 0
        self._coding = None

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the header; those behind a body mean nothing (RFC 9110 §6.5.1)."""
        if not self._in_header:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding":
            self._coding = value if self._coding is None else self._coding + b"," + value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    @override
    def on_headers_complete(self) -> None:
        """Begin to answer, unless the header alone is reason to refuse."""
        self._in_header = False
        if len(self.pipeline) >= self.server_state.limits.pipelined:
            raise MalformedRequest("too many requests were sent ahead")
        error = self._refusal()
        self._silent = 0
        if error is not None:
            # Answered by the application all the same, so that it is counted, and a page in a
            # browser is allowed to read it.
            self.scope["state"][REFUSAL] = error
        super().on_headers_complete()
        self._keeps_alive = self.cycle.keep_alive and error is None
        if error is not None or self.expect_100_continue:
            # Whether a body follows an answer that came instead of 100 cannot be known
            # (RFC 9110 §10.1.1): the connection ends, unless the body has come by then.
            self.cycle.keep_alive = False

    @override
    def on_body(self, body: bytes) -> None:
        """Take bytes of a body."""
        self._silent = 0
        self._received += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        """End a request."""
        self._silent = 0
        self._complete = True
        if self.expect_100_continue and not self.cycle.response_started:
            self.cycle.keep_alive = self._keeps_alive
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        """Go on with what was sent ahead; without the timer that uvicorn sets here."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @override
    def pause_writing(self) -> None:
        """Note that the client reads more slowly than we write."""
        self._pauses += 1
        super().pause_writing()

    def sweep(self, now: float) -> None:
        """Give up on a client that we have waited for too long."""
        seen = self._waits()
        if seen != self._seen:
            self._seen = seen
            self._seen_since = now
            return
        wait = seen[0]
        if wait is _Wait.US or now - self._seen_since < self._patience(wait):
            return
        if wait is _Wait.HEADER:
            self._refuse(RequestTimeout("the header of the request took too long"))
        elif wait is _Wait.BODY:
            self._refuse(RequestTimeout("the body of the request came too slowly"))
        elif wait in {_Wait.READER, _Wait.END}:
            self.transport.abort()  # what is written already would keep it open
        else:
            self.transport.close()

    def is_idle(self) -> bool:
        """Tell whether nothing was asked that is not answered."""
        return self._waits()[0] is _Wait.REQUEST

    def _waits(self) -> tuple[_Wait, int, int]:
        """Tell what is waited for, and two numbers that change as it goes on."""
        cycle, limits = self._running, self.server_state.limits
        if self.transport.is_closing():
            return _Wait.END, 0, 0
        if self.flow.write_paused:
            left = self.transport.get_write_buffer_size() // limits.progress_bytes
            return _Wait.READER, self._pauses, left
        if cycle is not None and not cycle.response_complete and not cycle.disconnected:
            awaits_body = cycle.more_body and cycle is self.cycle
            if not awaits_body or self.flow.read_paused or cycle.waiting_for_100_continue:
                return _Wait.US, self._begun, 0
            return _Wait.BODY, self._begun, self._received // limits.progress_bytes
        if self._refused:
            return _Wait.END, 0, 0
        if self._in_header:
            return _Wait.HEADER, self._begun, 0
        if not self._complete:
            return _Wait.UNWANTED_BODY, self._begun, 0
        return _Wait.REQUEST, self._begun, 0

    def _patience(self, wait: _Wait) -> float:
        limits = self.server_state.limits
        if wait is _Wait.REQUEST:
            return limits.idle_seconds
        if wait is _Wait.HEADER:
            return limits.header_seconds
        return limits.linger_seconds if wait is _Wait.END else limits.stall_seconds

    def _refusal(self) -> Exception | None:
        """Tell why a request is refused for its header alone."""
        limits = self.server_state.limits
        if len(self.url) > limits.target_bytes:
            return TargetTooLong(limits.target_bytes)
        if len(self.headers) > limits.header_fields:
            return HeaderTooLarge(f"the header has more than {limits.header_fields} fields")
        # More than so many bytes have to have come before any of it can be too large.
        if self._silent > limits.header_bytes:
            size = sum(len(name) + len(value) for name, value in self.headers)
            if size > limits.header_bytes:
                return self._too_long()
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            return MalformedRequest("a request has exactly one Host (RFC 9112 §3.2)")
        if self._coding is not None and self._coding.strip().lower() != b"chunked":
            return CodingUnknown("no Transfer-Encoding but chunked is known here")
        return None

    def _too_long(self) -> Exception:
        limits = self.server_state.limits
        if self._in_header and len(self.url) > limits.target_bytes:
            return TargetTooLong(limits.target_bytes)
        return HeaderTooLarge(f"the header has more than {limits.header_bytes} bytes")

    def _refuse(self, error: Exception, cause: Exception | None = None) -> None:
        """Answer what cannot go on, and read nothing of this connection any more."""
        logger.debug("refused: %s (%s)", error, type(cause).__name__ if cause else "no cause")
        self._refused = True
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            if not running.more_body:  # what came behind it is at fault, it is answered itself
                running.keep_alive = False
                return
            running.disconnected = True
            running.message_event.set()
            if running.response_started:
                self.transport.close()
                return
        self._answer(error)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _answer(self, error: Exception) -> None:
        """Write an answer past the application, which has not seen a request."""
        response = problems.answer(error)
        fields = [*self.server_state.default_headers, *response.raw_headers]
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        start = STATUS_LINE[response.status_code]
        self.transport.write(start + head + b"connection: close\r\n\r\n" + bytes(response.body))

    def _make_room(self) -> bool:
        """Close a connection that nobody uses; tells whether there was one."""
        for other in itertools.islice(self.connections, _LOOKED_AT):
            if other is not self and isinstance(other, BoundedProtocol) and other.is_idle():
                self.connections.discard(other)
                other.transport.close()
                return True
        return False
