"""What the jobs do. Each bears being done twice, and is keyed by the content it works on."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from archive.catalog import slides
from archive.deletion import settle as settle_deletion
from archive.errors import ArchiveError, BlobsUnavailable, CatalogUnavailable
from archive.ingest import ingest_slide
from archive.jobs.engine import Attempt, InterruptedJobError, Task, TransientError
from archive.model.slides import SlideRecord, SlideState
from auth import Permission, Principal, PrincipalKind
from conversion import ConversionError
from conversion.errors import ConversionCancelled

if TYPE_CHECKING:
    from archive.archive import Archive

INGEST = "ingest_slide"
SETTLE = "settle_deletion"
PROGRESS_SECONDS = 1.0
"""The row of a slide is told of its progress no more often than this."""

_MAXIMUM_LINE = 500
_log = logging.getLogger(__name__)


def all_tasks(archive: "Archive") -> dict[str, Task]:
    """Give every task by its name."""
    return {
        INGEST: Task(
            run=lambda arguments, attempt: ingest(archive, arguments, attempt),
            give_up=lambda arguments: give_up(archive, arguments),
        ),
        SETTLE: Task(
            run=lambda arguments, attempt: settle(archive, arguments, attempt),
            give_up=lambda arguments: _log.error(
                "the bytes of deletion %s are not destroyed", arguments["deletion"]
            ),
        ),
    }


def ingest(archive: "Archive", arguments: Mapping[str, Any], attempt: Attempt) -> None:
    """Convert and store one slide that was given, and say so in its row.

    Raises
    ------
    TransientError
        When the database or the blobs do not answer, and there is another attempt.
    InterruptedJobError
        When the worker stops.
    """
    identifier = UUID(str(arguments["slide"]))
    try:
        _ingest(archive, identifier, attempt)
    except (CatalogUnavailable, BlobsUnavailable) as error:
        if attempt.last:
            _fail(archive, identifier, str(error))
        else:
            _log.warning("slide %s is tried again later: %s", identifier, error)
            _set(archive, identifier, quietly=True, state=SlideState.QUEUED.value)
        raise TransientError(str(error)) from error


def settle(archive: "Archive", arguments: Mapping[str, Any], attempt: Attempt) -> None:
    """Put the record of a deletion, or destroy its bytes.

    Raises
    ------
    TransientError
        When the database or the blobs do not answer.
    """
    identifier = UUID(str(arguments["deletion"]))
    try:
        settle_deletion(archive.deletions, identifier)
    except (CatalogUnavailable, BlobsUnavailable) as error:
        level = logging.ERROR if attempt.last else logging.WARNING
        _log.log(level, "deletion %s is not settled: %s", identifier, error)
        raise TransientError(str(error)) from error


def give_up(archive: "Archive", arguments: Mapping[str, Any]) -> None:
    """Say of a slide that its conversion has killed too many workers."""
    identifier = UUID(str(arguments["slide"]))
    _fail(
        archive, identifier, "the conversion ended its worker several times and is not tried again"
    )


def _ingest(archive: "Archive", identifier: UUID, attempt: Attempt) -> None:
    with archive.database.begin() as session:
        record = slides.find(session, identifier)
        if record is None:
            _log.warning("slide %s is not known any more", identifier)
            return
        request = slides.request_of(session, identifier)
    path = archive.slide_files.path(record)
    if not path.exists():
        if record.state is not SlideState.STORED:  # stored: the last try died just before its end
            _fail(archive, identifier, "the slide file is gone; give it again")
        return
    _set(archive, identifier, state=SlideState.CONVERTING.value, progress=0.0, error=None)
    try:
        outcome = ingest_slide(
            archive,
            path,
            request,
            by=_on_behalf_of(record),
            progress=_throttled(archive, identifier),
            cancelled=attempt.should_stop,
        )
    except ConversionCancelled as error:
        _set(archive, identifier, quietly=True, state=SlideState.QUEUED.value)
        raise InterruptedJobError from error
    except (CatalogUnavailable, BlobsUnavailable):
        raise
    except (ConversionError, ArchiveError) as error:
        _fail(archive, identifier, str(error))
        return
    _set(
        archive,
        identifier,
        state=SlideState.STORED.value,
        progress=1.0,
        study_uid=outcome.manifest.study_uid,
        series_uid=outcome.manifest.series_uid,
    )
    archive.slide_files.drop(record)


def _on_behalf_of(record: SlideRecord) -> Principal:
    """Give the one who is answerable for what is stored: whoever gave the slide."""
    permissions = frozenset({Permission.STUDIES_STORE})
    return Principal(record.received_by, "job worker", PrincipalKind.SERVICE, permissions)


def _throttled(archive: "Archive", identifier: UUID) -> Callable[[float], None]:
    last = 0.0

    def tell(fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            _set(archive, identifier, quietly=True, progress=fraction)

    return tell


def _fail(archive: "Archive", identifier: UUID, cause: str) -> None:
    line = " ".join(cause.split())[:_MAXIMUM_LINE]
    _log.warning("slide %s failed: %s", identifier, line)
    with archive.database.begin() as session:
        record = slides.find(session, identifier)
        now = archive.stores.now()
        slides.change(session, identifier, now=now, state=SlideState.FAILED.value, error=line)
    if record is not None:
        archive.slide_files.drop(record)


def _set(archive: "Archive", identifier: UUID, *, quietly: bool = False, **values: object) -> None:
    """Change the row; `quietly` where the work goes on whether that can be told or not."""
    try:
        with archive.database.begin() as session:
            slides.change(session, identifier, now=archive.stores.now(), **values)
    except CatalogUnavailable:
        if not quietly:
            raise
        _log.debug("the state of slide %s could not be told", identifier)
