"""Metadata in DICOM JSON and in the Native DICOM Model (PS3.18 Annex F, PS3.19 §A.1)."""

import base64
import re
from xml.etree import ElementTree

from conformance.checks.bench import JSON, Bench, expect, expect_status, only_part, value, values
from conformance.checks.collection import NAMES, TINY_BYTES
from conformance.checks.negotiation import XML_PARTS
from conformance.checks.registry import Category, Failed
from conformance.checks.store_forms import NAMESPACE

metadata = Category("Metadata")

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
type _Json = dict[str, dict[str, object]]


def _every(dataset: _Json) -> list[tuple[str, dict[str, object]]]:
    """Give every element, at any depth."""
    found = []
    for tag, element in dataset.items():
        found.append((tag, element))
        if element.get("vr") == "SQ":
            for one in values(dataset, tag):
                if isinstance(one, dict):
                    found += _every(one)
    return found


def _given(bench: Bench, name: str = "attributes") -> _Json:
    return bench.metadata(bench[name])


def _element(found: _Json, tag: str) -> dict[str, object]:
    expect(tag in found, f"({tag[:4]},{tag[4:]}) is missing")
    return found[tag]


@metadata.standard(
    "PS3.18 §10.4.1.1.2", "metadata has every attribute of the instance, with its VR"
)
def every_attribute(bench: Bench) -> None:
    for name in ("slide", "sparse", "annotations", "report", "attributes", "words"):
        found = _given(bench, name)
        for element in bench[name].dataset:
            tag = f"{element.tag:08X}"
            if tag == "00080005":
                continue  # JSON and XML are in UTF-8, whatever the file was in
            expect(tag in found, f"({tag[:4]},{tag[4:]}) of “{name}” is missing")
            expect(found[tag].get("vr") == element.VR, f"{tag} has vr {found[tag].get('vr')}")


@metadata.standard("PS3.18 §10.4.1.1.2", "there are no pixels in it")
def no_pixels(bench: Bench) -> None:
    for name in ("slide", "words"):
        pixels = _given(bench, name).get("7FE00010", {})
        expect("Value" not in pixels, "Pixel Data has values")
        expect("InlineBinary" not in pixels, "Pixel Data is inline")


@metadata.standard("PS3.18 §F.2.2", "names are tags of eight upper case digits, in ascending order")
def names_of_elements(bench: Bench) -> None:
    found = _given(bench)
    for tag, _ in _every(found):
        expect(re.fullmatch(r"[0-9A-F]{8}", tag), f"{tag} is no tag")
    expect(list(found) == sorted(found), "not in ascending order")


@metadata.standard("PS3.18 §F.2.2", "there are no group lengths")
def no_group_lengths(bench: Bench) -> None:
    expect(not [tag for tag, _ in _every(_given(bench)) if tag.endswith("0000")], "a group length")


@metadata.standard("PS3.18 §F.2.2", "every element has a vr, and at most one form of its value")
def one_form_of_a_value(bench: Bench) -> None:
    for tag, element in _every(_given(bench)):
        expect(isinstance(element.get("vr"), str), f"{tag} has no vr")
        forms = {"Value", "BulkDataURI", "InlineBinary"} & set(element)
        expect(len(forms) <= 1, f"{tag} has {' and '.join(sorted(forms))}")
        expect(not set(element) - forms - {"vr"}, f"{tag} has {sorted(element)}")


@metadata.standard("PS3.18 §F.2.5", "an empty attribute keeps its vr, and nothing else")
def empty_attribute(bench: Bench) -> None:
    found = _given(bench)
    expect(_element(found, "00080050") == {"vr": "SH"}, f"it is {found['00080050']}")


@metadata.standard("PS3.18 §F.2.5", "an empty sequence keeps its vr, and nothing else")
def empty_sequence(bench: Bench) -> None:
    found = _given(bench)
    expect(_element(found, "00400555") == {"vr": "SQ"}, f"it is {found['00400555']}")


@metadata.standard("PS3.18 §F.2.5", "an empty one among several values is null")
def empty_value(bench: Bench) -> None:
    given = values(_given(bench), "00181020")
    expect(given == ["1.0", None, "2.0"], f"the values are {given}")


@metadata.standard("PS3.18 §F.2.5", "an empty item is an empty object")
def empty_item(bench: Bench) -> None:
    given = values(_given(bench), "00081140")
    expect(len(given) == 2 and given[0] == {}, f"the items are {given}")


def _number(name: str, tag: str, wanted: float) -> None:
    def run(bench: Bench) -> None:
        given = value(_given(bench), tag)
        expect(isinstance(given, int | float), f"{name} is {given!r}, not a number")
        expect(given == wanted, f"{name} is {given!r}, not {wanted}")

    metadata.add(f"number {name}", "PS3.18 Table F.2.3-1", f"{name} is a JSON number", run)


_number("US", "00186024", 3)
_number("SL", "00186020", -12)
_number("FD", "0018602C", 0.25)


@metadata.standard(
    "PS3.18 Table F.2.3-1", "DS and IS are numbers, or strings that are equal to them"
)
def decimal_strings(bench: Bench) -> None:
    found = _given(bench)
    for tag, wanted in (("00101030", 72.5), ("00101020", 1.8), ("00200013", 1)):
        given = value(found, tag)
        try:
            number = float(str(given))
        except ValueError as error:
            raise Failed(f"{tag} is {given!r}") from error
        expect(number == wanted, f"{tag} is {given!r}, not {wanted}")


@metadata.client("EZ-WSI DICOMweb 6.1, dicomweb-client (JavaScript)", "DS and IS are JSON numbers")
def decimal_strings_are_numbers(bench: Bench) -> None:
    found = _given(bench)
    for tag in ("00101030", "00200013"):
        expect(isinstance(value(found, tag), int | float), f"{tag} is {value(found, tag)!r}")


@metadata.standard("PS3.18 §F.2.3", "an attribute tag is a string of eight upper case digits")
def attribute_tag(bench: Bench) -> None:
    given = value(_given(bench), "00280009")
    expect(given == "00181063", f"it is {given!r}")


@metadata.standard("PS3.18 §F.2.2", "a person's name is an object of its groups")
def person_name(bench: Bench) -> None:
    given = value(_given(bench), "00100010")
    groups = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    expect(given == groups, f"it is {given}")


@metadata.standard("RFC 8259 §7", "line ends, quotes and backslashes of texts are escaped")
def text(bench: Bench) -> None:
    given = value(_given(bench), "00204000")
    expect(given == 'two\r\nlines, \\ and a quote "', f"it is {given!r}")


@metadata.standard("PS3.18 §F.2.2", "binary values are inline or behind a URI, never in Value")
def binary_values(bench: Bench) -> None:
    for name in ("attributes", "annotations", "slide"):
        for tag, element in _every(_given(bench, name)):
            if element["vr"] in BINARY and len(element) > 1:
                expect("Value" not in element, f"{tag} of vr {element['vr']} has a Value")


@metadata.standard("PS3.18 §F.2.7", "a small binary value that is inline is itself in base 64")
def inline_binary(bench: Bench) -> None:
    element = _element(_given(bench), "00091001")
    given = element.get("InlineBinary")
    if given is None:
        expect("BulkDataURI" in element, f"it is {element}")
        return
    expect(base64.b64decode(str(given)) == bytes(range(TINY_BYTES)), "other bytes")


@metadata.client("wsidicom 0.36, annotations", "binary values of under a kilobyte are inline")
def small_values_are_inline(bench: Bench) -> None:
    group = values(_given(bench, "annotations"), "006A0002")
    expect(len(group) == 1 and isinstance(group[0], dict), "no annotation group")
    element = _element(group[0] if isinstance(group[0], dict) else {}, "00660040")
    expect("InlineBinary" in element, f"eight bytes are {sorted(element)}")


@metadata.client("EZ-WSI DICOMweb 6.1, dicom-microscopy-viewer", "a colour profile is behind a URI")
def colour_profile(bench: Bench) -> None:
    path = values(_given(bench, "slide"), "00480105")
    expect(len(path) == 1 and isinstance(path[0], dict), "no optical path")
    element = _element(path[0] if isinstance(path[0], dict) else {}, "00282000")
    expect("BulkDataURI" in element, f"6,000 bytes are {sorted(element)}")


@metadata.standard("PS3.18 §F.2.2, PS3.5 §7.8", "private attributes are there with their creator")
def private_attributes(bench: Bench) -> None:
    found = _given(bench)
    expect(value(found, "00090010") == "CHECKS", "no private creator")
    inner = values(found, "00091005")
    expect(len(inner) == 1 and isinstance(inner[0], dict), "no private sequence")


@metadata.standard("PS3.18 §10.4.1.1.2", "per-frame functional groups are there, one item a frame")
def per_frame_groups(bench: Bench) -> None:
    items = values(_given(bench, "sparse"), "52009230")
    expect(len(items) == 4, f"{len(items)} items, not 4")


def _register_names() -> None:
    for name, (character_set, given) in NAMES.items():

        def run(bench: Bench, name: str = name, given: str = given) -> None:
            found = _given(bench, name)
            groups = ("Alphabetic", "Ideographic", "Phonetic")
            wanted = dict(zip(groups, given.split("="), strict=False))
            expect(value(found, "00100010") == wanted, f"it is {value(found, '00100010')}")

        written = character_set if isinstance(character_set, str) else "\\".join(character_set)
        metadata.add(
            f"names {name}", "PS3.18 §F.2, §8.8", f"a name in {written} is sent in UTF-8", run
        )


_register_names()


# --- XML ----------------------------------------------------------------------------------------


def _document(bench: Bench, name: str = "attributes") -> ElementTree.Element:
    part = only_part(bench.get(bench[name].path + "/metadata", XML_PARTS))
    try:
        return ElementTree.fromstring(part.content)  # noqa: S314 - only a check's process would suffer
    except ElementTree.ParseError as error:
        raise Failed(f"the part is not XML: {error}") from error


def _attribute(root: ElementTree.Element, tag: str) -> ElementTree.Element:
    for element in root:
        if element.get("tag") == tag:
            return element
    raise Failed(f"no DicomAttribute with tag {tag}")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


@metadata.standard("PS3.19 §A.1.5", "the XML is a NativeDicomModel of its namespace")
def xml_root(bench: Bench) -> None:
    root = _document(bench)
    expect(_local(root) == "NativeDicomModel", f"the root is {root.tag}")
    expect(root.tag.startswith("{" + NAMESPACE + "}"), f"the namespace of {root.tag}")


@metadata.standard(
    "PS3.19 Table A.1.5-2", "every attribute has tag and vr, and keyword where it has one"
)
def xml_attributes(bench: Bench) -> None:
    root = _document(bench)
    patient = _attribute(root, "00100020")
    expect(patient.get("vr") == "LO", f"vr {patient.get('vr')}")
    expect(patient.get("keyword") == "PatientID", f"keyword {patient.get('keyword')}")
    expect([_local(one) for one in patient] == ["Value"], "not one Value")
    expect(patient[0].get("number") == "1", f"number {patient[0].get('number')}")


@metadata.standard("PS3.19 Table A.1.5-2", "names of persons have groups and components")
def xml_person_name(bench: Bench) -> None:
    name = _attribute(_document(bench), "00100010")
    found = [(_local(one), one.text) for one in name.iter() if one.text and one.text.strip()]
    wanted = [
        *(("FamilyName", one) for one in ("Yamada", "山田", "やまだ")),
        *(("GivenName", one) for one in ("Tarou", "太郎", "たろう")),
    ]
    expect(sorted(found) == sorted(wanted), f"it has {found}")


@metadata.standard("PS3.19 Table A.1.5-2", "sequences have items, nested to any depth")
def xml_items(bench: Bench) -> None:
    sequence = _attribute(_document(bench, "report"), "0040A730")
    expect([_local(one) for one in sequence] == ["Item"], "not one Item")
    text_value = _attribute(sequence[0], "0040A160")
    wanted = bench["report"].dataset.ContentSequence[0].TextValue
    expect(text_value[0].text == wanted, f"the text is {text_value[0].text!r}")


@metadata.standard("PS3.19 Table A.1.5-2", "binary values are InlineBinary or BulkData")
def xml_binary(bench: Bench) -> None:
    path = _attribute(_document(bench, "slide"), "00480105")
    profile = _attribute(path[0], "00282000")
    names = [_local(one) for one in profile]
    expect(names in [["InlineBinary"], ["BulkData"]], f"the colour profile has {names}")


@metadata.standard("PS3.18 §10.4.4", "XML of a series has one part an instance")
def xml_of_a_series(bench: Bench) -> None:
    answer = bench.get(bench.slide.series_path + "/metadata", XML_PARTS)
    expect_status(answer, 200)
    wanted = [one for one in bench.stored() if one.series == bench.slide.series]
    expect(len(answer.parts) == len(wanted), f"{len(answer.parts)} parts, not {len(wanted)}")


@metadata.standard("PS3.18 §10.4.3.1", "404 for the metadata of something that there is not")
def unknown(bench: Bench) -> None:
    nothing = bench.maker.uid("nothing")
    slide = bench.slide
    for path in (
        f"/studies/{nothing}",
        f"{slide.study_path}/series/{nothing}",
        f"{slide.series_path}/instances/{nothing}",
    ):
        answer = bench.get(path + "/metadata", JSON)
        expect(answer.status == 404, f"{answer}, not 404")
