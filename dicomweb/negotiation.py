"""Which of the things we could send a client accepts (PS3.18 §8.7.5 … §8.7.8).

Owns the choice among offers by the Accept header and the `accept` query parameter (PS3.18
§8.3.3.1). What a resource can be sent as is the route's business: it gives the offers, best first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archive.errors import MalformedQuery, MalformedRequest, NotAcceptable
from dicomweb.media_types import Alternative, parse_accept

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

_CHARSETS = frozenset({"utf-8", "iso_ir 192"})
_BLANK = " \t,"


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
    if not header_text.strip(_BLANK):
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
    if not text.strip(_BLANK):
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
