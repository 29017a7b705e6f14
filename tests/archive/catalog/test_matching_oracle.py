"""Searches held against a plain reading of the rules of matching (PS3.4 §C.2.2.2).

The oracle knows nothing of SQL, tokens or folded columns: it goes through the data sets one by one.
A search is asked as a small archive is searched or as a large one is, where the newest studies come
first and the indexes of the keys after them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.catalog.paging import PageEnds
from archive.catalog.search import Reach, count_behind, search
from archive.model.attributes import BY_KEYWORD, INDEXED, IndexedAttribute, Kind, Level
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    Query,
    QueryKey,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)
from auth import Visibility
from tests.support.catalog import add, make

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from archive.catalog.database import Database

SMALL, LARGE = Reach(), Reach(1, 1, 1, counted_studies=1)
STAIN = next(a.keyword for a in INDEXED if a.name == "preparation_code_meanings")
KEYWORDS = (
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDescription",
    "StudyDate",
    "Modality",
    "ContainerIdentifier",
    "ImageType",
    "InstanceNumber",
    "SpecimenDescriptionSequence.SpecimenIdentifier",
    STAIN,
)
UIDS = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}
TEXTS = ["A1", "a1", "A10", "B_1", "100%", "x*y", "Zoë", "A1 B", ""]
NAMES = ["Doe^Jane", "DOE^JOHN", "Müller^Jörg=ミュラー", "van Dyck^Anna", ""]
DAYS = ["20260101", "20260102", "20260215", ""]


@pytest.fixture
def people(database: Database) -> tuple[Database, list[Dataset]]:
    made = []
    for number in range(12):

        def pick(values: list[str], step: int, at: int = number) -> str:
            return values[at * step % len(values)]

        made.append(
            make(
                PatientID=pick(TEXTS, 1),
                PatientName=pick(NAMES, 1),
                AccessionNumber=pick(TEXTS, 2),
                StudyDescription=pick(TEXTS, 5),
                StudyDate=pick(DAYS, 1),
                Modality=pick(["SM", "SR", "SEG"], 1),
                ContainerIdentifier=pick(TEXTS, 4),
                ImageType=[["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY", "LABEL"]][number % 2],
                InstanceNumber=number % 4,
            )
        )
    add(database, *made)
    return database, made


# --- the oracle -----------------------------------------------------------------------------------


def values_of(dataset: Dataset, attribute: IndexedAttribute) -> list[str]:
    def walk(level: Dataset, path: tuple[str, ...]) -> list[str]:
        if int(path[0], 16) not in level:
            return []
        element = level[int(path[0], 16)]
        if len(path) > 1:
            return [text for item in element.value for text in walk(item, path[1:])]
        value = element.value
        many = value if element.VM > 1 else [value]
        return [text for one in many if one is not None and (text := str(one))]

    return walk(dataset, attribute.path)


def plain(text: str) -> str:
    marks = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in marks if not unicodedata.combining(char))


def fits(value: str, kind: Kind, match: Match) -> bool:
    if isinstance(match, RangeMatch):
        return (match.first or "") <= value <= (match.last or "9")
    assert isinstance(match, ValueMatch | WildcardMatch)
    if kind is Kind.NAME:
        return any(fits(plain(group), Kind.TEXT, _folded(match)) for group in value.split("="))
    if isinstance(match, WildcardMatch):
        parts = [
            ".*" if char == "*" else "." if char == "?" else re.escape(char)
            for char in match.pattern
        ]
        return re.fullmatch("".join(parts), value) is not None
    return value in match.values


def _folded(match: ValueMatch | WildcardMatch) -> ValueMatch | WildcardMatch:
    if isinstance(match, WildcardMatch):
        return WildcardMatch(plain(match.pattern))
    return ValueMatch(tuple(plain(text) for text in match.values))


def matches(dataset: Dataset, key: QueryKey) -> bool:
    values, match = values_of(dataset, key.attribute), key.match
    if isinstance(match, EmptyMatch):
        return not values
    if isinstance(match, EveryMatch):
        return set(match.values) <= set(values)
    return any(fits(value, key.attribute.kind, match) for value in values)


# --- what is asked --------------------------------------------------------------------------------


def keys() -> st.SearchStrategy[QueryKey]:
    return st.sampled_from(KEYWORDS).map(BY_KEYWORD.__getitem__).flatmap(_key)


def _key(attribute: IndexedAttribute) -> st.SearchStrategy[QueryKey]:
    return _match(attribute).map(lambda match: QueryKey(attribute, match))


def _match(attribute: IndexedAttribute) -> st.SearchStrategy[Match]:
    if attribute.kind is Kind.DATE:
        days = st.sampled_from([day for day in DAYS if day] + ["20260110"])
        ends = st.one_of(st.none(), days)
        pairs = st.tuples(ends, ends).filter(any).map(lambda pair: RangeMatch(*pair))
        return st.one_of(days.map(lambda day: ValueMatch((day,))), pairs, st.just(EmptyMatch()))
    if attribute.kind is Kind.NUMBER:
        return st.lists(st.sampled_from("01239"), min_size=1, max_size=3).map(_values)
    known = NAMES if attribute.kind is Kind.NAME else [*TEXTS, "SM", "SR", "PRIMARY", "LABEL"]
    groups = [text.split("=")[0] for text in known if text]
    wild = st.sampled_from(groups).flatmap(_wildcard)
    values = st.lists(st.sampled_from(groups), min_size=1, max_size=3).map(_values)
    found: list[st.SearchStrategy[Match]] = [wild, values, st.just(EmptyMatch())]
    if attribute.name == "image_type":
        every = st.lists(st.sampled_from(["PRIMARY", "LABEL", "ORIGINAL"]), min_size=2, max_size=2)
        found.append(every.map(lambda texts: EveryMatch(tuple(texts))))
    return st.one_of(found)


def _values(texts: list[str]) -> Match:
    return ValueMatch(tuple(texts))


def _wildcard(text: str) -> st.SearchStrategy[Match]:
    cuts = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)), st.sampled_from("*?"))
    return cuts.map(lambda cut: _cut(text, min(cut[:2]), max(cut[:2]), cut[2])).map(WildcardMatch)


def _cut(text: str, first: int, last: int, wildcard: str) -> str:
    return f"{text[:first]}{wildcard}{text[last:]}".strip(" ")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    wanted=st.lists(keys(), min_size=1, max_size=2, unique_by=lambda key: key.attribute.name),
    level=st.sampled_from(Level),
    reach=st.sampled_from([SMALL, LARGE]),
)
def test_a_search_finds_what_a_plain_reading_of_the_rules_finds(
    people: tuple[Database, list[Dataset]], wanted: list[QueryKey], level: Level, reach: Reach
) -> None:
    database, made = people
    expected = [dataset for dataset in made if all(matches(dataset, key) for key in wanted)]
    ordered = sorted(
        expected, key=lambda dataset: (dataset.StudyDate, made.index(dataset)), reverse=True
    )
    query = Query(level, keys=tuple(wanted), limit=3)
    uid = UIDS[level]
    assert _pages(database, query, reach) == [str(one[uid].value) for one in ordered]


def _pages(database: Database, query: Query, reach: Reach) -> list[Any]:
    """Give what all pages of a search have, and see that each says truly what is behind it."""
    found: list[Any] = []
    ends = PageEnds()
    remaining = []
    while True:
        page_query = replace(query, offset=len(found))
        with database.begin() as session:
            page = search(session, page_query, Visibility.ALL, ends, reach)
            behind = count_behind(
                session, page_query, Visibility.ALL, ends, few=page.few, reach=reach
            )
        found += [row.instance or row.series or row.study for row in page.rows]
        remaining.append((len(found), behind))
        if not page.more:
            break
    for seen, behind in remaining:
        assert behind.count == len(found) - seen or (
            not behind.exact and behind.count < len(found) - seen
        )
    return found
