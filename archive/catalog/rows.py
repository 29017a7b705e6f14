"""What the rows of a search are made of (PS3.18 §10.6.3.3).

Counts and what hangs on them are made for the rows of a page alone.
"""

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import RowMapping, func, select

from archive.catalog.levels import (
    KEPT,
    REQUIRED,
    RETURNED,
    TRIMMED,
    VR_WHEN_EMPTY,
    level_of,
)
from archive.catalog.tables import InstanceRow, MetadataRow, SeriesRow, StudyRow
from archive.model.attribute_paths import creator_of, is_private, is_private_creator
from archive.model.attributes import Level
from archive.model.query import Query, ResultRow
from archive.model.transfer_syntaxes import served_as

DEPTH = {Level.STUDY: 0, Level.SERIES: 1, Level.INSTANCE: 2}
_AVAILABILITY = "00080056"
_MODALITIES, _SOP_CLASSES = "00080061", "00080062"
_SERIES_IN_STUDY, _INSTANCES_IN_STUDY, _INSTANCES_IN_SERIES = "00201206", "00201208", "00201209"
_TRANSFER_SYNTAX = "00083002"
_FILE_TRANSFER_SYNTAX = "00020010"
_PER_FRAME = "52009230"


class Wanted:
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
        self.private = frozenset(tag for tag in asked if is_private(tag))
        self.creators = dict(query.creators)
        self.asked = frozenset(asked)
        tags = {tag for level in self.levels for tag in RETURNED[level]} | asked
        if query.include_all:
            tags |= {tag for level in self.levels for tag in KEPT[level]}
        self.tags = frozenset(
            tag
            for tag in tags - self.private
            if DEPTH[level_of(tag)] <= DEPTH[query.level] or tag in RETURNED[query.level]
        )
        kept = KEPT[Level.INSTANCE] | KEPT[Level.SERIES] | KEPT[Level.STUDY]
        derived = {_MODALITIES, _SOP_CLASSES, _SERIES_IN_STUDY, _INSTANCES_IN_STUDY}
        derived |= {_INSTANCES_IN_SERIES, _TRANSFER_SYNTAX, _AVAILABILITY, _FILE_TRANSFER_SYNTAX}
        self.metadata = query.level is Level.INSTANCE and (
            query.include_all
            or bool(self.tags - kept - derived)
            or bool(asked & TRIMMED.keys() | self.private)
        )


def columns(query: Query, wanted: Wanted) -> list[Any]:
    """Give the columns that `result_row` reads."""
    found: list[Any] = [
        StudyRow.study_uid.label("study"),
        StudyRow.attributes.label("study_attributes"),
    ]
    if _MODALITIES in wanted.tags:
        found.append(_gathered(SeriesRow, SeriesRow.modality).label(_MODALITIES))
    if _SOP_CLASSES in wanted.tags:
        found.append(_gathered(InstanceRow, InstanceRow.sop_class_uid).label(_SOP_CLASSES))
    if _SERIES_IN_STUDY in wanted.tags:
        found.append(_count(SeriesRow, "study_id", StudyRow.id, _SERIES_IN_STUDY))
    if _INSTANCES_IN_STUDY in wanted.tags:
        found.append(_count(InstanceRow, "study_id", StudyRow.id, _INSTANCES_IN_STUDY))
    if query.level is Level.STUDY:
        return found
    found.append(SeriesRow.series_uid.label("series"))
    found.append(SeriesRow.attributes.label("series_attributes"))
    if _INSTANCES_IN_SERIES in wanted.tags:
        found.append(_count(InstanceRow, "series_id", SeriesRow.id, _INSTANCES_IN_SERIES))
    if query.level is Level.INSTANCE:
        found.append(InstanceRow.instance_uid.label("instance"))
        found.append(InstanceRow.attributes.label("instance_attributes"))
        found.append(InstanceRow.transfer_syntax_uid.label(_TRANSFER_SYNTAX))
        if wanted.metadata:
            header = select(MetadataRow.header).where(MetadataRow.instance_id == InstanceRow.id)
            found.append(header.correlate(InstanceRow).scalar_subquery().label("header"))
    return found


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


def result_row(level: Level, wanted: Wanted, row: RowMapping) -> ResultRow:
    """Make a row of results."""
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
        if wanted.private:
            attributes |= _private(wanted, source)
    attributes.pop(_PER_FRAME, None)
    _add_derived(attributes, row)
    attributes["0020000D"] = {"vr": "UI", "Value": [row["study"]]}
    attributes[_AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
    if level is not Level.STUDY:
        attributes["0020000E"] = {"vr": "UI", "Value": [row["series"]]}
    if level is Level.INSTANCE and _TRANSFER_SYNTAX in wanted.tags:
        attributes[_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [served_as(row[_TRANSFER_SYNTAX])]}
    if level is Level.INSTANCE and _FILE_TRANSFER_SYNTAX in wanted.asked:
        # Of the file, not of the data set; EZ-WSI DICOMweb asks for it here, and needs it.
        syntax = served_as(row[_TRANSFER_SYNTAX])
        attributes[_FILE_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [syntax]}
    return ResultRow(
        row["study"],
        row.get("series"),
        row.get("instance"),
        dict(sorted(attributes.items())),
    )


def _private(wanted: Wanted, source: Mapping[str, Any]) -> dict[str, Any]:
    """Give the private attributes that are wanted, and who made them (PS3.18 §10.6.3.3).

    A creator may have any block of its group (PS3.5 §7.8.1), another one in each instance: where
    the request names the creator, its block is looked for, and what stands in it is given.
    """
    found: dict[str, Any] = {}
    for tag in wanted.private:
        creator = creator_of(tag) or ""
        name = wanted.creators.get(creator)
        if name is not None:
            blocks = (t for t, a in source.items() if a.get("Value") == [name])
            creator = next((t for t in blocks if is_private_creator(t) and t[:4] == tag[:4]), "")
            tag = f"{tag[:4]}{creator[6:]}{tag[6:]}"
        if tag in source and creator in source:
            found |= {creator: source[creator], tag: source[tag]}
    return found


def _add_derived(attributes: dict[str, Any], row: RowMapping) -> None:
    for tag, vr in ((_MODALITIES, "CS"), (_SOP_CLASSES, "UI")):
        if row.get(tag):
            attributes[tag] = {"vr": vr, "Value": list(row[tag])}
    for tag in (_SERIES_IN_STUDY, _INSTANCES_IN_STUDY, _INSTANCES_IN_SERIES):
        if tag in row:
            attributes[tag] = {"vr": "IS", "Value": [row[tag]]}
