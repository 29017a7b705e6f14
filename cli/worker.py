"""`coverslip worker`: does the jobs that are queued."""

import sys
from typing import Annotated

import typer

from cli.options import Blobs, DataDir, LogLevel, set_up_logging, settings_of
from cli.supervision import end_with_parent


def worker(
    data_dir: DataDir = None,
    blobs: Blobs = None,
    log_level: LogLevel = None,
    follow_parent: Annotated[
        bool,
        typer.Option("--end-with-parent", hidden=True, help="End when standard input does."),
    ] = False,
) -> None:
    """Do the jobs that are queued: conversions of slides that were uploaded, and upkeep.

    [bold]coverslip serve[/bold] starts one of these beside itself. Start more, on any machine that
    reaches the same database and blobs, to convert more slides at once. Ctrl-C ends it after
    giving back what it was doing; a killed worker's jobs are taken up by another.

    For example:

      coverslip worker

      COVERSLIP_CONVERSIONS_AT_ONCE=4 coverslip worker
    """
    settings = settings_of(data_dir=data_dir, blobs=blobs, log_level=log_level)
    set_up_logging(settings.log_level)
    if follow_parent:
        end_with_parent(sys.stdin.buffer)
    from archive.jobs.worker import run_worker

    run_worker(settings)
