"""Parameters of the URI service, WADO-URI, as values (PS3.18 §9.1.2, §9.4.1.2, §9.5.1.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from archive.errors import MalformedQuery
from archive.model.identifiers import InstancePath, parse_uid
from archive.render_options import MAXIMUM_SIDE
from dicomweb.media_types import parse_accept

Parameters = Sequence[tuple[str, str]]

# What we cannot do, but must not pass over in silence either: what comes would not be what was
# asked for, and where it is names that were to be removed, it would be patients'.
_REFUSED = {
    "anonymize": "nothing is anonymized here: ask without it, or anonymize what you get",
    "presentationUID": "presentation states are not applied to pictures",
    "presentationSeriesUID": "presentation states are not applied to pictures",
}

# Rendered media types, PS3.18 Table 8.7.4-1.
_TAKEN = frozenset(
    (
        "application/dicom application/pdf image/gif image/jp2 image/jpeg image/png text/html "
        "text/plain text/rtf text/xml video/H265 video/mp4 video/mpeg"
    )
    .lower()
    .split()
)


@dataclass(frozen=True, slots=True)
class UriRequest:
    """What a request of the URI service asks for."""

    path: InstancePath
    media_types: tuple[str, ...]
    """Values of contentType."""
    transfer_syntax: str | None
    frame: int | None
    """One-based."""
    rows: int | None
    columns: int | None
    region: tuple[float, float, float, float] | None
    """Left, top, right and bottom as fractions of the image."""
    window: str | None
    quality: str | None
    annotation: str | None

    def rendering(self, width: int, height: int) -> list[tuple[str, str]]:
        """Give what is asked of the picture as parameters of a rendered resource.

        Parameters
        ----------
        width, height
            Of the image, pixels.
        """
        found = {
            "quality": self.quality,
            "window": self.window,
            "annotation": self.annotation,
            "viewport": self._viewport(width, height),
        }
        return [(name, value) for name, value in found.items() if value is not None]

    def _viewport(self, width: int, height: int) -> str | None:
        """Put rows, columns and region together as §8.3.5.1.3 has them.

        The picture keeps its shape, and is no larger than either of rows and columns (§9.5.1.2.4).
        """
        if self.rows is None and self.columns is None and self.region is None:
            return None
        left, top, right, bottom = self.region or (0.0, 0.0, 1.0, 1.0)
        of_width, of_height = (right - left) * width, (bottom - top) * height
        columns, rows = self.columns, self.rows
        if columns is None:
            columns = ceil(of_width if rows is None else rows * of_width / of_height)
        if rows is None:
            rows = ceil(columns * of_height / of_width)
        viewport = f"{min(columns, MAXIMUM_SIDE)},{min(rows, MAXIMUM_SIDE)}"
        if self.region is None:
            return viewport
        return f"{viewport},{left * width},{top * height},{of_width},{of_height}"


def parse_uri_request(parameters: Parameters) -> UriRequest:
    """Read the parameters; those that are not known are passed over (§8.3).

    Raises
    ------
    MalformedQuery
        When one is missing, not well formed, given twice, or of what is not done here.
    MalformedRequest
        When contentType is no list of media types.
    MalformedIdentifier
        When a UID is none.
    """
    single: dict[str, str] = {}
    for name, value in parameters:
        if name in single and name != "contentType":
            raise MalformedQuery(name, "given more than once")
        if name in _REFUSED:
            raise MalformedQuery(name, _REFUSED[name])
        single[name] = value
    if single.get("requestType") != "WADO":
        raise MalformedQuery("requestType", "has to be WADO")
    missing = [name for name in ("studyUID", "seriesUID", "objectUID") if name not in single]
    if missing:
        raise MalformedQuery(missing[0], "is missing")
    center, width = single.get("windowCenter"), single.get("windowWidth")
    if (center is None) != (width is None):
        raise MalformedQuery("windowCenter", "goes together with windowWidth")
    media_types = tuple(value for name, value in parameters if name == "contentType")
    _check(media_types)
    syntax = single.get("transferSyntax")
    return UriRequest(
        path=InstancePath.parse(single["studyUID"], single["seriesUID"], single["objectUID"]),
        media_types=media_types,
        transfer_syntax=syntax if syntax in (None, "*") else parse_uid(syntax),
        frame=_number(single, "frameNumber"),
        rows=_number(single, "rows"),
        columns=_number(single, "columns"),
        region=_region(single.get("region")),
        window=None if center is None else f"{center},{width},linear",
        quality=single.get("imageQuality"),
        annotation=single.get("annotation", single.get("imageAnnotation")),
    )


def _check(media_types: Sequence[str]) -> None:
    """Hold contentType against §9.1.2.2.1: application/dicom, or rendered media types."""
    for one in parse_accept(",".join(media_types), where="contentType"):
        if one.name not in _TAKEN and not one.name.endswith("/*"):
            raise MalformedQuery("contentType", f"{one.name[:80]} is not of this service")
        if one.transfer_syntax is not None:
            raise MalformedQuery("contentType", "a transfer syntax is named by transferSyntax here")


def _number(single: dict[str, str], name: str) -> int | None:
    text = single.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise MalformedQuery(name, "not a number above zero")
    return int(text)


def _region(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise MalformedQuery("region", "expected xmin,ymin,xmax,ymax") from error
    edges = (left, top, right, bottom)
    if not all(isfinite(edge) for edge in edges):
        raise MalformedQuery("region", "of finite numbers")
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise MalformedQuery("region", "its edges lie between 0 and 1, the first before the last")
    return edges
