"""Answers on their way out: however slowly they are read, they do not fill the memory.

What is streamed waits for its reader by itself. A body that is made as a whole (a picture, a page
of results) stays in memory until the last of it is read: such bodies go out in slices, and all of
them together are bounded.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomweb.problems import Busy

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
        refused: Busy | None = None

        async def sending(message: Message) -> None:
            nonlocal start, refused
            if message["type"] == "http.response.start":
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


async def _in_slices(message: Message, send: Send) -> None:
    body = message.get("body", b"")
    if len(body) <= SLICE_BYTES:
        await send(message)
        return
    for offset in range(0, len(body), SLICE_BYTES):
        end = offset + SLICE_BYTES
        more = message.get("more_body", False) or end < len(body)
        await send({"type": "http.response.body", "body": body[offset:end], "more_body": more})
