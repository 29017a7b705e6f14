"""The `coverslip` command: one subcommand a module, each thin; the work is in the packages below.

A subcommand's module imports what it needs when it runs, so that `coverslip --help` and a
conversion load neither a web server nor a database.
"""

import inspect
import re
from collections.abc import Callable

import typer

from cli import (
    check,
    convert,
    http_worker,
    ingest,
    openapi,
    probe,
    reindex,
    serve,
    settings,
    statement,
    token,
    verify,
    worker,
)
from cli.errors import ReportingGroup

app = typer.Typer(
    name="coverslip",
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "An open DICOMweb archive for whole-slide pathology.\n\n"
        "Start it with [bold]coverslip serve[/bold], put slides in with [bold]coverslip ingest"
        "[/bold], and open http://127.0.0.1:8080. Everything it keeps lies in one folder, "
        "./coverslip-data, until you say otherwise: [bold]coverslip settings[/bold] lists what "
        "can be set and where each value came from."
    ),
)


def _add(panel: str, *commands: Callable[..., None]) -> None:
    """Add commands under one heading, each with its docstring as help.

    Lines of a paragraph are joined, so that the terminal's width decides where they break.
    """
    for command in commands:
        paragraphs = re.split(r"\n\s*\n", inspect.getdoc(command) or "")
        joined = [re.sub(r"\s*\n\s*", " ", paragraph) for paragraph in paragraphs]
        name = command.__name__.replace("_", "-")
        app.command(name, help="\n\n".join(joined), rich_help_panel=panel)(command)


_add("The archive", serve.serve, ingest.ingest, worker.worker, verify.verify, reindex.reindex)
app.add_typer(token.app, name="token", rich_help_panel="The archive")
_add("Slides without an archive", probe.probe, convert.convert)
_add("Any DICOMweb service", check.check)
_add("About this installation", settings.settings, openapi.openapi, statement.statement)
app.command("http-worker", hidden=True)(http_worker.http_worker)
