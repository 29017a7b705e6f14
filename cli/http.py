"""One process that answers HTTP requests on a socket that is listening already."""

import os
import socket
from collections.abc import Callable
from typing import override

import uvicorn

from archive.settings import Settings
from cli.errors import Failure

KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep a connection to us (nginx: 60 s), so that they close it, not we."""

GRACE_SECONDS = 10
"""For answers that are on their way when the server is told to stop."""


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def run_http(settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer requests until a signal comes, which is raised again at the end.

    Raises
    ------
    Failure
        When the application could not start.
    """
    os.environ.update(settings.environment())  # for the factory, which reads it from there
    config = uvicorn.Config(
        "dicomweb.app:create_app",
        factory=True,
        log_config=None,  # ours, set up already
        log_level=None,
        access_log=False,  # queries hold names of patients
        server_header=False,
        proxy_headers=False,  # `dicomweb.addresses` reads them, and has to see the real peer
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
    )
    server = _Server(config, on_ready)
    server.run(sockets=[listener])
    if not server.started:
        message = "the server did not start; the log above says why"
        raise Failure(message)
