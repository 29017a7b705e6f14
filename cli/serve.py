"""`coverslip serve`: the server, a job worker beside it, and everything embedded.

Order: settings, the lock on the data folder, the port, database and blobs, the worker, the server.
So what is most likely wrong is told first, and nothing is started that would have to be stopped.
"""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.descriptors import raise_descriptor_limit
from cli.errors import Failure
from cli.options import Blobs, DataDir, LogLevel, set_up_logging, settings_of
from cli.server_lock import only_server
from cli.supervision import Supervised

if TYPE_CHECKING:
    from archive.settings import Settings

BACKLOG = 2048
"""Connections that may wait to be accepted; a page opens dozens at once."""

READY_SECONDS = 60
"""For several server processes to be up."""


class Stopped(Exception):
    """Raised in the main thread when the process is told to end."""


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="Address to listen on [COVERSLIP_HOST].", show_default="127.0.0.1"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port to listen on [COVERSLIP_PORT].", show_default="8080"),
    ] = None,
    data_dir: DataDir = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Server processes; one fills a core [COVERSLIP_WORKERS].",
            show_default="1",
        ),
    ] = None,
    blobs: Blobs = None,
    log_level: LogLevel = None,
) -> None:
    """Start the archive: DICOMweb, the page, a job worker, and PostgreSQL unless one is set.

    Ctrl-C stops all of it; the next start finds everything again. On any address but this
    machine's own the server asks for tokens, or does not start.

    For example:

      coverslip serve

      coverslip serve --port 9000 --data-dir /srv/coverslip --workers 4

      COVERSLIP_AUTH=required coverslip serve --host 0.0.0.0
    """
    settings = settings_of(
        host=host,
        port=port,
        data_dir=data_dir,
        workers=workers,
        blobs=blobs,
        log_level=log_level,
    )
    settings.check_safe_to_serve()
    set_up_logging(settings.log_level)
    raise_descriptor_limit()
    with _stoppable(), only_server(settings.data_dir, settings.local_url):
        _serve(settings)


def _serve(settings: "Settings") -> None:
    with contextlib.closing(_listen(settings.host, settings.port)) as listener:
        from archive.archive import open_archive

        # Whatever is wrong with database or blobs is told here, in one line. The archive is held
        # open until the end, so that an embedded PostgreSQL outlives those who use it.
        with open_archive(settings), contextlib.ExitStack() as children:
            environment = {**os.environ, **settings.environment()}
            children.enter_context(Supervised("job worker", _child("worker"), environment))
            if settings.workers == 1:
                from cli.http import run_http

                run_http(settings, listener, on_ready=lambda: _announce(settings))
                return
            # Where the processes leave their figures for one another, so that any answers for all.
            figures = tempfile.TemporaryDirectory(prefix="coverslip-metrics-")
            environment["PROMETHEUS_MULTIPROC_DIR"] = children.enter_context(figures)
            number = listener.fileno()
            for _ in range(settings.workers):
                children.enter_context(
                    Supervised(
                        "server process",
                        _child("http-worker", f"--descriptor={number}"),
                        environment,
                        descriptors=[number],
                    )
                )
            _wait_until_ready(settings)
            _announce(settings)
            while True:  # until a signal raises `Stopped`
                signal.pause()


def _child(command: str, *words: str) -> list[str]:
    """Give the command line of one of our own commands as a child that ends with us."""
    # -P: the working folder is not a place to import from.
    return [sys.executable, "-P", "-m", "cli", command, "--end-with-parent", *words]


def _wait_until_ready(settings: "Settings") -> None:
    """Wait until one of the server processes answers; raises `Failure` when none does."""
    import urllib.error
    import urllib.request

    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{settings.local_url}/health/live", timeout=5):  # noqa: S310 — our own address
                return
        except urllib.error.HTTPError:
            return  # it answers, whatever it says
        except OSError:
            time.sleep(0.1)
    message = f"no server process answered within {READY_SECONDS} s; the log above says why"
    raise Failure(message)


def _announce(settings: "Settings") -> None:
    base = settings.public_url or settings.local_url
    lines = [
        f"Page       {base}/",
        f"DICOMweb   {base}/dicomweb",
        f"Data       {settings.data_dir}",
    ]
    if settings.blobs is not None:
        lines.append(f"Blobs      {settings.blobs}")
    if settings.database_url is not None:
        lines.append("Database   the one of COVERSLIP_DATABASE_URL")
    lines.append("Ctrl-C stops it.")
    typer.echo("\n".join(lines))
    sys.stdout.flush()


def _listen(host: str, port: int) -> socket.socket:
    """Take the port; raises `Failure` in words when it is taken or the address is not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        message = (
            f"port {port} on {host} cannot be used ({error.strerror}): stop what uses it, or "
            f"choose another with --port"
        )
        raise Failure(message) from error
    return listener


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does: everything started is stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:  # a terminal that was closed; uvicorn knows only the others
            os.kill(os.getpid(), signal.SIGTERM)
            return
        raise Stopped

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    except Stopped:
        typer.echo("Stopped.", err=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
