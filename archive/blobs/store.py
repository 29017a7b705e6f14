"""`BlobStore`: the bytes of instances by key, and nothing about what they mean.

`tests/contracts/` holds what every implementation must do, as one class of tests.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from archive.errors import FixityFailure
from archive.model.frames import ByteSpan
from archive.model.instances import BlobKey, StagedFile


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What the store knows about a blob without reading it."""

    size: int
    """Bytes."""
    modified_at: datetime
    """UTC; when it was put."""


def too_short(key: BlobKey) -> FixityFailure:
    """Give the error for a blob that ends before what should be in it."""
    return FixityFailure(f"blob {key} is shorter than the catalog expects; run `coverslip verify`")


class BlobStore(Protocol):
    """Keeps blobs. Safe to use from several threads and several processes at once.

    Keys are random, never reused, and hold nothing that identifies a patient (see `keys`). A blob
    never changes: it is put once, and at some day deleted. So whatever is remembered about a key
    never goes stale.

    Every verb raises `BlobsUnavailable` when the store does not answer, and `ValueError` for a key
    that has not the form of one.
    """

    def put(self, key: BlobKey, staged: StagedFile) -> None:
        """Keep the bytes of `staged` as `key`; when this returns, a power cut cannot undo it.

        The blob appears whole or not at all. The staged file stays where it is, belongs to the
        caller, and must not be written to any more: a folder store may hold on to it by a link.

        Raises
        ------
        BlobExists
            When the key is taken; what is there is not touched.
        BlobsUnavailable
            When it could not be kept (a full disk among others); nothing is then left behind.
        FixityFailure
            When the staged file is not what `staged` says.
        """
        ...

    def read(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Give the bytes of each span, in the order asked for; near spans are merged into one read.

        All of them are in memory together: ask for a long list in pieces.

        Raises
        ------
        BlobMissing
            When there is no such blob.
        FixityFailure
            When the blob ends before a span does.
        """
        ...

    def open(self, key: BlobKey) -> AbstractContextManager[BinaryIO]:
        """Open the blob for reading from start to end; it can seek, and holds little in memory.

        Raises
        ------
        BlobMissing
            When there is no such blob.
        """
        ...

    def stat(self, key: BlobKey) -> BlobStat:
        """Give size and age; raises `BlobMissing` when there is no such blob."""
        ...

    def delete(self, key: BlobKey) -> None:
        """Remove the blob. That it is gone already is no error, so that it can be said twice."""
        ...

    def keys(self, prefix: str = "") -> Iterator[BlobKey]:
        """Give every key that starts with `prefix`, ascending, a few at a time.

        Half-written files and whatever else lies about without the form of a key are left out.
        """
        ...

    def check(self) -> None:
        """Raise `BlobsUnavailable` unless the store answers; cheap, for a readiness probe."""
        ...

    def close(self) -> None:
        """Let go of files and connections. The store is not used afterwards."""
        ...


@runtime_checkable
class SupportsLocalPath(Protocol):
    """An ability that some stores have: blobs are files, which the kernel can send by itself."""

    def local_path(self, key: BlobKey) -> Path:
        """Give the file of a blob, to be read only; raises `BlobMissing` when there is none."""
        ...


@runtime_checkable
class SupportsImmediateRead(Protocol):
    """An ability that some stores have: reading what lies on this machine, without waiting."""

    def read_now(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes] | None:
        """Give the bytes of each span, in the order asked for, as `BlobStore.read` does.

        Returns
        -------
        list of bytes, or None
            None when some of them would have to be fetched: call `read`, in a thread.

        Raises
        ------
        BlobMissing, FixityFailure
            As `BlobStore.read`, where that shows without waiting.
        """
        ...
