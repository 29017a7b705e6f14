"""Errors as HTTP: the only mapping from what was raised to status and body (RFC 9457, PS3.18 §8.5).

The `type` of a problem is stable and may be programmed against; its `detail` is for people. What
nobody foresaw is answered with 500 and without its message, which could hold anything.
"""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from archive.errors import (
    Abandoned,
    BlobMissing,
    BlobsUnavailable,
    BulkDataNotFound,
    CannotRender,
    CannotTranscode,
    CatalogUnavailable,
    FixityFailure,
    FrameNotFound,
    Gone,
    InstanceConflict,
    InvalidInstance,
    MalformedIdentifier,
    MalformedQuery,
    MalformedRequest,
    NotAcceptable,
    NotFound,
    StagingFull,
    TookTooLong,
    TooLarge,
    UnsupportedMedia,
)
from auth import Forbidden, ForeignRequest, Unauthenticated
from auth.errors import TokensUnavailable
from dicomweb.responses import RangeNotSatisfiable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""What a client is asked to wait while the database or the blob store does not answer."""

logger = logging.getLogger(__name__)


class Busy(Exception):
    """As many requests of this kind as are allowed are under way."""


class RequestTimeout(Exception):
    """The request did not come in the time that there is for it (RFC 9110 §15.5.9)."""


class PreconditionFailed(Exception):
    """What the client makes its request hang on is not so (RFC 9110 §15.5.13)."""


class TargetTooLong(Exception):
    """Path and query are longer than is taken (RFC 9110 §15.5.15)."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"path and query are longer than {limit_bytes} bytes")


class HeaderTooLarge(Exception):
    """The header of a request is larger than is taken (RFC 6585 §5)."""


class CodingUnknown(Exception):
    """A transfer coding that is not known here (RFC 9112 §6.1)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table: how an error is answered."""

    status: int
    name: str
    """Last part of the stable `type`, and what the test of the table goes by."""
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)
    told: bool = True
    """Whether the message goes to the client."""
    alarm: bool = False
    """Whether somebody should be woken."""


_RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}

# An error is answered as the nearest of its classes says.
KINDS: Mapping[type[Exception], Kind] = {
    MalformedRequest: Kind(400, "malformed-request", "The request is not well formed"),
    MalformedQuery: Kind(400, "malformed-query", "A query parameter is not well formed"),
    MalformedIdentifier: Kind(400, "malformed-identifier", "An identifier is not a UID"),
    InvalidInstance: Kind(400, "invalid-instance", "The content is not a DICOM instance"),
    Unauthenticated: Kind(401, "unauthenticated", "A token is needed"),
    Forbidden: Kind(403, "forbidden", "A permission is lacking"),
    ForeignRequest: Kind(403, "foreign-request", "The request is not from this machine"),
    NotFound: Kind(404, "not-found", "There is no such resource"),
    Gone: Kind(410, "gone", "The resource has been deleted"),
    FrameNotFound: Kind(404, "frame-not-found", "The instance has no such frame"),
    BulkDataNotFound: Kind(404, "bulk-data-not-found", "The instance has no such bulk data"),
    NotAcceptable: Kind(406, "not-acceptable", "Nothing acceptable is available"),
    CannotTranscode: Kind(406, "cannot-transcode", "The pixels cannot be sent as asked"),
    CannotRender: Kind(406, "cannot-render", "There is no picture to draw"),
    RequestTimeout: Kind(408, "request-timeout", "The request took too long"),
    InstanceConflict: Kind(409, "instance-conflict", "The identifier is taken by other content"),
    PreconditionFailed: Kind(412, "precondition-failed", "The resource is another than expected"),
    TooLarge: Kind(413, "too-large", "The request is larger than is taken"),
    TargetTooLong: Kind(414, "target-too-long", "The address is longer than is taken"),
    UnsupportedMedia: Kind(415, "unsupported-media-type", "The media type is not taken here"),
    Abandoned: Kind(499, "abandoned", "Nobody waits for the answer"),  # nginx's number, for us
    ClientDisconnect: Kind(499, "abandoned", "Nobody waits for the answer"),
    RangeNotSatisfiable: Kind(416, "range-not-satisfiable", "The range lies behind the end"),
    HeaderTooLarge: Kind(431, "header-too-large", "The header is larger than is taken"),
    CodingUnknown: Kind(501, "coding-unknown", "The transfer coding is not known"),
    CatalogUnavailable: Kind(503, "catalog-unavailable", "The database does not answer", _RETRY),
    TokensUnavailable: Kind(503, "catalog-unavailable", "The database does not answer", _RETRY),
    BlobsUnavailable: Kind(503, "blobs-unavailable", "The blob store does not answer", _RETRY),
    StagingFull: Kind(503, "staging-full", "There is no room to receive this", _RETRY),
    Busy: Kind(503, "busy", "Too many requests of this kind are under way", _RETRY),
    TookTooLong: Kind(503, "took-too-long", "The answer took too long", _RETRY),
    BlobMissing: Kind(500, "blob-missing", "Stored bytes are missing", alarm=True),
    FixityFailure: Kind(500, "fixity-failure", "Stored bytes are not what they were", alarm=True),
}
UNFORESEEN = Kind(500, "internal-error", "Something went wrong here", told=False, alarm=True)

# What the router itself answers.
_OF_STATUS: Mapping[int, Kind] = {
    400: KINDS[MalformedRequest],
    404: KINDS[NotFound],
    405: Kind(405, "method-not-allowed", "The resource does not have this method"),
    413: KINDS[TooLarge],
}


def problem(
    kind: Kind,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """Make a problem+json response; `more` become members of the body."""
    body: dict[str, object] = {
        "type": f"urn:coverslip:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
    }
    if detail:
        body["detail"] = detail
    body |= {name: value for name, value in more.items() if value is not None}
    return Response(
        orjson.dumps(body),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **kind.headers, **(headers or {})},
    )


def kind_of(error: Exception) -> Kind:
    """Give the row of the nearest class of `error`."""
    for ancestor in type(error).__mro__:
        if ancestor in KINDS:
            return KINDS[ancestor]
    return UNFORESEEN


def answer(error: Exception) -> Response:
    """Answer an error, and log it when it is ours rather than the client's."""
    if isinstance(error, HTTPException):
        return _of_router(error)
    kind = kind_of(error)
    if kind.alarm:
        _log_alarm(error)
    elif kind.status >= 500:
        logger.warning("%s: %s", type(error).__name__, error)
    headers = _challenge(error)
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    available = list(error.available) if isinstance(error, NotAcceptable) else None
    detail = str(error) if kind.told else None
    return problem(kind, detail, headers=headers, available=available)


def _challenge(error: Exception) -> dict[str, str]:
    """Say how to authenticate, and what was wrong with a token that was shown (RFC 6750 §3)."""
    challenge = 'Bearer realm="coverslip"'
    if isinstance(error, Forbidden):
        challenge += f', error="insufficient_scope", scope="{error.permission.value}"'
    elif not isinstance(error, Unauthenticated):
        return {}
    elif error.shown:
        challenge += ', error="invalid_token"'
    return {"WWW-Authenticate": challenge}


def _of_router(error: HTTPException) -> Response:
    status = error.status_code
    kind = _OF_STATUS.get(status) or Kind(status, f"http-{status}", error.detail)
    return problem(kind, headers=dict(error.headers or {}))


def _log_alarm(error: Exception) -> None:
    """Log where it happened. The message of an unforeseen error may hold anything: left out."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    if kind_of(error) is UNFORESEEN:
        logger.error("unforeseen %s, message withheld\n%s", type(error).__qualname__, frames)
    else:
        logger.critical("%s: %s", type(error).__name__, error)
