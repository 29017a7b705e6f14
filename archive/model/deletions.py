"""What a deletion is."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import BlobKey


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion of one resource: who, when, why, and until when its bytes are kept."""

    id: UUID
    resource: ResourcePath
    by: str
    """Identifier of the principal."""
    reason: str
    """In the words of whoever deleted; empty where they gave none."""
    at: datetime
    """UTC."""
    purge_after: datetime
    """UTC; the bytes are destroyed no earlier."""


@dataclass(frozen=True, slots=True)
class DeletedInstance:
    """One instance of a deletion, and the blob that waits to be destroyed."""

    path: InstancePath
    blob_key: BlobKey
    labels: tuple[str, ...]
    """Of its study: who could see it, and so may know that it is gone."""
