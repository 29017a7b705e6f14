"""`coverslip check`: whether a DICOMweb service does what the standard and its clients demand."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.errors import Failure

if TYPE_CHECKING:
    from conformance.checks import Report


def check(
    url: Annotated[str, typer.Argument(help="Base URL of the Studies Service.", metavar="URL")],
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar="COVERSLIP_CHECK_TOKEN", help="Bearer token sent with every request."
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", help="Only checks of this category. May be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only checks whose id begins like this. May be repeated."),
    ] = None,
    wado_uri: Annotated[
        str,
        typer.Option(help="The URI service: a path below the base URL, or its whole URL."),
    ] = "/wado",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave what the checks stored where it is.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take any certificate of an https URL.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the checks, and ask nothing of the service.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Try a DICOMweb service with black-box checks of PS3.18 and of what real clients send.

    Each check cites the clause, or names the client, that it is derived from. They store small
    instances of their own, under UIDs and Patient IDs that nobody else has, and delete them at
    the end where the service can delete; what is left behind is said. The exit status is 1 when a
    check failed. Optional things that a service does not have are skipped, with the reason.

    For example:

      coverslip check http://127.0.0.1:8080/dicomweb

      coverslip check https://archive.example/dicomweb --token "$TOKEN" --category search
    """
    from conformance import checks

    chosen = list(checks.selected(category, only))
    if not chosen:
        known = ", ".join(dict.fromkeys(one.category for one in checks.CHECKS.values()))
        raise Failure(f"no check is of that name; the categories are {known}")
    if listed:
        for one in chosen:
            typer.echo(f"{one.id}\n    {one.demand}\n    {one.source}: {one.cites}")
        return
    try:
        service = checks.Service(url, token=token, verify=not insecure)
    except ValueError as error:
        raise Failure(str(error)) from error
    try:
        report = checks.run(service, chosen, uri_service=wado_uri, keep=keep)
    except checks.Failed as error:
        raise Failure(str(error)) from error
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=2, ensure_ascii=False))
    else:
        _tell(report, Console())
    if report.count(checks.Status.FAILED):
        raise typer.Exit(1)


def _as_json(report: "Report") -> dict[str, object]:
    return {
        "url": report.url,
        "refused_samples": report.refused_samples,
        "left_behind": report.left_behind,
        "results": [
            {
                "id": one.check.id,
                "category": one.check.category,
                "status": one.status,
                "demand": one.check.demand,
                "cites": one.check.cites,
                "source": one.check.source,
                "why": one.why,
            }
            for one in report.results
        ],
    }


def _tell(report: "Report", console: Console) -> None:
    from conformance.checks import Status

    for status in (Status.SKIPPED, Status.FAILED):
        found = [one for one in report.results if one.status is status]
        if found:
            console.print(f"\n[bold]{status.capitalize()}[/bold]")
        for one in found:
            console.print(f"[bold]{one.check.id}[/bold]: {escape(one.check.demand)}")
            console.print(f"  [dim]{one.check.source}: {escape(one.check.cites)}[/dim]")
            console.print(f"  {escape(one.why)}", highlight=False)
    console.print()
    console.print(_table(report))
    for name, why in report.refused_samples.items():
        console.print(f"The sample “{name}” could not be stored: {escape(why)}", highlight=False)
    if report.left_behind:
        console.print(
            f"{len(report.left_behind)} studies are left there, which could not be deleted: their "
            f"Patient IDs begin with CHECK-{report.tag}"
        )


def _table(report: "Report") -> Table:
    from conformance.checks import Status

    table = Table("category", title=f"{report.url}", show_footer=True)
    table.columns[0].footer = "all"
    for status in Status:
        table.add_column(status, justify="right", footer=str(report.count(status)))
    for name in report.categories:
        table.add_row(name, *(str(report.count(status, name)) for status in Status))
    return table
