"""A search as a value: matches, level and returns (PS3.4 §C.2.2.2, PS3.18 §10.6).

The face that receives a query parses it into these; the catalog turns them into one SELECT.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archive.model.attribute_paths import TagPath
from archive.model.attributes import IndexedAttribute, Level
from archive.model.identifiers import SeriesUid, StudyUid


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """Single value matching, or a list of which any may match (PS3.4 §C.2.2.2.1, §C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WildcardMatch:
    """``*`` is any run of characters, ``?`` one; all else is literal (PS3.4 §C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class RangeMatch:
    """From `first` to `last`, both included; None is open (PS3.4 §C.2.2.2.5)."""

    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class EveryMatch:
    """Multiple value matching: each of `values` is one of the attribute's (PS3.4 §C.2.2.2.8)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmptyMatch:
    """Empty value matching: the attribute is absent or without a value (PS3.4 §C.2.2.2.7)."""


Match = ValueMatch | WildcardMatch | RangeMatch | EveryMatch | EmptyMatch
"""Universal matching has no value: such a key only asks for the attribute to be returned."""


@dataclass(frozen=True, slots=True)
class QueryKey:
    """One attribute and what it must match; all keys of a query must match."""

    attribute: IndexedAttribute
    match: Match


@dataclass(frozen=True, slots=True)
class Query:
    """A search transaction (PS3.18 §10.6).

    Attributes
    ----------
    level
        What a result row is: a study, a series or an instance.
    study, series
        From the path: only within these.
    keys
        All must match. A key of a lower level than the query's matches where any entity below
        does; a key of a higher level matches the parent.
    include
        Attributes to return besides the default ones, as paths of tags.
    include_all
        ``includefield=all``.
    creators
        Tag of a Private Creator and its value: which private attributes `include` means.
    limit
        Rows at most; never more than the settings' bound.
    offset
        Rows to pass over; order is stable.
    fuzzy
        ``fuzzymatching=true``: person names match by word, case and diacritics folded.
    """

    level: Level
    study: StudyUid | None = None
    series: SeriesUid | None = None
    keys: tuple[QueryKey, ...] = ()
    include: frozenset[TagPath] = frozenset()
    include_all: bool = False
    creators: tuple[tuple[str, str], ...] = ()
    limit: int = 1000
    offset: int = 0
    fuzzy: bool = False


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row: its identifiers, and its attributes as DICOM JSON (PS3.18 Annex F)."""

    study: str
    series: str | None
    instance: str | None
    attributes: Mapping[str, Any] = field(hash=False)
    """Tag → DICOM JSON attribute, ascending by tag. Bulk data URIs are relative (see `part10`)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of results, in a stable order."""

    rows: Sequence[ResultRow]
    more: bool
    """Whether further rows exist behind this page."""
    few: bool = False
    """Whether so few rows match that those behind can be counted at once."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many rows there are behind a page."""

    count: int
    exact: bool
    """False where counting stopped: there are at least as many."""
