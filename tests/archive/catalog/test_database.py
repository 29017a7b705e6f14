"""The embedded server, its schema, and what happens when it is not there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from archive.archive import SCHEMA_STEPS
from archive.catalog.database import Database, open_database
from archive.catalog.embedded import EmbeddedServer
from archive.errors import CatalogUnavailable, SchemaMismatch
from archive.settings import Settings
from tests.support.minio_server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL

OPEN = """
import sys, time
from pathlib import Path
from archive.archive import SCHEMA_STEPS
from archive.catalog.database import open_database
from archive.settings import Settings
database = open_database(Settings(data_dir=Path(sys.argv[1])))
database.prepare(steps=SCHEMA_STEPS)
print("ready", flush=True)
if sys.argv[2] == "stay":
    time.sleep(600)
database.close()
"""


def start(folder: Path, what: str = "leave") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", OPEN, str(folder), what], stdout=subprocess.PIPE)


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_embedded_server_is_started_shared_and_stopped_by_the_last(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = open_database(settings)
    pid = postmaster(tmp_path)
    with start(tmp_path) as other:
        assert other.wait(60) == 0
    first.check()  # who left did not take the server along
    assert postmaster(tmp_path) == pid
    first.close()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_a_server_whose_starter_was_killed_is_met_again_and_still_stops(tmp_path: Path) -> None:
    with start(tmp_path, "stay") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    pid = postmaster(tmp_path)
    assert alive(pid)
    database = open_database(Settings(data_dir=tmp_path))
    assert postmaster(tmp_path) == pid
    database.prepare(steps=SCHEMA_STEPS)
    database.close()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_three_processes_that_start_at_once_all_get_the_schema(tmp_path: Path) -> None:
    children = [start(tmp_path) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    for child in children:
        assert child.stdout is not None
        child.stdout.close()


def test_a_lock_file_of_a_dead_server_does_not_hinder_the_start(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "postgres") as server:
        lines = (server.folder / "postmaster.pid").read_text().splitlines()
    # Its process id belongs to somebody else by now: to us.
    lines[0] = str(os.getpid())
    (tmp_path / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    began = time.monotonic()
    with EmbeddedServer(tmp_path / "postgres") as server:
        assert postmaster(tmp_path) != os.getpid()
    assert time.monotonic() - began < 30


def test_a_folder_that_is_no_cluster_is_named_with_the_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("7\n")
    with pytest.raises(CatalogUnavailable, match="COVERSLIP_DATABASE_URL") as caught:
        EmbeddedServer(folder)
    assert str(folder) in str(caught.value)


def test_a_database_that_nobody_answers_for_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql://someone:secret@127.0.0.1:{free_port()}/slides"
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(url))
    with pytest.raises(CatalogUnavailable) as caught:
        open_database(settings)
    assert "secret" not in str(caught.value)


def test_a_server_that_accepts_and_never_answers_is_unavailable_within_seconds(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/slides"
        settings = Settings(data_dir=tmp_path, database_url=SecretStr(url))
        began = time.monotonic()
        with pytest.raises(CatalogUnavailable):
            open_database(settings)
        assert time.monotonic() - began < 20


def test_an_empty_database_by_url_gets_the_schema(empty_database_url: URL) -> None:
    with Database(empty_database_url) as database:
        database.prepare(steps=SCHEMA_STEPS)
        database.prepare(steps=SCHEMA_STEPS)  # and again, which changes nothing
        with database.begin() as session:
            assert session.execute(text("SELECT count(*) FROM instances")).scalar_one() == 0
            assert (
                session.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one() == 0
            )


def test_a_database_of_a_later_release_is_refused(database_url: str) -> None:
    with Database(make_url(database_url).set(drivername="postgresql+psycopg")) as database:
        with database.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SchemaMismatch, match="does not know"):
            database.prepare(steps=SCHEMA_STEPS)
        with pytest.raises(SchemaMismatch, match="does not know"):
            database.prepare(steps=SCHEMA_STEPS, upgrade=True)


def test_errors_of_statements_hold_no_values(database: Database) -> None:
    with pytest.raises(CatalogUnavailable) as caught, database.begin() as session:
        session.execute(
            text("SELECT pg_terminate_backend(pg_backend_pid()), :name"), {"name": "Doe^Jane"}
        )
    assert "Doe" not in str(caught.value)


def test_a_connection_that_was_cut_is_replaced(database: Database) -> None:
    database.check()
    with Database(database.url, connections=2) as other, other.begin() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    database.check()
