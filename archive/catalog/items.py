"""Sequence matching: several keys of one sequence must match in one and the same item.

PS3.4 §C.2.2.2.6: a match is where all item keys match for at least one of the items, and so on in
sequences within. A single key needs none of this: the column of its values answers it. Where
there are several, columns narrow down and the DICOM JSON that the row keeps decides.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from archive.catalog.patterns import like
from archive.catalog.values import read_decimal
from archive.model.attributes import Kind
from archive.model.query import EmptyMatch, Match, QueryKey, RangeMatch, WildcardMatch

Condition = ColumnElement[bool]

_DECIMAL = r"^[-+]?[0-9]{1,15}([.][0-9]{0,15})?$"


def same_item(attributes: Any, keys: Sequence[QueryKey]) -> list[Condition]:  # noqa: ANN401
    """Give one condition for every sequence that several of `keys` go into.

    Parameters
    ----------
    attributes
        Column of the row's DICOM JSON.
    """
    by_sequence: dict[str, list[QueryKey]] = {}
    for key in keys:
        # What must be without a value is so in every item, and where there is none.
        if len(key.attribute.path) > 1 and not isinstance(key.match, EmptyMatch):
            by_sequence.setdefault(key.attribute.path[0], []).append(key)
    return [
        _some_item(attributes, [(key.attribute.path, key) for key in together], 0)
        for together in by_sequence.values()
        if len(together) > 1
    ]


def _some_item(
    parent: Any,  # noqa: ANN401 - an expression of JSON
    keys: Sequence[tuple[tuple[str, ...], QueryKey]],
    depth: int,
) -> Condition:
    """One item of the sequence that begins every path fulfils all keys."""
    sequence = keys[0][0][0]
    items = func.jsonb_array_elements(_values(parent, sequence)).column_valued(f"item_{depth}")
    found: list[Condition] = []
    deeper: dict[str, list[tuple[tuple[str, ...], QueryKey]]] = {}
    for path, key in keys:
        if len(path) == 2:
            found.append(_leaf(items, path[1], key, depth))
        else:
            deeper.setdefault(path[1], []).append((path[1:], key))
    found.extend(_some_item(items, inner, depth + 1) for inner in deeper.values())
    return _exists(items, and_(*found))


def _values(parent: Any, tag: str) -> Any:  # noqa: ANN401
    """Give the array of an attribute's values; an empty one where there is none."""
    value = parent.op("->")(tag).op("->")("Value")
    return func.coalesce(value, text("'[]'::jsonb"))


def _leaf(item: Any, tag: str, key: QueryKey, depth: int) -> Condition:  # noqa: ANN401
    values = func.jsonb_array_elements_text(_values(item, tag)).column_valued(f"value_{depth}")
    fits = _fits(values, key.attribute.kind, key.match)
    return _exists(values, fits)


def _exists(values: Any, fits: Condition) -> Condition:  # noqa: ANN401
    """One of `values`, which a function gives for the row outside, fits."""
    own = values.scalar_alias
    return exists(select(literal(1)).select_from(own).where(fits).correlate_except(own))


def _fits(value: Any, kind: Kind, match: Match) -> Condition:  # noqa: ANN401
    """Tell whether the text of one JSON value matches, as its column would."""
    if kind in {Kind.NAME, Kind.TIME}:
        return true()  # no text that could be compared; their columns have decided
    if isinstance(match, WildcardMatch):
        return value.like(like(match.pattern), escape="\\")  # type: ignore[no-any-return]
    if isinstance(match, RangeMatch):
        bounds: list[Condition] = [true()]
        if match.first is not None:
            bounds.append(value >= match.first)
        if match.last is not None:
            bounds.append(value <= match.last)
        return and_(*bounds)
    if isinstance(match, EmptyMatch):
        return false()
    if kind is Kind.DECIMAL:
        # Guarded, for a text that is no number would end the whole search.
        number = case((value.op("~")(_DECIMAL), cast(value, DOUBLE_PRECISION)))
        wanted = [n for text in match.values if (n := read_decimal(text)) is not None]
        return number.in_(wanted)
    texts = [text.strip(" ") for text in match.values]
    return func.btrim(value, " ").in_(texts)
