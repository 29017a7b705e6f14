"""Storing one instance: stage → check → put the blob → one transaction, in that order.

A row never points at a missing blob: the blob is kept, to the disk, before its row is written. A
blob without a row is litter, which `fixity.verify` finds. Rows, change feed and audit event are one
transaction, so that whatever is visible is whole, and whatever was acknowledged is kept.

Nothing of the file is believed that was not read from it here: its size and SHA-256 are what
staging hashed on the way in, all else is read from the staged bytes.
"""

import contextlib
import gzip
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy.exc import IntegrityError

from archive.assembly import FindBulk, assemble
from archive.blobs import BlobStore, Staging, new_key
from archive.catalog import audit, changes, index, lookup
from archive.catalog.database import Database
from archive.errors import CatalogUnavailable, InvalidInstance, MalformedIdentifier, TooLarge
from archive.model import reasons
from archive.model.attributes import IndexedAttribute
from archive.model.identifiers import InstancePath, StudyUid
from archive.model.instances import (
    BlobKey,
    Origin,
    StagedFile,
    StoredInstance,
    StoreOutcome,
    StoreStatus,
)
from archive.model.reasons import Reason
from archive.part10 import (
    HeaderLimits,
    check_instance,
    encode_frame_index,
    locate_frames,
    read_header,
    to_json,
)
from archive.part10.checks import uid_of
from archive.part10.from_json import Attributes, first
from auth import Principal

GZIP_LEVEL = 4
"""A third of the time of level 9 for a tenth more bytes, measured over WSI metadata."""

_TRIES = 3
"""Times that rows are written; each but the first follows a deletion in that very moment."""

_BY_CODE = {reason.code: reason for reason in (*reasons.FAILURES, *reasons.WARNINGS)}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance that has passed every check, ready to be kept."""

    entry: index.Entry
    warnings: tuple[Reason, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stores:
    """What storing works with."""

    database: Database
    blobs: BlobStore
    staging: Staging
    limits: HeaderLimits
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    site: Sequence[IndexedAttribute] = ()
    """Attributes that the settings add to search."""


def prepare(staged: StagedFile, limits: HeaderLimits) -> Prepared:
    """Read everything that the catalog keeps from a staged file, and check it.

    Raises
    ------
    InvalidInstance
        When it cannot be kept, with the reason that the store response carries.
    """
    with staged.path.open("rb") as file:
        header = read_header(file, size=staged.size, limits=limits)
        checked = check_instance(header)
        located = locate_frames(file, header)
        metadata = to_json(header)
    try:
        attributes = orjson.loads(metadata.header)
    except orjson.JSONDecodeError as error:
        message = f"the metadata cannot be written as DICOM JSON: {error.msg}"
        raise InvalidInstance(message) from error
    frame_index = None if located.index is None else encode_frame_index(located.index)
    entry = index.Entry(
        path=checked.path,
        sop_class_uid=checked.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        attributes=attributes,
        pixels=checked.pixels,
        frame_index=frame_index,
        header_gz=_gzip(metadata.header),
        per_frame_gz=None if metadata.per_frame is None else _gzip(metadata.per_frame),
        size=staged.size,
        sha256=staged.sha256,
    )
    warnings = checked.warnings
    if located.warnings and not warnings:
        warnings = (reasons.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,)
    return Prepared(entry, warnings, (*checked.remarks, *located.warnings))


def store(
    stores: Stores,
    staged: StagedFile,
    *,
    by: Principal,
    origin: Origin,
    study: StudyUid | None = None,
) -> StoreOutcome:
    """Keep one instance; the staged file is consumed, whatever comes of it.

    Parameters
    ----------
    study
        The study that the request is about: instances of another are refused (PS3.18 §10.5.1.1.1).

    Returns
    -------
    StoreOutcome
        Also for an instance that was refused.

    Raises
    ------
    CatalogUnavailable, BlobsUnavailable
        When it can neither be kept nor refused; nothing is then visible, and it may be sent again.
    """
    try:
        try:
            prepared = prepare(staged, stores.limits)
        except InvalidInstance as error:
            outcome = _refused_unread(staged, error, stores.limits)
        else:
            outcome = _keep(stores, staged, prepared, by=by, origin=origin, study=study)
    finally:
        stores.staging.discard(staged)
    if outcome.status is StoreStatus.REJECTED:
        _record_refusal(stores, outcome, by)
    return outcome


def store_metadata(
    stores: Stores,
    attributes: Attributes,
    find: FindBulk,
    *,
    by: Principal,
    origin: Origin,
    study: StudyUid | None = None,
) -> StoreOutcome:
    """Keep one instance that came as metadata and bulk data (PS3.18 §10.5.1.4).

    It is put together as a file in scratch, and stored as any file is; see `store` and
    `archive.assembly`.
    """
    try:
        with _as_a_refusal(), stores.staging.receive() as writer:
            for piece in assemble(attributes, find):
                writer.write(piece)
            staged = writer.finish()
    except InvalidInstance as error:
        texts = [first(attributes, tag) for tag in ("0020000D", "0020000E", "00080018")]
        uids = [text if isinstance(text, str) else "" for text in texts]
        path = None
        with contextlib.suppress(MalformedIdentifier):
            path = InstancePath.parse(*uids)
        sop_class = first(attributes, "00080016")
        outcome = _rejected(
            error,
            sop_class if isinstance(sop_class, str) else "",
            uids[2],
            path,
        )
        _record_refusal(stores, outcome, by)
        return outcome
    return store(stores, staged, by=by, origin=origin, study=study)


@contextlib.contextmanager
def _as_a_refusal() -> Iterator[None]:
    """Refuse one instance that is too large, where others of the same request may be stored."""
    try:
        yield
    except TooLarge as error:
        raise InvalidInstance(str(error), reasons.OUT_OF_RESOURCES.code) from error


def _keep(
    stores: Stores,
    staged: StagedFile,
    prepared: Prepared,
    *,
    by: Principal,
    origin: Origin,
    study: StudyUid | None,
) -> StoreOutcome:
    entry = prepared.entry
    if study is not None and entry.path.study != study:
        return _refused(
            entry,
            reasons.OF_ANOTHER_STUDY,
            f"the instance is of study {entry.path.study}, the request is about {study}",
        )
    with stores.database.begin() as session:  # before the put: a blob that is refused is no litter
        present = lookup.find_by_uid(session, entry.path.instance)
        conflicts = index.conflicts(session, entry) if present is None else []
    if present is not None:
        return _present(entry, present)
    warnings = prepared.warnings
    if conflicts:  # the worse of the two: someone else's slide may be in this case
        warnings = (reasons.CONFLICTS_WITH_STORED, *warnings)
    key = new_key(entry.sha256)
    stores.blobs.put(key, staged)
    try:
        lost = _recorded(stores, entry, key, by=by, origin=origin)
        if lost is not None:
            return lost
    except CatalogUnavailable:
        _settle(stores, entry, key)
    except Exception:  # a statement that failed was rolled back; an interrupt says nothing of that
        stores.blobs.delete(key)
        raise
    return StoreOutcome(
        sop_class_uid=entry.sop_class_uid,
        path=entry.path,
        status=StoreStatus.STORED,
        detail="; ".join((*conflicts, *prepared.remarks)),
        warnings=warnings,
        sop_instance_uid=entry.path.instance,
    )


def record(
    stores: Stores,
    entry: index.Entry,
    *,
    blob_key: BlobKey,
    by: Principal,
    origin: Origin,
    stored_at: datetime,
) -> None:
    """Write rows, audit event and change in one transaction.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        When another was quicker to store this SOP Instance UID.
    CatalogUnavailable
        When the database does not answer; whether it was done cannot be known.
    """
    path, now = entry.path, stores.now()
    with stores.database.begin() as session:
        index.add(
            session,
            entry,
            blob_key=blob_key,
            origin=origin,
            stored_at=stored_at,
            site=stores.site,
        )
        audit.record(
            session,
            f"store:{origin.value}",
            by=by,
            now=now,
            study=path.study,
            series=path.series,
            instance=path.instance,
        )
        changes.record(session, changes.STORED, [path], now=now)


def _recorded(
    stores: Stores, entry: index.Entry, key: BlobKey, *, by: Principal, origin: Origin
) -> StoreOutcome | None:
    """Write the rows; gives what to answer where another was quicker, whose instance stays."""
    for _ in range(_TRIES):
        try:
            record(stores, entry, blob_key=key, by=by, origin=origin, stored_at=stores.now())
        except IntegrityError:
            with stores.database.begin() as session:
                present = lookup.find_by_uid(session, entry.path.instance)
            if present is not None:
                stores.blobs.delete(key)
                return _present(entry, present)
            # It was stored by another, and has been deleted since: the place is free again.
        else:
            return None
    stores.blobs.delete(key)
    detail = "the instance was stored and deleted by others, again and again"
    return _refused(entry, reasons.PROCESSING_FAILURE, detail)


def _settle(stores: Stores, entry: index.Entry, key: BlobKey) -> None:
    """Look whether a commit was done around which the connection was lost.

    A blob goes only when another one has taken its place for good. Otherwise it stays, even where
    no row is seen: the server may still be at work on the commit of the connection that was lost,
    and a row must never come to point at a blob that is gone. Without a row it is litter, which
    harms nobody and which `fixity.verify` finds.

    Raises
    ------
    CatalogUnavailable
        When it was not done, or nobody can tell.
    """
    with stores.database.begin() as session:
        present = lookup.find_by_uid(session, entry.path.instance)
    if present is not None and present.blob_key == key:
        return
    if present is not None:
        stores.blobs.delete(key)
    message = f"the database was lost while {entry.path.instance} was stored; send it again"
    raise CatalogUnavailable(message)


def _present(entry: index.Entry, present: StoredInstance) -> StoreOutcome:
    if present.path == entry.path and present.sha256 == entry.sha256:
        return StoreOutcome(
            sop_class_uid=entry.sop_class_uid,
            path=entry.path,
            status=StoreStatus.ALREADY_STORED,
            sop_instance_uid=entry.path.instance,
        )
    what = "with other content"
    if present.path != entry.path:
        what = "in another series" if present.path.study == entry.path.study else "in another study"
    return _refused(
        entry,
        reasons.DUPLICATE_SOP_INSTANCE,
        f"SOP Instance UID {entry.path.instance} is stored already, {what}; that one was kept",
    )


def _refused(entry: index.Entry, failure: Reason, detail: str) -> StoreOutcome:
    return StoreOutcome(
        sop_class_uid=entry.sop_class_uid,
        path=entry.path,
        status=StoreStatus.REJECTED,
        failure=failure,
        detail=detail,
        sop_instance_uid=entry.path.instance,
    )


def _refused_unread(
    staged: StagedFile, error: InvalidInstance, limits: HeaderLimits
) -> StoreOutcome:
    """Refuse a file that did not pass, with as much of its identity as can be read."""
    sop_class = sop_instance = ""
    path: InstancePath | None = None
    try:
        with staged.path.open("rb") as file:
            header = read_header(file, size=staged.size, limits=limits)
        texts = [uid_of(header.dataset, tag) for tag in (0x00080016, 0x00080018)]
        sop_class, sop_instance = texts
        uids = [uid_of(header.dataset, tag) for tag in (0x0020000D, 0x0020000E, 0x00080018)]
        path = InstancePath.parse(*uids)
    except Exception as unreadable:  # noqa: BLE001 - what is refused may be broken in any way
        _log.debug("a refused file tells no more of itself: %s", type(unreadable).__name__)
    return _rejected(error, sop_class, sop_instance, path)


def _rejected(
    error: InvalidInstance, sop_class: str, sop_instance: str, path: InstancePath | None
) -> StoreOutcome:
    """Tell of a refusal whatever is known of the instance."""
    return StoreOutcome(
        sop_class_uid=sop_class[:64],
        path=path,
        status=StoreStatus.REJECTED,
        failure=_BY_CODE.get(error.reason_code, reasons.CANNOT_UNDERSTAND),
        detail=str(error),
        sop_instance_uid=sop_instance[:64],
    )


def _record_refusal(stores: Stores, outcome: StoreOutcome, by: Principal) -> None:
    """Leave a trace of what was refused; the answer does not depend on it."""
    path = outcome.path
    try:
        with stores.database.begin() as session:
            audit.record(
                session,
                "store",
                by=by,
                now=stores.now(),
                outcome=audit.FAILURE,
                study=None if path is None else path.study,
                series=None if path is None else path.series,
                instance=None if path is None else path.instance,
                detail=outcome.detail,
            )
    except CatalogUnavailable:
        _log.warning("a refused instance could not be written to the audit log: %s", outcome.detail)


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=GZIP_LEVEL, mtime=0)
