"""Every row of the table of attributes is found by every matching type that its VR has.

PS3.4 §C.2.2.2: single value, list, universal (not asking at all), wildcard, range, sequence (by
path), empty value and multiple value matching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from archive.catalog.paging import PageEnds
from archive.catalog.search import search
from archive.model.attributes import INDEXED, IndexedAttribute, Kind, Level
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
from tests.support.catalog import JPEG, add, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.catalog.database import Database

_VALUES = {
    Kind.TEXT: "Some_Text 1",
    Kind.NAME: "Müller^Jörg",
    Kind.DATE: "20260203",
    Kind.TIME: "101112.5",
    Kind.NUMBER: "17",
    Kind.DECIMAL: "488.5",
}
_DERIVED = {
    "modalities_in_study": "SOME_TEXT 1",
    "sop_classes_in_study": "",  # filled in below: that of the instance
    "available_transfer_syntax_uid": JPEG,
}


def put(dataset: Dataset, path: tuple[str, ...], vr: str, value: str) -> None:
    """Set a value at a path, in the first item of each sequence on the way."""
    tag = int(path[0], 16)
    if len(path) == 1:
        number = float(value) if vr == "FL" else int(value) if vr in {"US", "UL"} else value
        dataset.add_new(tag, vr, number)
        return
    if tag not in dataset:
        dataset.add_new(tag, "SQ", [Dataset()])
    put(dataset[tag].value[0], path[1:], vr, value)


def full() -> tuple[Dataset, dict[str, str]]:
    """Give a data set that has every attribute of the table, and their values by name."""
    dataset = make()
    values = {}
    for attribute in INDEXED:
        if attribute.derived:
            continue
        value = _VALUES.get(attribute.kind) or generate_uid(prefix=None)
        if attribute.vr == "CS":
            value = value.upper()
        put(dataset, attribute.path, attribute.vr, value)
        values[attribute.name] = value
    return dataset, values | _DERIVED | {"sop_classes_in_study": values["sop_class_uid"]}


def matches_of(attribute: IndexedAttribute, value: str) -> Iterator[tuple[Match, bool]]:
    """Give matches of each type that the attribute has, and whether they find the value."""
    yield ValueMatch((value,)), True
    other = {Kind.UID: "1.2.3", Kind.DATE: "20260204", Kind.TIME: "11", Kind.NUMBER: "18"}
    wrong = other.get(attribute.kind, "489" if attribute.kind is Kind.DECIMAL else "Other")
    yield ValueMatch((wrong,)), False
    yield ValueMatch((wrong, value)), True
    if attribute.kind in {Kind.TEXT, Kind.NAME}:
        yield WildcardMatch(f"{value[:3]}*"), True
        yield WildcardMatch(f"*{value[-3:]}"), True
        yield WildcardMatch(f"{value[:3]}?{value[4:]}"), True
        yield WildcardMatch("*%*"), False
        yield EmptyMatch(), False
    if attribute.kind is Kind.NAME:
        yield ValueMatch(("MULLER^jorg",)), True
    if attribute.kind is Kind.TEXT and not attribute.derived:
        yield ValueMatch((value.swapcase(),)), False  # only names match without regard to case
    if attribute.kind is Kind.DATE:
        yield RangeMatch("20260203", "20260203"), True
        yield RangeMatch("20260204", None), False
        yield RangeMatch(None, "20260202"), False
    if attribute.kind is Kind.TIME:
        yield RangeMatch("10", "1010"), False
        yield RangeMatch("1011", None), True
        yield RangeMatch(None, "1010"), False
    if attribute.name in {"image_type", "modalities_in_study"}:
        yield EveryMatch((value, value)), True
        yield EveryMatch((value, "Other")), False


@pytest.fixture
def two(database: Database) -> tuple[Database, Dataset, dict[str, str]]:
    """An instance with everything, and one of another study with as little as there can be."""
    told, values = full()
    bare = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(bare, keyword, generate_uid(prefix=None))
    add(database, told, bare)
    return database, told, values


def test_every_indexed_attribute_is_found_by_every_matching_type_it_has(
    two: tuple[Database, Dataset, dict[str, str]],
) -> None:
    database, told, values = two
    seen: dict[str, list[object]] = {}
    with database.begin() as session:
        for attribute in INDEXED:
            for match, found in matches_of(attribute, values[attribute.name]):
                query = Query(Level.INSTANCE, keys=(QueryKey(attribute, match),))
                rows = search(session, query, Visibility.ALL, PageEnds()).rows
                is_found = str(told.SOPInstanceUID) in [row.instance for row in rows]
                if is_found != found:
                    seen.setdefault(attribute.keyword, []).append(match)
    assert seen == {}


def test_every_indexed_attribute_is_found_where_it_has_no_value(
    two: tuple[Database, Dataset, dict[str, str]],
) -> None:
    database, told, _ = two
    wrong = []
    with database.begin() as session:
        for attribute in INDEXED:
            if attribute.kind is Kind.UID or attribute.name == "modalities_in_study":
                continue  # §C.2.2.2.7 leaves UI out; what is derived of modalities is never bare
            query = Query(Level.INSTANCE, keys=(QueryKey(attribute, EmptyMatch()),))
            rows = search(session, query, Visibility.ALL, PageEnds()).rows
            if len(rows) != 1 or rows[0].instance == str(told.SOPInstanceUID):
                wrong.append(attribute.keyword)
    assert wrong == []


def test_every_indexed_attribute_is_returned_when_it_is_asked_for(
    two: tuple[Database, Dataset, dict[str, str]],
) -> None:
    database, told, _ = two
    everything = frozenset(attribute.path for attribute in INDEXED)
    query = Query(Level.INSTANCE, study=told.StudyInstanceUID, include=everything)
    with database.begin() as session:
        (row,) = search(session, query, Visibility.ALL, PageEnds()).rows
    assert {attribute.tag for attribute in INDEXED} <= set(row.attributes)
