"""`coverslip statement`: the DICOM conformance statement."""

from typing import Annotated

import typer

from cli.errors import Failure


def statement(
    check: Annotated[
        bool,
        typer.Option("--check", help="Fail when conformance/STATEMENT.md says something else."),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write conformance/STATEMENT.md.")] = False,
) -> None:
    """Print the DICOM conformance statement (PS3.2), made of the tables that the code goes by.

    For example:

      coverslip statement > conformance-statement.md
    """
    from conformance.statement import PAGE
    from conformance.statement import statement as made

    text = made()
    if write:
        PAGE.write_text(text, encoding="utf-8")
    elif check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            raise Failure(f"{PAGE.name} is old: write it anew with coverslip statement --write")
    else:
        typer.echo(text, nl=False)
