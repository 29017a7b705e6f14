"""Values of a query string's keys as matches (PS3.18 §8.3.4.1, PS3.4 §C.2.2.2).

Which types of matching a key has follows from the VR of its attribute. A value that its VR cannot
have is bad syntax and fails here; what is well formed and matches nothing is the catalog's affair.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from archive.errors import MalformedIdentifier, MalformedQuery
from archive.model.attribute_paths import holds_several
from archive.model.attributes import IndexedAttribute, Kind
from archive.model.identifiers import parse_uid
from archive.model.moments import read_datetime, split_range
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)

MAXIMUM_VALUES = 5000
"""Values of one key, such as a list of UIDs."""
MAXIMUM_VALUE_LENGTH = 1024
"""Characters of one value; the longest that is matched, UT in a preparation step, is shorter."""

# PS3.4 §C.2.2.2.7: VRs whose values two quotation marks can stand in for; §C.2.2.2.8: VRs of
# which each value of a key must be one of the attribute's.
_EMPTY_VRS = frozenset(
    ["AE", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"]
)
_MULTIPLE_VRS = frozenset(["AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"])
# PS3.4 §C.2.2.2.4: of other VRs, such as AS, the two characters are not wildcards.
_WILDCARD_VRS = frozenset(["AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
_NARRATIVE_VRS = frozenset(["LT", "ST", "UC", "UR", "UT"])

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})(?:[eE][+-]?[0-9]{1,2})?"
)
_DATE = re.compile(r"[0-9]{8}")
_TIME = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?")
_TIME_LIMITS = (23, 59, 60)  # a leap second is legal (PS3.5 Table 6.2-1)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which types of matching a request asks for besides the usual ones."""

    empty: bool = False
    """``emptyvaluematching=true`` (PS3.18 §8.3.4.5)."""
    multiple: bool = False
    """``multiplevaluematching=true`` (PS3.18 §8.3.4.6)."""


def read_match(
    name: str, attribute: IndexedAttribute, values: Sequence[str], rules: Rules
) -> Match | None:
    """Read the values of one key by the kind of its attribute; None is universal matching.

    Parameters
    ----------
    name
        Of the parameter, for who is told what is wrong with it.
    values
        Of the parameter, each time it was given.

    Raises
    ------
    MalformedQuery
        When a value cannot be one of the attribute's.
    """
    if rules.empty and attribute.vr in _EMPTY_VRS and [v.strip(" ") for v in values] == ['""']:
        return EmptyMatch()
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
    if attribute.kind is Kind.DECIMAL:
        return ValueMatch(tuple(_decimal(name, text) for text in given))
    if attribute.kind in {Kind.DATE, Kind.TIME, Kind.DATETIME}:
        return _temporal(name, attribute.kind, given)
    wild = attribute.vr in _WILDCARD_VRS and any(c in text for text in given for c in "*?")
    if wild and len(given) > 1:
        raise MalformedQuery(name, "a wildcard among several values")
    if wild:
        return WildcardMatch(given[0])
    every = rules.multiple and attribute.vr in _MULTIPLE_VRS and holds_several(attribute.path[-1])
    return EveryMatch(tuple(given)) if every and len(given) > 1 else ValueMatch(tuple(given))


def _split(attribute: IndexedAttribute, value: str) -> list[str]:
    """Split what may be a list: UIDs and codes at commas and backslashes (PS3.18 §8.3.4.1).

    A backslash separates values of every other text too (PS3.5 §6.2); a comma may be part of one.
    """
    listed = attribute.vr in {"UI", "CS"} or attribute.kind in {Kind.NUMBER, Kind.DECIMAL}
    separators = r"[\\,]" if listed else r"\\"
    if attribute.vr in _NARRATIVE_VRS and attribute.vr != "UC":
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
    """Read dates, times or both: a value, a list of dates, or a range (PS3.4 §C.2.2.2.5)."""
    if len(given) > 1:
        if kind is Kind.DATE and not any("-" in text for text in given):
            return ValueMatch(tuple(_date(name, text) for text in given))
        raise MalformedQuery(name, "several ranges")
    (text,) = given
    ends = _ends(kind, text)
    if ends is None:
        # A time is as exact as it was given: 10 is the hour from ten to eleven.
        return ValueMatch((_bound(name, kind, text),))
    first, last = (end.strip(" ") for end in ends)
    if not first and not last:
        raise MalformedQuery(name, "a range without a beginning or an end")
    return RangeMatch(
        _bound(name, kind, first) if first else None, _bound(name, kind, last) if last else None
    )


def _ends(kind: Kind, text: str) -> tuple[str, str] | None:
    if kind is Kind.DATETIME:
        return split_range(text)
    first, hyphen, last = text.partition("-")
    return (first, last) if hyphen else None


def _bound(name: str, kind: Kind, text: str) -> str:
    """Check one date, time or both; it stays as it was given, for the catalog to complete."""
    if kind is Kind.DATE:
        return _date(name, text)
    if kind is Kind.TIME:
        return _time(name, text)
    if read_datetime(text) is None:
        raise MalformedQuery(name, "not of the form YYYYMMDDHHMMSS.FFFFFF&ZZXX")
    return text


def _date(name: str, text: str) -> str:
    if _DATE.fullmatch(text) is None:  # strptime takes shorter ones too
        raise MalformedQuery(name, "not a date of the form YYYYMMDD")
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 — only whether there is such a day
    except ValueError as error:
        raise MalformedQuery(name, "there is no such day") from error
    return text


def _time(name: str, text: str) -> str:
    match = _TIME.fullmatch(text)
    parts = () if match is None else match.groups(default="0")
    if not parts or any(int(p) > most for p, most in zip(parts, _TIME_LIMITS, strict=False)):
        raise MalformedQuery(name, "not a time of the form HHMMSS.FFFFFF")
    return text


def _decimal(name: str, text: str) -> str:
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedQuery(name, "not a number")
    return text
