"""Pictures of instances and frames, and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.4, §8.3.5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from archive.composition import MAXIMUM_PIXELS
from archive.errors import CannotRender, MalformedQuery, MalformedRequest
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import StoredInstance
from archive.render_options import MEDIA_TYPES, IccProfile, RenderOptions, Viewport, Window
from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartWriter
from dicomweb.negotiation import Offer
from dicomweb.pictures import thumbnail_of
from dicomweb.queries import parse_parameters, values_of
from dicomweb.responses import entity_tag, is_current, joined_vary, not_modified

router = APIRouter(prefix=PREFIX, tags=["Rendered (WADO-RS)"])

THUMBNAIL_SIDE = 256
"""Width and height that a thumbnail fits into when the client names none."""
THUMBNAIL_QUALITY = 80
MAXIMUM_FRAMES = 100
"""Frames of one rendered request."""

_Reader = Annotated[Caller, requires(Permission.STUDIES_READ)]
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture", "content": {name: {} for name in MEDIA_TYPES}},
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
        for name, text in (
            ("viewport", "vw,vh[,sx,sy,sw,sh]: size of the picture, and of which region"),
            ("window", "center,width[,shape]: which values go from black to white"),
            ("quality", "1 to 100, of JPEG"),
            ("iccprofile", "no, yes or srgb"),
        )
    ]
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What kind of picture was asked for."""

    options: RenderOptions
    offer: Offer


@router.get(_INSTANCE + "/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def rendered_instance(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Picture of an instance: of its frame, or of its tiles put together."""
    stored = _located(caller, study, series, instance)
    asked = _asked(caller)
    return _answer(caller, stored, asked, lambda: _drawn(caller, stored, asked.options))


@router.get(
    _INSTANCE + "/frames/{frames}/rendered", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def rendered_frames(
    study: str, series: str, instance: str, frames: str, caller: _Reader
) -> Response:
    """Pictures of frames: one by itself, several as parts."""
    numbers = _numbers(frames)
    stored = _located(caller, study, series, instance)
    asked = _asked(caller, multipart=len(numbers) > 1)
    archive, pictures = caller.archive, caller.services.pictures
    drawable = pictures.drawable(archive, stored, caller.visible)
    for number in numbers:
        archive.frame_spans(stored, number)  # raises for one out of range
    writer = MultipartWriter.of(asked.offer.name)

    def draw() -> bytes:
        drawn = pictures.draw_frames(archive, drawable, numbers, asked.options)
        if len(drawn) == 1:
            return drawn[0]
        return b"".join(writer.body((asked.offer.name, picture) for picture in drawn))

    return _answer(caller, stored, asked, draw, writer.content_type if numbers[1:] else None)


@router.get(_INSTANCE + "/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def instance_thumbnail(study: str, series: str, instance: str, caller: _Reader) -> Response:
    """Small picture of an instance; of a large level, that of its slide."""
    stored = _located(caller, study, series, instance)
    pixels = stored.pixels
    if pixels is None:
        raise CannotRender("the instance has no pixel data")
    if pixels.number_of_frames * pixels.rows * pixels.columns > MAXIMUM_PIXELS:
        slide = ResourcePath(stored.path.study, stored.path.series)
        stored = thumbnail_of(caller.archive, slide, caller.visible)
    return _thumbnail(caller, stored)


@router.get(
    "/studies/{study}/series/{series}/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS
)
def series_thumbnail(study: str, series: str, caller: _Reader) -> Response:
    """Small picture of a series."""
    resource = ResourcePath.parse(study, series)
    return _thumbnail(caller, thumbnail_of(caller.archive, resource, caller.visible))


@router.get("/studies/{study}/thumbnail", responses=_RESPONSES, openapi_extra=_PARAMETERS)
def study_thumbnail(study: str, caller: _Reader) -> Response:
    """Small picture of a study: of one of its slides."""
    resource = ResourcePath.parse(study)
    return _thumbnail(caller, thumbnail_of(caller.archive, resource, caller.visible))


def _located(caller: Caller, study: str, series: str, instance: str) -> StoredInstance:
    path = InstancePath.parse(study, series, instance)
    return caller.archive.locate(path, visible=caller.visible)


def _drawn(caller: Caller, stored: StoredInstance, options: RenderOptions) -> bytes:
    pictures = caller.services.pictures
    drawable = pictures.drawable(caller.archive, stored, caller.visible)
    return pictures.draw(caller.archive, drawable, options)


def _thumbnail(caller: Caller, stored: StoredInstance) -> Response:
    asked = _asked(caller, thumbnail=True)
    return _answer(caller, stored, asked, lambda: _drawn(caller, stored, asked.options))


def _answer(
    caller: Caller,
    stored: StoredInstance,
    asked: _Asked,
    draw: Callable[[], bytes],
    content_type: str | None = None,
) -> Response:
    """Answer with a picture, unless the client has it already."""
    url = caller.request.url
    tag = entity_tag(stored.sha256, url.path, url.query, str(asked.offer))
    headers = {
        "ETag": tag,
        "Cache-Control": "private, max-age=86400",
        **joined_vary("Accept"),
    }
    if is_current(caller.header("if-none-match"), tag):
        return not_modified(tag, headers)
    return Response(draw(), headers={"content-type": content_type or asked.offer.name, **headers})


def _asked(caller: Caller, *, multipart: bool = False, thumbnail: bool = False) -> _Asked:
    """Read the parameters of PS3.18 Table 8.3.5-1; raises `MalformedQuery`."""
    parameters = parse_parameters(caller.query_string)
    quality = _one(parameters, "quality")
    if quality is not None and not (quality.isascii() and quality.isdigit() and len(quality) < 4):
        raise MalformedQuery("quality", "not a number from 1 to 100")
    profile = _one(parameters, "iccprofile")
    if profile is not None and profile not in set(IccProfile):
        raise MalformedQuery("iccprofile", f"not one of {', '.join(IccProfile)}")
    viewport = _viewport(caller, _one(parameters, "viewport"), thumbnail=thumbnail)
    window = _one(parameters, "window")
    offer = caller.choose([Offer(name, multipart=multipart) for name in MEDIA_TYPES])
    default_quality = THUMBNAIL_QUALITY if thumbnail else None
    options = RenderOptions(
        media_type=offer.name,
        quality=default_quality if quality is None else int(quality),
        viewport=viewport,
        window=None if window is None else Window.parse(window),
        icc_profile=None if profile is None else IccProfile(profile),
    )
    return _Asked(options, offer)


def _viewport(caller: Caller, text: str | None, *, thumbnail: bool) -> Viewport | None:
    if text is None:
        return Viewport(THUMBNAIL_SIDE, THUMBNAIL_SIDE) if thumbnail else None
    viewport = Viewport.parse(text, region_allowed=not thumbnail)
    most = caller.services.settings.max_rendered_pixels
    if viewport.width * viewport.height > most:
        raise MalformedQuery("viewport", f"asks for more than {most} pixels")
    return viewport


def _one(parameters: Sequence[tuple[str, str]], name: str) -> str | None:
    values = values_of(parameters, name)
    if len(values) > 1:
        raise MalformedQuery(name, "given more than once")
    return values[0] if values else None


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
