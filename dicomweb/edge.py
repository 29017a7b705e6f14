"""The outermost layer: what holds for every request and every answer, whatever becomes of it.

Errors become problems here, answers are counted, HEAD and OPTIONS are answered from GET and the
router, and CORS (Fetch Standard §3.2) and the security headers are set on everything, errors too.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive import cancellation
from archive.errors import Abandoned
from dicomweb import problems
from dicomweb.immediate import Fields, FixedFields, ImmediateAnswer
from dicomweb.metrics import Metrics
from dicomweb.problems import Busy
from dicomweb.protocol import REFUSAL
from dicomweb.responses import HEAD, ResponseCut

access_log = logging.getLogger("dicomweb.access")

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_EXPOSED = (
    "Content-Length, Content-Location, Content-Range, Content-Type, ETag, Location, Retry-After, "
    "Warning, WWW-Authenticate"
)
_ALLOWED_HEADERS = (
    "accept, accept-language, authorization, content-encoding, content-language, content-type, "
    "deletion-reason, if-match, if-none-match, range, x-requested-with"
)
_PREFLIGHT_SECONDS = "7200"  # the most that Chromium believes
_ALWAYS = "/health/"
"""Paths that are answered however much there is to do: whoever asks there may end the process."""
_LONG_WAY = frozenset(
    {b"if-none-match", b"if-match", b"range", b"expect", b"content-length", b"transfer-encoding"}
)
"""Fields with which a request is not answered at once."""
_KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}


class DirectRoute(Protocol):
    """A route that is tried before all others, without the framework's layers."""

    app: ASGIApp

    path: str

    def takes(self, scope: Scope) -> bool:
        """Tell whether the request is for this route."""
        ...

    def now(self, target: bytes, fields: Mapping[bytes, bytes]) -> ImmediateAnswer | None:
        """Answer a GET at once, or not at all."""
        ...


class Edge:
    """ASGI application around the whole of another.

    Parameters
    ----------
    direct
        A route of the application that is tried first: its requests pass none of the layers in
        between, which cost several times more than answering with a frame does.
    allowed
        Gives the methods that a path has; none for a path that there is not.
    cors_origins
        Origins whose pages may call us; `*` is any.
    requests_at_once
        Requests that are answered at the same time; others are told to come back.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: DirectRoute,
        metrics: Metrics,
        allowed: Callable[[Scope], Collection[str]],
        cors_origins: Collection[str],
        requests_at_once: int,
    ) -> None:
        self._app = app
        self._direct = direct
        self._metrics = metrics
        self._allowed = allowed
        self._origins = frozenset(cors_origins)
        self._most = requests_at_once
        self._under_way = 0
        self._nosniff = FixedFields([_NOSNIFF])
        self._tally = metrics.frame_tally(direct.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        is_head = scope["method"] == "HEAD"
        if is_head:
            # The copy is for us: the server must go on knowing that no body may follow.
            scope = {**scope, "method": "GET", HEAD: True}
        extra = self._extra_headers(scope["headers"])
        status = sent = 0

        async def sending(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += extra
                if is_head:  # nothing of the body is read or made that is not made already
                    await send(message)
                    await send({"type": "http.response.body"})
                    raise ResponseCut
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._under_way += 1
        try:
            await self._respond(scope, receive, sending)
        except ResponseCut:
            pass
        except Exception as error:  # noqa: BLE001 — the one place where everything ends
            response = problems.answer(error)
            if status == 0:
                with contextlib.suppress(ResponseCut):
                    await response(scope, receive, sending)
            # Else the body stays unfinished: the server closes the connection, and the client
            # sees that the length is not what it was told.
        finally:
            self._under_way -= 1
            route = getattr(scope.get("route"), "path", None) or "(none)"
            method = "HEAD" if is_head else scope["method"]
            self._count(route, method, status, started, sent)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state")
        if state and REFUSAL in state:
            raise state[REFUSAL]
        if self._under_way > self._most and not scope["path"].startswith(_ALWAYS):
            raise Busy("as many requests are under way as this server answers at a time")
        if self._direct.takes(scope):
            scope["route"] = self._direct
            await self._direct.app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and not self._is_described(scope):
            await self._options(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_described(self, scope: Scope) -> bool:
        """Tell whether OPTIONS is a method of the resource itself, and this is no preflight."""
        preflight = any(name == b"access-control-request-method" for name, _ in scope["headers"])
        return not preflight and "OPTIONS" in self._allowed(scope)

    def _options(self, scope: Scope) -> Response:
        """Answer OPTIONS for any path, a browser's preflight among them: it carries no token."""
        methods = ", ".join(sorted({*self._allowed(scope), "OPTIONS"}))
        headers = {"Allow": methods}
        asked = Headers(scope=scope)
        if "access-control-request-method" in asked and self._cors(scope["headers"]):
            headers |= {
                "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE, OPTIONS",
                "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
            }
        return Response(status_code=204, headers=headers)

    def now(self, target: bytes, fields: Fields) -> ImmediateAnswer | None:
        """Answer a GET at once where that can be done (see `immediate.AnswersNow`)."""
        started = time.perf_counter()
        by_name = dict(fields)
        if len(by_name) != len(fields) or not _LONG_WAY.isdisjoint(by_name):
            return None
        try:
            answer = self._direct.now(target, by_name)
        except Exception:  # noqa: BLE001 — the long way meets it again, and tells
            return None
        if answer is None:
            return None
        answer.edge = (
            self._nosniff if not self._origins else FixedFields(self._extra_headers(fields))
        )
        self._tally.add(time.perf_counter() - started, len(answer.body))
        return answer

    def _extra_headers(self, fields: Fields) -> list[tuple[bytes, bytes]]:
        if not self._origins:
            return [_NOSNIFF]
        return [_NOSNIFF, *self._cors(fields)]

    def _cors(self, fields: Fields) -> list[tuple[bytes, bytes]]:
        """Give the CORS headers for the origin that is asking; none for one that may not."""
        origin = next((value for name, value in fields if name == b"origin"), None)
        vary = (b"vary", b"Origin")
        if "*" in self._origins:
            allowed = b"*"
        elif origin is None or origin.decode("latin-1") not in self._origins:
            return [vary] if self._origins else []
        else:
            allowed = origin
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _EXPOSED.encode()),
            # A page under COEP may then draw our pictures.
            (b"cross-origin-resource-policy", b"cross-origin"),
            vary,
        ]

    def _count(self, route: str, method: str, status: int, started: float, sent: int) -> None:
        method = method if method in _KNOWN_METHODS else "OTHER"
        seconds = time.perf_counter() - started
        self._metrics.answered(method, route, status, seconds, sent)
        if access_log.isEnabledFor(logging.DEBUG):
            # The template, not the path: a query string holds patients' names.
            access_log.debug("%s %s %d %d bytes %.4f s", method, route, status, sent, seconds)


class Problems:
    """ASGI middleware inside of the framework: errors become problems before it makes them 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ResponseCut:
            raise
        except Exception as error:
            if started:  # the edge cuts the answer off, or answers if nothing has left us yet
                raise
            await problems.answer(_own(error))(scope, receive, sending)


def _own(error: Exception) -> Exception:
    """Give the error as it concerns this request: work may be done for several at a time."""
    known = cancellation.current.get()
    if isinstance(error, Abandoned) and (known is None or known.error is None):
        return Busy("the request that this one waited for was given up")
    return error


class WithoutQuery(logging.Filter):
    """Takes the query string out of uvicorn's access log: it holds patients' names."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's path; let it through."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                re.sub(r"\?.*", "?…", one, flags=re.DOTALL) if isinstance(one, str) else one
                for one in record.args
            )
        return True
