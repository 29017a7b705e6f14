"""Query → one SELECT → rows of DICOM JSON (PS3.18 §10.6).

Keys of the query's own level or above it match the row and its parents; keys below it match where
one entity below fulfils all of them (relational matching, PS3.4 §C.4.1.3.1.2). The inner statement
finds the identities of the rows of one page, in order, from indexes as far as it can; the outer one
reads what is returned of these rows alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, exists, func, select
from sqlalchemy.orm import Session

from archive.catalog import rows
from archive.catalog.lookup import visibility_clause
from archive.catalog.matching import condition, conditions
from archive.catalog.paging import (
    PageEnds,
    Place,
    Start,
    behind,
    order,
    place_columns,
    place_of,
    until,
)
from archive.catalog.rows import DEPTH
from archive.catalog.tables import InstanceRow, SeriesRow, StudyRow
from archive.model.attributes import Level
from archive.model.query import Page, Query, QueryKey, Remaining, ValueMatch
from auth import Visibility


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a search looks before it goes about it in another way."""

    studies: int = 5000
    """Studies that are looked through one by one before the indexes of the keys are asked."""
    studies_by_series: int = 2000
    """The same where keys are of series, which have to be looked up for each."""
    studies_by_instance: int = 500
    """The same where keys are of instances, of which a study has many."""
    counted: int = 10_000
    """Rows behind a page that are counted at most."""
    counted_walking: int = 1000
    """The same where studies are looked through for them."""
    counted_studies: int = 3000
    """Studies that are looked through for rows behind a page."""


REACH = Reach()

# Whoever names one of these means one thing, or a few: an index finds it at once.
_IDENTIFYING = frozenset(
    {"patient_id", "accession_number", "study_id", "study_uid", "series_uid", "instance_uid"}
    | {"container_identifier", "specimen_identifiers", "specimen_uids", "frame_of_reference_uid"}
)


def search(
    session: Session, query: Query, visible: Visibility, ends: PageEnds, reach: Reach = REACH
) -> Page:
    """Find one page of results, and remember where it ends.

    How many rows a key matches is what a planner guesses worst, a pattern above all, and what it
    should do hangs on it: what is common is found soonest among the newest studies, one after the
    other, what is rare by an index. So the newest studies are looked through first, as far as that
    is quick, unless the keys say that they are of few.
    """
    if visible.is_none:
        return Page((), more=False)
    wanted = rows.Wanted(query)
    start = ends.start(query, visible, query.offset)
    found: Sequence[RowMapping] | None = None
    walks = _walks(query) and start.skip <= reach.studies
    if walks:
        found = _walk(session, query, visible, start, reach)
    few = walks and found is None
    if found is None:
        found = session.execute(statement(query, visible, start)).mappings().all()
    here = found[: query.limit]
    if here:
        ends.remember(query, visible, query.offset + len(here), place_of(here[-1]))
    results = [rows.result_row(query.level, wanted, row) for row in here]
    return Page(results, more=len(found) > query.limit, few=few)


def count_behind(
    session: Session,
    query: Query,
    visible: Visibility,
    ends: PageEnds,
    *,
    few: bool = False,
    reach: Reach = REACH,
) -> Remaining:
    """Count the rows behind a page, as far as that is quick; `few` as the page says."""
    if visible.is_none:
        return Remaining(0, exact=True)
    start = ends.start(query, visible, query.offset + query.limit)
    most, last = reach.counted, None
    if _walks(query) and not few:
        most = reach.counted_walking
        last = _end_of_walk(session, query, start, reach.counted_studies)
    found = _places(query, visible, start, limit=most + 1, last=last)
    count = session.execute(select(func.count()).select_from(found.subquery())).scalar_one()
    return Remaining(min(count, most), exact=count <= most and last is None)


def statement(
    query: Query, visible: Visibility, start: Start, last: Place | None = None
) -> Select[Any]:
    """Give the SELECT of one page, and of one row more; of studies up to `last` alone."""
    page = _places(query, visible, start, limit=query.limit + 1, last=last).subquery("page")
    level = query.level
    columns = [*place_columns(level), *rows.columns(query, rows.Wanted(query))]
    outer = select(*columns).select_from(page).join(StudyRow, StudyRow.id == page.c.study_id)
    if level is Level.SERIES:
        outer = outer.join(SeriesRow, SeriesRow.id == page.c.child_id)
    if level is Level.INSTANCE:
        outer = outer.join(InstanceRow, InstanceRow.id == page.c.child_id)
        outer = outer.join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
    return outer.order_by(*order(level))


# --- looking through the newest studies -----------------------------------------------------------


def _walks(query: Query) -> bool:
    """Tell whether how much a search matches cannot be known beforehand."""
    keys = [key for key in query.keys if key.attribute.name != "study_date"]
    few = any(
        key.attribute.name in _IDENTIFYING and isinstance(key.match, ValueMatch) for key in keys
    )
    return bool(keys) and not few and query.study is None


def _walk(
    session: Session, query: Query, visible: Visibility, start: Start, reach: Reach
) -> Sequence[RowMapping] | None:
    """Find a page among the next studies alone; None when it may go on behind them."""
    levels = {key.attribute.level for key in query.keys}
    studies = reach.studies
    if Level.INSTANCE in levels:
        studies = reach.studies_by_instance
    elif Level.SERIES in levels or any(key.attribute.derived for key in query.keys):
        studies = reach.studies_by_series
    last = _end_of_walk(session, query, start, studies)
    found = session.execute(statement(query, visible, start, last)).mappings().all()
    return found if last is None or len(found) > query.limit else None


def _end_of_walk(session: Session, query: Query, start: Start, studies: int) -> Place | None:
    """Give the place of the last study to look at; None when there are no more than those."""
    found = select(*place_columns(Level.STUDY))
    if start.place is not None:
        place = Place(start.place.listed_on, start.place.study_id)
        found = found.where(behind(Level.STUDY, place))
    for key in query.keys:
        if key.attribute.name == "study_date":  # no use to begin before the days that are asked for
            found = found.where(condition(key, fuzzy=False))
    found = found.order_by(*order(Level.STUDY)).offset(studies).limit(1)
    row = session.execute(found).mappings().one_or_none()
    return None if row is None else place_of(row)


# --- what matches ---------------------------------------------------------------------------------


def _places(
    query: Query, visible: Visibility, start: Start, *, limit: int, last: Place | None
) -> Select[Any]:
    """Select the places of matching rows in order, from `start` on, of studies up to `last`."""
    found = _matching(query, visible, *place_columns(query.level), narrow=last is None)
    if start.place is not None:
        found = found.where(behind(query.level, start.place))
    if last is not None:
        found = found.where(until(last))
    if start.skip:
        found = found.offset(start.skip)
    return found.order_by(*order(query.level)).limit(limit)


def _matching(
    query: Query,
    visible: Visibility,
    *columns: Any,  # noqa: ANN401
    narrow: bool,
) -> Select[Any]:
    """Select columns of every row that matches; joined with its parents."""
    own = DEPTH[query.level]
    by_level = {
        level: [key for key in query.keys if key.attribute.level is level] for level in Level
    }
    in_series = query.series is not None and query.level is not Level.STUDY
    found = _from(select(*columns), query.level, series=in_series or bool(by_level[Level.SERIES]))
    if query.study is not None:
        found = found.where(StudyRow.study_uid == query.study)
    if in_series:
        found = found.where(SeriesRow.series_uid == query.series)
    here: list[ColumnElement[bool]] = []
    for level in Level:
        if DEPTH[level] <= own:
            here.extend(conditions(by_level[level], fuzzy=query.fuzzy, narrow=narrow))
    below = [key for key in query.keys if DEPTH[key.attribute.level] > own]
    if below:
        here.append(_below(query.level, below, fuzzy=query.fuzzy, narrow=narrow))
    return visibility_clause(found.where(*here), visible)


def _from(found: Select[Any], level: Level, *, series: bool) -> Select[Any]:
    """Join a level with those above it; with the series of an instance only if it is asked of."""
    if level is Level.STUDY:
        return found.select_from(StudyRow)
    if level is Level.SERIES:
        return found.select_from(SeriesRow).join(StudyRow, StudyRow.id == SeriesRow.study_id)
    if series:  # each of the three may be where the planner begins
        found = found.select_from(SeriesRow).join(StudyRow, StudyRow.id == SeriesRow.study_id)
        return found.join(InstanceRow, InstanceRow.series_id == SeriesRow.id)
    return found.select_from(InstanceRow).join(StudyRow, StudyRow.id == InstanceRow.study_id)


def _below(
    level: Level, keys: Sequence[QueryKey], *, fuzzy: bool, narrow: bool
) -> ColumnElement[bool]:
    """One entity below fulfils all keys together, each at its own level."""
    series, instance = (
        conditions([k for k in keys if k.attribute.level is at], fuzzy=fuzzy, narrow=narrow)
        for at in (Level.SERIES, Level.INSTANCE)
    )
    if level is Level.SERIES:
        inner = select(1).where(InstanceRow.series_id == SeriesRow.id, *instance)
        return exists(inner.correlate(SeriesRow))
    statement = select(1).select_from(SeriesRow)
    if instance:
        statement = statement.join(InstanceRow, InstanceRow.series_id == SeriesRow.id)
    return exists(
        statement.where(SeriesRow.study_id == StudyRow.id, and_(*series, *instance)).correlate(
            StudyRow
        )
    )
