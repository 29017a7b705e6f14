"""`coverslip verify`: whether everything is there, and whole."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from auth import Principal
from cli.errors import Failure
from cli.options import Blobs, DataDir, LogLevel, set_up_logging, settings_of

if TYPE_CHECKING:
    from archive.fixity import Findings


def verify(
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make the catalog again from the blobs, then verify."),
    ] = False,
    data_dir: DataDir = None,
    blobs: Blobs = None,
    log_level: LogLevel = None,
) -> None:
    """Read every blob again, hash it, and hold it against the catalog.

    Told are [bold]missing[/bold] blobs, [bold]altered[/bold] ones, and [bold]stray[/bold] ones
    that no instance has: the last are litter of stores that were cut off, and harm nobody. The
    exit status is 1 when something is missing or altered. A server may be running.

    With --rebuild the catalog of studies, series and instances is emptied and made again from the
    blobs alone: after the database was lost, or was put back from an older backup. Nothing should
    be stored meanwhile. It may be interrupted and goes on where it stopped.

    For example:

      coverslip verify

      coverslip verify --rebuild --data-dir /srv/coverslip
    """
    settings = settings_of(data_dir=data_dir, blobs=blobs, log_level=log_level)
    set_up_logging("error" if log_level is None else settings.log_level)
    by = Principal.operator()
    kept_here = settings.database_url is None or settings.blobs is None
    if kept_here and not rebuild and not settings.data_dir.is_dir():
        # An archive that is made on the spot would be found whole, and a mistyped folder, too.
        message = f"there is no archive in {settings.data_dir}: name its folder with --data-dir"
        raise Failure(message)
    from archive import fixity
    from archive.archive import open_archive

    ok = True
    with open_archive(settings) as archive:
        if rebuild:
            with _counting("rebuilding") as progress:
                made = fixity.rebuild(archive, by=by, progress=progress)
            typer.echo(f"rebuilt: {made.indexed} instances indexed, {made.present} were there")
            if made.restored:
                typer.echo(f"{made.restored} deletions known again from their records")
            _list("altered", made.altered)
            _list("unreadable", made.unreadable)
            _list("conflict", made.conflicts)
            ok = made.ok
        with _counting("verifying") as progress:
            found = fixity.verify(archive, by=by, progress=progress)
    _list("missing", found.missing)
    _list("altered", found.altered)
    _list("stray", found.stray)
    typer.echo(
        f"{found.checked} instances checked, {found.bytes_read / 1e6:.1f} MB read: "
        f"{found.missing.count} missing, {found.altered.count} altered, {found.stray.count} stray"
    )
    if found.deleted:
        typer.echo(f"{found.deleted} blobs of what was deleted wait to be destroyed")
    if not (ok and found.ok):
        raise typer.Exit(1)


def _list(kind: str, findings: "Findings") -> None:
    for finding in findings:
        path = finding.path
        where = f"  instance {path.instance} of study {path.study}" if path else ""
        typer.echo(f"{kind:10}  {finding.blob_key}{where}: {finding.detail}")
    if findings.count > len(findings.listed):
        typer.echo(f"{kind:10}  and {findings.count - len(findings.listed)} more")


@contextlib.contextmanager
def _counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many blobs and bytes are done; nothing where nobody watches."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what)

        def progress(count: int, size: int) -> None:
            bars.update(task, description=f"{what}: {count} blobs, {size / 1e9:.2f} GB")

        yield progress
