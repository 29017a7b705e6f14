"""Attributes that a site adds to search, beside those that every archive has columns for.

One table holds their values, one row a value, whichever attributes a site names: its settings
change what is written and never the schema. An attribute can be searched by once every instance
that is stored has been indexed by it (see `archive.reindexing`); until then it counts as unknown,
for half an answer would look like a whole one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, false, insert, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from archive.catalog.additions import site_attribute
from archive.catalog.folding import fold_name, tokens_of_value
from archive.catalog.names import name_condition
from archive.catalog.patterns import has_prefix, like, tokens_of
from archive.catalog.tables import (
    AttributeValueRow,
    IndexedAttributeRow,
    InstanceRow,
    SeriesRow,
    StudyRow,
)
from archive.catalog.values import Attributes, read_decimal, read_time, values_at
from archive.model.attributes import IndexedAttribute, Kind, Level
from archive.model.moments import read_datetime
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)

_OWNERS: dict[Level, tuple[Any, Any]] = {
    Level.STUDY: (AttributeValueRow.study_id, StudyRow.id),
    Level.SERIES: (AttributeValueRow.series_id, SeriesRow.id),
    Level.INSTANCE: (AttributeValueRow.instance_id, InstanceRow.id),
}

Condition = ColumnElement[bool]


# --- writing --------------------------------------------------------------------------------------


def write(
    session: Session,
    site: Sequence[IndexedAttribute],
    level: Level,
    owner: int,
    attributes: Attributes,
) -> None:
    """Make the rows of one study, series or instance say what `attributes` do."""
    of_level = [attribute for attribute in site if attribute.level is level]
    if not of_level:
        return
    column, _ = _OWNERS[level]
    keys = [attribute.name for attribute in of_level]
    session.execute(
        delete(AttributeValueRow).where(column == owner, AttributeValueRow.key.in_(keys))
    )
    rows = [
        {"key": attribute.name, column.key: owner, **row}
        for attribute in of_level
        for row in _rows(attribute, attributes)
    ]
    if rows:
        session.execute(insert(AttributeValueRow), rows)


def _rows(attribute: IndexedAttribute, attributes: Attributes) -> Iterable[dict[str, Any]]:
    for value in values_at(attribute, attributes):
        text = fold_name(value) if attribute.kind is Kind.NAME else str(value)
        tokens: set[int] = set()
        if attribute.kind in {Kind.TEXT, Kind.NAME}:
            for group in text.strip("=").split("=") if attribute.kind is Kind.NAME else [text]:
                tokens |= tokens_of_value(attribute.name, group)
        number = float(value) if attribute.kind in {Kind.NUMBER, Kind.DECIMAL} else None
        if text:
            yield {"value": text, "number": number, "tokens": sorted(tokens)}


# --- which of them are whole ----------------------------------------------------------------------


def searchable(session: Session, site: Sequence[IndexedAttribute]) -> frozenset[str]:
    """Give the names of those by which everything that is stored has been indexed."""
    found = set(session.scalars(select(IndexedAttributeRow.key)))
    return frozenset(attribute.name for attribute in site if attribute.name in found)


def settle(session: Session, site: Sequence[IndexedAttribute], now: datetime) -> None:
    """Take notice of what the settings say: called before anything is stored under them.

    An attribute that is no longer named is not written from now on, and so is not whole. In an
    archive without an instance every attribute is.
    """
    names = [attribute.name for attribute in site]
    session.execute(delete(IndexedAttributeRow).where(IndexedAttributeRow.key.not_in(names)))
    if session.execute(select(InstanceRow.id).limit(1)).first() is None:
        mark(session, site, now)


def of_this_archive(session: Session) -> list[IndexedAttribute]:
    """Give the attributes by which everything that is stored has been indexed."""
    keys = session.scalars(select(IndexedAttributeRow.key).order_by(IndexedAttributeRow.key))
    return [site_attribute(key) for key in keys]


def mark(session: Session, site: Sequence[IndexedAttribute], now: datetime) -> None:
    """Keep that everything has been indexed by these, and forget what others there were."""
    names = [attribute.name for attribute in site]
    session.execute(delete(AttributeValueRow).where(AttributeValueRow.key.not_in(names)))
    for attribute in site:
        session.execute(
            upsert(IndexedAttributeRow)
            .values(key=attribute.name, indexed_at=now)
            .on_conflict_do_nothing(index_elements=["key"])
        )


# --- matching -------------------------------------------------------------------------------------


def site_condition(attribute: IndexedAttribute, match: Match, *, fuzzy: bool) -> Condition:
    """Give the condition of one key on the row of its attribute's level."""
    if isinstance(match, EmptyMatch):
        return ~_some(attribute, None)
    if isinstance(match, EveryMatch):
        return and_(
            *(_some(attribute, _fits(attribute, ValueMatch((v,)), fuzzy)) for v in match.values)
        )
    return _some(attribute, _fits(attribute, match, fuzzy))


def _some(attribute: IndexedAttribute, fits: Condition | None) -> Condition:
    owner, row = _OWNERS[attribute.level]
    found = select(AttributeValueRow.id).where(
        AttributeValueRow.key == attribute.name, owner == row
    )
    if fits is not None:
        found = found.where(fits)
    return exists(found.correlate(row.class_))


def _fits(
    attribute: IndexedAttribute, match: ValueMatch | WildcardMatch | RangeMatch, fuzzy: bool
) -> Condition:
    kind, value, tokens = attribute.kind, AttributeValueRow.value, AttributeValueRow.tokens
    if kind is Kind.NAME:
        if isinstance(match, RangeMatch):
            return false()
        return name_condition(value, tokens, attribute.name, match, fuzzy=fuzzy)
    if isinstance(match, WildcardMatch):
        narrow = [] if has_prefix(match.pattern) else list(tokens_of(attribute.name, match.pattern))
        found = value.like(like(match.pattern), escape="\\")
        return and_(found, tokens.contains(narrow)) if narrow else found
    if isinstance(match, RangeMatch):
        return _between(kind, match)
    if kind in {Kind.NUMBER, Kind.DECIMAL}:
        numbers = [number for text in match.values if (number := read_decimal(text)) is not None]
        return AttributeValueRow.number.in_(numbers)
    if kind in {Kind.TIME, Kind.DATETIME}:
        return or_(false(), *(_between(kind, RangeMatch(text, text)) for text in match.values))
    return value.in_([text.strip(" ") for text in match.values])


def _between(kind: Kind, match: RangeMatch) -> Condition:
    bounds: list[Condition] = []
    for text, latest in ((match.first, False), (match.last, True)):
        if text is None:
            continue
        bound: str | None = text
        if kind is not Kind.DATE:
            read = read_time if kind is Kind.TIME else read_datetime
            bound = read(text, latest=latest)
        if bound is None:
            return false()
        value = AttributeValueRow.value
        bounds.append(value <= bound if latest else value >= bound)
    return and_(*bounds) if bounds else false()
