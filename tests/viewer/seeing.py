"""What a page shows: the colours on its canvas, and where on the slide they are."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from playwright.sync_api import Page

    from tests.support.dicom_files import MadeFile

# The canvases as they lie in the map's box, without what floats above them.
_DRAWN = """() => {
  const map = document.querySelector(".map");
  const box = map.getBoundingClientRect();
  const out = document.createElement("canvas");
  out.width = Math.round(box.width);
  out.height = Math.round(box.height);
  const context = out.getContext("2d");
  for (const canvas of map.querySelectorAll("canvas")) {
    const own = canvas.getBoundingClientRect();
    context.drawImage(canvas, own.left - box.left, own.top - box.top, own.width, own.height);
  }
  return [out.toDataURL("image/png"), map.dataset.seen];
}"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The map's pixels and its region.

    Attributes
    ----------
    pixels : (height, width, 4) uint8
        Of the screen, with alpha: 0 where nothing is drawn.
    left, top, right, bottom
        In base pixels of the slide.
    """

    pixels: NDArray[np.uint8]
    left: float
    top: float
    right: float
    bottom: float

    @property
    def resolution(self) -> float:
        """Base pixels a pixel of the screen."""
        width: int = self.pixels.shape[1]
        return (self.right - self.left) / width

    def colour_at(self, x: float, y: float) -> NDArray[np.float64]:
        """Mean colour of 5 x 5 pixels of the screen around a point of the slide."""
        column = round((x - self.left) / self.resolution)
        row = round((y - self.top) / self.resolution)
        patch = self.pixels[row - 2 : row + 3, column - 2 : column + 3]
        assert patch.shape == (5, 5, 4), "the point is not on the screen"
        assert (patch[..., 3] == 255).all(), "nothing is drawn there"
        colour: NDArray[np.float64] = patch[..., :3].mean(axis=(0, 1))
        return colour


def wait_until_drawn(page: Page) -> None:
    """Wait until every tile of the view is on the canvas and nothing moves."""
    page.wait_for_selector('.map[data-state="rendered"]', timeout=30_000)


def seen(page: Page) -> Seen:
    """Read the canvas once it is complete."""
    wait_until_drawn(page)
    url, region = page.evaluate(_DRAWN)
    encoded = base64.b64decode(url.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGBA"))
    return Seen(pixels, *map(float, region.split()))


def settle(page: Page) -> None:
    """Wait out a movement of the view, then until it is drawn."""
    before = None
    while (now := page.get_attribute(".map", "data-seen")) != before:
        before = now
        page.wait_for_timeout(120)
    wait_until_drawn(page)


def open_slide(page: Page, url: str, container: str) -> None:
    """Open a slide from the worklist and wait until it is drawn."""
    page.goto(url)
    page.get_by_role("link", name=f"Slide {container}").first.click()
    wait_until_drawn(page)


def tile_colours(made: MadeFile) -> list[tuple[float, float, NDArray[np.float64]]]:
    """Give middle (x, y in base pixels) and colour there of each tile of a made slide."""
    assert made.pixels is not None
    rows, columns = made.pixels.shape[1:3]
    across = made.dataset.TotalPixelMatrixColumns // columns
    return [
        (
            (index % across + 0.5) * columns,
            (index // across + 0.5) * rows,
            tile[rows // 2 - 3 : rows // 2 + 3, columns // 2 - 3 : columns // 2 + 3].mean((0, 1)),
        )
        for index, tile in enumerate(made.pixels)
    ]


def swapped_optical_path(profile: bytes) -> Dataset:
    """Make an optical path whose ICC profile has red and green swapped."""
    swapped = bytearray(profile)
    count = int.from_bytes(swapped[128:132], "big")
    entries = {bytes(swapped[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = entries[b"rXYZ"] + 4, entries[b"gXYZ"] + 4
    swapped[red : red + 8], swapped[green : green + 8] = (
        swapped[green : green + 8],
        swapped[red : red + 8],
    )
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.ICCProfile = bytes(swapped) + b"\0" * (len(swapped) % 2)
    return path
