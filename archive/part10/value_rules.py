"""What values may be, by their VR (PS3.5 Table 6.2-1).

Archives all over the field hold values that break these rules: they are kept as they came, and the
sender is told. Only tags and rules are named, never a value.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from archive.part10.character_sets import decode_text, encodings_of
from archive.part10.elements import Element, tag_text
from archive.part10.header import Header
from archive.part10.values import NUMBERS

MAXIMUM_REMARKS = 20
"""Remarks on one instance; a file that breaks the rules everywhere need not be told so often."""

_CHARACTER_SET = 0x00080005


@dataclass(frozen=True, slots=True)
class _Rule:
    """Of one value of a VR; several are joined by backslashes unless it says otherwise."""

    maximum: int
    """Characters; of a person name in each of its component groups."""
    pattern: re.Pattern[bytes] | None = None
    several: bool = True


# PS3.5 2024c, Table 6.2-1. DA and TM also in the forms of ACR-NEMA, which shall be read.
_RULES = {
    "AE": _Rule(16, re.compile(rb"[ -\[\]-~]*")),
    "AS": _Rule(4, re.compile(rb"[0-9]{3}[DWMY]")),
    "CS": _Rule(16, re.compile(rb"[A-Z0-9 _]*")),
    "DA": _Rule(10, re.compile(rb"[0-9]{8}|[0-9]{4}\.[0-9]{2}\.[0-9]{2}")),
    "DS": _Rule(16, re.compile(rb" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]+)? *")),
    "DT": _Rule(
        26, re.compile(rb"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?([+-](0[0-9]|1[0-4])[0-5][0-9])? *")
    ),
    "IS": _Rule(12, re.compile(rb" *[+-]?[0-9]{1,10} *")),
    "LO": _Rule(64),
    "LT": _Rule(10240, several=False),
    "PN": _Rule(64),
    "SH": _Rule(16),
    "ST": _Rule(1024, several=False),
    "TM": _Rule(
        16, re.compile(rb"([01][0-9]|2[0-3])(:?[0-5][0-9](:?([0-5][0-9]|60)(\.[0-9]{1,6})?)?)? *")
    ),
    "UI": _Rule(64, re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")),
}
_ASCII_ONLY = frozenset(name for name, rule in _RULES.items() if rule.pattern is not None)


def value_remarks(header: Header) -> list[str]:
    """Tell which values break the rules of their VR, those of nested items included.

    Items of the per-frame functional groups are left out: there may be hundreds of thousands.
    """
    remarks: list[str] = []
    for remark in _of_elements(header, header.elements, ["iso8859"]):
        if remark in remarks:
            continue  # the same in another item
        remarks.append(remark)
        if len(remarks) == MAXIMUM_REMARKS:
            break
    return remarks


def _of_elements(header: Header, elements: Iterable[Element], codecs: list[str]) -> Iterator[str]:
    for element in elements:
        if element.tag == _CHARACTER_SET:
            codecs = encodings_of(_value(header, element))
        if element.items is not None:
            for item in element.items:
                yield from _of_elements(header, item, codecs)
        elif element.vr in _RULES:
            broken = _broken(element.vr, _value(header, element), codecs)
            if broken:
                yield f"{tag_text(element.tag)} is no {element.vr}: {broken} (PS3.5 Table 6.2-1)"
        elif element.vr in NUMBERS and element.length % NUMBERS[element.vr][1]:
            yield f"{tag_text(element.tag)} is no whole number of {element.vr} (PS3.5 Table 6.2-1)"


def _broken(vr: str, content: bytes, codecs: list[str]) -> str | None:
    """Tell what rule a value breaks; None for a sound one."""
    rule = _RULES[vr]
    for value in content.split(b"\\") if rule.several and _splits(content, codecs) else [content]:
        value = value.rstrip(b" \0") if vr != "AE" else value.strip(b" \0")
        if not value:
            continue
        # Bytes are at least as many as characters: what is short needs no decoding.
        if len(value) > rule.maximum and _characters(vr, value, codecs) > rule.maximum:
            return f"longer than {rule.maximum} characters"
        if rule.pattern is not None and rule.pattern.fullmatch(value) is None:
            return "not of its form"
        if vr == "DA" and not _is_day(value):
            return "no day of the calendar"
        if vr == "IS" and not -(2**31) <= int(value) < 2**31:
            return "beyond 32 bits"
    return None


def _splits(content: bytes, codecs: list[str]) -> bool:
    """Tell whether a backslash byte is a delimiter, and not half of a character."""
    return content.isascii() or not any(codec in _DOUBLE for codec in codecs)


_DOUBLE = frozenset({"gb18030", "GB18030", "GBK", "gbk", "shift_jis"})


def _characters(vr: str, value: bytes, codecs: list[str]) -> int:
    if vr in _ASCII_ONLY:
        return len(value)
    text = decode_text(value, codecs, name=vr == "PN")
    return max(map(len, text.split("="))) if vr == "PN" else len(text)


def _is_day(value: bytes) -> bool:
    digits = value.replace(b".", b"")
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def _value(header: Header, element: Element) -> bytes:
    return header.data[element.offset : element.offset + element.length]
