"""Metadata of studies, series and instances as DICOM JSON (PS3.18 §10.4.1.1.2, Annex F)."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.model.identifiers import ResourcePath
from archive.retrieve import METADATA_VERSION, MetadataDocument
from auth import Permission
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.codings import BROTLI, GZIP, choose_coding, encoded
from dicomweb.dependencies import Caller, requires
from dicomweb.negotiation import Offer
from dicomweb.responses import (
    entity_tag,
    is_current,
    joined_vary,
    not_modified,
    sized_or_streamed,
)

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-RS)"])

OFFERS = (Offer("application/dicom+json"), Offer("application/json"))
_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "One object an instance", "content": {"application/dicom+json": {}}},
    304: {"description": "As the client has it"},
    404: {"description": "No such study, series or instance"},
    406: {"description": "JSON is not acceptable"},
}


@router.get("/studies/{study}/metadata", responses=_RESPONSES)
def study_metadata(study: str, caller: _Reader) -> Response:
    """Metadata of every instance of a study."""
    return _metadata(ResourcePath.parse(study), caller)


@router.get("/studies/{study}/series/{series}/metadata", responses=_RESPONSES)
def series_metadata(study: str, series: str, caller: _Reader) -> Response:
    """Metadata of every instance of a series."""
    return _metadata(ResourcePath.parse(study, series), caller)


@router.get("/studies/{study}/series/{series}/instances/{instance}/metadata", responses=_RESPONSES)
def instance_metadata(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Metadata of an instance."""
    path = ResourcePath.parse(study, series, instance)
    return _metadata(path, caller)


def _metadata(path: ResourcePath, caller: Caller) -> Response:
    offer = caller.choose(OFFERS)
    address, visible = caller.address, caller.visible
    instances = caller.archive.instances(path, visible=visible)
    # gzip first: it is what the metadata are stored in.
    coding = choose_coding(caller.header("accept-encoding"), favourites=(GZIP, BROTLI))
    # What is stored never changes; what we write of it hangs on where we are reached.
    tag = entity_tag(
        str(METADATA_VERSION),
        address.root,
        offer.name,
        str(coding),
        *(one.sha256 for one in instances),
    )
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        **joined_vary("Accept", "Accept-Encoding"),
    }
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    text = _text(caller.archive.metadata(path, visible=visible), address)
    if coding is not None:
        headers["Content-Encoding"] = coding
        text = encoded(text, coding)
    return sized_or_streamed(text, media_type=offer.name, headers=headers)


def _text(documents: Iterator[MetadataDocument], address: BaseUrl) -> Iterator[bytes]:
    """Write one array of all instances (PS3.18 §F.2.1), one instance in memory at a time."""
    first = True
    for document in documents:
        yield b"[" if first else b","
        first = False
        path = document.path
        yield from document.json(address.resource(path.study, path.series, path.instance))
    yield b"]"
