"""Store: what is kept, what is refused, and what is left when something fails."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from archive.archive import Archive, open_archive
from archive.catalog.database import Database
from archive.errors import BlobsUnavailable, CatalogUnavailable, NotFound, StagingFull
from archive.fixity import verify
from archive.model import reasons
from archive.model.attributes import Level
from archive.model.identifiers import ResourcePath, StudyUid
from archive.model.instances import Origin, StoreStatus
from archive.model.query import Query
from auth import Visibility
from tests.support.archives import BY, minio_settings, path_of, stage, store
from tests.support.dicom_files import MadeFile, jpeg_slide
from tests.support.minio_server import MinioServer
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from archive.settings import Settings

ALL = Visibility.ALL


def count(archive: Archive, table: str) -> int:
    with archive.database.begin() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


def other_content(made: MadeFile) -> bytes:
    """The same instance with another patient."""
    dataset = made.dataset
    uids = {
        keyword: getattr(dataset, keyword)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    }
    return jpeg_slide(PatientID="another", **uids).content


def litter(archive: Archive) -> int:
    return len(list(archive.blobs.keys())) - count(archive, "instances")


def test_an_instance_that_was_stored_is_served_byte_for_byte(any_archive: Archive) -> None:
    made = jpeg_slide()
    outcome = store(any_archive, made.content)
    assert outcome.status is StoreStatus.STORED
    assert outcome.path == path_of(made.dataset)
    instance = any_archive.locate(path_of(made.dataset), visible=ALL)
    with any_archive.open(instance) as file:
        assert file.read() == made.content
    assert list(any_archive.frames(instance, [6, 1])) == [made.frames[5], made.frames[0]]


def test_the_staged_file_is_gone_whatever_came_of_it(archive: Archive) -> None:
    for content in (jpeg_slide().content, b"no DICOM at all"):
        staged = stage(archive, content)
        archive.store(staged, by=BY, origin=Origin.STOW)
        assert not staged.path.exists()


def test_the_same_instance_again_is_already_stored(any_archive: Archive) -> None:
    made = jpeg_slide()
    store(any_archive, made.content)
    assert store(any_archive, made.content).status is StoreStatus.ALREADY_STORED
    assert count(any_archive, "instances") == 1
    assert count(any_archive, "change_feed") == 1
    assert litter(any_archive) == 0


def test_the_same_uid_with_other_content_is_refused_and_the_first_stays(
    any_archive: Archive,
) -> None:
    made = jpeg_slide()
    store(any_archive, made.content)
    in_another_study = jpeg_slide(SOPInstanceUID=made.uid)
    for content in (other_content(made), in_another_study.content):
        outcome = store(any_archive, content)
        assert outcome.status is StoreStatus.REJECTED
        assert outcome.failure == reasons.DUPLICATE_SOP_INSTANCE
    instance = any_archive.locate(path_of(made.dataset), visible=ALL)
    with any_archive.open(instance) as file:
        assert file.read() == made.content
    with pytest.raises(NotFound):
        any_archive.locate(path_of(in_another_study.dataset), visible=ALL)
    assert litter(any_archive) == 0


def test_an_instance_of_another_study_than_the_request_names_is_refused(archive: Archive) -> None:
    made = jpeg_slide()
    outcome = store(archive, made.content, study=StudyUid("1.2.3"))
    assert outcome.failure == reasons.OF_ANOTHER_STUDY
    assert outcome.path == path_of(made.dataset)
    assert count(archive, "instances") == 0
    study = StudyUid(made.dataset.StudyInstanceUID)
    assert store(archive, made.content, study=study).status is StoreStatus.STORED


def test_what_is_no_instance_is_refused_with_a_reason_and_a_trace(archive: Archive) -> None:
    made = jpeg_slide()
    for content in (b"", b"x" * 500, made.content[:300], made.content[:-200]):
        outcome = store(archive, content)
        assert outcome.status is StoreStatus.REJECTED
        assert outcome.failure is not None
        assert outcome.detail
    assert count(archive, "audit_events WHERE outcome = 'failure'") == 4
    assert list(archive.blobs.keys()) == []
    without_study = jpeg_slide(StudyInstanceUID="")
    outcome = store(archive, without_study.content)
    assert outcome.failure == reasons.MISSING_ATTRIBUTE
    assert outcome.sop_instance_uid == without_study.uid


def test_what_was_stored_says_who_when_and_by_which_door(archive: Archive) -> None:
    made = jpeg_slide()
    store(archive, made.content)
    with archive.database.begin() as session:
        row = session.execute(text("SELECT * FROM audit_events")).mappings().one()
    assert (row["principal_id"], row["action"], row["outcome"]) == (BY.id, "store:stow", "success")
    assert row["instance_uid"] == made.uid
    assert "Specimen" not in row["detail"]


def test_many_instances_of_one_study_at_once_are_all_kept(any_archive: Archive) -> None:
    first = jpeg_slide()
    study, series = first.dataset.StudyInstanceUID, first.dataset.SeriesInstanceUID
    made = [first] + [
        jpeg_slide(StudyInstanceUID=study, SeriesInstanceUID=series, PatientID=f"P-{n % 2}")
        for n in range(11)
    ]
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda one: store(any_archive, one.content), made))
    assert {outcome.status for outcome in outcomes} == {StoreStatus.STORED}
    resource = ResourcePath.parse(study, series)
    assert len(any_archive.instances(resource, visible=ALL)) == 12
    assert len(any_archive.search(Query(Level.STUDY), visible=ALL).rows) == 1


def test_one_uid_sent_by_many_at_once_is_kept_once(any_archive: Archive) -> None:
    made = jpeg_slide()
    contents = [made.content, other_content(made)] * 4
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda one: store(any_archive, one), contents))
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count(StoreStatus.STORED) == 1
    assert statuses.count(StoreStatus.REJECTED) == 4
    assert statuses.count(StoreStatus.ALREADY_STORED) == 3
    assert litter(any_archive) == 0
    assert verify(any_archive, by=BY, grace=timedelta(0)).ok


def test_a_minio_that_is_down_is_named_and_harms_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as open_now:
        server = open_now.enter_context(MinioServer(tmp_path / "minio" / "data"))
        archive = open_now.enter_context(open_archive(minio_settings(settings, server.bucket())))
        before, after = jpeg_slide(), jpeg_slide()
        store(archive, before.content)
        server.stop()
        with pytest.raises(BlobsUnavailable):
            store(archive, after.content)
        with pytest.raises(BlobsUnavailable):
            archive.ready()
        instance = archive.locate(path_of(before.dataset), visible=ALL)
        with pytest.raises(BlobsUnavailable):
            list(archive.frames(instance, [1]))
        with pytest.raises(NotFound):
            archive.locate(path_of(after.dataset), visible=ALL)
        server.start()
        archive.ready()
        assert list(archive.frames(instance, [1])) == [before.frames[0]]
        assert store(archive, after.content).status is StoreStatus.STORED
        report = verify(archive, by=BY, grace=timedelta(0))
        assert (report.ok, report.stray.count) == (True, 0)


def test_a_database_that_is_gone_is_named_and_harms_nothing(archive: Archive) -> None:
    before, after = jpeg_slide(), jpeg_slide()
    store(archive, before.content)
    instance = archive.locate(path_of(before.dataset), visible=ALL)
    staged = stage(archive, after.content)
    real = archive.database.engine
    name = real.url.database
    admin = real.url.set(database="postgres")
    with Database(admin, connections=2) as other, other.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")

        def run(statement: str) -> None:
            connection.execute(text(statement))

        run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
        try:
            with pytest.raises(CatalogUnavailable):
                archive.store(staged, by=BY, origin=Origin.STOW)
            with pytest.raises(CatalogUnavailable):
                archive.search(Query(Level.STUDY), visible=ALL)
            with pytest.raises(CatalogUnavailable):
                archive.ready()
            # What is in memory is served all the same.
            assert list(archive.frames(instance, [2])) == [before.frames[1]]
        finally:
            run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    archive.ready()
    assert list(archive.blobs.keys()) == [instance.blob_key]
    assert store(archive, after.content).status is StoreStatus.STORED


def test_a_full_disk_of_the_blobs_keeps_nothing_and_says_so(
    settings: Settings, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        full = settings.model_copy(update={"blobs": str(disk / "blobs")})
        with open_archive(full) as archive:
            kept = jpeg_slide()
            store(archive, kept.content)
            large = jpeg_slide(across=30, down=30, side=64)
            assert len(large.content) > 1_000_000
            (disk / "filler").write_bytes(b"\0" * (2_000_000 - len(large.content)))
            with pytest.raises(BlobsUnavailable, match="space"):
                store(archive, large.content)
            (disk / "filler").unlink()
            assert count(archive, "instances") == 1
            report = verify(archive, by=BY, grace=timedelta(0))
            assert (report.ok, report.stray.count, report.checked) == (True, 0, 1)


def test_a_full_staging_disk_says_so_and_keeps_nothing(settings: Settings, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 500_000) as disk:
        full = settings.model_copy(update={"staging": disk / "staging"})
        with open_archive(full) as archive:
            with pytest.raises(StagingFull):
                stage(archive, b"\0" * 600_000)
            assert store(archive, jpeg_slide().content).status is StoreStatus.STORED
