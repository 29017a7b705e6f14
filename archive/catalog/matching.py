r"""Query keys → conditions over columns (PS3.4 §C.2.2.2, PS3.18 §8.3.4).

`%`, `_` and `\` are ordinary characters of a DICOM value; only `*` and `?` are wildcards. A value
that no column could hold, such as one with a NUL, matches nothing: it must never match everything.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, any_, exists, false, func, literal, or_, select, true

from archive.catalog.folding import END, START, fold, fold_group, tokens_of_pattern
from archive.catalog.index import read_date, read_number, read_time
from archive.catalog.tables import InstanceRow, SeriesRow, StudyRow
from archive.model.attributes import IndexedAttribute, Kind, Level
from archive.model.query import Match, QueryKey, RangeMatch, ValueMatch, WildcardMatch

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
_REGEX_SPECIAL = re.compile(r"([.^$*+?()\[\]{}|\\\-])")
_WORDS = re.compile(r"[^\s^=,*?]+")


def conditions(keys: Sequence[QueryKey], *, fuzzy: bool) -> list[Condition]:
    """Give the conditions of keys of one level, on the columns of that level's row.

    Ranges over a date and over its time are one range over both, as PS3.18 §8.3.4.1.1 has it: from
    the first date at the first time to the last date at the last time (PS3.4 §C.2.2.2.5).
    """
    ranges = {key.attribute.name: key.match for key in keys if isinstance(key.match, RangeMatch)}
    combined = {d: t for d, t in _PAIRS.items() if d in ranges and t in ranges}
    left_out = set(combined) | set(combined.values())
    found = [condition(k, fuzzy=fuzzy) for k in keys if k.attribute.name not in left_out]
    for date, time in combined.items():
        level = next(k.attribute.level for k in keys if k.attribute.name == date)
        found.append(_moments(ROWS[level], date, time, ranges[date], ranges[time]))
    return found


def condition(key: QueryKey, *, fuzzy: bool) -> Condition:
    """Give the condition of one key."""
    attribute, match = key.attribute, key.match
    if any("\0" in text for text in _texts(match)):
        return false()
    if attribute.derived:
        return _derived(attribute, match)
    row = ROWS[attribute.level]
    column = getattr(row, attribute.name)
    if attribute.kind is Kind.NAME:
        return _name(row, attribute, match, fuzzy=fuzzy)
    if attribute.many:
        return _many(row, attribute, column, match)
    return _single(row, attribute, column, match)


def _texts(match: Match) -> Sequence[str]:
    if isinstance(match, ValueMatch):
        return match.values
    if isinstance(match, WildcardMatch):
        return (match.pattern,)
    return [text for text in (match.first, match.last) if text is not None]


def _single(row: Any, attribute: IndexedAttribute, column: Any, match: Match) -> Condition:  # noqa: ANN401
    if isinstance(match, WildcardMatch):
        return _wildcard(row, attribute, column, match.pattern)
    if isinstance(match, RangeMatch):
        return _range(attribute.kind, column, match)
    if attribute.kind is Kind.TIME:
        return or_(
            *(_range(attribute.kind, column, RangeMatch(text, text)) for text in match.values)
        )
    values = [value for text in match.values if (value := _value(attribute.kind, text)) is not None]
    return column.in_(values) if values else false()


def _value(kind: Kind, text: str) -> str | int | None:
    if kind is Kind.NUMBER:
        return read_number(text)
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
    """One range over date and time; where the date is open, so is the whole on that side."""
    day = getattr(row, date)
    # A study of that day without a time of its own may have been at any: it is not left out.
    moments = (
        func.concat(day, func.coalesce(getattr(row, time), "235959.999999")),
        func.concat(day, func.coalesce(getattr(row, time), "000000.000000")),
    )
    bounds: list[Condition] = [_range(Kind.DATE, day, dates)]
    if dates.first is not None and times.first is not None:
        bounds.append(moments[0] >= f"{dates.first}{read_time(times.first)}")
    if dates.last is not None and times.last is not None:
        bounds.append(moments[1] <= f"{dates.last}{read_time(times.last, latest=True)}")
    if dates.first is None and dates.last is None:
        bounds.append(_range(Kind.TIME, getattr(row, time), times))
    return and_(*bounds)


# --- texts ----------------------------------------------------------------------------------------


def _wildcard(row: Any, attribute: IndexedAttribute, column: Any, pattern: str) -> Condition:  # noqa: ANN401
    like: Condition = column.like(_like(pattern), escape="\\")
    if pattern[:1] not in {"*", "?", ""}:
        return like  # by its prefix, from a text_pattern_ops index
    return and_(like, _narrowed(row, attribute, pattern))


def _narrowed(row: Any, attribute: IndexedAttribute, pattern: str) -> Condition:  # noqa: ANN401
    """Give a condition that the GIN index answers and that every match fulfils."""
    if not hasattr(row, "tokens"):
        return true()
    tokens = tokens_of_pattern(attribute.name, re.split(r"[*?]", f"{START}{pattern}{END}"))
    return row.tokens.contains(sorted(tokens)) if tokens else true()


def _like(pattern: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", re.sub(r"\*+", "*", pattern))
    return escaped.replace("*", "%").replace("?", "_")


def _many(row: Any, attribute: IndexedAttribute, column: Any, match: Match) -> Condition:  # noqa: ANN401
    """Match where any of several values does."""
    if isinstance(match, WildcardMatch):
        value = func.unnest(column).column_valued("value")
        fits = exists(
            select(literal(1)).where(value.like(_like(match.pattern), escape="\\")).correlate(row)
        )
        return and_(_narrowed(row, attribute, match.pattern), fits)
    if isinstance(match, RangeMatch):
        return false()
    return or_(
        false(),
        *(and_(_narrowed(row, attribute, text), any_(column) == text) for text in match.values),
    )


def _name(row: Any, attribute: IndexedAttribute, match: Match, *, fuzzy: bool) -> Condition:  # noqa: ANN401
    column = getattr(row, f"{attribute.name}_folded")
    if isinstance(match, RangeMatch):
        return false()
    patterns = match.values if isinstance(match, ValueMatch) else (match.pattern,)
    literal = isinstance(match, ValueMatch)
    if fuzzy:
        return or_(*(_words(column, pattern) for pattern in patterns))
    return or_(*(_groups(row, attribute, column, p, literal=literal) for p in patterns))


def _groups(
    row: Any,  # noqa: ANN401
    attribute: IndexedAttribute,
    column: Any,  # noqa: ANN401
    pattern: str,
    *,
    literal: bool,
) -> Condition:
    """Every component group that the key names must be matched by one of the stored ones."""
    found: list[Condition] = []
    for group in pattern.split("="):
        folded = fold_group(group)
        if not folded:
            continue
        if literal:
            wanted = re.sub(r"([\\%_])", r"\\\1", folded)
            found.append(column.like(f"%={wanted}=%", escape="\\"))
            tokens = tokens_of_pattern(attribute.name, [f"{START}{folded}{END}"])
            found.append(row.tokens.contains(sorted(tokens)))
        else:
            found.append(column.op("~")(f"={_regex(folded)}="))
            found.append(_narrowed(row, attribute, folded))
    return and_(*found) if found else false()


def _words(column: Any, pattern: str) -> Condition:  # noqa: ANN401
    """Every word of the key begins some word of the name (PS3.18 §8.3.4.2: ours to define)."""
    words = [fold(word) for word in _WORDS.findall(pattern)]
    found = [column.op("~")(f"[=^ -]{_escaped(word)}") for word in words if word]
    return and_(*found) if found else false()


def _regex(pattern: str) -> str:
    """Give wildcards as a regular expression that stays within one component group."""
    pieces = re.split(r"(\*+|\?)", pattern)
    return "".join(
        "[^=]*" if piece.startswith("*") else "[^=]" if piece == "?" else _escaped(piece)
        for piece in pieces
    )


def _escaped(text: str) -> str:
    return _REGEX_SPECIAL.sub(r"\\\1", text)


# --- derived attributes ---------------------------------------------------------------------------


def _derived(attribute: IndexedAttribute, match: Match) -> Condition:
    if attribute.name == "modalities_in_study":
        return exists(
            select(1).where(SeriesRow.study_id == StudyRow.id, _plain(SeriesRow.modality, match))
        ).correlate(StudyRow)
    if attribute.name == "sop_classes_in_study":
        return exists(
            select(1).where(
                InstanceRow.study_id == StudyRow.id, _plain(InstanceRow.sop_class_uid, match)
            )
        ).correlate(StudyRow)
    if attribute.name == "available_transfer_syntax_uid":
        return _plain(InstanceRow.transfer_syntax_uid, match)
    message = f"{attribute.name} has no rule of derivation"
    raise NotImplementedError(message)


def _plain(column: Any, match: Match) -> Condition:  # noqa: ANN401
    if isinstance(match, ValueMatch):
        condition: Condition = column.in_([text.strip(" ") for text in match.values])
        return condition
    if isinstance(match, WildcardMatch):
        return column.like(_like(match.pattern), escape="\\")  # type: ignore[no-any-return]
    return false()
