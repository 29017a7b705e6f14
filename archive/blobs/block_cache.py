"""Blocks of remote blobs, kept in two files of a local disk as a processor's cache keeps its lines.

Where a block may lie follows from its name: one set of `WAYS` places. So there is nothing to load
at a start, nothing to keep in step between the processes that share the files, and the bound holds
by construction. A file `blocks` has the bytes, a file `tags` what lies in each place: the name, and
a checksum of each page. Nothing is locked between processes and nothing is synced: whatever a kill,
a power cut, a bad disk or two writers at once leave behind is a place whose checksums do not match,
and that is a block that is not there.
"""

import contextlib
import errno
import logging
import os
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from xxhash import xxh3_64_intdigest

from archive.blobs.keys import check_key
from archive.errors import BlobsUnavailable
from archive.model.instances import BlobKey

BLOCK_BYTES = 256 * 1024
"""What is fetched and kept at once, aligned. A ranged read of this much takes a MinIO server hardly
longer than one of a 17 kB frame (1.1 to 1.2 times); one of 1 MiB takes twice as long."""

PAGE_BYTES = 16 * 1024
"""What has a checksum of its own, so that a frame is verified without reading its whole block."""

WAYS = 8
"""Places in which a block may lie."""

RESERVED_BYTES = 1024**3
"""So much of the disk is left free: the cache stops growing before others run out of space."""

_LAYOUT = 1  # another layout is another pair of files
_PAGES = BLOCK_BYTES // PAGE_BYTES
# Checksum of the rest; key, number of the block; bytes of the blob, of this block; of each page.
_TAG = struct.Struct(f"<Q16sQQQ{_PAGES}Q")
_NAME_OFFSET, _NAME_BYTES = 8, 24
_SUMS_OFFSET = _TAG.size - _PAGES * 8
_STAMP = struct.Struct("<Q")  # when a place was used last, milliseconds since 1970; 0 is never
_STAMPS = struct.Struct(f"<{WAYS}Q")
_RECORD_BYTES = _STAMPS.size + WAYS * _TAG.size
_SET_BYTES = _RECORD_BYTES + WAYS * BLOCK_BYTES
_STAMP_AGE_MS = 10_000  # a stamp younger than this is not written again
_NO_TAG = bytes(_TAG.size)
_FULL = {errno.ENOSPC, errno.EDQUOT}

MINIMUM_BYTES = _SET_BYTES
"""The least that a cache can be told to hold."""

_log = logging.getLogger(__name__)


class CacheEvent(StrEnum):
    """What happens in a cache, to be counted."""

    HIT = "hit"
    """Blocks that were read here."""
    MISS = "miss"
    """Blocks that had to be fetched."""
    FETCHED_BYTES = "fetched_bytes"
    """Bytes that were fetched."""
    SERVED_BYTES = "served_bytes"
    """Bytes that were read here."""
    EVICTED = "evicted"
    """Blocks that made room for others."""
    DAMAGED = "damaged"
    """Blocks that did not match their checksums, and were dropped."""
    PASSED_BY = "passed_by"
    """Blocks that were not kept: the disk is full, or refuses."""

    @property
    def counts_blocks(self) -> bool:
        """Whether it comes with a number of blocks, not of bytes."""
        return self not in {CacheEvent.FETCHED_BYTES, CacheEvent.SERVED_BYTES}


@runtime_checkable
class SupportsObservation(Protocol):
    """An ability of stores that have a cache: telling what happens in it."""

    def observe(self, count: Callable[[CacheEvent, int], None]) -> None:
        """Have `count` called with what happens, and how many times or bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A block that the cache holds, as far as its tag tells."""

    length: int
    """Bytes of the block; fewer than `BLOCK_BYTES` at the end of its blob."""
    blob_size: int
    """Bytes of the whole blob."""
    index: int
    """Of the set."""
    way: int
    """Zero-based place in the set."""
    tag: bytes


class BlockCache:
    """Blocks by key and zero-based number. Safe between threads and between processes.

    What is on the disk is never believed: `read` gives bytes that match their checksum, or None.
    A disk that is full or broken makes it forgetful, and is no error.

    Parameters
    ----------
    folder
        Made when it is missing; holds nothing else. Processes with the same limit share it.
    limit_bytes
        The two files together never take more; at least `MINIMUM_BYTES`.
    reserved_bytes
        What is left free on the disk.
    count
        Told what happens, and how many times or bytes.
    now_ms
        The clock, milliseconds since 1970; processes that share the files share it too.

    Raises
    ------
    BlobsUnavailable
        When the folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        *,
        reserved_bytes: int = RESERVED_BYTES,
        count: Callable[[CacheEvent, int], None] = lambda _event, _amount: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._sets = limit_bytes // _SET_BYTES
        if self._sets < 1:
            message = f"a block cache holds at least {MINIMUM_BYTES} bytes, not {limit_bytes}"
            raise ValueError(message)
        self._reserved_bytes = reserved_bytes
        self._choosing = threading.Lock()
        self._complained = False
        self.count = count
        self._now_ms = now_ms
        names = [f"{kind}-{_LAYOUT}-{self._sets}" for kind in ("tags", "blocks")]
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for other in [*folder.glob("tags-*"), *folder.glob("blocks-*")]:
                if other.name not in names:  # of another limit; who still has it open may go on
                    other.unlink(missing_ok=True)
            self._tags, self._blocks = (
                os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                for name in names
            )
        except OSError as error:
            message = (
                f"the block cache in {folder} cannot be used: {error.strerror}; mend it, or set "
                "COVERSLIP_BLOCK_CACHE_BYTES=0 to go without"
            )
            raise BlobsUnavailable(message) from error

    @property
    def capacity(self) -> int:
        """Blocks that it holds at most."""
        return self._sets * WAYS

    def find(self, key: BlobKey, number: int) -> Held | None:
        """Tell whether a block is held, by its tag alone.

        Raises
        ------
        ValueError
            When `key` has not the form of one.
        """
        name = _key_name(key) + number.to_bytes(8, "little")
        index = self._set_of(name)
        record = self._record(index)
        at = record.find(name, _STAMPS.size) - _NAME_OFFSET - _STAMPS.size
        way, rest = divmod(at, _TAG.size)
        if at < 0 or rest:
            return None
        tag = record[_STAMPS.size + at : _STAMPS.size + at + _TAG.size]
        if not _is_whole(tag):
            return None
        _, _, _, blob_size, length, *_ = _TAG.unpack(tag)
        (stamp,) = _STAMP.unpack_from(record, way * _STAMP.size)
        now = self._now_ms()
        if not 0 <= now - stamp < _STAMP_AGE_MS:
            with contextlib.suppress(OSError):
                os.pwrite(self._tags, _STAMP.pack(now), self._stamp_at(index, way))
        return Held(length, blob_size, index, way, tag)

    def read(self, held: Held, begin: int, end: int) -> bytes | None:
        """Read bytes of a block, verified.

        Parameters
        ----------
        held
            As `find` gave it.
        begin, end
            Bytes from the start of the block; within it.

        Returns
        -------
        bytes or None
            None when they do not match their checksums; the block is dropped then.
        """
        first, last = begin // PAGE_BYTES, -(-end // PAGE_BYTES)
        at = first * PAGE_BYTES
        stop = min(last * PAGE_BYTES, held.length)
        try:
            pages = os.pread(self._blocks, stop - at, self._block_at(held.index, held.way) + at)
        except OSError:
            pages = b""
        if len(pages) == stop - at and _match(pages, held.tag, first, last):
            return pages[begin - at : end - at]
        self._drop_damaged(held)
        return None

    def put(self, key: BlobKey, number: int, content: memoryview, blob_size: int) -> None:
        """Keep a block, in the place of the one of its set that was not used for longest."""
        name = _key_name(key) + number.to_bytes(8, "little")
        index = self._set_of(name)
        sums = [xxh3_64_intdigest(content[at : at + PAGE_BYTES]) for at in _page_offsets(content)]
        rest = _TAG.pack(
            0, name[:16], number, blob_size, len(content), *sums, *[0] * (_PAGES - len(sums))
        )[_NAME_OFFSET:]
        tag = _STAMP.pack(xxh3_64_intdigest(rest)) + rest
        try:
            way = self._claim(index, name)
            if way is None:
                return
            complete = os.pwrite(self._blocks, content, self._block_at(index, way))
            if complete == len(content):
                os.pwrite(self._tags, tag, self._tag_at(index, way))
                return
            self._pass_by("no space left on its disk")
        except OSError as error:
            self._pass_by("no space left on its disk" if error.errno in _FULL else str(error))

    def drop(self, key: BlobKey, blob_size: int) -> None:
        """Forget every block of a blob of so many bytes, and overwrite what they held."""
        for number in range(-(-blob_size // BLOCK_BYTES)):
            held = self.find(key, number)
            if held is not None:
                with contextlib.suppress(OSError):
                    self._clear(held)
                    os.pwrite(
                        self._blocks, bytes(held.length), self._block_at(held.index, held.way)
                    )

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._tags, self._blocks):
            os.close(descriptor)

    def _claim(self, index: int, name: bytes) -> int | None:
        """Choose the place for a block and empty it; None when it is there or there is no room."""
        with self._choosing:
            record = self._record(index).ljust(_RECORD_BYTES, b"\0")
            stamps = _STAMPS.unpack_from(record)
            way = min(range(WAYS), key=stamps.__getitem__)
            at = _STAMPS.size + way * _TAG.size
            taken = record[at : at + _TAG.size] != _NO_TAG
            if name in record:
                return None  # another process was faster, or another thread is
            if not taken and not self._has_room():
                self._pass_by("its disk is nearly full")
                return None
            # Stamped at once, so that no other thread chooses it while it is written.
            os.pwrite(self._tags, _STAMP.pack(self._now_ms()), self._stamp_at(index, way))
            if taken:
                os.pwrite(self._tags, _NO_TAG, self._tag_at(index, way))
                self.count(CacheEvent.EVICTED, 1)
        return way

    def _has_room(self) -> bool:
        disk = os.fstatvfs(self._blocks)
        return disk.f_bavail * disk.f_frsize >= self._reserved_bytes + BLOCK_BYTES

    def _drop_damaged(self, held: Held) -> None:
        """Drop a block that did not match, unless its place has just been given to another."""
        with contextlib.suppress(OSError):
            at = self._tag_at(held.index, held.way)
            if os.pread(self._tags, _TAG.size, at) == held.tag:
                self._clear(held)
                self.count(CacheEvent.DAMAGED, 1)

    def _clear(self, held: Held) -> None:
        os.pwrite(self._tags, _NO_TAG, self._tag_at(held.index, held.way))
        os.pwrite(self._tags, _STAMP.pack(0), self._stamp_at(held.index, held.way))

    def _pass_by(self, why: str) -> None:
        self.count(CacheEvent.PASSED_BY, 1)
        if not self._complained:
            self._complained = True
            _log.warning("the block cache keeps nothing new: %s", why)

    def _record(self, index: int) -> bytes:
        try:
            return os.pread(self._tags, _RECORD_BYTES, index * _RECORD_BYTES)
        except OSError:
            return b""

    def _set_of(self, name: bytes) -> int:
        # Neighbours are in neighbouring sets, so that a large blob fills all sets alike.
        return (int.from_bytes(name[:8]) + int.from_bytes(name[16:], "little")) % self._sets

    def _stamp_at(self, index: int, way: int) -> int:
        return index * _RECORD_BYTES + way * _STAMP.size

    def _tag_at(self, index: int, way: int) -> int:
        return index * _RECORD_BYTES + _STAMPS.size + way * _TAG.size

    def _block_at(self, index: int, way: int) -> int:
        # All first places come first: neighbours that came together lie together on the disk.
        return (way * self._sets + index) * BLOCK_BYTES


@lru_cache(maxsize=4096)
def _key_name(key: BlobKey) -> bytes:
    """Give the 16 bytes by which a blob is known here: the random part of its key."""
    check_key(key)
    return bytes.fromhex(key[3:35])


def _is_whole(tag: bytes) -> bool:
    (expected,) = _STAMP.unpack_from(tag)
    return len(tag) == _TAG.size and xxh3_64_intdigest(tag[_NAME_OFFSET:]) == expected


def _match(pages: bytes, tag: bytes, first: int, last: int) -> bool:
    """Tell whether pages `first` to `last` (not included) are those that the tag describes."""
    view = memoryview(pages)
    expected = struct.unpack_from(f"<{last - first}Q", tag, _SUMS_OFFSET + 8 * first)
    return all(
        xxh3_64_intdigest(view[at : at + PAGE_BYTES]) == one
        for at, one in zip(_page_offsets(view), expected, strict=True)
    )


def _page_offsets(content: memoryview) -> range:
    return range(0, len(content), PAGE_BYTES)
