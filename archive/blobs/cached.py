"""An object store with some of its blocks on a disk of this machine.

Reading a span goes by way of the cache and fills it. `open` does not: who reads a blob from end to
end to prove it, export it or send it must see the blob itself, and would only push out what others
look at.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import batched, chain, groupby, islice
from typing import BinaryIO, NamedTuple, Protocol

from archive.blobs.block_cache import BLOCK_BYTES, BlockCache, CacheEvent
from archive.blobs.block_flights import BlockFlights
from archive.blobs.range_client import RangeRead
from archive.blobs.store import BlobStat, BlobStore, too_short
from archive.errors import BlobMissing
from archive.model.frames import ByteSpan
from archive.model.instances import BlobKey, StagedFile

PARALLEL_READS = 16
"""Requests that one process has on their way at once for reads of several blocks."""

RUN_BLOCKS = 16
"""Neighbouring blocks are fetched by one request up to so many, 4 MiB: twice that was no faster."""

BATCH_BLOCKS = 64
"""Blocks of one read that are in memory at once, 16 MiB."""

WAITING_RUNS = 8
"""Runs of blocks, 32 MiB at most, that wait to be written; past this who fetched one writes it."""


class RangedBlobs(BlobStore, Protocol):
    """A `BlobStore` that can be asked for a range without knowing where the blob ends."""

    def read_range(self, key: BlobKey, span: ByteSpan) -> RangeRead:
        """Read a span that may end behind the blob, in one request."""
        ...


class _Piece(NamedTuple):
    """The part of a wanted span that lies in one block."""

    number: int
    """Of the block, zero-based."""
    begin: int
    """Bytes from the start of the block."""
    end: int


class CachedBlobs:
    """A `BlobStore` before another one; see there for the contract.

    Also `SupportsImmediateRead` and `SupportsObservation`.

    Parameters
    ----------
    origin
        Where the blobs are. It is closed along with this store.
    cache
        Closed along with this store, too.
    """

    def __init__(self, origin: RangedBlobs, cache: BlockCache) -> None:
        self._origin = origin
        self._cache = cache
        self._flights = BlockFlights()
        self._pool = ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="blocks")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="block-cache")
        self._room = threading.BoundedSemaphore(WAITING_RUNS)

    def observe(self, count: Callable[[CacheEvent, int], None]) -> None:
        """Have `count` told what happens in the cache (see `SupportsObservation`)."""
        self._cache.count = count

    def put(self, key: BlobKey, staged: StagedFile) -> None:
        """Keep `staged` as `key` (see `BlobStore.put`)."""
        self._origin.put(key, staged)

    def read_now(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes] | None:
        """Read spans that the cache holds (see `SupportsImmediateRead`)."""
        contents, blocks = [], len(spans)
        for span in spans:
            number, begin = divmod(span.offset, BLOCK_BYTES)
            end = begin + span.length
            content: bytes | None
            if begin < end <= BLOCK_BYTES:  # most frames lie in one block: the path that is short
                content = self._cache.read(key, number, begin, end)
            else:
                content = self._read_across(key, span)
                blocks += len(_pieces(span)) - 1
            if content is None:
                return None
            contents.append(content)
        self._count_hits(blocks, contents)
        return contents

    def read(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Read spans (see `BlobStore.read`); what the cache lacks is fetched in whole blocks."""
        pieces = [piece for span in spans for piece in _pieces(span)]
        contents = [b""] * len(pieces)
        for batch in _batches(pieces):
            missing = []
            for at in batch:
                content = self._cache.read(key, *pieces[at])
                if content is None:
                    missing.append(at)
                else:
                    contents[at] = content
                    self._count_hits(1, [content])
            blocks = self._fetch(key, sorted({pieces[at].number for at in missing}))
            for at in missing:
                contents[at] = _cut(key, pieces[at], blocks)
        return _joined(spans, contents)

    def open(self, key: BlobKey) -> AbstractContextManager[BinaryIO]:
        """Open the blob itself, past the cache (see `BlobStore.open`)."""
        return self._origin.open(key)

    def stat(self, key: BlobKey) -> BlobStat:
        """Give size and age (see `BlobStore.stat`)."""
        return self._origin.stat(key)

    def delete(self, key: BlobKey) -> None:
        """Remove a blob, and what the cache has of it (see `BlobStore.delete`).

        Another machine's cache may hold some of it until it is pushed out. Nobody asks for it
        there: what is no longer in the catalog is not read.
        """
        size = 0
        with suppress(BlobMissing):
            size = self._origin.stat(key).size
        self._origin.delete(key)
        self.settle()  # nothing of it is written afterwards
        self._cache.drop(key, size)

    def keys(self, prefix: str = "") -> Iterator[BlobKey]:
        """Give the keys (see `BlobStore.keys`)."""
        return self._origin.keys(prefix)

    def check(self) -> None:
        """Raise `BlobsUnavailable` unless the store itself answers (see `BlobStore.check`)."""
        self._origin.check()

    def close(self) -> None:
        """Close the store, then the cache."""
        self._pool.shutdown()
        self._writer.shutdown()
        self._origin.close()
        self._cache.close()

    def settle(self) -> None:
        """Wait until the cache holds what has been fetched so far."""
        self._writer.submit(lambda: None).result()

    def _read_across(self, key: BlobKey, span: ByteSpan) -> bytes | None:
        """Read a span of several blocks, or of none, from the cache."""
        contents = []
        for piece in _pieces(span):
            content = self._cache.read(key, *piece)
            if content is None:
                return None
            contents.append(content)
        return b"".join(contents)

    def _count_hits(self, blocks: int, contents: Sequence[bytes]) -> None:
        self._cache.count(CacheEvent.HIT, blocks)
        self._cache.count(CacheEvent.SERVED_BYTES, sum(map(len, contents)))

    def _fetch(self, key: BlobKey, numbers: Sequence[int]) -> Mapping[int, memoryview]:
        """Fetch blocks, or wait for those who fetch them already."""
        flights, mine = self._flights.claim(key, numbers)
        missing = []
        for number in mine:  # who was faster may have landed it since it was looked for
            content = self._cache.read(key, number, 0)
            if content is None:
                missing.append(number)
            else:
                self._flights.land(key, number, memoryview(content))
                self._flights.forget(key, [number])
        here, *elsewhere = _runs(missing) or [range(0)]
        for run in elsewhere:
            try:
                self._pool.submit(self._fetch_run, key, run)
            except RuntimeError:  # the store is being closed: nothing that was claimed may hang
                self._fetch_run(key, run)
        self._fetch_run(key, here)
        return {number: flight.result() for number, flight in flights.items()}

    def _fetch_run(self, key: BlobKey, run: range) -> None:
        """Fetch neighbouring blocks by one request, keep them, and hand them to who waits."""
        if not run:
            return
        try:
            found = self._origin.read_range(
                key, ByteSpan(run.start * BLOCK_BYTES, len(run) * BLOCK_BYTES)
            )
        except BaseException as error:  # noqa: BLE001 — goes to everybody who waits, the caller too
            self._flights.fail(key, run, error)
            return
        self._cache.count(CacheEvent.MISS, len(run))
        self._cache.count(CacheEvent.FETCHED_BYTES, len(found.content))
        blocks = {
            number: found.content[first : first + BLOCK_BYTES]
            for number, first in zip(
                run, range(0, len(run) * BLOCK_BYTES, BLOCK_BYTES), strict=True
            )
        }
        for number, content in blocks.items():
            self._flights.land(key, number, content)
        # Who waits has got what they want; keeping it costs them no time.
        if not self._room.acquire(blocking=False):
            self._keep(key, blocks)
            return
        try:
            self._writer.submit(self._keep, key, blocks).add_done_callback(self._written)
        except RuntimeError:  # the store is being closed
            self._room.release()
            self._flights.forget(key, blocks)

    def _written(self, writing: Future[None]) -> None:
        self._room.release()
        writing.result()  # what nobody foresaw is logged, with its traceback

    def _keep(self, key: BlobKey, blocks: Mapping[int, memoryview]) -> None:
        """Put blocks into the cache, and let go of them."""
        try:
            for number, content in blocks.items():
                if content:
                    self._cache.put(key, number, content)
        finally:
            self._flights.forget(key, blocks)


def _pieces(span: ByteSpan) -> list[_Piece]:
    """Cut a span at the edges of blocks; an empty one has no pieces."""
    first, last = span.offset // BLOCK_BYTES, -(-span.end // BLOCK_BYTES)
    if span.length == 0:
        return []
    return [
        _Piece(
            number,
            max(span.offset - number * BLOCK_BYTES, 0),
            min(span.end - number * BLOCK_BYTES, BLOCK_BYTES),
        )
        for number in range(first, last)
    ]


def _batches(pieces: Sequence[_Piece]) -> Iterator[list[int]]:
    """Give indexes of pieces by ascending block, those of a bounded number of blocks at a time."""
    ascending = sorted(range(len(pieces)), key=lambda at: pieces[at].number)
    by_block = (list(group) for _, group in groupby(ascending, lambda at: pieces[at].number))
    for some in batched(by_block, BATCH_BLOCKS):
        yield list(chain.from_iterable(some))


def _runs(numbers: Sequence[int]) -> list[range]:
    """Join ascending numbers that follow on each other, so many at most."""
    runs: list[range] = []
    for number in numbers:
        if runs and runs[-1].stop == number and len(runs[-1]) < RUN_BLOCKS:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def _cut(key: BlobKey, piece: _Piece, blocks: Mapping[int, memoryview]) -> bytes:
    content = blocks[piece.number]
    if piece.end > len(content):
        raise too_short(key)
    return bytes(content[piece.begin : piece.end])


def _joined(spans: Sequence[ByteSpan], contents: Sequence[bytes]) -> list[bytes]:
    """Put the pieces of each span together again."""
    rest = iter(contents)
    return [b"".join(islice(rest, len(_pieces(span)))) for span in spans]
