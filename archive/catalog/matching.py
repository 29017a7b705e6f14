r"""Query keys → conditions over columns (PS3.4 §C.2.2.2, PS3.18 §8.3.4).

`%`, `_` and `\` are ordinary characters of a DICOM value; only `*` and `?` are wildcards. A value
that no column could hold, such as one with a NUL, matches nothing: it must never match everything.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, any_, exists, false, func, literal, or_, select, true

from archive.catalog.items import same_item
from archive.catalog.names import name_condition
from archive.catalog.patterns import has_prefix, like, tokens_of
from archive.catalog.site_attributes import site_condition
from archive.catalog.tables import InstanceRow, SeriesRow, StudyRow
from archive.catalog.values import read_date, read_decimal, read_number, read_time
from archive.model.attributes import IndexedAttribute, Kind, Level
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    QueryKey,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)

Condition = ColumnElement[bool]

ROWS: dict[Level, Any] = {
    Level.STUDY: StudyRow,
    Level.SERIES: SeriesRow,
    Level.INSTANCE: InstanceRow,
}
_PAIRS = {
    "study_date": "study_time",
    "series_date": "series_time",
    "content_date": "content_time",
    "performed_procedure_step_start_date": "performed_procedure_step_start_time",
}


def conditions(keys: Sequence[QueryKey], *, fuzzy: bool, narrow: bool = True) -> list[Condition]:
    """Give the conditions of keys of one level, on the columns of that level's row.

    Ranges of one form over a date and over its time are one range over both, as PS3.18 §8.3.4.1.1
    has it: from the first date at the first time to the last date at the last time (PS3.4
    §C.2.2.2.5).

    Parameters
    ----------
    narrow
        Whether to add what the GIN indexes answer: not where rows are looked at one by one anyway,
        for the planner would take a common pattern for a rare one.
    """
    ranges = {key.attribute.name: key.match for key in keys if isinstance(key.match, RangeMatch)}
    combined = {
        d: t
        for d, t in _PAIRS.items()
        if d in ranges and t in ranges and _form(ranges[d]) == _form(ranges[t])
    }
    left_out = set(combined) | set(combined.values())
    found = [
        condition(k, fuzzy=fuzzy, narrow=narrow) for k in keys if k.attribute.name not in left_out
    ]
    for date, time in combined.items():
        level = next(k.attribute.level for k in keys if k.attribute.name == date)
        found.append(_moments(ROWS[level], date, time, ranges[date], ranges[time]))
    if keys:
        found.extend(same_item(ROWS[keys[0].attribute.level].attributes, keys))
    return found


def _form(match: RangeMatch) -> tuple[bool, bool]:
    return match.first is None, match.last is None


def condition(key: QueryKey, *, fuzzy: bool, narrow: bool = True) -> Condition:
    """Give the condition of one key."""
    attribute, match = key.attribute, key.match
    if any("\0" in text for text in _texts(match)):
        return false()
    if attribute.site:
        return site_condition(attribute, match, fuzzy=fuzzy)
    if attribute.derived:
        return _derived(attribute, match)
    row = ROWS[attribute.level]
    column = getattr(row, attribute.name)
    if attribute.many:
        return _many(row, attribute, column, match, narrow=narrow)
    if attribute.kind is Kind.NAME:
        return _name(row, attribute, match, fuzzy=fuzzy, narrow=narrow)
    if attribute.name == "study_date":
        # The same but for being empty where there is no date; the order of studies is by it, so
        # that one index answers both.
        column = StudyRow.listed_on
        if isinstance(match, EmptyMatch):
            return column == ""
        if isinstance(match, RangeMatch) and match.first is None:
            return and_(column != "", _single(row, attribute, column, match, narrow=narrow))
    return _single(row, attribute, column, match, narrow=narrow)


def _texts(match: Match) -> Sequence[str]:
    if isinstance(match, ValueMatch | EveryMatch):
        return match.values
    if isinstance(match, WildcardMatch):
        return (match.pattern,)
    if isinstance(match, EmptyMatch):
        return ()
    return [text for text in (match.first, match.last) if text is not None]


def _single(
    row: Any,  # noqa: ANN401
    attribute: IndexedAttribute,
    column: Any,  # noqa: ANN401
    match: Match,
    *,
    narrow: bool,
) -> Condition:
    if isinstance(match, EmptyMatch):
        return column.is_(None)  # type: ignore[no-any-return]
    if isinstance(match, WildcardMatch):
        fits: Condition = column.like(like(match.pattern), escape="\\")
        if not narrow or has_prefix(match.pattern):
            return fits  # a prefix is found by a text_pattern_ops index
        return and_(fits, _narrowed(row, attribute, match.pattern))
    if isinstance(match, RangeMatch):
        return _range(attribute.kind, column, match)
    if attribute.kind is Kind.TIME:
        ranges = [_range(Kind.TIME, column, RangeMatch(text, text)) for text in match.values]
        return or_(false(), *ranges)
    values = _values(attribute.kind, match.values)
    if isinstance(match, EveryMatch) and len(set(match.values)) > 1:
        return false()  # the column holds one value
    return column.in_(values) if values else false()


def _values(kind: Kind, texts: Sequence[str]) -> list[str | int | float]:
    return [value for text in texts if (value := _value(kind, text)) is not None]


def _value(kind: Kind, text: str) -> str | int | float | None:
    if kind is Kind.NUMBER:
        return read_number(text)
    if kind is Kind.DECIMAL:
        return read_decimal(text)
    if kind is Kind.DATE:
        return read_date(text)
    return text.strip(" ") or None


def _range(kind: Kind, column: Any, match: RangeMatch) -> Condition:  # noqa: ANN401
    bounds: list[Condition] = [column.is_not(None)]
    for text, latest in ((match.first, False), (match.last, True)):
        if text is None:
            continue
        bound = read_time(text, latest=latest) if kind is Kind.TIME else _value(kind, text)
        if bound is None:
            return false()
        bounds.append(column <= bound if latest else column >= bound)
    return and_(*bounds)


def _moments(row: Any, date: str, time: str, dates: RangeMatch, times: RangeMatch) -> Condition:  # noqa: ANN401
    """One range over date and time, open on the side where both are."""
    day = getattr(row, date)
    # A study of that day without a time of its own may have been at any: it is not left out.
    moments = (
        func.concat(day, func.coalesce(getattr(row, time), "235959.999999")),
        func.concat(day, func.coalesce(getattr(row, time), "000000.000000")),
    )
    bounds: list[Condition] = [_range(Kind.DATE, day, dates)]
    if day is StudyRow.study_date:
        bounds.append(_range(Kind.DATE, StudyRow.listed_on, dates))
    if dates.first is not None and times.first is not None:
        bounds.append(moments[0] >= f"{dates.first}{read_time(times.first)}")
    if dates.last is not None and times.last is not None:
        bounds.append(moments[1] <= f"{dates.last}{read_time(times.last, latest=True)}")
    return and_(*bounds)


# --- texts ----------------------------------------------------------------------------------------


def _narrowed(row: Any, attribute: IndexedAttribute, pattern: str) -> Condition:  # noqa: ANN401
    """Give a condition that the GIN index answers and that every match fulfils."""
    tokens = tokens_of(attribute.name, pattern) if hasattr(row, "tokens") else ()
    return row.tokens.contains(tokens) if tokens else true()


def _many(
    row: Any,  # noqa: ANN401
    attribute: IndexedAttribute,
    column: Any,  # noqa: ANN401
    match: Match,
    *,
    narrow: bool,
) -> Condition:
    """Match where any of several values does; `EveryMatch` where each wanted one is there."""
    if isinstance(match, EmptyMatch):
        return func.cardinality(column) == 0
    if isinstance(match, WildcardMatch):
        value = func.unnest(column).column_valued("value")
        fits = exists(
            select(literal(1)).where(value.like(like(match.pattern), escape="\\")).correlate(row)
        )
        return and_(_narrowed(row, attribute, match.pattern), fits) if narrow else fits
    if isinstance(match, RangeMatch):
        return false()
    values = _values(attribute.kind, match.values)
    if isinstance(match, EveryMatch):
        whole = values and len(values) == len(match.values)
        return column.contains(values) if whole else false()
    if not values:
        return false()
    if not narrow:  # the same without the GIN index of `series`
        return or_(*(any_(column) == value for value in values))
    found: Condition = column.overlap(values)
    return found


def _name(
    row: Any,  # noqa: ANN401
    attribute: IndexedAttribute,
    match: Match,
    *,
    fuzzy: bool,
    narrow: bool,
) -> Condition:
    column = getattr(row, f"{attribute.name}_folded")
    if isinstance(match, EmptyMatch):
        return column.is_(None)  # type: ignore[no-any-return]
    if isinstance(match, RangeMatch):
        return false()
    if isinstance(match, EveryMatch):
        match = ValueMatch(match.values)
    return name_condition(
        column, row.tokens if narrow else None, attribute.name, match, fuzzy=fuzzy
    )


# --- derived attributes ---------------------------------------------------------------------------


def _derived(attribute: IndexedAttribute, match: Match) -> Condition:
    if attribute.name == "modalities_in_study":
        return _below_study(SeriesRow, SeriesRow.modality, match)
    if attribute.name == "sop_classes_in_study":
        return _below_study(InstanceRow, InstanceRow.sop_class_uid, match)
    if attribute.name == "available_transfer_syntax_uid":
        return _plain(InstanceRow.transfer_syntax_uid, match)
    message = f"{attribute.name} has no rule of derivation"
    raise NotImplementedError(message)


def _below_study(row: Any, column: Any, match: Match) -> Condition:  # noqa: ANN401
    """Match the values that a column has in any row below a study."""

    def some(condition: Condition) -> Condition:
        return exists(select(1).where(row.study_id == StudyRow.id, condition)).correlate(StudyRow)

    if isinstance(match, EmptyMatch):
        return ~some(column.is_not(None))
    if isinstance(match, EveryMatch):
        return and_(*(some(column == text.strip(" ")) for text in match.values))
    return some(_plain(column, match))


def _plain(column: Any, match: Match) -> Condition:  # noqa: ANN401
    if isinstance(match, ValueMatch | EveryMatch):
        condition: Condition = column.in_([text.strip(" ") for text in match.values])
        return condition
    if isinstance(match, WildcardMatch):
        return column.like(like(match.pattern), escape="\\")  # type: ignore[no-any-return]
    return false()
