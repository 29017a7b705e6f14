"""The Native DICOM Model, against its schema, DCMTK and DICOM JSON."""

from __future__ import annotations

import contextlib
import io
import subprocess
from shutil import which
from typing import TYPE_CHECKING, Any

import orjson
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydicom.dataset import Dataset

from archive.errors import MalformedRequest, TooLarge
from archive.part10 import read_header, to_json
from dicomweb.native_model import (
    NAMESPACE,
    document_xml,
    from_xml,
    reading,
    sequence_xml,
    to_xml,
    writing,
)
from dicomweb.native_model.streaming import items_of
from tests.support.dicom_files import MadeFile, jpeg_slide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_N = f"{{{NAMESPACE}}}"

# PS3.19 2024c §A.1.6, in the XML syntax of RELAX NG; with xml:space, which Table A.1.5-1 asks for.
_SCHEMA = """
<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://dicom.nema.org/PS3.19/models/NativeDICOM"
    datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <start><element name="NativeDicomModel">
    <attribute name="xml:space"><value>preserve</value></attribute><ref name="DataSet"/>
  </element></start>
  <define name="DataSet"><zeroOrMore><ref name="DicomAttribute"/></zeroOrMore></define>
  <define name="DicomAttribute"><element name="DicomAttribute">
    <attribute name="tag"><data type="string"><param name="pattern">[0-9A-F]{8}</param></data></attribute>
    <attribute name="vr"><data type="string"><param name="pattern">[A-Z]{2}</param></data></attribute>
    <optional><attribute name="keyword"><data type="token"/></attribute></optional>
    <optional><attribute name="privateCreator"><data type="string"/></attribute></optional>
    <optional><choice>
      <element name="BulkData"><choice>
        <attribute name="uuid"><data type="string"/></attribute>
        <attribute name="uri"><data type="anyURI"/></attribute>
      </choice></element>
      <oneOrMore><element name="Value"><ref name="Number"/><data type="string"/></element></oneOrMore>
      <oneOrMore><element name="Item"><ref name="Number"/><ref name="DataSet"/></element></oneOrMore>
      <oneOrMore><element name="PersonName"><ref name="Number"/>
        <optional><element name="Alphabetic"><ref name="Components"/></element></optional>
        <optional><element name="Ideographic"><ref name="Components"/></element></optional>
        <optional><element name="Phonetic"><ref name="Components"/></element></optional>
      </element></oneOrMore>
      <element name="InlineBinary"><data type="base64Binary"/></element>
    </choice></optional>
  </element></define>
  <define name="Components">
    <optional><element name="FamilyName"><data type="string"/></element></optional>
    <optional><element name="GivenName"><data type="string"/></element></optional>
    <optional><element name="MiddleName"><data type="string"/></element></optional>
    <optional><element name="NamePrefix"><data type="string"/></element></optional>
    <optional><element name="NameSuffix"><data type="string"/></element></optional>
  </define>
  <define name="Number"><attribute name="number"><data type="positiveInteger"/></attribute></define>
</grammar>
"""  # noqa: E501

EVERYTHING: dict[str, dict[str, Any]] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080008": {"vr": "CS", "Value": ["MPG", None, "XR3"]},
    "00080060": {"vr": "CS"},
    "00091001": {"vr": "LO", "Value": ["ours"]},
    "00090010": {"vr": "LO", "Value": ["ACME & SONS"]},
    "00100010": {
        "vr": "PN",
        "Value": [
            {
                "Alphabetic": "Yamada^Tarou^^Dr",
                "Ideographic": "山田^太郎",
                "Phonetic": "やまだ^たろう",
            },
            None,
            {"Alphabetic": "Adams"},
        ],
    },
    "00104000": {"vr": "LT", "Value": [' <&> "quoted"\r\n\tend ']},
    "00180050": {"vr": "DS", "Value": ["0.50", "1e-7"]},
    "00186020": {"vr": "SL", "Value": [-(2**31)]},
    "00189074": {"vr": "DT", "Value": ["20260101"]},
    "00281101": {"vr": "US", "Value": [256, 0, 16]},
    "0028140A": {"vr": "FD", "Value": [0.1, 3.0]},
    "00282000": {"vr": "OB", "BulkDataURI": "http://a.example/x?a=1&b=2"},
    "00480105": {
        "vr": "SQ",
        "Value": [{}, {"00480106": {"vr": "SH", "Value": ["1"]}, "00091001": {"vr": "OB"}}],
    },
    "00720026": {"vr": "AT", "Value": ["00100020"]},
    "00720082": {"vr": "SV", "Value": [-(2**63)]},
    "00720083": {"vr": "UV", "Value": [2**64 - 1]},
    "00420011": {"vr": "OB", "InlineBinary": "AAEC"},
}


def ordered(attributes: Mapping[str, Any]) -> bytes:
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)


def valid(document: bytes) -> etree._Element:
    """Give the root of a document that keeps to the schema."""
    root = etree.fromstring(document)
    etree.RelaxNG(etree.fromstring(_SCHEMA)).assertValid(root)
    return root


def model(inside: str) -> bytes:
    return f'<NativeDicomModel xmlns="{NAMESPACE}">{inside}</NativeDicomModel>'.encode()


def test_what_is_written_keeps_to_the_schema_and_reads_back() -> None:
    document = to_xml(EVERYTHING)
    valid(document)
    assert ordered(from_xml(document)) == ordered(EVERYTHING)


def test_a_data_set_of_nothing_is_a_document() -> None:
    valid(to_xml({}))
    assert from_xml(to_xml({})) == {}


def test_empty_values_keep_their_places() -> None:
    root = valid(to_xml(EVERYTHING))
    values = root.findall(f"{_N}DicomAttribute[@keyword='ImageType']/{_N}Value")
    assert [(one.get("number"), one.text) for one in values] == [
        ("1", "MPG"),
        ("2", None),
        ("3", "XR3"),
    ]


def test_names_are_taken_apart_into_components() -> None:
    root = valid(to_xml(EVERYTHING))
    name = root.find(f"{_N}DicomAttribute[@tag='00100010']/{_N}PersonName[@number='1']")
    assert name is not None
    found = {f"{one.getparent().tag}/{one.tag}": one.text for one in name.iterfind("*/*")}
    assert {key.replace(_N, ""): text for key, text in found.items()} == {
        "Alphabetic/FamilyName": "Yamada",
        "Alphabetic/GivenName": "Tarou",
        "Alphabetic/NamePrefix": "Dr",
        "Ideographic/FamilyName": "山田",
        "Ideographic/GivenName": "太郎",
        "Phonetic/FamilyName": "やまだ",
        "Phonetic/GivenName": "たろう",
    }


def test_private_tags_go_without_their_block_and_with_their_creator() -> None:
    root = valid(to_xml(EVERYTHING))
    (private,) = root.findall(f"{_N}DicomAttribute[@privateCreator]")
    assert (private.get("tag"), private.get("privateCreator")) == ("00090001", "ACME & SONS")
    assert private.get("keyword") is None


def test_private_attributes_get_a_block_of_their_creator() -> None:
    read = from_xml(
        model(
            '<DicomAttribute tag="00090001" vr="LO" privateCreator="B"><Value number="1">b</Value>'
            '</DicomAttribute><DicomAttribute tag="00090002" vr="LO" privateCreator="A"/>'
            '<DicomAttribute tag="00090010" vr="LO"><Value number="1">A</Value></DicomAttribute>'
        )
    )
    assert read == {
        "00090010": {"vr": "LO", "Value": ["A"]},
        "00090011": {"vr": "LO", "Value": ["B"]},
        "00091002": {"vr": "LO"},
        "00091101": {"vr": "LO", "Value": ["b"]},
    }


def test_group_lengths_are_left_out() -> None:
    assert from_xml(to_xml({"00080000": {"vr": "UL", "Value": [1]}})) == {}


def test_characters_that_xml_has_not_are_replaced() -> None:
    read = from_xml(to_xml({"00104000": {"vr": "LT", "Value": ["a\x0cb\x1bc"]}}))
    assert read["00104000"]["Value"] == ["a\ufffdb\ufffdc"]


def test_numbers_that_are_not_finite_are_written_as_xml_schema_has_them() -> None:
    document = to_xml({"0028140A": {"vr": "FD", "Value": [float("nan"), float("-inf")]}})
    assert b">NaN<" in document
    assert b">-INF<" in document
    assert repr(from_xml(document)["0028140A"]["Value"]) == "[nan, -inf]"


def test_a_bulk_data_uuid_is_read_as_a_urn() -> None:
    read = from_xml(
        model('<DicomAttribute tag="7FE00010" vr="OB"><BulkData uuid="ab-c"/></DicomAttribute>')
    )
    assert read == {"7FE00010": {"vr": "OB", "BulkDataURI": "urn:uuid:ab-c"}}


def test_a_missing_vr_is_that_of_the_data_dictionary() -> None:
    read = from_xml(model('<DicomAttribute tag="00100020"/><DicomAttribute tag="00090010"/>'))
    assert read == {"00090010": {"vr": "LO"}, "00100020": {"vr": "LO"}}


def test_values_may_come_in_any_order_and_without_a_namespace() -> None:
    read = from_xml(
        b'<NativeDicomModel><DicomAttribute tag="00080008" vr="CS"><Value number="2">b</Value>'
        b'<Value number="1">a</Value></DicomAttribute></NativeDicomModel>'
    )
    assert read["00080008"]["Value"] == ["a", "b"]


def test_a_long_sequence_is_written_one_item_at_a_time() -> None:
    items = [{"00480106": {"vr": "SH", "Value": [str(number)]}} for number in range(3)]
    pieces = list(sequence_xml("52009230", iter(items)))
    assert len(pieces) == 5
    whole = writing.OPENING + b"".join(pieces) + writing.CLOSING
    assert from_xml(whole) == {"52009230": {"vr": "SQ", "Value": items}}
    assert whole == to_xml({"52009230": {"vr": "SQ", "Value": items}})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xml",
        b"<NativeDicomModel>",
        b"<Other/>",
        b'<NativeDicomModel xmlns="urn:other"/>',
        b'<?xml version="1.0" encoding="no-such-thing"?><NativeDicomModel/>',
        model("text"),
        model("<Value/>"),
        model('<DicomAttribute vr="CS"/>'),
        model('<DicomAttribute tag="0008" vr="CS"/>'),
        model('<DicomAttribute tag="00080060" vr="cs"/>'),
        model('<DicomAttribute tag="00080060"><Value>x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00080060"><Value number="2">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00080060"><Value number="-1">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00080060"><Item number="1"/></DicomAttribute>'),
        model('<DicomAttribute tag="00080060"><PersonName number="1"/></DicomAttribute>'),
        model('<DicomAttribute tag="00480105"><Value number="1">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00280010"><Value number="1">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00280010"><Value number="1">65536</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00280010"><Value number="1">-1</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00282000"><InlineBinary>?</InlineBinary></DicomAttribute>'),
        model('<DicomAttribute tag="00282000"><BulkData/></DicomAttribute>'),
        model('<DicomAttribute tag="00080060"/><DicomAttribute tag="00080060"/>'),
        model('<DicomAttribute tag="00080060" privateCreator="A"/>'),
        model('<DicomAttribute tag="00091001" privateCreator="A"/>'),
    ],
)
def test_what_is_not_the_model_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedRequest):
        from_xml(content)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE NativeDicomModel SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!DOCTYPE NativeDicomModel>",
    ],
)
def test_a_document_type_is_refused_before_it_can_do_anything(doctype: str) -> None:
    content = f"{doctype}<NativeDicomModel/>".encode()
    with pytest.raises(MalformedRequest, match="document type"):
        from_xml(content)


def nested(depth: int) -> bytes:
    opening = '<DicomAttribute tag="00480105" vr="SQ"><Item number="1">' * depth
    return model(opening + "</Item></DicomAttribute>" * depth)


def test_nesting_is_bounded() -> None:
    from_xml(nested(reading.MAXIMUM_DEPTH))
    for depth in (reading.MAXIMUM_DEPTH + 1, 100_000):
        with pytest.raises(MalformedRequest, match="deep"):
            from_xml(nested(depth))


def test_length_is_bounded() -> None:
    with pytest.raises(TooLarge):
        from_xml(model(" " * reading.MAXIMUM_BYTES))


_TEXT = st.text(alphabet='aé山^=\\ <&>"\r\n\t\x00\x0c\x1b\ud800\uffff\U0001f52c', max_size=12)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "LO": _TEXT,
    "UT": _TEXT,
    "DS": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "FD": st.floats(allow_nan=False),
    "SS": st.integers(-(2**15), 2**15 - 1),
    "UV": st.integers(0, 2**64 - 1),
}


@given(
    st.sampled_from(sorted(_VALUES)).flatmap(
        lambda vr: st.tuples(st.just(vr), st.lists(_VALUES[vr], min_size=1, max_size=4))
    )
)
def test_values_of_every_kind_come_back(given_values: tuple[str, list[Any]]) -> None:
    vr, values = given_values
    document = to_xml({"00100020": {"vr": vr, "Value": values}})
    valid(document)
    read = from_xml(document)["00100020"].get("Value", [None])
    replaced = [
        writing.UNWRITABLE.sub("\ufffd", value) or None if isinstance(value, str) else value
        for value in values
    ]
    assert read == replaced


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for document in (content, model(content.decode("latin-1"))):
        with contextlib.suppress(MalformedRequest):
            from_xml(document)


def stored_json(made: MadeFile) -> dict[str, Any]:
    written = to_json(read_header(io.BytesIO(made.content), size=len(made.content)))
    attributes: dict[str, Any] = orjson.loads(written.header)
    if written.per_frame is not None:
        attributes["52009230"] = orjson.loads(written.per_frame)
    return attributes


def test_a_slide_is_the_same_data_set_by_way_of_xml() -> None:
    slide = jpeg_slide(PatientName="Yamada^Tarou=山田^太郎", SpecificCharacterSet="ISO_IR 192")
    attributes = stored_json(slide)
    document = to_xml(attributes)
    valid(document)
    read = from_xml(document)
    assert Dataset.from_json(orjson.dumps(read).decode()) == Dataset.from_json(
        orjson.dumps(attributes).decode()
    )


@pytest.mark.skipif(which("dcm2xml") is None, reason="DCMTK's dcm2xml is not installed")
def test_dcmtk_writes_the_same_of_a_slide(tmp_path: Path) -> None:
    slide = jpeg_slide(PatientName="Doe^Jane^^Dr", ImageComments="a <b> & c")
    file = tmp_path / "slide.dcm"
    file.write_bytes(slide.content)
    written = subprocess.run(
        ["dcm2xml", "--native-format", "--convert-to-utf8", str(file)],
        check=True,
        capture_output=True,
    ).stdout
    theirs, ours = from_xml(written), from_xml(to_xml(stored_json(slide)))
    for tag in ours.keys() | theirs.keys():
        if tag.startswith("0002") or tag in {"7FE00010", "00080005"}:
            continue  # file meta information and pixels are not part of metadata
        if "BulkDataURI" in ours.get(tag, {}) or "BulkDataURI" in theirs.get(tag, {}):
            continue
        assert ours[tag] == theirs[tag]
    assert pydicom.dcmread(file).PatientName == "Doe^Jane^^Dr"


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_items_are_given_as_they_become_complete(step: int) -> None:
    items = [{"00480106": {"vr": "SH", "Value": ['a,]}"山']}}, {}, {"00180050": {"vr": "DS"}}]
    text = b'{"vr":"SQ","Value":[' + b",".join(map(orjson.dumps, items)) + b"]}"
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    assert list(items_of(pieces)) == items
    assert list(items_of([b'{"vr":', b'"SQ"}'])) == []
    with pytest.raises(ValueError, match="middle"):
        list(items_of(pieces[:-1] if step == 1 else [text[:-3]]))


def test_digits_of_decimal_strings_are_kept() -> None:
    header = b'{"00180050":{"vr":"DS","Value":[0.50,1e-7,2]}}'
    document = b"".join(document_xml(header))
    assert from_xml(document)["00180050"]["Value"] == ["0.50", "1e-7", "2"]
