"""The case and specimen data that `ingest` and `convert` take, as options."""

from typing import Annotated

import typer

from conversion import ConversionRequest

_PANEL = "Case and specimen"

Case = Annotated[
    str | None,
    typer.Option("--case", help="The laboratory's case number.", rich_help_panel=_PANEL),
]
Accession = Annotated[
    str | None,
    typer.Option("--accession", help="Accession number of the order.", rich_help_panel=_PANEL),
]
PatientId = Annotated[
    str | None, typer.Option("--patient-id", help="Patient's number.", rich_help_panel=_PANEL)
]
PatientName = Annotated[
    str | None,
    typer.Option(
        "--patient-name",
        help="Patient's name as DICOM has it: Family^Given^Middle.",
        rich_help_panel=_PANEL,
    ),
]
PatientBirthDate = Annotated[
    str | None,
    typer.Option("--patient-birth-date", help="As YYYYMMDD.", rich_help_panel=_PANEL),
]
PatientSex = Annotated[
    str | None, typer.Option("--patient-sex", help="M, F or O.", rich_help_panel=_PANEL)
]
StudyDate = Annotated[
    str | None, typer.Option("--study-date", help="As YYYYMMDD.", rich_help_panel=_PANEL)
]
Description = Annotated[
    str | None,
    typer.Option("--description", help="What the study is, in words.", rich_help_panel=_PANEL),
]
ContainerId = Annotated[
    str | None,
    typer.Option("--container-id", help="What the slide's label says.", rich_help_panel=_PANEL),
]
Specimen = Annotated[
    list[str] | None,
    typer.Option(
        "--specimen", help="Specimen on the slide; may be given again.", rich_help_panel=_PANEL
    ),
]
Stain = Annotated[
    str | None, typer.Option("--stain", help="Stain, such as H&E.", rich_help_panel=_PANEL)
]
MicrometresPerPixel = Annotated[
    float | None,
    typer.Option(
        "--mpp",
        help="Micrometres per pixel of the finest level, where the file does not say.",
        rich_help_panel=_PANEL,
    ),
]


def request_of(
    *,
    case: str | None,
    specimen: list[str] | None,
    mpp: float | None,
    full_check: bool,
    **texts: str | None,
) -> ConversionRequest:
    """Put the options together; raises `conversion.MalformedRequest` for what cannot be."""
    return ConversionRequest(
        case_id=case,
        specimen_ids=tuple(specimen or ()),
        micrometres_per_pixel=mpp,
        check="full" if full_check else "quick",
        **texts,
    )


FullCheck = Annotated[
    bool, typer.Option("--full-check", help="Decode every tile to see that it is whole.")
]
