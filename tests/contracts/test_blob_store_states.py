"""Any sequence of calls leaves a blob store in the state that a dictionary would be in."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from archive.blobs import BlobStore, FilesystemBlobs, Staging, new_key
from archive.blobs.block_cache import MINIMUM_BYTES, BlockCache
from archive.blobs.cached import CachedBlobs
from archive.blobs.object_store import ObjectStoreBlobs
from archive.errors import BlobExists, BlobMissing, FixityFailure
from archive.model.frames import ByteSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.model.instances import BlobKey
    from tests.support.minio_server import MinioServer


class Store(RuleBasedStateMachine):
    """Puts, reads and deletes, beside a dictionary that says what must come of it."""

    keys: Bundle[BlobKey] = Bundle("keys")

    def __init__(self, open_store: Callable[[Path], BlobStore]) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="coverslip-states-"))
        self.staging = Staging(self.folder / "staging", limit_bytes=1 << 20)
        self.open_store = open_store
        self.blobs = open_store(self.folder)
        self.model: dict[BlobKey, bytes] = {}

    def teardown(self) -> None:
        self.blobs.close()
        shutil.rmtree(self.folder)

    @rule(target=keys, content=st.binary(max_size=300))
    def put(self, content: bytes) -> BlobKey:
        with self.staging.receive() as writer:
            writer.write(content)
            staged = writer.finish()
        key = new_key(staged.sha256)
        self.blobs.put(key, staged)
        self.staging.discard(staged)
        self.model[key] = content
        return key

    @rule(key=keys, content=st.binary(max_size=30))
    def put_again(self, key: BlobKey, content: bytes) -> None:
        if key not in self.model:
            return
        with self.staging.receive() as writer:
            writer.write(content)
            staged = writer.finish()
        with pytest.raises(BlobExists):
            self.blobs.put(key, staged)

    @rule(key=keys, offset=st.integers(0, 320), length=st.integers(0, 320))
    def read(self, key: BlobKey, offset: int, length: int) -> None:
        content = self.model.get(key)
        span = ByteSpan(offset, length)
        if length == 0:
            return
        if content is None:
            with pytest.raises(BlobMissing):
                self.blobs.read(key, [span])
        elif span.end > len(content):
            with pytest.raises(FixityFailure):
                self.blobs.read(key, [span])
        else:
            assert self.blobs.read(key, [span]) == [content[offset : span.end]]

    @rule(key=keys)
    def delete(self, key: BlobKey) -> None:
        self.blobs.delete(key)
        self.model.pop(key, None)

    @rule()
    def open_anew(self) -> None:
        self.blobs.close()
        self.blobs = self.open_store(self.folder)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert {key: self.blobs.stat(key).size for key in self.blobs.keys()} == {  # noqa: SIM118 — no dictionary
            key: len(content) for key, content in self.model.items()
        }


def test_a_folder_behaves_like_a_dictionary() -> None:
    def open_folder(folder: Path) -> BlobStore:
        return FilesystemBlobs(folder / "blobs", staging=folder / "staging", open_files=2)

    run_state_machine_as_test(
        lambda: Store(open_folder),  # type: ignore[arg-type]  # any maker of machines will do
        settings=settings(max_examples=30, stateful_step_count=25, deadline=None, database=None),
    )


def test_a_bucket_behaves_like_a_dictionary(minio_server: MinioServer) -> None:
    locations = {}

    def open_bucket(folder: Path) -> BlobStore:
        if folder not in locations:
            locations[folder] = minio_server.bucket()
        return ObjectStoreBlobs(locations[folder])

    run_state_machine_as_test(
        lambda: Store(open_bucket),  # type: ignore[arg-type]  # any maker of machines will do
        settings=settings(max_examples=10, stateful_step_count=20, deadline=None, database=None),
    )


def test_a_bucket_behind_a_cache_behaves_like_a_dictionary(minio_server: MinioServer) -> None:
    locations = {}

    def open_cached(folder: Path) -> BlobStore:
        if folder not in locations:
            locations[folder] = minio_server.bucket()
        cache = BlockCache(folder / "cache", MINIMUM_BYTES)  # eight blocks, so that some must go
        return CachedBlobs(ObjectStoreBlobs(locations[folder]), cache)

    run_state_machine_as_test(
        lambda: Store(open_cached),  # type: ignore[arg-type]  # any maker of machines will do
        settings=settings(max_examples=10, stateful_step_count=20, deadline=None, database=None),
    )
