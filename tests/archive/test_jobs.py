"""Slides that are given are converted by a worker, whatever happens to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from archive.archive import Archive, open_archive
from archive.catalog import audit
from archive.errors import NotFound
from archive.jobs.engine import Jobs, apply_schema
from archive.model.attributes import Level
from archive.model.query import Query
from archive.model.slides import SlideRecord, SlideState
from auth import Visibility
from conversion import ConversionRequest
from tests.support.archives import BY, minio_settings, stage
from tests.support.minio_server import MinioServer
from tests.support.slides import make_svs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from archive.catalog.database import Database
    from archive.settings import Settings

ALL = Visibility.ALL
SECONDS = 120.0


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("slide") / "slide.svs"
    make_svs(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def large_slide(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One whose conversion takes seconds, so that it can be killed on its way."""
    path = tmp_path_factory.mktemp("slide") / "large.svs"
    make_svs(path, width=6000, height=5000)
    return path.read_bytes()


@contextlib.contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.worker_child"],
        env={**os.environ, **settings.environment()},
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def give(archive: Archive, content: bytes, name: str = "slide.svs", **more: str) -> SlideRecord:
    staged = stage(archive, content)
    request = ConversionRequest(source_sha256=staged.sha256, **more)  # type: ignore[arg-type]
    record = archive.receive_slide(staged, name, request, by=BY)
    assert not staged.path.exists()
    return record


def wait(archive: Archive, identifier: UUID, until: Callable[[SlideRecord], bool]) -> SlideRecord:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        record = archive.slide(identifier, by=BY)
        if until(record):
            return record
        time.sleep(0.05)
    pytest.fail(f"slide is {record.state} after {SECONDS} s: {record.error}")


def ended(record: SlideRecord) -> bool:
    return record.state in {SlideState.STORED, SlideState.FAILED}


def test_a_slide_that_was_given_is_converted_and_stored(
    archive: Archive, settings: Settings, slide: bytes
) -> None:
    record = give(archive, slide, patient_id="P-1")
    assert (record.state, record.progress, record.received_by) == (SlideState.QUEUED, 0.0, BY.id)
    assert archive.slide_files.path(record).read_bytes() == slide
    with worker(settings):
        stored = wait(archive, record.id, ended)
        # What is stored is kept: the upload is not needed any more.
        wait(archive, record.id, lambda _: not archive.slide_files.path(record).exists())
    assert (stored.state, stored.progress, stored.error) == (SlideState.STORED, 1.0, None)
    rows = archive.search(Query(Level.STUDY), visible=ALL).rows
    assert [row.study for row in rows] == [stored.study_uid]
    assert archive.slides(by=BY) == [stored]
    with archive.database.begin() as session:
        by = session.scalars(text("SELECT DISTINCT principal_id FROM audit_events")).all()
    assert by == [BY.id]


def test_a_second_job_of_one_key_leaves_the_transaction_it_is_asked_in_whole(
    archive: Archive,
) -> None:
    jobs = Jobs(archive.database)
    for reason in ("first", "second"):
        with archive.database.begin() as session:
            audit.record(session, reason, by=BY, now=archive.stores.now())
            jobs.enqueue(session, "nothing", {}, key="the same")
    with archive.database.begin() as session:
        actions = session.scalars(text("SELECT action FROM audit_events ORDER BY id")).all()
        waiting = session.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one()
    assert (actions, waiting) == (["first", "second"], 1)


def test_a_slide_given_twice_is_converted_once_and_again_when_it_is_done(
    archive: Archive, settings: Settings, slide: bytes
) -> None:
    first, second = give(archive, slide), give(archive, slide, name="other.svs")
    assert first.id == second.id
    other_case = give(archive, slide, patient_id="P-2")
    assert other_case.id != first.id
    with archive.database.begin() as session:
        jobs = session.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one()
    assert jobs == 2
    with worker(settings):
        for record in (first, other_case):
            assert wait(archive, record.id, ended).state is SlideState.STORED
        again = give(archive, slide)
        assert again.id == first.id
        assert wait(archive, again.id, ended).state is SlideState.STORED
    assert len(archive.search(Query(Level.STUDY), visible=ALL).rows) == 2
    assert [path for path in archive.slide_files.folder.iterdir() if path.is_file()] == []


def test_what_is_no_slide_fails_with_its_cause_and_is_not_tried_again(
    archive: Archive, settings: Settings
) -> None:
    record = give(archive, b"nothing like a slide" * 100)
    with worker(settings):
        failed = wait(archive, record.id, ended)
    assert failed.state is SlideState.FAILED
    assert failed.error
    assert "\n" not in failed.error
    assert not archive.slide_files.path(record).exists()
    with archive.database.begin() as session:
        left = session.execute(
            text("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")
        ).scalar_one()
    assert left == 0
    assert give(archive, b"nothing like a slide" * 100).state is SlideState.QUEUED


def test_the_job_of_a_killed_worker_is_done_by_another(
    archive: Archive, settings: Settings, large_slide: bytes
) -> None:
    record = give(archive, large_slide, name="large.svs")
    with worker(settings) as first:
        wait(archive, record.id, lambda one: one.state is SlideState.CONVERTING)
        first.kill()
        first.wait()
    assert archive.slide(record.id, by=BY).state is SlideState.CONVERTING
    with worker(settings):
        assert wait(archive, record.id, ended).state is SlideState.STORED


def test_a_worker_that_is_told_to_stop_hands_its_job_on_at_once(
    archive: Archive, settings: Settings, large_slide: bytes
) -> None:
    record = give(archive, large_slide, name="large.svs")
    with worker(settings) as first:
        wait(archive, record.id, lambda one: one.state is SlideState.CONVERTING)
        first.terminate()
        assert first.wait(15) == 0
    assert archive.slide(record.id, by=BY).state is SlideState.QUEUED
    with worker(settings):
        assert wait(archive, record.id, ended).state is SlideState.STORED


def test_a_store_that_is_down_is_waited_for(
    settings: Settings, tmp_path: Path, slide: bytes
) -> None:
    with MinioServer(tmp_path / "minio" / "data") as server:
        over_minio = minio_settings(settings, server.bucket())
        with open_archive(over_minio) as archive, worker(over_minio):
            # The worker is up when it has done something.
            assert wait(archive, give(archive, slide).id, ended).state is SlideState.STORED
            server.stop()
            record = give(archive, slide, patient_id="later")
            waiting = text("SELECT count(*) FROM procrastinate_jobs WHERE attempts > 0")

            def tried() -> bool:
                with archive.database.begin() as session:
                    return bool(session.execute(waiting).scalar_one())

            wait(archive, record.id, lambda _: tried())
            assert archive.slide(record.id, by=BY).state is SlideState.QUEUED
            server.start()
            assert wait(archive, record.id, ended).state is SlideState.STORED


def test_a_slide_whose_row_was_not_written_is_not_kept(archive: Archive, slide: bytes) -> None:
    staged = stage(archive, slide)
    request = ConversionRequest(patient_id="P-1")
    with archive.database.begin() as session:
        session.execute(text("ALTER TABLE audit_events RENAME TO elsewhere"))
    with pytest.raises(Exception, match="audit_events"):
        archive.receive_slide(staged, "slide.svs", request, by=BY)
    assert archive.slides(by=BY) == []
    with archive.database.begin() as session:
        jobs = session.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one()
    assert jobs == 0


def test_a_slide_that_nobody_gave_is_not_found(archive: Archive) -> None:
    from uuid import uuid4

    with pytest.raises(NotFound):
        archive.slide(uuid4(), by=BY)


def test_the_tables_of_an_older_job_engine_are_brought_up_to_date(database: Database) -> None:
    names = "SELECT name FROM procrastinate_applied_migrations ORDER BY name"
    with database.begin() as session:
        before = session.scalars(text(names)).all()
        last = before[-1]
        # As if the newest change was not there: it adds a function that can be made again.
        session.execute(
            text("DELETE FROM procrastinate_applied_migrations WHERE name = :name"),
            {"name": last},
        )
    with database.engine.begin() as connection:
        apply_schema(connection)
    with database.begin() as session:
        assert session.scalars(text(names)).all() == before
