"""`coverslip http-worker`: one of the processes of `coverslip serve --workers N`. Hidden."""

import socket
import sys
from typing import Annotated

import typer

from cli.options import set_up_logging, settings_of
from cli.supervision import end_with_parent


def http_worker(
    descriptor: Annotated[int, typer.Option("--descriptor", help="Of the listening socket.")],
    follow_parent: Annotated[
        bool, typer.Option("--end-with-parent", help="End when standard input does.")
    ] = False,
) -> None:
    """Answer requests on an inherited socket."""
    from cli.http import run_http

    settings = settings_of()
    settings.check_safe_to_serve()
    set_up_logging(settings.log_level)
    if follow_parent:
        end_with_parent(sys.stdin.buffer)
    with socket.socket(fileno=descriptor) as listener:
        run_http(settings, listener, on_ready=lambda: None)
