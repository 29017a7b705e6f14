"""`coverslip ingest`: slide files and DICOM files go into the archive."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import case_options as case
from cli.errors import Failure, Misuse, one_line
from cli.options import Blobs, DataDir, LogLevel, set_up_logging, settings_of
from cli.progress import BatchProgress, Report
from cli.slide_files import find_slides, is_dicom

if TYPE_CHECKING:
    from archive.archive import Archive
    from auth import Principal
    from conversion import ConversionRequest

COPY_STEP_BYTES = 1024 * 1024
"""Bytes a step when a DICOM file is copied to scratch."""


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(help="Slide files, DICOM files, folders.", metavar="PATH...")
    ],
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
    data_dir: DataDir = None,
    blobs: Blobs = None,
    log_level: LogLevel = None,
) -> None:
    """Put slides into the archive: convert each to DICOM and store it. A server may be running.

    Folders are searched through. Slides of one accession or case come together in one study. The
    same file with the same case data again is found to be stored already. DICOM files are stored
    as they are. A slide that fails is told in one line and the others go on; the exit status is
    then 1.

    For example:

      coverslip ingest CMU-1.svs

      coverslip ingest S26-417-A1.svs --case S26-417 --accession S26-417 --patient-id 0417
      --container-id S26-417-A1-1 --specimen S26-417-A1 --stain "H&E"

      coverslip ingest /mnt/scanner/2026-11-24
    """
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
    found = find_slides(paths)
    _check_request(request, [path for path in found.slides if not is_dicom(path)])
    if found.passed_over:
        typer.echo(f"{found.passed_over} files are no slides by their names, left out", err=True)
    settings = settings_of(data_dir=data_dir, blobs=blobs, log_level=log_level)
    # One line a slide is what is wanted here; warnings of the parts below would break the bars.
    set_up_logging("error" if log_level is None else settings.log_level)
    from archive.archive import open_archive

    with open_archive(settings) as archive:
        failed = _ingest_all(archive, found.slides, request)
    if failed or not found.slides:
        typer.echo(f"{failed} of {len(found.slides)} failed", err=True)
        raise typer.Exit(1)


def _check_request(request: "ConversionRequest", slides: list[Path]) -> None:
    """Refuse to give several slides the label of one; raises `Misuse`."""
    if len(slides) > 1 and (request.container_id or request.specimen_ids):
        message = (
            f"--container-id and --specimen are of one slide, and {len(slides)} are given: "
            "ingest them one by one"
        )
        raise Misuse(message)


def _ingest_all(archive: "Archive", paths: list[Path], request: "ConversionRequest") -> int:
    """Ingest one after the other; gives how many failed."""
    from archive.errors import ArchiveError
    from auth import Principal
    from conversion import ConversionError

    by = Principal.operator()
    failed = 0
    with BatchProgress([_size(path) for path in paths]) as bars:
        for index, path in enumerate(paths):
            try:
                with bars.slide(index, path.name) as report:
                    told = _ingest_one(archive, path, request, by, report)
            except (ArchiveError, ConversionError, Failure, OSError) as error:
                failed += 1
                typer.echo(f"failed  {path}: {_reason(error)}", err=True)
            else:
                typer.echo(f"{told[0]}  {path}: {told[1]}")
    return failed


def _ingest_one(
    archive: "Archive", path: Path, request: "ConversionRequest", by: "Principal", report: Report
) -> tuple[str, str]:
    """Ingest one file; gives what became of it in a word, and in a few."""
    if is_dicom(path):
        return _ingest_dicom(archive, path, by, report)
    from archive.ingest import ingest_slide

    slide = ingest_slide(archive, path, request, by=by, progress=report)
    word = "stored" if slide.stored else "already stored"
    return word, f"{len(slide.outcomes)} instances, study {slide.manifest.study_uid}"


def _ingest_dicom(
    archive: "Archive", path: Path, by: "Principal", report: Report
) -> tuple[str, str]:
    """Store a DICOM file as it is."""
    from archive.model.instances import Origin, StoreStatus

    size = max(1, _size(path))
    with archive.staging.receive() as writer, path.open("rb") as file:
        while chunk := file.read(COPY_STEP_BYTES):
            writer.write(chunk)
            report(writer.size / size)
        staged = writer.finish()
    outcome = archive.store(staged, by=by, origin=Origin.IMPORT)
    if outcome.status is StoreStatus.REJECTED:
        raise Failure(outcome.detail or "the archive does not take this instance")
    study = outcome.path.study if outcome.path else "?"
    return outcome.status.value, f"1 instance, study {study}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
