"""What is particular to a bucket; the rest is in `tests/contracts`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archive.blobs import ObjectLocation, Staging, new_key
from archive.blobs.object_store import (
    MAXIMUM_PARTS,
    PART_BYTES,
    ObjectStoreBlobs,
    part_bytes,
)
from archive.errors import BlobsUnavailable
from archive.model.frames import ByteSpan
from tests.support.minio_server import MinioServer, free_port
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from archive.model.instances import StagedFile

MIB = 1 << 20


def stage(staging: Staging, content: bytes) -> StagedFile:
    with staging.receive() as writer:
        writer.write(content)
        return writer.finish()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", limit_bytes=1 << 30)


def test_a_missing_bucket_is_named_at_the_start(minio_server: MinioServer) -> None:
    with pytest.raises(BlobsUnavailable, match=r"no bucket 'nobody-made-it'.*COVERSLIP_BLOBS"):
        ObjectStoreBlobs(minio_server.location("nobody-made-it"))


def test_wrong_keys_say_which_settings_to_look_at(minio_bucket: ObjectLocation) -> None:
    with pytest.raises(BlobsUnavailable) as caught:
        ObjectStoreBlobs(replace(minio_bucket, secret_key="wrong-but-long-enough"))
    assert "COVERSLIP_S3_SECRET_KEY" in str(caught.value)
    assert "wrong-but-long-enough" not in str(caught.value)


def test_a_store_that_does_not_run_is_named_soon() -> None:
    location = ObjectLocation(
        f"http://127.0.0.1:{free_port()}", "bucket", "", "key", "a-secret-key", "us-east-1"
    )
    started = time.monotonic()
    with pytest.raises(BlobsUnavailable, match=r"does not answer.*COVERSLIP_S3_ENDPOINT"):
        ObjectStoreBlobs(location)
    assert time.monotonic() - started < 5


def test_a_store_that_goes_down_harms_nothing_and_is_used_again_when_it_is_back(
    tmp_path: Path, staging: Staging
) -> None:
    with MinioServer(tmp_path / "minio" / "data") as server:
        blobs = ObjectStoreBlobs(server.bucket())
        content = os.urandom(40 * MIB)
        kept, lost = stage(staging, content), stage(staging, b"never arrives")
        key = new_key(kept.sha256)
        blobs.put(key, kept)
        server.stop()
        with pytest.raises(BlobsUnavailable):
            blobs.put(new_key(lost.sha256), lost)
        with pytest.raises(BlobsUnavailable):
            blobs.read(key, [ByteSpan(0, 1)])
        with pytest.raises(BlobsUnavailable):
            blobs.check()
        with pytest.raises(BlobsUnavailable):
            list(blobs.keys())
        server.start()
        assert list(blobs.keys()) == [key]
        with blobs.open(key) as file:
            assert file.read() == content


def test_a_stream_that_breaks_off_is_taken_up_where_it_broke(
    tmp_path: Path, staging: Staging
) -> None:
    with MinioServer(tmp_path / "minio" / "data") as server:
        blobs = ObjectStoreBlobs(server.bucket())
        content = os.urandom(40 * MIB)
        staged = stage(staging, content)
        key = new_key(staged.sha256)
        blobs.put(key, staged)
        with blobs.open(key) as file:
            first = file.read(3 * MIB)
            server.stop()
            server.start()
            assert first + file.read() == content


def test_a_store_that_is_full_says_so_and_keeps_no_part_of_what_failed(
    tmp_path: Path, staging: Staging
) -> None:
    with (
        small_disk(tmp_path / "minio", 160 * MIB) as disk,
        MinioServer(disk / "data") as server,
    ):
        location = server.bucket()
        blobs = ObjectStoreBlobs(location)
        kept, large = stage(staging, b"content"), stage(staging, os.urandom(1 * MIB) * 200)
        key = new_key(kept.sha256)
        blobs.put(key, kept)
        refused = new_key(large.sha256)
        with pytest.raises(BlobsUnavailable, match="XMinioStorageFull"):
            blobs.put(refused, large)
        assert list(blobs.keys()) == [key]
        # MinIO lists unfinished uploads of one object only, and the SDK makes no public verb of it.
        unfinished = server.client()._list_multipart_uploads(location.bucket, prefix=refused)
        assert unfinished.uploads == []


def test_what_is_outside_the_prefix_is_not_ours(
    minio_bucket: ObjectLocation, staging: Staging
) -> None:
    whole = ObjectStoreBlobs(minio_bucket)
    ours = ObjectStoreBlobs(replace(minio_bucket, prefix="ours"))
    staged = stage(staging, b"content")
    outside, inside = new_key(staged.sha256), new_key(staged.sha256)
    whole.put(outside, staged)
    ours.put(inside, staged)
    assert list(ours.keys()) == [inside]
    assert list(whole.keys()) == [outside]  # below a prefix nothing has the form of a key


def test_an_object_never_has_too_many_parts() -> None:
    assert part_bytes(1) == part_bytes(100 * 2**30) == PART_BYTES
    for size in (157 * 2**30, 2**40, 5 * 2**40):
        assert -(-size // part_bytes(size)) <= MAXIMUM_PARTS
        assert part_bytes(size) % MIB == 0


def test_no_key_is_shown_when_a_location_is_printed(minio_bucket: ObjectLocation) -> None:
    assert minio_bucket.secret_key not in repr(minio_bucket)


PUT_A_LARGE_FILE = """
import resource, sys
from pathlib import Path
from archive.blobs import ObjectLocation, hash_file, new_key
from archive.blobs.object_store import ObjectStoreBlobs
blobs = ObjectStoreBlobs(ObjectLocation(*sys.argv[2:]))
staged = hash_file(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
key = new_key(staged.sha256)
blobs.put(key, staged)
with blobs.open(key) as file:
    while file.read(1 << 20):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_upload_and_download_take_flat_memory(
    tmp_path: Path, minio_bucket: ObjectLocation
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(600 * MIB)
    where = minio_bucket
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            PUT_A_LARGE_FILE,
            str(large),
            where.endpoint,
            where.bucket,
            where.prefix,
            where.access_key,
            where.secret_key,
            where.region,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    grown = int(child.stdout) * 1024
    assert grown < 160 * MIB
