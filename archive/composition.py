"""Tiles put together: one picture of a whole instance, within bounds (PS3.3 §C.7.6.17.3).

Owns which frames make the image and where they go; decoding is `pixels`'.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from archive.errors import CannotRender, CannotTranscode
from archive.picture_facts import TileGrid
from archive.pixels import Pixels, decode_frame
from archive.rendering import PictureFacts, RenderOptions, render, render_frame

MAXIMUM_PIXELS = 4096 * 4096
"""Of a total pixel matrix that is put together."""

ReadFrames = Callable[[Sequence[int]], Iterable[bytes]]
"""Frame numbers, one-based → their stored bytes, in that order."""


def render_instance(
    read_frames: ReadFrames,
    facts: PictureFacts,
    options: RenderOptions,
    grid: TileGrid | None = None,
    places: NDArray[np.int64] | None = None,
) -> bytes:
    """Draw an instance: its frame where it has one, its tiles put together where they are tiled.

    Parameters
    ----------
    grid
        Of a tiled instance (`picture_facts.tile_grid`).
    places : (frames, 2) int64, optional
        Row and column of each frame, needed where the grid is not full
        (`picture_facts.tile_places`).

    Raises
    ------
    CannotRender
        When there is no single picture: several frames that are not tiles, or an image that is too
        large to be put together.
    """
    if facts.pixels.number_of_frames == 1 and not _padded(facts, grid):
        (stored,) = read_frames([1])
        return render_frame(stored, facts, options)
    if grid is None:
        raise CannotRender(
            f"the instance has {facts.pixels.number_of_frames} frames and no single picture; "
            "ask for /frames/{number}/rendered"
        )
    return render(compose(read_frames, facts, grid, places), facts, options)


def _padded(facts: PictureFacts, grid: TileGrid | None) -> bool:
    """Tell whether a tile is larger than the image: beyond it is padding, which is no picture."""
    pixels = facts.pixels
    return grid is not None and (grid.rows < pixels.rows or grid.columns < pixels.columns)


def compose(
    read_frames: ReadFrames,
    facts: PictureFacts,
    grid: TileGrid,
    places: NDArray[np.int64] | None = None,
) -> Pixels:
    """Put the tiles of one focal plane and optical path together.

    Returns
    -------
    (rows, columns) or (rows, columns, 3)
        The total pixel matrix; what no tile covers is white in colour, 0 elsewhere.

    Raises
    ------
    CannotRender
        When the image is larger than `MAXIMUM_PIXELS`, or the places of its tiles are not known.
    """
    if grid.rows * grid.columns > MAXIMUM_PIXELS:
        raise CannotRender(
            f"the image is {grid.columns} x {grid.rows}, too large to be drawn at once: ask for "
            "/thumbnail, for single frames, or for an instance of a lower resolution"
        )
    pixels = facts.pixels
    wanted = list(_tiles(facts, grid, places))
    whole: Pixels | None = None
    frames = read_frames([number for number, _, _ in wanted])
    for (number, row, column), stored in zip(wanted, frames, strict=True):
        try:
            tile = decode_frame(stored, pixels, facts.transfer_syntax_uid, number=number)
        except CannotTranscode as error:
            raise CannotRender(str(error), error.available) from error
        if whole is None:
            blank = 255 if tile.ndim == 3 and tile.dtype == np.uint8 else 0
            whole = np.full((grid.rows, grid.columns, *tile.shape[2:]), blank, tile.dtype)
        height = min(tile.shape[0], grid.rows - row)
        width = min(tile.shape[1], grid.columns - column)
        whole[row : row + height, column : column + width] = tile[:height, :width]
    if whole is None:
        raise CannotRender("the instance has no tile within its total pixel matrix")
    return whole


def _tiles(
    facts: PictureFacts, grid: TileGrid, places: NDArray[np.int64] | None
) -> Iterator[tuple[int, int, int]]:
    """Give number, row and column of the tiles of the first plane and path."""
    pixels = facts.pixels
    if grid.full or places is None:
        across, down = -(-grid.columns // pixels.columns), -(-grid.rows // pixels.rows)
        if not grid.full and pixels.number_of_frames != across * down:
            raise CannotRender("the places of the frames in the image are not known")
        for number in range(1, min(across * down, pixels.number_of_frames) + 1):
            row, column = divmod(number - 1, across)
            yield number, row * pixels.rows, column * pixels.columns
        return
    seen: set[tuple[int, int]] = set()
    for number, (row, column) in enumerate(places.tolist()[: pixels.number_of_frames], 1):
        if (row, column) not in seen and 0 <= row < grid.rows and 0 <= column < grid.columns:
            seen.add((row, column))
            yield number, row, column
