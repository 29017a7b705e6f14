"""Pictures of studies, series, instances and frames, thumbnails of each, and reports as documents.

PS3.18 §10.4.1.1.3, §10.4.1.1.4; parameters §8.3.5; media types Table 8.7.4-1. "The use of a single
part Media Type is permitted for resources which are a single response item" (§10.4.4): an instance
or one frame comes as a part of its own or bare, everything larger in parts only.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.composition import MAXIMUM_PIXELS
from archive.errors import CannotRender, MalformedRequest
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import StoredInstance
from archive.render_options import GIF, MEDIA_TYPES, RenderOptions
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.documents import REPORT_TYPES, content_type, document_headers, document_of
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.negotiation import Offer
from dicomweb.pictures import Drawable, thumbnail_of
from dicomweb.queries import parse_parameters
from dicomweb.render_parameters import DESCRIPTIONS, read_options
from dicomweb.responses import (
    StreamedResponse,
    entity_tag,
    is_current,
    joined_vary,
    not_modified,
)

router = APIRouter(prefix=PREFIX, tags=["Rendered (WADO-RS)"])

MAXIMUM_FRAMES = 100
"""Frames of one rendered request."""
MAXIMUM_INSTANCES = 500
"""Instances that are drawn for one study or series."""

_log = logging.getLogger(__name__)
_Pictures = Iterable[tuple[str, bytes]]
"""Addresses, and what is there."""
_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
_PICTURES: dict[str, Any] = {name: {} for name in MEDIA_TYPES}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A picture, or a report as a document",
        "content": _PICTURES | {name: {} for name in (*REPORT_TYPES, "multipart/related")},
    },
    400: {"description": "A parameter is not well formed"},
    404: {"description": "No such resource"},
    406: {"description": "There is no picture, or none of an acceptable type"},
}
_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": text,
        }
        for name, text in DESCRIPTIONS
    ]
}


@router.get("/studies/{study}/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def rendered_study(study: str, caller: _Reader) -> Response:
    """Pictures of every instance of a study that has one."""
    return _several(caller, ResourcePath.parse(study))


@router.get(
    "/studies/{study}/series/{series}/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def rendered_series(study: str, series: str, caller: _Reader) -> Response:
    """Pictures of every instance of a series that has one."""
    return _several(caller, ResourcePath.parse(study, series))


@router.get(_INSTANCE + "/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def rendered_instance(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Picture of an instance: of its frame, of its tiles put together, or of moving frames.

    A report, or a document in an instance, comes as text.
    """
    stored = _located(caller, study, series, instance)
    options = _options(caller)
    if stored.pixels is None:
        return _document(caller, stored)
    pictures = caller.services.pictures
    drawable = pictures.drawable(caller.archive, stored, caller.visible)
    types: tuple[str, ...] = MEDIA_TYPES
    if drawable.is_sequence:
        # Table 8.7.4-1 has image/gif alone for multi-frame images; other types show one frame.
        still = [name for name in MEDIA_TYPES if name != GIF]
        types = (GIF, *still) if pictures.animates(drawable, options) else tuple(still)
    offer = caller.choose(_single_offers(types))
    options = replace(options, media_type=offer.name)
    where = f"{_address(caller, stored)}/rendered"
    return _answer(
        caller, [stored], offer, lambda: [(where, pictures.draw(caller.archive, drawable, options))]
    )


@router.get(
    _INSTANCE + "/frames/{frames}/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def rendered_frames(
    study: str, series: str, instance: str, frames: str, caller: _Reader
) -> Response:
    """Pictures of frames: one by itself, several as parts."""
    numbers = _numbers(frames)
    stored = _located(caller, study, series, instance)
    options = _options(caller)
    offer = caller.choose(_several_offers() if numbers[1:] else _single_offers(MEDIA_TYPES))
    archive, pictures = caller.archive, caller.services.pictures
    drawable = pictures.drawable(archive, stored, caller.visible)
    archive.frames(stored, numbers)  # raises for one out of range, before anything is read
    options = replace(options, media_type=offer.name)
    where = [f"{_address(caller, stored)}/frames/{number}/rendered" for number in numbers]
    return _answer(
        caller,
        [stored],
        offer,
        lambda: zip(where, pictures.draw_frames(archive, drawable, numbers, options), strict=True),
    )


@router.get(_INSTANCE + "/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def instance_thumbnail(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Small picture of an instance; of a large level or a label, that of its slide."""
    stored = _located(caller, study, series, instance)
    if stored.pixels is None:
        raise CannotRender("the instance has no pixel data")
    drawable = caller.services.pictures.drawable(caller.archive, stored, caller.visible)
    grid = drawable.grid
    too_large = grid is not None and grid.rows * grid.columns > MAXIMUM_PIXELS
    if too_large or drawable.facts.identifying:
        slide = ResourcePath(stored.path.study, stored.path.series)
        return _thumbnail_of(caller, slide)
    return _thumbnail(caller, drawable)


@router.get(
    _INSTANCE + "/frames/{frames}/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def frame_thumbnail(
    study: str, series: str, instance: str, frames: str, caller: _Reader
) -> Response:
    """Small picture of a frame, of the first where several are named: there is but one."""
    numbers = _numbers(frames)
    stored = _located(caller, study, series, instance)
    archive, pictures = caller.archive, caller.services.pictures
    drawable = pictures.drawable(archive, stored, caller.visible)
    archive.frames(stored, numbers)
    if drawable.facts.identifying:
        return _thumbnail_of(caller, ResourcePath(stored.path.study, stored.path.series))
    offer = caller.choose(_single_offers(MEDIA_TYPES))
    options = replace(_options(caller, thumbnail=True), media_type=offer.name)
    where = [f"{_address(caller, stored)}/frames/{numbers[0]}/thumbnail"]
    return _answer(
        caller,
        [stored],
        offer,
        lambda: zip(
            where, pictures.draw_frames(archive, drawable, numbers[:1], options), strict=True
        ),
    )


@router.get(
    "/studies/{study}/series/{series}/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def series_thumbnail(study: str, series: str, caller: _Reader) -> Response:
    """Small picture of a series."""
    return _thumbnail_of(caller, ResourcePath.parse(study, series))


@router.get("/studies/{study}/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def study_thumbnail(study: str, caller: _Reader) -> Response:
    """Small picture of a study: of one of its slides."""
    return _thumbnail_of(caller, ResourcePath.parse(study))


def _located(caller: Caller, study: str, series: str, instance: str) -> StoredInstance:
    path = InstancePath.parse(study, series, instance)
    return caller.archive.locate(path, visible=caller.visible)


def _options(caller: Caller, *, thumbnail: bool = False) -> RenderOptions:
    return read_options(
        parse_parameters(caller.query_string),
        maximum_pixels=caller.services.settings.max_rendered_pixels,
        thumbnail=thumbnail,
    )


def _single_offers(types: Sequence[str]) -> list[Offer]:
    return [Offer(name) for name in types] + [Offer(name, multipart=True) for name in types]


def _address(caller: Caller, instance: StoredInstance) -> str:
    path = instance.path
    return caller.address.resource(path.study, path.series, path.instance)


def _document(caller: Caller, stored: StoredInstance) -> Response:
    """Answer with an instance of text; raises `CannotRender` where it is none."""
    document = document_of(caller.archive, stored, caller.visible)
    offer = caller.choose(document.offers())
    where = f"{_address(caller, stored)}/rendered"
    return _answer(
        caller,
        [stored],
        offer,
        lambda: [(where, document.written(offer.name))],
        extra=document_headers(offer.name),
    )


def _several_offers() -> list[Offer]:
    return [Offer(name, multipart=True) for name in MEDIA_TYPES]


def _thumbnail_of(caller: Caller, resource: ResourcePath) -> Response:
    archive, pictures = caller.archive, caller.services.pictures
    stored = thumbnail_of(archive, pictures, resource, caller.visible)
    return _thumbnail(caller, pictures.drawable(archive, stored, caller.visible))


def _thumbnail(caller: Caller, drawable: Drawable) -> Response:
    archive, pictures = caller.archive, caller.services.pictures
    offer = caller.choose(_single_offers(MEDIA_TYPES))
    options = replace(_options(caller, thumbnail=True), media_type=offer.name)
    # "Only a single image shall be returned" (§10.4.3.3.4), also of frames that move.
    where = f"{_address(caller, drawable.instance)}/thumbnail"
    return _answer(
        caller,
        [drawable.instance],
        offer,
        lambda: [(where, pictures.draw(archive, drawable, options, still=True))],
    )


def _several(caller: Caller, resource: ResourcePath) -> Response:
    """Answer with a picture of each instance that has one, one after the other."""
    instances = caller.archive.instances(resource, visible=caller.visible)
    options = _options(caller)
    offer = caller.choose(_several_offers())
    options = replace(options, media_type=offer.name)
    drawables = list(_drawables(caller, instances, options))
    if not drawables:
        raise CannotRender("nothing there has a picture that could be drawn")
    drawn = _each_drawn(caller, drawables, options)
    first = next(drawn, None)
    if first is None:
        raise CannotRender("nothing there can be drawn")
    return _answer(caller, instances, offer, lambda: chain([first], drawn), streamed=True)


def _drawables(
    caller: Caller, instances: Sequence[StoredInstance], options: RenderOptions
) -> Iterator[Drawable]:
    """Give the instances with pixel data, but for levels that are too large to be put together."""
    with_pixels = [one for one in instances if one.pixels is not None]
    if len(with_pixels) > MAXIMUM_INSTANCES:
        raise CannotRender(f"more than {MAXIMUM_INSTANCES} instances: ask for a series, or for one")
    for one in with_pixels:
        try:
            drawable = caller.services.pictures.drawable(caller.archive, one, caller.visible)
        except CannotRender:
            continue
        grid = drawable.grid
        if grid is None or options.viewport or grid.rows * grid.columns <= MAXIMUM_PIXELS:
            yield drawable


def _each_drawn(
    caller: Caller, drawables: Sequence[Drawable], options: RenderOptions
) -> Iterator[tuple[str, bytes]]:
    for drawable in drawables:
        where = f"{_address(caller, drawable.instance)}/rendered"
        try:
            yield where, caller.services.pictures.draw(caller.archive, drawable, options)
        except CannotRender as error:
            _log.info("instance %s is not drawn: %s", drawable.instance.path.instance, error)


def _answer(
    caller: Caller,
    instances: Sequence[StoredInstance],
    offer: Offer,
    draw: Callable[[], _Pictures],
    *,
    streamed: bool = False,
    extra: Mapping[str, str] | None = None,
) -> Response:
    """Answer with pictures, unless the client has them already."""
    url = caller.request.url
    tag = entity_tag(*(one.sha256 for one in instances), url.path, url.query, str(offer))
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=86400",
        **joined_vary("Accept"),
        **(extra or {}),
    }
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    part_type = content_type(offer.name)
    pictures = iter(draw())
    if not offer.multipart:
        _, picture = next(pictures)
        return Response(picture, headers={"content-type": part_type, **headers})
    writer = MultipartWriter.of(offer.name)
    body = writer.body(Part.of(part_type, picture, where) for where, picture in pictures)
    if streamed:
        return StreamedResponse(body, media_type=writer.content_type, headers=headers)
    return Response(b"".join(body), headers={"content-type": writer.content_type, **headers})


def _numbers(text: str) -> list[int]:
    pieces = text.split(",")
    if not all(piece.isascii() and piece.isdigit() and len(piece) < 10 for piece in pieces):
        raise MalformedRequest(f"{text[:80]!r} is no list of frame numbers")
    numbers = [int(piece) for piece in pieces]
    if 0 in numbers:
        raise MalformedRequest("frames are numbered from one")
    if len(numbers) > MAXIMUM_FRAMES:
        raise MalformedRequest(f"more than {MAXIMUM_FRAMES} rendered frames in one request")
    return numbers
