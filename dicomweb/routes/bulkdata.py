"""Bulk data of an instance, at any depth (PS3.18 §10.4.1.1.5)."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.model.identifiers import InstancePath
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter
from dicomweb.negotiation import EXPLICIT_VR_LITTLE_ENDIAN, Offer
from dicomweb.responses import (
    CHUNK_BYTES,
    StreamedResponse,
    entity_tag,
    is_current,
    joined_vary,
    not_modified,
    parse_range,
)

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-RS)"])

_OCTETS = "application/octet-stream"
# Bulk data is sent in little endian, whatever it was stored in (PS3.18 §8.7.3.4). A bare wildcard
# is served as a single part, which is what whoever pastes a BulkDataURI somewhere expects.
OFFERS = (
    Offer(_OCTETS, multipart=False, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN),
    Offer(_OCTETS, multipart=True, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN),
)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes", "content": {_OCTETS: {}, "multipart/related": {}}},
    206: {"description": "A range of them"},
    404: {"description": "No such instance, or nothing there"},
}


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{attribute:path}",
    responses=_RESPONSES,
)
def bulk_data(
    study: str,
    series: str,
    instance: str,
    attribute: str,
    caller: Annotated[Caller, requires(Permission.STUDIES_READ)],
) -> Response:
    """Bulk data by attribute path: tags and zero-based item numbers, joined by slashes."""
    path = InstancePath.parse(study, series, instance)
    offer = caller.choose(OFFERS)
    archive = caller.archive
    stored = archive.locate(path, visible=caller.visible)
    tag = entity_tag(stored.sha256, attribute, str(offer))
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=86400",
        "Accept-Ranges": "none" if offer.multipart else "bytes",
        **joined_vary("Accept"),
    }
    content = archive.bulk_data(stored, attribute)
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    if offer.multipart:
        writer = MultipartWriter.of(_OCTETS)
        return StreamedResponse(
            writer.body([(offer.content_type, content)]),
            media_type=writer.content_type,
            length=writer.length([(offer.content_type, len(content))]),
            headers=headers,
        )
    wanted = parse_range(caller.header("range"), len(content))
    first, end = (0, len(content)) if wanted is None else wanted
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return StreamedResponse(
        _pieces(content, first, end),
        media_type=offer.content_type,
        length=end - first,
        status_code=200 if wanted is None else 206,
        headers=headers,
    )


def _pieces(content: bytes, first: int, end: int) -> Iterator[bytes]:
    for start in range(first, end, CHUNK_BYTES):
        yield content[start : min(start + CHUNK_BYTES, end)]
