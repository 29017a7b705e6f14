"""`coverslip reindex`: make what is searched again from the metadata that are kept."""

import typer

from auth import Principal
from cli.options import DataDir, LogLevel, set_up_logging, settings_of


def reindex(data_dir: DataDir = None, log_level: LogLevel = None) -> None:
    """Index everything that is stored by the attributes that can be searched by.

    Needed once after [bold]COVERSLIP_SEARCH_ATTRIBUTES[/bold] has named further attributes, and
    where the notes of a release say so. Until then a search by a new attribute answers that it is
    not supported. Servers and workers must have been restarted with the same settings before; they
    go on working meanwhile. No file is read. It may be interrupted and run again.

    For example:

      coverslip reindex
    """
    settings = settings_of(data_dir=data_dir, log_level=log_level)
    set_up_logging("error" if log_level is None else settings.log_level)
    from archive.archive import open_archive
    from archive.reindexing import reindex as run

    with open_archive(settings) as archive:
        report = run(archive, by=Principal.operator())
    names = ", ".join(settings.search_attributes) or "none"
    typer.echo(f"{report.rows} studies, series and instances indexed; attributes added: {names}")
