"""Whole studies, series and instances as DICOM files (PS3.18 §10.4.1.1.1)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.archive import Archive
from archive.errors import NotAcceptable
from archive.model.identifiers import ResourcePath
from archive.model.instances import StoredInstance
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.explicit import (
    check_can_be_rewritten,
    must_be_rewritten,
    rewritten,
    served_syntax,
)
from dicomweb.multipart import MultipartWriter
from dicomweb.negotiation import Offer
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

DICOM = "application/dicom"

_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "DICOM files as stored", "content": {"multipart/related": {}, DICOM: {}}},
    404: {"description": "No such study, series or instance"},
    406: {"description": "Not available as asked"},
}


@router.get("/studies/{study}", responses=_RESPONSES)
def retrieve_study(study: str, caller: _Reader) -> Response:
    """Every instance of a study."""
    return _retrieve(ResourcePath.parse(study), caller)


@router.get("/studies/{study}/series/{series}", responses=_RESPONSES)
def retrieve_series(study: str, series: str, caller: _Reader) -> Response:
    """Every instance of a series."""
    return _retrieve(ResourcePath.parse(study, series), caller)


@router.get("/studies/{study}/series/{series}/instances/{instance}", responses=_RESPONSES)
def retrieve_instance(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """One instance."""
    return _retrieve(ResourcePath.parse(study, series, instance), caller)


def _retrieve(path: ResourcePath, caller: Caller) -> Response:
    archive = caller.archive
    instances = archive.instances(path, visible=caller.visible)
    # The single part form is for instance resources alone (PS3.18 §10.4.4).
    single = path.instance is not None
    chosen = [caller.choose(_offers(one, single=single)) for one in instances]
    multipart = chosen[0].multipart
    if any(offer.multipart != multipart for offer in chosen):
        raise NotAcceptable("the instances cannot be sent in one form", available=())
    tag = entity_tag(str(multipart), *(one.sha256 for one in instances))
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **joined_vary("Accept")}
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    if not multipart:
        return _single(archive, instances[0], chosen[0], caller, headers)
    writer = MultipartWriter.of(DICOM)
    for one in instances:
        check_can_be_rewritten(one)
    parts = [(one, offer.content_type) for one, offer in zip(instances, chosen, strict=True)]
    known = not any(must_be_rewritten(one) for one in instances)
    return StreamedResponse(
        _parts(archive, writer, parts),
        media_type=writer.content_type,
        length=writer.length((kind, one.size) for one, kind in parts) if known else None,
        headers=headers,
    )


def _offers(instance: StoredInstance, *, single: bool) -> list[Offer]:
    """Give the forms of an instance: as stored, where web services have that syntax.

    Where no transfer syntax is named, Explicit VR Little Endian is the default of Table 8.7.3-2
    "unless the origin server has only access to the pixel data in lossy compressed form"
    (PS3.18 §8.7.3); we send the stored form of lossless ones too, which every DICOM file names.
    """
    syntax = served_syntax(instance)
    forms = [Offer(DICOM, multipart=True, transfer_syntax=syntax)]
    if single:
        forms.append(Offer(DICOM, multipart=False, transfer_syntax=syntax))
    return forms


def _single(
    archive: Archive,
    instance: StoredInstance,
    offer: Offer,
    caller: Caller,
    headers: dict[str, str],
) -> Response:
    if must_be_rewritten(instance):
        check_can_be_rewritten(instance)
        with archive.open(instance) as file:
            content = rewritten(file)
        return Response(content, headers={"content-type": offer.content_type, **headers})
    wanted = parse_range(caller.header("range"), instance.size)
    first, end = (0, instance.size) if wanted is None else wanted
    headers["Accept-Ranges"] = "bytes"
    headers["Content-Disposition"] = f'attachment; filename="{instance.path.instance}.dcm"'
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{instance.size}"
    return StreamedResponse(
        _file(archive, instance, first, end),
        media_type=offer.content_type,
        length=end - first,
        status_code=200 if wanted is None else 206,
        headers=headers,
    )


def _parts(
    archive: Archive, writer: MultipartWriter, parts: Sequence[tuple[StoredInstance, str]]
) -> Iterator[bytes]:
    for index, (instance, part_type) in enumerate(parts):
        yield writer.opening(part_type, first=index == 0)
        if must_be_rewritten(instance):
            with archive.open(instance) as file:
                yield rewritten(file)
        else:
            yield from _file(archive, instance, 0, instance.size)
    yield writer.closing


def _file(archive: Archive, instance: StoredInstance, first: int, end: int) -> Iterator[bytes]:
    """Read a stored file from `first` up to `end`, a step at a time."""
    with archive.open(instance) as file:
        file.seek(first)
        left = end - first
        while left > 0:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                return  # shorter than the catalog says: the client sees a body that was cut off
            left -= len(chunk)
            yield chunk
