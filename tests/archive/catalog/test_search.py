"""Matching, return keys, order and paging (PS3.18 §10.6, PS3.4 §C.2.2.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from sqlalchemy import text

from archive.catalog.paging import PageEnds
from archive.catalog.search import Reach, count_behind
from archive.model.attributes import BY_KEYWORD, Level
from archive.model.query import (
    Match,
    Query,
    QueryKey,
    RangeMatch,
    Remaining,
    ResultRow,
    ValueMatch,
    WildcardMatch,
)
from auth import Visibility
from tests.support.catalog import JPEG, add, find, make, run, sibling

if TYPE_CHECKING:
    from archive.catalog.database import Database


def value(row: ResultRow, tag: str) -> Any:  # noqa: ANN401 - JSON
    return row.attributes[tag].get("Value")


# --- texts ----------------------------------------------------------------------------------------


@pytest.fixture
def ids(database: Database) -> Database:
    for patient in ("A1", "A10", "a1", "100%", "100x", "B_1", "Bx1", "Zoë"):
        add(database, make(PatientID=patient))
    return database


def patients(database: Database, match: Match) -> set[str]:
    key = QueryKey(BY_KEYWORD["PatientID"], match)
    page = run(database, Query(Level.STUDY, keys=(key,)))
    return {value(row, "00100020")[0] for row in page.rows}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (ValueMatch(("A1",)), {"A1"}),
        (ValueMatch((" A1 ",)), {"A1"}),
        (ValueMatch(("A1", "B_1", "nobody")), {"A1", "B_1"}),
        (ValueMatch(("100%",)), {"100%"}),
        (ValueMatch(("",)), set()),
        (WildcardMatch("A1*"), {"A1", "A10"}),
        (WildcardMatch("*1"), {"A1", "a1", "B_1", "Bx1"}),
        (WildcardMatch("A?"), {"A1"}),
        (WildcardMatch("?1"), {"A1", "a1"}),
        (WildcardMatch("100%*"), {"100%"}),
        (WildcardMatch("*0%"), {"100%"}),
        (WildcardMatch("B_*"), {"B_1"}),
        (WildcardMatch("A\\*"), set()),
        (WildcardMatch("*o?"), {"Zoë"}),
        (WildcardMatch("*" * 30 + "10*"), {"A10", "100%", "100x"}),
        (WildcardMatch("*nobody*"), set()),
        (ValueMatch(("A1\0",)), set()),
        (WildcardMatch("\0*"), set()),
        (WildcardMatch("*\0*"), set()),
    ],
)
def test_texts_match_literally_but_for_the_two_wildcards(
    ids: Database, match: Match, expected: set[str]
) -> None:
    assert patients(ids, match) == expected


ALPHABET = "aAb%_\\*?^=.[(+ü "


@examples(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pattern=st.text(ALPHABET, min_size=1, max_size=8))
def test_wildcards_match_what_a_plain_reading_of_the_rule_matches(
    database: Database, pattern: str
) -> None:
    values = ["a", "ab", "a%b", "a_b", "A", "bab", "aüb", "a.b", "a[b", "(a+b)", "b a", "%", "_"]
    with database.begin() as session:
        filled = session.execute(text("SELECT count(*) FROM studies")).scalar_one()
    if not filled:
        for one in values:
            add(database, make(PatientID=one))
    pattern = pattern.strip(" ")
    regex = "".join(
        ".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern
    )
    expected = {one for one in values if re.fullmatch(regex, one)} if pattern else set()
    wild = any(char in pattern for char in "*?")
    match = WildcardMatch(pattern) if wild else ValueMatch((pattern,))
    assert patients(database, match) == expected


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "fuzzy", "found"),
    [
        (ValueMatch(("Müller^Jörg",)), False, True),
        (ValueMatch(("MULLER^JORG",)), False, True),
        (ValueMatch(("muller^jorg^^",)), False, True),
        (ValueMatch(("ミュラー^イェルク",)), False, True),
        (ValueMatch(("Müller^Jörg=ミュラー^イェルク",)), False, True),
        (ValueMatch(("Müller^Jörg=other",)), False, False),
        (ValueMatch(("Müller",)), False, False),
        (WildcardMatch("mull*"), False, True),
        (WildcardMatch("*Jörg"), False, True),
        (WildcardMatch("*ller^j?rg"), False, True),
        (WildcardMatch("m*クルク"), False, False),
        (WildcardMatch("muller*イェルク"), False, False),  # one group at a time
        (WildcardMatch("m.ller*"), False, False),
        (ValueMatch(("jorg",)), True, True),
        (ValueMatch(("jo mul",)), True, True),
        (ValueMatch(("Jo^Mü",)), True, True),
        (WildcardMatch("mul*"), True, True),
        (ValueMatch(("org",)), True, False),
        (ValueMatch(("jo smith",)), True, False),
        (ValueMatch(("***",)), True, False),
    ],
)
def test_names_match_by_group_with_case_and_diacritics_folded(
    database: Database, match: Match, fuzzy: bool, found: bool
) -> None:
    add(database, make(PatientName="Müller^Jörg=ミュラー^イェルク"), make(PatientName="Smith^Ann"))
    assert len(find(database, "PatientName", match, fuzzy=fuzzy)) == int(found)


# --- dates, times, numbers ------------------------------------------------------------------------


@pytest.fixture
def days(database: Database) -> Database:
    for day, time in (
        ("20260101", "080000"),
        ("20260102", "090000.5"),
        ("20260103", "10"),
        ("20260104", ""),
        ("", ""),
    ):
        add(database, make(StudyDate=day, StudyTime=time))
    return database


def dates(database: Database, **matches: Match) -> list[str]:
    keys = tuple(QueryKey(BY_KEYWORD[keyword], match) for keyword, match in matches.items())
    rows = run(database, Query(Level.STUDY, keys=keys)).rows
    return sorted((value(row, "00080020") or ["none"])[0][-2:] for row in rows)


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ({"StudyDate": ValueMatch(("20260102",))}, ["02"]),
        ({"StudyDate": RangeMatch("20260102", "20260103")}, ["02", "03"]),
        ({"StudyDate": RangeMatch("20260103", None)}, ["03", "04"]),
        ({"StudyDate": RangeMatch(None, "20260102")}, ["01", "02"]),
        ({"StudyDate": RangeMatch("nonsense", None)}, []),
        ({"StudyTime": RangeMatch("080000.000000", "090000.999999")}, ["01", "02"]),
        ({"StudyTime": RangeMatch("0830", None)}, ["02", "03"]),
        ({"StudyTime": RangeMatch(None, "08")}, ["01"]),
        ({"StudyTime": ValueMatch(("09",))}, ["02"]),
        # one range over both: from the first date at the first time to the last at the last
        (
            {
                "StudyDate": RangeMatch("20260101", "20260103"),
                "StudyTime": RangeMatch("0830", "0930"),
            },
            ["02"],
        ),
        (
            {
                "StudyDate": RangeMatch("20260101", "20260103"),
                "StudyTime": RangeMatch("0730", "1030"),
            },
            ["01", "02", "03"],
        ),
        (
            {"StudyDate": RangeMatch("20260102", None), "StudyTime": RangeMatch("0930", None)},
            ["03", "04"],
        ),
        (
            {"StudyDate": RangeMatch(None, "20260102"), "StudyTime": RangeMatch(None, "0830")},
            ["01"],
        ),
        # a value of the date is no range: the time stands for itself
        (
            {"StudyDate": ValueMatch(("20260101",)), "StudyTime": RangeMatch("0700", "0900")},
            ["01"],
        ),
    ],
)
def test_dates_and_times_match_by_value_and_range(
    days: Database, matches: dict[str, Match], expected: list[str]
) -> None:
    assert dates(days, **matches) == expected


def test_numbers_match_by_value_list_and_range(database: Database) -> None:
    first = make(InstanceNumber=1)
    add(database, first, sibling(first, InstanceNumber=2), sibling(first, InstanceNumber=30))

    def numbers(match: Match) -> int:
        return len(find(database, "InstanceNumber", match, Level.INSTANCE))

    assert numbers(ValueMatch(("2",))) == 1
    assert numbers(ValueMatch(("1", "30", "7"))) == 2
    assert numbers(RangeMatch("2", None)) == 2
    assert numbers(ValueMatch(("x",))) == 0
    assert numbers(ValueMatch(("9" * 40,))) == 0


# --- levels ---------------------------------------------------------------------------------------


def specimen(identifier: str, block: str, stain: str) -> Dataset:
    def item(**given: object) -> Dataset:
        dataset = Dataset()
        for keyword, value_ in given.items():
            setattr(dataset, keyword, value_)
        return dataset

    code = item(CodeValue="12710003", CodingSchemeDesignator="SCT", CodeMeaning=stain)
    steps = [item(TextValue=block, ValueType="TEXT"), item(ConceptCodeSequence=[code])]
    return item(
        SpecimenIdentifier=identifier,
        SpecimenUID="1.2.3",
        SpecimenPreparationSequence=[item(SpecimenPreparationStepContentItemSequence=steps)],
    )


STAIN = (
    "SpecimenDescriptionSequence.SpecimenPreparationSequence"
    ".SpecimenPreparationStepContentItemSequence.ConceptCodeSequence.CodeMeaning"
)
BLOCK = (
    "SpecimenDescriptionSequence.SpecimenPreparationSequence"
    ".SpecimenPreparationStepContentItemSequence.TextValue"
)


def test_slides_are_found_by_container_specimen_block_and_stain(database: Database) -> None:
    he = make(
        ContainerIdentifier="S26-1-A1",
        SpecimenDescriptionSequence=[specimen("A", "Block A1", "hematoxylin stain")],
    )
    ihc = make(
        ContainerIdentifier="S26-1-A2",
        SpecimenDescriptionSequence=[
            specimen("B", "Block B7", "Ki-67"),
            specimen("C", "Block C", "DAB"),
        ],
    )
    add(database, he, ihc)

    def found(keyword: str, match: Match, level: Level) -> list[str | None]:
        return find(database, keyword, match, level)

    for level, first, second in (
        (Level.STUDY, he.StudyInstanceUID, ihc.StudyInstanceUID),
        (Level.SERIES, he.SeriesInstanceUID, ihc.SeriesInstanceUID),
        (Level.INSTANCE, he.SOPInstanceUID, ihc.SOPInstanceUID),
    ):
        assert found("ContainerIdentifier", ValueMatch(("S26-1-A2",)), level) == [second]
        assert found(STAIN, WildcardMatch("*matoxylin*"), level) == [first]
        assert found(STAIN, ValueMatch(("DAB",)), level) == [second]
        assert found(BLOCK, WildcardMatch("Block ?7"), level) == [second]
        assert found(BLOCK, WildcardMatch("*A1"), level) == [first]
        specimens = "SpecimenDescriptionSequence.SpecimenIdentifier"
        assert found(specimens, ValueMatch(("C",)), level) == [second]
        assert found(specimens, ValueMatch(("C", "A")), level) != []
        assert found(specimens, WildcardMatch("%"), level) == []


def test_keys_of_one_sequence_match_in_one_and_the_same_item(database: Database) -> None:
    slide = make(
        SpecimenDescriptionSequence=[
            specimen("A", "Block A1", "hematoxylin stain"),
            specimen("B", "Block B7", "Ki-67"),
        ],
    )
    add(database, slide)
    code = STAIN.replace("CodeMeaning", "CodeValue")
    identifier = "SpecimenDescriptionSequence.SpecimenIdentifier"

    def found(**given: Match) -> int:
        names = {"stain": STAIN, "code": code, "block": BLOCK, "specimen": identifier}
        keys = tuple(QueryKey(BY_KEYWORD[names[name]], match) for name, match in given.items())
        return len(run(database, Query(Level.STUDY, keys=keys)).rows)

    def is_(text: str) -> Match:
        return ValueMatch((text,))

    assert found(specimen=is_("A"), stain=is_("hematoxylin stain")) == 1
    assert found(specimen=is_("B"), stain=WildcardMatch("Ki*")) == 1
    assert found(specimen=is_("A"), stain=is_("Ki-67")) == 0
    assert found(specimen=is_("B"), block=WildcardMatch("*A1")) == 0
    assert found(code=is_("12710003"), stain=is_("Ki-67"), specimen=is_("B")) == 1
    # A block and a stain are told by two content items, and so never match in one.
    assert found(block=is_("Block A1"), stain=is_("hematoxylin stain")) == 0


def test_slides_are_found_by_optical_path(database: Database) -> None:
    slide = make()
    (path,) = slide.OpticalPathSequence
    path.OpticalPathIdentifier = "FITC"
    path.OpticalPathDescription = "green, of two"
    path.IlluminationWaveLength = 488.5
    path.ICCProfile = bytes(10)
    add(database, slide, make())

    def found(keyword: str, match: Match, level: Level) -> int:
        return len(find(database, f"OpticalPathSequence.{keyword}", match, level))

    for level in (Level.INSTANCE, Level.STUDY):
        assert found("OpticalPathIdentifier", ValueMatch(("FITC",)), level) == 1
        assert found("OpticalPathDescription", WildcardMatch("green*"), level) == 1
        assert found("IlluminationWaveLength", ValueMatch(("488.50", "1")), level) == 1
        assert found("IlluminationWaveLength", ValueMatch(("488",)), level) == 0
    row = run(database, Query(Level.INSTANCE, study=slide.StudyInstanceUID)).rows[0]
    (kept,) = value(row, "00480105")
    assert kept["00480106"]["Value"] == ["FITC"]
    assert "00282000" not in kept
    asked = Query(Level.INSTANCE, study=slide.StudyInstanceUID, include=frozenset({("00480105",)}))
    (whole,) = value(run(database, asked).rows[0], "00480105")
    assert "00282000" in whole


def test_keys_of_lower_levels_are_fulfilled_by_one_entity_below(database: Database) -> None:
    slide = make(Modality="SM", InstanceNumber=1)
    report = make(
        StudyInstanceUID=slide.StudyInstanceUID, Modality="SR", InstanceNumber=2, NumberOfFrames=9
    )
    add(database, slide, report)

    def studies(modality: str, number: str) -> int:
        keys = (
            QueryKey(BY_KEYWORD["Modality"], ValueMatch((modality,))),
            QueryKey(BY_KEYWORD["InstanceNumber"], ValueMatch((number,))),
        )
        return len(run(database, Query(Level.STUDY, keys=keys)).rows)

    assert studies("SM", "1") == 1
    assert studies("SR", "2") == 1
    assert studies("SM", "2") == 0


def test_keys_of_higher_levels_match_the_parents(database: Database) -> None:
    one, two = make(PatientID="P-1", Modality="SM"), make(PatientID="P-2", Modality="SEG")
    add(database, one, two)
    keys = (
        QueryKey(BY_KEYWORD["PatientID"], ValueMatch(("P-2",))),
        QueryKey(BY_KEYWORD["Modality"], ValueMatch(("SEG",))),
    )
    for level, uid in (
        (Level.SERIES, two.SeriesInstanceUID),
        (Level.INSTANCE, two.SOPInstanceUID),
    ):
        rows = run(database, Query(level, keys=keys)).rows
        assert [row.instance or row.series for row in rows] == [uid]
    uid_match = ValueMatch((one.StudyInstanceUID,))
    assert find(database, "StudyInstanceUID", uid_match, Level.SERIES) == [one.SeriesInstanceUID]


def test_derived_attributes_match_and_are_counted(database: Database) -> None:
    slide = make(Modality="SM")
    add(database, slide, sibling(slide))
    add(database, make(StudyInstanceUID=slide.StudyInstanceUID, Modality="SR"))
    other = make(Modality="CT")
    add(database, other)
    for match, found in (
        (ValueMatch(("SM",)), 1),
        (ValueMatch(("SM", "CT")), 2),
        (WildcardMatch("S*"), 1),
        (ValueMatch(("MR",)), 0),
    ):
        assert len(find(database, "ModalitiesInStudy", match)) == found
    sop_class = ValueMatch((str(slide.SOPClassUID),))
    assert len(find(database, "SOPClassesInStudy", sop_class)) == 2
    assert (
        len(find(database, "AvailableTransferSyntaxUID", ValueMatch((JPEG,)), Level.INSTANCE)) == 4
    )
    row = run(database, Query(Level.STUDY, study=slide.StudyInstanceUID)).rows[0]
    assert value(row, "00080061") == ["SM", "SR"]
    assert value(row, "00201206") == [2]
    assert value(row, "00201208") == [3]
    series = run(database, Query(Level.SERIES, study=slide.StudyInstanceUID)).rows
    assert [value(row, "00201209") for row in series] == [[2], [1]]


# --- what is returned -----------------------------------------------------------------------------


def test_required_attributes_are_returned_without_a_value_too(database: Database) -> None:
    dataset = make()
    del dataset.AccessionNumber
    add(database, dataset)
    row = run(database, Query(Level.STUDY)).rows[0]
    assert row.attributes["00080050"] == {"vr": "SH"}
    assert row.attributes["00080056"] == {"vr": "CS", "Value": ["ONLINE"]}
    assert list(row.attributes) == sorted(row.attributes)


def test_rows_have_what_the_levels_above_them_say_where_the_path_leaves_them_open(
    database: Database,
) -> None:
    dataset = make()
    add(database, dataset)
    study, series = dataset.StudyInstanceUID, dataset.SeriesInstanceUID
    patient, modality, rows_ = "00100020", "00080060", "00280010"
    at = run(database, Query(Level.INSTANCE)).rows[0].attributes
    assert {patient, modality, rows_} <= set(at)
    at = run(database, Query(Level.INSTANCE, study=study)).rows[0].attributes
    assert patient not in at
    assert {modality, rows_} <= set(at)
    at = run(database, Query(Level.INSTANCE, study=study, series=series)).rows[0].attributes
    assert modality not in at
    assert {rows_, "0020000D", "0020000E", "00400512", "00080008", "00480006"} <= set(at)
    at = run(database, Query(Level.SERIES)).rows[0].attributes
    assert {patient, modality, "00400512"} <= set(at)
    assert rows_ not in at


def test_any_attribute_of_an_instance_is_returned_when_it_is_asked_for(database: Database) -> None:
    dataset = make(ImagedVolumeWidth=12.5, Modality="SM")
    add(database, dataset)
    wanted = frozenset({("00480001",), ("00480105", "00280010"), ("00083002",), ("00080060",)})
    at = run(database, Query(Level.INSTANCE, study=dataset.StudyInstanceUID, include=wanted))
    row = at.rows[0]
    assert value(row, "00480001") == [12.5]
    assert value(row, "00480105")[0]["00480106"]["Value"] == ["1"]
    assert value(row, "00083002") == [JPEG]
    assert value(row, "00080060") == ["SM"]
    everything = run(database, Query(Level.INSTANCE, include_all=True)).rows[0].attributes
    assert set(dataset.to_json_dict()) <= set(everything)


def test_studies_say_nothing_of_what_is_below_them(database: Database) -> None:
    # PS3.18 §10.6.3.3.1: attributes of series or instances in includefield are not returned.
    add(database, make(ContainerIdentifier="A", StudyDescription="told"))
    asked = Query(Level.STUDY, include=frozenset({("00400512",), ("00280010",), ("00081030",)}))
    attributes = run(database, asked).rows[0].attributes
    assert "00081030" in attributes
    assert not {"00400512", "00280010"} & set(attributes)


# --- order and paging -----------------------------------------------------------------------------


def test_pages_follow_each_other_in_a_stable_order_the_newest_study_first(
    database: Database,
) -> None:
    made = [make(StudyDate=day) for day in ("20260101", "20260103", "", "20260103", "20260102")]
    add(database, *made)
    expected = [made[number].StudyInstanceUID for number in (3, 1, 4, 0, 2)]
    assert [row.study for row in run(database, Query(Level.STUDY)).rows] == expected
    paged: list[str] = []
    for offset in range(0, 6, 2):
        query = Query(Level.STUDY, limit=2, offset=offset)
        page = run(database, query)
        paged += [row.study for row in page.rows]
        assert page.more == (offset < 4)
        behind = max(5 - offset - 2, 0)
        with database.begin() as session:
            found = count_behind(session, query, Visibility.ALL, PageEnds())
            assert found == Remaining(behind, exact=True)
            few = count_behind(session, query, Visibility.ALL, PageEnds(), reach=Reach(counted=1))
            assert few == Remaining(min(behind, 1), exact=behind <= 1)
    assert paged == expected
    assert run(database, Query(Level.STUDY, limit=2, offset=50)).rows == []
    nothing = run(database, Query(Level.STUDY, limit=0))
    assert (list(nothing.rows), nothing.more) == ([], True)


def test_instances_come_in_the_order_they_were_stored(database: Database) -> None:
    first = make()
    made = [first, *(sibling(first, InstanceNumber=9 - n) for n in range(4))]
    add(database, *made)
    rows = run(database, Query(Level.INSTANCE)).rows
    assert [row.instance for row in rows] == [dataset.SOPInstanceUID for dataset in made]


# --- visibility -----------------------------------------------------------------------------------


def test_what_may_not_be_seen_is_not_found(database: Database) -> None:
    seen, hidden = make(), make()
    add(database, seen, hidden)
    with database.begin() as session:
        session.execute(
            text("UPDATE studies SET labels = '{mine}' WHERE study_uid = :uid"),
            {"uid": seen.StudyInstanceUID},
        )
    mine = Visibility(frozenset({"mine", "other"}))
    for level in Level:
        assert len(run(database, Query(level), mine).rows) == 1
        assert len(run(database, Query(level), Visibility.NONE).rows) == 0
        assert len(run(database, Query(level)).rows) == 2
        with database.begin() as session:
            found = count_behind(session, Query(level, limit=0), mine, PageEnds())
            assert found == Remaining(1, exact=True)
            hidden_too = (Query(level, limit=0), Visibility.NONE, PageEnds())
            assert count_behind(session, *hidden_too) == Remaining(0, exact=True)


# --- rows that fill up ----------------------------------------------------------------------------


def test_later_instances_fill_what_was_empty_and_change_nothing(database: Database) -> None:
    label = make(PatientID="", ContainerIdentifier="", StudyDescription="first")
    volume = sibling(label, PatientID="P-9", ContainerIdentifier="S-9", StudyDescription="second")
    add(database, label, volume)
    assert len(find(database, "PatientID", WildcardMatch("*-9"))) == 1
    assert len(find(database, "ContainerIdentifier", ValueMatch(("S-9",)), Level.SERIES)) == 1
    row = run(database, Query(Level.STUDY)).rows[0]
    assert value(row, "00081030") == ["first"]
    assert value(row, "00100020") == ["P-9"]


def test_values_that_no_column_can_hold_are_kept_and_do_not_match(database: Database) -> None:
    dataset = make()
    add(database, dataset)
    odd = make().to_json_dict()
    odd["00100020"] = {"vr": "LO", "Value": ["x" * 100_000]}
    odd["00080020"] = {"vr": "DA", "Value": ["not a day"]}
    odd["00200013"] = {"vr": "IS", "Value": ["not a number"]}
    odd["00100010"] = {"vr": "PN", "Value": [None]}
    odd["00081030"] = {"vr": "LO", "Value": ["a\0b"]}
    other = make()
    add(database, other, attributes=odd)
    rows = run(database, Query(Level.STUDY, study=other.StudyInstanceUID)).rows
    assert value(rows[0], "00080020") == ["not a day"]
    assert value(rows[0], "00081030") == ["ab"]
    assert len(find(database, "StudyDate", RangeMatch("0", None))) == 0
    assert len(find(database, "StudyDate", RangeMatch("00010101", None))) == 1
