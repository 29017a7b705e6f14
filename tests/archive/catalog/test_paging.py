"""Pages that follow each other while studies come in (PS3.18 §8.3.4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.catalog import paging
from archive.catalog.paging import PageEnds, Place, Start
from archive.catalog.search import count_behind, search
from archive.model.attributes import BY_KEYWORD, Level
from archive.model.query import Query, QueryKey, ValueMatch
from auth import Visibility
from tests.support.catalog import add, make, sibling

if TYPE_CHECKING:
    from archive.catalog.database import Database

PLACE = Place("20260101", 7)


def by_patient(identifier: str, **given: int) -> Query:
    key = QueryKey(BY_KEYWORD["PatientID"], ValueMatch((identifier,)))
    return Query(Level.STUDY, keys=(key,), **given)  # type: ignore[arg-type]


def test_the_end_of_a_page_is_remembered_for_the_same_search_alone() -> None:
    ends = PageEnds()
    ends.remember(by_patient("A", limit=10), Visibility.ALL, 10, PLACE)
    following = by_patient("A", limit=10, offset=10)
    assert ends.start(following, Visibility.ALL, 10) == Start(PLACE, 0)
    assert ends.start(following, Visibility.ALL, 40) == Start(PLACE, 30)
    assert ends.start(following, Visibility.ALL, 15) == Start(None, 15)
    assert ends.start(by_patient("B", limit=10), Visibility.ALL, 10) == Start(None, 10)
    some = Visibility(frozenset({"ward"}))
    assert ends.start(following, some, 10) == Start(None, 10)


def test_ends_are_forgotten_after_a_while_and_when_there_are_too_many() -> None:
    clock = [0.0]
    ends = PageEnds(now=lambda: clock[0])
    ends.remember(by_patient("A"), Visibility.ALL, 10, PLACE)
    clock[0] = paging.REMEMBERED_SECONDS + 1.0
    assert ends.start(by_patient("A"), Visibility.ALL, 10).place is None
    ends = PageEnds(most=2)
    for patient in ("A", "B", "C"):
        ends.remember(by_patient(patient), Visibility.ALL, 10, PLACE)
    known = [p for p in "ABC" if ends.start(by_patient(p), Visibility.ALL, 10).place]
    assert known == ["B", "C"]


def test_pages_neither_repeat_nor_skip_rows_while_studies_come_and_go(database: Database) -> None:
    old = make(StudyDate="20250101")
    undated = make(StudyDate="")
    more = [make(StudyDate="20250101"), make(StudyDate="20240101")]
    add(database, undated, old, sibling(old), sibling(old), *more)
    for level in Level:
        ends = PageEnds()
        with database.begin() as session:
            everything = search(session, Query(level), Visibility.ALL, PageEnds()).rows
        seen: list[tuple[str | None, ...]] = []
        for page in range(len(everything)):
            query = Query(level, limit=1, offset=page)
            with database.begin() as session:
                found = search(session, query, Visibility.ALL, ends)
                behind = count_behind(session, query, Visibility.ALL, ends).count
            seen += [(row.study, row.series, row.instance) for row in found.rows]
            assert behind == max(len(everything) - page - 1, 0)
            assert found.more == (behind > 0)
            if page < 2:
                # It comes before all that is listed: offsets alone would now be off by one.
                add(database, make(StudyDate="20260101"))
        assert seen == [(row.study, row.series, row.instance) for row in everything]
