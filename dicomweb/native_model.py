"""The Native DICOM Model: data sets as XML (PS3.19 §A.1, PS3.18 §F.3.1), ``application/dicom+xml``.

Both directions have DICOM JSON on the other side, as decoded by a JSON library: a mapping from
eight hexadecimal digits to ``{"vr": …, "Value" | "InlineBinary" | "BulkDataURI": …}`` (PS3.18
Annex F). Nothing else of the archive has to know of XML.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from xml.parsers import expat

from pydicom.datadict import dictionary_VR, keyword_for_tag

from archive.errors import MalformedRequest, TooLarge

Attributes = Mapping[str, Mapping[str, Any]]
"""A data set or item in the DICOM JSON Model, decoded."""

MEDIA_TYPE = "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

MAXIMUM_BYTES = 64 * 1024 * 1024
"""Of one document that is read; bulk data are not among them."""
MAXIMUM_DEPTH = 64
"""Levels of nested sequences that are read."""
MAXIMUM_ATTRIBUTES = 1_000_000
"""Attributes of one document that are read, nested ones included."""

# PS3.19 Table A.1.5-1: xml:space="preserve" shall be there.
OPENING = (
    f'<?xml version="1.0" encoding="UTF-8"?>'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
).encode()
"""What goes before the attributes of a data set."""
CLOSING = b"</NativeDicomModel>"
"""What goes behind them."""

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_INTEGERS = {"SL": 31, "SS": 15, "SV": 63, "UL": 32, "US": 16, "UV": 64}
"""VR → bits of the magnitude (PS3.5 Table 6.2-1)."""
_FLOATS = frozenset({"FD", "FL"})
_NOT_FINITE = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}  # as XML Schema writes them

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_VR = re.compile(r"[A-Z]{2}")
_NUMBER = re.compile(r"[0-9]{1,9}")
# What XML 1.0 §2.2 has no way to write, such as the form feed that DICOM allows in text.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A carriage return would be read as a line feed (XML 1.0 §2.11), white space in an attribute as a
# space (§3.3.3).
_ESCAPES = {ord(one): f"&#{ord(one)};" for one in "\r\n\t"}
_ESCAPES |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
_TEXT_ESCAPES = {key: text for key, text in _ESCAPES.items() if chr(key) not in '\n\t"'}


# --- writing --------------------------------------------------------------------------------------


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
    for group in _GROUPS:
        if not groups.get(group):
            continue
        out.append(f"<{group}>")
        # A sixth component, which there should not be, stays with the fifth and so is not lost.
        for component, text in zip(_COMPONENTS, groups[group].split("^", 4), strict=False):
            if text:
                out.append(f"<{component}>{_in_text(text)}</{component}>")
        out.append(f"</{group}>")


def _in_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        text = repr(value)
        return _NOT_FINITE.get(text, text)
    return _UNWRITABLE.sub("\ufffd", str(value)).translate(_TEXT_ESCAPES)


def _in_attribute(value: object) -> str:
    return _UNWRITABLE.sub("\ufffd", str(value)).translate(_ESCAPES)


@lru_cache(maxsize=8192)
def _keyword(tag: str) -> str:
    return keyword_for_tag(int(tag, 16))


# --- reading --------------------------------------------------------------------------------------


def from_xml(content: bytes) -> dict[str, dict[str, Any]]:
    """Read one document; gives the data set in the DICOM JSON Model, ascending by tag.

    DS and IS come as the strings they are (PS3.18 Table F.2.3-1, note), other numbers as numbers,
    each BulkData as ``BulkDataURI`` (one with a `uuid` as ``urn:uuid:…``). Where no VR is given it
    is that of the data dictionary. Private attributes get a block and, where it is missing, the
    element that reserves it (PS3.5 §7.8.1).

    Raises
    ------
    MalformedRequest
        When it is not XML or not the model, or brings a document type declaration: without one
        there are no entities, so that nothing can expand or be fetched. Also when it is deeper or
        has more attributes than is taken.
    TooLarge
        When it is longer than is taken.
    """
    if len(content) > MAXIMUM_BYTES:
        raise TooLarge("the XML document is too long", MAXIMUM_BYTES)
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise MalformedRequest(f"not well-formed XML: {error}") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise MalformedRequest("the XML document is in an unknown encoding") from error
    return reader.root


def _refuse_doctype(*_: object) -> None:
    raise MalformedRequest("an XML document with a document type declaration is not taken")


@dataclass(slots=True)
class _Attribute:
    """An attribute that is being read."""

    tag: int
    vr: str
    creator: str | None
    kind: str = ""
    """Name of the elements that make its value; they cannot be mixed."""
    values: dict[int, Any] = field(default_factory=dict)
    reference: str = ""


_PLACES: Mapping[str, frozenset[str]] = {
    "": frozenset({"NativeDicomModel"}),
    "NativeDicomModel": frozenset({"DicomAttribute"}),
    "Item": frozenset({"DicomAttribute"}),
    "DicomAttribute": frozenset({"Value", "Item", "PersonName", "BulkData", "InlineBinary"}),
    "PersonName": frozenset(_GROUPS),
    **{group: frozenset(_COMPONENTS) for group in _GROUPS},
}
"""Which elements stand in which (PS3.19 §A.1.6)."""
_TEXTUAL = frozenset({"Value", "InlineBinary", *_COMPONENTS})


class _Reader:
    """Takes what the parser meets."""

    def __init__(self) -> None:
        self.root: dict[str, dict[str, Any]] = {}
        self._open: list[str] = []
        self._items: list[list[_Attribute]] = []
        self._attributes: list[_Attribute] = []
        self._numbers: list[int] = []
        self._name: dict[str, dict[str, str]] = {}
        self._text: list[str] = []
        self._count = 0

    def start(self, name: str, facts: dict[str, str]) -> None:
        """Take the beginning of an element."""
        namespace, _, local = name.rpartition(" ")
        around = self._open[-1] if self._open else ""
        if namespace not in ("", NAMESPACE) or local not in _PLACES.get(around, ()):
            raise MalformedRequest(f"{name[:80]!r} does not belong into {around or 'a document'!r}")
        self._open.append(local)
        self._text.clear()
        if local in ("NativeDicomModel", "Item"):
            self._start_item(local, facts)
        elif local == "DicomAttribute":
            self._start_attribute(facts)
        elif around == "DicomAttribute":
            self._start_value(local, facts)

    def _start_item(self, local: str, facts: dict[str, str]) -> None:
        if local == "Item":
            self._start_value(local, facts)
        if len(self._items) > MAXIMUM_DEPTH:
            raise MalformedRequest(f"sequences nested more than {MAXIMUM_DEPTH} deep")
        self._items.append([])

    def _start_attribute(self, facts: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAXIMUM_ATTRIBUTES:
            raise MalformedRequest(f"more than {MAXIMUM_ATTRIBUTES} attributes in an XML document")
        text = facts.get("tag", "")
        if _TAG.fullmatch(text) is None:
            raise MalformedRequest(f"{text[:20]!r} is no tag")
        tag, creator = int(text, 16), facts.get("privateCreator")
        vr = facts.get("vr") or _dictionary_vr(tag, private=creator is not None)
        if _VR.fullmatch(vr) is None:
            raise MalformedRequest(f"{vr[:20]!r} at {text} is no value representation")
        self._attributes.append(_Attribute(tag, vr, creator))

    def _start_value(self, local: str, facts: dict[str, str]) -> None:
        attribute = self._attributes[-1]
        place = f"{attribute.tag:08X}"
        if attribute.kind not in ("", local) or (local == "Item") != (attribute.vr == "SQ"):
            raise MalformedRequest(f"{local} has no place in {place} ({attribute.vr})")
        if local in ("BulkData", "InlineBinary"):
            if attribute.kind:
                raise MalformedRequest(f"{place} has more than one {local}")
            number = 1
            uuid = facts.get("uuid")
            attribute.reference = facts.get("uri") or (f"urn:uuid:{uuid}" if uuid else "")
            if local == "BulkData" and not attribute.reference:
                raise MalformedRequest(f"BulkData of {place} has neither uri nor uuid")
        else:
            text = facts.get("number", "")
            number = int(text) if _NUMBER.fullmatch(text) else 0
            if number < 1 or number in attribute.values:
                raise MalformedRequest(f"{place} has a {local} whose number is {text[:20]!r}")
        attribute.kind = local
        attribute.values[number] = None
        self._numbers.append(number)
        self._name = {}

    def text(self, text: str) -> None:
        """Take character data; white space between elements means nothing."""
        if self._open and self._open[-1] in _TEXTUAL:
            self._text.append(text)
        elif text.strip():
            raise MalformedRequest(f"text within {self._open[-1]!r}")

    def end(self, name: str) -> None:
        """Take the end of an element."""
        del name
        local = self._open.pop()
        text = "".join(self._text)
        self._text.clear()
        if local == "NativeDicomModel":
            self.root = _data_set(self._items.pop())
        elif local == "DicomAttribute":
            self._items[-1].append(self._attributes.pop())
        elif local in _COMPONENTS:
            self._name.setdefault(self._open[-1], {})[local] = text
        elif local not in _GROUPS:
            self._end_value(local, text)

    def _end_value(self, local: str, text: str) -> None:
        attribute, number = self._attributes[-1], self._numbers.pop()
        value: Any = None
        if local == "Item":
            value = _data_set(self._items.pop())
        elif local == "PersonName":
            value = {group: _joined(self._name[group]) for group in _GROUPS if group in self._name}
        elif local == "InlineBinary":
            value = _checked_base64(text, attribute.tag)
        elif local == "Value" and text:
            value = _number(text, attribute)
        attribute.values[number] = value


def _data_set(read: Iterable[_Attribute]) -> dict[str, dict[str, Any]]:
    """Make the DICOM JSON of a data set or item of its attributes."""
    found: dict[int, dict[str, Any]] = {}
    private = []
    for attribute in read:
        if attribute.creator is not None:
            private.append(attribute)
        elif found.setdefault(attribute.tag, made := _attribute_json(attribute)) is not made:
            raise MalformedRequest(f"{attribute.tag:08X} is there twice")
    for attribute in private:
        tag = _reserved(found, attribute)
        if tag in found:
            raise MalformedRequest(f"{attribute.tag:08X} of one creator is there twice")
        found[tag] = _attribute_json(attribute)
    return {f"{tag:08X}": found[tag] for tag in sorted(found)}


def _reserved(found: dict[int, dict[str, Any]], attribute: _Attribute) -> int:
    """Give the tag of a private attribute in its creator's block, reserving one if need be."""
    group, creator = attribute.tag >> 16, attribute.creator
    if not group & 1 or attribute.tag & 0xFF00:
        raise MalformedRequest(f"{attribute.tag:08X} with a creator is not of the form gggg00ee")
    for block in range(0x10, 0x100):
        holder = found.setdefault(group << 16 | block, {"vr": "LO", "Value": [creator]})
        if holder.get("Value") == [creator]:
            return group << 16 | block << 8 | attribute.tag & 0xFF
    raise MalformedRequest(f"group {group:04X} has no block left for another creator")


def _attribute_json(attribute: _Attribute) -> dict[str, Any]:
    made: dict[str, Any] = {"vr": attribute.vr}
    count = len(attribute.values)
    if attribute.kind == "BulkData":
        made["BulkDataURI"] = attribute.reference
    elif attribute.kind == "InlineBinary":
        if attribute.values[1]:
            made["InlineBinary"] = attribute.values[1]
    elif count:
        try:
            values = [attribute.values[number] for number in range(1, count + 1)]
        except KeyError:
            raise MalformedRequest(
                f"the values of {attribute.tag:08X} are not numbered from 1 by 1"
            ) from None
        if values not in ([None], [{}]) or attribute.vr == "SQ":
            made["Value"] = [value or None for value in values] if attribute.vr == "PN" else values
    return made


def _joined(components: Mapping[str, str]) -> str:
    """Put a component group together; trailing empty components go (PS3.5 §6.2.1.1)."""
    return "^".join(components.get(name, "") for name in _COMPONENTS).rstrip("^")


def _number(text: str, attribute: _Attribute) -> Any:  # noqa: ANN401 — what JSON has
    """Give a value as DICOM JSON has it: a number for the binary VRs of numbers."""
    try:
        if attribute.vr in _FLOATS:
            return float(text)
        bits = _INTEGERS.get(attribute.vr)
        if bits is None:
            return text
        number = int(text)
    except ValueError:
        number = bits = 0
        text = ""
    lowest = -(1 << bits) if attribute.vr[0] == "S" else 0
    if not text or not lowest <= number < 1 << bits:
        raise MalformedRequest(f"a value of {attribute.tag:08X} is no {attribute.vr}")
    return number


def _checked_base64(text: str, tag: int) -> str:
    packed = "".join(text.split())
    try:
        base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedRequest(f"InlineBinary of {tag:08X} is not base64") from None
    return packed


def _dictionary_vr(tag: int, *, private: bool) -> str:
    """Give the VR of PS3.6, the first where it has several; UN where it has none."""
    if private:
        return "UN"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"
