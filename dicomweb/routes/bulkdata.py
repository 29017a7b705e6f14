"""Bulk data and pixel data, of one element or of all (PS3.18 §10.4.1.1.5, §10.4.1.1.6)."""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import Response

from archive.model.identifiers import InstancePath, ResourcePath
from auth import Permission
from dicomweb import bulk
from dicomweb.addresses import PREFIX
from dicomweb.bulk import OCTETS
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.responses import (
    CHUNK_BYTES,
    StreamedResponse,
    entity_tag,
    is_current,
    joined_vary,
    not_modified,
    sized_or_streamed,
    wanted_range,
)

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-RS)"])

_SERIES = "/studies/{study}/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes", "content": {OCTETS: {}, "multipart/related": {}}},
    206: {"description": "A range of them"},
    304: {"description": "As the client has it"},
    404: {"description": "No such instance, or nothing there"},
    406: {"description": "Not available as asked"},
    416: {"description": "The range lies behind the end"},
}
_ONE: dict[str, Any] = {"x-accept": [f'multipart/related; type="{OCTETS}"', OCTETS]}
_ALL_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A part for each", "content": {"multipart/related": {}}},
    206: {"description": "Those of them that are available as asked"},
    304: {"description": "As the client has it"},
    404: {"description": "No such resource, or nothing there"},
    406: {"description": "Not available as asked"},
}
_ALL: dict[str, Any] = {
    "x-accept": [f'multipart/related; type="{OCTETS}"', 'multipart/related; type="image/*"']
}


@router.get("/studies/{study}/bulkdata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def study_bulk_data(study: str, caller: _Reader) -> Response:
    """All bulk data of a study, pixel data among them."""
    return all_bulk_data(ResourcePath.parse(study), caller)


@router.get(_SERIES + "/bulkdata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def series_bulk_data(study: str, series: str, caller: _Reader) -> Response:
    """All bulk data of a series, pixel data among them."""
    return all_bulk_data(ResourcePath.parse(study, series), caller)


@router.get(_INSTANCE + "/bulkdata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def instance_bulk_data(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """All bulk data of an instance, its pixel data among them."""
    return all_bulk_data(ResourcePath.parse(study, series, instance), caller)


@router.get("/studies/{study}/pixeldata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def study_pixel_data(study: str, caller: _Reader) -> Response:
    """Every frame of a study."""
    return all_bulk_data(ResourcePath.parse(study), caller, pixels_only=True)


@router.get(_SERIES + "/pixeldata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def series_pixel_data(study: str, series: str, caller: _Reader) -> Response:
    """Every frame of a series."""
    return all_bulk_data(ResourcePath.parse(study, series), caller, pixels_only=True)


@router.get(_INSTANCE + "/pixeldata", responses=_ALL_RESPONSES, openapi_extra=_ALL)
def instance_pixel_data(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Every frame of an instance."""
    return all_bulk_data(ResourcePath.parse(study, series, instance), caller, pixels_only=True)


@router.get(_INSTANCE + "/bulkdata/{attribute:path}", responses=_RESPONSES, openapi_extra=_ONE)
def bulk_data(study: str, series: str, instance: str, attribute: str, caller: _Reader) -> Response:
    """Bulk data by attribute path: tags and zero-based item numbers, joined by slashes."""
    path = InstancePath.parse(study, series, instance)
    archive, visible = caller.archive, caller.visible
    stored = archive.locate(path, visible=visible)
    header = b""
    if attribute == bulk.DOCUMENT:
        resource = ResourcePath(path.study, path.series, path.instance)
        header = next(archive.metadata(resource, visible=visible)).header
    offer = caller.choose(bulk.element_offers(header, attribute, single=True))
    tag = entity_tag(
        stored.sha256, attribute, str(offer), caller.address.root, weak=offer.multipart
    )
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=86400",
        "Accept-Ranges": "none" if offer.multipart else "bytes",
        **joined_vary("Accept"),
    }
    if offer.name != OCTETS:  # a document of somebody else must not run as a page of ours
        headers["Content-Disposition"] = "attachment"
        headers["Content-Security-Policy"] = "sandbox"
    content = archive.bulk_data(stored, attribute)
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    if offer.multipart:
        writer = MultipartWriter.of(offer.name)
        url = caller.address.resource(path.study, path.series, path.instance)
        part = Part.of(offer.content_type, content, f"{url}/bulkdata/{attribute}")
        return StreamedResponse(
            writer.body([part]),
            media_type=writer.content_type,
            length=writer.length([part]),
            headers=headers,
        )
    size = len(content)
    wanted = wanted_range(caller.header("range"), caller.header("if-range"), size, tag)
    first, end = (0, size) if wanted is None else wanted
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamedResponse(
        _pieces(content, first, end),
        media_type=offer.content_type,
        length=end - first,
        status_code=200 if wanted is None else 206,
        headers=headers,
    )


def all_bulk_data(path: ResourcePath, caller: Caller, *, pixels_only: bool = False) -> Response:
    """Answer with all bulk data of a resource, or with its pixel data alone, as parts."""
    archive, visible = caller.archive, caller.visible
    instances = archive.instances(path, visible=visible)
    documents = () if pixels_only else archive.metadata(path, visible=visible)
    selection = bulk.select(caller, documents, instances)
    items = selection.items
    tag = entity_tag(
        caller.address.root,
        *(f"{one.instance.sha256} {one.attribute} {one.offer}" for one in items),
        weak=True,
    )
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **joined_vary("Accept")}
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    if selection.left_out:
        agent = urlsplit(caller.address.root).netloc
        text = f"{selection.left_out} bulk data elements are not available as asked"
        headers["Warning"] = f'299 {agent} "{text}"'
    writer = MultipartWriter.of(items[0].offer.name)
    return sized_or_streamed(
        writer.body(bulk.parts(archive, items, caller.address)),
        media_type=writer.content_type,
        headers=headers,
        status_code=206 if selection.left_out else 200,
    )


def _pieces(content: bytes, first: int, end: int) -> Iterator[bytes]:
    for start in range(first, end, CHUNK_BYTES):
        yield content[start : min(start + CHUNK_BYTES, end)]
