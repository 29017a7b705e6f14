"""Attributes that a site adds to search, from its settings to matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset

from archive import reindexing
from archive.archive import open_archive
from archive.catalog.additions import site_attribute
from archive.model.attributes import Level
from archive.model.identifiers import ResourcePath
from archive.model.query import (
    EmptyMatch,
    EveryMatch,
    Match,
    Query,
    QueryKey,
    RangeMatch,
    ValueMatch,
    WildcardMatch,
)
from archive.settings import Settings
from auth import Forbidden, Principal, Visibility
from tests.support.archives import BY, path_of, store
from tests.support.dicom_files import jpeg_slide

if TYPE_CHECKING:
    from archive.archive import Archive

NAMES = (
    "PatientComments",  # LT, of the study
    "OperatorsName",  # PN, of the series
    "AcquisitionDateTime",  # DT, of the instance
    "ImagedVolumeWidth",  # FL
    "LossyImageCompressionMethod",  # CS, several
    "OpticalPathSequence.ObjectiveLensPower",  # DS
    "OpticalPathSequence.LightPathFilterTypeStackCodeSequence.CodeValue",  # SH, two deep
)
LENS, FILTER = NAMES[-2:]


def with_names(settings: Settings, *names: str) -> Settings:
    return settings.model_copy(update={"search_attributes": names})


def optical_path(lens: str, code: str) -> Dataset:
    path, filter_ = Dataset(), Dataset()
    path.OpticalPathIdentifier = lens
    path.ObjectiveLensPower = lens
    filter_.CodeValue = code
    path.LightPathFilterTypeStackCodeSequence = [filter_]
    return path


def found(
    archive: Archive, level: Level, matches: dict[str, Match], *, fuzzy: bool = False
) -> list[str | None]:
    known = {attribute.keyword: attribute for attribute in archive.site_attributes().values()}
    keys = tuple(QueryKey(known[keyword], match) for keyword, match in matches.items())
    page = archive.search(Query(level, keys=keys, fuzzy=fuzzy), visible=Visibility.ALL)
    return [row.instance or row.series or row.study for row in page.rows]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Rubbish", "no attribute"),
        ("00091001", "no attribute"),
        ("PatientID", "already"),
        ("PixelData", "no values"),
        ("OpticalPathSequence", "no values"),
        ("PatientID.CodeValue", "no values"),
    ],
)
def test_what_cannot_be_added_is_refused_by_the_settings(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(search_attributes=f"OperatorsName, {text}")  # type: ignore[arg-type]


def test_names_of_the_settings_are_keywords_and_tags_and_each_counts_once() -> None:
    given = Settings(search_attributes="OperatorsName, 00081070,,PatientComments ")  # type: ignore[arg-type]
    assert [site_attribute(text).path for text in given.search_attributes] == [
        ("00081070",),
        ("00104000",),
    ]


def test_added_attributes_match_by_their_kind_at_every_level(settings: Settings) -> None:
    one = jpeg_slide(
        PatientComments="seen 100% by all",
        OperatorsName=["Müller^Jörg", "Smith^Ann"],
        AcquisitionDateTime="20260102101500+0200",
        ImagedVolumeWidth=12.5,
        LossyImageCompressionMethod=["ISO_10918_1", "ISO_15444_1"],
        OpticalPathSequence=[optical_path("20", "A"), optical_path("40.0", "B")],
    )
    other = jpeg_slide(ImagedVolumeWidth=13)
    with open_archive(with_names(settings, *NAMES)) as archive:
        for made in (one, other):
            assert store(archive, made.content).failure is None

        def matches(keyword: str, match: Match, *, fuzzy: bool = False) -> bool:
            answers = set()
            paths = path_of(one.dataset)
            for level, uid in zip(Level, (paths.study, paths.series, paths.instance), strict=True):
                answer = found(archive, level, {keyword: match}, fuzzy=fuzzy)
                assert answer in ([], [uid]), keyword
                answers.add(bool(answer))
            assert len(answers) == 1
            return answers.pop()

        assert matches("PatientComments", ValueMatch(("seen 100% by all",)))
        assert matches("PatientComments", WildcardMatch("*100%*"))
        assert not matches("PatientComments", WildcardMatch("seen 100_*"))
        assert matches("OperatorsName", ValueMatch(("muller^jorg",)))
        assert matches("OperatorsName", WildcardMatch("*^ann"))
        assert matches("OperatorsName", ValueMatch(("an smi",)), fuzzy=True)
        assert not matches("OperatorsName", ValueMatch(("an mull",)), fuzzy=True)
        assert matches("AcquisitionDateTime", ValueMatch(("2026010208",)))  # UTC
        assert matches("AcquisitionDateTime", RangeMatch("20260102081500", "20260102"))
        assert not matches("AcquisitionDateTime", RangeMatch("2026010209", None))
        assert matches("ImagedVolumeWidth", ValueMatch(("12.50", "1")))
        method = "LossyImageCompressionMethod"
        assert matches(method, EveryMatch(("ISO_15444_1", "ISO_10918_1")))
        assert not matches(method, EveryMatch(("ISO_15444_1", "other")))
        assert matches(LENS, ValueMatch(("40",)))
        assert not matches(LENS, ValueMatch(("63",)))
        level = Level.INSTANCE
        in_one = {LENS: ValueMatch(("40",)), FILTER: ValueMatch(("B",))}
        in_two = {LENS: ValueMatch(("40",)), FILTER: ValueMatch(("A",))}
        assert found(archive, level, dict(in_one)) == [one.uid]
        assert found(archive, level, dict(in_two)) == []
        assert found(archive, level, {"OperatorsName": EmptyMatch()}) == [other.uid]


def test_an_attribute_can_be_searched_by_once_all_is_indexed(settings: Settings) -> None:
    slide = jpeg_slide(PatientComments="known", OperatorsName="Doe^Jane")
    named = with_names(settings, "PatientComments")
    with open_archive(settings) as archive:
        store(archive, slide.content)
    with open_archive(named) as archive:
        later = jpeg_slide(PatientComments="known")
        store(archive, later.content)
        assert archive.site_attributes() == {}
        with pytest.raises(Forbidden):
            reindexing.reindex(archive, by=Principal.anonymous())
        report = reindexing.reindex(archive, by=BY)
        assert report.rows == 6
        match: dict[str, Match] = {"PatientComments": ValueMatch(("known",))}
        assert set(found(archive, Level.INSTANCE, match)) == {slide.uid, later.uid}
    with open_archive(with_names(settings, "OperatorsName")) as archive:
        assert archive.site_attributes() == {}
        reindexing.reindex(archive, by=BY)
        match = {"OperatorsName": WildcardMatch("doe*")}
        assert found(archive, Level.INSTANCE, match) == [slide.uid]
    with open_archive(named) as archive:
        assert archive.site_attributes() == {}  # what came meanwhile has not been indexed by it


def test_what_a_deleted_instance_told_is_found_no_more(settings: Settings) -> None:
    first = jpeg_slide(PatientComments="of the first")
    second = jpeg_slide(
        StudyInstanceUID=first.dataset.StudyInstanceUID, PatientComments="of the second"
    )
    with open_archive(with_names(settings, "PatientComments")) as archive:
        for made in (first, second):
            store(archive, made.content)
        path = path_of(first.dataset)
        resource = ResourcePath(path.study, path.series, path.instance)
        archive.delete(resource, by=Principal.operator(), reason="a test")
        for text, hits in (("of the first", 0), ("of the second", 1)):
            match: dict[str, Match] = {"PatientComments": ValueMatch((text,))}
            assert len(found(archive, Level.STUDY, match)) == hits
