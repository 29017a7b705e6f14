"""Whole studies, series and instances as DICOM files (PS3.18 §10.4.1.1.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import Response

from archive.archive import Archive
from archive.errors import NotAcceptable
from archive.model.identifiers import ResourcePath
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import BY_UID, EXPLICIT_LITTLE, served_as
from archive.rewriting import INSTANCE_TARGETS, can_transcode
from auth import Permission
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.bulk import element_offers, pixel_offers
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.negotiation import Offer
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
from dicomweb.routes.bulkdata import all_bulk_data
from dicomweb.zipping import MEDIA_TYPE as ZIP
from dicomweb.zipping import Entry, zipped

if TYPE_CHECKING:
    from archive.model.frames import PixelDescription

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-RS)"])

DICOM = "application/dicom"

_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "DICOM files",
        "content": {"multipart/related": {}, DICOM: {}, ZIP: {}},
    },
    206: {"description": "Those of them that are available as asked, or a range of one"},
    304: {"description": "As the client has it"},
    404: {"description": "No such study, series or instance"},
    406: {"description": "Not available as asked"},
    416: {"description": "The range lies behind the end"},
}
_SEVERAL: dict[str, Any] = {"x-accept": [f'multipart/related; type="{DICOM}"', ZIP]}
_ONE: dict[str, Any] = {"x-accept": [*_SEVERAL["x-accept"], DICOM]}


@router.get("/studies/{study}", responses=_RESPONSES, openapi_extra=_SEVERAL)
def retrieve_study(study: str, caller: _Reader) -> Response:
    """Every instance of a study."""
    return _retrieve(ResourcePath.parse(study), caller)


@router.get("/studies/{study}/series/{series}", responses=_RESPONSES, openapi_extra=_SEVERAL)
def retrieve_series(study: str, series: str, caller: _Reader) -> Response:
    """Every instance of a series."""
    return _retrieve(ResourcePath.parse(study, series), caller)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}",
    responses=_RESPONSES,
    openapi_extra=_ONE,
)
def retrieve_instance(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """One instance."""
    return _retrieve(ResourcePath.parse(study, series, instance), caller)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An instance, and the transfer syntax it goes out in."""

    instance: StoredInstance
    syntax: str

    @property
    def size(self) -> int | None:
        """Bytes of the file; not known where it is written anew."""
        stored = self.syntax == self.instance.transfer_syntax_uid
        return self.instance.size if stored else None


def _retrieve(path: ResourcePath, caller: Caller) -> Response:
    archive = caller.archive
    instances = archive.instances(path, visible=caller.visible)
    form, chosen = _negotiated(instances, caller, single=path.instance is not None)
    if not chosen:
        # Asked for as octets or pictures an instance is its bulk data (PS3.18 §10.4.4).
        return all_bulk_data(path, caller)
    if not form.multipart and form.name == DICOM:
        return send_file(chosen[0].instance, chosen[0].syntax, caller)
    tag = entity_tag(
        form.name,
        caller.address.root,
        *(f"{one.instance.sha256} {one.syntax}" for one in chosen),
        weak=True,
    )
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **joined_vary("Accept")}
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    missing = len(instances) - len(chosen)
    if missing:
        agent = urlsplit(caller.address.root).netloc
        headers["Warning"] = f'299 {agent} "{missing} instances are not available as asked"'
    if form.name == ZIP:
        body, length = zipped(_entry(archive, one) for one in chosen)
        media_type = ZIP
        name = path.instance or path.series or path.study
        headers["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    else:
        writer = MultipartWriter.of(DICOM)
        parts = [_part(archive, one, caller.address) for one in chosen]
        body, media_type = writer.body(parts), writer.content_type
        known = all(part.length is not None for part in parts)
        length = writer.length(parts) if known else None
    # PS3.18 Table 10.4.3-1: 206 where only some of the resources have an acceptable form.
    status = 206 if missing else 200
    if length is None:  # transcoding begins before the answer does: what fails early is told
        return sized_or_streamed(body, media_type=media_type, headers=headers, status_code=status)
    return StreamedResponse(
        body, media_type=media_type, length=length, status_code=status, headers=headers
    )


def _negotiated(
    instances: Sequence[StoredInstance], caller: Caller, *, single: bool
) -> tuple[Offer, list[_Chosen]]:
    """Select one form for the whole, and in it a transfer syntax for each instance.

    The latter "is determined independently for each message part" (PS3.18 §8.7.8.1). Instances that
    have none the client takes are left out; there is none at all where it is bulk data that are
    asked for.

    Raises
    ------
    NotAcceptable
        When nothing is acceptable.
    """
    # Instances that are alike in these two are offered alike.
    kinds: dict[tuple[str, PixelDescription | None], StoredInstance] = {
        (one.transfer_syntax_uid, one.pixels): one for one in instances
    }
    offers = {kind: _offers(one, single=single) for kind, one in kinds.items()}
    every = [*offers.values(), *map(pixel_offers, kinds.values())]
    every.append(element_offers(b"", "", single=False))
    form = caller.choose(list(dict.fromkeys(offer for each in every for offer in each)))
    if form.name not in (DICOM, ZIP):
        return form, []
    syntaxes = {kind: _syntax(each, form, caller) for kind, each in offers.items()}
    chosen = [(one, syntaxes[one.transfer_syntax_uid, one.pixels]) for one in instances]
    return form, [_Chosen(one, syntax) for one, syntax in chosen if syntax is not None]


def _syntax(offers: Sequence[Offer], form: Offer, caller: Caller) -> str | None:
    """Select a transfer syntax among the offers of one form; None when none is acceptable."""
    fitting = [one for one in offers if (one.name, one.multipart) == (form.name, form.multipart)]
    try:
        return caller.choose(fitting).transfer_syntax
    except NotAcceptable:
        return None


def _offers(instance: StoredInstance, *, single: bool) -> list[Offer]:
    """Give the forms of an instance, each in the transfer syntaxes that it can be sent in."""
    forms = single_offers(instance)
    offers = [replace(form, multipart=True) for form in forms]
    if single:  # the single part form is for instance resources alone (PS3.18 §10.4.4)
        offers += forms
    return offers + [replace(form, name=ZIP) for form in forms]


def single_offers(instance: StoredInstance) -> list[Offer]:
    """Give the transfer syntaxes that an instance can be sent in, as a single part.

    Without a transfer syntax an instance goes in Explicit VR Little Endian (PS3.18 Table 8.7.3-2),
    "unless the origin server has only access to the pixel data in lossy compressed form or the
    pixel data in a lossless compressed … form that is of such length that it cannot be encoded in
    the Explicit VR Little Endian Transfer Syntax" (§8.7.3): then it goes as stored, which is also
    what ``*`` gets.
    """
    stored = served_as(instance.transfer_syntax_uid)
    expanded = stored != EXPLICIT_LITTLE and can_transcode(instance, EXPLICIT_LITTLE)
    default = EXPLICIT_LITTLE if expanded and not BY_UID[stored].lossy else stored
    syntaxes = dict.fromkeys((default, stored, *INSTANCE_TARGETS))
    return [
        Offer(
            DICOM,
            transfer_syntax=syntax,
            implied=syntax == default,
            starred=syntax == stored,
            named_only=syntax not in (default, stored),
        )
        for syntax in syntaxes
        if can_transcode(instance, syntax)
    ]


def send_file(
    instance: StoredInstance, syntax: str, caller: Caller, *, named: bool = True
) -> Response:
    """Answer with one file by itself in a transfer syntax, or with a range of it.

    Parameters
    ----------
    named
        Whether Content-Type names the transfer syntax.
    """
    chosen = _Chosen(instance, syntax)
    tag = entity_tag(DICOM, instance.sha256, syntax)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **joined_vary("Accept")}
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    media_type = f"{DICOM}; transfer-syntax={syntax}" if named else DICOM
    headers["Content-Disposition"] = f'attachment; filename="{instance.path.instance}.dcm"'
    size = chosen.size
    if size is None:
        headers["Accept-Ranges"] = "none"
        pieces = _file(caller.archive, chosen)
        return sized_or_streamed(pieces, media_type=media_type, headers=headers)
    wanted = wanted_range(caller.header("range"), caller.header("if-range"), size, tag)
    first, end = (0, size) if wanted is None else wanted
    headers["Accept-Ranges"] = "bytes"
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamedResponse(
        _stored(caller.archive, instance, first, end),
        media_type=media_type,
        length=end - first,
        status_code=200 if wanted is None else 206,
        headers=headers,
    )


def _part(archive: Archive, chosen: _Chosen, address: BaseUrl) -> Part:
    path = chosen.instance.path
    return Part(
        f"{DICOM}; transfer-syntax={chosen.syntax}",
        _file(archive, chosen),
        chosen.size,
        address.resource(path.study, path.series, path.instance),
    )


def _entry(archive: Archive, chosen: _Chosen) -> Entry:
    path = chosen.instance.path
    return Entry(f"{path.series}/{path.instance}.dcm", _file(archive, chosen), chosen.size)


def _file(archive: Archive, chosen: _Chosen) -> Iterator[bytes]:
    """Give a file in the transfer syntax that was selected, in pieces; nothing is read before."""
    if chosen.size is not None:
        yield from _stored(archive, chosen.instance, 0, chosen.size)
    else:
        yield from archive.transcoded(chosen.instance, chosen.syntax)


def _stored(archive: Archive, instance: StoredInstance, first: int, end: int) -> Iterator[bytes]:
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
