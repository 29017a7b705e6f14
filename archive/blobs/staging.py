"""Receive files into local scratch, hashed on the way.

Every process has an area of its own below the staging folder, and holds a lock on it for as long as
it lives. The kernel lets go of the lock however the process ends, so an area whose lock can be had
is litter of a killed one and is swept; those of the living are left alone. Process numbers would
not do: they come back, and mean nothing between containers that share the folder.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from archive.errors import StagingFull, TooLarge
from archive.model.instances import StagedFile

HASH_STEP_BYTES = 1024 * 1024
"""Bytes a step when a file is read to be hashed; larger steps were no faster."""

WRITE_BACK_BYTES = 16 * 1024 * 1024
"""Bytes after which the disk is told to begin writing, so that the sync at the end is short."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


class StagingWriter:
    """One file on its way in. Made by `Staging.receive`."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._file: BinaryIO = path.open("xb")
        self._hash = hashlib.sha256()
        self._size = 0
        self._written_back = 0
        self.staged: StagedFile | None = None

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self._size

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes.

        Raises
        ------
        TooLarge
            When the file grows past its limit; nothing of this chunk was written then.
        StagingFull
            When the disk takes nothing more.
        """
        if self._size + len(chunk) > self._limit_bytes:
            raise TooLarge(what="the file", limit_bytes=self._limit_bytes)
        with refusing_a_full_disk(self.path.parent):
            self._file.write(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)
        if self._size - self._written_back >= WRITE_BACK_BYTES:
            self._write_back()

    def _write_back(self) -> None:
        """Have the system begin to write what is new, without waiting for it.

        Linux begins to write dirty pages when it is told that they will not be needed, and forgets
        clean ones only: what was just received stays in memory (posix_fadvise(2)).
        """
        with contextlib.suppress(OSError, AttributeError):  # it is a help where there is one
            self._file.flush()
            begin, length = self._written_back, self._size - self._written_back
            os.posix_fadvise(self._file.fileno(), begin, length, os.POSIX_FADV_DONTNEED)
        self._written_back = self._size

    def finish(self) -> StagedFile:
        """Bring everything to the disk, and say what was received."""
        with refusing_a_full_disk(self.path.parent):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        self.staged = StagedFile(self.path, self._size, self._hash.hexdigest())
        return self.staged

    def abandon(self) -> None:
        """Remove what was received."""
        # Closing writes what is buffered, which a full disk refuses once more.
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


class Staging:
    """Local scratch below one folder, shared by any number of processes.

    Parameters
    ----------
    folder
        Made when it is missing. Swept of the litter of killed processes at once.
    limit_bytes
        Largest file that is received.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._area: Path | None = None
        self._area_lock: int | None = None
        with refusing_a_full_disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sweep()

    @contextlib.contextmanager
    def receive(self, limit_bytes: int | None = None) -> Iterator[StagingWriter]:
        """Receive one file.

        A finished file outlives the block and is the caller's to `discard`. On an error inside the
        block, and when the block ends before `finish`, it is removed.

        Parameters
        ----------
        limit_bytes
            Another limit for this file.
        """
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        area = self._own_area()
        with refusing_a_full_disk(area):
            writer = StagingWriter(area / f"{uuid4().hex}.part", limit)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        if writer.staged is None:
            writer.abandon()

    @contextlib.contextmanager
    def work_folder(self) -> Iterator[Path]:
        """Give an empty folder that is removed with all in it when the block ends."""
        folder = self._own_area() / uuid4().hex
        with refusing_a_full_disk(folder.parent):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def check_room(self, needed_bytes: int) -> None:
        """Raise `StagingFull` unless the disk has this much left, before it is too late.

        The database may live on the same disk, and takes it worse than we do when that is full.
        """
        free = free_bytes(self.folder)
        if free < needed_bytes:
            raise _full(self.folder, free)

    def discard(self, staged: StagedFile) -> None:
        """Remove a received file; that it is gone already is no error."""
        staged.path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what killed processes left behind; gives how many areas that were."""
        swept = 0
        for area in list(self.folder.glob("area-*")):
            if not area.is_dir() or area == self._area:
                continue
            lock = _try_lock(_lock_file(area))
            if lock is None:  # its process lives
                continue
            shutil.rmtree(area, ignore_errors=True)
            _lock_file(area).unlink(missing_ok=True)
            os.close(lock)
            swept += 1
        return swept

    def close(self) -> None:
        """Remove the area of this process and all that is in it."""
        with self._lock:
            if self._area is None or self._area_lock is None:
                return
            shutil.rmtree(self._area, ignore_errors=True)
            _lock_file(self._area).unlink(missing_ok=True)
            os.close(self._area_lock)
            self._area = self._area_lock = None

    def _own_area(self) -> Path:
        """Make the area of this process on first use: locked before it is there to be swept."""
        with self._lock:
            if self._area is None:
                area = self.folder / f"area-{os.getpid()}-{uuid4().hex[:12]}"
                with refusing_a_full_disk(self.folder):
                    self._area_lock = _try_lock(_lock_file(area))
                    area.mkdir()
                self._area = area
            return self._area


def hash_file(path: Path) -> StagedFile:
    """Say what a file holds that came into scratch by another way, such as a conversion."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(HASH_STEP_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return StagedFile(path, size, digest.hexdigest())


@contextlib.contextmanager
def refusing_a_full_disk(folder: Path) -> Iterator[None]:
    """Turn a full disk into `StagingFull`, which names the folder and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _full(folder, free_bytes(folder)) from error


def _full(folder: Path, free: int) -> StagingFull:
    return StagingFull(
        f"no space left in the staging folder {folder} ({free} bytes free): free some, or set "
        "COVERSLIP_STAGING to a folder on a larger disk"
    )


def free_bytes(folder: Path) -> int:
    """Tell how many bytes the file system of `folder`, or of the nearest that exists, has free."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _lock_file(area: Path) -> Path:
    return area.with_suffix(".lock")


def _try_lock(path: Path) -> int | None:
    """Lock `path`, made if missing; gives its descriptor, or None when another has the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
