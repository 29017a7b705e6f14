"""One process that answers HTTP requests on a socket that is listening already."""

import gc
import os
import socket
from collections.abc import Callable

from archive.settings import Settings
from cli.errors import Failure
from dicomweb.serving import Server, limits_of


def run_http(settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer requests until a signal comes, which is raised again at the end.

    Raises
    ------
    Failure
        When the application could not start.
    """
    os.environ.update(settings.environment())  # for the factory, which reads it from there

    def ready() -> None:
        # What there is by now stays. A full collection would look at all of it, for a tenth of a
        # second and more in which nobody is answered.
        gc.collect()
        gc.freeze()
        on_ready()

    server = Server("dicomweb.app:create_app", limits_of(settings), ready)
    server.run(sockets=[listener])
    if not server.started:
        message = "the server did not start; the log above says why"
        raise Failure(message)
