"""A slide file that was given to be converted, and how that goes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class SlideState(StrEnum):
    """Where a slide is on its way."""

    QUEUED = "queued"
    CONVERTING = "converting"
    STORED = "stored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """One slide file that was given, as it is told to who gave it."""

    id: UUID
    filename: str
    """May identify a patient: shown, never logged."""
    state: SlideState
    progress: float
    """From 0 to 1."""
    error: str | None
    """One line, when it failed."""
    source_sha256: str
    source_size: int
    """Bytes."""
    study_uid: str | None
    series_uid: str | None
    """Both known once it is stored."""
    received_by: str
    """Identifier of a principal."""
    received_at: datetime
    updated_at: datetime
