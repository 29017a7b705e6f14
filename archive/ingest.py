"""A slide file becomes instances that are kept: conversion in a child process, then the store.

The child writes into scratch of this process, from where the store takes the files over without
copying them where the blobs are a folder. The child's manifest says which files there are and in
which order they go in; their bytes are hashed here once more, since the child reads files that
nobody has vouched for, and the catalog's SHA-256 is what every later proof rests on. Hashing the
next file overlaps with storing the one before.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archive.blobs import hash_file
from archive.errors import BlobsUnavailable, InstanceConflict, InvalidInstance
from archive.model import reasons
from archive.model.instances import Origin, StagedFile, StoreOutcome, StoreStatus
from auth import Principal
from conversion import ConversionLimits, ConversionRequest, Manifest, run_conversion

if TYPE_CHECKING:
    from archive.archive import Archive

_CONVERSION_SHARE = 0.9  # of the progress; the rest is storing


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What became of a slide."""

    manifest: Manifest
    outcomes: tuple[StoreOutcome, ...]
    """In the order of the manifest; none of them is a refusal."""

    @property
    def stored(self) -> int:
        """How many instances are new."""
        return sum(outcome.status is StoreStatus.STORED for outcome in self.outcomes)

    @property
    def already_stored(self) -> int:
        """How many were there, byte for byte."""
        return len(self.outcomes) - self.stored


def ingest_slide(
    archive: "Archive",
    path: Path,
    request: ConversionRequest,
    *,
    by: Principal,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> IngestOutcome:
    """Convert a slide file and store what comes out of it.

    Safe to do again: the same file with the same request gives the same instances, which are then
    found to be stored already.

    Parameters
    ----------
    progress
        Called with the fraction done, 0 to 1.
    cancelled
        Asked a few times a second while the slide is converted; true ends that.

    Raises
    ------
    conversion.ConversionError
        When the slide cannot be converted; nothing was stored.
    InstanceConflict
        When an instance of the same UID with other content is stored already.
    InvalidInstance
        When the store refuses what was made of the slide.
    CatalogUnavailable, BlobsUnavailable
        When what was made cannot be kept now.
    """
    tell = progress or (lambda _: None)
    settings = archive.settings
    limits = ConversionLimits(int(settings.conversion_memory_bytes), settings.conversion_seconds)
    with archive.staging.work_folder() as folder:
        manifest = run_conversion(
            path,
            folder,
            request,
            limits,
            lambda fraction: tell(_CONVERSION_SHARE * fraction),
            cancelled,
        )
        outcomes = []
        for number, staged in enumerate(_staged(folder, manifest), 1):
            outcome = archive.store(staged, by=by, origin=Origin.CONVERSION)
            if outcome.status is StoreStatus.REJECTED:
                raise _refusal(outcome)
            outcomes.append(outcome)
            done = number / len(manifest.instances)
            tell(_CONVERSION_SHARE + (1 - _CONVERSION_SHARE) * done)
    return IngestOutcome(manifest, tuple(outcomes))


def _staged(folder: Path, manifest: Manifest) -> Iterator[StagedFile]:
    """Hash the files that the manifest names, one ahead of the store."""
    paths = [_within(folder, instance.path) for instance in manifest.instances]
    with ThreadPoolExecutor(1) as pool:
        try:
            yield from pool.map(hash_file, paths)
        except FileNotFoundError as error:
            message = "what was made of the slide has vanished from the staging folder"
            raise BlobsUnavailable(message) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _within(folder: Path, name: str) -> Path:
    """Give the file of that name; the child is not believed to name only its own."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        message = "the conversion names a file outside its own folder"
        raise InvalidInstance(message)
    return path


def _refusal(outcome: StoreOutcome) -> InvalidInstance | InstanceConflict:
    if outcome.failure == reasons.DUPLICATE_SOP_INSTANCE:
        return InstanceConflict(outcome.detail)
    code = reasons.PROCESSING_FAILURE.code if outcome.failure is None else outcome.failure.code
    return InvalidInstance(outcome.detail, code)
