"""The HTTP server around the application: uvicorn, told what we want and kept within bounds."""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, override

import uvicorn

from archive.settings import Settings
from dicomweb.immediate_protocol import ImmediateProtocol
from dicomweb.protocol import BoundedProtocol, BoundedState, Limits

GRACE_SECONDS = 10
"""For answers that are on their way when the server is told to stop."""
DESCRIPTORS_KEPT = 256
"""Open files that are not for connections: blobs, scratch files, the database's connections."""
_TICKS_A_SECOND = 10  # of uvicorn's main loop

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, which looks at its connections once a second.

    Parameters
    ----------
    application
        What answers, or the name of a factory of it.
    limits
        What a client may take.
    on_ready
        Called when it answers.
    """

    def __init__(
        self,
        application: Any,  # noqa: ANN401 — what uvicorn takes
        limits: Limits,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            application,
            factory=isinstance(application, str),
            http=ImmediateProtocol,
            ws="none",
            log_config=None,  # ours, set up already
            log_level=None,
            access_log=False,  # queries hold names of patients
            server_header=False,
            proxy_headers=False,  # `dicomweb.addresses` reads them, and has to see the real peer
            timeout_graceful_shutdown=GRACE_SECONDS,
            reset_contextvars=True,  # else a request may inherit those of one before it
        )
        super().__init__(config)
        self._state = BoundedState(limits)
        self.server_state = self._state
        self._on_ready = on_ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @override
    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            self._sweep()
        return await super().on_tick(counter)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.sweep(now)
        if self._state.refused:
            logger.warning(
                "%d connections refused: all %d are taken",
                self._state.refused,
                self._state.limits.connections,
            )
            self._state.refused = 0


def limits_of(settings: Settings) -> Limits:
    """Give the limits that the settings and this process's open files allow."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = max(descriptors - DESCRIPTORS_KEPT, descriptors // 2)
    return replace(Limits(), connections=min(settings.max_connections, most))
