"""Slide files that were given to be converted, as rows, and how they change."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID, uuid4

import orjson
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from archive.catalog.tables import SlideRow
from archive.model.instances import StagedFile
from archive.model.slides import SlideRecord, SlideState
from auth import Principal
from conversion import ConversionRequest

UNDER_WAY = (SlideState.QUEUED, SlideState.CONVERTING)


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a slide that was given."""

    record: SlideRecord
    queued: bool
    """Whether it has to be converted; not when the same is under way already."""


def give(
    session: Session,
    staged: StagedFile,
    filename: str,
    request: ConversionRequest,
    *,
    by: Principal,
    now: datetime,
) -> Given:
    """Make the row of a slide, or set the one of the same file and request to be done again.

    Giving a slide twice is no error: what is stored is found to be stored, what failed is tried
    again, and what is under way stays so.
    """
    key = request.digest()
    values = {
        "id": uuid4(),
        "filename": filename,
        "source_sha256": staged.sha256,
        "source_size": staged.size,
        "request_sha256": key,
        "request": asdict(request),
        "state": SlideState.QUEUED.value,
        "received_by": by.id,
        "received_at": now,
        "updated_at": now,
    }
    again = {name: values[name] for name in ("filename", "state", "received_by", "received_at")}
    row = session.scalars(
        upsert(SlideRow)
        .values(**values)
        .on_conflict_do_update(
            index_elements=["source_sha256", "request_sha256"],
            set_={**again, "updated_at": now, "progress": 0.0, "error": None},
            where=SlideRow.state.not_in([state.value for state in UNDER_WAY]),
        )
        .returning(SlideRow)
    ).one_or_none()
    if row is not None:
        return Given(_record(row), queued=True)
    found = select(SlideRow).where(
        SlideRow.source_sha256 == staged.sha256, SlideRow.request_sha256 == key
    )
    return Given(_record(session.scalars(found).one()), queued=False)


def find(session: Session, identifier: UUID) -> SlideRecord | None:
    """Give one slide."""
    row = session.get(SlideRow, identifier)
    return None if row is None else _record(row)


def request_of(session: Session, identifier: UUID) -> ConversionRequest:
    """Give what is asked for with a slide that is there."""
    found = session.execute(select(SlideRow.request).where(SlideRow.id == identifier)).scalar_one()
    return ConversionRequest.from_json(orjson.dumps(found).decode())


def under_way(session: Session) -> list[SlideRecord]:
    """Give the slides whose files are still needed."""
    states = [state.value for state in UNDER_WAY]
    return [
        _record(row) for row in session.scalars(select(SlideRow).where(SlideRow.state.in_(states)))
    ]


def list_slides(session: Session, *, limit: int) -> list[SlideRecord]:
    """Give the slides that were given last, the newest first."""
    rows = session.scalars(
        select(SlideRow).order_by(SlideRow.received_at.desc(), SlideRow.id).limit(limit)
    )
    return [_record(row) for row in rows]


def change(session: Session, identifier: UUID, *, now: datetime, **values: object) -> None:
    """Set columns of a slide: `state`, `progress`, `error`, `study_uid`, `series_uid`."""
    session.execute(
        update(SlideRow).where(SlideRow.id == identifier).values(**values, updated_at=now)
    )


def _record(row: SlideRow) -> SlideRecord:
    return SlideRecord(
        id=row.id,
        filename=row.filename,
        state=SlideState(row.state),
        progress=row.progress,
        error=row.error,
        source_sha256=row.source_sha256,
        source_size=row.source_size,
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        received_by=row.received_by,
        received_at=row.received_at,
        updated_at=row.updated_at,
    )
