"""A worker: opens the archive and does jobs until it is told to stop."""

import time

from archive.catalog import slides
from archive.jobs import engine
from archive.jobs.engine import WorkerTimes
from archive.jobs.tasks import all_tasks
from archive.settings import Settings

ORPHAN_SECONDS = 24 * 3600.0
"""Slide files that no row needs are removed when they are older than this."""


def run_worker(settings: Settings, *, times: WorkerTimes | None = None) -> None:
    """Do jobs until SIGTERM or SIGINT; must be called from the main thread of a process.

    Raises
    ------
    CatalogUnavailable, BlobsUnavailable, SchemaMismatch
        When the archive cannot be opened. Once it is open, what goes away is waited for.
    """
    from archive.archive import open_archive  # the archive itself enqueues jobs

    with open_archive(settings) as archive:
        with archive.database.begin() as session:
            needed = slides.under_way(session)
        archive.slide_files.sweep(needed, older_than=time.time() - ORPHAN_SECONDS)
        engine.run(
            archive.database,
            all_tasks(archive),
            concurrency=settings.conversions_at_once,
            times=times,
        )
