"""What is deleted is gone at once, for everybody, for good, and destroyed when its day comes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from archive.archive import Archive, open_archive
from archive.blobs import is_record_key
from archive.deletion import settle
from archive.errors import BlobMissing, Gone, NotFound
from archive.fixity import rebuild, verify
from archive.model.attributes import Level
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import StoreStatus
from archive.model.query import Query
from auth import Forbidden, Principal, Visibility
from tests.support.archives import BY, path_of, store
from tests.support.dicom_files import MadeFile, jpeg_slide

if TYPE_CHECKING:
    from uuid import UUID

    from archive.settings import Settings

ALL = Visibility.ALL
NOW = timedelta(0)


def resource_of(made: MadeFile, level: Level = Level.INSTANCE) -> ResourcePath:
    path = path_of(made.dataset)
    return ResourcePath(
        path.study,
        None if level is Level.STUDY else path.series,
        path.instance if level is Level.INSTANCE else None,
    )


def delete(archive: Archive, resource: ResourcePath) -> None:
    archive.delete(resource, by=BY, reason="a test")


def case(archive: Archive) -> list[MadeFile]:
    """Store two series of two instances in one study."""
    first = jpeg_slide(across=1, down=1)
    study = first.dataset.StudyInstanceUID
    second = jpeg_slide(across=1, down=1, StudyInstanceUID=study)
    made = [first, second]
    for one in (first, second):
        series = one.dataset.SeriesInstanceUID
        made.append(jpeg_slide(across=1, down=1, StudyInstanceUID=study, SeriesInstanceUID=series))
    for one in made:
        assert store(archive, one.content).status is StoreStatus.STORED
    return made


def counts(archive: Archive) -> tuple[int, int, int]:
    studies, series, instances = (
        len(archive.search(Query(level), visible=ALL).rows)
        for level in (Level.STUDY, Level.SERIES, Level.INSTANCE)
    )
    return studies, series, instances


def deletions(archive: Archive) -> list[UUID]:
    with archive.database.begin() as session:
        return list(session.scalars(text("SELECT id FROM deletions ORDER BY deleted_at")))


def settle_all(archive: Archive) -> None:
    for identifier in deletions(archive):
        settle(archive.deletions, identifier)


@pytest.mark.parametrize(
    ("level", "left"),
    [(Level.INSTANCE, (1, 2, 3)), (Level.SERIES, (1, 1, 2)), (Level.STUDY, (0, 0, 0))],
)
def test_what_is_deleted_is_found_no_more_and_the_rest_stays(
    archive: Archive, level: Level, left: tuple[int, int, int]
) -> None:
    made = case(archive)
    archive.locate(path_of(made[0].dataset), visible=ALL)
    resource = resource_of(made[0], level)
    delete(archive, resource)
    assert counts(archive) == left
    for ask in (archive.instances, archive.metadata):
        with pytest.raises(Gone):
            ask(resource, visible=ALL)
    with pytest.raises(Gone):
        archive.locate(path_of(made[0].dataset), visible=ALL)
    with pytest.raises(Gone):
        delete(archive, resource)
    assert resource.instance is None or store(archive, made[2].content).status is (
        StoreStatus.ALREADY_STORED
    )


def test_deleting_is_audited_and_in_the_change_feed(archive: Archive) -> None:
    made = case(archive)
    delete(archive, resource_of(made[0], Level.SERIES))
    with archive.database.begin() as session:
        events = session.execute(
            text(
                "SELECT principal_id, study_uid, series_uid, instance_uid, outcome "
                "FROM audit_events WHERE action = 'delete'"
            )
        ).all()
        changes = session.execute(
            text("SELECT instance_uid FROM change_feed WHERE action = 'deleted' ORDER BY number")
        ).scalars()
        reasons = session.scalars(text("SELECT reason FROM deletions")).all()
        series = made[0].dataset
        assert [tuple(event) for event in events] == [
            (BY.id, series.StudyInstanceUID, series.SeriesInstanceUID, None, "success")
        ]
        assert list(changes) == [made[0].uid, made[2].uid]
        assert reasons == ["a test"]


def test_only_who_may_delete_does_and_only_what_they_see(archive: Archive) -> None:
    made = case(archive)
    resource = resource_of(made[0], Level.STUDY)
    with pytest.raises(Forbidden):
        archive.delete(resource, by=Principal.anonymous(), reason="")
    assert counts(archive) == (1, 2, 4)
    with pytest.raises(NotFound) as caught:
        delete(archive, ResourcePath.parse("1.2.3"))
    assert not isinstance(caught.value, Gone)
    delete(archive, resource)
    with pytest.raises(NotFound) as caught:
        archive.instances(resource, visible=Visibility(frozenset({"another label"})))
    assert not isinstance(caught.value, Gone)


def test_what_only_a_deleted_instance_told_goes_with_it(archive: Archive) -> None:
    wrong = jpeg_slide(across=1, down=1, PatientName="Wrong^Person", PatientID="W")
    study = wrong.dataset.StudyInstanceUID
    right = jpeg_slide(
        across=1, down=1, StudyInstanceUID=study, PatientName="Right^Person", PatientID="R"
    )
    for one in (wrong, right):
        store(archive, one.content)
    delete(archive, resource_of(wrong))
    (row,) = archive.search(Query(Level.STUDY), visible=ALL).rows
    assert row.attributes["00100020"]["Value"] == ["R"]
    assert b"Wrong" not in repr(row.attributes).encode()


def test_a_deleted_instance_may_be_stored_again(any_archive: Archive) -> None:
    made = jpeg_slide(across=1, down=1)
    store(any_archive, made.content)
    old = any_archive.locate(path_of(made.dataset), visible=ALL)
    delete(any_archive, resource_of(made))
    assert store(any_archive, made.content).status is StoreStatus.STORED
    new = any_archive.locate(path_of(made.dataset), visible=ALL)
    assert new.blob_key != old.blob_key
    report = verify(any_archive, by=BY, grace=NOW)
    assert (report.ok, report.checked, report.stray.count) == (True, 1, 0)
    assert report.deleted == 2  # the old blob, and the record


def test_another_process_serves_what_was_deleted_for_some_seconds_at_most(
    archive: Archive, settings: Settings
) -> None:
    made = jpeg_slide(across=1, down=1)
    with open_archive(settings.model_copy(update={"locate_cache_seconds": 0.2})) as other:
        store(archive, made.content)
        path = path_of(made.dataset)
        other.locate(path, visible=ALL)
        delete(archive, resource_of(made))
        assert other.search(Query(Level.INSTANCE), visible=ALL).rows == []
        deadline = time.monotonic() + 10
        while other.cached(path, visible=ALL) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(Gone):
            other.locate(path, visible=ALL)


def test_bytes_are_destroyed_when_the_grace_is_over_and_not_before(
    any_settings: Settings,
) -> None:
    made = jpeg_slide(across=1, down=1)
    with open_archive(any_settings) as archive:
        store(archive, made.content)
        key = archive.locate(path_of(made.dataset), visible=ALL).blob_key
        delete(archive, resource_of(made))
        settle_all(archive)
        assert archive.blobs.stat(key).size == len(made.content)
    with open_archive(any_settings.model_copy(update={"deletion_grace_days": 0})) as archive:
        store(archive, made.content)
        delete(archive, resource_of(made))
        with archive.database.begin() as session:
            session.execute(text("UPDATE deletions SET purge_after = now() - interval '1 s'"))
        settle_all(archive)
        settle_all(archive)
        with pytest.raises(BlobMissing):
            archive.blobs.stat(key)
        assert list(archive.blobs.keys()) == []
        report = verify(archive, by=BY, grace=NOW)
        assert (report.ok, report.deleted, report.stray.count) == (True, 0, 0)
        with pytest.raises(Gone):  # the tombstone stays
            archive.instances(resource_of(made), visible=ALL)
        with archive.database.begin() as session:
            events = session.scalars(text("SELECT action FROM audit_events")).all()
        assert events.count("purge") == 2


@pytest.mark.parametrize("done", [1, 3, 5])
def test_a_purge_that_was_cut_off_is_ended_by_the_next(archive: Archive, done: int) -> None:
    made = case(archive)
    delete(archive, resource_of(made[0], Level.STUDY))
    with archive.database.begin() as session:
        session.execute(text("UPDATE deletions SET purge_after = now() - interval '1 s'"))
    keys = sorted(archive.blobs.keys(), key=is_record_key)  # the record goes last
    for key in keys[:done]:
        archive.blobs.delete(key)
    assert rebuild(archive, by=BY).indexed == 0
    settle_all(archive)
    assert list(archive.blobs.keys()) == []
    with archive.database.begin() as session:
        purged = session.scalars(text("SELECT purged_at FROM deletions")).one()
    assert purged is not None


def test_a_worker_destroys_the_bytes_on_their_day(settings: Settings) -> None:
    due = settings.model_copy(update={"deletion_grace_days": 0})
    made = jpeg_slide(across=1, down=1)
    with open_archive(due) as archive:
        store(archive, made.content)
        delete(archive, resource_of(made))
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_child"],
            env={**os.environ, **due.environment()},
        )
        try:
            deadline = time.monotonic() + 120
            while list(archive.blobs.keys()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            child.terminate()
            child.wait(30)
        with pytest.raises(Gone):
            archive.locate(path_of(made.dataset), visible=ALL)


def test_a_rebuild_does_not_bring_back_what_was_deleted(any_archive: Archive) -> None:
    made = case(any_archive)
    delete(any_archive, resource_of(made[0], Level.SERIES))
    report = rebuild(any_archive, by=BY)
    assert (report.ok, report.indexed, report.deleted, report.restored) == (True, 2, 3, 0)
    assert counts(any_archive) == (1, 1, 2)


def test_a_catalog_that_was_lost_knows_again_what_was_deleted(any_archive: Archive) -> None:
    made = case(any_archive)
    delete(any_archive, resource_of(made[0], Level.SERIES))
    with any_archive.database.begin() as session:
        session.execute(text("TRUNCATE studies, deletions CASCADE"))
        session.execute(text("DELETE FROM procrastinate_jobs"))
    report = rebuild(any_archive, by=BY)
    assert (report.ok, report.indexed, report.restored) == (True, 2, 1)
    with pytest.raises(Gone):
        any_archive.instances(resource_of(made[0], Level.SERIES), visible=ALL)
    with any_archive.database.begin() as session:  # and it is destroyed on its day
        waiting = session.execute(text("SELECT scheduled_at FROM procrastinate_jobs")).scalars()
        due = session.execute(text("SELECT purge_after FROM deletions")).scalars()
        assert list(waiting) == list(due)


def test_a_record_that_was_not_put_is_put_by_the_job(archive: Archive) -> None:
    made = case(archive)
    delete(archive, resource_of(made[0]))
    with archive.database.begin() as session:  # as if the process had died after its commit
        session.execute(text("UPDATE deletions SET record_key = NULL"))
    for key in archive.blobs.keys():  # noqa: SIM118
        if is_record_key(key):
            archive.blobs.delete(key)
    settle_all(archive)
    settle_all(archive)
    records = [key for key in archive.blobs.keys() if is_record_key(key)]  # noqa: SIM118
    assert len(records) == 1
    assert verify(archive, by=BY, grace=NOW).stray.count == 0


def test_stores_and_deletions_of_one_study_at_once_lose_nothing(archive: Archive) -> None:
    study = jpeg_slide().dataset.StudyInstanceUID
    made = [jpeg_slide(across=1, down=1, StudyInstanceUID=study) for _ in range(24)]
    stored: set[str] = set()
    failures: list[BaseException] = []
    ended = threading.Event()

    def storing(files: list[MadeFile]) -> None:
        try:
            for one in files:
                assert store(archive, one.content).status is StoreStatus.STORED
                stored.add(one.uid)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    def deleting() -> None:
        while not ended.is_set():
            try:
                delete(archive, ResourcePath.parse(study))
            except NotFound:
                time.sleep(0.001)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    threads = [threading.Thread(target=storing, args=(made[n::3],)) for n in range(3)]
    reaper = threading.Thread(target=deleting)
    for thread in (reaper, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    reaper.join()
    assert failures == []
    assert len(stored) == len(made)
    with archive.database.begin() as session:
        live = set(session.scalars(text("SELECT instance_uid FROM instances")))
        buried = set(session.scalars(text("SELECT instance_uid FROM tombstones")))
    assert live | buried == stored
    assert not live & buried


def test_kills_while_deleting_leave_each_study_whole_or_gone(settings: Settings) -> None:
    moments = random.Random(20261124)
    with open_archive(settings) as archive:
        studies = [case(archive)[0].dataset.StudyInstanceUID for _ in range(12)]
        for _ in range(2):
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.deleting_child", *studies],
                env={**os.environ, **settings.environment()},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdout is not None
            told = [child.stdout.readline()]
            time.sleep(moments.uniform(0.0, 0.02))
            child.kill()
            told += child.communicate()[0].splitlines(keepends=True)
            acknowledged = {line.strip() for line in told if line.endswith("\n")}
            rows = archive.search(Query(Level.INSTANCE), visible=ALL).rows
            here = [row.study for row in rows]
            assert not acknowledged & set(here)
            assert all(here.count(study) == 4 for study in here)
            studies = sorted(set(here))
        settle_all(archive)
        report = verify(archive, by=BY, grace=NOW)
        assert (report.ok, report.checked) == (True, len(rows))
        assert report.stray.count <= 2  # a record whose row was not told of it before the kill
        before = counts(archive)
        with archive.database.begin() as session:
            session.execute(text("TRUNCATE deletions, tombstones"))
        rebuild(archive, by=BY)
        assert counts(archive) == before


def test_the_path_of_a_tombstone_is_that_of_the_instance(archive: Archive) -> None:
    made = case(archive)
    delete(archive, resource_of(made[0], Level.STUDY))
    other = InstancePath.parse("1.2.3", "1.2.4", made[0].uid)
    with pytest.raises(NotFound) as caught:
        archive.locate(other, visible=ALL)
    assert not isinstance(caught.value, Gone)
