"""Metadata of studies, series and instances as DICOM JSON or XML (PS3.18 §10.4.1.1.2, Annex F).

Both are in UTF-8 whatever Accept-Charset would like: the character set that remains when none of
those is supported is the default of the media type (PS3.18 §8.8.5).
"""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.model.identifiers import ResourcePath
from archive.retrieve import METADATA_VERSION, MetadataDocument
from auth import Permission
from dicomweb import native_model
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.codings import BROTLI, GZIP, choose_coding, encoded
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.negotiation import Offer
from dicomweb.responses import (
    entity_tag,
    is_current,
    joined_vary,
    not_modified,
    sized_or_streamed,
)

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-RS)"])

OFFERS = (
    Offer("application/dicom+json"),
    Offer("application/json"),
    Offer(native_model.MEDIA_TYPE, multipart=True),
)
SINGLE_OFFERS = (*OFFERS, Offer(native_model.MEDIA_TYPE))
"""Of one instance: what is a single item may come as a single part (PS3.18 §10.4.4)."""
PER_FRAME = "52009230"
"""Tag of the Per-Frame Functional Groups Sequence, of which there may be a great many items."""

_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One object an instance",
        "content": {
            "application/dicom+json": {},
            "application/json": {},
            "multipart/related": {},
            native_model.MEDIA_TYPE: {},
        },
    },
    304: {"description": "As the client has it"},
    404: {"description": "No such study, series or instance"},
    406: {"description": "Neither JSON nor XML is acceptable"},
}
_ACCEPTED: dict[str, Any] = {"x-accept": [str(offer) for offer in OFFERS]}


@router.get("/studies/{study}/metadata", responses=_RESPONSES, openapi_extra=_ACCEPTED)
def study_metadata(study: str, caller: _Reader) -> Response:
    """Metadata of every instance of a study."""
    return _metadata(ResourcePath.parse(study), caller)


@router.get(
    "/studies/{study}/series/{series}/metadata", responses=_RESPONSES, openapi_extra=_ACCEPTED
)
def series_metadata(study: str, series: str, caller: _Reader) -> Response:
    """Metadata of every instance of a series."""
    return _metadata(ResourcePath.parse(study, series), caller)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/metadata",
    responses=_RESPONSES,
    openapi_extra={"x-accept": [str(offer) for offer in SINGLE_OFFERS]},
)
def instance_metadata(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Metadata of an instance."""
    path = ResourcePath.parse(study, series, instance)
    return _metadata(path, caller)


def _metadata(path: ResourcePath, caller: Caller) -> Response:
    offer = caller.choose(SINGLE_OFFERS if path.instance is not None else OFFERS)
    address, visible = caller.address, caller.visible
    instances = caller.archive.instances(path, visible=visible)
    # gzip first: it is what the metadata are stored in.
    coding = choose_coding(caller.header("accept-encoding"), favourites=(GZIP, BROTLI))
    # What is stored never changes; what we write of it hangs on where we are reached.
    tag = entity_tag(
        str(METADATA_VERSION),
        address.root,
        str(offer),
        str(coding),
        *(one.sha256 for one in instances),
        weak=offer.multipart,
    )
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        **joined_vary("Accept", "Accept-Encoding"),
    }
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    content_type, text = _written(offer, caller.archive.metadata(path, visible=visible), address)
    if coding is not None:
        headers["Content-Encoding"] = coding
        text = encoded(text, coding)
    return sized_or_streamed(text, media_type=content_type, headers=headers)


def _written(
    offer: Offer, documents: Iterator[MetadataDocument], address: BaseUrl
) -> tuple[str, Iterator[bytes]]:
    """Give Content-Type and body, one instance in memory at a time."""
    if offer.name != native_model.MEDIA_TYPE:
        return offer.name, _json(documents, address)
    # One part an instance: an XML document has one root (PS3.18 §F.2.1).
    parts = (
        Part(
            offer.name,
            _xml(document, address),
            location=f"{_url(document, address)}/metadata",
        )
        for document in documents
    )
    if not offer.multipart:
        return offer.name, iter(next(parts).pieces)
    writer = MultipartWriter.of(offer.name)
    return writer.content_type, writer.body(parts)


def _json(documents: Iterator[MetadataDocument], address: BaseUrl) -> Iterator[bytes]:
    """Write one array of all instances (PS3.18 §F.2.1)."""
    first = True
    for document in documents:
        yield b"[" if first else b","
        first = False
        yield from document.json(_url(document, address))
    yield b"]"


def _xml(document: MetadataDocument, address: BaseUrl) -> Iterator[bytes]:
    """Write one document of an instance (PS3.19 §A.1)."""
    url = _url(document, address)
    per_frame = document.per_frame_json(url)
    return native_model.document_xml(
        document.header_json(url), None if per_frame is None else (PER_FRAME, per_frame)
    )


def _url(document: MetadataDocument, address: BaseUrl) -> str:
    path = document.path
    return address.resource(path.study, path.series, path.instance)
