"""The Search transaction, QIDO-RS: keys, matching, paging and results (PS3.18 §10.6)."""

import re
from collections.abc import Callable

from conformance.checks.bench import (
    JSON,
    Bench,
    escaped,
    expect,
    expect_status,
    expect_type,
    tag_of,
    uids,
    value,
    values,
)
from conformance.checks.registry import Category
from conformance.checks.samples import Sample

search = Category("Search")

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"

# PS3.18 Table 10.6.1-5: keyword, and what of the second listed sample it is to match.
STUDY_KEYS = {
    "StudyDate": lambda one: one.StudyDate,
    "StudyTime": lambda one: one.StudyTime,
    "AccessionNumber": lambda one: one.AccessionNumber,
    "ModalitiesInStudy": lambda one: one.Modality,
    "ReferringPhysicianName": lambda one: one.ReferringPhysicianName,
    "PatientName": lambda one: one.PatientName,
    "PatientID": lambda one: one.PatientID,
    "StudyInstanceUID": lambda one: one.StudyInstanceUID,
    "StudyID": lambda one: one.StudyID,
}
SERIES_KEYS = {
    "Modality": lambda one: one.Modality,
    "SeriesInstanceUID": lambda one: one.SeriesInstanceUID,
    "SeriesNumber": lambda one: one.SeriesNumber,
    "PerformedProcedureStepStartDate": lambda one: one.PerformedProcedureStepStartDate,
    "PerformedProcedureStepStartTime": lambda one: one.PerformedProcedureStepStartTime,
    "RequestAttributesSequence.ScheduledProcedureStepID": lambda one: (
        one.RequestAttributesSequence[0].ScheduledProcedureStepID
    ),
    "RequestAttributesSequence.RequestedProcedureID": lambda one: (
        one.RequestAttributesSequence[0].RequestedProcedureID
    ),
}
INSTANCE_KEYS = {
    "SOPClassUID": lambda one: one.SOPClassUID,
    "SOPInstanceUID": lambda one: one.SOPInstanceUID,
    "InstanceNumber": lambda one: one.InstanceNumber,
}
SECOND = 1
"""The sample that the keys are taken from; no other has the same, but for the patient's."""
SHARED_BY = {"PatientID": range(5), "ModalitiesInStudy": (1, 3), "Modality": (1, 3)}
SHARED_BY_ALL = {"SOPClassUID"}


def _expected(bench: Bench, keyword: str) -> list[Sample]:
    if keyword in SHARED_BY_ALL:
        return bench.listed
    return [bench.listed[index] for index in SHARED_BY.get(keyword, (SECOND,))]


def _finds(
    path: str, keyword: str, of: Callable[..., object], tag: str, *, as_tags: bool
) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        key = ".".join(map(tag_of, keyword.split("."))) if as_tags else keyword
        query = f"{key}={escaped(str(of(bench.listed[SECOND].dataset)))}"
        if keyword != "PatientID":
            query += f"&PatientID={bench.listed_patient}"
        found = uids(bench.search(path, query), tag)
        wanted = [
            {STUDY: one.study, SERIES: one.series, INSTANCE: one.uid}[tag]
            for one in _expected(bench, keyword)
        ]
        expect(
            sorted(found) == sorted(wanted), f"{len(found)} found, not the {len(wanted)} there are"
        )

    return run


def _register_keys() -> None:
    levels = (
        ("studies", "/studies", STUDY, STUDY_KEYS),
        ("series", "/series", SERIES, SERIES_KEYS),
        ("instances", "/instances", INSTANCE, INSTANCE_KEYS),
    )
    for level, path, tag, keys in levels:
        for keyword, of in keys.items():
            search.add(
                f"{level} by {keyword}",
                "PS3.18 Table 10.6.1-5",
                f"{level} are found by {keyword}",
                _finds(path, keyword, of, tag, as_tags=False),
            )
    for keyword, of in {**STUDY_KEYS, **SERIES_KEYS}.items():
        if keyword in {"StudyInstanceUID", "PatientID"}:
            search.add(
                f"series by {keyword}",
                "PS3.18 Table 10.6.1-4",
                f"series of all studies are found by the study's {keyword}",
                _finds("/series", keyword, of, SERIES, as_tags=False),
            )
    for keyword, of in (
        ("AccessionNumber", STUDY_KEYS["AccessionNumber"]),
        ("PatientName", STUDY_KEYS["PatientName"]),
        (
            "RequestAttributesSequence.RequestedProcedureID",
            SERIES_KEYS["RequestAttributesSequence.RequestedProcedureID"],
        ),
    ):
        tag, path = (STUDY, "/studies") if keyword in STUDY_KEYS else (SERIES, "/series")
        search.add(
            f"keys as tags {keyword}",
            "PS3.18 §8.3.4.1",
            f"{keyword} may be written with tags",
            _finds(path, keyword, of, tag, as_tags=True),
        )


_register_keys()


# --- resources ----------------------------------------------------------------------------------


def _register_resources() -> None:
    paths: dict[str, tuple[Callable[[Sample], str], str]] = {
        "all studies": (lambda one: "/studies", STUDY),
        "the series of a study": (lambda one: f"{one.study_path}/series", SERIES),
        "the instances of a study": (lambda one: f"{one.study_path}/instances", INSTANCE),
        "all series": (lambda one: "/series", SERIES),
        "the instances of a series": (lambda one: f"{one.series_path}/instances", INSTANCE),
        "all instances": (lambda one: "/instances", INSTANCE),
    }
    for name, (path_of, tag) in paths.items():

        def run(bench: Bench, path_of: Callable[[Sample], str] = path_of, tag: str = tag) -> None:
            sample = bench.listed[SECOND]
            path = path_of(sample)
            query = "" if sample.study in path else f"StudyInstanceUID={sample.study}"
            found = uids(bench.search(path, query), tag)
            wanted = {STUDY: sample.study, SERIES: sample.series, INSTANCE: sample.uid}[tag]
            expect(found == [wanted], f"{len(found)} found, not the 1 there is")

        search.add(name, "PS3.18 Table 10.6.1-1", f"{name} can be searched", run)


_register_resources()


# --- what a row has -----------------------------------------------------------------------------

# PS3.18 Tables 10.6.3-3, -4 and -5: required ones, and those whose condition holds here.
STUDY_ROW = [
    "00080020",
    "00080030",
    "00080050",
    "00080061",
    "00080090",
    "00081190",
    "00100010",
    "00100020",
    "00100030",
    "00100040",
    "0020000D",
    "00200010",
    "00201206",
    "00201208",
]
SERIES_ROW = [
    "00080060",
    "0008103E",
    "00081190",
    "0020000E",
    "00200011",
    "00201209",
    "00400244",
    "00400245",
    "00400275",
]
INSTANCE_ROW = ["00080016", "00080018", "00081190", "00200013", "00280010", "00280011", "00280100"]


def _row(bench: Bench, path: str, query: str = "") -> dict[str, dict[str, object]]:
    sample = bench.listed[SECOND]
    rows = bench.search(path, f"StudyInstanceUID={sample.study}{query}")
    expect(len(rows) == 1, f"{len(rows)} rows, not 1")
    return rows[0]


def _has(row: dict[str, dict[str, object]], tags: list[str]) -> None:
    missing = [tag for tag in tags if tag not in row]
    expect(not missing, f"the row lacks {' '.join(missing)}")


@search.standard("PS3.18 Table 10.6.3-3", "a study's row has every required attribute")
def study_row(bench: Bench) -> None:
    _has(_row(bench, "/studies"), STUDY_ROW)


@search.standard("PS3.18 Table 10.6.3-4", "a series' row has every required and known attribute")
def series_row(bench: Bench) -> None:
    _has(_row(bench, "/series"), SERIES_ROW)


@search.standard(
    "PS3.18 Table 10.6.3-5", "an instance's row has every required and known attribute"
)
def instance_row(bench: Bench) -> None:
    _has(_row(bench, "/instances"), INSTANCE_ROW)


@search.standard("PS3.18 Table 10.6.3-5", "the row of a multi-frame instance has Number of Frames")
def number_of_frames(bench: Bench) -> None:
    rows = bench.search("/instances", f"SOPInstanceUID={bench.slide.uid}")
    expect(
        [value(row, "00280008") for row in rows] in [[6], ["6"]], "no Number of Frames, or not 6"
    )


@search.standard("PS3.18 §10.6.3.3.2", "rows of all series have the study's attributes, too")
def study_attributes_of_all_series(bench: Bench) -> None:
    _has(_row(bench, "/series"), [tag for tag in STUDY_ROW if tag != "00081190"])


@search.standard("PS3.18 Table 10.6.3-3", "counts and modalities of a study are those it has")
def counts(bench: Bench) -> None:
    slide = bench.slide
    kept = [one for one in bench.stored() if one.study == slide.study]
    (row,) = bench.search("/studies", f"StudyInstanceUID={slide.study}")
    expect(value(row, "00201208") in {len(kept), str(len(kept))}, "not the number of instances")
    series = len({one.series for one in kept})
    expect(value(row, "00201206") in {series, str(series)}, "not the number of series")
    modalities = {str(one.dataset.Modality) for one in kept}
    expect(set(map(str, values(row, "00080061"))) == modalities, "not the modalities")


@search.standard(
    "PS3.18 Table 10.6.3-3", "the Retrieve URL of a row leads to what the row is about"
)
def retrieve_urls(bench: Bench) -> None:
    for path in ("/studies", "/series", "/instances"):
        url = value(_row(bench, path), "00081190")
        expect(isinstance(url, str), f"no Retrieve URL in a row of {path}")
        expect_status(bench.get(str(url), "multipart/related; type=application/dicom"), 200)


@search.standard("PS3.18 §8.3.4.3", "includefield adds attributes, by keyword and by tag")
def include_field(bench: Bench) -> None:
    _has(_row(bench, "/studies", "&includefield=StudyDescription"), ["00081030"])
    _has(_row(bench, "/studies", "&includefield=00081030"), ["00081030"])


@search.standard("PS3.18 §8.3.4.3", "includefield takes a list, and may be repeated")
def include_fields(bench: Bench) -> None:
    added = ["00081030", "00100030"]
    _has(_row(bench, "/studies", "&includefield=00081030,00100030"), added)
    _has(_row(bench, "/studies", "&includefield=00081030&includefield=00100030"), added)


@search.client(
    "OHIF 3.13 and dcmjs dicomweb-client 0.11", "the commas of includefield may be percent-encoded"
)
def encoded_include_fields(bench: Bench) -> None:
    _has(_row(bench, "/studies", "&includefield=00081030%2C00100030"), ["00081030", "00100030"])


@search.standard("PS3.18 §10.6.3.3.1", "includefield=all adds what there is")
def include_all(bench: Bench) -> None:
    _has(_row(bench, "/studies", "&includefield=all"), [*STUDY_ROW, "00081030"])
    _has(_row(bench, "/instances", "&includefield=all"), INSTANCE_ROW)


@search.standard(
    "PS3.18 §10.6.3.3.3", "rows of instances have included attributes of series and study"
)
def included_of_levels_above(bench: Bench) -> None:
    path = bench.listed[SECOND].study_path + "/instances"
    (row,) = bench.search(path, "includefield=0008103E,00081030,PatientName")
    _has(row, ["0008103E", "00081030", "00100010"])


@search.standard(
    "PS3.18 §10.6.3.3.1", "attributes of levels below are not returned in rows of studies"
)
def included_of_levels_below(bench: Bench) -> None:
    row = _row(bench, "/studies", "&includefield=00080018,0020000E")
    expect("00080018" not in row, "a study's row has a SOP Instance UID")
    expect("0020000E" not in row, "a study's row has a Series Instance UID")


@search.standard("PS3.18 §10.6.3.3", "attributes passed as match keys are in the rows")
def keys_are_returned(bench: Bench) -> None:
    number = bench.listed[SECOND].dataset.InstanceNumber
    _has(_row(bench, "/instances", f"&InstanceNumber={number}"), ["00200013"])


# --- matching -----------------------------------------------------------------------------------


def _studies(bench: Bench, query: str) -> list[int]:
    """Search among the listed studies; gives their numbers, from one on."""
    found = uids(bench.search("/studies", f"PatientID={bench.listed_patient}&{query}"))
    order = [one.study for one in bench.listed]
    expect(set(found) <= set(order), "the result has studies that were not asked for")
    return sorted(order.index(uid) + 1 for uid in found)


def _matches(name: str, cites: str, demand: str, query: str, *numbers: int) -> None:
    def run(bench: Bench) -> None:
        got = _studies(bench, query)
        expect(
            got == list(numbers), f"{query} finds {got}, not {list(numbers)} of the five studies"
        )

    search.add(name, cites, demand, run)


_RANGE, _WILD = "PS3.4 §C.2.2.2.5", "PS3.4 §C.2.2.2.4"
_matches("date range", _RANGE, "a range of dates", "StudyDate=20200102-20200104", 2, 3, 4)
_matches("open range up", _RANGE, "a range without an end", "StudyDate=20200104-", 4, 5)
_matches("open range down", _RANGE, "a range without a beginning", "StudyDate=-20200102", 1, 2)
_matches("time range", _RANGE, "a range of times", "StudyTime=023000-043001", 2, 3, 4)
_matches("star", _WILD, "* matches any characters", "PatientName=Adam*", 1, 2)
_matches("star in front", _WILD, "* may come first", "PatientName=*on%5ECheck", 2)
_matches("star inside", _WILD, "* may be inside", "PatientName=A*%5ECheck", 1, 2)
_matches("question mark", _WILD, "? matches one character", "StudyID=ID?", 1, 2, 3, 4, 5)
_matches("question marks", _WILD, "? matches exactly one", "AccessionNumber=L?", *())
_matches("single star", _WILD, "* alone is universal", "PatientName=*", 1, 2, 3, 4, 5)
_matches("no value", "PS3.4 §C.2.2.2.3", "an empty key is universal", "PatientName=", 1, 2, 3, 4, 5)
_matches("percent sign", _WILD, "% is no wildcard", "PatientName=100%25%5FSure*", 3)
_matches("underscore", _WILD, "_ is no wildcard", "StudyID=ID%5F", *())
_matches("percent alone", _WILD, "% matches a percent sign only", "PatientName=%25", *())
_matches("two keys", "PS3.4 §C.2.2.2", "all keys must match", "StudyID=ID2&ModalitiesInStudy=XC")
_matches("encoded star", "RFC 3986 §2.1", "%2A is a star", "PatientName=Adam%2A", 1, 2)
_matches("encoded caret", "RFC 3986 §2.1", "%5E is a caret", "PatientName=Adams%5ECheck", 1)
_matches(
    "fuzzy matching", "PS3.18 §8.3.4.2", "fuzzymatching=true is no error",
    "PatientName=Adams*&fuzzymatching=true", 1, 2,
)  # fmt: skip
_matches(
    "no fuzzy matching", "PS3.18 §8.3.4.2", "fuzzymatching=false is literal",
    "PatientName=Brown*&fuzzymatching=false", 5,
)  # fmt: skip


@search.standard("PS3.18 §8.3.4.1", "several UIDs are one key, separated by commas")
def uid_list(bench: Bench) -> None:
    wanted = [bench.listed[0].study, bench.listed[3].study]
    for comma in (",", "%2C"):
        found = uids(bench.search("/studies", "StudyInstanceUID=" + comma.join(wanted)))
        expect(sorted(found) == sorted(wanted), f"{len(found)} of the 2 with the comma as {comma}")


@search.standard("PS3.18 §8.3.4.2", "fuzzy matching that is not supported is said in a Warning")
def fuzzy_matching_or_warning(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&PatientName=check%20brown&fuzzymatching=true"
    answer = bench.get("/studies", JSON, query=query)
    expect_status(answer, 200, 204)
    expect(
        answer.status == 200 or "299" in (answer.header("warning") or ""),
        "no fuzzy match for the parts of a name in another order and case, and no Warning",
    )


@search.client("requests, urlencode: dicomweb-client (Python) 0.61", "a plus is a space")
def plus_is_a_space(bench: Bench) -> None:
    query = f"StudyInstanceUID={bench.slide.study}&StudyDescription=Checks+{bench.maker.tag}"
    expect(len(bench.search("/studies", query)) == 1, "not found with + for the space")


@search.standard("PS3.18 §8.3.4.1, RFC 3986 §2.5", "names that are not ASCII are found in UTF-8")
def names_in_utf8(bench: Bench) -> None:
    for name, beginning in (("latin", "Äneas"), ("cyrillic", "Люкc"), ("greek", "Διον")):
        sample = bench[name]
        query = f"PatientID={sample.dataset.PatientID}&PatientName={escaped(beginning)}*"
        expect(len(bench.search("/studies", query)) == 1, f"{beginning}* is not found")


@search.standard("PS3.4 §C.2.2.2.1, PS3.5 §6.2.1", "a name is found by its ideographic group")
def names_by_ideographs(bench: Bench) -> None:
    for name in ("japanese", "korean", "chinese", "unicode"):
        sample = bench[name]
        group = str(sample.dataset.PatientName).split("=")[1]
        query = f"PatientID={sample.dataset.PatientID}&PatientName=*{escaped(group)}*"
        expect(len(bench.search("/studies", query)) == 1, f"{group} is not found ({name})")


@search.standard("PS3.18 §10.6.3.1", "a date that is none is 400, or matches nothing")
def impossible_date(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&StudyDate=yesterday"
    expect_status(bench.get("/studies", JSON, query=query), 400, 204)


@search.standard("PS3.4 §C.2.2.2.1", "%00 does not match everything")
def null_character(bench: Bench) -> None:
    answer = bench.get("/studies", JSON, query="PatientID=%00")
    expect(
        answer.status in {204, 400} or (answer.status == 200 and answer.json() == []),
        f"{answer} for a key that no study has",
    )


# --- pages --------------------------------------------------------------------------------------


def _page(bench: Bench, query: str) -> list[str]:
    return uids(bench.search("/studies", f"PatientID={bench.listed_patient}&{query}"))


@search.standard("PS3.18 §8.3.4.4", "limit and offset cut one stable order into pages")
def pages(bench: Bench) -> None:
    pages = [_page(bench, f"limit=2&offset={offset}") for offset in (0, 2, 4)]
    expect([len(page) for page in pages] == [2, 2, 1], f"pages of {[len(page) for page in pages]}")
    together = [uid for page in pages for uid in page]
    expect(sorted(together) == sorted(one.study for one in bench.listed), "not every study once")
    expect(together == _page(bench, "limit=100"), "the pages are in another order than the whole")


@search.standard("PS3.18 §8.3.4.4.1", "a Warning tells how many results remain")
def remaining(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&limit=2"
    answer = bench.get("/studies", JSON, query=query)
    expect_status(answer, 200)
    warning = answer.header("warning") or ""
    expect(re.search(r"\b299\b", warning), f"no Warning 299: {warning!r}")
    expect(re.search(r"\b3\b", warning.partition("299")[2]), f"not “3 additional”: {warning!r}")


@search.standard("PS3.18 §8.3.4.4.1", "without remaining results there is no such Warning")
def nothing_remaining(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&limit=5"
    answer = bench.get("/studies", JSON, query=query)
    expect_status(answer, 200)
    expect("additional" not in (answer.header("warning") or ""), "a Warning of none")


@search.standard("PS3.18 §8.3.4.4.1", "past the last result there is 204")
def past_the_end(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&offset=5"
    expect_status(bench.get("/studies", JSON, query=query), 204)


@search.standard("PS3.18 §8.3.4.4.1", "without a match there is 204, and no body")
def no_match(bench: Bench) -> None:
    answer = bench.get("/studies", JSON, query=f"PatientID=nobody-{bench.maker.tag}")
    expect_status(answer, 204)
    expect(not answer.body, "204 with a body")


@search.standard("PS3.18 §8.3.4.4.1", "limit=0 leaves no result: 204")
def limit_of_zero(bench: Bench) -> None:
    query = f"PatientID={bench.listed_patient}&limit=0"
    expect_status(bench.get("/studies", JSON, query=query), 204)


@search.standard(
    "PS3.18 §8.3.4.4, §10.6.3.1", "limit and offset that are no unsigned integers are 400"
)
def bad_limits(bench: Bench) -> None:
    for query in ("limit=-1", "offset=-1", "limit=many", "limit=1.5"):
        answer = bench.get("/studies", JSON, query=query)
        expect(answer.status == 400, f"{query}: {answer}, not 400")


@search.client(
    "dicomweb-client (Python) 0.61, get_remaining", "pages are asked for until one is empty"
)
def paging_of_dicomweb_client(bench: Bench) -> None:
    offset, found = 0, 0
    while rows := _page(bench, f"limit=2&offset={offset}"):
        found += len(rows)
        offset += len(rows)
        expect(found <= 5, "more results than there are")
    expect(found == 5, f"{found} results, not 5")


# --- results ------------------------------------------------------------------------------------


@search.standard("PS3.18 §10.6.1", "results come as application/dicom+json")
def results_in_json(bench: Bench) -> None:
    answer = bench.get("/studies", JSON, query=f"PatientID={bench.listed_patient}")
    expect_status(answer, 200)
    expect_type(answer, JSON)
    expect(isinstance(answer.json(), list), "no array")


@search.standard("PS3.18 §10.6.1", "results come as application/dicom+xml, one part each")
def results_in_xml(bench: Bench) -> None:
    accept = 'multipart/related; type="application/dicom+xml"'
    answer = bench.get("/studies", accept, query=f"PatientID={bench.listed_patient}")
    expect_status(answer, 200)
    parts = answer.parts
    expect(len(parts) == 5, f"{len(parts)} parts, not 5")
    expect(all(b"NativeDicomModel" in part.content for part in parts), "no Native DICOM Model")


@search.standard("PS3.18 §F.2.2", "rows are in the order of their tags")
def rows_are_ordered(bench: Bench) -> None:
    for path in ("/studies", "/series", "/instances"):
        row = _row(bench, path)
        expect(list(row) == sorted(row), f"a row of {path} is not in ascending order")
