"""The first part of a remote blob as a file, by way of a cache."""

from __future__ import annotations

import io
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.blobs import BlobStore, FilesystemBlobs, Staging, new_key, open_front
from archive.blobs.block_cache import BLOCK_BYTES, MINIMUM_BYTES, BlockCache, CacheEvent
from archive.blobs.cached import CachedBlobs
from archive.blobs.front_reader import FRONT_BYTES
from archive.blobs.object_store import ObjectStoreBlobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive.model.instances import BlobKey
    from tests.support.minio_server import MinioServer

SIZE = FRONT_BYTES + 3 * BLOCK_BYTES + 77
CONTENT = os.urandom(SIZE)


def put(blobs: BlobStore, folder: Path) -> BlobKey:
    staging = Staging(folder / "staging", limit_bytes=1 << 30)
    with staging.receive() as writer:
        writer.write(CONTENT)
        staged = writer.finish()
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    staging.close()
    return key


@pytest.fixture
def blobs(minio_server: MinioServer, tmp_path: Path) -> Iterator[CachedBlobs]:
    cache = BlockCache(tmp_path / "cache", 8 * MINIMUM_BYTES)
    blobs = CachedBlobs(ObjectStoreBlobs(minio_server.bucket()), cache)
    yield blobs
    blobs.close()


def test_it_reads_and_seeks_like_any_file(blobs: CachedBlobs, tmp_path: Path) -> None:
    key = put(blobs, tmp_path)
    edge = FRONT_BYTES
    places = st.one_of(st.integers(0, SIZE + 5), st.integers(edge - 300_000, edge + 300_000))
    reads = st.lists(st.tuples(places, st.integers(0, 600_000)), max_size=6)

    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(wanted=reads)
    def check(wanted: list[tuple[int, int]]) -> None:
        plain = io.BytesIO(CONTENT)
        with open_front(blobs, key, SIZE) as file:
            for offset, length in wanted:
                assert file.seek(offset) == plain.seek(offset)
                assert file.read(length) == plain.read(length)
            assert file.seek(-9, io.SEEK_END) == plain.seek(-9, io.SEEK_END)
            assert file.read() == plain.read()

    check()


def test_a_header_that_is_read_again_costs_no_request_and_no_more_room(
    blobs: CachedBlobs, tmp_path: Path
) -> None:
    events: Counter[CacheEvent] = Counter()

    def count(event: CacheEvent, amount: int) -> None:
        events[event] += amount

    blobs.observe(count)
    key = put(blobs, tmp_path)
    for _ in range(3):
        with open_front(blobs, key, SIZE) as file:
            assert file.read() == CONTENT
    assert events[CacheEvent.MISS] == FRONT_BYTES // BLOCK_BYTES
    assert events[CacheEvent.FETCHED_BYTES] == FRONT_BYTES


def test_a_local_file_is_given_as_it_is(tmp_path: Path) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs")
    key = put(blobs, tmp_path)
    with open_front(blobs, key, SIZE) as file:
        assert file.fileno() > 0
        assert file.read() == CONTENT
    blobs.close()
