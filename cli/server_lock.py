"""One server a data folder: a lock that the kernel drops however the server ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from archive.errors import DataFolderInUse

NAME = "server.lock"


@contextlib.contextmanager
def only_server(data_dir: Path, address: str) -> Iterator[None]:
    """Hold `data_dir` as its one server while the block runs.

    Parameters
    ----------
    data_dir
        Made when it is missing, for this user's eyes only.
    address
        Told to who comes second.

    Raises
    ------
    DataFolderInUse
        When another server holds it, naming that one and the way out.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(descriptor, 300, 0).decode(errors="replace").strip()
            message = (
                f"another server works on {data_dir} already ({who or 'just starting'}): stop "
                "it, or give this one a folder of its own with --data-dir"
            )
            raise DataFolderInUse(message) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {address}\n".encode(), 0)
        # The file stays: removing it would let two servers hold two files of one name.
        yield
    finally:
        os.close(descriptor)
