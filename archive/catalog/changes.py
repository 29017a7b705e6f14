"""The numbered change feed: what was stored and deleted, in the order in which it became visible.

Numbers come from one row that a writer locks as the last thing before its commit, not from a
sequence: a sequence hands out 7 before 6 has committed, and a reader that remembers 7 would never
see 6. With the row, number n + 1 can only be given out when n is visible or was rolled back, in
which case n is given out again; there are neither gaps nor late arrivals. The price is that commits
queue behind each other from that statement on, for as long as one commit takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from archive.catalog.tables import ChangePositionRow, ChangeRow
from archive.model.identifiers import InstancePath

STORED = "stored"
DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the feed."""

    number: int
    action: str
    path: InstancePath
    changed_at: datetime
    """UTC."""


def record(session: Session, action: str, paths: Sequence[InstancePath], *, now: datetime) -> int:
    """Add entries; the last statement of a unit of work, since it makes others wait.

    Returns
    -------
    int
        Number of the last entry.
    """
    last = session.execute(
        update(ChangePositionRow)
        .values(last=ChangePositionRow.last + len(paths))
        .returning(ChangePositionRow.last)
    ).scalar_one()
    first = last - len(paths) + 1
    session.execute(
        insert(ChangeRow),
        [
            {
                "number": number,
                "action": action,
                "study_uid": path.study,
                "series_uid": path.series,
                "instance_uid": path.instance,
                "changed_at": now,
            }
            for number, path in enumerate(paths, first)
        ],
    )
    return last


def since(session: Session, number: int, *, limit: int = 1000) -> list[Change]:
    """Give the entries behind `number`, ascending."""
    rows = session.scalars(
        select(ChangeRow).where(ChangeRow.number > number).order_by(ChangeRow.number).limit(limit)
    )
    return [
        Change(
            row.number,
            row.action,
            InstancePath.parse(row.study_uid, row.series_uid, row.instance_uid),
            row.changed_at,
        )
        for row in rows
    ]
