"""Audit events: who did what to which UIDs, when, and how it ended. Never patient data.

Written in the transaction of what they tell about. A trigger of the database refuses to change or
delete them.
"""

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.orm import Session

from archive.catalog.tables import AuditRow
from auth import Principal

SUCCESS, FAILURE = "success", "failure"


def record(
    session: Session,
    action: str,
    *,
    by: Principal,
    now: datetime,
    outcome: str = SUCCESS,
    study: str | None = None,
    series: str | None = None,
    instance: str | None = None,
    detail: str = "",
) -> None:
    """Add one event."""
    session.execute(
        insert(AuditRow).values(
            occurred_at=now,
            principal_id=by.id,
            action=action,
            outcome=outcome,
            study_uid=study,
            series_uid=series,
            instance_uid=instance,
            detail=detail,
        )
    )
