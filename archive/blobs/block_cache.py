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
from archive.blobs.store import too_short
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
_NUMBER = struct.Struct("<Q")
# Checksum of the rest; key and number of the block; bytes of the block; checksum of each page.
_TAG = struct.Struct(f"<Q24sQ{_PAGES}Q")
_NAME_OFFSET = 8
# When each place was used last, milliseconds since 1970; 0 is never.
_STAMPS = struct.Struct(f"<{WAYS}Q")
_RECORD_BYTES = _STAMPS.size + WAYS * _TAG.size
_SET_BYTES = _RECORD_BYTES + WAYS * BLOCK_BYTES
_STAMP_AGE_MS = 10_000  # a stamp younger than this is not written again
_REMEMBERED_PLACES = 16_384  # 4 GiB of blocks, in some 10 MB of memory
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
class _Place:
    """Where a block lies, and what its tag says of it."""

    index: int
    """Of the set."""
    way: int
    """Zero-based place in the set."""
    tag: bytes
    """As it is on the disk."""
    length: int
    """Bytes of the block; fewer than `BLOCK_BYTES` at the end of its blob."""
    sums: tuple[int, ...]
    """Checksum of each page."""
    until: int
    """When its stamp is due again, milliseconds since 1970."""


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
        self._remembered: dict[tuple[BlobKey, int], _Place] = {}
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

    def holds(self, key: BlobKey, number: int) -> bool:
        """Tell whether a block is held, by its tag alone."""
        return self._look_up(key, number) is not None

    def read(self, key: BlobKey, number: int, begin: int, end: int | None = None) -> bytes | None:
        """Read bytes of a block, verified.

        Parameters
        ----------
        number
            Of the block, zero-based.
        begin, end
            Bytes from the start of the block; to its own end when `end` is left out.

        Returns
        -------
        bytes or None
            None when the block is not here, or does not match its checksums; it is dropped then.

        Raises
        ------
        FixityFailure
            When the blob ends within this block, before `end`.
        ValueError
            When `key` has not the form of one.
        """
        # What a tag said is remembered; the bytes are verified against it each time all the same.
        # Another block may have its place by now, which does not match and is looked up once more.
        name = (key, number)
        remembered = self._remembered.get(name)
        if remembered is not None and self._now_ms() < remembered.until:
            content = self._read(key, remembered, begin, end)
            if content is not None:
                return content
        place = self._look_up(key, number)
        if place is None:
            self._remembered.pop(name, None)
            return None
        content = self._read(key, place, begin, end)
        if content is None:
            self._drop_damaged(place)
            return None
        if len(self._remembered) >= _REMEMBERED_PLACES:
            self._remembered.clear()
        self._remembered[name] = place
        return content

    def put(self, key: BlobKey, number: int, content: memoryview) -> None:
        """Keep a block, in the place of the one of its set that was not used for longest."""
        name = _name(key, number)
        index = self._set_of(name)
        sums = [xxh3_64_intdigest(content[at : at + PAGE_BYTES]) for at in _page_offsets(content)]
        sums += [0] * (_PAGES - len(sums))
        rest = _TAG.pack(0, name, len(content), *sums)[_NAME_OFFSET:]
        tag = _NUMBER.pack(xxh3_64_intdigest(rest)) + rest
        try:
            way = self._claim(index, name)
            if way is None:
                return
            if os.pwrite(self._blocks, content, self._block_at(index, way)) == len(content):
                os.pwrite(self._tags, tag, self._tag_at(index, way))
                return
            self._pass_by("no space left on its disk")
        except OSError as error:
            self._pass_by("no space left on its disk" if error.errno in _FULL else str(error))

    def drop(self, key: BlobKey, blob_size: int) -> None:
        """Forget every block of a blob of so many bytes, and overwrite what they place."""
        for number in range(-(-blob_size // BLOCK_BYTES)):
            self._remembered.pop((key, number), None)
            for _ in range(WAYS):  # processes that fetch at the same time may have put it twice
                place = self._look_up(key, number)
                if place is None:
                    break
                with contextlib.suppress(OSError):
                    self._clear(place)
                    at = self._block_at(place.index, place.way)
                    os.pwrite(self._blocks, bytes(place.length), at)

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._tags, self._blocks):
            os.close(descriptor)

    def _look_up(self, key: BlobKey, number: int) -> _Place | None:
        """Find a block by its tag, and stamp it as used."""
        name = _name(key, number)
        index = self._set_of(name)
        record = self._record(index)
        way = _way_of(record, name)
        if way is None:
            return None
        tag = _tag_of(record, way)
        if not _is_whole(tag):
            return None
        (stamp,) = _NUMBER.unpack_from(record, way * _NUMBER.size)
        now = self._now_ms()
        if not 0 <= now - stamp < _STAMP_AGE_MS:
            with contextlib.suppress(OSError):
                os.pwrite(self._tags, _NUMBER.pack(now), self._stamp_at(index, way))
        _, _, length, *sums = _TAG.unpack(tag)
        return _Place(index, way, tag, length, tuple(sums), now + _STAMP_AGE_MS)

    def _read(self, key: BlobKey, place: _Place, begin: int, end: int | None) -> bytes | None:
        """Read bytes from a place; None when they are not what its tag says."""
        if end is None:
            end = place.length
        elif end > place.length:
            raise too_short(key)
        first, last = begin // PAGE_BYTES, -(-end // PAGE_BYTES)
        at = first * PAGE_BYTES
        length = min(last * PAGE_BYTES, place.length) - at
        try:
            pages = os.pread(self._blocks, length, self._block_at(place.index, place.way) + at)
        except OSError:
            return None
        if len(pages) != length:
            return None
        view = memoryview(pages)
        for page in range(last - first):
            some = view[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
            if xxh3_64_intdigest(some) != place.sums[first + page]:
                return None
        return pages[begin - at : end - at]

    def _claim(self, index: int, name: bytes) -> int | None:
        """Choose the place for a block and empty it; None when it is there or there is no room."""
        with self._choosing:
            record = self._record(index).ljust(_RECORD_BYTES, b"\0")
            stamps = _STAMPS.unpack_from(record)
            way = _way_of(record, name)
            if way is None:
                way = min(range(WAYS), key=stamps.__getitem__)
            elif _is_whole(_tag_of(record, way)):
                return None  # another process was faster
            taken = _tag_of(record, way) != _NO_TAG
            if not taken and not self._has_room():
                self._pass_by("its disk is nearly full")
                return None
            # Stamped at once, so that no other thread chooses it while it is written.
            os.pwrite(self._tags, _NUMBER.pack(self._now_ms()), self._stamp_at(index, way))
            if taken:
                os.pwrite(self._tags, _NO_TAG, self._tag_at(index, way))
                self.count(CacheEvent.EVICTED, 1)
        return way

    def _has_room(self) -> bool:
        disk = os.fstatvfs(self._blocks)
        return disk.f_bavail * disk.f_frsize >= self._reserved_bytes + BLOCK_BYTES

    def _drop_damaged(self, place: _Place) -> None:
        """Drop a block that did not match, unless its place has just been given to another."""
        with contextlib.suppress(OSError):
            at = self._tag_at(place.index, place.way)
            if os.pread(self._tags, _TAG.size, at) == place.tag:
                self._clear(place)
                self.count(CacheEvent.DAMAGED, 1)

    def _clear(self, place: _Place) -> None:
        os.pwrite(self._tags, _NO_TAG, self._tag_at(place.index, place.way))
        os.pwrite(self._tags, _NUMBER.pack(0), self._stamp_at(place.index, place.way))

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
        return index * _RECORD_BYTES + way * _NUMBER.size

    def _tag_at(self, index: int, way: int) -> int:
        return index * _RECORD_BYTES + _STAMPS.size + way * _TAG.size

    def _block_at(self, index: int, way: int) -> int:
        # All first places come first: neighbours that came together lie together on the disk.
        return (way * self._sets + index) * BLOCK_BYTES


def _name(key: BlobKey, number: int) -> bytes:
    """Give the name of a block, as it is in its tag."""
    return _key_name(key) + _NUMBER.pack(number)


@lru_cache(maxsize=4096)
def _key_name(key: BlobKey) -> bytes:
    """Give the 16 bytes by which a blob is known here: the random part of its key."""
    check_key(key)
    return bytes.fromhex(key[3:35])


def _way_of(record: bytes, name: bytes) -> int | None:
    """Find the place in a set whose tag has this name, whole or not."""
    at = record.find(name, _STAMPS.size) - _STAMPS.size - _NAME_OFFSET
    way, rest = divmod(at, _TAG.size)
    return None if at < 0 or rest else way


def _tag_of(record: bytes, way: int) -> bytes:
    at = _STAMPS.size + way * _TAG.size
    return record[at : at + _TAG.size]


def _is_whole(tag: bytes) -> bool:
    if len(tag) != _TAG.size:
        return False
    expected: int = _NUMBER.unpack_from(tag)[0]
    return xxh3_64_intdigest(memoryview(tag)[_NAME_OFFSET:]) == expected


def _page_offsets(content: memoryview) -> range:
    return range(0, len(content), PAGE_BYTES)
