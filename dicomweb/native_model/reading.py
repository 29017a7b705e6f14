"""Native DICOM Model → DICOM JSON, of documents that are not to be trusted (PS3.19 §A.1.5)."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from pydicom.datadict import dictionary_VR

from archive.errors import MalformedRequest, TooLarge
from dicomweb.native_model.names import COMPONENTS, GROUPS, NAMESPACE

MAXIMUM_BYTES = 64 * 1024 * 1024
"""Of one document that is read; bulk data are not among them."""
MAXIMUM_DEPTH = 64
"""Levels of nested sequences that are read."""
MAXIMUM_ATTRIBUTES = 1_000_000
"""Attributes of one document that are read, nested ones included."""

_INTEGERS = {"SL": 31, "SS": 15, "SV": 63, "UL": 32, "US": 16, "UV": 64}
"""VR → bits of the magnitude (PS3.5 Table 6.2-1)."""
_FLOATS = frozenset({"FD", "FL"})

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_VR = re.compile(r"[A-Z]{2}")
_NUMBER = re.compile(r"[0-9]{1,9}")


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
    "PersonName": frozenset(GROUPS),
    **{group: frozenset(COMPONENTS) for group in GROUPS},
}
"""Which elements stand in which (PS3.19 §A.1.6)."""
_TEXTUAL = frozenset({"Value", "InlineBinary", *COMPONENTS})


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
        misplaced = local == "PersonName" and attribute.vr != "PN"
        misplaced |= (local == "Item") != (attribute.vr == "SQ")
        if misplaced or attribute.kind not in ("", local):
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
        elif local in COMPONENTS:
            self._name.setdefault(self._open[-1], {})[local] = text
        elif local not in GROUPS:
            self._end_value(local, text)

    def _end_value(self, local: str, text: str) -> None:
        attribute, number = self._attributes[-1], self._numbers.pop()
        value: Any = None
        if local == "Item":
            value = _data_set(self._items.pop())
        elif local == "PersonName":
            value = {group: _joined(self._name[group]) for group in GROUPS if group in self._name}
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
    return "^".join(components.get(name, "") for name in COMPONENTS).rstrip("^")


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
