"""Deleting: a tombstone now, the bytes destroyed after a grace period.

One transaction takes the instances out of the catalog, leaves tombstones, and writes audit events
and change feed. From then on nothing of them is found; who could see them is told that they are
gone. The bytes are destroyed by a job when `Settings.deletion_grace_days` have passed.

The database must not be the only place that knows of a deletion: a catalog made again from the
blobs would bring everything back. So a record is put beside the blobs, after the commit (a record
of a deletion that was rolled back would hide what is there) and by a job where the process that
deleted did not live to do so. It goes when the bytes are gone.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import orjson
from sqlalchemy.orm import Session

from archive.blobs import BlobStore, Staging, is_record_key, new_record_key
from archive.catalog import audit, changes, tombstones
from archive.catalog.database import Database
from archive.errors import BlobMissing, BlobsUnavailable, CatalogUnavailable, Gone, NotFound
from archive.model.deletions import DeletedInstance, Deletion
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import BlobKey
from auth import Permission, Policy, Principal

MAXIMUM_REASON = 500
"""Characters of a reason."""
_RECORD_WITHIN = timedelta(minutes=1)
"""After this a job looks whether the record of a deletion was put."""
_FORMAT = "coverslip deletion 1"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deletions:
    """What deleting works with."""

    database: Database
    blobs: BlobStore
    staging: Staging
    settle_later: Callable[[Session, UUID, datetime], None]
    """Enqueues, in the transaction of a session, a job that calls `settle` at that time (UTC)."""
    grace: timedelta
    """Between a deletion and the day on which bytes are destroyed."""
    now: Callable[[], datetime]


def delete(
    deletions: Deletions, resource: ResourcePath, *, by: Principal, reason: str
) -> list[InstancePath]:
    """Delete a study, a series or an instance; gives the instances that were deleted.

    Raises
    ------
    Forbidden
        When `by` may not delete.
    Gone
        When all of it has been deleted before.
    NotFound
        When there is no such resource, or `by` may not see it.
    CatalogUnavailable
        When whether it was deleted cannot be known; it may be deleted again.
    """
    policy = Policy()
    policy.require(by, Permission.STUDIES_DELETE)
    visible = policy.visibility(by)
    now = deletions.now()
    reason = " ".join(reason.split())[:MAXIMUM_REASON]
    deletion = Deletion(uuid4(), resource, by.id, reason, now, now + deletions.grace)
    with deletions.database.begin() as session:
        paths = tombstones.bury(session, deletion, visible)
        if not paths:
            buried = tombstones.covers(session, resource, visible)
            raise Gone("it has been deleted") if buried else NotFound("there is no such resource")
        deletions.settle_later(session, deletion.id, now + _RECORD_WITHIN)
        deletions.settle_later(session, deletion.id, deletion.purge_after)
        audit.record(
            session,
            "delete",
            by=by,
            now=now,
            study=resource.study,
            series=resource.series,
            instance=resource.instance,
            detail=f"{len(paths)} instances, deletion {deletion.id}",
        )
        changes.record(session, changes.DELETED, paths, now=now)
    try:
        _put_record(deletions, deletion)
    except (BlobsUnavailable, CatalogUnavailable) as error:
        _log.warning("the record of deletion %s is left to a job: %s", deletion.id, error)
    return paths


def settle(deletions: Deletions, identifier: UUID) -> None:
    """Do what is left of a deletion: put its record, and destroy its bytes once that is due.

    May be called at any time and as often as one likes.

    Raises
    ------
    CatalogUnavailable, BlobsUnavailable
        When either goes away in between; to be called again.
    """
    with deletions.database.begin() as session:
        found = tombstones.find(session, identifier)
    if found is None:  # purged already
        return
    deletion, record_key = found
    if deletions.now() < deletion.purge_after:
        if record_key is None:
            _put_record(deletions, deletion)
        return
    with deletions.database.begin() as session:
        instances = tombstones.instances_of(session, identifier)
    for one in instances:
        deletions.blobs.delete(one.blob_key)
    if record_key is not None:  # the last of the blobs: what it tells of is gone
        deletions.blobs.delete(record_key)
    with deletions.database.begin() as session:
        tombstones.set_purged(session, identifier, deletions.now())
        resource = deletion.resource
        audit.record(
            session,
            "purge",
            by=Principal.service("deletion"),
            now=deletions.now(),
            study=resource.study,
            series=resource.series,
            instance=resource.instance,
            detail=f"{len(instances)} blobs, deletion {identifier}",
        )


def restore(deletions: Deletions) -> int:
    """Read the records of all deletions, and bring back those that the database has lost.

    Returns
    -------
    int
        How many were brought back.
    """
    restored = 0
    for key in deletions.blobs.keys():  # noqa: SIM118 - a store of blobs is no dictionary
        if not is_record_key(key):
            continue
        try:
            with deletions.blobs.open(key) as file:
                deletion, instances = _read_record(file.read())
        except (BlobMissing, ValueError, KeyError, TypeError) as error:
            _log.warning("the record %s of a deletion cannot be read: %s", key, error)
            continue
        with deletions.database.begin() as session:
            if tombstones.restore(session, deletion, instances, key):
                deletions.settle_later(session, deletion.id, deletion.purge_after)
                restored += 1
    return restored


# --- records --------------------------------------------------------------------------------------


def _put_record(deletions: Deletions, deletion: Deletion) -> None:
    """Put the record of a deletion beside the blobs, and remember where."""
    with deletions.database.begin() as session:
        instances = tombstones.instances_of(session, deletion.id)
    with deletions.staging.receive() as writer:
        for piece in _record(deletion, instances):
            writer.write(piece)
        staged = writer.finish()
    key = new_record_key(staged.sha256)
    try:
        deletions.blobs.put(key, staged)
    finally:
        deletions.staging.discard(staged)
    with deletions.database.begin() as session:
        is_needed = tombstones.set_record(session, deletion.id, key)
    if not is_needed:  # another was quicker
        deletions.blobs.delete(key)


def _record(deletion: Deletion, instances: Sequence[DeletedInstance]) -> Iterator[bytes]:
    """Write a record: one line about the deletion, one for each instance."""
    resource = deletion.resource
    yield orjson.dumps(
        {
            "format": _FORMAT,
            "id": deletion.id,
            "resource": [resource.study, resource.series, resource.instance],
            "by": deletion.by,
            "reason": deletion.reason,
            "at": deletion.at,
            "purge_after": deletion.purge_after,
        }
    )
    for one in instances:
        path = [one.path.study, one.path.series, one.path.instance]
        yield b"\n" + orjson.dumps({"path": path, "blob": one.blob_key, "labels": one.labels})


def _read_record(content: bytes) -> tuple[Deletion, list[DeletedInstance]]:
    """Read a record; raises `ValueError`, `KeyError` or `TypeError` when it is none."""
    head, *lines = [orjson.loads(line) for line in content.split(b"\n")]
    if head["format"] != _FORMAT:
        message = "it is of another format"
        raise ValueError(message)
    deletion = Deletion(
        UUID(head["id"]),
        ResourcePath.parse(*head["resource"]),
        head["by"],
        head["reason"],
        datetime.fromisoformat(head["at"]),
        datetime.fromisoformat(head["purge_after"]),
    )
    instances = [
        DeletedInstance(
            InstancePath.parse(*line["path"]), BlobKey(line["blob"]), tuple(line["labels"])
        )
        for line in lines
    ]
    return deletion, instances
