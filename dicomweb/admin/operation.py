"""For those who run the server: is it alive, can it work, and what has it done."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from archive.errors import BlobsUnavailable, CatalogUnavailable
from auth import Permission
from dicomweb import problems
from dicomweb.dependencies import Caller, Serving, requires
from dicomweb.metrics import CONTENT_TYPE

router = APIRouter(tags=["Operation (not part of DICOMweb)"])

_NO_STORE = {"Cache-Control": "no-store"}
_NON_STANDARD = {"x-non-standard": True}


@router.get("/health/live", openapi_extra=_NON_STANDARD)
def live() -> Response:
    """Tell that the process answers."""
    return Response(b'{"status":"live"}', media_type="application/json", headers=_NO_STORE)


@router.get(
    "/health/ready",
    openapi_extra=_NON_STANDARD,
    responses={503: {"description": "The database or the blob store does not answer"}},
)
def ready(services: Serving) -> Response:
    """Tell whether database and blob store answer."""
    try:
        services.archive.ready()
    except (CatalogUnavailable, BlobsUnavailable) as error:
        # What exactly does not answer, and why, is for the log: anybody may ask here.
        return problems.answer(type(error)("not ready: see the server's log"))
    return Response(b'{"status":"ready"}', media_type="application/json", headers=_NO_STORE)


@router.get(
    "/metrics",
    openapi_extra=_NON_STANDARD,
    responses={200: {"description": "Figures of all processes", "content": {"text/plain": {}}}},
)
def metrics(caller: Annotated[Caller, requires(Permission.METRICS_READ)]) -> Response:
    """Figures for Prometheus."""
    return Response(
        caller.services.metrics.exposition(), headers={"content-type": CONTENT_TYPE, **_NO_STORE}
    )
