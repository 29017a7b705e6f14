"""Query parameters of rendered resources and thumbnails, as values (PS3.18 Table 8.3.5-1)."""

from collections.abc import Sequence

from archive.errors import MalformedQuery
from archive.render_options import Annotation, IccProfile, RenderOptions, Viewport, Window
from dicomweb.queries import values_of

THUMBNAIL_SIDE = 256
"""Width and height that a thumbnail fits into when the client names none."""
THUMBNAIL_QUALITY = 80

DESCRIPTIONS = (
    ("annotation", "patient and/or technique, by a comma: what is burned into the picture"),
    ("charset", "of text; pictures have none, and take no notice"),
    ("iccprofile", "no, yes, srgb, adobergb or rommrgb"),
    ("quality", "1 to 100, of JPEG"),
    ("viewport", "vw,vh[,sx,sy,sw,sh]: size of the picture, and of which region"),
    ("window", "center,width,function: which values go from black to white"),
)
"""Name and meaning of each, for the OpenAPI document."""

Parameters = Sequence[tuple[str, str]]


def read_options(
    parameters: Parameters, *, maximum_pixels: int, thumbnail: bool = False
) -> RenderOptions:
    """Read what kind of picture is asked for; its media type is the negotiation's.

    Parameters
    ----------
    maximum_pixels
        That a viewport may have.
    thumbnail
        Takes the viewport's size alone (PS3.18 §8.3.5.2), and is small without it.

    Raises
    ------
    MalformedQuery
        When a parameter is not well formed, or given more than once.
    """
    quality = _one(parameters, "quality")
    if quality is not None and not (quality.isascii() and quality.isdigit() and len(quality) < 4):
        raise MalformedQuery("quality", "not a number from 1 to 100")
    profile = _one(parameters, "iccprofile")
    if profile is not None and profile not in set(IccProfile):
        raise MalformedQuery("iccprofile", f"not one of {', '.join(IccProfile)}")
    window = _one(parameters, "window")
    default_quality = THUMBNAIL_QUALITY if thumbnail else None
    return RenderOptions(
        quality=default_quality if quality is None else int(quality),
        viewport=_viewport(_one(parameters, "viewport"), maximum_pixels, thumbnail=thumbnail),
        window=None if window is None else Window.parse(window),
        icc_profile=None if profile is None else IccProfile(profile),
        annotations=() if thumbnail else _annotations(_one(parameters, "annotation")),
    )


def _annotations(text: str | None) -> tuple[Annotation, ...]:
    if text is None:
        return ()
    words = text.split(",")
    if not set(words) <= set(Annotation):
        raise MalformedQuery("annotation", f"not of {', '.join(Annotation)}, joined by commas")
    return tuple(kind for kind in Annotation if kind in words)


def _viewport(text: str | None, maximum_pixels: int, *, thumbnail: bool) -> Viewport | None:
    if text is None:
        return Viewport(THUMBNAIL_SIDE, THUMBNAIL_SIDE) if thumbnail else None
    viewport = Viewport.parse(text, region_allowed=not thumbnail)
    if viewport.width * viewport.height > maximum_pixels:
        raise MalformedQuery("viewport", f"asks for more than {maximum_pixels} pixels")
    return viewport


def _one(parameters: Parameters, name: str) -> str | None:
    values = values_of(parameters, name)
    if len(values) > 1:
        raise MalformedQuery(name, "given more than once")
    return values[0] if values else None
