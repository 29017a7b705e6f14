"""Values of attributes as columns hold them, read from DICOM JSON (PS3.18 Annex F)."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from archive.model.attributes import IndexedAttribute, Kind
from archive.model.moments import read_datetime

MAXIMUM_TEXT = 512
"""Characters of a value that a column holds: a B-tree takes rows of 2704 bytes at most. The longest
text that a standard attribute of the table may have is 324 (PN); the JSON has it whole."""
MAXIMUM_VALUES = 1000
"""Values of a column that holds several."""

_BIGINT = 1 << 63
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with dots: ACR-NEMA, PS3.5 Table 6.2-1
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")

Attributes = Mapping[str, Any]
"""Tag → DICOM JSON attribute."""


def values_at(attribute: IndexedAttribute, attributes: Attributes) -> list[Any]:
    """Give the values of an attribute as its column holds them, each once."""
    found: list[Any] = []
    for value in _at(attributes, attribute.path):
        read = _read(attribute.kind, value)
        if read is not None and read not in found[:MAXIMUM_VALUES]:
            found.append(read)
        if len(found) == (MAXIMUM_VALUES if attribute.many else 1):
            break
    return found


def _at(attributes: Attributes, path: tuple[str, ...]) -> Iterable[Any]:
    """Give the values at a path of tags, through all items of the sequences on the way."""
    values = attributes.get(path[0], {}).get("Value") or ()
    if len(path) == 1:
        yield from values
        return
    for item in values:
        if isinstance(item, dict):
            yield from _at(item, path[1:])


def _read(kind: Kind, value: object) -> str | int | float | None:
    """Give a value as its column holds it; None where it is none."""
    if kind is Kind.NUMBER:
        return read_number(value)
    if kind is Kind.DECIMAL:
        return read_decimal(value)
    if kind is Kind.NAME and isinstance(value, dict):
        groups = [str(value.get(k, "")) for k in ("Alphabetic", "Ideographic", "Phonetic")]
        value = "=".join(groups).rstrip("=")
    if not isinstance(value, str | int | float):
        return None
    text = str(value).replace("\0", "").strip(" ")[:MAXIMUM_TEXT]
    if kind is Kind.DATE:
        return read_date(text)
    if kind is Kind.TIME:
        return read_time(text)
    if kind is Kind.DATETIME:
        return read_datetime(text)
    return text or None


def read_number(value: object) -> int | None:
    """Read an integer that a column can hold."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if -_BIGINT <= number < _BIGINT else None


def read_decimal(value: object) -> float | None:
    """Read a finite number with decimals."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_date(text: str) -> str | None:
    """Give a DA as YYYYMMDD."""
    match = _DATE.fullmatch(text)
    return None if match is None else "".join(match.groups())


def read_time(text: str, *, latest: bool = False) -> str | None:
    """Give a TM as HHMMSS.FFFFFF; what it leaves open becomes its earliest or latest."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    rest, digit = ("59", "9") if latest else ("00", "0")
    return f"{hours}{minutes or rest}{seconds or rest}.{(fraction or '').ljust(6, digit)}"
