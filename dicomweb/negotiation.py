"""What the client accepts, and which of the things we could send that is (PS3.18 §8.7).

Owns the syntax of `Accept` (RFC 9110 §12.5.1), of the `accept` query parameter (PS3.18 §8.3.3.1),
of the `type` and `transfer-syntax` parameters, and the choice among offers (PS3.18 §8.7.8). What a
resource can be sent as is the route's business: it gives the offers, best first.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from archive.errors import MalformedQuery, MalformedRequest, NotAcceptable

MAXIMUM_ALTERNATIVES = 100
"""Alternatives of one request; real clients send up to nine."""

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

# What earlier editions called them (PS3.18 2016a Table 6.1.1-8), and what dcmjs's dicomweb-client
# sends to this day.
_FORMER_NAMES = {
    "image/jhc": "image/jphc",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
}

# A media type's parameter value that is a token may, strictly, not hold "/", yet half of the
# clients in the field write type=application/dicom without quotes.
_CHARSETS = frozenset({"utf-8", "iso_ir 192"})

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


@dataclass(frozen=True, slots=True)
class Offer:
    """One form in which a resource can be sent.

    Attributes
    ----------
    name
        Media type of the content, for multipart that of each part.
    multipart
        Whether it goes as ``multipart/related``.
    transfer_syntax
        UID that the content is in, or None where the media type alone says all.
    implied
        Whether an alternative that names no transfer syntax takes this one (PS3.18 Tables 8.7.3-2,
        -4 and -5 "default").
    starred
        Whether ``transfer-syntax=*`` takes this one. It does not where another offer is what is
        stored, which costs nothing.
    named_only
        Whether an alternative must name this transfer syntax itself: ``*`` and silence are served
        by another offer.
    """

    name: str
    multipart: bool = False
    transfer_syntax: str | None = None
    implied: bool = True
    starred: bool = True
    named_only: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it has a character set."""
        return self.name.startswith("text/") or self.name.endswith(("json", "xml"))

    @property
    def content_type(self) -> str:
        """The value of Content-Type for the content, or for each part of it."""
        if self.transfer_syntax is None:
            return self.name
        return f"{self.name}; transfer-syntax={self.transfer_syntax}"

    def __str__(self) -> str:
        if not self.multipart:
            return self.content_type
        parameter = (
            "" if self.transfer_syntax is None else f"; transfer-syntax={self.transfer_syntax}"
        )
        return f'multipart/related; type="{self.name}"{parameter}'


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


def choose(
    offers: Sequence[Offer],
    *,
    accept: Iterable[str] = (),
    query: Iterable[str] = (),
    transfer_syntax: str | None = None,
) -> Offer:
    """Select what to send (PS3.18 §8.7.8).

    The `accept` query parameter goes first; only when nothing it names is on offer does the Accept
    header decide. No header at all means everything is acceptable (RFC 9110 §12.5.1).

    Two deviations from PS3.18 §8.7.5, for the sake of clients there are: it has 406 for a request
    without an Accept header, which many an HTTP library does not send by itself, and 400 for DICOM
    and rendered media types side by side, which browsers' lists amount to.

    Parameters
    ----------
    offers
        What could be sent, the server's favourite first.
    accept
        The values of all Accept header fields; they add up.
    query
        The values of all `accept` query parameters.
    transfer_syntax
        The `transfer-syntax` query parameter, for alternatives of the `accept` query parameter that
        name none (PS3.18 §8.7.8.2).

    Raises
    ------
    MalformedRequest
        When either cannot be read.
    NotAcceptable
        When no offer is acceptable; the error names what is available.
    """
    header_text = ", ".join(accept)
    for text in query:
        found = _best(offers, _with_syntax(_parse_query(text), transfer_syntax))
        if found is not None:
            return found
    # §8.7.7: what is not valid "shall be ignored"; nothing that is acceptable may be left then.
    alternatives = parse_accept(header_text, strict=False)
    if not header_text.strip(_SPACE + ","):
        alternatives = [Alternative("*/*", None, None, 1000)]
    found = _best(offers, alternatives)
    if found is None:
        raise NotAcceptable(
            "nothing that this resource can be sent as is acceptable to the client",
            available=[str(offer) for offer in offers],
        )
    return found


def check_charset(values: Iterable[str]) -> None:
    """Hold `charset` query parameters against what there is, UTF-8 (PS3.18 §8.3.3.2).

    Accept-Charset is another matter: where nothing it names is supported, the default of the media
    type is taken (§8.8.5), which is UTF-8 as well.

    Raises
    ------
    MalformedQuery
        When no character set that is named is supported.
    """
    for value in values:
        names = [one.partition(";")[0].strip(' \t"').lower() for one in value.split(",")]
        if not _CHARSETS.intersection(names):
            raise MalformedQuery("charset", "not UTF-8, which is what text is in here")


def _parse_query(text: str) -> list[Alternative]:
    if not text.strip(_SPACE + ","):
        raise MalformedRequest("the accept query parameter is empty")
    return parse_accept(text, where="the accept query parameter")


def _with_syntax(alternatives: list[Alternative], syntax: str | None) -> list[Alternative]:
    if syntax is None:
        return alternatives
    return [
        Alternative(one.name, one.multipart, one.transfer_syntax or syntax, one.quality)
        for one in alternatives
    ]


def _best(offers: Sequence[Offer], alternatives: Sequence[Alternative]) -> Offer | None:
    """Give the offer of the highest quality, the earliest of equals; None when all are refused."""
    best: Offer | None = None
    best_quality = 0
    for offer in offers:
        quality = _quality(offer, alternatives)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _quality(offer: Offer, alternatives: Sequence[Alternative]) -> int:
    """Quality that the most specific matching alternative gives an offer; 0 when none matches."""
    found = (-1, 0)
    for alternative in alternatives:
        specificity = _specificity(offer, alternative)
        if specificity is not None:
            # Of equally specific ones the more generous counts: several fields add up.
            found = max(found, (specificity, alternative.quality))
    return found[1]


def _specificity(offer: Offer, alternative: Alternative) -> int | None:
    """Tell how narrowly an alternative names an offer; None when it does not."""
    if alternative.name == offer.name:
        specificity = 2
    elif alternative.name == "*/*":
        specificity = 0
    elif alternative.name.endswith("/*") and offer.name.startswith(alternative.name[:-1]):
        specificity = 1
    else:
        return None
    if alternative.multipart is not None:
        if alternative.multipart != offer.multipart:
            return None
        specificity += 4
    syntax = alternative.transfer_syntax
    if syntax is not None and syntax == offer.transfer_syntax:
        return specificity + 16
    if offer.named_only:
        return None
    if syntax is None:
        # A range names no type that could have a default: it takes whatever is best.
        return specificity if offer.implied or "*" in alternative.name else None
    if offer.transfer_syntax is None or (syntax == "*" and offer.starred):
        return specificity + 8
    return None


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
