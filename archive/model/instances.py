"""An instance as it is kept, where it came from, and what storing it led to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NewType

from archive.model.frames import FrameIndex, PixelDescription
from archive.model.identifiers import InstancePath
from archive.model.reasons import Reason

BlobKey = NewType("BlobKey", str)
"""Random, never reused, and holds nothing that identifies a patient."""


class Origin(StrEnum):
    """By which door an instance came in."""

    STOW = "stow"
    CONVERSION = "conversion"
    IMPORT = "import"
    REBUILD = "rebuild"


class StoreStatus(StrEnum):
    """What became of one instance."""

    STORED = "stored"
    ALREADY_STORED = "already stored"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file received whole into local scratch and hashed on the way, not yet kept."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal, computed while receiving."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """All that is needed to serve an instance without asking the database again."""

    path: InstancePath
    sop_class_uid: str
    transfer_syntax_uid: str
    blob_key: BlobKey
    size: int
    """Bytes of the whole Part 10 file."""
    sha256: str
    """Of the whole Part 10 file, hexadecimal."""
    stored_at: datetime
    """UTC."""
    pixels: PixelDescription | None
    """None for an instance without pixel data."""
    frame_index: FrameIndex | None
    """None without pixel data, and where frames cannot be read by range (deflated datasets)."""


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What storing one instance led to; both HTTP and DIMSE statuses follow from it."""

    sop_class_uid: str
    path: InstancePath | None
    """None when the file told no identifiers."""
    status: StoreStatus
    failure: Reason | None = None
    detail: str = ""
    """In words, for the one who sent it: names tags and UIDs, never patient data."""
    warnings: tuple[Reason, ...] = ()
    sop_instance_uid: str = ""
    """As sent, also when the path as a whole could not be told."""
