"""The verbs that every face calls; each takes who is asking (house rule: no default).

`Archive` is thin. The work is in `store`, `retrieve`, `catalog.search`, `ingest`, `fixity`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from archive.assembly import FindBulk
from archive.blobs import BlobStore, Staging, open_blobs
from archive.catalog import audit, site_attributes, slides
from archive.catalog import search as catalog_search
from archive.catalog.additions import site_attribute
from archive.catalog.database import Database, SchemaStep, open_database
from archive.catalog.paging import PageEnds
from archive.deletion import Deletions
from archive.deletion import delete as delete_resource
from archive.errors import CannotTranscode, NotFound
from archive.jobs import engine
from archive.jobs.tasks import INGEST, SETTLE
from archive.model.attribute_paths import TagPath
from archive.model.attributes import IndexedAttribute
from archive.model.frames import ByteSpan
from archive.model.identifiers import InstancePath, ResourcePath, StudyUid
from archive.model.instances import Origin, StagedFile, StoredInstance, StoreOutcome, StoreStatus
from archive.model.query import Page, Query, Remaining
from archive.model.slides import SlideRecord
from archive.part10 import HeaderLimits
from archive.part10.from_json import Attributes
from archive.retrieve import MetadataDocument, Retriever
from archive.rewriting import can_transcode, rewritten
from archive.settings import Settings
from archive.slide_files import SlideFiles
from archive.store import Stores, store_metadata
from archive.store import store as store_instance
from archive.transcoding import TranscodedFrames
from auth import Principal, Visibility
from auth.tokens import Tokens
from conversion import ConversionRequest

__all__ = [
    "SCHEMA_STEPS",
    "Archive",
    "MetadataDocument",
    "SlideRecord",
    "open_archive",
]

SCHEMA_STEPS: tuple[SchemaStep, ...] = (engine.apply_schema,)
"""What brings the tables of others in our database up to date."""


class Archive:
    """Keeps, finds and serves DICOM instances. Built once a process by `open_archive`.

    Safe between threads. Every verb raises `CatalogUnavailable` or `BlobsUnavailable` when it needs
    what does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        blobs: BlobStore,
        staging: Staging,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.database = database
        self.blobs = blobs
        self.staging = staging
        self.tokens = Tokens(database.sessions, cache_seconds=settings.token_cache_seconds)
        self.slide_files = SlideFiles(settings.data_dir / "slides")
        self._jobs = engine.Jobs(database)
        self._page_ends = PageEnds()
        limits = HeaderLimits(header_bytes=int(settings.max_header_bytes))
        site = tuple(site_attribute(text) for text in settings.search_attributes)
        self.stores = Stores(database, blobs, staging, limits, now, site)
        self._searchable: Mapping[TagPath, IndexedAttribute] = {}
        grace = timedelta(days=settings.deletion_grace_days)
        self.deletions = Deletions(database, blobs, staging, self._settle_later, grace, now)
        self._retriever = Retriever(
            database,
            blobs,
            limits,
            frame_cache_bytes=int(settings.frame_cache_bytes),
            header_cache_bytes=int(settings.metadata_cache_bytes),
            locate_seconds=settings.locate_cache_seconds,
        )
        self._transcoded = TranscodedFrames(int(settings.transcoded_cache_bytes))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything; the archive is not used afterwards."""
        self.staging.close()
        self.blobs.close()
        self.database.close()

    def ready(self) -> None:
        """Pass when requests can be served.

        Raises
        ------
        CatalogUnavailable, BlobsUnavailable
        """
        self.database.check()
        self.blobs.check()

    # --- keeping ----------------------------------------------------------------------------------

    def store(
        self, staged: StagedFile, *, by: Principal, origin: Origin, study: StudyUid | None = None
    ) -> StoreOutcome:
        """Keep one instance; the staged file is consumed (see `archive.store.store`)."""
        outcome = store_instance(self.stores, staged, by=by, origin=origin, study=study)
        if outcome.path is not None and outcome.status is StoreStatus.STORED:
            self._retriever.forget(outcome.path)
        return outcome

    def store_metadata(
        self,
        attributes: Attributes,
        find: FindBulk,
        *,
        by: Principal,
        origin: Origin,
        study: StudyUid | None = None,
    ) -> StoreOutcome:
        """Keep one instance of metadata and bulk data (see `archive.store.store_metadata`)."""
        outcome = store_metadata(self.stores, attributes, find, by=by, origin=origin, study=study)
        if outcome.path is not None and outcome.status is StoreStatus.STORED:
            self._retriever.forget(outcome.path)
        return outcome

    def delete(self, resource: ResourcePath, *, by: Principal, reason: str) -> None:
        """Delete a study, a series or an instance (see `archive.deletion.delete`)."""
        for path in delete_resource(self.deletions, resource, by=by, reason=reason):
            self._retriever.forget(path)

    def _settle_later(self, session: Session, deletion: UUID, time: datetime) -> None:
        key = f"deletion-{deletion}-{time.isoformat()}"
        arguments = {"deletion": str(deletion)}
        self._jobs.enqueue(session, SETTLE, arguments, key=key, not_before=time)

    # --- finding ----------------------------------------------------------------------------------

    def search(self, query: Query, *, visible: Visibility) -> Page:
        """Find studies, series or instances (see `archive.catalog.search`)."""
        with self.database.begin() as session:
            return catalog_search.search(session, query, visible, self._page_ends)

    def remaining(self, query: Query, page: Page, *, visible: Visibility) -> Remaining:
        """Count the rows behind the page that `query` gave, as far as that is quick."""
        if not page.more:
            return Remaining(0, exact=True)
        with self.database.begin() as session:
            return catalog_search.count_behind(
                session, query, visible, self._page_ends, few=page.few
            )

    def site_attributes(self) -> Mapping[TagPath, IndexedAttribute]:
        """Give the attributes of the settings by which everything stored has been indexed."""
        if len(self._searchable) < len(self.stores.site):
            with self.database.begin() as session:
                names = site_attributes.searchable(session, self.stores.site)
            self._searchable = {one.path: one for one in self.stores.site if one.name in names}
        return self._searchable

    def locate(self, path: InstancePath, *, visible: Visibility) -> StoredInstance:
        """Give the instance at `path`; raises `NotFound`. From memory when it was asked lately."""
        return self._retriever.locate(path, visible)

    def cached(self, path: InstancePath, *, visible: Visibility) -> StoredInstance | None:
        """Give the instance at `path` from memory alone, never waiting for anything."""
        return self._retriever.cached(path, visible)

    def instances(self, resource: ResourcePath, *, visible: Visibility) -> Sequence[StoredInstance]:
        """Give the instances of a resource in the order they were stored; raises `NotFound`."""
        return self._retriever.instances(resource, visible)

    # --- reading ----------------------------------------------------------------------------------

    def frames(self, instance: StoredInstance, numbers: Sequence[int]) -> Iterator[bytes]:
        """Give the stored bytes of frames, one-based, in the order asked; `FrameNotFound` first."""
        return self._retriever.frames(instance, numbers)

    def frame_now(self, instance: StoredInstance, number: int) -> bytes | None:
        """Give the stored bytes of one frame when that is no waiting, else None."""
        return self._retriever.frame_now(instance, number)

    def frame_spans(self, instance: StoredInstance, number: int) -> Sequence[ByteSpan]:
        """Give the fragments of one frame, whose lengths are known before they are read."""
        return self._retriever.frame_spans(instance, number)

    def metadata(
        self, resource: ResourcePath, *, visible: Visibility
    ) -> Iterator[MetadataDocument]:
        """Give the metadata of a study, a series or an instance; raises `NotFound` at once."""
        return self._retriever.metadata(resource, visible)

    def header(self, instance: StoredInstance) -> Dataset:
        """Give the data set up to the pixel data."""
        return self._retriever.header(instance).dataset

    def bulk_data(self, instance: StoredInstance, attribute_path: str) -> bytes:
        """Give one bulk data value; raises `BulkDataNotFound`."""
        return self._retriever.bulk_data(instance, attribute_path)

    def video(self, instance: StoredInstance) -> Iterator[bytes]:
        """Give encapsulated pixel data as one stream, in pieces; `NotFound` where it is native."""
        return self._retriever.video(instance)

    def open(self, instance: StoredInstance) -> AbstractContextManager[BinaryIO]:
        """Open the whole Part 10 file, as it was stored."""
        return self._retriever.open(instance)

    def transcoded(self, instance: StoredInstance, transfer_syntax_uid: str) -> Iterator[bytes]:
        """Give a whole Part 10 file in a transfer syntax, in pieces (`archive.rewriting`).

        In the one that is stored it is the file as it was stored.

        Raises
        ------
        CannotTranscode
            At once where `can_transcode` says no or the first frames cannot be decoded; later on
            when one of the others cannot.
        """
        if not can_transcode(instance, transfer_syntax_uid):
            raise CannotTranscode(
                f"an instance stored in {instance.transfer_syntax_uid} cannot be sent in "
                f"{transfer_syntax_uid}"
            )
        if transfer_syntax_uid == instance.transfer_syntax_uid:
            return self._retriever.pieces(instance, 0, instance.size)
        pieces = rewritten(self._retriever.source(instance), transfer_syntax_uid)
        return chain([next(pieces)], pieces)

    def transcoded_frames(
        self, instance: StoredInstance, numbers: Sequence[int], transfer_syntax_uid: str
    ) -> Iterator[bytes]:
        """Give frames in another transfer syntax, one-based, in the order asked.

        Each is made once and remembered for a while.

        Raises
        ------
        FrameNotFound
            At once, for any number that there is not.
        CannotTranscode
            When a frame cannot be had in that syntax.
        """
        pixels = instance.pixels
        if pixels is None:
            raise NotFound("the instance has no pixel data")
        self._retriever.frames(instance, numbers)  # raises; reads nothing yet
        syntaxes = (instance.transfer_syntax_uid, transfer_syntax_uid)

        def frame(number: int) -> bytes:
            def read() -> bytes:
                return next(self._retriever.frames(instance, [number]))

            return self._transcoded.frame(instance.blob_key, number, pixels, syntaxes, read)

        return map(frame, numbers)

    # --- slides -----------------------------------------------------------------------------------

    def receive_slide(
        self,
        staged: StagedFile,
        filename: str,
        request: ConversionRequest,
        *,
        by: Principal,
    ) -> SlideRecord:
        """Take a slide file to be converted by a worker; the staged file is consumed.

        The row and the job are one transaction, and the file is in its place before it: a slide
        that is known is converted, and one that is not was never taken.
        """
        now = self.stores.now()
        incoming = self.slide_files.take(staged)
        try:
            with self.database.begin() as session:
                given = slides.give(session, staged, filename, request, by=by, now=now)
                record = given.record
                if given.queued:
                    self.slide_files.settle(incoming, record)
                    key = f"{record.source_sha256}-{request.digest()}"
                    self._jobs.enqueue(session, INGEST, {"slide": str(record.id)}, key=key)
                audit.record(session, "slide:give", by=by, now=now, detail=f"slide {record.id}")
        finally:
            incoming.unlink(missing_ok=True)
        return record

    def slides(self, *, by: Principal, limit: int = 100) -> list[SlideRecord]:
        """Give the slides that were given last, the newest first."""
        del by  # whoever may read jobs sees all of them; the route asks for that permission
        with self.database.begin() as session:
            return slides.list_slides(session, limit=limit)

    def slide(self, identifier: UUID, *, by: Principal) -> SlideRecord:
        """Give one slide that was given; raises `NotFound`."""
        del by
        with self.database.begin() as session:
            record = slides.find(session, identifier)
        if record is None:
            raise NotFound("there is no such slide")
        return record


def open_archive(settings: Settings) -> Archive:
    """Open the archive that the settings describe, starting what is embedded.

    Raises
    ------
    CatalogUnavailable, BlobsUnavailable
        When something does not answer.
    SchemaMismatch
        When the database is of another release; the message has the command that mends it.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings)
    try:
        database.prepare(steps=SCHEMA_STEPS)
        blobs = open_blobs(settings.blob_location)
        staging = Staging(settings.staging_folder, int(settings.max_instance_bytes))
    except BaseException:
        database.close()
        raise
    archive = Archive(settings, database, blobs, staging)
    try:
        with database.begin() as session:
            site_attributes.settle(session, archive.stores.site, archive.stores.now())
    except BaseException:
        archive.close()
        raise
    return archive
