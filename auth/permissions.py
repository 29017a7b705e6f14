"""What may be done, as one enumeration, and roles as named sets of it.

A permission exists when a route or a verb asks for it, not before. A role is only a name for a
set: code asks for permissions, never for a role.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Permission(StrEnum):
    """One thing that somebody may do."""

    STUDIES_READ = "studies:read"
    """Search, metadata, frames, rendered images, bulk data, whole instances."""
    STUDIES_STORE = "studies:store"
    """Put instances in (STOW-RS)."""
    STUDIES_DELETE = "studies:delete"
    """Delete studies, series and instances."""
    SLIDES_INGEST = "slides:ingest"
    """Give a slide file to be converted and stored."""
    JOBS_READ = "jobs:read"
    """See how a conversion goes."""
    METRICS_READ = "metrics:read"
    """Read `/metrics`."""
    ARCHIVE_VERIFY = "archive:verify"
    """Check every blob against the catalog, and make the catalog again from the blobs."""
    TOKENS_MANAGE = "tokens:manage"
    """Create, list and revoke API tokens."""


_READER = frozenset({Permission.STUDIES_READ, Permission.JOBS_READ})
_CONTRIBUTOR = _READER | {Permission.STUDIES_STORE, Permission.SLIDES_INGEST}
_CURATOR = _CONTRIBUTOR | {Permission.STUDIES_DELETE}

ROLES: Mapping[str, frozenset[Permission]] = MappingProxyType(
    {
        "reader": _READER,
        "contributor": _CONTRIBUTOR,
        "curator": _CURATOR,
        "monitor": frozenset({Permission.METRICS_READ}),
        "admin": frozenset(Permission),
    }
)
"""Role → what it allows. `monitor` is for a Prometheus server: figures, and not one patient."""

OPEN_PERMISSIONS = _CONTRIBUTOR | {Permission.METRICS_READ}
"""What everybody may do where authentication is off: work, but neither delete, verify nor manage.

Any page in any browser on the machine can send requests to a loopback address, so what
reaches beyond the work of the day stays with tokens and the command line.
"""
