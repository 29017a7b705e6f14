"""Paths → stored instances, read from the catalog as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, false, select
from sqlalchemy.orm import Session

from archive.catalog.tables import InstanceRow, MetadataRow, SeriesRow, StudyRow
from archive.model.frames import FrameIndex, PixelDescription
from archive.model.identifiers import InstancePath, InstanceUid, ResourcePath, SeriesUid, StudyUid
from archive.model.instances import BlobKey, StoredInstance
from archive.part10 import decode_frame_index
from auth import Visibility

MAXIMUM_PARTS = 1000
"""Of a concatenation."""


@dataclass(frozen=True, slots=True)
class Located:
    """An instance, and what decides who may see it."""

    instance: StoredInstance
    labels: frozenset[str]
    """Of its study."""


@dataclass(frozen=True, slots=True)
class MetadataParts:
    """The metadata of one instance as they are kept: gzip'd DICOM JSON."""

    path: InstancePath
    sha256: str
    header_gz: bytes
    per_frame_gz: bytes | None


@dataclass(frozen=True, slots=True)
class KeptBlob:
    """A blob, and what the catalog says of it."""

    blob_key: BlobKey
    path: InstancePath
    size: int
    sha256: str


_COLUMNS = (
    StudyRow.study_uid,
    StudyRow.labels,
    SeriesRow.series_uid,
    InstanceRow.instance_uid,
    InstanceRow.sop_class_uid,
    InstanceRow.transfer_syntax_uid,
    InstanceRow.blob_key,
    InstanceRow.size,
    InstanceRow.sha256,
    InstanceRow.stored_at,
    InstanceRow.pixels,
)


def find(session: Session, path: InstancePath, *, frame_index: bool = True) -> Located | None:
    """Give the instance at `path`, whoever may see it; None when there is none."""
    columns: tuple[Any, ...] = (*_COLUMNS, InstanceRow.frame_index) if frame_index else _COLUMNS
    row = session.execute(
        _joined(*columns).where(
            InstanceRow.instance_uid == path.instance,
            SeriesRow.series_uid == path.series,
            StudyRow.study_uid == path.study,
        )
    ).one_or_none()
    if row is None:
        return None
    index = None
    if frame_index and row.frame_index is not None:
        index = decode_frame_index(row.frame_index)
    return Located(_instance(row, index), frozenset(row.labels))


def find_parts(session: Session, path: InstancePath) -> list[Located]:
    """Give the parts of the concatenation whose source is at `path`, whoever may see them."""
    rows = session.execute(
        _joined(*_COLUMNS)
        .where(
            InstanceRow.sop_instance_uid_of_concatenation_source == path.instance,
            SeriesRow.series_uid == path.series,
            StudyRow.study_uid == path.study,
        )
        .order_by(InstanceRow.id)
        .limit(MAXIMUM_PARTS)
    )
    return [Located(_instance(row, None), frozenset(row.labels)) for row in rows]


def find_by_uid(session: Session, uid: InstanceUid) -> StoredInstance | None:
    """Give the instance of that SOP Instance UID, in whichever study, without its frame index."""
    row = session.execute(_joined(*_COLUMNS).where(InstanceRow.instance_uid == uid)).one_or_none()
    return None if row is None else _instance(row, None)


def list_instances(
    session: Session, resource: ResourcePath, visible: Visibility
) -> list[StoredInstance]:
    """Give the instances of a resource in the order they were stored, without frame indexes."""
    statement = _within(_joined(*_COLUMNS), resource, visible)
    return [_instance(row, None) for row in session.execute(statement)]


def list_metadata(
    session: Session, resource: ResourcePath, visible: Visibility, *, limit: int, after: int = 0
) -> tuple[list[MetadataParts], int]:
    """Give some of the metadata of a resource, in the order the instances were stored.

    Returns
    -------
    tuple of list and int
        The metadata, and what to give as `after` to get those behind them.
    """
    statement = _within(
        _joined(
            InstanceRow.id,
            StudyRow.study_uid,
            SeriesRow.series_uid,
            InstanceRow.instance_uid,
            InstanceRow.sha256,
            MetadataRow.header,
            MetadataRow.per_frame,
        ).join(MetadataRow, MetadataRow.instance_id == InstanceRow.id),
        resource,
        visible,
    )
    rows = session.execute(statement.where(InstanceRow.id > after).limit(limit)).all()
    parts = [MetadataParts(_path(row), row.sha256, row.header, row.per_frame) for row in rows]
    return parts, rows[-1].id if rows else after


def blobs_after(session: Session, key: str, *, limit: int) -> list[KeptBlob]:
    """Give the blobs of instances whose keys lie behind `key`, ascending."""
    rows = session.execute(
        _joined(
            StudyRow.study_uid,
            SeriesRow.series_uid,
            InstanceRow.instance_uid,
            InstanceRow.blob_key,
            InstanceRow.size,
            InstanceRow.sha256,
        )
        .where(InstanceRow.blob_key > key)
        .order_by(InstanceRow.blob_key)
        .limit(limit)
    )
    return [KeptBlob(BlobKey(row.blob_key), _path(row), row.size, row.sha256) for row in rows]


def which_are_kept(session: Session, keys: Sequence[BlobKey]) -> set[BlobKey]:
    """Give those of `keys` that an instance has."""
    found = session.scalars(select(InstanceRow.blob_key).where(InstanceRow.blob_key.in_(keys)))
    return {BlobKey(key) for key in found}


def is_kept(session: Session, key: BlobKey) -> bool:
    """Tell whether an instance has this blob."""
    return bool(which_are_kept(session, [key]))


def visibility_clause(statement: Select[Any], visible: Visibility) -> Select[Any]:
    """Restrict a statement that has `StudyRow` in it to what may be seen."""
    if visible.is_all:
        return statement
    if visible.is_none or visible.labels is None:
        return statement.where(false())
    return statement.where(StudyRow.labels.overlap(sorted(visible.labels)))


def may_see(visible: Visibility, labels: frozenset[str]) -> bool:
    """Tell the same of a study whose labels are known."""
    return visible.labels is None or not visible.labels.isdisjoint(labels)


def _joined(*columns: Any) -> Select[Any]:  # noqa: ANN401 - SQLAlchemy's columns have many types
    return (
        select(*columns)
        .select_from(InstanceRow)
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
        .join(StudyRow, StudyRow.id == InstanceRow.study_id)
    )


def _within(statement: Select[Any], resource: ResourcePath, visible: Visibility) -> Select[Any]:
    statement = statement.where(StudyRow.study_uid == resource.study)
    if resource.series is not None:
        statement = statement.where(SeriesRow.series_uid == resource.series)
    if resource.instance is not None:
        statement = statement.where(InstanceRow.instance_uid == resource.instance)
    return visibility_clause(statement, visible).order_by(InstanceRow.id)


def _path(row: Any) -> InstancePath:  # noqa: ANN401 - a row of any of the selects above
    return InstancePath(
        StudyUid(row.study_uid), SeriesUid(row.series_uid), InstanceUid(row.instance_uid)
    )


def _instance(row: Any, frame_index: FrameIndex | None) -> StoredInstance:  # noqa: ANN401
    return StoredInstance(
        path=_path(row),
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        blob_key=BlobKey(row.blob_key),
        size=row.size,
        sha256=row.sha256,
        stored_at=row.stored_at,
        pixels=None if row.pixels is None else PixelDescription(**row.pixels),
        frame_index=frame_index,
    )
