"""A PostgreSQL server for a test session, and a database of its own for every test.

The server is the embedded one that the archive brings along, shared by all processes of a session.
The schema is made once a process, as a template; a test's database is a copy of it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from archive.archive import SCHEMA_STEPS, Archive, open_archive
from archive.catalog.database import Database
from archive.catalog.embedded import EmbeddedServer
from archive.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The server; tests neither stop it nor touch its own databases."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # one server for all workers
    with EmbeddedServer(root / "postgres") as server:
        # Throw-away data on a machine that does not lose power: the disk need not be waited for.
        _run(
            server.url("postgres"),
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        )
        yield server


@pytest.fixture(scope="session")
def database_template(postgres_server: EmbeddedServer) -> Iterator[str]:
    """Name of a database that has the schema and nothing in it."""
    name = f"template_{uuid4().hex[:12]}"
    with _database(postgres_server, f'CREATE DATABASE "{name}"', name):
        with Database(postgres_server.url(name), connections=2) as database:
            database.prepare(steps=SCHEMA_STEPS)
        yield name


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedServer) -> Iterator[URL]:
    """A database without any table."""
    name = f"test_{uuid4().hex[:16]}"
    with _database(postgres_server, f'CREATE DATABASE "{name}"', name):
        yield postgres_server.url(name)


@pytest.fixture
def database_url(postgres_server: EmbeddedServer, database_template: str) -> Iterator[str]:
    """A database with the schema and nothing in it, as `COVERSLIP_DATABASE_URL` names one."""
    name = f"test_{uuid4().hex[:16]}"
    create = f'CREATE DATABASE "{name}" TEMPLATE "{database_template}"'
    with _database(postgres_server, create, name):
        url = postgres_server.url(name).set(drivername="postgresql")
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    with Database(url, connections=5) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of an empty archive: a database of its own, blobs in a folder."""
    return Settings(data_dir=tmp_path / "data", database_url=SecretStr(database_url))


@pytest.fixture
def archive(settings: Settings) -> Iterator[Archive]:
    """An empty archive."""
    with open_archive(settings) as opened:
        yield opened


@contextlib.contextmanager
def _database(server: EmbeddedServer, create: str, name: str) -> Iterator[None]:
    admin = server.url("postgres")
    _run(admin, create)
    try:
        yield
    finally:
        _run(admin, f'DROP DATABASE "{name}" WITH (FORCE)')


def _run(url: URL, *statements: str) -> None:
    with Database(url, connections=2) as admin, admin.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            connection.execute(text(statement))
