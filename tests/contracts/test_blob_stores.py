"""The contract of `BlobStore`, held to by every implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archive.blobs import BlobStore, FilesystemBlobs, Staging
from archive.blobs.block_cache import MINIMUM_BYTES, BlockCache
from archive.blobs.cached import CachedBlobs
from archive.blobs.object_store import ObjectStoreBlobs
from archive.blobs.store import SupportsImmediateRead, SupportsLocalPath
from archive.errors import BlobMissing
from archive.model.frames import ByteSpan
from tests.contracts.blob_store import CONTENT, BlobStoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.minio_server import MinioServer


class TestAFolder(BlobStoreContract):
    """Staged files are on the same file system, and are linked into place."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[BlobStore]:
        blobs = FilesystemBlobs(tmp_path / "blobs", staging=tmp_path / "staging", open_files=3)
        yield blobs
        blobs.close()

    def test_it_has_local_paths(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        assert isinstance(blobs, SupportsLocalPath)
        assert blobs.local_path(key).read_bytes() == CONTENT

    def test_it_reads_without_waiting(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        assert isinstance(blobs, SupportsImmediateRead)
        assert blobs.read_now(key, [ByteSpan(7, 9), ByteSpan(0, 2)]) == [CONTENT[7:16], CONTENT[:2]]
        blobs.delete(key)
        with pytest.raises(BlobMissing):
            blobs.read_now(key, [ByteSpan(7, 9)])


class TestAFolderThatCopies(BlobStoreContract):
    """Staged files are not our own scratch, and are copied."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[BlobStore]:
        blobs = FilesystemBlobs(tmp_path / "blobs")
        yield blobs
        blobs.close()


class TestABucket(BlobStoreContract):
    """A bucket of its own."""

    @pytest.fixture
    def blobs(self, minio_server: MinioServer) -> Iterator[BlobStore]:
        blobs = ObjectStoreBlobs(minio_server.bucket())
        yield blobs
        blobs.close()

    def test_it_has_no_local_paths(self, blobs: BlobStore) -> None:
        assert not isinstance(blobs, SupportsLocalPath)


class TestABucketBehindACache(BlobStoreContract):
    """A bucket, and a cache that is smaller than the large blob."""

    @pytest.fixture
    def blobs(self, minio_server: MinioServer, tmp_path: Path) -> Iterator[BlobStore]:
        cache = BlockCache(tmp_path / "cache", 4 * MINIMUM_BYTES)
        blobs = CachedBlobs(ObjectStoreBlobs(minio_server.bucket()), cache)
        yield blobs
        blobs.close()

    def test_it_reads_without_waiting_what_was_read_before(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        key = self.put(blobs, staging, CONTENT)
        assert isinstance(blobs, CachedBlobs)
        assert isinstance(blobs, SupportsImmediateRead)
        wanted = [ByteSpan(7, 9), ByteSpan(0, 2)]
        assert blobs.read_now(key, wanted) is None
        found = blobs.read(key, wanted)
        blobs.settle()
        assert blobs.read_now(key, wanted) == found == [CONTENT[7:16], CONTENT[:2]]

    def test_it_has_no_local_paths(self, blobs: BlobStore) -> None:
        assert not isinstance(blobs, SupportsLocalPath)


class TestAPrefixOfABucket(BlobStoreContract):
    """A bucket that holds other things too."""

    @pytest.fixture
    def blobs(self, minio_server: MinioServer) -> Iterator[BlobStore]:
        blobs = ObjectStoreBlobs(minio_server.bucket(prefix="pathology/slides"))
        yield blobs
        blobs.close()
