from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archive.blobs import Staging, hash_file
from archive.errors import StagingFull, TooLarge
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from archive.model.instances import StagedFile


def files(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.rglob("*") if path.is_file() and path.suffix == ".part"
    )


def receive(staging: Staging, chunks: list[bytes]) -> StagedFile:
    with staging.receive() as writer:
        for chunk in chunks:
            writer.write(chunk)
        return writer.finish()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", limit_bytes=1000)


def test_a_received_file_is_hashed_on_the_way(staging: Staging) -> None:
    with staging.receive() as writer:
        writer.write(b"one ")
        writer.write(memoryview(b"two"))
        staged = writer.finish()
    assert staged.path.read_bytes() == b"one two"
    assert (staged.size, staged.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert hash_file(staged.path) == staged


def test_a_discarded_file_is_gone(staging: Staging) -> None:
    with staging.receive() as writer:
        staged = writer.finish()
    staging.discard(staged)
    staging.discard(staged)
    assert files(staging.folder) == []


def test_a_file_past_its_limit_is_refused_and_leaves_nothing(staging: Staging) -> None:
    with staging.receive() as writer:
        writer.write(b"x" * 1000)
        with pytest.raises(TooLarge) as caught:
            writer.write(b"x")
    assert caught.value.limit_bytes == 1000
    assert files(staging.folder) == []


def test_one_file_may_have_a_limit_of_its_own(staging: Staging) -> None:
    with staging.receive(limit_bytes=2000) as writer:
        writer.write(b"x" * 1500)
        assert writer.finish().size == 1500


@pytest.mark.parametrize("finished", [True, False])
def test_an_error_inside_the_block_leaves_nothing(staging: Staging, *, finished: bool) -> None:
    def receive_until_interrupted() -> None:
        with staging.receive() as writer:
            writer.write(b"half")
            if finished:
                writer.finish()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        receive_until_interrupted()
    assert files(staging.folder) == []


def test_a_file_that_was_not_finished_is_removed(staging: Staging) -> None:
    with staging.receive() as writer:
        writer.write(b"half")
    assert files(staging.folder) == []


def test_a_work_folder_goes_with_all_that_is_in_it(staging: Staging) -> None:
    with staging.work_folder() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"x")
    assert not folder.exists()


def test_closing_leaves_an_empty_folder(staging: Staging) -> None:
    with staging.receive() as writer:
        writer.finish()
    staging.close()
    assert list(staging.folder.iterdir()) == []


RECEIVE_AND_WAIT = """
import sys, time
from pathlib import Path
from archive.blobs import Staging
staging = Staging(Path(sys.argv[1]), limit_bytes=1000)
with staging.receive() as writer:
    writer.write(b"from a child")
    writer.finish()
print("ready", flush=True)
time.sleep(600)
"""


def test_the_litter_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "staging"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RECEIVE_AND_WAIT, str(folder)], stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
        assert len(files(folder)) == 2
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        Staging(folder, limit_bytes=1000)
        assert len(files(folder)) == 1
    finally:
        for child in children:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
    assert Staging(folder, limit_bytes=1000).sweep() == 0
    assert files(folder) == []


def test_a_full_disk_names_the_folder_and_the_way_out_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        staging = Staging(disk / "staging", limit_bytes=1 << 30)
        with pytest.raises(StagingFull) as caught:
            receive(staging, [b"x" * (1 << 16)] * 64)
        assert str(disk) in str(caught.value)
        assert "COVERSLIP_STAGING" in str(caught.value)
        assert files(disk) == []
        with staging.receive() as writer:
            writer.write(b"there is room again")
            assert writer.finish().size == 19
