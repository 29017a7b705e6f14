"""The HTTP interface as an OpenAPI document, made from the routes themselves.

Owns what FastAPI leaves out or makes up: plain routes, the permission that each needs, UIDs, DICOM
JSON, and that whatever goes wrong is answered with a problem (RFC 9457).
"""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from archive.model.identifiers import MAXIMUM_UID_LENGTH
from auth import Permission
from dicomweb import problems
from dicomweb.dependencies import PermissionNeeded, ProtectedRoute

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `type` is stable, `detail` is for people.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:coverslip:problem:"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "available": {"type": "array", "items": {"type": "string"}},
    },
}
_DATA_SET = {
    "type": "object",
    "description": "A data set in the DICOM JSON Model (PS3.18 Annex F).",
    "propertyNames": {"pattern": "^[0-9A-F]{8}$"},
    "additionalProperties": {
        "type": "object",
        "required": ["vr"],
        "properties": {
            "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "Value": {"type": "array"},
            "BulkDataURI": {"type": "string"},
            "InlineBinary": {"type": "string"},
        },
        "additionalProperties": False,
    },
}
_SCHEMAS = {"Problem": _PROBLEM, "DataSet": _DATA_SET}
_DATA_SET_REF = {"$ref": "#/components/schemas/DataSet"}
_PROBLEM_CONTENT = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_DICOM_JSON = ("application/dicom+json", "application/json")
_UID = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": MAXIMUM_UID_LENGTH}
_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "study": _UID,
    "series": _UID,
    "instance": _UID,
    "frames": {"type": "string", "pattern": "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"},
    "attribute": {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(/[0-9]+/[0-9A-Fa-f]{8})*$"},
    "slide_id": {"type": "string", "format": "uuid"},
}
_TEMPLATE = re.compile(r"\{(\w+)(?::\w+)?\}")


def describe(
    routes: Iterable[BaseRoute], *, title: str, version: str, description: str, tokens: bool
) -> dict[str, Any]:
    """Make the document.

    Parameters
    ----------
    tokens
        Whether a token is asked for.
    """
    routes = list(routes)
    document = get_openapi(title=title, version=version, description=description, routes=routes)
    for route in routes:
        if isinstance(route, ProtectedRoute):
            methods = sorted((route.methods or set()) - {"HEAD", "OPTIONS"})
            described = {method.lower(): _plain(route) for method in methods}
            document["paths"].setdefault(_TEMPLATE.sub(r"{\1}", route.path), {}).update(described)
    permissions = {
        (_TEMPLATE.sub(r"{\1}", route.path), method.lower()): permission_of(route)
        for route in routes
        if isinstance(route, APIRoute | ProtectedRoute)
        for method in route.methods or ()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(method, operation, permissions[path, method], tokens=tokens)
    document["components"] = {
        "schemas": _SCHEMAS,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return document


def permission_of(route: BaseRoute) -> Permission | None:
    """Find the permission that a route states, where it is stated."""
    if isinstance(route, ProtectedRoute):
        return route.permission
    return _stated(route.dependant) if isinstance(route, APIRoute) else None


def _stated(dependant: Dependant) -> Permission | None:
    for one in dependant.dependencies:
        if isinstance(one.call, PermissionNeeded):
            return one.call.permission
        found = _stated(one)
        if found is not None:
            return found
    return None


def _plain(route: ProtectedRoute) -> dict[str, Any]:
    """Describe a route that FastAPI knows nothing of."""
    about: Any = route
    names = _TEMPLATE.findall(route.path)
    return {
        "summary": route.name.replace("_", " ").capitalize(),
        "description": about.description,
        "operationId": route.name,
        "parameters": [{"name": name, "in": "path", "required": True} for name in names],
        "responses": {str(code): deepcopy(one) for code, one in about.responses.items()},
        **deepcopy(about.openapi_extra),
    }


def _complete(
    method: str, operation: dict[str, Any], permission: Permission | None, *, tokens: bool
) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["schema"] = _PATH_SCHEMAS[parameter["name"]]
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)  # FastAPI's own, which we never give
    for status, response in responses.items():
        content: dict[str, Any] = response.get("content", {})
        if content.get("application/json") == {"schema": {}} and len(content) > 1:
            del content["application/json"]  # made up by FastAPI
        for name in _DICOM_JSON:
            if name in content and operation.get("x-non-standard") is None:
                many = method == "get" and status == "200"
                schema = {"type": "array", "items": _DATA_SET_REF} if many else _DATA_SET_REF
                content[name] = {"schema": schema}
        if status >= "400" and not content:
            response["content"] = _PROBLEM_CONTENT
    if permission is not None:
        operation["x-permission"] = permission.value
        if tokens:
            operation["security"] = [{"token": []}]
        responses.setdefault("401", {"description": "A token is needed"})
        responses.setdefault("403", {"description": "A permission is lacking"})
        for status in ("401", "403"):
            responses[status].setdefault("content", _PROBLEM_CONTENT)
    responses["default"] = {
        "description": "Whatever else goes wrong",
        "content": _PROBLEM_CONTENT,
    }
