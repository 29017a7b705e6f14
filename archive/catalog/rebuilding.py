"""What a rebuild remembers of the catalog that it empties (see `archive.fixity`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, literal, select, text, tuple_
from sqlalchemy.orm import Session

from archive.catalog.tables import InstanceRow, KnownBlobRow
from archive.model.instances import BlobKey, Origin

_MARK = "-"
"""Stands in the table, as no key can, so that a rebuild of an empty catalog is seen to be begun."""


@dataclass(frozen=True, slots=True)
class KnownBlob:
    """What the catalog knew of a blob."""

    stored_at: datetime
    """UTC."""
    origin: Origin


def begin(session: Session) -> bool:
    """Remember what is known, and empty the catalog: in one transaction, or not at all.

    Returns
    -------
    bool
        False when a rebuild was begun before and has not ended; nothing is emptied then.
    """
    session.execute(text("LOCK TABLE rebuild_known_blobs IN EXCLUSIVE MODE"))
    if session.execute(select(KnownBlobRow.blob_key).limit(1)).first() is not None:
        return False
    known = select(InstanceRow.blob_key, InstanceRow.stored_at, InstanceRow.origin)
    columns = ["blob_key", "stored_at", "origin"]
    session.execute(insert(KnownBlobRow).from_select(columns, known))
    mark = select(literal(_MARK), text("now()"), literal(Origin.REBUILD.value))
    session.execute(insert(KnownBlobRow).from_select(columns, mark))
    session.execute(
        text("TRUNCATE studies, series, instances, instance_metadata, attribute_values")
    )
    return True


def end(session: Session) -> None:
    """Forget everything: the catalog is whole again."""
    session.execute(delete(KnownBlobRow))


def known_after(
    session: Session, after: tuple[datetime, BlobKey] | None, *, limit: int
) -> list[tuple[datetime, BlobKey]]:
    """Give known blobs, those stored first at first, behind the time and key `after`."""
    statement = select(KnownBlobRow.stored_at, KnownBlobRow.blob_key).where(
        KnownBlobRow.blob_key != _MARK
    )
    order = tuple_(KnownBlobRow.stored_at, KnownBlobRow.blob_key)
    if after is not None:
        statement = statement.where(order > after)
    rows = session.execute(
        statement.order_by(KnownBlobRow.stored_at, KnownBlobRow.blob_key).limit(limit)
    )
    return [(row.stored_at, BlobKey(row.blob_key)) for row in rows]


def known(session: Session, key: BlobKey) -> KnownBlob | None:
    """Give what was known of a blob."""
    row = session.get(KnownBlobRow, key)
    return None if row is None else KnownBlob(row.stored_at, Origin(row.origin))


def unknown(session: Session, keys: Sequence[BlobKey]) -> list[BlobKey]:
    """Give those of `keys` that were not known, in their order."""
    found = select(KnownBlobRow.blob_key).where(KnownBlobRow.blob_key.in_(keys))
    known_keys = set(session.scalars(found))
    return [key for key in keys if key not in known_keys]
