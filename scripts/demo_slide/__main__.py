"""Make the demonstration slide: `python -m scripts.demo_slide demo.svs`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.demo_slide import pictures, svs
from scripts.demo_slide.paint import BACKGROUND, BLOCK, Painter, Pixels
from scripts.demo_slide.scene import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

type Block = tuple[list[bytes], bytes, Pixels]
"""A block's base tiles row by row, its one tile of the next level, and itself 16 times smaller."""

_PER_BLOCK = BLOCK // svs.TILE
_SMALL = BLOCK // svs.LEVELS[2]
_painter: Painter | None = None


def _start(seed: int) -> None:
    """Lay the slide out once in each process; cheaper than handing it over."""
    global _painter  # a pool's worker has no other place for it
    _painter = Painter.make(seed)


def _smaller(pixels: Pixels, factor: int) -> Pixels:
    """Shrink by averaging squares of `factor` pixels."""
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    squares = pixels.reshape(rows, factor, columns, factor, 3)
    return (squares.mean(axis=(1, 3), dtype=np.float32) + 0.5).astype(np.uint8)


def _glass(side: int) -> Pixels:
    return np.full((side, side, 3), BACKGROUND, np.uint8)


def _block(corner: tuple[int, int]) -> Block | None:
    """Paint and compress one block; None where only glass is."""
    if _painter is None:
        raise RuntimeError("the pool's initializer has not run")
    pixels = _painter.block(*corner)
    if pixels is None:
        return None
    tiles = [
        svs.encode(pixels[top : top + svs.TILE, left : left + svs.TILE]).own
        for top in range(0, BLOCK, svs.TILE)
        for left in range(0, BLOCK, svs.TILE)
    ]
    quarter = _smaller(pixels, 4)
    return tiles, svs.encode(quarter).own, _smaller(quarter, 4)


def make(path: Path, *, seed: int, processes: int) -> None:
    """Make the slide file, whole or not at all."""
    columns, rows = -(-WIDTH // BLOCK), -(-HEIGHT // BLOCK)
    corners = [(x * BLOCK, y * BLOCK) for y in range(rows) for x in range(columns)]
    with multiprocessing.Pool(processes, _start, (seed,)) as pool:
        painted = zip(corners, pool.imap(_block, corners, chunksize=2), strict=True)
        blocks = {corner: block for corner, block in painted if block is not None}
    empty = svs.encode(_glass(svs.TILE))
    canvas = np.full((rows * _SMALL, columns * _SMALL, 3), BACKGROUND, np.uint8)
    for (left, top), (_, _, small) in blocks.items():
        y, x = top // svs.LEVELS[2], left // svs.LEVELS[2]
        canvas[y : y + _SMALL, x : x + _SMALL] = small
    canvas = canvas[: HEIGHT // svs.LEVELS[2], : WIDTH // svs.LEVELS[2]]
    half = canvas[: canvas.shape[0] // 2 * 2, : canvas.shape[1] // 2 * 2]
    label = pictures.label()
    slide = svs.Slide(
        size=(WIDTH, HEIGHT),
        tiles={
            1: list(_base_tiles(blocks, empty.own)),
            4: list(_next_tiles(blocks, empty.own)),
            16: list(_cut(canvas)),
            32: list(_cut(_smaller(half, 2))),
        },
        shared=empty.shared,
        thumbnail=svs.shrink(canvas, (1024, 768)),
        label=label,
        macro=pictures.macro(canvas, label),
    )
    part = path.with_name(path.name + ".part")
    svs.write(part, slide)
    part.replace(path)


def _tile_corners(scale: int) -> Iterator[tuple[int, int]]:
    """Give the base-level corner of every tile of a level, row by row."""
    step = svs.TILE * scale
    for top in range(0, HEIGHT // scale * scale, step):
        for left in range(0, WIDTH // scale * scale, step):
            yield left, top


def _base_tiles(blocks: dict[tuple[int, int], Block], empty: bytes) -> Iterator[bytes]:
    for left, top in _tile_corners(1):
        block = blocks.get((left // BLOCK * BLOCK, top // BLOCK * BLOCK))
        index = top % BLOCK // svs.TILE * _PER_BLOCK + left % BLOCK // svs.TILE
        yield block[0][index] if block else empty


def _next_tiles(blocks: dict[tuple[int, int], Block], empty: bytes) -> Iterator[bytes]:
    for corner in _tile_corners(4):
        block = blocks.get(corner)
        yield block[1] if block else empty


def _cut(pixels: Pixels) -> Iterator[bytes]:
    """Cut a whole level into compressed tiles, glass beyond its edges."""
    for top in range(0, pixels.shape[0], svs.TILE):
        for left in range(0, pixels.shape[1], svs.TILE):
            part = pixels[top : top + svs.TILE, left : left + svs.TILE]
            tile = _glass(svs.TILE)
            tile[: part.shape[0], : part.shape[1]] = part
            yield svs.encode(tile).own


def main() -> int:
    """Read the command line and make the slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the SVS file to write")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another tissue")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    started = time.monotonic()
    try:
        make(chosen.out, seed=chosen.seed, processes=chosen.processes)
    except KeyboardInterrupt:
        return 130
    size = chosen.out.stat().st_size / 1e6
    seconds = time.monotonic() - started
    sys.stdout.write(f"{chosen.out}: {WIDTH} x {HEIGHT} px, {size:.0f} MB, in {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
