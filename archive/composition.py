"""Tiles put together: one picture of a whole instance, or of a region (PS3.3 §C.7.6.17.3).

Owns which frames make the image and where they go; decoding is `pixels`'.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archive.errors import CannotRender, CannotTranscode
from archive.picture_facts import TileGrid
from archive.pixels import Pixels, decode_frame
from archive.rendering import (
    PictureFacts,
    RenderOptions,
    encoded,
    picture,
    reduction,
    render_frame,
)

MAXIMUM_PIXELS = 4096 * 4096
"""That are put together."""
MAXIMUM_DECODED = 4 * MAXIMUM_PIXELS
"""Pixels of the tiles that are decoded for one picture, at whatever size."""

ReadFrames = Callable[[Sequence[int]], Iterable[bytes]]
"""Frame numbers, one-based → their stored bytes, in that order."""

_Tile = tuple[int, int, int]
"""Frame number, row and column of the upper left pixel."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the total pixel matrix, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def rows(self) -> int:
        """Height."""
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        """Width."""
        return self.right - self.left

    def widened(self, step: int) -> "Region":
        """Give the region with its edges on multiples of `step`."""
        left, top = self.left // step * step, self.top // step * step
        return Region(left, top, -(-self.right // step) * step, -(-self.bottom // step) * step)


def render_instance(
    read_frames: ReadFrames,
    facts: PictureFacts,
    options: RenderOptions,
    grid: TileGrid | None = None,
    places: NDArray[np.int64] | None = None,
) -> bytes:
    """Draw an instance: its tiles put together, else the frame that stands for all of them.

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
        When the image is too large to be put together.
    MalformedQuery
        When the viewport lies outside of it.
    """
    number = facts.representative_frame
    if grid is None or (facts.pixels.number_of_frames == 1 and not _padded(facts, grid)):
        (stored,) = read_frames([number])
        return render_frame(stored, facts, options, number=number)
    viewport = options.viewport
    region, across, down = Region(0, 0, grid.columns, grid.rows), False, False
    if viewport is not None:
        left, top, right, bottom, across, down = viewport.region(grid.rows, grid.columns)
        region = Region(left, top, right, bottom)
    reduce = reduction(facts, viewport, grid.rows, grid.columns)
    array = compose(read_frames, facts, grid, places, region=region, reduce=reduce)
    array = array[:: -1 if down else 1, :: -1 if across else 1]
    return encoded(*picture(array, facts, options), options)


def _padded(facts: PictureFacts, grid: TileGrid) -> bool:
    """Tell whether a tile is larger than the image: beyond it is padding, which is no picture."""
    return grid.rows < facts.pixels.rows or grid.columns < facts.pixels.columns


def compose(
    read_frames: ReadFrames,
    facts: PictureFacts,
    grid: TileGrid,
    places: NDArray[np.int64] | None = None,
    *,
    region: Region | None = None,
    reduce: int = 1,
) -> Pixels:
    """Put the tiles of one focal plane and optical path together.

    Parameters
    ----------
    region
        The whole total pixel matrix when left out.
    reduce
        By how much the tiles are decoded smaller (`rendering.reduction`).

    Returns
    -------
    (rows, columns) or (rows, columns, 3)
        The region, smaller by `reduce`; what no tile covers is white in colour, 0 elsewhere.

    Raises
    ------
    CannotRender
        When that is more than `MAXIMUM_PIXELS` or takes more than `MAXIMUM_DECODED`, or the places
        of the tiles are not known.
    """
    region = region or Region(0, 0, grid.columns, grid.rows)
    whole_steps = region.widened(reduce)
    rows, columns = whole_steps.rows // reduce, whole_steps.columns // reduce
    if rows * columns > MAXIMUM_PIXELS:
        raise _too_large(grid)
    wanted = list(_tiles(facts, grid, places, region))
    pixels = facts.pixels
    if len(wanted) * pixels.rows * pixels.columns > MAXIMUM_DECODED:
        raise _too_large(grid)
    whole: Pixels | None = None
    frames = read_frames([number for number, _, _ in wanted])
    for (number, row, column), stored in zip(wanted, frames, strict=True):
        tile = decoded(stored, facts, number, reduce)
        if whole is None:
            blank = 255 if tile.ndim == 3 and tile.dtype == np.uint8 else 0
            whole = np.full((rows, columns, *tile.shape[2:]), blank, tile.dtype)
        top, left = (row - whole_steps.top) // reduce, (column - whole_steps.left) // reduce
        _put(whole, tile, top, left)
    if whole is None:
        raise CannotRender("the instance has no tile within its total pixel matrix")
    # At the lower and right edge there may be less image than whole steps of it.
    return whole[: -(-(region.bottom - whole_steps.top) // reduce), :][
        :, : -(-(region.right - whole_steps.left) // reduce)
    ]


def _put(whole: Pixels, tile: Pixels, top: int, left: int) -> None:
    """Lay a tile where it belongs, as far as it is within."""
    bottom = min(top + tile.shape[0], whole.shape[0])
    right = min(left + tile.shape[1], whole.shape[1])
    above, before = max(-top, 0), max(-left, 0)
    whole[max(top, 0) : bottom, max(left, 0) : right] = tile[
        above : bottom - top, before : right - left
    ]


def decoded(stored: bytes, facts: PictureFacts, number: int, reduce: int = 1) -> Pixels:
    """Decode a frame; what cannot be decoded cannot be drawn."""
    try:
        return decode_frame(
            stored, facts.pixels, facts.transfer_syntax_uid, number=number, reduce=reduce
        )
    except CannotTranscode as error:
        raise CannotRender(str(error), error.available) from error


def _too_large(grid: TileGrid) -> CannotRender:
    return CannotRender(
        f"the image is {grid.columns} x {grid.rows}, too large to be drawn at once: ask for "
        "/thumbnail, for single frames, for a region by viewport=vw,vh,sx,sy,sw,sh, or for an "
        "instance of a lower resolution"
    )


def _tiles(
    facts: PictureFacts, grid: TileGrid, places: NDArray[np.int64] | None, region: Region
) -> Iterator[_Tile]:
    """Give the tiles of the first plane and path that there are, as far as they touch a region."""
    pixels = facts.pixels
    for number, row, column in _placed(facts, grid, places):
        below, beside = row + pixels.rows, column + pixels.columns
        touches_rows = below > region.top and row < region.bottom
        if touches_rows and beside > region.left and column < region.right:
            yield number, row, column


def _placed(
    facts: PictureFacts, grid: TileGrid, places: NDArray[np.int64] | None
) -> Iterator[_Tile]:
    pixels = facts.pixels
    if grid.full or places is None:
        across, down = -(-grid.columns // pixels.columns), -(-grid.rows // pixels.rows)
        a_plane = across * down
        if not grid.full and pixels.number_of_frames != a_plane:
            raise CannotRender("the places of the frames in the image are not known")
        plane = grid.first // a_plane * a_plane  # a part of a concatenation may begin further on
        last = min(grid.first + pixels.number_of_frames, plane + a_plane)
        for index in range(grid.first, last):
            row, column = divmod(index - plane, across)
            yield index - grid.first + 1, row * pixels.rows, column * pixels.columns
        return
    seen: set[tuple[int, int]] = set()
    for number, (row, column) in enumerate(places.tolist()[: pixels.number_of_frames], 1):
        if (row, column) not in seen and 0 <= row < grid.rows and 0 <= column < grid.columns:
            seen.add((row, column))
            yield number, row, column
