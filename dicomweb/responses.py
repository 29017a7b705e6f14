"""Bodies that are streamed from synchronous sources, and what goes with every representation.

Owns conditional requests (RFC 9110 §13) and ranges (RFC 9110 §14).
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from archive.errors import ArchiveError

CHUNK_BYTES = 256 * 1024
"""Bytes a step of a streamed body: a thread hop costs about as much as reading this much."""

_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,19})\s*-\s*([0-9]{1,19})?|-\s*([0-9]{1,19}))\s*")
_ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


HEAD = "coverslip.head"
"""Key in a scope that says GET: nothing of the body is sent, so nothing need be read for it."""


class RangeNotSatisfiable(ArchiveError):
    """A range that lies behind the end (RFC 9110 §15.5.17)."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside of the {size} bytes there are")
        self.size = size


class ResponseCut(Exception):
    """The rest of the body is not wanted: the request was a HEAD."""


class StreamedResponse(Response):
    """A response whose body comes from a synchronous iterator that runs in a thread.

    It stops the iterator, and closes it, when the client goes away. With `length` the client knows
    how much will come; a body that ends early ends the connection, so that it is noticed.
    """

    def __init__(
        self,
        content: Iterable[bytes],
        *,
        media_type: str,
        length: int | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._content = iter(content)
        self.status_code = status_code
        self.media_type = None  # Starlette would add a charset to text
        self.background = None
        self.body = b""
        all_headers = {"content-type": media_type, **(headers or {})}
        if length is not None:
            all_headers["content-length"] = str(length)
        self.init_headers(all_headers)
        if length is None:
            # Without a length the server sends chunks; Starlette would say that there is nothing.
            self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as ASGI has it."""
        del scope
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            while not gone.done():
                chunk = await anyio.to_thread.run_sync(_gather, self._content)
                await send({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)})
                if not chunk:
                    break
        finally:
            gone.cancel()
            await asyncio.wait([gone])
            close = getattr(self._content, "close", None)
            if close is not None:
                await anyio.to_thread.run_sync(close)


async def _gone(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _gather(content: Iterator[bytes]) -> bytes:
    """Take pieces until they are worth a step; nothing when there are no more."""
    pieces = []
    size = 0
    for piece in content:
        pieces.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            break
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def sized_or_streamed(
    content: Iterator[bytes], *, media_type: str, headers: Mapping[str, str], status_code: int = 200
) -> Response:
    """Send a body of unknown length: with its length when it is short, in chunks when not.

    The first chunk is made here, so that an error before it is still answered as one.
    """
    first = _gather(content)
    second = _gather(content) if len(first) < CHUNK_BYTES else None
    if second == b"":
        with_type = {"content-type": media_type, **headers}
        return Response(first, status_code, headers=with_type)

    def rest() -> Iterator[bytes]:
        try:
            yield first
            if second is not None:
                yield second
            yield from content
        finally:
            with contextlib.suppress(AttributeError):  # an iterator that is no generator
                content.close()  # type: ignore[attr-defined]

    return StreamedResponse(rest(), media_type=media_type, status_code=status_code, headers=headers)


def entity_tag(*facts: str, weak: bool = False) -> str:
    """Make an entity tag of everything that the bytes of a representation hang on.

    A weak one is for what is the same without being so byte by byte: a multipart body has another
    boundary each time (RFC 9110 §8.8.1).
    """
    digest = hashlib.blake2b("\x1f".join(facts).encode(), digest_size=16).hexdigest()
    return f'W/"{digest}"' if weak else f'"{digest}"'


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Tell whether the client has this representation already (RFC 9110 §13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    wanted = tag.removeprefix("W/")  # the comparison is the weak one
    return any(found.removeprefix("W/") == wanted for found in _ENTITY_TAG.findall(if_none_match))


def is_as_expected(if_match: str, tag: str | None) -> bool:
    """Tell whether a representation is one that the client wants it to be (RFC 9110 §13.1.1)."""
    if if_match.strip() == "*":
        return True
    strong = tag is not None and not tag.startswith("W/")
    return strong and tag in _ENTITY_TAG.findall(if_match)


def not_modified(tag: str, headers: Mapping[str, str]) -> Response:
    """Answer that what the client has is still right (RFC 9110 §15.4.5)."""
    return Response(status_code=304, headers={**headers, "ETag": tag})


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range field of one byte range (RFC 9110 §14.2).

    Returns
    -------
    tuple of int, or None
        First byte, and the first byte behind; None when all is to be sent: no range, several, or
        one that is not understood.

    Raises
    ------
    RangeNotSatisfiable
        When it lies behind the end.
    """
    match = _RANGE.fullmatch(text.strip()) if text is not None else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return max(0, size - int(suffix)), size
    if last is not None and int(last) < int(first):
        return None  # not a valid range: as if it were not there (RFC 9110 §14.1.1)
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return int(first), size if last is None else min(int(last) + 1, size)


def wanted_range(
    asked: str | None, if_range: str | None, size: int, tag: str
) -> tuple[int, int] | None:
    """Read Range and If-Range (RFC 9110 §13.1.5); see `parse_range`.

    A client that has another representation than `tag` gets the whole. We have no dates to compare
    with, so that If-Range with a date is one of another.
    """
    if if_range is not None and if_range.strip() != tag:
        return None
    return parse_range(asked, size)


def joined_vary(*names: str) -> dict[str, str]:
    """Name the request headers that a representation hangs on (RFC 9110 §12.5.5)."""
    return {"Vary": ", ".join(names)}


def header_values(raw_headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Give the values of every field of this name, in order."""
    return [value.decode("latin-1") for key, value in raw_headers if key == name]
