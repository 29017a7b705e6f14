"""What is particular to a folder; the rest is in `tests/contracts`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archive.blobs import FilesystemBlobs, Staging, hash_file, new_key
from archive.errors import BlobsUnavailable
from archive.model.frames import ByteSpan
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from archive.model.instances import StagedFile


def stage(staging: Staging, content: bytes) -> StagedFile:
    with staging.receive() as writer:
        writer.write(content)
        return writer.finish()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", limit_bytes=1 << 30)


def test_our_own_scratch_is_taken_over_without_a_copy(tmp_path: Path, staging: Staging) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs", staging=staging.folder)
    staged = stage(staging, b"content")
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    assert blobs.local_path(key).samefile(staged.path)


def test_a_file_of_somebody_else_is_copied(tmp_path: Path, staging: Staging) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs", staging=staging.folder)
    theirs = tmp_path / "theirs.dcm"
    theirs.write_bytes(b"content")
    staged = hash_file(theirs)
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    theirs.write_bytes(b"altered later")
    assert blobs.local_path(key).read_bytes() == b"content"


def test_scratch_on_another_disk_is_copied(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        staging = Staging(disk, limit_bytes=1 << 20)
        blobs = FilesystemBlobs(tmp_path / "blobs", staging=disk)
        staged = stage(staging, b"content")
        key = new_key(staged.sha256)
        blobs.put(key, staged)
        staging.close()
    assert blobs.local_path(key).read_bytes() == b"content"


def test_a_blob_cannot_be_written_to_by_a_slip(tmp_path: Path, staging: Staging) -> None:
    for known in (staging.folder, None):
        blobs = FilesystemBlobs(tmp_path / "blobs", staging=known)
        staged = stage(staging, os.urandom(9))
        key = new_key(staged.sha256)
        blobs.put(key, staged)
        assert blobs.local_path(key).stat().st_mode & 0o222 == 0


def test_half_written_and_foreign_files_are_no_blobs(tmp_path: Path, staging: Staging) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs", staging=staging.folder)
    staged = stage(staging, b"content")
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    (blobs.folder / key[:2] / "notes.txt").write_text("of an administrator")
    (blobs.folder / "lost+found").mkdir()
    (blobs.folder / "zz").write_text("a file where a folder would be")
    assert list(blobs.keys()) == [key]


def test_a_full_disk_names_the_folder_and_the_way_out_and_leaves_nothing(
    tmp_path: Path, staging: Staging
) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        blobs = FilesystemBlobs(disk / "blobs", staging=staging.folder)
        small, large = stage(staging, b"x" * 1000), stage(staging, b"x" * (2 << 20))
        kept = new_key(small.sha256)
        blobs.put(kept, small)
        with pytest.raises(BlobsUnavailable) as caught:
            blobs.put(new_key(large.sha256), large)
        assert str(disk / "blobs") in str(caught.value)
        assert "COVERSLIP_BLOBS" in str(caught.value)
        assert list(blobs.keys()) == [kept]
        assert blobs.read(kept, [ByteSpan(0, 1000)]) == [b"x" * 1000]
        assert shutil.disk_usage(disk).used < 100_000
        blobs.close()


def test_a_disk_that_went_away_is_no_missing_blob(tmp_path: Path, staging: Staging) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs", staging=staging.folder)
    staged = stage(staging, b"content")
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    (tmp_path / "blobs").mkdir()  # a mount point with nothing mounted on it
    with pytest.raises(BlobsUnavailable, match="mounted"):
        blobs.stat(key)
    with pytest.raises(BlobsUnavailable, match="mounted"):
        blobs.put(new_key(staged.sha256), staged)
    with pytest.raises(BlobsUnavailable, match="mounted"):
        blobs.check()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobsUnavailable, match="file/blobs"):
        FilesystemBlobs(tmp_path / "file" / "blobs")


def test_reading_without_waiting_gives_what_is_in_memory_or_nothing(
    tmp_path: Path, staging: Staging
) -> None:
    content = os.urandom(1_000_000)
    blobs, key = FilesystemBlobs(tmp_path / "blobs"), new_key("0" * 64)
    blobs.put(key, stage(staging, content))
    spans = [ByteSpan(500_000, 17_000), ByteSpan(3, 5)]
    whole = [content[span.offset : span.end] for span in spans]
    with blobs.open(key) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert blobs.read_now(key, spans) in (None, whole)  # some file systems keep it all the same
    assert blobs.read(key, spans) == whole
    assert blobs.read_now(key, spans) == whole
    assert blobs.read_now(key, [ByteSpan(999_990, 100)]) is None  # `read` tells what is wrong
    blobs.close()


def test_no_more_files_stay_open_than_asked_for(tmp_path: Path, staging: Staging) -> None:
    blobs = FilesystemBlobs(tmp_path / "blobs", staging=staging.folder, open_files=4)
    keys = []
    for number in range(12):
        staged = stage(staging, bytes([number]))
        keys.append(new_key(staged.sha256))
        blobs.put(keys[-1], staged)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for number, key in enumerate(keys):
            assert blobs.read(key, [ByteSpan(0, 1)]) == [bytes([number])]
    assert len(os.listdir("/proc/self/fd")) == before + 4
    blobs.close()
    assert len(os.listdir("/proc/self/fd")) == before


PUT_FOR_EVER = """
import os, sys
from pathlib import Path
from archive.blobs import FilesystemBlobs, Staging, new_key
folder = Path(sys.argv[1])
staging = Staging(folder / "staging", limit_bytes=1 << 30)
blobs = FilesystemBlobs(folder / "blobs", staging=staging.folder if sys.argv[2] == "link" else None)
while True:
    with staging.receive() as writer:
        writer.write(os.urandom(300_000))
        staged = writer.finish()
    key = new_key(staged.sha256)
    blobs.put(key, staged)
    staging.discard(staged)
    print(key, flush=True)
"""


@pytest.mark.parametrize("way", ["link", "copy"])
def test_a_kill_loses_nothing_acknowledged_and_leaves_only_whole_blobs(
    tmp_path: Path, way: str
) -> None:
    for turn in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", PUT_FOR_EVER, str(tmp_path), way], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        acknowledged = {child.stdout.readline().decode().strip() for _ in range(3 + 7 * turn)}
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().decode()
        acknowledged |= set(rest.split("\n")[:-1])
        child.stdout.close()
        child.wait()
        blobs = FilesystemBlobs(tmp_path / "blobs")
        keys = set(blobs.keys())
        assert acknowledged <= keys
        for key in keys:
            assert hash_file(blobs.local_path(key)).sha256 == key[-68:-4]
        blobs.close()
    assert list((tmp_path / "blobs" / ".incoming").rglob("*.part")) == []
