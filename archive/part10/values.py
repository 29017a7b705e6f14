"""Values of data elements as JSON text (PS3.18 §F.2.3 … §F.2.5).

Numbers are written from the stored digits, not by way of a binary float, so that nothing is lost.
"""

import re
import struct
from collections.abc import Callable, Sequence

import orjson

from archive.part10.character_sets import decode_text

# PS3.18 2024c, Table F.2.3-1, by JSON data type. How values are padded: PS3.5 Table 6.2-1.
_STRIPPED = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UI"})
_UNSPLIT = frozenset({"LT", "ST", "UT", "UR"})
_DECIMAL = frozenset({"DS", "IS"})
# PS3.5 Table 6.2-1: only these are affected by the Specific Character Set; UR, CS … are ASCII.
_IN_CHARACTER_SET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
NUMBERS = {
    "FD": ("d", 8),
    "FL": ("f", 4),
    "SL": ("l", 4),
    "SS": ("h", 2),
    "SV": ("q", 8),
    "UL": ("L", 4),
    "US": ("H", 2),
    "UV": ("Q", 8),
}
"""VR → `struct` code and bytes of one value."""

_NUMBER = re.compile(rb"([+-]?)0*([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,6}))?")
_EXACT_IN_DOUBLE = 2**53
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")  # PS3.5 §6.2.1.2

_ASCII = ["ascii"]


class NotInJson(ValueError):
    """A value has no form in DICOM JSON but as bulk data: a float that is not finite."""


def value_json(vr: str, value: bytes, order: str, codecs: list[str]) -> bytes:
    """Write the values of one element as the inside of a ``Value`` array; nothing when it is empty.

    Parameters
    ----------
    vr
        Any but SQ and the binary ones.
    value
        As stored, padding included.
    order
        ``<`` or ``>``, as `struct` writes byte order.
    codecs
        Of the Specific Character Set.

    Raises
    ------
    NotInJson
        For NaN and infinities: FL and FD are JSON numbers (PS3.18 Table F.2.3-1), which have none.
    """
    if vr in NUMBERS:
        return _numbers(vr, value, order)
    if vr == "AT":
        return _tags(value, order)
    if vr in _DECIMAL:
        return _join(value.split(b"\\"), decimal_json)
    text = decode_text(value, codecs if vr in _IN_CHARACTER_SET else _ASCII, name=vr == "PN")
    if vr in _UNSPLIT:
        text = text.rstrip(" \0")
        return orjson.dumps(text) if text else b""
    values = text.split("\\")
    if vr == "PN":
        return _listed([_name(one) for one in values])
    padding = " \0"
    if vr in _STRIPPED:
        return _listed([one.strip(padding) or None for one in values])
    return _listed([one.rstrip(padding) or None for one in values])


def _join[T](values: list[T], write: Callable[[T], bytes]) -> bytes:
    """Write several values, ``null`` for each that is empty; nothing when there is but one, empty.

    PS3.18 §F.2.5.
    """
    written = [write(value) for value in values]
    if written == [b""]:
        return b""
    return b",".join(part or b"null" for part in written)


def _listed(values: Sequence[object]) -> bytes:
    """Write several values at once, None for each that is empty; nothing when there is but one.

    Not one by one: each text that orjson gives keeps a kibibyte, and a file may hold millions.
    """
    return b"" if values == [None] else orjson.dumps(values)[1:-1]


def _name(text: str) -> dict[str, str] | None:
    groups = [group.strip(" \0") for group in text.split("=")[:3]]
    return {name: group for name, group in zip(_GROUPS, groups, strict=False) if group} or None


def decimal_json(raw: bytes) -> bytes:
    """Write a DS or IS as a JSON number with the digits it has; as a string where it is none.

    PS3.18 Table F.2.3-1 allows both; numbers are what clients expect.
    """
    raw = raw.strip(b" \0")
    if not raw:
        return b""
    match = _NUMBER.fullmatch(raw)
    if match is None or not (match[2] or match[3] or b"0" in raw):
        return _quoted(raw)
    sign, whole, fraction, exponent = match.groups()
    if not whole and not fraction and b"0" not in raw.split(b"e")[0].split(b"E")[0]:
        return _quoted(raw)
    if abs(int(exponent or 0) + len(whole)) > 300:  # beyond what a double can hold
        return _quoted(raw)
    text = (b"-" if sign == b"-" else b"") + (whole or b"0")
    if fraction:
        text += b"." + fraction
    return text + (b"e" + exponent if exponent else b"")


def _quoted(raw: bytes) -> bytes:
    return bytes(memoryview(orjson.dumps(raw.decode("latin-1"))))  # a copy without spare room


def _numbers(vr: str, value: bytes, order: str) -> bytes:
    code, size = NUMBERS[vr]
    count = len(value) // size
    numbers = struct.unpack_from(f"{order}{count}{code}", value)
    if code in "df":
        texts = [repr(number) for number in numbers]
        if any(text[-1] in "nf" for text in texts):
            raise NotInJson(vr)
        return ",".join(texts).encode()
    if size == 8 and any(abs(number) > _EXACT_IN_DOUBLE for number in numbers):
        # Table F.2.3-1, note: a string where a number would lose precision.
        return ",".join(f'"{number}"' for number in numbers).encode()
    return ",".join(map(str, numbers)).encode()


def _tags(value: bytes, order: str) -> bytes:
    halves = struct.unpack_from(f"{order}{len(value) // 4 * 2}H", value)
    return b",".join(b'"%04X%04X"' % pair for pair in zip(halves[::2], halves[1::2], strict=True))
