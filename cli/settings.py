"""`coverslip settings`: what is set, and where each value came from."""

import json
from typing import Annotated

import typer

from cli.options import Blobs, DataDir, loaded_of


def settings(
    data_dir: DataDir = None,
    blobs: Blobs = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of each what it does, with its unit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List every setting, its value, and where it came from.

    Settings come from, the first wins: a flag, the environment, a file [bold].env[/bold] in the
    working folder, a file [bold]coverslip.toml[/bold] there (or the one that COVERSLIP_CONFIG
    names), the default. In TOML the names are in lower case and without COVERSLIP_. Passwords and
    keys are masked.

    For example:

      coverslip settings --explain

      COVERSLIP_PORT=9000 coverslip settings

      echo 'conversion_memory_bytes = "8GiB"' >> coverslip.toml
    """
    loaded = loaded_of(data_dir=data_dir, blobs=blobs)
    rows = loaded.described()
    if as_json:
        document = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        typer.echo(json.dumps(document, indent=2))
        return
    fields = type(loaded.settings).model_fields
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        typer.echo(f"{name:{width}}  {value or '-'}  ({origin})")
        if explain:
            described = fields[name.removeprefix("COVERSLIP_").lower()].description or ""
            typer.echo(f"{'':{width}}  {' '.join(described.split())}")
