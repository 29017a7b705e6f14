"""The block cache on a disk that may be full, damaged, or written to by others at the same time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.blobs import new_key
from archive.blobs.block_cache import (
    BLOCK_BYTES,
    MINIMUM_BYTES,
    PAGE_BYTES,
    WAYS,
    BlockCache,
    CacheEvent,
)
from archive.errors import BlobsUnavailable, FixityFailure
from tests.support.caching_child import KEY, LIMIT_BYTES, NUMBERS, block, put, turn
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def events() -> Counter[CacheEvent]:
    return Counter()


@pytest.fixture
def cache(tmp_path: Path, events: Counter[CacheEvent]) -> Iterator[BlockCache]:
    def count(event: CacheEvent, amount: int) -> None:
        events[event] += amount

    cache = BlockCache(tmp_path / "cache", 4 * MINIMUM_BYTES, count=count)
    yield cache
    cache.close()


def size_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def the_file(folder: Path, kind: str) -> Path:
    (found,) = folder.glob(f"{kind}-*")
    return found


def test_a_block_is_read_back_in_any_part(cache: BlockCache) -> None:
    put(cache, 0)
    for begin, end in ((0, 1), (5, 17_005), (PAGE_BYTES - 1, PAGE_BYTES + 1), (0, BLOCK_BYTES)):
        assert cache.read(KEY, 0, begin, end) == block(0)[begin:end]
    assert not cache.holds(KEY, 1)
    assert not cache.holds(new_key("0" * 64), 0)


def test_a_last_block_may_be_short(cache: BlockCache) -> None:
    for number, length in enumerate((1, PAGE_BYTES, PAGE_BYTES + 1, BLOCK_BYTES - 1)):
        put(cache, number, length=length)
        assert cache.read(KEY, number, 0) == block(number, length=length)
        assert cache.read(KEY, number, length - 1, length) == block(number, length=length)[-1:]
        with pytest.raises(FixityFailure):
            cache.read(KEY, number, 0, length + 1)


def test_it_survives_a_restart(cache: BlockCache, tmp_path: Path) -> None:
    put(cache, 3)
    again = BlockCache(tmp_path / "cache", 4 * MINIMUM_BYTES)
    assert again.read(KEY, 3, 10, 99) == block(3)[10:99]
    again.close()


def test_it_never_takes_more_than_its_limit(tmp_path: Path) -> None:
    limit = 4 * MINIMUM_BYTES + 100_000
    cache = BlockCache(tmp_path / "cache", limit)
    keys = [new_key("0" * 64) for _ in range(4)]
    for number in range(40):
        for key in keys:
            put(cache, number, key)
    assert cache.capacity == 4 * WAYS
    assert size_on_disk(tmp_path / "cache") <= limit
    held = sum(cache.holds(key, number) for key in keys for number in range(40))
    assert held == cache.capacity
    cache.close()


def test_neighbours_fill_all_sets_alike(cache: BlockCache, events: Counter[CacheEvent]) -> None:
    for number in range(cache.capacity):
        put(cache, number)
    assert all(cache.holds(KEY, number) for number in range(cache.capacity))
    assert events[CacheEvent.EVICTED] == 0


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    now = [1_000_000_000]
    cache = BlockCache(tmp_path, MINIMUM_BYTES, now_ms=lambda: now[0])  # a single set
    for number in range(WAYS):
        now[0] += 60_000
        put(cache, number)
    now[0] += 60_000
    assert cache.read(KEY, 0, 0, 9) is not None  # the oldest, and in use
    now[0] += 60_000
    put(cache, WAYS)
    assert not cache.holds(KEY, 1)
    assert all(cache.holds(KEY, number) for number in (0, *range(2, WAYS + 1)))
    cache.close()


damages = st.lists(
    st.tuples(st.sampled_from(["tags", "blocks"]), st.floats(0, 1), st.binary(min_size=1)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None, database=None)
@given(damages=damages, numbers=st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_damaged_bytes_are_never_given(
    tmp_path_factory: pytest.TempPathFactory,
    damages: list[tuple[str, float, bytes]],
    numbers: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    cache = BlockCache(folder, MINIMUM_BYTES)
    for number in numbers:
        put(cache, number)
    for kind, where, content in damages:
        path = the_file(folder, kind)
        with path.open("r+b") as file:
            file.seek(int(where * path.stat().st_size))
            file.write(content)
    for number in numbers:
        for begin in range(0, BLOCK_BYTES, 3 * PAGE_BYTES):
            end = min(begin + 20_000, BLOCK_BYTES)
            assert cache.read(KEY, number, begin, end) in {None, block(number)[begin:end]}
    put(cache, 99)
    assert cache.read(KEY, 99, 0, BLOCK_BYTES) == block(99)
    cache.close()


def test_a_damaged_block_is_dropped_and_can_be_put_anew(
    cache: BlockCache, tmp_path: Path, events: Counter[CacheEvent]
) -> None:
    put(cache, 0)
    blocks = the_file(tmp_path / "cache", "blocks")
    content = blocks.read_bytes().replace(block(0)[1000:1010], bytes(10))
    blocks.write_bytes(content)
    assert (
        cache.read(KEY, 0, PAGE_BYTES, 2 * PAGE_BYTES) is not None
    )  # another page than the damaged
    assert cache.read(KEY, 0, 0, 2000) is None
    assert events[CacheEvent.DAMAGED] == 1
    assert not cache.holds(KEY, 0)
    put(cache, 0)
    assert cache.read(KEY, 0, 0, 2000) == block(0)[:2000]


def test_a_block_whose_tag_was_damaged_can_be_put_anew(cache: BlockCache, tmp_path: Path) -> None:
    put(cache, 0)
    tags = the_file(tmp_path / "cache", "tags")
    content = bytearray(tags.read_bytes())
    content[content.rindex(block_name := bytes.fromhex(KEY[3:35])) + len(block_name) + 9] ^= 1
    tags.write_bytes(content)
    other = BlockCache(tmp_path / "cache", 4 * MINIMUM_BYTES)
    assert not other.holds(KEY, 0)
    put(other, 0)
    assert other.read(KEY, 0, 5, 9) == cache.read(KEY, 0, 5, 9) == block(0)[5:9]
    other.close()


def test_a_place_that_another_process_gave_away_is_looked_up_again(tmp_path: Path) -> None:
    ours, theirs = (BlockCache(tmp_path, MINIMUM_BYTES) for _ in range(2))
    put(ours, 0)
    assert ours.read(KEY, 0, 0, 9) == block(0)[:9]
    for number in range(1, WAYS + 1):  # the last of them takes the place of the first
        put(theirs, number)
    assert ours.read(KEY, 0, 0, 9) is None
    put(theirs, 0)
    assert ours.read(KEY, 0, 0, 9) == block(0)[:9]
    theirs.drop(KEY, 1)
    assert ours.read(KEY, 0, 0, 9) is None
    ours.close()
    theirs.close()


@pytest.mark.parametrize("kind", ["tags", "blocks"])
@pytest.mark.parametrize("left", [0, 100, 100_000])
def test_a_file_that_was_cut_off_costs_its_blocks_only(
    cache: BlockCache, tmp_path: Path, kind: str, left: int
) -> None:
    put(cache, 0)
    os.truncate(the_file(tmp_path / "cache", kind), left)
    assert cache.read(KEY, 0, 200_000, 217_000) in {None, block(0)[200_000:217_000]}
    put(cache, 0)
    assert cache.read(KEY, 0, 200_000, 217_000) == block(0)[200_000:217_000]


def test_a_deleted_blob_is_forgotten_and_overwritten(cache: BlockCache, tmp_path: Path) -> None:
    other = new_key("1" * 64)
    for number in range(3):
        put(cache, number)
    put(cache, 0, other)
    cache.drop(KEY, 3 * BLOCK_BYTES)
    assert [cache.holds(KEY, number) for number in range(3)] == [False] * 3
    assert cache.read(other, 0, 0, 9) == block(0, other)[:9]
    left = the_file(tmp_path / "cache", "blocks").read_bytes()
    assert not any(block(number)[:32] in left for number in range(3))


def test_another_limit_begins_anew_and_leaves_nothing_of_the_old(
    cache: BlockCache, tmp_path: Path
) -> None:
    put(cache, 0)
    other = BlockCache(tmp_path / "cache", 2 * MINIMUM_BYTES)
    assert not other.holds(KEY, 0)
    put(other, 0)
    assert size_on_disk(tmp_path / "cache") <= 2 * MINIMUM_BYTES
    assert cache.read(KEY, 0, 0, 9) == block(0)[:9]  # who has the old files open goes on
    other.close()


def test_a_full_disk_is_passed_by(tmp_path: Path, events: Counter[CacheEvent]) -> None:
    def count(event: CacheEvent, amount: int) -> None:
        events[event] += amount

    with small_disk(tmp_path / "disk", 3 * BLOCK_BYTES) as disk:
        cache = BlockCache(disk / "cache", 4 * MINIMUM_BYTES, reserved_bytes=0, count=count)
        for number in range(8):
            put(cache, number)
        kept = [number for number in range(8) if cache.holds(KEY, number)]
        assert 1 <= len(kept) <= 2
        assert events[CacheEvent.PASSED_BY] == 8 - len(kept)
        assert all(cache.read(KEY, number, 7, 999) == block(number)[7:999] for number in kept)
        cache.close()


def test_the_last_of_a_disk_is_left_to_others(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * BLOCK_BYTES) as disk:
        cache = BlockCache(disk / "cache", 4 * MINIMUM_BYTES, reserved_bytes=8 * BLOCK_BYTES)
        for number in range(16):
            put(cache, number)
        free = os.statvfs(disk)
        assert free.f_bavail * free.f_frsize >= 7 * BLOCK_BYTES
        assert sum(cache.holds(KEY, number) for number in range(16)) >= 6
        cache.close()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobsUnavailable, match="COVERSLIP_BLOCK_CACHE_BYTES=0"):
        BlockCache(tmp_path / "file" / "cache", MINIMUM_BYTES)


def test_nobody_else_may_read_it(cache: BlockCache, tmp_path: Path) -> None:
    put(cache, 0)
    folder = tmp_path / "cache"
    assert folder.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())


def test_threads_get_the_right_bytes_or_none(cache: BlockCache) -> None:
    keys = [new_key("0" * 64) for _ in range(3)]

    def work(seed: int) -> int:
        pick, hits = random.Random(seed), 0
        for _ in range(300):
            key, number = pick.choice(keys), pick.randrange(20)
            found = cache.read(key, number, 40_000, 57_000)
            if found is None:
                put(cache, number, key)
            else:
                assert found == block(number, key)[40_000:57_000]
                hits += 1
        return hits

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) > 0


def start(folder: Path, seed: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.caching_child", str(folder), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    return child


def test_processes_share_it(tmp_path: Path) -> None:
    cache, pick = BlockCache(tmp_path, LIMIT_BYTES), random.Random(0)
    children = [start(tmp_path, seed) for seed in (1, 2)]
    assert sum(turn(cache, pick) for _ in range(300)) > 0
    for child in children:
        hits, _ = child.communicate("end", timeout=60)
        assert child.returncode == 0
        assert int(hits) > 0
    cache.close()


def test_a_process_killed_at_any_moment_leaves_no_wrong_bytes(tmp_path: Path) -> None:
    cache, pick = BlockCache(tmp_path, LIMIT_BYTES), random.Random(0)
    for seed in range(4):
        child = start(tmp_path, seed)
        for _ in range(pick.randrange(5, 60)):
            turn(cache, pick)
        child.kill()
        child.communicate()
        assert sum(turn(cache, pick) for _ in range(2 * NUMBERS)) > 0
    cache.close()
