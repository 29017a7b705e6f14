"""Black-box checks of a DICOMweb service, against any base URL (PS3.18).

They import nothing of this project but each other, make their own files, and say of every demand
from which clause or which client it is derived.
"""

# Each module registers its checks when it is imported; this is the order in which they are told.
# isort: off
from conformance.checks import (  # noqa: F401 - imported for what they register
    negotiation,
    store,
    store_forms,
    search,
    search_clients,
    retrieve,
    frames,
    metadata,
    bulk_data,
    rendered,
    thumbnails,
    transcoding,
    capabilities,
    wado_uri,
    deletion,
    http_semantics,
    robustness,
)

# isort: on
from conformance.checks.registry import CHECKS, Check, Failed, Result, Source, Status, selected
from conformance.checks.run import Report, attempt, prepared, run
from conformance.checks.service import Service

__all__ = [
    "CHECKS",
    "Check",
    "Failed",
    "Report",
    "Result",
    "Service",
    "Source",
    "Status",
    "attempt",
    "prepared",
    "run",
    "selected",
]
