"""A process that works on a block cache: `python -m tests.support.caching_child FOLDER SEED`.

It reads and fills until it is told to end by its input, or killed, and says how often it found what
it looked for. Wrong bytes end it with an error.
"""

from __future__ import annotations

import random
import select
import sys
from functools import lru_cache
from pathlib import Path

from archive.blobs.block_cache import BLOCK_BYTES, MINIMUM_BYTES, BlockCache
from archive.model.instances import BlobKey

KEY = BlobKey("ab/ab" + "5" * 30 + "-" + "0" * 64 + ".dcm")
"""The same in every process."""
NUMBERS = 24
"""Blocks that are asked for; more than the cache holds."""
LIMIT_BYTES = 2 * MINIMUM_BYTES


@lru_cache(maxsize=64)
def block(number: int, key: BlobKey = KEY, length: int = BLOCK_BYTES) -> bytes:
    """Give the content of a block that is like no other one's."""
    return random.Random(f"{key} {number}").randbytes(length)


def put(cache: BlockCache, number: int, key: BlobKey = KEY, length: int = BLOCK_BYTES) -> None:
    """Keep a block."""
    cache.put(key, number, memoryview(block(number, key, length)))


def turn(cache: BlockCache, pick: random.Random) -> bool:
    """Read a random block, or put it; gives whether it was there, and raises for wrong bytes."""
    number = pick.randrange(NUMBERS)
    found = cache.read(KEY, number, 100_000, 117_000)
    if found is None:
        put(cache, number)
    elif found != block(number)[100_000:117_000]:
        message = f"block {number} is not what was put"
        raise ValueError(message)
    return found is not None


def main() -> None:
    """Work until told to end."""
    cache = BlockCache(Path(sys.argv[1]), LIMIT_BYTES)
    pick, hits = random.Random(int(sys.argv[2])), 0
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        hits += turn(cache, pick)
    sys.stdout.write(f"{hits}\n")


if __name__ == "__main__":
    main()
