"""Media types and media ranges as they stand in header fields (RFC 9110 §8.3.1, §12.5.1).

Owns the syntax of Content-Type, of `Accept`, and of the parameters that PS3.18 §8.7 gives media
types: `type` of a multipart, `transfer-syntax`. What is chosen of them is `negotiation`'s.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from archive.errors import MalformedRequest

MAXIMUM_ALTERNATIVES = 100
"""Alternatives of one request; real clients send up to nine."""

# What earlier editions called them (PS3.18 2016a Table 6.1.1-8), and what dcmjs's dicomweb-client
# sends to this day.
_FORMER_NAMES = {
    "image/jhc": "image/jphc",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
}

# A media type's parameter value that is a token may, strictly, not hold "/", yet half of the
# clients in the field write type=application/dicom without quotes.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LOOSE_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z/:?=@\-]+")
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?|\.[0-9]{1,3})")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*)"')
_SPACE = " \t"


class _MalformedAlternative(ValueError):
    """One alternative cannot be read; others may be."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range with its parameters (RFC 9110 §8.3.1).

    Attributes
    ----------
    name
        ``type/subtype`` in lower case; a range has ``*`` for either.
    parameters
        Names in lower case, values as given with quotes taken off; without ``q``.
    """

    name: str
    parameters: Mapping[str, str]

    @property
    def is_multipart(self) -> bool:
        """Whether this is ``multipart/related`` (RFC 2387)."""
        return self.name == "multipart/related"


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative of an Accept field.

    Attributes
    ----------
    name
        The media range of the content itself: for multipart that of its parts.
    multipart
        Whether the content comes in parts; None where both will do (``*/*``).
    transfer_syntax
        A UID, ``*``, or None where none is named.
    quality
        Thousandths, 0 to 1000.
    """

    name: str
    multipart: bool | None
    transfer_syntax: str | None
    quality: int


def parse_media_type(text: str) -> MediaType:
    """Read one media type, as of a Content-Type field.

    Raises
    ------
    MalformedRequest
        When it is none.
    """
    try:
        media_type, rest = _read_media_type(text, 0)
    except _MalformedAlternative as error:
        raise MalformedRequest(f"not a media type: {text[:200]!r} ({error})") from error
    if rest != len(text):
        raise MalformedRequest(f"not a single media type: {text[:200]!r}")
    return media_type


def parse_accept(
    text: str, *, where: str = "the Accept header", strict: bool = True
) -> list[Alternative]:
    """Read the alternatives of an Accept field in the order given.

    An alternative that is not well formed is passed over, as the runtime libraries of old clients
    send such.

    Parameters
    ----------
    strict
        Whether one of them at least has to be well formed.

    Raises
    ------
    MalformedRequest
        When there are too many alternatives, or not one that is well formed where `strict`.
    """
    alternatives: list[Alternative] = []
    fault: _MalformedAlternative | None = None
    position = 0
    count = 0
    while position < len(text):
        if text[position] in _SPACE + ",":
            position += 1
            continue
        count += 1
        if count > MAXIMUM_ALTERNATIVES:
            raise MalformedRequest(f"more than {MAXIMUM_ALTERNATIVES} alternatives in {where}")
        try:
            media_type, position = _read_media_type(text, position, stop=",")
            alternatives.append(_alternative(media_type))
        except _MalformedAlternative as error:
            fault = error
            position = _next_comma(text, position)
    if strict and not alternatives and fault is not None:
        raise MalformedRequest(f"{where} is not well formed: {fault}") from fault
    return alternatives


def _alternative(media_type: MediaType) -> Alternative:
    """Make an alternative of a media range and its parameters."""
    quality = _parse_quality(media_type.parameters.get("q"))
    syntax = media_type.parameters.get("transfer-syntax") or None
    if not media_type.is_multipart:
        multipart = None if media_type.name == "*/*" else False
        return Alternative(_current(media_type.name), multipart, syntax, quality)
    root = media_type.parameters.get("type")
    if root is None:  # a multipart of whatever there is
        return Alternative("*/*", multipart=True, transfer_syntax=syntax, quality=quality)
    # Some clients put the transfer syntax inside the quotes, as a parameter of the root type.
    inner, rest = _read_media_type(root, 0)
    if rest != len(root):
        raise _MalformedAlternative(f"type={root[:80]!r} is not a media type")
    syntax = syntax or inner.parameters.get("transfer-syntax") or None
    name = _current(inner.name)
    return Alternative(name, multipart=True, transfer_syntax=syntax, quality=quality)


def _current(name: str) -> str:
    """Give the name that a media type has today."""
    return _FORMER_NAMES.get(name, name)


def _parse_quality(text: str | None) -> int:
    """Read a weight (RFC 9110 §12.4.2) as thousandths; Java's ``.2`` without a zero is taken."""
    if text is None:
        return 1000
    if _QUALITY.fullmatch(text) is None:
        raise _MalformedAlternative(f"q={text[:20]!r} is not between 0 and 1")
    whole, _, fraction = text.partition(".")
    return int(whole or "0") * 1000 + int(fraction.ljust(3, "0") or "0")


def _read_media_type(text: str, position: int, stop: str = "") -> tuple[MediaType, int]:
    """Read a media type from `position` to the end, or to `stop`; gives it and where it ended."""
    position = _skip_space(text, position)
    match = _TOKEN.match(text, position)
    if match is None:
        raise _MalformedAlternative(
            f"a media type is missing at {text[position : position + 20]!r}"
        )
    main, position = match.group().lower(), match.end()
    if position < len(text) and text[position] == "/":
        match = _TOKEN.match(text, position + 1)
        if match is None:
            raise _MalformedAlternative(f"{main!r} has no subtype")
        name, position = f"{main}/{match.group().lower()}", match.end()
    elif main == "*":  # what Java's URLConnection sends
        name = "*/*"
    else:
        raise _MalformedAlternative(f"{main[:80]!r} has no subtype")
    if name.startswith("*/") and name != "*/*":
        raise _MalformedAlternative(f"{name[:80]!r} is no media range")
    parameters: dict[str, str] = {}
    while True:
        position = _skip_space(text, position)
        if position >= len(text) or text[position] == stop:
            return MediaType(name, parameters), position
        if text[position] != ";":
            raise _MalformedAlternative(f"unexpected {text[position]!r} after {name[:80]!r}")
        position = _skip_space(text, position + 1)
        if position >= len(text) or text[position] in (";", stop):
            continue  # an empty parameter (RFC 9110 §5.6.6)
        key, value, position = _read_parameter(text, position)
        if key in parameters:
            raise _MalformedAlternative(f"parameter {key[:40]!r} is given twice")
        parameters[key] = value


def _read_parameter(text: str, position: int) -> tuple[str, str, int]:
    """Read ``name=value``; gives name, value, and where it ended."""
    match = _TOKEN.match(text, position)
    if match is None:
        raise _MalformedAlternative(f"no parameter at {text[position : position + 20]!r}")
    key = match.group().lower()
    position = _skip_space(text, match.end())
    if position >= len(text) or text[position] != "=":
        raise _MalformedAlternative(f"parameter {key[:40]!r} has no value")
    position = _skip_space(text, position + 1)
    quoted = _QUOTED.match(text, position)
    if quoted is not None:
        return key, re.sub(r"\\(.)", r"\1", quoted.group(1)), quoted.end()
    match = _LOOSE_TOKEN.match(text, position)
    if match is None:
        raise _MalformedAlternative(f"parameter {key[:40]!r} has no value")
    return key, match.group(), match.end()


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _next_comma(text: str, position: int) -> int:
    """Find the comma behind `position` that is not inside quotes, or the end."""
    while position < len(text) and text[position] != ",":
        if text[position] == '"':
            quoted = _QUOTED.match(text, position)
            position = quoted.end() if quoted is not None else position + 1
        else:
            position += 1
    return position
