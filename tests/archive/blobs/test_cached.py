"""A bucket of a real MinIO behind a block cache; the contract is in `tests/contracts`."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.blobs import Staging, new_key, open_blobs
from archive.blobs.block_cache import BLOCK_BYTES, MINIMUM_BYTES, BlockCache, CacheEvent
from archive.blobs.cached import CachedBlobs
from archive.blobs.location import CacheLocation, ObjectLocation
from archive.blobs.object_store import ObjectStoreBlobs
from archive.errors import BlobMissing, BlobsUnavailable, FixityFailure
from archive.model.frames import ByteSpan
from tests.support.minio_server import MinioServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archive.model.instances import BlobKey

SIZE = 21 * BLOCK_BYTES + 12_345
CONTENT = os.urandom(SIZE)


class Cached:
    """A cached bucket with one blob in it, and what was counted."""

    def __init__(self, location: ObjectLocation, folder: Path, limit: int) -> None:
        self.events: Counter[CacheEvent] = Counter()
        self.folder = folder
        self.blobs = CachedBlobs(ObjectStoreBlobs(location), BlockCache(folder / "cache", limit))
        self.blobs.observe(self._count)
        self._lock = threading.Lock()
        self.staging = Staging(folder / "staging", limit_bytes=1 << 30)
        self.key = self.put(CONTENT)

    def _count(self, event: CacheEvent, amount: int) -> None:
        with self._lock:
            self.events[event] += amount

    def put(self, content: bytes) -> BlobKey:
        with self.staging.receive() as writer:
            writer.write(content)
            staged = writer.finish()
        key = new_key(staged.sha256)
        self.blobs.put(key, staged)
        return key

    def read(self, offset: int, length: int) -> bytes:
        """Read a span, and wait until what came along is kept."""
        (found,) = self.blobs.read(self.key, [ByteSpan(offset, length)])
        self.blobs.settle()
        return found

    def close(self) -> None:
        self.blobs.close()
        self.staging.close()


@pytest.fixture
def make(tmp_path: Path, minio_server: MinioServer) -> Iterator[Callable[..., Cached]]:
    made = []

    def make(limit: int = 8 * MINIMUM_BYTES) -> Cached:
        made.append(Cached(minio_server.bucket(), tmp_path, limit))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def cached(make: Callable[..., Cached]) -> Cached:
    return make()


spans = st.lists(
    st.builds(
        lambda offset, length: ByteSpan(offset, min(length, SIZE - offset)),
        st.integers(0, SIZE),
        st.one_of(st.integers(0, 40_000), st.integers(0, 5 * BLOCK_BYTES)),
    ),
    max_size=10,
)


@pytest.mark.parametrize("limit", [MINIMUM_BYTES, 8 * MINIMUM_BYTES])
def test_any_spans_are_those_of_the_plain_bytes(make: Callable[..., Cached], limit: int) -> None:
    cached = make(limit)

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(wanted=spans)
    def check(wanted: list[ByteSpan]) -> None:
        expected = [CONTENT[span.offset : span.end] for span in wanted]
        assert cached.blobs.read_now(cached.key, wanted) in (None, expected)
        assert cached.blobs.read(cached.key, wanted) == expected

    check()
    assert cached.events[CacheEvent.HIT] > 0


def test_a_span_past_the_end_is_an_alarm_warm_as_cold(cached: Cached) -> None:
    for _ in range(2):
        for span in (ByteSpan(SIZE - 5, 6), ByteSpan(SIZE + BLOCK_BYTES, 1)):
            with pytest.raises(FixityFailure):
                cached.blobs.read(cached.key, [span])
        assert cached.read(SIZE - 5, 5) == CONTENT[-5:]
    with pytest.raises(FixityFailure):
        cached.blobs.read_now(cached.key, [ByteSpan(SIZE - 5, 6)])


def test_a_frame_brings_its_neighbours_along(cached: Cached) -> None:
    cached.read(100, 17_000)
    assert cached.blobs.read_now(cached.key, [ByteSpan(BLOCK_BYTES - 17_000, 17_000)])
    assert cached.blobs.read_now(cached.key, [ByteSpan(BLOCK_BYTES - 10, 20)]) is None
    assert cached.events[CacheEvent.MISS] == 1
    assert cached.events[CacheEvent.FETCHED_BYTES] == BLOCK_BYTES
    assert cached.events[CacheEvent.SERVED_BYTES] == 17_000


def test_many_who_want_one_block_cost_one_request(cached: Cached) -> None:
    start = threading.Barrier(12)

    def work(number: int) -> bytes:
        start.wait()
        return cached.read(1000 * number, 500)

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(work, range(12)))
    assert found == [CONTENT[1000 * n : 1000 * n + 500] for n in range(12)]
    assert cached.events[CacheEvent.MISS] == 1


def test_readers_of_overlapping_lists_fetch_each_block_once(cached: Cached) -> None:
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        wanted = [
            ByteSpan(((seed + 5 * n) % 21) * BLOCK_BYTES + 100 * seed, 3_000) for n in range(21)
        ]
        start.wait()
        assert cached.blobs.read(cached.key, wanted) == [
            CONTENT[span.offset : span.end] for span in wanted
        ]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert cached.events[CacheEvent.MISS] == 21


def test_blocks_are_fetched_in_runs(cached: Cached) -> None:
    assert cached.read(0, SIZE) == CONTENT
    assert cached.events[CacheEvent.MISS] == 22
    assert cached.events[CacheEvent.FETCHED_BYTES] == SIZE
    assert cached.blobs.read_now(cached.key, [ByteSpan(0, SIZE)]) == [CONTENT]


def test_reading_from_end_to_end_goes_past_the_cache(cached: Cached) -> None:
    with cached.blobs.open(cached.key) as file:
        assert file.read() == CONTENT
    assert cached.blobs.read_now(cached.key, [ByteSpan(0, 1)]) is None


def test_a_deleted_blob_is_missing_at_once(cached: Cached) -> None:
    cached.read(0, 10)
    cached.blobs.delete(cached.key)
    assert cached.blobs.read_now(cached.key, [ByteSpan(0, 10)]) is None
    with pytest.raises(BlobMissing):
        cached.read(0, 10)


def test_a_missing_blob_is_missing_for_all_who_wait(cached: Cached) -> None:
    start = threading.Barrier(4)
    missing = new_key("0" * 64)

    def work(_: int) -> None:
        start.wait()
        with pytest.raises(BlobMissing):
            cached.blobs.read(missing, [ByteSpan(0, 10)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_what_was_damaged_on_the_disk_is_fetched_again(cached: Cached) -> None:
    cached.read(0, 17_000)
    (blocks,) = (cached.folder / "cache").glob("blocks-*")
    blocks.write_bytes(os.urandom(blocks.stat().st_size))
    assert cached.blobs.read_now(cached.key, [ByteSpan(0, 17_000)]) is None
    assert cached.read(0, 17_000) == CONTENT[:17_000]
    assert cached.events[CacheEvent.DAMAGED] == 1
    assert cached.events[CacheEvent.MISS] == 2
    assert cached.blobs.read_now(cached.key, [ByteSpan(0, 17_000)]) == [CONTENT[:17_000]]


def test_without_the_store_what_is_here_is_read_on(tmp_path: Path) -> None:
    with MinioServer(tmp_path / "minio" / "data") as server:
        cached = Cached(server.bucket(), tmp_path, 8 * MINIMUM_BYTES)
        cached.read(BLOCK_BYTES, 17_000)
        server.stop()
        warm, cold = ByteSpan(BLOCK_BYTES + 5, 9), ByteSpan(0, 9)
        assert cached.blobs.read(cached.key, [warm]) == [CONTENT[warm.offset : warm.end]]
        with pytest.raises(BlobsUnavailable):
            cached.blobs.read(cached.key, [cold])
        with pytest.raises(BlobsUnavailable):
            cached.blobs.read(cached.key, [warm, cold])
        server.start()
        server.client().list_buckets()
        assert cached.blobs.read(cached.key, [cold]) == [CONTENT[:9]]
        cached.close()


def test_the_next_start_finds_what_the_last_one_read(
    tmp_path: Path, minio_server: MinioServer
) -> None:
    bucket = minio_server.bucket()
    with_cache = ObjectLocation(
        bucket.endpoint,
        bucket.bucket,
        bucket.prefix,
        bucket.access_key,
        bucket.secret_key,
        bucket.region,
        CacheLocation(tmp_path / "cache", 8 * MINIMUM_BYTES),
    )
    first = Cached(bucket, tmp_path, 8 * MINIMUM_BYTES)
    first.read(0, 17_000)
    first.close()
    second = open_blobs(with_cache)
    assert isinstance(second, CachedBlobs)
    assert second.read_now(first.key, [ByteSpan(0, 17_000)]) == [CONTENT[:17_000]]
    second.close()
