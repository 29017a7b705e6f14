"""DICOM JSON → Native DICOM Model (PS3.19 §A.1.5)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydicom.datadict import keyword_for_tag

from dicomweb.native_model.names import COMPONENTS, GROUPS, NAMESPACE, Attributes

# PS3.19 Table A.1.5-1: xml:space="preserve" shall be there.
OPENING = (
    f'<?xml version="1.0" encoding="UTF-8"?>'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
).encode()
"""What goes before the attributes of a data set."""
CLOSING = b"</NativeDicomModel>"
"""What goes behind them."""

_NOT_FINITE = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}  # as XML Schema writes them
# What XML 1.0 §2.2 has no way to write, such as the form feed that DICOM allows in text.
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A carriage return would be read as a line feed (XML 1.0 §2.11), white space in an attribute as a
# space (§3.3.3).
_ESCAPES = {ord(one): f"&#{ord(one)};" for one in "\r\n\t"}
_ESCAPES |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
_TEXT_ESCAPES = {key: text for key, text in _ESCAPES.items() if chr(key) not in '\n\t"'}


def to_xml(attributes: Attributes) -> bytes:
    """Write a data set as one document.

    Characters that XML cannot hold become U+FFFD. Person names are taken apart into their
    components, private tags lose their block and get their creator (PS3.19 Table A.1.5-2).
    """
    return OPENING + attributes_xml(attributes) + CLOSING


def attributes_xml(attributes: Attributes) -> bytes:
    """Write attributes, without what goes around them; `CLOSING` or more may follow."""
    out: list[str] = []
    _write(attributes, out)
    return "".join(out).encode()


def sequence_xml(tag: str, items: Iterable[Attributes]) -> Iterator[bytes]:
    """Write a sequence of a great many items one by one."""
    yield f"<DicomAttribute{_names(tag, 'SQ', None)}>".encode()
    for number, item in enumerate(items, start=1):
        yield b'<Item number="%d">%b</Item>' % (number, attributes_xml(item))
    yield b"</DicomAttribute>"


def _write(attributes: Attributes, out: list[str]) -> None:
    creators = _creators(attributes)
    for tag in sorted(attributes):
        if tag[4:] == "0000":
            continue  # group length shall not be there (PS3.19 §A.1.1)
        attribute = attributes[tag]
        vr = attribute.get("vr", "UN")
        start = len(out)
        out.append("")
        if "BulkDataURI" in attribute:
            out.append(f'<BulkData uri="{_in_attribute(attribute["BulkDataURI"])}"/>')
        elif "InlineBinary" in attribute:
            out.append(f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>")
        else:
            _write_values(vr, attribute.get("Value") or (), out)
        names = _names(tag, vr, creators.get(tag[:6]))
        if len(out) == start + 1:
            out[start] = f"<DicomAttribute{names}/>"
        else:
            out[start] = f"<DicomAttribute{names}>"
            out.append("</DicomAttribute>")


def _creators(attributes: Attributes) -> dict[str, str]:
    """Give the creators of the private blocks: group and block as six digits → creator."""
    creators = {}
    for tag, attribute in attributes.items():
        if int(tag[:4], 16) & 1 and tag[4:6] == "00" and tag[6:] >= "10":
            values = attribute.get("Value")
            if values and isinstance(values[0], str):
                creators[tag[:4] + tag[6:]] = values[0]
    return creators


def _names(tag: str, vr: str, creator: str | None) -> str:
    """Write the XML attributes of an attribute."""
    if creator is not None:
        block_free = f"{tag[:4]}00{tag[6:]}"
        return f' tag="{block_free}" vr="{vr}" privateCreator="{_in_attribute(creator)}"'
    keyword = _keyword(tag)
    return f' tag="{tag}" vr="{vr}"' + (f' keyword="{keyword}"' if keyword else "")


def _write_values(vr: str, values: Iterable[Any], out: list[str]) -> None:
    for number, value in enumerate(values, start=1):
        if vr == "SQ":
            out.append(f'<Item number="{number}">')
            _write(value or {}, out)
            out.append("</Item>")
        elif vr == "PN":
            out.append(f'<PersonName number="{number}">')
            _write_name(value or {}, out)
            out.append("</PersonName>")
        else:
            out.append(f'<Value number="{number}">{_in_text(value)}</Value>')


def _write_name(groups: Mapping[str, str], out: list[str]) -> None:
    for group in GROUPS:
        if not groups.get(group):
            continue
        out.append(f"<{group}>")
        # A sixth component, which there should not be, stays with the fifth and so is not lost.
        for component, text in zip(COMPONENTS, groups[group].split("^", 4), strict=False):
            if text:
                out.append(f"<{component}>{_in_text(text)}</{component}>")
        out.append(f"</{group}>")


def _in_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        text = repr(value)
        return _NOT_FINITE.get(text, text)
    return UNWRITABLE.sub("\ufffd", str(value)).translate(_TEXT_ESCAPES)


def _in_attribute(value: object) -> str:
    return UNWRITABLE.sub("\ufffd", str(value)).translate(_ESCAPES)


@lru_cache(maxsize=8192)
def _keyword(tag: str) -> str:
    return keyword_for_tag(int(tag, 16))
