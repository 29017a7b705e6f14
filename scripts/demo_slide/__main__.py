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
from PIL import Image

from scripts.demo_slide import pictures, svs
from scripts.demo_slide.paint import BACKGROUND, BLOCK, Painter, Pixels
from scripts.demo_slide.scene import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

type Block = tuple[list[bytes], Pixels]
"""A block's base tiles, row by row, and itself four times smaller."""

_PER_BLOCK = BLOCK // svs.TILE
_SMALL = BLOCK // 4
_painter: Painter | None = None


def _start(painter: Painter) -> None:
    """Keep what to paint in each process of the pool."""
    global _painter  # a pool's worker has no other place for it
    _painter = painter


def _smaller(pixels: Pixels, factor: int) -> Pixels:
    """Shrink by averaging squares of `factor` pixels, leaving out what fills no square."""
    rows, columns = (side // factor * factor for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels[:rows, :columns]).reduce(factor))


def _glass(rows: int, columns: int) -> Pixels:
    return np.full((rows, columns, 3), BACKGROUND, np.uint8)


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
    return tiles, _smaller(pixels, 4)


def make(path: Path, *, seed: int, processes: int) -> None:
    """Make the slide file, whole or not at all."""
    columns, rows = -(-WIDTH // BLOCK), -(-HEIGHT // BLOCK)
    corners = [(x * BLOCK, y * BLOCK) for y in range(rows) for x in range(columns)]
    with multiprocessing.Pool(processes, _start, (Painter.make(seed),)) as pool:
        painted = zip(corners, pool.imap(_block, corners, chunksize=4), strict=True)
        blocks = {corner: block for corner, block in painted if block is not None}
    empty = svs.encode(_glass(svs.TILE, svs.TILE))
    quarter = _glass(rows * _SMALL, columns * _SMALL)
    for (left, top), (_, small) in blocks.items():
        quarter[top // 4 : top // 4 + _SMALL, left // 4 : left // 4 + _SMALL] = small
    quarter = quarter[: HEIGHT // 4, : WIDTH // 4]
    sixteenth = _smaller(quarter, 4)
    label = pictures.label()
    slide = svs.Slide(
        size=(WIDTH, HEIGHT),
        tiles={
            1: list(_base_tiles(blocks, empty.own)),
            4: list(_cut(quarter)),
            16: list(_cut(sixteenth)),
            32: list(_cut(_smaller(sixteenth, 2))),
        },
        shared=empty.shared,
        thumbnail=svs.shrink(sixteenth, (1024, 768)),
        label=label,
        macro=pictures.macro(sixteenth, label),
    )
    part = path.with_name(path.name + ".part")
    svs.write(part, slide)
    part.replace(path)


def _base_tiles(blocks: dict[tuple[int, int], Block], empty: bytes) -> Iterator[bytes]:
    """Give the base level's tiles row by row."""
    for top in range(0, HEIGHT, svs.TILE):
        for left in range(0, WIDTH, svs.TILE):
            block = blocks.get((left // BLOCK * BLOCK, top // BLOCK * BLOCK))
            index = top % BLOCK // svs.TILE * _PER_BLOCK + left % BLOCK // svs.TILE
            yield block[0][index] if block else empty


def _cut(pixels: Pixels) -> Iterator[bytes]:
    """Cut a whole level into compressed tiles, glass beyond its edges."""
    for top in range(0, pixels.shape[0], svs.TILE):
        for left in range(0, pixels.shape[1], svs.TILE):
            part = pixels[top : top + svs.TILE, left : left + svs.TILE]
            tile = _glass(svs.TILE, svs.TILE)
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
