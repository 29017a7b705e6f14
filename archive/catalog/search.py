"""Query → one SELECT → rows of DICOM JSON (PS3.18 §10.6).

Keys of the query's own level or above it match the row and its parents; keys below it match where
one entity below fulfils all of them (relational matching, PS3.4 §C.4.1.3.1.2). The order is stable:
studies by date, newest first, within a study by the order of arrival. Counts and what hangs on them
are made for the rows of the page alone.
"""

import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, Select, and_, exists, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from archive.catalog.levels import (
    KEPT,
    REQUIRED,
    RETURNED,
    SERIES_TAGS,
    VR_WHEN_EMPTY,
    level_of,
)
from archive.catalog.lookup import visibility_clause
from archive.catalog.matching import conditions
from archive.catalog.tables import InstanceRow, MetadataRow, SeriesRow, StudyRow
from archive.model.attributes import Level
from archive.model.query import Page, Query, QueryKey, ResultRow
from archive.model.transfer_syntaxes import served_as
from auth import Visibility

_DEPTH = {Level.STUDY: 0, Level.SERIES: 1, Level.INSTANCE: 2}
_AVAILABILITY = "00080056"
_MODALITIES, _SOP_CLASSES = "00080061", "00080062"
_SERIES_IN_STUDY, _INSTANCES_IN_STUDY, _INSTANCES_IN_SERIES = "00201206", "00201208", "00201209"
_TRANSFER_SYNTAX = "00083002"
_PER_FRAME = "52009230"


def search(session: Session, query: Query, visible: Visibility) -> Page:
    """Find one page of results."""
    if visible.is_none:
        return Page((), more=False)
    wanted = _Wanted(query)
    statement = _matching(query, visible, *_columns(query, wanted))
    statement = statement.order_by(*_order(query.level)).offset(query.offset)
    found = session.execute(statement.limit(query.limit + 1)).mappings().all()
    rows = [_row(query.level, wanted, row) for row in found[: query.limit]]
    return Page(rows, more=len(found) > query.limit)


def count_behind(session: Session, query: Query, visible: Visibility, limit: int) -> int:
    """Count the rows behind a page, no further than `limit`."""
    if visible.is_none:
        return 0
    first = query.offset + query.limit
    statement = _matching(query, visible, StudyRow.id).offset(first).limit(limit)
    return session.execute(select(func.count()).select_from(statement.subquery())).scalar_one()


def _matching(query: Query, visible: Visibility, *columns: Any) -> Select[Any]:  # noqa: ANN401
    """Select columns of every row that matches; joined with its parents."""
    statement = _from(select(*columns), query.level)
    if query.study is not None:
        statement = statement.where(StudyRow.study_uid == query.study)
    if query.series is not None and query.level is not Level.STUDY:
        statement = statement.where(SeriesRow.series_uid == query.series)
    own = _DEPTH[query.level]
    here: list[ColumnElement[bool]] = []
    for level in Level:
        keys = [key for key in query.keys if key.attribute.level is level and _DEPTH[level] <= own]
        here.extend(conditions(keys, fuzzy=query.fuzzy))
    below = [key for key in query.keys if _DEPTH[key.attribute.level] > own]
    if below:
        here.append(_below(query.level, below, fuzzy=query.fuzzy))
    return visibility_clause(statement.where(*here), visible)


def _from(statement: Select[Any], level: Level) -> Select[Any]:
    if level is Level.STUDY:
        return statement.select_from(StudyRow)
    if level is Level.SERIES:
        return statement.select_from(SeriesRow).join(StudyRow, StudyRow.id == SeriesRow.study_id)
    return (
        statement.select_from(InstanceRow)
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
        .join(StudyRow, StudyRow.id == InstanceRow.study_id)
    )


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


def _order(level: Level) -> list[Any]:
    order: list[Any] = [StudyRow.study_date.desc().nulls_last(), StudyRow.id.desc()]
    if level is not Level.STUDY:
        order.append(SeriesRow.id)
    if level is Level.INSTANCE:
        order.append(InstanceRow.id)
    return order


# --- what is returned -----------------------------------------------------------------------------


class _Wanted:
    """Which attributes the rows of a query have (PS3.18 §10.6.3.3)."""

    def __init__(self, query: Query) -> None:
        self.everything = query.include_all
        self.levels = {query.level}
        # A row says everything about the levels above it that the path leaves open.
        if query.level is not Level.STUDY and query.study is None:
            self.levels.add(Level.STUDY)
        if query.level is Level.INSTANCE and query.series is None:
            self.levels.add(Level.SERIES)
        asked = {path[0] for path in query.include} | {key.attribute.tag for key in query.keys}
        self.asked = frozenset(asked)
        tags = {tag for level in self.levels for tag in RETURNED[level]} | asked
        if query.include_all:
            tags |= {tag for level in self.levels for tag in KEPT[level]}
        # What hangs below the row is not told by the standard; a worklist of cases asks for the
        # slides' containers all the same, so attributes of the series are gathered on demand.
        self.from_series = (
            frozenset(tag for tag in self.asked if level_of(tag) is Level.SERIES) & SERIES_TAGS
            if query.level is Level.STUDY
            else frozenset()
        )
        self.tags = frozenset(
            tag
            for tag in tags
            if _DEPTH[level_of(tag)] <= _DEPTH[query.level] or tag in RETURNED[query.level]
        )
        kept = KEPT[Level.INSTANCE] | KEPT[Level.SERIES] | KEPT[Level.STUDY]
        derived = {_MODALITIES, _SOP_CLASSES, _SERIES_IN_STUDY, _INSTANCES_IN_STUDY}
        derived |= {_INSTANCES_IN_SERIES, _TRANSFER_SYNTAX, _AVAILABILITY}
        self.metadata = query.level is Level.INSTANCE and (
            query.include_all or bool(self.tags - kept - derived)
        )


def _columns(query: Query, wanted: _Wanted) -> list[Any]:
    columns: list[Any] = [
        StudyRow.study_uid.label("study"),
        StudyRow.attributes.label("study_attributes"),
    ]
    if _MODALITIES in wanted.tags:
        columns.append(_gathered(SeriesRow, SeriesRow.modality).label(_MODALITIES))
    if _SOP_CLASSES in wanted.tags:
        columns.append(_gathered(InstanceRow, InstanceRow.sop_class_uid).label(_SOP_CLASSES))
    if _SERIES_IN_STUDY in wanted.tags:
        columns.append(_count(SeriesRow, "study_id", StudyRow.id, _SERIES_IN_STUDY))
    if _INSTANCES_IN_STUDY in wanted.tags:
        columns.append(_count(InstanceRow, "study_id", StudyRow.id, _INSTANCES_IN_STUDY))
    if wanted.from_series:
        columns.append(_series_attributes())
    if query.level is Level.STUDY:
        return columns
    columns.append(SeriesRow.series_uid.label("series"))
    columns.append(SeriesRow.attributes.label("series_attributes"))
    if _INSTANCES_IN_SERIES in wanted.tags:
        columns.append(_count(InstanceRow, "series_id", SeriesRow.id, _INSTANCES_IN_SERIES))
    if query.level is Level.INSTANCE:
        columns.append(InstanceRow.instance_uid.label("instance"))
        columns.append(InstanceRow.attributes.label("instance_attributes"))
        columns.append(InstanceRow.transfer_syntax_uid.label(_TRANSFER_SYNTAX))
        if wanted.metadata:
            header = select(MetadataRow.header).where(MetadataRow.instance_id == InstanceRow.id)
            columns.append(header.correlate(InstanceRow).scalar_subquery().label("header"))
    return columns


def _count(table: Any, foreign: str, parent: Any, label: str) -> Any:  # noqa: ANN401
    """Count the rows of `table` whose column `foreign` is `parent`, a column of the row found."""
    inner = table.__table__.alias()  # the table may be the one that is searched
    counted = select(func.count()).select_from(inner).where(inner.c[foreign] == parent)
    return counted.correlate(StudyRow, SeriesRow).scalar_subquery().label(label)


def _gathered(table: Any, column: Any) -> Any:  # noqa: ANN401
    """Give the distinct values of a column below a study, ascending."""
    inner = table.__table__.alias()
    value = inner.c[column.key]
    gathered = select(func.array_agg(value.distinct())).where(
        inner.c.study_id == StudyRow.id, value.is_not(None)
    )
    return gathered.correlate(StudyRow).scalar_subquery()


def _series_attributes() -> Any:  # noqa: ANN401
    inner = SeriesRow.__table__.alias()
    gathered = select(func.jsonb_agg(aggregate_order_by(inner.c.attributes, inner.c.id)))
    gathered = gathered.where(inner.c.study_id == StudyRow.id)
    return gathered.correlate(StudyRow).scalar_subquery().label("below")


def _row(level: Level, wanted: _Wanted, row: RowMapping) -> ResultRow:
    attributes: dict[str, Any] = {}
    for tag in (tag for at in wanted.levels for tag in REQUIRED[at]):
        if tag in VR_WHEN_EMPTY:
            attributes[tag] = {"vr": VR_WHEN_EMPTY[tag]}
    # The instance's own metadata stand above what its series and study keep of the first one, but
    # for the identifiers and descriptions that a search by level answers from its level.
    sources = [row.get("header") and orjson.loads(gzip.decompress(row["header"]))]
    sources += [
        row.get(f"{at.value}_attributes") for at in (Level.INSTANCE, Level.SERIES, Level.STUDY)
    ]
    for source in reversed([source for source in sources if source]):
        everything = wanted.everything and wanted.metadata
        attributes |= {t: a for t, a in source.items() if everything or t in wanted.tags}
    attributes.pop(_PER_FRAME, None)
    _add_derived(attributes, row)
    for tag in wanted.from_series:
        gathered = _merged([below[tag] for below in row["below"] or () if tag in below])
        if gathered is not None:
            attributes[tag] = gathered
    attributes["0020000D"] = {"vr": "UI", "Value": [row["study"]]}
    attributes[_AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
    if level is not Level.STUDY:
        attributes["0020000E"] = {"vr": "UI", "Value": [row["series"]]}
    if level is Level.INSTANCE and _TRANSFER_SYNTAX in wanted.tags:
        attributes[_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [served_as(row[_TRANSFER_SYNTAX])]}
    return ResultRow(
        row["study"],
        row.get("series"),
        row.get("instance"),
        dict(sorted(attributes.items())),
    )


def _add_derived(attributes: dict[str, Any], row: RowMapping) -> None:
    for tag, vr in ((_MODALITIES, "CS"), (_SOP_CLASSES, "UI")):
        if row.get(tag):
            attributes[tag] = {"vr": vr, "Value": list(row[tag])}
    for tag in (_SERIES_IN_STUDY, _INSTANCES_IN_STUDY, _INSTANCES_IN_SERIES):
        if tag in row:
            attributes[tag] = {"vr": "IS", "Value": [row[tag]]}


def _merged(found: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Put the values of one attribute of several series together, each once."""
    values: list[Any] = []
    vr = None
    for attribute in found:
        vr = attribute["vr"]
        values.extend(value for value in attribute.get("Value", ()) if value not in values)
    if vr is None:
        return None
    return {"vr": vr, "Value": values} if values else {"vr": vr}
