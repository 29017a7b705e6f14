"""The URI service, WADO-URI: one instance as a file or as a picture (PS3.18 §9)."""

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.errors import CannotRender
from archive.model.instances import StoredInstance
from archive.render_options import MEDIA_TYPES
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.documents import content_type, document_headers, document_of
from dicomweb.negotiation import Offer, choose
from dicomweb.pictures import Drawable
from dicomweb.queries import parse_parameters
from dicomweb.render_parameters import read_options
from dicomweb.responses import entity_tag, is_current, joined_vary, not_modified
from dicomweb.routes.retrieve import DICOM, send_file, single_offers
from dicomweb.uri_parameters import UriRequest, parse_uri_request

router = APIRouter(prefix=PREFIX, tags=["Retrieve (WADO-URI)"])

_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": name in {"requestType", "studyUID", "seriesUID", "objectUID"},
            "schema": {"type": "string"},
            "description": text,
        }
        for name, text in (
            ("requestType", "WADO"),
            ("studyUID", "Study Instance UID"),
            ("seriesUID", "Series Instance UID"),
            ("objectUID", "SOP Instance UID"),
            ("contentType", "Media types that are acceptable, before the Accept header"),
            ("charset", "Of text; there is none, and it is passed over"),
            ("transferSyntax", "Of a file: a UID, or * for what is stored"),
            ("frameNumber", "One-based"),
            ("rows", "Height of the picture at most"),
            ("columns", "Width of the picture at most"),
            ("region", "xmin,ymin,xmax,ymax as fractions of the image"),
            ("windowCenter", "Together with windowWidth"),
            ("windowWidth", "Together with windowCenter"),
            ("imageQuality", "1 to 100, of JPEG"),
            ("annotation", "patient and/or technique, by a comma"),
        )
    ],
    "x-accept": [*MEDIA_TYPES, DICOM],
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The instance", "content": {name: {} for name in (*MEDIA_TYPES, DICOM)}},
    304: {"description": "As the client has it"},
    400: {"description": "A parameter is missing, malformed, or of what is not done here"},
    404: {"description": "No such instance, or no such frame"},
    406: {"description": "Not available as asked"},
}


@router.get("/wado", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def retrieve_by_uri(caller: Annotated[Caller, requires(Permission.STUDIES_READ)]) -> Response:
    """One instance, as a file or as a picture."""
    asked = parse_uri_request(parse_parameters(caller.query_string))
    stored = caller.archive.locate(asked.path, visible=caller.visible)
    offer = _chosen(asked, stored, caller)
    if offer.name == DICOM:
        # §8.7.3.5.2: no transfer syntax in the media types of this service.
        return send_file(stored, offer.transfer_syntax or "", caller, named=False)
    if stored.pixels is None:
        return _document(stored, offer.name, caller)
    pictures = caller.services.pictures
    drawable = pictures.drawable(caller.archive, stored, caller.visible)
    width, height = _size(drawable, asked)
    options = replace(
        read_options(
            asked.rendering(width, height),
            maximum_pixels=caller.services.settings.max_rendered_pixels,
        ),
        media_type=offer.name,
    )
    tag = entity_tag(stored.sha256, caller.query_string.decode("latin-1"), offer.name)
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400", **joined_vary("Accept")}
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    if asked.frame is None:
        picture = pictures.draw(caller.archive, drawable, options)
    else:
        (picture,) = pictures.draw_frames(caller.archive, drawable, [asked.frame], options)
    return Response(picture, headers={"content-type": offer.name, **headers})


def _chosen(asked: UriRequest, stored: StoredInstance, caller: Caller) -> Offer:
    """Select the media type, and with it which of the two transactions this is (§9.3).

    An image is rendered as JPEG where the client names nothing, a report as HTML; what is neither
    has no rendering but its file.
    """
    offers = [Offer(name) for name in MEDIA_TYPES]
    if stored.pixels is None:
        offers = []
        with suppress(CannotRender):
            document = document_of(caller.archive, stored, caller.visible)
            offers = [Offer(name) for name in document.media_types]
    offers += single_offers(stored)
    accept = caller.request.headers.getlist("accept")
    query = asked.media_types
    if asked.transfer_syntax is not None and not query:
        # The parameter goes with the media types of the query; there it stands for these too.
        query = tuple(value for value in accept if value.strip())
    return choose(offers, accept=accept, query=query, transfer_syntax=asked.transfer_syntax)


def _document(stored: StoredInstance, media_type: str, caller: Caller) -> Response:
    document = document_of(caller.archive, stored, caller.visible)
    tag = entity_tag(stored.sha256, caller.query_string.decode("latin-1"), media_type)
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=86400",
        **joined_vary("Accept"),
        **document_headers(media_type),
    }
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    content = document.written(media_type)
    return Response(content, headers={"content-type": content_type(media_type), **headers})


def _size(drawable: Drawable, asked: UriRequest) -> tuple[int, int]:
    """Give width and height of the image that the picture is of."""
    grid, pixels = drawable.grid, drawable.instance.pixels
    if pixels is None:
        raise CannotRender("the instance has no pixel data")
    if grid is None or asked.frame is not None:
        return pixels.columns, pixels.rows
    return grid.columns, grid.rows
