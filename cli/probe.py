"""`coverslip probe`: what a slide file is."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import one_line
from conversion import ConversionError


def probe(
    slides: Annotated[list[Path], typer.Argument(help="Slide files.", metavar="SLIDE...")],
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, one line a slide, for programs.")
    ] = False,
) -> None:
    """Say what a slide file is and whether it can be converted. Nothing is written.

    Every tile is looked at, so a file that is cut off or damaged is found out here.

    For example:

      coverslip probe CMU-1.svs

      coverslip probe --json *.ndpi
    """
    from conversion.convert import Probe
    from conversion.convert import probe as probe_slide

    failed = False
    for path in slides:
        try:
            found: Probe = probe_slide(path)
        except ConversionError as error:
            failed = True
            typer.echo(f"{path}: {one_line(error)}", err=True)
            continue
        if as_json:
            typer.echo(json.dumps({"path": str(path), **found.to_json()}))
            continue
        spacing = found.micrometres_per_pixel
        scale = f"{spacing[0]:.4g} µm/px" if spacing else "pixel spacing unknown (give --mpp)"
        power = f", {found.objective_power:g}x" if found.objective_power else ""
        typer.echo(f"{path}: {found.format}, {found.size / 1e6:.1f} MB, {scale}{power}")
        for picture in found.pictures:
            level = "" if picture.level is None else f" {picture.level}"
            typer.echo(
                f"  {picture.role.lower()}{level}: {picture.columns} x {picture.rows} px, "
                f"{picture.frames} frames of {picture.tile_columns} x {picture.tile_rows}, "
                f"{picture.route}"
            )
        for warning in found.warnings:
            typer.echo(f"  note: {warning}")
    if failed:
        raise typer.Exit(1)
