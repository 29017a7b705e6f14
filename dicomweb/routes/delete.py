"""Deleting studies, series and instances: no transaction of PS3.18, in the form the field gives it.

``DELETE`` on the resource, answered with 204 as other DICOMweb servers do. What was deleted is 410
from then on (PS3.18 Table 8.5-1), to those who could see it.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.model.identifiers import ResourcePath
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires

router = APIRouter(prefix=PREFIX, tags=["Delete"])

REASON_HEADER = "Deletion-Reason"
"""Of the request: why, in words. No query parameter, for addresses end up in logs."""

_Deleter = Annotated[Caller, requires(Permission.STUDIES_DELETE)]
_MORE: dict[str, Any] = {
    "status_code": 204,
    "response_class": Response,
    "responses": {
        204: {"description": "Deleted: nothing of it is found any more"},
        403: {"description": "The permission studies:delete is lacking"},
        404: {"description": "No such study, series or instance"},
        410: {"description": "Deleted before"},
    },
    "openapi_extra": {
        "x-non-standard": True,
        "parameters": [
            {
                "name": REASON_HEADER,
                "in": "header",
                "description": "Why, in words; kept with the deletion.",
                "schema": {"type": "string", "maxLength": 500},
            }
        ],
    },
}


@router.delete("/studies/{study}", **_MORE)
def delete_study(study: str, caller: _Deleter) -> Response:
    """Delete a study."""
    return _delete(ResourcePath.parse(study), caller)


@router.delete("/studies/{study}/series/{series}", **_MORE)
def delete_series(study: str, series: str, caller: _Deleter) -> Response:
    """Delete a series."""
    return _delete(ResourcePath.parse(study, series), caller)


@router.delete("/studies/{study}/series/{series}/instances/{instance}", **_MORE)
def delete_instance(study: str, series: str, instance: str, caller: _Deleter) -> Response:
    """Delete an instance."""
    return _delete(ResourcePath.parse(study, series, instance), caller)


def _delete(resource: ResourcePath, caller: Caller) -> Response:
    reason = caller.header(REASON_HEADER) or ""
    caller.archive.delete(resource, by=caller.principal, reason=reason)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
