"""Search transaction, QIDO-RS, at every path (PS3.18 §10.6)."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from archive.model.attributes import Level
from archive.model.query import Page, Query, ResultRow
from auth import Permission
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.codings import pack
from dicomweb.dependencies import Caller, requires
from dicomweb.negotiation import Offer
from dicomweb.queries import SearchRequest, parse_search
from dicomweb.responses import joined_vary

router = APIRouter(prefix=PREFIX, tags=["Search (QIDO-RS)"])

OFFERS = (Offer("application/dicom+json"), Offer("application/json"))
RETRIEVE_URL = "00081190"
MAXIMUM_NAMED = 20
"""Parameters that a Warning header names at most."""

_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": text,
        }
        for name, schema, text in (
            ("limit", {"type": "integer", "minimum": 0}, "Rows at most"),
            ("offset", {"type": "integer", "minimum": 0}, "Rows to pass over"),
            ("fuzzymatching", {"type": "boolean"}, "Match person names by word"),
            ("includefield", {"type": "string"}, "Attributes to return besides, or `all`"),
            ("PatientID", {"type": "string"}, "Any indexed attribute by keyword or tag"),
        )
    ]
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Matches", "content": {"application/dicom+json": {}}},
    204: {"description": "No matches"},
    400: {"description": "A parameter is not well formed"},
}


@router.get("/studies", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def search_studies(caller: _Reader) -> Response:
    """Search for studies."""
    return _search(caller, Level.STUDY)


@router.get("/series", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def search_all_series(caller: _Reader) -> Response:
    """Search for series of all studies."""
    return _search(caller, Level.SERIES)


@router.get("/instances", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def search_all_instances(caller: _Reader) -> Response:
    """Search for instances of all studies."""
    return _search(caller, Level.INSTANCE)


@router.get("/studies/{study}/series", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def search_series(study: str, caller: _Reader) -> Response:
    """Search for series of a study."""
    return _search(caller, Level.SERIES, study)


@router.get("/studies/{study}/instances", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def search_study_instances(study: str, caller: _Reader) -> Response:
    """Search for instances of a study."""
    return _search(caller, Level.INSTANCE, study)


@router.get(
    "/studies/{study}/series/{series}/instances", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def search_instances(study: str, series: str, caller: _Reader) -> Response:
    """Search for instances of a series."""
    return _search(caller, Level.INSTANCE, study, series)


def _search(
    caller: Caller, level: Level, study: str | None = None, series: str | None = None
) -> Response:
    most = caller.services.settings.max_search_results
    asked = parse_search(
        caller.query_string,
        level=level,
        study=study,
        series=series,
        default_limit=most,
        maximum_limit=most,
    )
    offer = caller.choose(OFFERS)
    visible = caller.visible
    page = caller.archive.search(asked.query, visible=visible)
    remaining = caller.archive.remaining(asked.query, visible=visible) if page.more else 0
    headers = {"Cache-Control": "no-store", **joined_vary("Accept", "Accept-Encoding")}
    warnings = _warnings(caller.address, asked, remaining)
    if warnings:
        headers["Warning"] = ", ".join(warnings)
    if not page.rows:
        return Response(status_code=204, headers=headers)
    body = _body(page, asked.query, caller.address)
    body = pack(body, caller.header("accept-encoding"), headers)
    return Response(body, headers={"content-type": offer.name, **headers})


def _body(page: Page, query: Query, address: BaseUrl) -> bytes:
    """Write the rows as DICOM JSON, with the address of each (PS3.18 §10.6.3.3)."""
    return b"[" + b",".join(_row(row, query, address) for row in page.rows) + b"]"


def _row(row: ResultRow, query: Query, address: BaseUrl) -> bytes:
    url = address.resource(row.study, row.series, row.instance)
    attributes = dict(row.attributes)
    attributes[RETRIEVE_URL] = {"vr": "UR", "Value": [url]}
    text = orjson.dumps({tag: attributes[tag] for tag in sorted(attributes)})
    if query.level is not Level.INSTANCE:
        return text
    # Stored relative to the instance. A quote inside of a JSON string is escaped, so this text
    # stands nowhere else.
    return text.replace(b'"BulkDataURI":"', f'"BulkDataURI":"{url}/'.encode())


def _warnings(address: BaseUrl, asked: SearchRequest, remaining: int) -> list[str]:
    """Make the Warning values of PS3.18 §8.3.4.4 and §10.6.3.1."""
    agent = urlsplit(address.root).netloc
    warnings = []
    if remaining:
        text = f"There are {remaining} additional results that can be requested"
        warnings.append(f'299 {agent} "{text}"')
    if asked.unsupported:
        names = [re.sub(r"[^A-Za-z0-9_.-]", "?", name[:64]) for name in asked.unsupported]
        more = len(names) - MAXIMUM_NAMED
        text = ", ".join(names[:MAXIMUM_NAMED]) + (f" and {more} more" if more > 0 else "")
        warnings.append(
            f'299 {agent} "These parameters are not supported, and were left out: {text}"'
        )
    return warnings
