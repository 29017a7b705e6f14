"""What every blob store must do. A subclass gives the fixture `blobs` and says how it staged."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.blobs import BlobStore, Staging, new_key, sha256_of_key
from archive.errors import BlobExists, BlobMissing, BlobsUnavailable, FixityFailure
from archive.model.frames import ByteSpan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive.model.instances import BlobKey, StagedFile

CONTENT = bytes(range(256)) * 1024
"""256 KiB in which each byte tells its position modulo 256."""

spans = st.lists(
    st.builds(
        lambda offset, length: ByteSpan(offset, min(length, len(CONTENT) - offset)),
        st.integers(0, len(CONTENT)),
        st.integers(0, 70_000),
    ),
    max_size=12,
)


class BlobStoreContract:
    """Tests that hold for every `BlobStore`."""

    LARGE = 40 * 1024 * 1024 + 17
    """Bytes; more than one part of a multipart upload, and no multiple of anything."""

    @pytest.fixture
    def staging(self, tmp_path: Path) -> Iterator[Staging]:
        staging = Staging(tmp_path / "staging", limit_bytes=1 << 30)
        yield staging
        staging.close()

    def stage(self, staging: Staging, content: bytes) -> StagedFile:
        with staging.receive() as writer:
            writer.write(content)
            return writer.finish()

    def put(self, blobs: BlobStore, staging: Staging, content: bytes) -> BlobKey:
        staged = self.stage(staging, content)
        key = new_key(staged.sha256)
        blobs.put(key, staged)
        staging.discard(staged)
        return key

    def test_what_was_put_is_read_back(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        with blobs.open(key) as file:
            assert file.read() == CONTENT

    def test_an_empty_blob_is_kept(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, b"")
        assert blobs.stat(key).size == 0
        with blobs.open(key) as file:
            assert file.read() == b""
        assert blobs.read(key, [ByteSpan(0, 0)]) == [b""]

    def test_a_large_blob_is_read_back_whole(self, blobs: BlobStore, staging: Staging) -> None:
        content = os.urandom(1024 * 1024) * 41
        content = content[: self.LARGE]
        key = self.put(blobs, staging, content)
        digest = hashlib.sha256()
        with blobs.open(key) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        assert digest.hexdigest() == sha256_of_key(key)

    def test_the_staged_file_stays_with_the_caller(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        staged = self.stage(staging, CONTENT)
        blobs.put(new_key(staged.sha256), staged)
        assert staged.path.read_bytes() == CONTENT

    def test_stat_tells_size_and_age(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        stat = blobs.stat(key)
        assert stat.size == len(CONTENT)
        assert abs(datetime.now(UTC) - stat.modified_at) < timedelta(minutes=5)

    def test_a_key_is_never_used_twice(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        with pytest.raises(BlobExists):
            blobs.put(key, self.stage(staging, b"something else"))
        with blobs.open(key) as file:
            assert file.read() == CONTENT

    def test_a_file_altered_after_staging_is_refused(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        staged = self.stage(staging, CONTENT)
        staged.path.write_bytes(CONTENT[:-1])
        key = new_key(staged.sha256)
        with pytest.raises(FixityFailure):
            blobs.put(key, staged)
        with pytest.raises(BlobMissing):
            blobs.stat(key)

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        # One store serves all examples, and each subclass is an executor with a store of its own.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(wanted=spans)
    def test_spans_come_back_in_the_order_asked_for(
        self, blobs: BlobStore, staging: Staging, wanted: list[ByteSpan]
    ) -> None:
        key = next(blobs.keys(), None) or self.put(blobs, staging, CONTENT)
        assert blobs.read(key, wanted) == [CONTENT[span.offset : span.end] for span in wanted]

    def test_a_span_past_the_end_is_an_alarm(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        for span in (ByteSpan(len(CONTENT) - 5, 6), ByteSpan(len(CONTENT) + 100, 1)):
            with pytest.raises(FixityFailure):
                blobs.read(key, [span])

    def test_an_open_blob_can_seek(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        with blobs.open(key) as file:
            assert file.read(4) == CONTENT[:4]
            assert file.seek(200_001) == 200_001
            assert file.read(9) == CONTENT[200_001:200_010]
            assert file.seek(-3, os.SEEK_END) == len(CONTENT) - 3
            assert file.read(99) == CONTENT[-3:]
            assert file.seek(10) == 10
            assert file.read(300_000) == CONTENT[10:]

    def test_what_is_not_there_is_missing(self, blobs: BlobStore) -> None:
        key = new_key("0" * 64)
        with pytest.raises(BlobMissing):
            blobs.stat(key)
        with pytest.raises(BlobMissing):
            blobs.read(key, [ByteSpan(0, 1)])
        with pytest.raises(BlobMissing), blobs.open(key):
            pass

    def test_a_deleted_blob_is_gone_also_for_one_who_read_it(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        key = self.put(blobs, staging, CONTENT)
        blobs.read(key, [ByteSpan(0, 1)])
        blobs.delete(key)
        with pytest.raises(BlobMissing):
            blobs.read(key, [ByteSpan(0, 1)])
        assert list(blobs.keys()) == []

    def test_deleting_twice_is_no_error(self, blobs: BlobStore, staging: Staging) -> None:
        key = self.put(blobs, staging, CONTENT)
        blobs.delete(key)
        blobs.delete(key)

    def test_keys_are_listed_in_order_and_by_prefix(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        put = sorted(self.put(blobs, staging, bytes([number])) for number in range(20))
        assert list(blobs.keys()) == put
        for prefix in ("", "a", put[0][:1], put[3][:2], put[3][:3], put[5][:20], put[7], "zz"):
            assert list(blobs.keys(prefix)) == [key for key in put if key.startswith(prefix)]

    @pytest.mark.parametrize(
        "key",
        [
            "../../etc/passwd",
            "/etc/passwd",
            "",
            "ab/../../x",
            "ab/" + "a" * 32 + ".dcm",
            new_key("0" * 64).upper(),
            new_key("0" * 64) + "\n",
            "ab\x00/" + new_key("0" * 64),
        ],
    )
    def test_what_has_not_the_form_of_a_key_is_refused(
        self, blobs: BlobStore, staging: Staging, key: BlobKey
    ) -> None:
        staged = self.stage(staging, CONTENT)
        with pytest.raises(ValueError, match="not the key"):
            blobs.put(key, staged)
        with pytest.raises(ValueError, match="not the key"):
            blobs.read(key, [ByteSpan(0, 1)])
        with pytest.raises(ValueError, match="not the key"):
            blobs.stat(key)
        with pytest.raises(ValueError, match="not the key"):
            blobs.delete(key)
        with pytest.raises(ValueError, match="not the key"), blobs.open(key):
            pass

    def test_threads_read_and_put_at_once(self, blobs: BlobStore, staging: Staging) -> None:
        keys = [self.put(blobs, staging, CONTENT[number:]) for number in range(8)]
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for turn in range(25):
                key = keys[(number + turn) % 8]
                skipped = keys.index(key)
                first = 997 * turn
                (found,) = blobs.read(key, [ByteSpan(first, 5000)])
                assert found == CONTENT[skipped + first : skipped + first + 5000]
            mine = self.put(blobs, staging, f"of thread {number}".encode())
            blobs.delete(mine)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert sorted(blobs.keys()) == sorted(keys)

    def test_a_store_that_answers_passes_its_check(self, blobs: BlobStore) -> None:
        blobs.check()

    def test_a_put_that_cannot_be_done_leaves_nothing(
        self, blobs: BlobStore, staging: Staging
    ) -> None:
        staged = self.stage(staging, CONTENT)
        lying = replace(staged, size=staged.size + 1)
        with pytest.raises((FixityFailure, BlobsUnavailable)):
            blobs.put(new_key(staged.sha256), lying)
        assert list(blobs.keys()) == []
