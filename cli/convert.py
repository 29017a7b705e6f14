"""`coverslip convert`: the DICOM files of a slide, without an archive."""

from pathlib import Path
from typing import Annotated

import typer

from cli import case_options as case
from cli.options import settings_of
from cli.progress import slide_progress


def convert(
    slide: Annotated[Path, typer.Argument(help="The slide file.", metavar="SLIDE")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the DICOM files.")],
    case_id: case.Case = None,
    accession: case.Accession = None,
    patient_id: case.PatientId = None,
    patient_name: case.PatientName = None,
    patient_birth_date: case.PatientBirthDate = None,
    patient_sex: case.PatientSex = None,
    study_date: case.StudyDate = None,
    description: case.Description = None,
    container_id: case.ContainerId = None,
    specimen: case.Specimen = None,
    stain: case.Stain = None,
    mpp: case.MicrometresPerPixel = None,
    full_check: case.FullCheck = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as JSON, for programs.")
    ] = False,
) -> None:
    """Convert a slide file to DICOM files. No archive and no database is needed.

    Tile bytes are passed through unchanged wherever DICOM allows; label, overview and thumbnail
    come along. The same file with the same case data gives the same files again, to the bit.

    For example:

      coverslip convert CMU-1.svs --out dicom/

      coverslip convert CMU-1.svs --out dicom/ --case S26-417 --container-id S26-417-A1-1
      --stain "H&E" --patient-id 0417
    """
    from conversion import ConversionLimits, run_conversion

    settings = settings_of()
    request = case.request_of(
        case=case_id,
        accession=accession,
        patient_id=patient_id,
        patient_name=patient_name,
        patient_birth_date=patient_birth_date,
        patient_sex=patient_sex,
        study_date=study_date,
        study_description=description,
        container_id=container_id,
        specimen=specimen,
        stain=stain,
        mpp=mpp,
        full_check=full_check,
    )
    limits = ConversionLimits(settings.conversion_memory_bytes, settings.conversion_seconds)
    with slide_progress(slide.name) as progress:
        manifest = run_conversion(slide, out, request, limits, progress)
    if as_json:
        typer.echo(manifest.to_json(indent=2))
        return
    for instance in manifest.instances:
        level = "" if instance.level is None else f" {instance.level}"
        typer.echo(
            f"{out / instance.path}  {instance.role.value.lower()}{level}, "
            f"{instance.columns} x {instance.rows} px, {instance.size / 1e6:.1f} MB, "
            f"{instance.route.value}"
        )
    for warning in manifest.warnings:
        typer.echo(f"note: {warning}", err=True)
