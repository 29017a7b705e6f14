"""Engine, sessions and schema: the only module that knows embedded from by-URL.

A unit of work is one `with database.begin() as session`; there is no lazy loading, and no session
outlives the call that made it.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from archive import cancellation
from archive.cancellation import Cancellation
from archive.catalog.embedded import EmbeddedServer
from archive.errors import CatalogUnavailable, SchemaMismatch
from archive.settings import Settings

EMBEDDED_DATABASE = "coverslip"
CONNECT_SECONDS = 5
"""A database that does not answer a connection by then counts as down."""
POOL_SECONDS = 10
"""How long a call waits for a connection when all are in use."""

_MIGRATION_LOCK = 0x434F5645  # any number that nobody else takes a PostgreSQL advisory lock on
_MIGRATE = "python -m archive.catalog"
_log = logging.getLogger(__name__)

SchemaStep = Callable[[Connection], None]
"""Brings further tables of the same database up to date; must be safe to run again."""


class Database:
    """An engine over one database, and the sessions of it.

    Parameters
    ----------
    url
        Of the database.
    connections
        Kept at most.
    server
        The embedded server that the database is on, closed together with it.
    """

    def __init__(
        self, url: URL, *, connections: int = 10, server: EmbeddedServer | None = None
    ) -> None:
        self.url = url
        self._server = server
        self.engine: Engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=True,
            json_deserializer=orjson.loads,  # twice as fast as json's
            hide_parameters=True,  # they hold patient data, and errors end up in logs
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                # A plan made for the very values: LIKE 'abc%' only uses an index in such a one.
                # Neither compiled nor on several processors: that takes longer than a search.
                "options": (
                    "-c plan_cache_mode=force_custom_plan -c timezone=UTC -c jit=off"
                    " -c max_parallel_workers_per_gather=0 -c work_mem=32MB"
                ),
                "application_name": "coverslip",
            },
        )
        self.sessions: sessionmaker[Session] = sessionmaker(self.engine, expire_on_commit=False)

    @property
    def embedded(self) -> bool:
        """Whether the server is our own."""
        return self._server is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Session]:
        """Run one unit of work: committed when the block ends, rolled back when it raises.

        Raises
        ------
        CatalogUnavailable
            When the database does not answer. If that happens during the commit, whether it was
            done cannot be known; who wrote has to look.
        """
        known = cancellation.current.get()
        if known is None:
            with reporting_unavailability(), self.sessions.begin() as session:
                yield session
            return
        with reporting_unavailability(known), self.sessions.begin() as session:
            driver = session.connection().connection.driver_connection
            if driver is None:
                raise CatalogUnavailable("the connection to the database is lost")
            with known.stopping(driver.cancel_safe):
                yield session

    def check(self) -> None:
        """Raise `CatalogUnavailable` unless the database answers."""
        with self.begin() as session:
            session.execute(text("SELECT 1"))

    def connect_arguments(self) -> dict[str, Any]:
        """Give what `psycopg.connect` needs, for the job engine's own connections."""
        arguments: dict[str, Any] = self.url.translate_connect_args(
            username="user", database="dbname"
        )
        return {**arguments, **self.url.query, "connect_timeout": CONNECT_SECONDS}

    def close(self) -> None:
        """Close every connection, and let go of the embedded server."""
        self.engine.dispose()
        if self._server is not None:
            self._server.close()

    def prepare(self, *, steps: Sequence[SchemaStep] = (), upgrade: bool = False) -> None:
        """Make the schema what this release needs, or refuse.

        An empty database and the embedded one are brought up to date; any other is the business
        of whoever runs it. Several processes may do this at once: one works, the others wait.

        Parameters
        ----------
        steps
            Run after our own migrations, in the same transaction.
        upgrade
            Bring any database up to date, because somebody asked for it.

        Raises
        ------
        SchemaMismatch
            When the database is of another revision; the message has the command.
        """
        script = ScriptDirectory.from_config(_alembic_config())
        wanted = script.get_current_head()
        with reporting_unavailability(), self.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _MIGRATION_LOCK})
            found = MigrationContext.configure(connection).get_current_revision()
            if found != wanted:
                if found is not None:
                    self._require_upgradable(script, found, wanted, asked=upgrade)
                _log.info("bringing the database from revision %s to %s", found, wanted)
                command.upgrade(_alembic_config(connection), "head")
            for step in steps:
                step(connection)

    def _require_upgradable(
        self, script: ScriptDirectory, found: str, wanted: str | None, *, asked: bool
    ) -> None:
        try:
            known = script.get_revision(found) is not None
        except ResolutionError:
            known = False
        except Exception as error:  # noqa: BLE001 - Alembic wraps it in errors of its command line
            _log.debug("revision %s is not known: %s", found, error)
            known = False
        if not known:
            message = (
                f"the database is of revision {found}, which this release does not know: run the "
                "release that made it, or a later one"
            )
            raise SchemaMismatch(message)
        if not (asked or self.embedded):
            message = (
                f"the database is of revision {found}, this release needs {wanted}: back it up, "
                f"then run `{_MIGRATE}`"
            )
            raise SchemaMismatch(message)


def open_database(settings: Settings) -> Database:
    """Connect to the database that the settings name, or start the embedded one.

    The schema is not looked at: see `Database.prepare`.

    Raises
    ------
    CatalogUnavailable
        When it does not answer.
    """
    if settings.database_url is not None:
        url = make_url(settings.database_url.get_secret_value())
        url = url.set(drivername="postgresql+psycopg")
        database = Database(url, connections=settings.database_connections)
        try:
            database.check()
        except CatalogUnavailable:
            database.close()
            raise
        return database
    server = EmbeddedServer(settings.postgres_folder)
    try:
        _create_if_missing(server, EMBEDDED_DATABASE)
    except BaseException:
        server.close()
        raise
    return Database(
        server.url(EMBEDDED_DATABASE), connections=settings.database_connections, server=server
    )


@contextlib.contextmanager
def reporting_unavailability(known: Cancellation | None = None) -> Iterator[None]:
    """Turn what the driver raises for a database that is not there into `CatalogUnavailable`.

    A statement that was cancelled because of `known` raises what that says.
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError) as error:
        if known is not None:
            known.check()
        raise _unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(error) from error
        raise


def _unavailable(error: Exception) -> CatalogUnavailable:
    # The driver's own line names hosts and causes; the statement and its parameters, which may
    # hold patient data, stand in the lines that SQLAlchemy adds, and are left out.
    cause = getattr(error, "orig", None) or error
    line = re.sub(r"\s+", " ", str(cause)).strip()[:300]
    return CatalogUnavailable(f"the database does not answer: {line}")


def _create_if_missing(server: EmbeddedServer, name: str) -> None:
    admin = Database(server.url("postgres"), connections=2)
    try:
        with reporting_unavailability(), admin.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": name}).first() is None:
                with contextlib.suppress(DBAPIError):  # another process was quicker
                    connection.execute(text(f'CREATE DATABASE "{name}"'))
                connection.execute(known, {"name": name}).one()
    finally:
        admin.close()


def _alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config
