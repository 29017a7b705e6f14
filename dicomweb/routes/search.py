"""Search transaction, QIDO-RS, at every path (PS3.18 §10.6)."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from archive.model.attributes import Kind, Level
from archive.model.query import Page, Query, Remaining, ResultRow
from auth import Permission
from dicomweb import native_model
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.codings import pack
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.negotiation import Offer
from dicomweb.queries import SearchRequest, parse_search
from dicomweb.responses import joined_vary

router = APIRouter(prefix=PREFIX, tags=["Search (QIDO-RS)"])

OFFERS = (
    Offer("application/dicom+json"),
    Offer("application/json"),
    Offer(native_model.MEDIA_TYPE, multipart=True),
)
RETRIEVE_URL = "00081190"
FUZZY = (
    "fuzzymatching: every word of the key begins a word of the name, in any order, case and "
    "diacritics folded; not phonetic"
)
"""What fuzzy matching of names is here: PS3.4 C.2.2.2.1.1 leaves it to each archive to say."""
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
            ("emptyvaluematching", {"type": "boolean"}, 'Let `""` match what has no value'),
            ("multiplevaluematching", {"type": "boolean"}, "Let each value of a list be wanted"),
            ("includefield", {"type": "string"}, "Attributes to return besides, or `all`"),
            ("PatientID", {"type": "string"}, "Any indexed attribute by keyword or tag"),
        )
    ]
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Matches",
        "content": {"application/dicom+json": {}, "application/json": {}, "multipart/related": {}},
    },
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
        site=caller.archive.site_attributes(),
    )
    offer = caller.choose(OFFERS)
    visible = caller.visible
    page = caller.archive.search(asked.query, visible=visible)
    remaining = caller.archive.remaining(asked.query, page, visible=visible)
    headers = {"Cache-Control": "no-store", **joined_vary("Accept", "Accept-Encoding")}
    warnings = _warnings(caller.address, asked, remaining, most)
    if warnings:
        headers["Warning"] = ", ".join(warnings)
    if not page.rows:
        return Response(status_code=204, headers=headers)
    content_type, body = _body(offer, page, asked.query, caller.address)
    body = pack(body, caller.header("accept-encoding"), headers)
    return Response(body, headers={"content-type": content_type, **headers})


def _body(offer: Offer, page: Page, query: Query, address: BaseUrl) -> tuple[str, bytes]:
    """Write the rows with the address of each (PS3.18 §10.6.3.3); gives Content-Type and body."""
    rows = (_row(row, query, address) for row in page.rows)
    if offer.name != native_model.MEDIA_TYPE:
        return offer.name, b"[" + b",".join(rows) + b"]"
    # One part a match: an XML document has one root (PS3.18 §F.2.1).
    writer = MultipartWriter.of(offer.name)
    parts = (Part.of(offer.name, native_model.to_xml(orjson.loads(row))) for row in rows)
    return writer.content_type, b"".join(writer.body(parts))


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


def _warnings(address: BaseUrl, asked: SearchRequest, remaining: Remaining, most: int) -> list[str]:
    """Make the Warning values of PS3.18 §8.3.4 and §10.6.3.1 (RFC 7234 §5.5)."""
    texts = []
    if remaining.count or not remaining.exact:
        # Counting them all would take longer than the search, where there are very many.
        count = f"{remaining.count}" if remaining.exact else f"at least {max(remaining.count, 1)}"
        texts.append(f"There are {count} additional results that can be requested")
        if asked.limited:
            texts.append(f"No more than {most} results are given at once")
    if asked.query.fuzzy and any(key.attribute.kind is Kind.NAME for key in asked.query.keys):
        texts.append(FUZZY)
    if asked.unsupported:
        names = [re.sub(r"[^A-Za-z0-9_.-]", "?", name[:64]) for name in asked.unsupported]
        more = len(names) - MAXIMUM_NAMED
        text = ", ".join(names[:MAXIMUM_NAMED]) + (f" and {more} more" if more > 0 else "")
        texts.append(f"These parameters are not supported, and were left out: {text}")
    agent = urlsplit(address.root).netloc
    return [f'299 {agent} "{text}"' for text in texts]
