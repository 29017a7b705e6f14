"""A slide file goes in, instances come out, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from archive.archive import open_archive
from archive.errors import InstanceConflict
from archive.fixity import verify
from archive.ingest import ingest_slide
from archive.model.attributes import BY_KEYWORD, Level
from archive.model.identifiers import ResourcePath
from archive.model.query import Query, QueryKey, ValueMatch
from auth import Visibility
from conversion import ConversionError, ConversionRequest
from tests.support.archives import BY
from tests.support.slides import make_svs

if TYPE_CHECKING:
    from pathlib import Path

    from archive.archive import Archive
    from archive.settings import Settings

ALL = Visibility.ALL
REQUEST = ConversionRequest(patient_id="P-7", accession="A-7", container_id="S-7")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "slide.svs"
    make_svs(path)
    return path


def test_a_slide_is_converted_stored_and_found(any_archive: Archive, slide: Path) -> None:
    told: list[float] = []
    outcome = ingest_slide(any_archive, slide, REQUEST, by=BY, progress=told.append)
    assert outcome.stored == len(outcome.manifest.instances) > 1
    assert outcome.already_stored == 0
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    key = QueryKey(BY_KEYWORD["ContainerIdentifier"], ValueMatch(("S-7",)))
    rows = any_archive.search(Query(Level.STUDY, keys=(key,)), visible=ALL).rows
    assert [row.study for row in rows] == [outcome.manifest.study_uid]
    instances = any_archive.instances(ResourcePath.parse(rows[0].study), visible=ALL)
    made = outcome.manifest.instances
    assert [i.path.instance for i in instances] == [one.instance_uid for one in made]
    assert [i.sha256 for i in instances] == [one.sha256 for one in made]
    assert verify(any_archive, by=BY, grace=timedelta(0)).ok


def test_the_same_slide_again_adds_nothing(any_archive: Archive, slide: Path) -> None:
    first = ingest_slide(any_archive, slide, REQUEST, by=BY)
    again = ingest_slide(any_archive, slide, REQUEST, by=BY)
    assert (again.stored, again.already_stored) == (0, first.stored)
    report = verify(any_archive, by=BY, grace=timedelta(0))
    assert (report.checked, report.stray.count) == (first.stored, 0)


def test_nothing_is_left_of_a_slide_that_is_none(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "no.svs"
    path.write_bytes(b"this is no slide" * 100)
    with pytest.raises(ConversionError):
        ingest_slide(archive, path, REQUEST, by=BY)
    assert list(archive.blobs.keys()) == []
    assert [
        p for p in archive.staging.folder.rglob("*") if p.is_file() and p.suffix != ".lock"
    ] == []


def test_a_uid_that_other_content_has_ends_in_an_error(archive: Archive, slide: Path) -> None:
    from sqlalchemy import text

    ingest_slide(archive, slide, REQUEST, by=BY)
    with archive.database.begin() as session:
        session.execute(text("UPDATE instances SET sha256 = repeat('0', 64)"))
    with pytest.raises(InstanceConflict):
        ingest_slide(archive, slide, REQUEST, by=BY)


def test_a_conversion_that_is_told_to_stop_stops(archive: Archive, slide: Path) -> None:
    with pytest.raises(ConversionError):
        ingest_slide(archive, slide, REQUEST, by=BY, cancelled=lambda: True)
    assert list(archive.blobs.keys()) == []


def test_little_memory_for_the_child_is_an_error_and_not_the_end(
    settings: Settings, slide: Path
) -> None:
    small = settings.model_copy(update={"conversion_memory_bytes": 64 * 1024**2})
    with open_archive(small) as archive:
        with pytest.raises(ConversionError):
            ingest_slide(archive, slide, REQUEST, by=BY)
        archive.ready()
