"""The columns of a catalog made again from the metadata that it keeps.

Needed when attributes are added to search: by a release, or by the settings of a site. Blobs are
not read, and the archive works meanwhile; rows are taken a few at a time.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.catalog import audit, site_attributes
from archive.catalog.index import columns_of, kept
from archive.catalog.tables import InstanceRow, MetadataRow, SeriesRow, StudyRow
from archive.model.attributes import Level
from auth import Permission, Policy, Principal

if TYPE_CHECKING:
    from archive.archive import Archive

BATCH = 200
"""Rows that are locked at once."""

Progress = Callable[[int], None]
"""Called with the rows done so far."""

_ROWS: dict[Level, Any] = {
    Level.STUDY: StudyRow,
    Level.SERIES: SeriesRow,
    Level.INSTANCE: InstanceRow,
}
# A row's own identity stays, in whatever form its metadata have it.
_IDENTITY = {
    Level.STUDY: ("study_uid",),
    Level.SERIES: ("series_uid",),
    Level.INSTANCE: ("instance_uid", "sop_class_uid"),
}


@dataclass(slots=True)
class ReindexReport:
    """What `reindex` did."""

    rows: int = 0
    """Studies, series and instances, together."""


def reindex(
    archive: "Archive", *, by: Principal, progress: Progress | None = None
) -> ReindexReport:
    """Index everything by the attributes that this release and the settings name.

    The servers must have been started with the same settings before, so that what is stored
    meanwhile is indexed by them too. When it is interrupted, run it again.

    Raises
    ------
    Forbidden
        When `by` may not verify.
    CatalogUnavailable
        When the database goes away in between.
    """
    Policy().require(by, Permission.ARCHIVE_VERIFY)
    report = ReindexReport()
    for level in Level:
        last = 0
        while True:
            with archive.database.begin() as session:
                done, last = _batch(session, archive, level, last)
            report.rows += done
            if progress is not None:
                progress(report.rows)
            if done < BATCH:
                break
    with archive.database.begin() as session:
        now = archive.stores.now()
        site_attributes.mark(session, archive.stores.site, now)
        audit.record(session, "reindex", by=by, now=now, outcome=audit.SUCCESS)
    return report


def _batch(session: Session, archive: "Archive", level: Level, last: int) -> tuple[int, int]:
    """Index some rows behind number `last`; gives how many, and the number of the last of them."""
    row = _ROWS[level]
    source = MetadataRow.header if level is Level.INSTANCE else row.attributes
    found = select(row.id, source).where(row.id > last).order_by(row.id).limit(BATCH)
    if level is Level.INSTANCE:
        found = found.join(MetadataRow, MetadataRow.instance_id == InstanceRow.id)
    rows = session.execute(found.with_for_update(of=row, key_share=True)).all()
    for identity, told in rows:
        attributes = orjson.loads(gzip.decompress(told)) if level is Level.INSTANCE else told
        columns = columns_of(level, attributes)
        for name in _IDENTITY[level]:
            del columns[name]
        if level is Level.INSTANCE:
            columns["attributes"] = kept(level, attributes, archive.stores.site)
        session.execute(update(row).where(row.id == identity).values(**columns))
        site_attributes.write(session, archive.stores.site, level, identity, attributes)
    return len(rows), rows[-1].id if rows else last
