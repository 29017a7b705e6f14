"""Query → one SELECT → rows of DICOM JSON (PS3.18 §10.6).

Keys of the query's own level or above it match the row and its parents; keys below it match where
one entity below fulfils all of them (relational matching, PS3.4 §C.4.1.3.1.2). The inner statement
finds the identities of the rows of one page, in order, from indexes as far as it can; the outer one
reads what is returned of these rows alone.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session

from archive.catalog import rows
from archive.catalog.lookup import visibility_clause
from archive.catalog.matching import conditions
from archive.catalog.paging import PageEnds, behind, order, place_columns, place_of
from archive.catalog.rows import DEPTH
from archive.catalog.tables import InstanceRow, SeriesRow, StudyRow
from archive.model.attributes import Level
from archive.model.query import Page, Query, QueryKey
from auth import Visibility


def search(session: Session, query: Query, visible: Visibility, ends: PageEnds) -> Page:
    """Find one page of results, and remember where it ends."""
    if visible.is_none:
        return Page((), more=False)
    wanted = rows.Wanted(query)
    found = session.execute(statement(query, visible, ends)).mappings().all()
    here = found[: query.limit]
    if here:
        ends.remember(query, visible, query.offset + len(here), place_of(here[-1]))
    results = [rows.result_row(query.level, wanted, row) for row in here]
    return Page(results, more=len(found) > query.limit)


def statement(query: Query, visible: Visibility, ends: PageEnds) -> Select[Any]:
    """Give the SELECT of one page, and of one row more."""
    found = _page(query, visible, ends, offset=query.offset, limit=query.limit + 1)
    page = found.subquery("page")
    level = query.level
    columns = [*place_columns(level), *rows.columns(query, rows.Wanted(query))]
    outer = select(*columns).select_from(page).join(StudyRow, StudyRow.id == page.c.study_id)
    if level is Level.SERIES:
        outer = outer.join(SeriesRow, SeriesRow.id == page.c.child_id)
    if level is Level.INSTANCE:
        outer = outer.join(InstanceRow, InstanceRow.id == page.c.child_id)
        outer = outer.join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
    return outer.order_by(*order(level))


def count_behind(
    session: Session, query: Query, visible: Visibility, ends: PageEnds, limit: int
) -> int:
    """Count the rows behind a page, no further than `limit`."""
    if visible.is_none:
        return 0
    found = _page(query, visible, ends, offset=query.offset + query.limit, limit=limit)
    return session.execute(select(func.count()).select_from(found.subquery())).scalar_one()


def _page(
    query: Query, visible: Visibility, ends: PageEnds, *, offset: int, limit: int
) -> Select[Any]:
    """Select the places of the rows from number `offset` on, in order."""
    start = ends.start(query, visible, offset)
    found = _matching(query, visible, *place_columns(query.level))
    if start.place is not None:
        found = found.where(behind(query.level, start.place))
    if start.skip:
        found = found.offset(start.skip)
    return found.order_by(*order(query.level)).limit(limit)


def _matching(query: Query, visible: Visibility, *columns: Any) -> Select[Any]:  # noqa: ANN401
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
            here.extend(conditions(by_level[level], fuzzy=query.fuzzy))
    below = [key for key in query.keys if DEPTH[key.attribute.level] > own]
    if below:
        here.append(_below(query.level, below, fuzzy=query.fuzzy))
    return visibility_clause(found.where(*here), visible)


def _from(found: Select[Any], level: Level, *, series: bool) -> Select[Any]:
    """Join a level with those above it; with the series of an instance only if it is asked of."""
    if level is Level.STUDY:
        return found.select_from(StudyRow)
    if level is Level.SERIES:
        return found.select_from(SeriesRow).join(StudyRow, StudyRow.id == SeriesRow.study_id)
    found = found.select_from(InstanceRow).join(StudyRow, StudyRow.id == InstanceRow.study_id)
    return found.join(SeriesRow, SeriesRow.id == InstanceRow.series_id) if series else found


def _below(level: Level, keys: Sequence[QueryKey], *, fuzzy: bool) -> ColumnElement[bool]:
    """One entity below fulfils all keys together, each at its own level."""
    series = conditions([k for k in keys if k.attribute.level is Level.SERIES], fuzzy=fuzzy)
    instance = conditions([k for k in keys if k.attribute.level is Level.INSTANCE], fuzzy=fuzzy)
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
