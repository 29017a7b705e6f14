from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import MalformedQuery, MalformedRequest
from archive.model.attribute_paths import parse_attribute
from archive.model.attributes import INDEXED, Level
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    Query,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)
from dicomweb.queries import SearchRequest, parse_parameters, parse_search


def search(text: str, level: Level = Level.STUDY) -> SearchRequest:
    return parse_search(text.encode(), level=level, default_limit=100, maximum_limit=1000)


def query(text: str) -> Query:
    return search(text).query


def match(text: str) -> Match:
    (key,) = query(text).keys
    return key.match


@pytest.mark.parametrize(
    "text",
    ["PatientID=A", "00100020=A", "PatientID=A&", "&PatientID=A", "%50atientID=%41"],
)
def test_a_key_is_a_keyword_or_a_tag(text: str) -> None:
    (key,) = query(text).keys
    assert (key.attribute.keyword, key.match) == ("PatientID", ValueMatch(("A",)))


def test_every_indexed_attribute_can_be_named_by_keyword_and_by_tags() -> None:
    for attribute in INDEXED:
        assert parse_attribute(attribute.keyword) == attribute.path
        assert parse_attribute(".".join(attribute.path).lower()) == attribute.path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientName=Doe%5EJane", ValueMatch(("Doe^Jane",))),
        ("PatientName=Doe+Jane", ValueMatch(("Doe Jane",))),
        ("PatientName=Doe%2BJane", ValueMatch(("Doe+Jane",))),
        ("PatientName=a%26b%3Dc", ValueMatch(("a&b=c",))),
        ("PatientName=D%C3%B6", ValueMatch(("Dö",))),
        ("PatientName=a,b", ValueMatch(("a,b",))),
        ("PatientName=Do*", WildcardMatch("Do*")),
        ("PatientName=%2ADoe%3F", WildcardMatch("*Doe?")),
        ("PatientID=100%25_", ValueMatch(("100%_",))),
        ("PatientID=%20A%20", ValueMatch(("A",))),
        ("ModalitiesInStudy=SM", ValueMatch(("SM",))),
        ("ModalitiesInStudy=SM,CT", ValueMatch(("SM", "CT"))),
        ("ModalitiesInStudy=SM%5CCT", ValueMatch(("SM", "CT"))),
        ("StudyInstanceUID=1.2,1.3%2C1.4%5C1.5", ValueMatch(("1.2", "1.3", "1.4", "1.5"))),
        ("SeriesInstanceUID=1.2&SeriesInstanceUID=1.3", ValueMatch(("1.2", "1.3"))),
        ("StudyDate=20260102", ValueMatch(("20260102",))),
        ("StudyDate=20260102-20260203", RangeMatch("20260102", "20260203")),
        ("StudyDate=-20260203", RangeMatch(None, "20260203")),
        ("StudyDate=20260102-", RangeMatch("20260102", None)),
        ("StudyTime=10-1130", RangeMatch("10", "1130")),
        ("StudyTime=101112.5", ValueMatch(("101112.5",))),
        ("OpticalPathSequence.IlluminationWaveLength=488.5", ValueMatch(("488.5",))),
        ('PatientID=""', ValueMatch(('""',))),
        ("ImageType=ORIGINAL%5CPRIMARY", ValueMatch(("ORIGINAL", "PRIMARY"))),
        ("InstanceNumber=007", ValueMatch(("7",))),
        (
            "SpecimenDescriptionSequence.SpecimenIdentifier=S-1",
            ValueMatch(("S-1",)),
        ),
        ("00400560.00400551=S-1", ValueMatch(("S-1",))),
    ],
)
def test_values_are_decoded_and_read_by_their_kind(text: str, expected: Match) -> None:
    assert match(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientID=%22%22&emptyvaluematching=true", EmptyMatch()),
        ('StudyDate=""&emptyvaluematching=true', EmptyMatch()),
        ('PatientName=""&emptyvaluematching=false', ValueMatch(('""',))),
        ('PatientID="x"&emptyvaluematching=true', ValueMatch(('"x"',))),
        ("ModalitiesInStudy=SM,SR&multiplevaluematching=true", EveryMatch(("SM", "SR"))),
        ("ImageType=A%5CB&multiplevaluematching=true", EveryMatch(("A", "B"))),
        ("ImageType=A&multiplevaluematching=true", ValueMatch(("A",))),
        ("ImageType=A*&multiplevaluematching=true", WildcardMatch("A*")),
        # of one value, or of a VR that multiple value matching is not for: a list as before
        ("Modality=SM,SR&multiplevaluematching=true", ValueMatch(("SM", "SR"))),
        ("StudyInstanceUID=1.2,1.3&multiplevaluematching=true", ValueMatch(("1.2", "1.3"))),
    ],
)
def test_empty_and_multiple_value_matching_are_done_when_they_are_asked_for(
    text: str, expected: Match
) -> None:
    found = search(text)
    assert [key.match for key in found.query.keys] == [expected]
    assert found.unsupported == ()


def test_a_private_creator_says_whose_attributes_are_wanted() -> None:
    found = search("00091001=x&00090010=ACME&includefield=00091002")
    assert found.query.creators == (("00090010", "ACME"),)
    assert found.query.include == {("00091002",)}
    assert found.unsupported == ("00091001",)


def test_more_rows_than_an_answer_has_are_asked_for() -> None:
    assert search("limit=1001").limited
    assert not search("limit=1000").limited


@pytest.mark.parametrize("text", ["PatientID=", "PatientID", "PatientID=*", "StudyDate="])
def test_universal_matching_only_asks_for_the_attribute(text: str) -> None:
    found = query(text)
    assert found.keys == ()
    assert len(found.include) == 1


@pytest.mark.parametrize(
    "text",
    [
        "limit=-1",
        "offset=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=1&limit=2",
        "offset=%D9%A1",
        "fuzzymatching=maybe",
        "emptyvaluematching=1",
        "multiplevaluematching=",
        "ImageType=A*%5CB&multiplevaluematching=true",
        'StudyInstanceUID=""&emptyvaluematching=true',
        'InstanceNumber=""&emptyvaluematching=true',
        "OpticalPathSequence.IlluminationWaveLength=blue",
        "PatientID=%00",
        "PatientID=A%00B",
        "%00=A",
        "PatientName=%FF",
        "StudyDate=2026",
        "StudyDate=20260230",
        "StudyDate=2026-01-02",
        "StudyDate=-",
        "StudyDate=20260102-20260203-20260304",
        "StudyTime=25",
        "StudyTime=1",
        "StudyInstanceUID=1.2.*",
        "StudyInstanceUID=abc",
        "InstanceNumber=one",
        "PatientName=a*%5Cb",
        "PatientID=" + "x" * 2000,
        "&".join(["PatientID=A"] * 2000),
        "StudyInstanceUID=" + ",".join(["1.2"] * 6000),
    ],
)
def test_bad_syntax_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        search(text)


def test_a_refusal_names_the_parameter_and_not_its_value() -> None:
    with pytest.raises(MalformedQuery) as caught:
        search("StudyDate=JaneDoe")
    assert "StudyDate" in str(caught.value)
    assert "JaneDoe" not in str(caught.value)


def test_what_is_not_indexed_is_left_out_and_named() -> None:
    found = search("Rubbish=1&00280301=x&PatientID=A&RetrieveAETitle=x&includefield=Nonsense")
    assert [key.attribute.keyword for key in found.query.keys] == ["PatientID"]
    assert found.unsupported == ("Rubbish", "00280301", "RetrieveAETitle", "Nonsense")


@pytest.mark.parametrize(
    "text",
    [
        "includefield=00081030,00080061&includefield=PatientID",
        "includefield=00081030%2C00080061%2CPatientID",
        "includefield=StudyDescription&includefield=00080061&includefield=%20PatientID,",
    ],
)
def test_included_fields_add_up(text: str) -> None:
    assert query(text).include == {("00081030",), ("00080061",), ("00100020",)}
    assert query("includefield=ALL").include_all


def test_what_the_clients_of_the_field_send_is_understood() -> None:
    slim = search("ModalitiesInStudy=SM&fuzzymatching=true")
    assert slim.query.fuzzy
    assert slim.unsupported == ()
    ohif = search(
        "limit=101&offset=0&fuzzymatching=false"
        "&includefield=00081030%2C00080060%2C00080090%2C00100030"
    )
    assert (ohif.query.limit, ohif.query.offset) == (101, 0)
    wsidicom = search(
        "00080016=1.2.840.10008.5.1.4.1.1.77.1.6&00080060=SM&0020000E=1.2&0020000E=1.3"
        "&includefield=AvailableTransferSyntaxUID",
        Level.INSTANCE,
    )
    assert len(wsidicom.query.keys) == 3
    assert wsidicom.query.include == {("00083002",)}
    assert wsidicom.unsupported == ()


def test_limits_are_bounded() -> None:
    assert query("").limit == 100
    assert query("limit=99999999999999999999").limit == 1000
    assert query("offset=99999999999999999999").offset < 2**63


@given(st.binary(max_size=200))
def test_any_query_string_is_read_or_refused(text: bytes) -> None:
    with contextlib.suppress(MalformedRequest):
        parse_search(text, level=Level.SERIES, default_limit=1, maximum_limit=2)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
def test_a_percent_encoded_value_comes_back(value: str) -> None:
    assert parse_parameters(f"a={quote(value, safe='')}".encode()) == [("a", value)]
