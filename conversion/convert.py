"""A slide file becomes DICOM files: `probe` looks, `convert` does it.

Stages: open, read directories, hash, look at every tile, write each picture once, compare it with
the source, rename into place. Until the last step everything lies in a hidden folder inside the
output folder, so a failure or a kill leaves no file that could be taken for a result.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from conversion.errors import OutputFailed
from conversion.identifiers import SETTINGS_VERSION, SlideUids
from conversion.integrity import check_every_frame
from conversion.manifest import Manifest, ManifestInstance, Route
from conversion.metadata import (
    WHOLE_SLIDE_MICROSCOPY,
    SlideFacts,
    instance_dataset,
    stand_ins,
)
from conversion.progress import Progress, ProgressCallback
from conversion.sources.file import SourceFile
from conversion.sources.registry import open_slide
from conversion.spool import with_lengths
from conversion.verify import verify_instance
from conversion.writer import output_failed, write_instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from conversion.request import ConversionRequest
    from conversion.sources.slide import Picture, Slide

_TOOLS = ("pydicom", "numpy", "tifffile", "imagecodecs", "opentile")


@dataclass(frozen=True, slots=True)
class ProbedPicture:
    """One image of a slide: what it shows, its size in pixels, how it is coded."""

    role: str
    level: int | None
    columns: int
    rows: int
    tile_columns: int
    tile_rows: int
    frames: int
    transfer_syntax_uid: str
    photometric_interpretation: str
    route: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What a slide file is, found without writing anything.

    Attributes
    ----------
    micrometres_per_pixel
        Width and height of a pixel of the base level; None where the file does not say.
    acquired
        ISO 8601, the scanner's local time.
    """

    format: str
    size: int
    micrometres_per_pixel: tuple[float, float] | None
    objective_power: float | None
    acquired: str | None
    icc_profile_bytes: int
    pictures: tuple[ProbedPicture, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def probe(path: Path) -> Probe:
    """Say what a slide file is. Every tile is looked at, nothing is written.

    Raises
    ------
    ConversionError
        It cannot be converted; the error says why.
    """
    with SourceFile(path) as source, open_slide(source) as slide:
        properties = slide.properties
        return Probe(
            format=slide.format,
            size=source.size,
            micrometres_per_pixel=properties.spacing_um,
            objective_power=properties.objective_power,
            acquired=properties.acquired.isoformat() if properties.acquired else None,
            icc_profile_bytes=len(properties.icc_profile or b""),
            pictures=tuple(_probed(picture) for picture in slide.pictures),
            warnings=slide.warnings,
        )


def _probed(picture: Picture) -> ProbedPicture:
    return ProbedPicture(
        role=picture.role.value,
        level=picture.level,
        columns=picture.columns,
        rows=picture.rows,
        tile_columns=picture.tile_columns,
        tile_rows=picture.tile_rows,
        frames=picture.frames.count,
        transfer_syntax_uid=picture.frames.format.transfer_syntax,
        photometric_interpretation=picture.frames.format.photometric,
        route=picture.route.value,
    )


def convert(
    path: Path,
    out_folder: Path,
    request: ConversionRequest,
    progress: ProgressCallback | None = None,
) -> Manifest:
    """Convert a slide file to DICOM files.

    Parameters
    ----------
    path
        The slide file.
    out_folder
        Made if it is not there. Gets one ``<SOP Instance UID>.dcm`` an image and, last of all,
        ``<Series Instance UID>.json`` with the manifest.
    progress
        Called with the fraction done, 0 to 1.

    Returns
    -------
    Manifest
        What lies in the folder now.

    Raises
    ------
    ConversionError
        Nothing of this conversion is left in the folder then.
    """
    report = Progress(progress)
    with SourceFile(path) as source, open_slide(source) as slide:
        report.expect(source.size, slide, hashing=request.source_sha256 is None)
        if request.check == "full":
            check_every_frame(slide)
        sha256 = request.source_sha256 or source.sha256(report.advance)
        uids = SlideUids(sha256, request)
        facts = SlideFacts(request, uids, slide.properties)
        with _workplace(out_folder, uids.series) as work:
            instances = [
                _instance(work, facts, picture, number, report)
                for number, picture in enumerate(slide.pictures, start=1)
            ]
            manifest = _manifest(source, slide, facts, instances)
            _publish(work, out_folder, manifest)
    report.finish()
    return manifest


def _instance(
    work: Path, facts: SlideFacts, picture: Picture, number: int, report: Progress
) -> ManifestInstance:
    uid = facts.uids.instance(picture.role, picture.level)
    path = work / f"{uid}.dcm"
    with with_lengths(picture.frames, work) as (frames, lengths):
        dataset = instance_dataset(facts, picture, number, int(lengths.sum(dtype="u8")))
        written = write_instance(path, dataset, frames, lengths, report.advance)
        verify_instance(path, picture, report.advance)
    return ManifestInstance(
        role=picture.role,
        level=picture.level,
        sop_class_uid=WHOLE_SLIDE_MICROSCOPY,
        study_uid=facts.uids.study,
        series_uid=facts.uids.series,
        instance_uid=uid,
        path=path.name,
        size=written.size,
        sha256=written.sha256,
        columns=picture.columns,
        rows=picture.rows,
        tile_columns=picture.tile_columns,
        tile_rows=picture.tile_rows,
        frames=picture.frames.count,
        transfer_syntax_uid=picture.frames.format.transfer_syntax,
        photometric_interpretation=picture.frames.format.photometric,
        route=picture.route,
    )


def _manifest(
    source: SourceFile, slide: Slide, facts: SlideFacts, instances: Sequence[ManifestInstance]
) -> Manifest:
    colour = any(picture.frames.format.samples == 3 for picture in slide.pictures)
    warnings = [*slide.warnings, *stand_ins(facts, colour=colour)]
    warnings.extend(
        f"the {item.role.value.lower()} was decoded and is stored without further loss"
        for item in instances
        if item.route is Route.ENCODED and item.level is None
    )
    return Manifest(
        source_sha256=facts.uids.source_sha256,
        source_size=source.size,
        format=slide.format,
        settings_version=SETTINGS_VERSION,
        tools=_tool_versions(),
        study_uid=facts.uids.study,
        series_uid=facts.uids.series,
        instances=tuple(instances),
        warnings=tuple(warnings),
    )


def _tool_versions() -> dict[str, str]:
    versions = {}
    for name in _TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@contextmanager
def _workplace(out_folder: Path, series_uid: str) -> Iterator[Path]:
    """Give a hidden folder to work in, swept of what a killed run left, and gone afterwards.

    It is locked, so that two conversions of one slide into one folder do not mix; the lock goes
    with the process.
    """
    made = _missing(out_folder)
    work = out_folder / f".{series_uid}.part"
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise output_failed(error) from error
    finished = False
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputFailed(
                "another conversion of this slide into this folder is running; wait for it"
            ) from error
        try:
            for left in work.iterdir():
                left.unlink()
            yield work
            finished = True
        except OSError as error:
            raise output_failed(error) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(lock)
        if not finished:
            _remove_empty(made)


def _missing(folder: Path) -> list[Path]:
    """Return those of the folder and its parents that are not there yet, innermost first."""
    missing = []
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            break
        missing.append(candidate)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone: others use it
            return


def _publish(work: Path, out_folder: Path, manifest: Manifest) -> None:
    """Move the results into place, the manifest last: where it lies, everything does."""
    record = work / f"{manifest.series_uid}.json"
    with record.open("x", encoding="utf-8") as file:
        file.write(manifest.to_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    moved: list[Path] = []
    try:
        for name in (*(item.path for item in manifest.instances), record.name):
            os.replace(work / name, out_folder / name)
            moved.append(out_folder / name)
        _sync_folder(out_folder)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
