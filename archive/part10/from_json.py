"""DICOM JSON → data elements in Explicit VR Little Endian (PS3.18 Annex F, PS3.5 §7).

The opposite of `dicom_json`, for instances that come as metadata and bulk data. Bulk data stay
where they were received: what comes out is pieces of bytes, and of that file. Nothing is believed:
a value that its VR cannot hold is refused with its tag, never with its content.
"""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.valuerep import format_number_as_ds

from archive.errors import InvalidInstance
from archive.model import reasons
from archive.part10.elements import BINARY_VRS, UNDEFINED, known_vr, tag_text
from archive.part10.values import NUMBERS
from archive.part10.writing import element_header, item_header

MAXIMUM_DEPTH = 64
"""Sequences within sequences."""
MAXIMUM_ELEMENTS = 1_000_000
"""Data elements of one instance, nested ones included."""

_CHARACTER_SET, _CHARACTER_SET_KEY = 0x00080005, "00080005"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_TEXTS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI"}
    | {"UR", "UT"}
)
_UNSPLIT = frozenset({"LT", "ST", "UR", "UT"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_FLOATS = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}
_FLOATS |= {"Infinity": math.inf, "-Infinity": -math.inf}
_KNOWN = _TEXTS | NUMBERS.keys() | BINARY_VRS | {"AT", "SQ"}
_NO_DATA = frozenset({0x0000, 0xFFFE})
"""Groups that no data set has."""

Attributes = Mapping[str, Any]
"""Tag → DICOM JSON attribute."""


@dataclass(frozen=True, slots=True)
class StagedBulk:
    """Bulk data where they were received."""

    path: Path
    offset: int
    """Bytes from the start of the file."""
    length: int
    """Bytes."""


Piece = bytes | StagedBulk


@dataclass(slots=True)
class Pieces:
    """What is to be written, in order, and how long it is."""

    parts: list[Piece] = field(default_factory=list)
    length: int = 0
    """Bytes."""

    def add(self, piece: Piece) -> None:
        """Add a piece at the end."""
        self.parts.append(piece)
        self.length += piece.length if isinstance(piece, StagedBulk) else len(piece)

    def join(self, other: "Pieces") -> None:
        """Add all pieces of another."""
        self.parts.extend(other.parts)
        self.length += other.length


def encode(attributes: Attributes, bulk: Callable[[str], StagedBulk]) -> Pieces:
    """Write a data set.

    Parameters
    ----------
    bulk
        Gives the bulk data of a BulkDataURI, little endian; raises `InvalidInstance` for one that
        is not there.

    Raises
    ------
    InvalidInstance
        When something is not what Annex F, or its VR, allows.
    """
    encoder = _Encoder(bulk)
    written = encoder.data_set(attributes, 0)
    if encoder.beyond_ascii and _CHARACTER_SET_KEY not in attributes:
        declared = {_CHARACTER_SET_KEY: {"vr": "CS", "Value": ["ISO_IR 192"]}}
        written = _Encoder(bulk).data_set({**declared, **attributes}, 0)
    return written


def integer(attributes: Attributes, tag: str) -> int | None:
    """Give the only value of an attribute as an integer; None where it is none."""
    value = first(attributes, tag)
    try:
        return None if value is None or isinstance(value, bool | float) else int(value)
    except (TypeError, ValueError):
        return None


def first(attributes: Attributes, tag: str) -> Any:  # noqa: ANN401 - JSON
    """Give the first value of an attribute; None where it has none."""
    attribute = attributes.get(tag) if isinstance(attributes, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def refusal(tag: int, why: str) -> InvalidInstance:
    """Make the error for an attribute whose value cannot be."""
    return InvalidInstance(f"{tag_text(tag)} {why}", reasons.INVALID_ATTRIBUTE_VALUE.code)


class _Encoder:
    def __init__(self, bulk: Callable[[str], StagedBulk]) -> None:
        self._bulk = bulk
        self._count = 0
        self.beyond_ascii = False
        """Whether text was written that needs a Specific Character Set."""

    def data_set(self, attributes: Attributes, depth: int) -> Pieces:
        """Write the elements of a data set or item, ascending by tag."""
        if not isinstance(attributes, dict):
            raise InvalidInstance("a data set or item is no JSON object (PS3.18 §F.2.1)")
        if depth > MAXIMUM_DEPTH:
            raise InvalidInstance(f"sequences are nested more than {MAXIMUM_DEPTH} deep")
        out = Pieces()
        for tag, attribute in sorted(_numbered(attributes).items()):
            if not tag & 0xFFFF or tag >> 16 == 0x0002:
                continue  # group lengths, and what belongs into the file meta information
            self._count += 1
            if self._count > MAXIMUM_ELEMENTS:
                raise InvalidInstance(
                    f"the instance has more than {MAXIMUM_ELEMENTS} data elements",
                    reasons.OUT_OF_RESOURCES.code,
                )
            self._element(tag, attribute, out, depth)
        return out

    def _element(self, tag: int, attribute: Any, out: Pieces, depth: int) -> None:  # noqa: ANN401
        if not isinstance(attribute, dict):
            raise refusal(tag, "is no JSON object (PS3.18 §F.2.2)")
        vr = attribute.get("vr") or known_vr(tag)
        if not isinstance(vr, str) or vr not in _KNOWN:
            raise refusal(tag, "has no VR, or an unknown one (PS3.18 §F.2.2)")
        given = [name for name in ("Value", "BulkDataURI", "InlineBinary") if name in attribute]
        if len(given) > 1:
            raise refusal(tag, f"has {' and '.join(given)} (PS3.18 §F.2.2)")
        if vr == "SQ":
            if given and given != ["Value"]:
                raise refusal(tag, "is a sequence, and has no items")
            self._sequence(tag, attribute.get("Value", []), out, depth)
            return
        value: Piece = b""
        if "BulkDataURI" in attribute:
            value = self._bulk(str(attribute["BulkDataURI"]))
        elif "InlineBinary" in attribute:
            value = _inline(tag, attribute["InlineBinary"])
        elif given:
            value = value_of(tag, vr, attribute["Value"])
            self.beyond_ascii |= vr in _TEXTS and not value.isascii()
        write(tag, vr, value, out)

    def _sequence(self, tag: int, items: Any, out: Pieces, depth: int) -> None:  # noqa: ANN401
        if not isinstance(items, list):
            raise refusal(tag, "has a Value that is no array (PS3.18 §F.2.2)")
        inside = Pieces()
        for one in items:
            content = self.data_set({} if one is None else one, depth + 1)
            inside.add(item_header(_checked(tag, content.length)))
            inside.join(content)
        out.add(element_header(tag, "SQ", _checked(tag, inside.length)))
        out.join(inside)


def write(tag: int, vr: str, value: Piece, out: Pieces) -> None:
    """Write one element, padded to an even length (PS3.5 §6.2)."""
    length = value.length if isinstance(value, StagedBulk) else len(value)
    out.add(element_header(tag, vr, _checked(tag, length + length % 2)))
    out.add(value)
    if length % 2:
        out.add(b" " if vr in _TEXTS and vr != "UI" else b"\0")


def value_of(tag: int, vr: str, values: Any) -> bytes:  # noqa: ANN401 - JSON
    """Write the values of an attribute (PS3.18 §F.2.3); raises `InvalidInstance`."""
    if not isinstance(values, list) or vr in BINARY_VRS:
        raise refusal(tag, f"has a Value that is no array, or is {vr} (PS3.18 §F.2.2)")
    if tag == _CHARACTER_SET:
        return b"ISO_IR 192"  # JSON and XML are Unicode, and this is what the text is written in
    try:
        if vr in NUMBERS:
            return b"".join(_number(vr, value) for value in values if value is not None)
        if vr == "AT":
            return b"".join(_tag_value(value) for value in values if value is not None)
        texts = [_text(vr, value) for value in values]
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise refusal(tag, f"has a value that is no {vr}") from error
    if len(texts) > 1 and vr in _UNSPLIT:
        raise refusal(tag, f"has more than one value of {vr}")
    if vr not in _UNSPLIT and any("\\" in text for text in texts):
        raise refusal(tag, "has a backslash within a value")
    return "\\".join(texts).encode()


def _numbered(attributes: Attributes) -> dict[int, Any]:
    found = {}
    for text, attribute in attributes.items():
        if _TAG.fullmatch(text) is None or int(text[:4], 16) in _NO_DATA:
            raise InvalidInstance(f"{text[:20]!r} is no tag of a data set (PS3.18 §F.2.2)")
        found[int(text, 16)] = attribute
    return found


def _inline(tag: int, text: Any) -> bytes:  # noqa: ANN401 - JSON
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise refusal(tag, "has an InlineBinary that is not base64 (PS3.18 §F.2.7)") from error


def _text(vr: str, value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return ""
    if vr == "PN":
        groups = value if isinstance(value, dict) else {"Alphabetic": value}
        if not all(isinstance(text, str) for text in groups.values()) or groups.keys() - {*_GROUPS}:
            raise ValueError("no person name")
        return "=".join(groups.get(name, "") for name in _GROUPS).rstrip("=")
    if vr in ("DS", "IS") and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int) and len(str(value)) <= 16:
            return str(value)
        if vr == "IS":
            raise ValueError("no integer")
        return str(format_number_as_ds(float(value)))
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(vr: str, value: Any) -> bytes:  # noqa: ANN401 - JSON
    code = NUMBERS[vr][0]
    if isinstance(value, bool):
        raise TypeError("no number")
    if code in "df":
        return struct.pack(f"<{code}", _FLOATS[value] if isinstance(value, str) else value)
    # 64-bit integers may be strings (PS3.18 Table F.2.3-1, note).
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("no integer")
    return struct.pack(f"<{code}", int(value))


def _tag_value(value: Any) -> bytes:  # noqa: ANN401 - JSON
    if _TAG.fullmatch(value) is None:
        raise ValueError("no tag")
    return struct.pack("<HH", int(value[:4], 16), int(value[4:], 16))


def _checked(tag: int, length: int) -> int:
    if length >= UNDEFINED:
        raise refusal(tag, "is longer than an element can be")
    return length
