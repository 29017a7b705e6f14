"""Stops the work for clients that went away, or that have waited long enough (GET and HEAD).

A request that changes something is left alone: it is done wholly or not at all by itself.
"""

import asyncio
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive import cancellation
from archive.cancellation import Cancellation
from archive.errors import Abandoned, TookTooLong

if TYPE_CHECKING:
    from asyncio import Task

FIRST_BYTE_SECONDS = 120.0
"""Until the first byte of an answer; the longest search and the largest picture take seconds."""


class Attendance:
    """ASGI middleware that sees to it that nothing is done for nobody.

    Parameters
    ----------
    first_byte_seconds
        How long an answer may take to begin.
    """

    def __init__(self, app: ASGIApp, first_byte_seconds: float = FIRST_BYTE_SECONDS) -> None:
        self._app = app
        self._first_byte_seconds = first_byte_seconds
        self._stopping: set[Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "GET":
            token = cancellation.current.set(None)
            try:
                await self._app(scope, receive, send)
            finally:
                cancellation.current.reset(token)
            return
        known = Cancellation()
        gone = asyncio.Event()
        asked = False

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            self._stop(known, Abandoned("the client has gone away"))

        async def receiving() -> Message:
            nonlocal asked
            if not asked:  # the body of a GET means nothing (RFC 9110 §9.3.1)
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def sending(message: Message) -> None:
            deadline.cancel()
            await send(message)

        deadline = asyncio.get_running_loop().call_later(
            self._first_byte_seconds,
            lambda: self._stop(known, TookTooLong(self._first_byte_seconds)),
        )
        watching = asyncio.create_task(watch())
        token = cancellation.current.set(known)
        try:
            await self._app(scope, receiving, sending)
        finally:
            cancellation.current.reset(token)
            deadline.cancel()
            watching.cancel()

    def _stop(self, known: Cancellation, error: Exception) -> None:
        task = asyncio.create_task(asyncio.to_thread(known.cancel, error))
        self._stopping.add(task)  # the loop itself only holds it weakly
        task.add_done_callback(self._stopping.discard)
