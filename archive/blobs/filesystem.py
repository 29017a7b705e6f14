"""Blobs as files below one folder.

A blob is written under another name first, brought to the disk, and then linked to its own name:
a link never replaces what is there, so a blob appears whole, or not at all, and never changes.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from archive.blobs.descriptors import Descriptors
from archive.blobs.keys import check_key, is_key
from archive.blobs.spans import read_merged
from archive.blobs.staging import HASH_STEP_BYTES, Staging, free_bytes
from archive.blobs.store import BlobStat
from archive.errors import (
    BlobExists,
    BlobMissing,
    BlobsUnavailable,
    FixityFailure,
    StagingFull,
)
from archive.model.frames import ByteSpan
from archive.model.instances import BlobKey, StagedFile

MAXIMUM_GAP_BYTES = 64 * 1024
"""Reading this much more from a disk's cache takes about as long as one more system call's way."""

_INCOMING = ".incoming"
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)
"""Flag of preadv(2): give what the page cache holds, or fail; Linux alone has it."""
_READ_ONLY = 0o440  # against a slip, not against an intruder
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class FilesystemBlobs:
    """A `BlobStore` over a folder; see there for the contract.

    Also `SupportsLocalPath` and `SupportsImmediateRead`.

    Parameters
    ----------
    folder
        Made when it is missing.
    staging
        Our own scratch folder. A staged file below it, on the same file system, is linked into
        place without a copy; any other is copied, since its owner may go on writing to it.
    open_files
        How many files are kept open between reads.

    Raises
    ------
    BlobsUnavailable
        When the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, *, staging: Path | None = None, open_files: int = 256) -> None:
        self.folder = folder.absolute()
        self._staging = None if staging is None else staging.resolve()
        with self._reporting():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Copies are made here: on the file system of the blobs, swept after a kill.
            self._incoming = Staging(self.folder / _INCOMING, limit_bytes=2**63 - 1)
        self._descriptors = Descriptors(open_files)

    def put(self, key: BlobKey, staged: StagedFile) -> None:
        """Keep `staged` as `key` (see `BlobStore.put`)."""
        path = self._path(key)
        if not staged.path.is_file() or staged.path.stat().st_size != staged.size:
            raise _not_as_staged(key)
        with self._reporting():
            self.check()
            if path.exists():
                raise BlobExists(key)
            self._make_folder(path.parent)
            if not self._is_ours(staged.path) or not self._link(key, staged, path):
                self._copy(key, staged, path)
            _sync_folder(path.parent)

    def read(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Read spans (see `BlobStore.read`)."""
        with self._reporting(key), self._descriptors.borrow(key, self._path(key)) as descriptor:

            def read_one(span: ByteSpan) -> bytes:
                return _read_exactly(descriptor, span, key)

            return read_merged(spans, read_one, maximum_gap_bytes=MAXIMUM_GAP_BYTES)

    def read_now(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes] | None:
        """Read spans that the page cache holds (see `SupportsImmediateRead`)."""
        held = self._descriptors.borrow_open(key)
        if held is None:
            with self._reporting(key):
                held = self._descriptors.borrow(key, self._path(key))
        try:
            contents = [_read_cached(held.descriptor, span) for span in spans]
        finally:
            self._descriptors.release(held)
        found = [content for content in contents if content is not None]
        return found if len(found) == len(spans) else None

    @contextlib.contextmanager
    def open(self, key: BlobKey) -> Iterator[BinaryIO]:
        """Open a blob for reading (see `BlobStore.open`)."""
        with self._reporting(key):
            file = self._path(key).open("rb")
        with file:
            yield file

    def stat(self, key: BlobKey) -> BlobStat:
        """Give size and age (see `BlobStore.stat`)."""
        with self._reporting(key):
            status = self._path(key).stat()
        return BlobStat(status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def delete(self, key: BlobKey) -> None:
        """Remove a blob (see `BlobStore.delete`)."""
        path = self._path(key)
        self._descriptors.forget(key)
        with self._reporting(), contextlib.suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def keys(self, prefix: str = "") -> Iterator[BlobKey]:
        """Give the keys (see `BlobStore.keys`)."""
        with self._reporting():
            shards = sorted(
                entry.name
                for entry in os.scandir(self.folder)
                if len(entry.name) == 2 and entry.is_dir()
            )
        for shard in shards:
            if not f"{shard}/".startswith(prefix[:3]):
                continue
            with self._reporting():
                names = sorted(os.listdir(self.folder / shard))
            for name in names:
                key = f"{shard}/{name}"
                if key.startswith(prefix) and is_key(key):
                    yield BlobKey(key)

    def check(self) -> None:
        """Raise `BlobsUnavailable` unless the folder is there, and no bare mount point."""
        if not (self.folder / _INCOMING).is_dir():
            message = (
                f"the blob folder {self.folder} is not there (is its disk mounted?); it held "
                f"{_INCOMING} when the archive started"
            )
            raise BlobsUnavailable(message)

    def close(self) -> None:
        """Close every file."""
        self._descriptors.close()
        self._incoming.close()

    def local_path(self, key: BlobKey) -> Path:
        """Give the file of a blob (see `SupportsLocalPath`)."""
        path = self._path(key)
        if not path.is_file():
            raise BlobMissing(key)
        return path

    def _path(self, key: BlobKey) -> Path:
        check_key(key)
        return self.folder / key

    def _is_ours(self, path: Path) -> bool:
        return self._staging is not None and path.resolve().is_relative_to(self._staging)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _sync_folder(self.folder)

    def _link(self, key: BlobKey, staged: StagedFile, path: Path) -> bool:
        """Give the staged file its second name; False where the file system cannot."""
        with staged.path.open("rb") as file:
            os.fchmod(file.fileno(), _READ_ONLY)
            os.fsync(file.fileno())
        try:
            os.link(staged.path, path)
        except FileExistsError as error:
            raise BlobExists(key) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        return True

    def _copy(self, key: BlobKey, staged: StagedFile, path: Path) -> None:
        """Copy the staged file beside the blobs, hashing once more, and give it its name."""
        with self._incoming.receive() as writer:
            with staged.path.open("rb", buffering=0) as file:
                while chunk := file.read(HASH_STEP_BYTES):
                    writer.write(chunk)
            copy = writer.finish()
            copy.path.chmod(_READ_ONLY)
            if (copy.size, copy.sha256) != (staged.size, staged.sha256):
                raise _not_as_staged(key)
            try:
                os.link(copy.path, path)
            except FileExistsError as error:
                raise BlobExists(key) from error
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # No links at all on this file system (exFAT, some network ones). Keys are random,
                # so nothing else goes for this name.
                os.rename(copy.path, path)
            self._incoming.discard(copy)

    @contextlib.contextmanager
    def _reporting(self, key: BlobKey | None = None) -> Iterator[None]:
        """Turn what the system reports into errors of the archive."""
        try:
            yield
        except FileNotFoundError as error:
            if key is not None:
                self.check()  # a disk that went away is not a blob that is missing
                raise BlobMissing(key) from error
            message = f"the blob folder {self.folder} is not all there: {error.strerror}"
            raise BlobsUnavailable(message) from error
        except StagingFull as error:
            raise self._full() from error
        except OSError as error:
            if error.errno in _FULL:
                raise self._full() from error
            message = f"the blob folder {self.folder} cannot be used: {error.strerror}"
            raise BlobsUnavailable(message) from error

    def _full(self) -> BlobsUnavailable:
        return BlobsUnavailable(
            f"no space left in the blob folder {self.folder} ({free_bytes(self.folder)} bytes "
            "free): free some, or set COVERSLIP_BLOBS to a folder on a larger disk"
        )


def _read_exactly(descriptor: int, span: ByteSpan, key: BlobKey) -> bytes:
    """Read one span: one call, unless the system gives less (at most 2 GiB at once on Linux)."""
    content = os.pread(descriptor, span.length, span.offset)
    if len(content) == span.length:
        return content
    pieces = [content]
    have = len(content)
    while pieces[-1] and have < span.length:
        pieces.append(os.pread(descriptor, span.length - have, span.offset + have))
        have += len(pieces[-1])
    if have < span.length:
        message = (
            f"blob {key} ends at byte {span.offset + have}, before byte {span.end} that the "
            "catalog expects; run `coverslip verify`"
        )
        raise FixityFailure(message)
    return b"".join(pieces)


def _read_cached(descriptor: int, span: ByteSpan) -> bytes | None:
    """Read one span unless that would wait for the disk; None then, and for `read` to tell why."""
    buffer = bytearray(span.length)
    try:
        length = os.preadv(descriptor, [buffer], span.offset, _NO_WAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            return None
        # A file system that cannot tell: reading is the lesser evil.
        length = os.preadv(descriptor, [buffer], span.offset)
    return bytes(buffer) if length == span.length else None


def _not_as_staged(key: BlobKey) -> FixityFailure:
    return FixityFailure(f"what should become blob {key} was altered while it was staged")


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; without it a power cut may lose the newest."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
