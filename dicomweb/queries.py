"""Query strings as values: the parameters of a search become a `Query` (PS3.18 §8.3.4, §10.6).

Bad syntax fails here. A key that the catalog does not index is left out and named, so that the
answer can say so in a Warning header.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from archive.errors import MalformedQuery
from archive.model.attribute_paths import TagPath, is_private_creator, parse_attribute
from archive.model.attributes import BY_PATH, IndexedAttribute, Level
from archive.model.identifiers import ResourcePath
from archive.model.query import Query, QueryKey
from dicomweb.matches import Rules, read_match

MAXIMUM_PARAMETERS = 1000
"""Parameters of one request; EZ-WSI sends 37 includefields."""
_BIGGEST = 2**62

_NATURAL = re.compile(r"[0-9]{1,30}")

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
    limited: bool = False
    """Whether more rows were asked for at once than an answer has."""


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    keys: dict[TagPath, tuple[str, IndexedAttribute, list[str]]] = field(default_factory=dict)
    include: set[TagPath] = field(default_factory=set)
    include_all: bool = False
    unsupported: list[str] = field(default_factory=list)
    creators: dict[str, str] = field(default_factory=dict)
    single: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Read a parameter that is true or false, and false when it is left out."""
        text = self.single.get(name, "false").lower()
        if text not in {"true", "false"}:
            raise MalformedQuery(name, "neither true nor false")
        return text == "true"


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
    site: Mapping[TagPath, IndexedAttribute] = MappingProxyType({}),
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
    site
        Attributes that this archive's settings add to those that match.

    Raises
    ------
    MalformedQuery
        When a parameter is not well formed.
    MalformedIdentifier
        When a UID of the path is none.
    """
    draft = _Draft()
    for name, value in parse_parameters(query_string):
        _take(draft, name, value, site)
    limit = _natural("limit", draft.single.get("limit"), default_limit)
    rules = Rules(draft.flag("emptyvaluematching"), draft.flag("multiplevaluematching"))
    keys, universal = _keys(draft, rules)
    path = None if study is None else ResourcePath.parse(study, series)
    query = Query(
        level=level,
        study=None if path is None else path.study,
        series=None if path is None else path.series,
        keys=keys,
        include=frozenset(draft.include | universal),
        include_all=draft.include_all,
        creators=tuple(sorted(draft.creators.items())),
        limit=min(limit, maximum_limit),
        offset=min(_natural("offset", draft.single.get("offset"), 0), _BIGGEST),
        fuzzy=draft.flag("fuzzymatching"),
    )
    return SearchRequest(query, tuple(draft.unsupported), limited=limit > maximum_limit)


def _decode(text: bytes, name: str) -> str:
    try:
        decoded = unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedQuery(name[:80], "not UTF-8") from error
    if "\x00" in decoded:
        raise MalformedQuery(name[:80], "holds a NUL")
    return decoded


def _take(draft: _Draft, name: str, value: str, site: Mapping[TagPath, IndexedAttribute]) -> None:
    """Sort one parameter into the draft."""
    if name == "includefield":
        _take_include(draft, value)
    elif name in {"accept", "transfer-syntax"}:
        pass  # negotiation's (PS3.18 §8.3.3.1, §8.7.3.5.4)
    elif name in _OTHERS:
        if name in draft.single:
            raise MalformedQuery(name, "given more than once")
        draft.single[name] = value
        if name == "charset" and value.lower() not in {"utf-8", "utf8"}:
            draft.unsupported.append(name)
    else:
        path = parse_attribute(name)
        if path is not None and len(path) == 1 and is_private_creator(path[0]):
            # Not to be matched: it says whose the private attributes of includefield are.
            draft.creators[path[0]] = value.strip(" ")
            return
        attribute = None if path is None else BY_PATH.get(path) or site.get(path)
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


def _keys(draft: _Draft, rules: Rules) -> tuple[tuple[QueryKey, ...], set[TagPath]]:
    """Make matches of the values; keys that match everything only ask for their attribute."""
    keys = []
    universal = set()
    for path, (name, attribute, values) in draft.keys.items():
        match = read_match(name, attribute, values, rules)
        if match is None:
            universal.add(path)
        else:
            keys.append(QueryKey(attribute, match))
    return tuple(keys), universal


def _natural(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if _NATURAL.fullmatch(text) is None:
        raise MalformedQuery(name, "not a natural number")
    return int(text)
