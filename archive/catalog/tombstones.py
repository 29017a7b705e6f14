"""Deletions in the database: instances out of the catalog, tombstones in their place.

What is deleted, and when bytes are destroyed, is the business of `archive.deletion`.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from archive.catalog import index
from archive.catalog.lookup import visibility_clause
from archive.catalog.tables import DeletionRow, InstanceRow, SeriesRow, StudyRow, TombstoneRow
from archive.model.deletions import DeletedInstance, Deletion
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import BlobKey
from auth import Visibility

_COLUMNS = ["deletion_id", "study_uid", "series_uid", "instance_uid", "labels", "blob_key"]


def bury(session: Session, deletion: Deletion, visible: Visibility) -> list[InstancePath]:
    """Take the instances of a resource out of the catalog, and put tombstones in their place.

    The row of the study is locked first, as `index.add` does, so that an instance that is stored
    meanwhile either is there to be deleted, or comes into what remains.

    Returns
    -------
    list of InstancePath
        In the order they were stored; none where there is no such resource, or none to be seen.
    """
    resource = deletion.resource
    found = select(StudyRow.id).where(StudyRow.study_uid == resource.study)
    study_id = session.execute(visibility_clause(found, visible).with_for_update()).scalar()
    if study_id is None:
        return []
    instances = (
        select(
            literal(deletion.id),
            StudyRow.study_uid,
            SeriesRow.series_uid,
            InstanceRow.instance_uid,
            StudyRow.labels,
            InstanceRow.blob_key,
        )
        .select_from(InstanceRow)
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
        .join(StudyRow, StudyRow.id == InstanceRow.study_id)
        .where(InstanceRow.study_id == study_id)
        .order_by(InstanceRow.id)
    )
    if resource.series is not None:
        instances = instances.where(SeriesRow.series_uid == resource.series)
    if resource.instance is not None:
        instances = instances.where(InstanceRow.instance_uid == resource.instance)
    if session.execute(instances.limit(1)).first() is None:
        return []
    _add_deletion(session, deletion)
    session.execute(insert(TombstoneRow).from_select(_COLUMNS, instances))
    deleted = instances_of(session, deletion.id)
    buried = select(TombstoneRow.blob_key).where(TombstoneRow.deletion_id == deletion.id)
    session.execute(delete(InstanceRow).where(InstanceRow.blob_key.in_(buried)))
    _drop_empty(session, study_id)
    return [one.path for one in deleted]


def _drop_empty(session: Session, study_id: int) -> None:
    """Drop series and study without instances; what remains tells of what remains in it."""
    session.execute(
        delete(SeriesRow).where(
            SeriesRow.study_id == study_id,
            ~exists().where(InstanceRow.series_id == SeriesRow.id),
        )
    )
    gone = session.execute(
        delete(StudyRow)
        .where(StudyRow.id == study_id, ~exists().where(InstanceRow.study_id == study_id))
        .returning(StudyRow.id)
    ).first()
    if gone is None:
        index.derive(session, study_id)


def restore(
    session: Session,
    deletion: Deletion,
    instances: Sequence[DeletedInstance],
    record_key: BlobKey,
) -> bool:
    """Bring back what the database has lost of a deletion; False when it knows of it already."""
    if session.get(DeletionRow, deletion.id) is not None:
        return False
    _add_deletion(session, deletion, record_key)
    for one in instances:
        row = (deletion.id, *_uids(one.path), list(one.labels), one.blob_key)
        session.execute(
            upsert(TombstoneRow)
            .values(dict(zip(_COLUMNS, row, strict=True)))
            .on_conflict_do_nothing(index_elements=["blob_key"])
        )
    return True


def covers(session: Session, resource: ResourcePath, visible: Visibility) -> bool:
    """Tell whether instances of `resource`, such as could be seen, have been deleted."""
    buried = select(TombstoneRow.id).where(TombstoneRow.study_uid == resource.study)
    if resource.series is not None:
        buried = buried.where(TombstoneRow.series_uid == resource.series)
    if resource.instance is not None:
        buried = buried.where(TombstoneRow.instance_uid == resource.instance)
    if visible.labels is not None:
        buried = buried.where(TombstoneRow.labels.overlap(sorted(visible.labels)))
    return session.execute(buried.limit(1)).first() is not None


def which_are_buried(session: Session, keys: Sequence[BlobKey]) -> set[BlobKey]:
    """Give those of `keys` whose instance was deleted, and those of the records of deletions."""
    blobs = select(TombstoneRow.blob_key).where(TombstoneRow.blob_key.in_(keys))
    records = select(DeletionRow.record_key).where(DeletionRow.record_key.in_(keys))
    return {BlobKey(key) for key in session.scalars(blobs.union_all(records))}


def find(session: Session, identifier: UUID) -> tuple[Deletion, BlobKey | None] | None:
    """Give a deletion whose bytes are still kept, and the key of its record."""
    row = session.get(DeletionRow, identifier)
    if row is None or row.purged_at is not None:
        return None
    resource = ResourcePath.parse(row.study_uid, row.series_uid, row.instance_uid)
    deletion = Deletion(
        row.id, resource, row.deleted_by, row.reason, row.deleted_at, row.purge_after
    )
    return deletion, None if row.record_key is None else BlobKey(row.record_key)


def instances_of(session: Session, identifier: UUID) -> list[DeletedInstance]:
    """Give the instances of a deletion, in the order they were stored."""
    rows = session.scalars(
        select(TombstoneRow).where(TombstoneRow.deletion_id == identifier).order_by(TombstoneRow.id)
    )
    return [
        DeletedInstance(
            InstancePath.parse(row.study_uid, row.series_uid, row.instance_uid),
            BlobKey(row.blob_key),
            tuple(row.labels),
        )
        for row in rows
    ]


def set_record(session: Session, identifier: UUID, record_key: BlobKey) -> bool:
    """Say where the record of a deletion is; False when it has one, or needs none any more."""
    changed = session.execute(
        update(DeletionRow)
        .where(
            DeletionRow.id == identifier,
            DeletionRow.record_key.is_(None),
            DeletionRow.purged_at.is_(None),
        )
        .values(record_key=record_key)
        .returning(DeletionRow.id)
    ).first()
    return changed is not None


def set_purged(session: Session, identifier: UUID, now: datetime) -> None:
    """Say that the bytes of a deletion are destroyed."""
    session.execute(
        update(DeletionRow)
        .where(DeletionRow.id == identifier)
        .values(purged_at=now, record_key=None)
    )


def _add_deletion(session: Session, deletion: Deletion, record_key: BlobKey | None = None) -> None:
    resource = deletion.resource
    session.execute(
        insert(DeletionRow).values(
            id=deletion.id,
            study_uid=resource.study,
            series_uid=resource.series,
            instance_uid=resource.instance,
            deleted_by=deletion.by,
            reason=deletion.reason,
            deleted_at=deletion.at,
            purge_after=deletion.purge_after,
            record_key=record_key,
        )
    )


def _uids(path: InstancePath) -> tuple[str, str, str]:
    return path.study, path.series, path.instance
