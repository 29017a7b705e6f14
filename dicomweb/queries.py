"""Query strings as values: the parameters of a search become a `Query` (PS3.18 §8.3.4, §10.6).

Bad syntax fails here. A key that the catalog does not index is left out and named, so that the
answer can say so in a Warning header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote_to_bytes

from pydicom.datadict import tag_for_keyword

from archive.errors import MalformedIdentifier, MalformedQuery
from archive.model.attributes import BY_PATH, IndexedAttribute, Kind, Level
from archive.model.identifiers import ResourcePath, parse_uid
from archive.model.query import (
    Match,
    Query,
    QueryKey,
    RangeMatch,
    TagPath,
    ValueMatch,
    WildcardMatch,
)

MAXIMUM_PARAMETERS = 1000
"""Parameters of one request; EZ-WSI sends 37 includefields."""
MAXIMUM_VALUES = 5000
"""Values of one key, such as a list of UIDs."""
MAXIMUM_VALUE_LENGTH = 1024
"""Characters of one value; the longest that is matched, UT in a preparation step, is shorter."""
MAXIMUM_DEPTH = 8
"""Sequences that a dotted path may go down."""
_BIGGEST = 2**62

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_NATURAL = re.compile(r"[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_DATE = re.compile(r"[0-9]{8}")
_TIME = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?")
_TIME_LIMITS = (23, 59, 60)  # a leap second is legal (PS3.5 Table 6.2-1)

# Parameters that are no attributes: PS3.18 Table 8.3.4-1, §8.3.3 and §10.6.1.2.
_OTHERS = {
    "limit",
    "offset",
    "fuzzymatching",
    "includefield",
    "accept",
    "charset",
    "emptyvaluematching",
    "multiplevaluematching",
}


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What a query string asks for."""

    query: Query
    unsupported: tuple[str, ...] = ()
    """Names of parameters that were left out: never values, which may be a patient's."""


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    keys: dict[TagPath, tuple[str, IndexedAttribute, list[str]]] = field(default_factory=dict)
    include: set[TagPath] = field(default_factory=set)
    include_all: bool = False
    unsupported: list[str] = field(default_factory=list)
    single: dict[str, str] = field(default_factory=dict)


def parse_parameters(query_string: bytes) -> list[tuple[str, str]]:
    """Split a query string into names and values (PS3.18 §8.3.1).

    First at ``&`` and ``=``, then decoded: an encoded separator is part of a value. ``+`` is a
    space, as HTML forms and most clients have it.

    Raises
    ------
    MalformedQuery
        When it is not UTF-8, holds a NUL, or has too many parameters.
    """
    pieces = [piece for piece in query_string.split(b"&") if piece]
    if len(pieces) > MAXIMUM_PARAMETERS:
        raise MalformedQuery("…", f"more than {MAXIMUM_PARAMETERS} parameters")
    parameters = []
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        decoded_name = _decode(name, "…")
        parameters.append((decoded_name, _decode(value, decoded_name)))
    return parameters


def values_of(parameters: Sequence[tuple[str, str]], name: str) -> list[str]:
    """Give every value of one parameter."""
    return [value for key, value in parameters if key == name]


def parse_search(
    query_string: bytes,
    *,
    level: Level,
    study: str | None = None,
    series: str | None = None,
    default_limit: int,
    maximum_limit: int,
) -> SearchRequest:
    """Read the parameters of a search transaction (PS3.18 §10.6.1).

    Parameters
    ----------
    level
        What a result row is.
    study, series
        From the path.
    default_limit, maximum_limit
        Rows of an answer when the client names no number, and at most.

    Raises
    ------
    MalformedQuery
        When a parameter is not well formed.
    MalformedIdentifier
        When a UID of the path is none.
    """
    draft = _Draft()
    for name, value in parse_parameters(query_string):
        _take(draft, name, value)
    fuzzy = _boolean("fuzzymatching", draft.single.get("fuzzymatching", "false"))
    limit = _natural("limit", draft.single.get("limit"), default_limit)
    keys, universal = _keys(draft)
    path = None if study is None else ResourcePath.parse(study, series)
    query = Query(
        level=level,
        study=None if path is None else path.study,
        series=None if path is None else path.series,
        keys=keys,
        include=frozenset(draft.include | universal),
        include_all=draft.include_all,
        limit=min(limit, maximum_limit),
        offset=min(_natural("offset", draft.single.get("offset"), 0), _BIGGEST),
        fuzzy=fuzzy,
    )
    return SearchRequest(query, tuple(draft.unsupported))


def parse_attribute(text: str) -> TagPath | None:
    """Read an attribute given by keyword or tag, nested ones joined by dots (PS3.18 §8.3.4.1).

    Returns
    -------
    tuple of str, or None
        Tags from the outermost inwards; None when it is no attribute that the dictionary knows.
    """
    tags = []
    for step in text.split(".", MAXIMUM_DEPTH):
        if _TAG.fullmatch(step):
            tags.append(step.upper())
            continue
        tag = tag_for_keyword(step) if _KEYWORD.fullmatch(step) else None
        if tag is None:
            return None
        tags.append(f"{tag:08X}")
    return tuple(tags)


def _decode(text: bytes, name: str) -> str:
    try:
        decoded = unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedQuery(name[:80], "not UTF-8") from error
    if "\x00" in decoded:
        raise MalformedQuery(name[:80], "holds a NUL")
    return decoded


def _take(draft: _Draft, name: str, value: str) -> None:
    """Sort one parameter into the draft."""
    if name == "includefield":
        _take_include(draft, value)
    elif name in {"accept", "transfer-syntax"}:
        pass  # negotiation's (PS3.18 §8.3.3.1, §8.7.3.5.4)
    elif name in _OTHERS:
        if name in draft.single:
            raise MalformedQuery(name, "given more than once")
        draft.single[name] = value
        if name in {"charset", "emptyvaluematching", "multiplevaluematching"}:
            draft.unsupported.append(name)
    else:
        path = parse_attribute(name)
        attribute = None if path is None else BY_PATH.get(path)
        if path is None or attribute is None:
            draft.unsupported.append(name)
            return
        draft.keys.setdefault(path, (name, attribute, []))[2].append(value)


def _take_include(draft: _Draft, value: str) -> None:
    """Read one includefield: ``all``, or attributes separated by commas (PS3.18 §8.3.4.3)."""
    for item in value.split(","):
        text = item.strip()
        if text.lower() == "all":
            draft.include_all = True
        elif text:
            path = parse_attribute(text)
            if path is None:
                draft.unsupported.append(text)
            else:
                draft.include.add(path)


def _keys(draft: _Draft) -> tuple[tuple[QueryKey, ...], set[TagPath]]:
    """Make matches of the values; keys that match everything only ask for their attribute."""
    keys = []
    universal = set()
    for path, (name, attribute, values) in draft.keys.items():
        match = _match(name, attribute, values)
        if match is None:
            universal.add(path)
        else:
            keys.append(QueryKey(attribute, match))
    return tuple(keys), universal


def _match(name: str, attribute: IndexedAttribute, values: Sequence[str]) -> Match | None:
    """Read the values of one key by the kind of its attribute; None is universal matching."""
    given = [text for value in values for text in _split(attribute, value)]
    if not given and any(values):
        raise MalformedQuery(name, "no value between its separators")
    if not given or "*" in given:
        return None
    if len(given) > MAXIMUM_VALUES:
        raise MalformedQuery(name, f"more than {MAXIMUM_VALUES} values")
    if any(len(text) > MAXIMUM_VALUE_LENGTH for text in given):
        raise MalformedQuery(name, f"a value of more than {MAXIMUM_VALUE_LENGTH} characters")
    if attribute.kind is Kind.UID:
        return ValueMatch(tuple(_uid(name, text) for text in given))
    if attribute.kind is Kind.NUMBER:
        return ValueMatch(tuple(_number(name, text) for text in given))
    if attribute.kind in {Kind.DATE, Kind.TIME}:
        return _temporal(name, attribute.kind, given)
    if any(wildcard in text for text in given for wildcard in "*?"):
        if len(given) > 1:
            raise MalformedQuery(name, "a wildcard among several values")
        return WildcardMatch(given[0])
    return ValueMatch(tuple(given))


def _split(attribute: IndexedAttribute, value: str) -> list[str]:
    """Split what may be a list: UIDs and codes at commas and backslashes (PS3.18 §8.3.4.1).

    A backslash separates values of every other text too (PS3.5 §6.2); a comma may be part of one.
    """
    separators = (
        r"[\\,]" if attribute.vr in {"UI", "CS"} or attribute.kind is Kind.NUMBER else r"\\"
    )
    if attribute.vr in {"UT", "ST", "LT"}:
        separators = r"(?!)"
    # Leading and trailing spaces are padding (PS3.5 §6.2).
    return [text for piece in re.split(separators, value) if (text := piece.strip(" "))]


def _uid(name: str, text: str) -> str:
    try:
        return parse_uid(text)
    except MalformedIdentifier as error:
        raise MalformedQuery(
            name, "not a UID (PS3.5 §9.1); UIDs match without wildcards"
        ) from error


def _number(name: str, text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        raise MalformedQuery(name, "not an integer")
    return str(int(text))


def _temporal(name: str, kind: Kind, given: Sequence[str]) -> Match:
    """Read dates or times: one value, or a range (PS3.4 §C.2.2.2.5)."""
    if len(given) > 1:
        if kind is Kind.DATE and not any("-" in text for text in given):
            return ValueMatch(tuple(_date(name, text) for text in given))
        raise MalformedQuery(name, "several ranges")
    read = _date if kind is Kind.DATE else _earliest
    first, hyphen, last = given[0].partition("-")
    if hyphen:
        if not first.strip() and not last.strip():
            raise MalformedQuery(name, "a range without a beginning or an end")
        read_last = _date if kind is Kind.DATE else _latest
        return RangeMatch(
            read(name, first.strip()) if first.strip() else None,
            read_last(name, last.strip()) if last.strip() else None,
        )
    if kind is Kind.DATE:
        return ValueMatch((_date(name, first),))
    # 10 means the hour from ten to eleven: a time is as exact as it was given (PS3.5 Table 6.2-1).
    return RangeMatch(_earliest(name, first), _latest(name, first))


def _date(name: str, text: str) -> str:
    if _DATE.fullmatch(text) is None:  # strptime takes shorter ones too
        raise MalformedQuery(name, "not a date of the form YYYYMMDD")
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 — only whether there is such a day
    except ValueError as error:
        raise MalformedQuery(name, "there is no such day") from error
    return text


def _earliest(name: str, text: str) -> str:
    hours, minutes, seconds, fraction = _time(name, text)
    return f"{hours}{minutes or '00'}{seconds or '00'}.{fraction.ljust(6, '0')}"


def _latest(name: str, text: str) -> str:
    hours, minutes, seconds, fraction = _time(name, text)
    return f"{hours}{minutes or '59'}{seconds or '59'}.{fraction.ljust(6, '9')}"


def _time(name: str, text: str) -> tuple[str, str, str, str]:
    """Read a TM; components that are not given are empty."""
    match = _TIME.fullmatch(text)
    parts = ("", "", "", "") if match is None else tuple(part or "" for part in match.groups())
    hours, minutes, seconds, fraction = parts
    within = all(int(part or 0) <= most for part, most in zip(parts, _TIME_LIMITS, strict=False))
    if match is None or not within:
        raise MalformedQuery(name, "not a time of the form HHMMSS.FFFFFF")
    return hours, minutes, seconds, fraction


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise MalformedQuery(name, "neither true nor false")
    return text.lower() == "true"


def _natural(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if _NATURAL.fullmatch(text) is None:
        raise MalformedQuery(name, "not a natural number")
    return int(text)
