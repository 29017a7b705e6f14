"""Answers on their way out: however slowly they are read, they do not fill the memory.

What is streamed waits for its reader by itself. A body that is made as a whole (a picture, a page
of results) stays in memory until the last of it is read: such bodies go out in slices, and all of
them together are bounded.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomweb.problems import Busy, PreconditionFailed
from dicomweb.responses import HEAD, header_values, is_as_expected

SLICE_BYTES = 256 * 1024
"""Bytes that are handed to a connection at a time."""
HELD_BYTES = 512 * 1024 * 1024
"""Bytes of large bodies that one process holds for their readers; one alone may be larger."""


class Outgoing:
    """ASGI middleware that bounds what waits for slow readers.

    The header of an answer is held back until its first bytes are there, so that what goes wrong
    on the way to them is still told by a status.
    """

    def __init__(self, app: ASGIApp, held_bytes: int = HELD_BYTES) -> None:
        self._app = app
        self._most = held_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start: Message | None = None
        refused: Exception | None = None
        if_match = header_values(scope["headers"], b"if-match")

        async def sending(message: Message) -> None:
            nonlocal start, refused
            if message["type"] == "http.response.start":
                if if_match and scope["method"] == "GET" and not _is_as_expected(message, if_match):
                    refused = PreconditionFailed("the resource is not as If-Match has it")
                    raise refused
                if HEAD in scope:
                    await send(message)
                else:
                    start = message
                return
            size = len(message.get("body", b""))
            too_much = size > SLICE_BYTES and 0 < self._held > self._most - size
            if too_much and start is not None:
                refused = Busy("too many large answers are being read at the moment")
                raise refused
            first, start = start, None
            self._held += size
            try:
                if first is not None:
                    await send(first)
                await _in_slices(message, send)
            finally:
                self._held -= size

        await self._app(scope, receive, sending)
        if refused is not None:  # whoever stands between has passed over it
            raise refused


def _is_as_expected(start: Message, if_match: Sequence[str]) -> bool:
    """Tell whether If-Match holds; what is no success is told as it is."""
    tags = header_values(start["headers"], b"etag")
    tag = tags[0] if tags else None
    return start["status"] >= 400 or is_as_expected(", ".join(if_match), tag)


async def _in_slices(message: Message, send: Send) -> None:
    body = message.get("body", b"")
    if len(body) <= SLICE_BYTES:
        await send(message)
        return
    for offset in range(0, len(body), SLICE_BYTES):
        end = offset + SLICE_BYTES
        more = message.get("more_body", False) or end < len(body)
        await send({"type": "http.response.body", "body": body[offset:end], "more_body": more})
